"""What a request may say, checked before a job is queued."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from adapters.clusterer import ALGORITHMS, LocalClusterer, check_parameters
from domain.errors import Invalid

DOCUMENT = Path(__file__).parents[2] / "docs" / "clustering.md"


def test_defaults_are_filled_in() -> None:
    assert check_parameters("kmeans", {"n_clusters": 50}) == {
        "n_clusters": 50,
        "engine": "faiss",
        "points_per_centroid": 256,
        "niter": 20,
        "mb_batch_size": 4096,
        "passes": 2,
        "seed": 42,
        "chunk_size": 10_000,
    }


def test_none_is_as_good_as_not_given() -> None:
    given = {"n_clusters": 5, "mb_batch_size": None, "chunk_size": None}
    assert check_parameters("kmeans", given) == check_parameters("kmeans", {"n_clusters": 5})
    assert check_parameters("hdbscan", {"metric": None})["metric"] == "euclidean"


def test_what_was_checked_may_be_checked_again() -> None:
    for algorithm, given in [
        ("kmeans", {"n_clusters": 5}),
        ("hdbscan", {}),
        ("dbscan", {}),
        ("agglomerative", {"n_clusters": 3}),
    ]:
        once = check_parameters(algorithm, given)
        assert check_parameters(algorithm, once) == once


@pytest.mark.parametrize(
    ("algorithm", "given", "field"),
    [
        ("kmeans", {}, "n_clusters"),
        ("kmeans", {"n_clusters": 0}, "n_clusters"),
        ("kmeans", {"n_clusters": True}, "n_clusters"),
        ("kmeans", {"n_clusters": "5"}, "n_clusters"),
        ("kmeans", {"n_clusters": 2.5}, "n_clusters"),
        ("kmeans", {"n_clusters": 5, "engine": "cuda"}, "engine"),
        ("kmeans", {"n_clusters": 5, "seed": -1}, "seed"),
        ("kmeans", {"n_clusters": 5, "chunk_size": 0}, "chunk_size"),
        ("kmeans", {"n_clusters": 5, "mb_batch_size": 0}, "mb_batch_size"),
        ("hdbscan", {"min_cluster_size": 1}, "min_cluster_size"),
        ("hdbscan", {"min_samples": 0}, "min_samples"),
        ("hdbscan", {"cluster_selection_epsilon": -0.1}, "cluster_selection_epsilon"),
        ("hdbscan", {"cluster_selection_epsilon": float("nan")}, "cluster_selection_epsilon"),
        ("hdbscan", {"metric": "jaccard"}, "metric"),
        ("dbscan", {"eps": 0}, "eps"),
        ("dbscan", {"eps": 2.1}, "eps"),
        ("agglomerative", {"n_clusters": 3, "linkage": "median"}, "linkage"),
        ("agglomerative", {"distance_threshold": 0}, "distance_threshold"),
    ],
)
def test_a_wrong_value_is_named_with_its_parameter(algorithm: str, given: dict[str, Any], field: str) -> None:
    with pytest.raises(Invalid, match=rf"^{algorithm}: {field}: ") as refused:
        check_parameters(algorithm, given)
    assert [detail["field"] for detail in refused.value.details] == [field]


def test_all_that_is_wrong_is_named_at_once() -> None:
    with pytest.raises(Invalid) as refused:
        check_parameters("kmeans", {"n_clusters": 0, "seed": -1, "k": 5})
    assert {detail["field"] for detail in refused.value.details} == {"n_clusters", "seed", "k"}


@pytest.mark.parametrize("algorithm", list(ALGORITHMS))
def test_an_unknown_parameter_is_refused_and_the_known_are_listed(algorithm: str) -> None:
    with pytest.raises(Invalid, match=r"n_klusters: unknown parameter; known are seed, chunk_size"):
        check_parameters(algorithm, {"n_clusters": 3, "n_klusters": 3})


@pytest.mark.parametrize("given", [{}, {"n_clusters": 3, "distance_threshold": 0.5}])
def test_agglomerative_needs_one_way_to_stop(given: dict[str, Any]) -> None:
    with pytest.raises(Invalid, match="give one of n_clusters and distance_threshold"):
        check_parameters("agglomerative", given)


def test_an_unknown_algorithm_is_refused_and_the_known_are_listed() -> None:
    with pytest.raises(
        Invalid, match="unknown algorithm 'optics': known are kmeans, hdbscan, dbscan, agglomerative"
    ):
        LocalClusterer(1).check("optics", {})


def test_checking_loads_no_numeric_library() -> None:
    code = (
        "import sys; from adapters.clusterer import LocalClusterer; import adapters.namer, adapters.embedder;"
        "LocalClusterer(2).check('kmeans', {'n_clusters': 3});"
        "heavy = {'faiss', 'sklearn', 'hdbscan', 'scipy', 'openai', 'fastembed'} & {*sys.modules};"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("algorithm", list(ALGORITHMS))
def test_every_parameter_is_documented_with_its_default(algorithm: str) -> None:
    section = DOCUMENT.read_text(encoding="utf-8").split(f"\n## {algorithm}")[1].split("\n## ")[0]
    rows = dict(re.findall(r"^\| `(\w+)` \| ([^|]+) \|", section, flags=re.MULTILINE))
    own = {
        name: field
        for name, field in ALGORITHMS[algorithm].model_fields.items()
        if name not in ("seed", "chunk_size")
    }
    assert set(rows) == set(own)
    for name, field in own.items():
        default = None if field.is_required() else field.default
        expected = "-" if default is None else f"`{default}`"
        assert rows[name].strip() == expected, name
