"""Edits as they are written down before they are made: what is proposed, or made again in another run.

`{"type": "merge", "source_cluster_ids": [4, 7], "target_cluster_id": 1, "new_title": "Refunds"}`: the fields
are those of the HTTP bodies, and the ids that stand in their paths. A cluster that an earlier split of the
same list makes is called `"new:2"`, 2 being the place of that split in the list, counted from 0.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, cast

import msgspec
from msgspec import UNSET, Meta, UnsetType

from domain.clustering.cluster import Quality
from domain.clustering.curation import Curation
from domain.errors import Conflict, Invalid

ClusterRef = Annotated[int, Meta(ge=-1, lt=2**31)] | Annotated[str, Meta(pattern=r"^new:\d{1,9}$")]
QueryId = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Made = Mapping[int, int]
"""Place of a split in its list → the id of the cluster that it made."""


class _Spec(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, omit_defaults=True, tag_field="type"):
    """`reason`: why this edit, for those who read the list."""

    reason: str | None = None

    def apply(self, run: Curation, made: Made) -> int | None:
        raise TypeError(f"{type(self).__name__} does not say how it is made")


class Rename(_Spec, tag="rename"):
    cluster_id: ClusterRef
    title: str | None = None
    description: str | None = None

    def apply(self, run: Curation, made: Made) -> int | None:
        run.rename(_resolved(self.cluster_id, made), self.title, self.description)
        return None


class Move(_Spec, tag="move"):
    """All of the queries or none: each was named for a reason."""

    query_ids: list[QueryId]
    to_cluster_id: ClusterRef

    def apply(self, run: Curation, made: Made) -> int | None:
        if not self.query_ids:
            raise Invalid("query_ids is empty: name the queries to move")
        if unknown := run.unknown(self.query_ids):
            raise Conflict(
                f"query_ids names {len(unknown)} queries that are not part of run {run.run_id}",
                [{"query_id": one} for one in unknown],
            )
        run.move(self.query_ids, _resolved(self.to_cluster_id, made))
        return None


class Merge(_Spec, tag="merge"):
    source_cluster_ids: list[ClusterRef]
    target_cluster_id: ClusterRef
    new_title: str | None = None
    new_description: str | None = None

    def apply(self, run: Curation, made: Made) -> int | None:
        sources = [_resolved(one, made) for one in self.source_cluster_ids]
        run.merge(sources, _resolved(self.target_cluster_id, made), self.new_title, self.new_description)
        return None


class Split(_Spec, tag="split"):
    cluster_id: ClusterRef
    query_ids: list[QueryId]
    new_title: str
    new_description: str | None = None

    def apply(self, run: Curation, made: Made) -> int | None:
        cluster_id = _resolved(self.cluster_id, made)
        return run.split(cluster_id, self.query_ids, self.new_title, self.new_description or None)[0]


class Delete(_Spec, tag="delete"):
    """One of `orphan` and `move_to_cluster_id`."""

    cluster_id: ClusterRef
    orphan: bool = False
    move_to_cluster_id: ClusterRef | None = None

    def apply(self, run: Curation, made: Made) -> int | None:
        if self.orphan == (self.move_to_cluster_id is not None):
            raise Invalid("give either orphan=true or move_to_cluster_id: where the queries are to go")
        move_to = None if self.move_to_cluster_id is None else _resolved(self.move_to_cluster_id, made)
        run.delete(_resolved(self.cluster_id, made), move_to)
        return None


class Metadata(_Spec, tag="metadata"):
    """Only what is given changes; null takes one away."""

    cluster_id: ClusterRef
    coherence_score: int | UnsetType | None = UNSET
    quality: Quality | UnsetType | None = UNSET
    notes: str | UnsetType | None = UNSET

    def apply(self, run: Curation, made: Made) -> int | None:
        fields = {name: getattr(self, name) for name in ("coherence_score", "quality", "notes")}
        given = {name: value for name, value in fields.items() if value is not UNSET}
        if not given:
            raise Invalid("give coherence_score, quality or notes")
        run.annotate(_resolved(self.cluster_id, made), given)
        return None


class Flags(_Spec, tag="flags"):
    """`flags` are added, `remove` are taken away."""

    cluster_id: ClusterRef
    flags: list[str] = []
    remove: list[str] = []

    def apply(self, run: Curation, made: Made) -> int | None:
        if not self.flags and not self.remove:
            raise Invalid("give flags to add, or to remove")
        run.flag(_resolved(self.cluster_id, made), self.flags, self.remove)
        return None


Spec = Rename | Move | Merge | Split | Delete | Metadata | Flags
KINDS = ("rename", "move", "merge", "split", "delete", "metadata", "flags")


def read_edit(spec: Mapping[str, Any]) -> Spec:
    """The edit that is written here. Raises Invalid, which names the field."""
    try:
        return cast(Spec, msgspec.convert(spec, Spec))
    except msgspec.ValidationError as error:
        kind = spec.get("type")
        if "type" in spec and kind not in KINDS:
            raise Invalid(f"type is {kind!r}; it is one of {', '.join(KINDS)}") from None
        raise Invalid(_in_words(str(error))) from None


def write_edit(edit: Spec) -> dict[str, Any]:
    """What `read_edit` reads, without the fields that say nothing."""
    return cast("dict[str, Any]", msgspec.to_builtins(edit))


def apply_edit(run: Curation, spec: Spec | Mapping[str, Any], made: Made | None = None) -> int | None:
    """Decide the edit on this run, by at most one event. Returns the id of the cluster that a split made.

    `made`: what `"new:…"` stands for. Raises Invalid for what is no edit, and NotFound, Conflict or Invalid
    where the run refuses; then nothing has changed.
    """
    edit = read_edit(spec) if isinstance(spec, Mapping) else spec
    return edit.apply(run, made or {})


def _resolved(cluster: int | str, made: Made) -> int:
    if isinstance(cluster, int):
        return cluster
    place = int(cluster.removeprefix("new:"))
    if place not in made:
        raise Conflict(f"{cluster} stands for what edit {place} makes, but that has made no cluster yet")
    return made[place]


def _in_words(error: str) -> str:
    """`$.query_ids[3]: Expected int, got str` instead of `Expected ... - at $.query_ids[3]`."""
    what, _, where = error.replace("`", "").partition(" - at ")
    place = re.sub(r"^\$\.?", "", where)
    what = what.replace("Object contains unknown field", "there is no field")
    if "regex" in what:
        what = 'neither the id of a cluster nor "new:<place of a split in the list>"'
    what = what.replace("Object missing required field", "the edit lacks the field")
    return f"{place}: {what}" if place else what
