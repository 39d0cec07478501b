"""Freezing labelled cases as a version of a test set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from commands.ports import EventStore, Outcome
from domain.evaluation import Case, Manifest, TestSet
from domain.evaluation.test_sets import check_name
from domain.values import digest


@dataclass(frozen=True, kw_only=True)
class FreezeTestSet:
    """`cases` that are queries belong to `dataset`. `rejected`: `{row, reason}` of what was no case.

    `source`: where they are from, for people. The next version of the test set of this name, or its first.
    """

    test_set: str
    cases: Sequence[Case]
    source: Mapping[str, Any]
    dataset: str | None = None
    description: str | None = None
    rejected: Sequence[dict[str, Any]] = field(default_factory=list)


def freeze_test_set(cmd: FreezeTestSet, store: EventStore) -> Outcome:
    """Texts lie beside the log under the digest of the text alone, as that of a query that is erased."""
    name = check_name(cmd.test_set)
    manifest = Manifest.of(cmd.cases, cmd.dataset)
    test_set = store.find(TestSet, name) or TestSet(test_set=name, description=cmd.description)
    version = test_set.freeze(manifest, dict(cmd.source), list(cmd.rejected))
    texts = [one.text.encode() for one in cmd.cases if one.text is not None]
    body = manifest.encoded()
    answer = {
        "test_set": name,
        "number": version.number,
        "hash": version.manifest,
        "cases": version.cases,
        "labels": manifest.counts(),
        "rejected": len(cmd.rejected),
        "errors": list(cmd.rejected)[:100],
    }
    return Outcome((test_set,), answer, contents={digest(one): one for one in (body, *texts)})
