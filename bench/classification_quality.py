"""`python -m bench.classification_quality FILE ...`: how often and how fast `local/nearest` is right.

Held against scikit-learn's nearest centroid and logistic regression, with the same vectors in the same run.
"""

from __future__ import annotations

import argparse
import gzip
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from adapters.classifier import NearestClassifier
from adapters.embedder import make_embedder
from commands.ports import Item, Labelled, Limits
from domain.templates import Example, Label, TemplateContent

OUT_OF_SCOPE = "oos"
Rows = list[dict[str, Any]]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.classification_quality", description=__doc__)
    parser.add_argument("files", type=Path, nargs="+", help="rows with text, label and split, gzip or plain")
    parser.add_argument("--per-label", type=int, help="no more examples of each label than this")
    given = parser.parse_args()
    for file in given.files:
        print(json.dumps({"file": file.name, **measure(file, given.per_label)}, indent=2))  # noqa: T201


def measure(file: Path, per_label: int | None) -> dict[str, Any]:
    rows = read_rows(file)
    train = few([row for row in rows if row["split"] == "train"], per_label)
    test = [row for row in rows if row["split"] == "val"]
    strange = [row for row in rows if row["label"] == OUT_OF_SCOPE]
    figures: dict[str, Any] = {"examples": len(train), "texts": len(test)}
    figures["labels"] = len({row["label"] for row in train})
    return figures | _ours(train, test, strange) | _scikit_learn(train, test)


def _ours(train: Rows, test: Rows, strange: Rows) -> dict[str, Any]:
    embedder = make_embedder(None, None)
    embedder.embed(["loaded"])
    classifier = NearestClassifier(embedder)
    labels = tuple(Label(name) for name in sorted({row["label"] for row in train}))
    template = TemplateContent(
        "t", labels, examples=tuple(Example(row["text"], row["label"]) for row in train)
    )
    _, prepared_s = _timed(lambda: _classified(classifier, template, test[:1]))
    found, seconds = _timed(lambda: _classified(classifier, template, test))
    right = np.array([one.label == row["label"] for one, row in zip(found, test, strict=True)])
    sure = np.array([one.confidence for one in found], dtype=float)
    figures = {
        "accuracy": round(float(right.mean()), 4),
        "prepared_s": prepared_s,
        "texts_per_s": round(len(test) / seconds),
        "calibration_error": round(_calibration_error(sure, right), 4),
    }
    if strange:
        other = [one.confidence or 0 for one in _classified(classifier, template, strange)]
        figures["median_confidence"] = {
            "right": round(float(np.median(sure[right])), 3),
            "wrong": round(float(np.median(sure[~right])), 3),
            "out_of_scope": round(float(np.median(other)), 3),
        }
    return figures


def _scikit_learn(train: Rows, test: Rows) -> dict[str, Any]:
    from sklearn.linear_model import LogisticRegression
    from sklearn.neighbors import NearestCentroid

    embedder = make_embedder(None, None)
    vectors, labels = embedder.embed([row["text"] for row in train]), [row["label"] for row in train]
    truth = [row["label"] for row in test]
    figures: dict[str, Any] = {}
    for name, model in (
        ("nearest_centroid", NearestCentroid()),
        ("logistic_regression", LogisticRegression(max_iter=1_000)),
        ("logistic_regression_c10", LogisticRegression(C=10, max_iter=1_000)),
    ):
        _, fitted_s = _timed(lambda model=model: model.fit(vectors, labels))
        guessed, seconds = _timed(
            lambda model=model: model.predict(embedder.embed([r["text"] for r in test]))
        )
        accuracy = round(float(np.mean(np.array(guessed) == truth)), 4)
        figures[name] = {
            "accuracy": accuracy,
            "fitted_s": fitted_s,
            "texts_per_s": round(len(test) / seconds),
        }
    return figures


def _classified(classifier: NearestClassifier, template: TemplateContent, rows: Rows) -> list[Labelled]:
    items = (Item(number, row["text"]) for number, row in enumerate(rows))
    return list(classifier.classify(template, items, Limits()))


def _calibration_error(sure: Any, right: Any, bins: int = 10) -> float:  # noqa: ANN401
    """Expected calibration error: confidence against accuracy, in bins of equal width."""
    of = np.minimum((sure * bins).astype(int), bins - 1)
    present = [of == one for one in range(bins) if (of == one).any()]
    return float(sum(abs(sure[one].mean() - right[one].mean()) * one.mean() for one in present))


def few(rows: Rows, per_label: int | None) -> Rows:
    seen: dict[str, int] = {}
    kept = []
    for row in rows:
        seen[row["label"]] = seen.get(row["label"], 0) + 1
        if per_label is None or seen[row["label"]] <= per_label:
            kept.append(row)
    return kept


def _timed(call: Callable[[], Any]) -> tuple[Any, float]:
    begun = time.perf_counter()
    answer = call()
    return answer, round(time.perf_counter() - begun, 3)


def read_rows(file: Path) -> Rows:
    body = file.read_bytes()
    lines = (gzip.decompress(body) if file.suffix == ".gz" else body).splitlines()
    return [json.loads(line) for line in lines]


if __name__ == "__main__":
    main()
