"""What differs between two states: of one run at two moments, or of two runs of the same data set."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from adapters.time_travel import Difference, Side, largest_flows
from api.deps import reads
from api.paging import PageDep, PaginatedResponse
from api.queries import QueryResponse
from api.time_travel import NowDep, Seen, wait_for
from domain.clustering import Cluster
from domain.clustering.difference import NOTES, WORDS, Reshaped
from projections import queries as read

router = APIRouter()

SIDE = "`RUN` as it is now, or `RUN@MOMENT`: an event position, an RFC 3339 time, or a tag."
From = Annotated[str, Query(alias="from", max_length=400, description=SIDE)]
To = Annotated[str, Query(max_length=400, description=SIDE)]
Label = Annotated[int | None, Query(ge=-2, lt=2**31, description="-1 is the noise, -2 no cluster.")]
FLOWS = 10_000


class DiffSide(BaseModel):
    """`position`: the event up to which the run is meant, recorded at `time`; `version`: its own."""

    run_id: str
    position: int
    time: datetime | None
    version: int
    dataset: str
    num_clusters: int
    num_queries: int


class SharedQueries(BaseModel):
    """`moved`: those of both sides that are elsewhere than where their cluster goes on."""

    shared: int
    only_from: int
    only_to: int
    share_of_from: float | None = Field(description="How much of `from` is in `to` as well.")
    share_of_to: float | None
    moved: int


class DiffCluster(BaseModel):
    cluster_id: int
    title: str | None = None
    description: str | None = None
    num_queries: int


class RenamedCluster(BaseModel):
    """`to_cluster_id` is another only between two runs. `was_…` and what is; both where nothing changed."""

    cluster_id: int
    to_cluster_id: int
    was_title: str | None = None
    title: str | None = None
    was_description: str | None = None
    description: str | None = None


class AnnotatedCluster(BaseModel):
    """Of `coherence_score`, `quality`, `notes` and `flags` those that differ."""

    cluster_id: int
    to_cluster_id: int
    was: dict[str, Any]
    now: dict[str, Any]


class ReshapedClusters(BaseModel):
    """`by`: the edits that did it; `by_undoing`: edits whose undoing did it. Both are empty for two runs."""

    from_clusters: list[DiffCluster]
    to_clusters: list[DiffCluster]
    by: list[int]
    by_undoing: list[int]


class DiffFlow(BaseModel):
    from_cluster_id: int
    to_cluster_id: int
    count: int
    from_title: str | None = None
    to_title: str | None = None


class OtherFlows(BaseModel):
    """What the limit leaves out, as one."""

    flows: int
    count: int


class FlowTable(BaseModel):
    """The links of a Sankey picture, the largest first."""

    items: list[DiffFlow]
    other: OtherFlows


class DiffResponse(BaseModel):
    """`matched` is false where two runs have so many clusters that which goes on as which is not computed.

    Both indices are about the queries of both sides, None where there are none: 1 says that they are
    grouped alike, whatever the ids.
    """

    from_: DiffSide = Field(serialization_alias="from")
    to: DiffSide
    queries: SharedQueries
    adjusted_rand_index: float | None
    adjusted_mutual_information: float | None
    matched: bool
    created: list[DiffCluster]
    retired: list[DiffCluster]
    renamed: list[RenamedCluster]
    annotated: list[AnnotatedCluster]
    merged: list[ReshapedClusters]
    split: list[ReshapedClusters]
    flows: FlowTable


class MovedQuery(BaseModel):
    """`query` is None where its text is no longer there."""

    query_id: int
    from_cluster_id: int
    to_cluster_id: int
    from_title: str | None = None
    to_title: str | None = None
    query: QueryResponse | None = None


@router.get("/diff", dependencies=reads)
def get_diff(
    from_: From,
    to: To,
    seen: NowDep,
    limit: Annotated[int, Query(ge=0, le=FLOWS, description="Flows at most, the largest first.")] = 100,
    moved_only: Annotated[bool, Query(description="No flows of queries that stayed.")] = False,
) -> DiffResponse:
    """From one state to another: what became of the clusters, and which queries went where."""
    before, after = _sides(seen, from_, to)
    found = seen.container.differences.between(seen.connection, before, after)
    comparison = found.comparison
    indices = (comparison.ari, comparison.ami) if comparison.shared else (None, None)
    return DiffResponse(
        from_=_side(before),
        to=_side(after),
        queries=SharedQueries(
            shared=comparison.shared,
            only_from=comparison.only_before,
            only_to=comparison.only_after,
            share_of_from=_share(comparison.shared, comparison.only_before),
            share_of_to=_share(comparison.shared, comparison.only_after),
            moved=found.moved,
        ),
        adjusted_rand_index=indices[0],
        adjusted_mutual_information=indices[1],
        matched=found.clusters is not None,
        flows=_flows(found, before, after, limit, moved_only),
        **_clusters(found, before, after),
    )


@router.get("/diff/queries", dependencies=reads)
def list_moved(
    from_: From,
    to: To,
    seen: NowDep,
    page: PageDep,
    from_cluster_id: Label = None,
    to_cluster_id: Label = None,
) -> PaginatedResponse[MovedQuery]:
    """The queries that are elsewhere than where their cluster goes on, by id, with their texts."""
    before, after = _sides(seen, from_, to)
    differences = seen.container.differences
    found = differences.between(seen.connection, before, after)
    rows, total = differences.moved(
        before, after, found, page.offset, page.limit, from_id=from_cluster_id, to_id=to_cluster_id
    )
    texts = read.queries_by_id(seen.connection, [row["query_id"] for row in rows])
    items = [
        MovedQuery(
            query_id=row["query_id"],
            from_cluster_id=row["was"],
            to_cluster_id=row["now"],
            from_title=_title(before, row["was"]),
            to_title=_title(after, row["now"]),
            query=_query(texts.get(row["query_id"])),
        )
        for row in rows
    ]
    return page.of(MovedQuery, items, total)


def _sides(seen: Seen, from_: str, to: str) -> tuple[Side, Side]:
    """Now is the head of the log: who asks has perhaps just made an edit."""
    now = seen.container.store.head()
    sides = [
        seen.container.differences.side(given, name, now) for name, given in (("from", from_), ("to", to))
    ]
    wait_for(seen.container, max(side.position for side in sides))
    return sides[0], sides[1]


def _side(side: Side) -> DiffSide:
    row = side.past.row()
    return DiffSide(position=side.position, time=side.time, **{n: row[n] for n in _OF_RUN})


_OF_RUN = ("run_id", "version", "dataset", "num_clusters", "num_queries")


def _share(shared: int, others: int) -> float | None:
    return round(shared / (shared + others), 4) if shared + others else None


def _clusters(found: Difference, before: Side, after: Side) -> dict[str, Any]:
    clusters = found.clusters
    if clusters is None:
        return {name: [] for name in ("created", "retired", "renamed", "annotated", "merged", "split")}
    changed = clusters.changed
    return {
        "created": _named(after, clusters.created),
        "retired": _named(before, clusters.retired),
        "renamed": [
            RenamedCluster(
                cluster_id=one.cluster_id,
                to_cluster_id=one.to_cluster_id,
                **_words(before.run.clusters[one.cluster_id], "was_"),
                **_words(after.run.clusters[one.to_cluster_id], ""),
            )
            for one in changed
            if one.now.keys() & set(WORDS)
        ],
        "annotated": [
            AnnotatedCluster(
                cluster_id=one.cluster_id,
                to_cluster_id=one.to_cluster_id,
                was=_noted(one.was),
                now=_noted(one.now),
            )
            for one in changed
            if one.now.keys() & set(NOTES)
        ],
        "merged": [_reshaped(one, before, after) for one in clusters.merged],
        "split": [_reshaped(one, before, after) for one in clusters.split],
    }


def _words(cluster: Cluster, prefix: str) -> dict[str, Any]:
    return {f"{prefix}{name}": getattr(cluster, name) for name in WORDS}


def _noted(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if name in NOTES}


def _reshaped(one: Reshaped, before: Side, after: Side) -> ReshapedClusters:
    return ReshapedClusters(
        from_clusters=_named(before, one.from_cluster_ids),
        to_clusters=_named(after, one.to_cluster_ids),
        by=list(one.by),
        by_undoing=list(one.by_undoing),
    )


def _named(side: Side, cluster_ids: Iterable[int]) -> list[DiffCluster]:
    known, sizes = side.run.clusters, side.past.sizes
    return [
        DiffCluster(
            cluster_id=one,
            title=known[one].title,
            description=known[one].description,
            num_queries=sizes.get(one, 0),
        )
        for one in cluster_ids
    ]


def _flows(found: Difference, before: Side, after: Side, limit: int, moved_only: bool) -> FlowTable:
    rows, flows, count = largest_flows(found, limit, moved_only=moved_only)
    items = [
        DiffFlow(
            from_cluster_id=was,
            to_cluster_id=now,
            count=count,
            from_title=_title(before, was),
            to_title=_title(after, now),
        )
        for was, now, count in rows
    ]
    return FlowTable(items=items, other=OtherFlows(flows=flows, count=count))


def _title(side: Side, label: int) -> str | None:
    cluster = side.run.clusters.get(label)
    return cluster.title if cluster else None


def _query(row: dict[str, Any] | None) -> QueryResponse | None:
    return QueryResponse(id=row["query_id"], **row) if row else None
