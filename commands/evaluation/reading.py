"""What lies beside the log of test sets and templates, as evaluation reads it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from commands.ports import Contents, EventStore, Scorer
from domain.content import decode_content
from domain.errors import NotFound
from domain.evaluation import EvaluationRun, Manifest, Suggestion
from domain.evaluation.runs import ERROR, UNANSWERED
from domain.templates import Example, Template, TemplateContent, checked


def manifest_of(address: str, contents: Contents) -> Manifest:
    """`address`: SHA-256, hex."""
    found = contents.get([bytes.fromhex(address)])
    return Manifest.decoded(found[bytes.fromhex(address)])


def texts_of(manifest: Manifest, numbers: Sequence[int], contents: Contents) -> dict[int, str]:
    """Number of a case → its text; one whose conversation was erased or cleared is missing."""
    own = {n: manifest.digests[n] for n in numbers if n in manifest.digests}
    queries = {n: int(manifest.query_ids[n - 1]) for n in numbers if n not in own}
    return _read(own, queries, manifest.dataset, contents)


def _read(
    own: Mapping[int, bytes], queries: Mapping[int, int], dataset: str | None, contents: Contents
) -> dict[int, str]:
    bodies = contents.get(list(own.values()))
    found = {n: bodies[sha256].decode() for n, sha256 in own.items() if sha256 in bodies}
    if queries and dataset is not None:
        of_queries = contents.of_queries(dataset, list(queries.values()))
        found |= {n: decode_content(of_queries[id_]).query for n, id_ in queries.items() if id_ in of_queries}
    return found


def content_of(run: EvaluationRun, store: EventStore, contents: Contents) -> TemplateContent:
    """What the run asks with: a version of the template, or the draft of a suggestion."""
    if run.suggestion_id is not None:
        return draft_of(store.load(Suggestion, run.suggestion_id), store, contents)[1]
    return store.load(Template, run.template_id).at(run.template_number)


def draft_of(
    suggestion: Suggestion, store: EventStore, contents: Contents
) -> tuple[Template, TemplateContent]:
    """The template, and the content that the draft makes of it now. Raises Invalid where that will not do."""
    draft = suggestion.draft
    if draft is None:
        raise NotFound(f"suggestion {suggestion.suggestion_id} has no draft: it is {suggestion.status}")
    template = store.load(Template, suggestion.template_id)
    cases = {}
    if draft.examples:
        manifest = manifest_of(draft.manifest, contents)
        cases = examples_of(manifest, texts_of(manifest, draft.examples, contents))
    return template, checked(draft.apply(template.at(suggestion.template_number), cases))


def examples_of(manifest: Manifest, texts: Mapping[int, str]) -> dict[int, Example]:
    """Cases as examples; one that is a query says so, and goes with it."""
    return {
        n: Example(text, manifest.label(n), query_id=int(manifest.query_ids[n - 1]) or None)
        for n, text in texts.items()
    }


def figures_of(run: EvaluationRun, manifest: Manifest, scorer: Scorer) -> dict[str, Any]:
    """What the answers that there are come to. Leaked cases are left out of `headline`."""
    labels = [*manifest.labels, *(one for one in run.labels if one not in manifest.labels)]
    places = np.array([labels.index(one) for one in run.labels], np.int32)
    answered = (run.predicted != UNANSWERED) & ~run.gone
    predicted = np.where(run.predicted >= 0, places[run.predicted], ERROR).astype(np.int32)
    seed = int(run.parameters["seed"])

    def over(cases: Any) -> dict[str, Any]:  # noqa: ANN401  (an array of flags)
        return scorer.score(labels, manifest.truth[cases], predicted[cases], seed)

    leaked = answered & run.leaked
    return {
        "headline": over(answered & ~run.leaked),
        "with_leaked": over(answered) if leaked.any() else None,
        "counts": {
            "cases": len(manifest),
            "answered": int(answered.sum()),
            "errors": int((run.predicted[answered] == ERROR).sum()),
            "leaked": int(leaked.sum()),
            "gone": int(run.gone.sum()),
        },
        "not_allowed": [one for one in manifest.labels if one not in run.labels],
        "seconds": _seconds(run),
        "usage": run.usage,
    }


def _seconds(run: EvaluationRun) -> dict[str, float | None]:
    """Of a call: mean, median and the slowest of twenty."""
    known = run.seconds[~np.isnan(run.seconds)]
    if not len(known):
        return dict.fromkeys(("mean", "p50", "p95"))
    figures = (known.mean(), *np.percentile(known, [50, 95]))
    return dict(zip(("mean", "p50", "p95"), (round(float(one), 6) for one in figures), strict=True))


def texts_by_case(
    rows: Sequence[Mapping[str, Any]], dataset: str | None, contents: Contents
) -> dict[int, str]:
    """Number of a case → its text, of rows that have `case_number`, `query_id` and `text` (its digest)."""
    own = {row["case_number"]: bytes(row["text"]) for row in rows if row["text"] is not None}
    queries = {row["case_number"]: row["query_id"] for row in rows if row["query_id"] is not None}
    return _read(own, queries, dataset, contents)
