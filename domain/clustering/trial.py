"""Edits tried one after the other: what each would change, and which cannot be made and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from domain.clustering.changes import Changes
from domain.clustering.curation import Curation
from domain.clustering.script import Move, Spec, Split, apply_edit
from domain.errors import DomainError
from domain.values import ERASED, ORPHAN

REFERENCES = ("cluster_id", "to_cluster_id", "source_cluster_ids", "target_cluster_id", "move_to_cluster_id")


@dataclass(frozen=True)
class Tried:
    """`refusal`: why the edit cannot be made. `version`: of its event, None where it would change nothing.

    `changes`: what it does, or, of one that cannot be made, the queries and clusters that it speaks of.
    """

    index: int
    edit: Spec
    changes: Changes
    version: int | None = None
    refusal: DomainError | None = None

    @property
    def kind(self) -> str:
        return str(self.edit.__struct_config__.tag)


def try_edits(run: Curation, edits: Mapping[int, Spec]) -> list[Tried]:
    """Make these edits (by their place in the whole list) as far as they can be made, in this order.

    The run is changed; one that was loaded to look at is the copy to give. A query whose conversation was
    erased meanwhile is passed over: what was wanted of it is moot.
    """
    made: dict[int, int] = {}
    return [_tried(run, index, _without_erased(run, edit), made) for index, edit in edits.items()]


def _tried(run: Curation, index: int, edit: Spec, made: dict[int, int]) -> Tried:
    before = len(run.pending_events)
    try:
        new_id = apply_edit(run, edit, made)
    except DomainError as refusal:
        return Tried(index, edit, _spoken_of(edit), refusal=refusal)
    if new_id is not None:
        made[index] = new_id
    new: list[Any] = run.pending_events[before:]
    if not new:
        return Tried(index, edit, Changes())
    return Tried(index, edit, new[0].changes(), new[0].originator_version)


def _without_erased(run: Curation, edit: Spec) -> Spec:
    if not isinstance(edit, Move | Split):
        return edit
    known = [one for one in edit.query_ids if run.partition.cluster_of(one) != ERASED]
    return edit if len(known) == len(edit.query_ids) else msgspec.structs.replace(edit, query_ids=known)


def clusters_named(edit: Spec) -> list[int]:
    """The clusters that an edit names by their ids."""
    given = [getattr(edit, name, None) for name in REFERENCES]
    flat = [one for value in given for one in (value if isinstance(value, list) else [value])]
    return [one for one in flat if isinstance(one, int)]


def _spoken_of(edit: Spec) -> Changes:
    """As changes that change nothing: they meet what moved these queries, made or removed these clusters."""
    ids = np.unique(np.array(getattr(edit, "query_ids", ()), np.int64))
    states: dict[int, Any] = {one: ({}, {}) for one in clusters_named(edit)}
    return Changes.of(ids, np.full(len(ids), ORPHAN), ORPHAN, states)
