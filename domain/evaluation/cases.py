"""Labelled cases, and the manifest that freezes them: it lies beside the log, its hash is in the event."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from typing import Any

import numpy as np
import orjson

from domain.errors import Invalid
from domain.values import Labels, QueryIds, digest, flaw, pack, pack_digests, unpack, unpack_digests

MAX_CASES = 100_000
MAX_LABELS = 1_000
MAX_LABEL = 200
MAX_REPORTED = 100
"""Rows that were not taken of which the reason is kept; all are counted."""


@dataclass(frozen=True)
class Case:
    """A text of its own, or a query of the data set, with its true label. `row`: where it was read."""

    label: str
    text: str | None = None
    query_id: int | None = None
    row: int = 0


@dataclass(frozen=True)
class Manifest:
    """The cases of a version, numbered from 1 in this order.

    `truth`: index into `labels`; `query_ids`: 0 where a case has a text of its own, whose digest is then the
    next of `texts`. The text of a query is never repeated here: it goes when its conversation is erased.
    """

    dataset: str | None
    labels: tuple[str, ...]
    truth: Labels
    query_ids: QueryIds
    texts: tuple[bytes, ...]

    def __len__(self) -> int:
        return len(self.truth)

    @cached_property
    def digests(self) -> dict[int, bytes]:
        """Case → digest of its text, of those that are no queries."""
        own = np.flatnonzero(self.query_ids == 0) + 1
        return dict(zip(own.tolist(), self.texts, strict=True))

    def label(self, number: int) -> str:
        return self.labels[int(self.truth[number - 1])]

    def counts(self) -> dict[str, int]:
        """Label → how many cases have it."""
        found = np.bincount(self.truth, minlength=len(self.labels))
        return dict(zip(self.labels, found.tolist(), strict=True))

    def encoded(self) -> bytes:
        """The same cases give the same bytes, whose SHA-256 is the hash of the version."""
        fields = {
            "dataset": self.dataset,
            "labels": self.labels,
            "truth": pack(self.truth),
            "query_ids": pack(self.query_ids),
            "texts": pack_digests(self.texts),
        }
        return orjson.dumps(fields, option=orjson.OPT_SORT_KEYS)

    @staticmethod
    def decoded(body: bytes) -> Manifest:
        fields = orjson.loads(body)
        return Manifest(
            dataset=fields["dataset"],
            labels=tuple(fields["labels"]),
            truth=unpack(fields["truth"]).astype(np.int32),
            query_ids=unpack(fields["query_ids"]).astype(np.int64),
            texts=tuple(unpack_digests(fields["texts"])),
        )

    @staticmethod
    def of(cases: Sequence[Case], dataset: str | None) -> Manifest:
        """Raises Invalid for none, for too many, and for more labels than a matrix can be read with."""
        if not cases:
            raise Invalid("a test set needs at least one case")
        if len(cases) > MAX_CASES:
            raise Invalid(f"a test set has at most {MAX_CASES:,} cases; take a sample (per_label)")
        labels = tuple(sorted({one.label for one in cases}))
        if len(labels) > MAX_LABELS:
            raise Invalid(f"the cases have {len(labels):,} labels; at most {MAX_LABELS:,} are allowed")
        index = {label: at for at, label in enumerate(labels)}
        return Manifest(
            dataset=dataset,
            labels=labels,
            truth=np.array([index[one.label] for one in cases], np.int32),
            query_ids=np.array([one.query_id or 0 for one in cases], np.int64),
            texts=tuple(digest(one.text.encode()) for one in cases if one.text is not None),
        )


def gather(cases: Iterable[Case]) -> tuple[list[Case], list[dict[str, Any]]]:
    """Those that can be taken, and `{row, reason}` for the others: a label that will not do, a text twice."""
    taken: dict[object, Case] = {}
    rejected = []
    for case in cases:
        key = case.query_id if case.text is None else digest(plain(case.text).encode())
        wrong = _fault(case, taken.get(key))
        if wrong:
            rejected.append({"row": case.row, "reason": wrong})
        else:
            taken[key] = case
    return list(taken.values()), rejected


def _fault(case: Case, before: Case | None) -> str | None:
    if not case.label.strip() or len(case.label) > MAX_LABEL:
        return f"its label must have 1 to {MAX_LABEL} characters"
    if wrong := flaw("its label", case.label):
        return wrong
    if case.text is not None and not case.text.strip():
        return "its text is empty"
    if before is None:
        return None
    if before.label != case.label:
        return f"has the text of row {before.row}, which is labelled {before.label!r}"
    return f"repeats row {before.row}"


def sampled(cases: Sequence[Case], per_label: int | None, seed: int) -> list[Case]:
    """At most so many of each label, drawn by a hash of seed and text, whatever stands around them."""
    if per_label is None:
        return list(cases)
    of_label: Mapping[str, list[Case]] = defaultdict(list)
    for case in cases:
        of_label[case.label].append(case)
    drawn = {
        id(one)
        for group in of_label.values()
        for one in sorted(group, key=lambda case: _lot(seed, case))[:per_label]
    }
    return [one for one in cases if id(one) in drawn]


def _lot(seed: int, case: Case) -> bytes:
    return sha256(f"{seed}:{case.text if case.text is not None else case.query_id}".encode()).digest()


def plain(text: str) -> str:
    """What makes two texts the same one for leakage: case and spaces do not count."""
    return " ".join(text.casefold().split())
