"""A report of a run for who is to suggest what would have done better."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from commands.evaluation.reading import manifest_of, texts_of
from commands.ports import Contents, FailedCase, Report
from domain.evaluation import EvaluationRun, Manifest, plain
from domain.evaluation.runs import UNANSWERED
from domain.templates import TemplateContent
from domain.values import Labels

MOST_FAILED = 2_000
MOST_RIGHT = 100
"""Cases that a report has: of those that failed, and of those of each label that did not."""

MOST_POOL = 5_000
BORDERLINE = 5
"""Cases of each label that were right, but the least surely so; they may become examples as well."""


def report_of(run: EvaluationRun, content: TemplateContent, manifest: Manifest, contents: Contents) -> Report:
    """What failed first; cases that leaked or are gone tell nothing and are left out."""
    names = np.array([*run.labels, *manifest.labels], object)
    truth = np.array(manifest.labels, object)[manifest.truth]
    counted = (run.predicted != UNANSWERED) & ~run.gone & ~run.leaked
    predicted = names[run.predicted]
    predicted[run.predicted < 0] = None
    right = counted & (predicted == truth)
    failed = _numbers(counted & ~right)[:MOST_FAILED]
    good = _some_of_each(right, truth, MOST_RIGHT)
    unsure = _unsure(run, right, truth)
    texts = texts_of(manifest, [*failed, *good, *unsure], contents)

    def case(number: int) -> FailedCase:
        query_id = int(manifest.query_ids[number - 1]) or None
        return FailedCase(number, texts[number], str(truth[number - 1]), predicted[number - 1], query_id)

    of_label: dict[str, list[str]] = {}
    for number in (one for one in good if one in texts):
        of_label.setdefault(str(truth[number - 1]), []).append(texts[number])
    wrong = [case(number) for number in failed if number in texts]
    figures = (run.figures or {})["headline"]
    return Report(
        template=content,
        accuracy=figures["accuracy"],
        correct=figures["correct"],
        total=figures["cases"],
        categories={one["label"]: one for one in figures["classes"]},
        confusion=nested(figures["confusion"]),
        failed=wrong,
        right=of_label,
        pool=_fit([*wrong, *(case(number) for number in unsure if number in texts)], content),
    )


def pool_of(address: str, contents: Contents, content: TemplateContent) -> list[FailedCase]:
    """The cases of another test set, as many as can be looked at."""
    manifest = manifest_of(address, contents)
    texts = texts_of(manifest, range(1, min(len(manifest), MOST_POOL) + 1), contents)
    ids = manifest.query_ids
    cases = (
        FailedCase(number, text, manifest.label(number), None, int(ids[number - 1]) or None)
        for number, text in sorted(texts.items())
    )
    return _fit(cases, content)


def _fit(cases: Iterable[FailedCase], content: TemplateContent) -> list[FailedCase]:
    """Those that can become examples: the label is the template's, the text is none of its examples."""
    known, labels = {plain(one.text) for one in content.examples}, {one.name for one in content.labels}
    return [one for one in cases if one.expected in labels and plain(one.text) not in known]


def nested(confusion: dict[str, object]) -> dict[str, dict[str, int]]:
    """Expected → answered → cases, without the zeros; `error` where no label was answered."""
    labels: list[str] = [*confusion["labels"], "error"]  # type: ignore[misc]
    found: dict[str, dict[str, int]] = {}
    for truth, answer, cases in confusion["cells"]:  # type: ignore[attr-defined]
        found.setdefault(labels[truth], {})[labels[answer]] = cases
    return found


def _numbers(flags: Labels) -> list[int]:
    found: list[int] = (np.flatnonzero(flags) + 1).tolist()
    return found


def _some_of_each(right: Labels, truth: Labels, most: int) -> list[int]:
    numbers: list[int] = []
    for label in np.unique(truth[right]):
        numbers += _numbers(right & (truth == label))[:most]
    return numbers


def _unsure(run: EvaluationRun, right: Labels, truth: Labels) -> list[int]:
    numbers: list[int] = []
    known = right & ~np.isnan(run.confidence)
    for label in np.unique(truth[known]):
        of_label = np.array(_numbers(known & (truth == label)))
        order = np.argsort(run.confidence[of_label - 1], kind="stable")
        numbers += of_label[order[:BORDERLINE]].tolist()
    return numbers
