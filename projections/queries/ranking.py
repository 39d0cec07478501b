"""Queries in order of how near they are to a text, or how well they match its words."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    Connection,
    any_,
    func,
    literal,
    literal_column,
    select,
)

from commands.ports import Hit, PointFilter, VectorIndex
from domain.values import Space, Vectors
from projections.clustering import clusters, memberships
from projections.datasets import queries
from projections.queries.filters import SIMPLE, QueryFilter, among, narrowed, words_query
from projections.queries.listing import count_queries
from projections.search import KEYWORDS, QUERIES, alias_of

SPARE = 100
"""How many more points than wanted are asked for: some are no members."""

TRIES = (1, 4)
"""Times as many points as at first that are asked for, before all members are gone through."""

FEW = 20_000
"""Members of clusters up to which they are looked at one by one at once: 28 ms, without an index, for all."""

FLOATS_AT_ONCE = 1_280_000
"""Numbers in the vectors of one search among given ids: 5,000 points of 256 dimensions.

Qdrant compares ids one by one up to 10,000 kB of vectors; above, it walks the HNSW graph, where a filter by
id loses most of what is near (measured: 1 of 50).
"""

RANKED = 2_000
"""Matches of words that are ranked: the rank parses each text anew, 15 µs for 125 characters."""

RANKED_CHARACTERS = 2_000
"""The beginning of a text, by which it is ranked; it matches as a whole."""

EXCERPT = 10_000
"""Characters of a text in which a headline is looked for."""


class Ranked(NamedTuple):
    query_id: int
    score: float


def nearest(
    connection: Connection, index: VectorIndex, space: Space, vector: Vectors, want: int, where: QueryFilter
) -> list[Ranked]:
    """The nearest queries that the filter lets through, nearest first; `score` is the cosine similarity.

    Who is a member is asked of the rows alone. The index is asked for the nearest of all first; where too few
    of those are members (or it has lost some: a filter and a graph do that), all members are gone through.
    Nothing where the space has no collection yet.
    """
    alias = alias_of(QUERIES, space)
    if index.resolve(alias) is None:
        return []
    if not _few(connection, where):
        payload = {name: [value] for name in KEYWORDS[QUERIES] if (value := getattr(where, name)) is not None}
        for times in TRIES:
            asked = times * (want + SPARE)
            hits = index.search(alias, vector, asked, PointFilter(payload))
            found = _members_among(connection, hits, where)
            if len(found) >= want:
                return found[:want]
            if len(hits) < asked:
                break
    best: list[Ranked] = []
    for query_ids in _member_ids(connection, where, max(1, FLOATS_AT_ONCE // space.dimension)):
        hits = index.search(alias, vector, want, PointFilter(ids=query_ids))
        best = heapq.nsmallest(want, [*best, *_ranked(hits)], key=_order)
    return best


def _few(connection: Connection, where: QueryFilter) -> bool:
    if where.run_no is None or where.cluster_ids is None:
        return False
    of_clusters = QueryFilter(run_no=where.run_no, cluster_ids=where.cluster_ids)
    return count_queries(connection, of_clusters) <= FEW


def _members_among(connection: Connection, hits: Sequence[Hit], where: QueryFilter) -> list[Ranked]:
    statement = narrowed(select(queries.c.query_id), where).where(among([int(hit.point_id) for hit in hits]))
    members = set(connection.execute(statement).scalars())
    return sorted((one for one in _ranked(hits) if one.query_id in members), key=_order)


def _member_ids(connection: Connection, where: QueryFilter, at_once: int) -> Iterator[Sequence[int]]:
    """Batches of ids, by a cursor of the server: a run may have 1,000,000 members."""
    statement = narrowed(select(queries.c.query_id), where)
    with connection.execute(statement, execution_options={"yield_per": at_once}) as rows:
        yield from rows.scalars().partitions()


def _ranked(hits: Iterable[Hit]) -> Iterator[Ranked]:
    return (Ranked(int(hit.point_id), hit.score) for hit in hits)


def _order(one: Ranked) -> tuple[float, int]:
    """Equal texts are equally near: then the older one first."""
    return -one.score, one.query_id


def by_words(connection: Connection, where: QueryFilter, want: int) -> tuple[list[Ranked], int]:
    """Queries that match the words of `where.text`, the best first, and how many match.

    Of more than `RANKED` matches, the first by id are ranked; the others are not among the results.
    """
    words = words_query(where.text or "")
    matched = narrowed(select(queries.c.query_id), where).cte("matched").prefix_with("MATERIALIZED")
    first = select(matched.c.query_id).order_by(matched.c.query_id).limit(RANKED).subquery()
    total = select(func.count()).select_from(matched).scalar_subquery()
    beginning = func.to_tsvector(SIMPLE, func.left(queries.c.query_text, RANKED_CHARACTERS))
    rank = func.ts_rank(beginning, words)
    statement = (
        select(queries.c.query_id, rank.label("rank"), total)
        .join(first, first.c.query_id == queries.c.query_id)
        .order_by(rank.desc(), queries.c.query_id)
        .limit(want)
    )
    rows = connection.execute(statement).all()
    return [Ranked(row[0], row[1]) for row in rows], rows[0][2] if rows else 0


def headlines(connection: Connection, query_ids: Sequence[int], words: str) -> dict[int, str]:
    """Query id → the passage of its text where the words are, each word between `**`."""
    options: ColumnElement[str] = literal_column("'StartSel=**, StopSel=**, MaxWords=35, MinWords=15'")
    passage = func.ts_headline(
        SIMPLE,
        func.left(queries.c.query_text, EXCERPT),
        words_query(words),
        options,
    )
    rows = connection.execute(select(queries.c.query_id, passage).where(among(query_ids)))
    return {query_id: " ".join(text.split()) for query_id, text in rows}


def facets(
    connection: Connection, query_ids: Sequence[int], names: Iterable[str], run_no: int | None
) -> dict[str, list[dict[str, Any]]]:
    """For each of `cluster`, `language` and `model`: how many of these queries have which, most first."""
    found: dict[str, list[dict[str, Any]]] = {}
    for name in names:
        if name == "cluster":
            found["clusters"] = _cluster_facet(connection, query_ids, run_no)
        else:
            key = func.coalesce(queries.c[name], literal_column("'unknown'"))
            count = func.count()
            statement = select(key.label("key"), count.label("count")).where(among(query_ids))
            rows = connection.execute(statement.group_by(key).order_by(count.desc(), key)).mappings()
            found[name] = [dict(row) for row in rows]
    return found


def _cluster_facet(
    connection: Connection, query_ids: Sequence[int], run_no: int | None
) -> list[dict[str, Any]]:
    count = func.count()
    statement = (
        select(memberships.c.cluster_id, clusters.c.title, count)
        .outerjoin(
            clusters,
            (clusters.c.run_no == memberships.c.run_no) & (clusters.c.cluster_id == memberships.c.cluster_id),
        )
        .where(
            memberships.c.run_no == run_no,
            memberships.c.query_id == any_(literal(list(query_ids), ARRAY(BigInteger))),
        )
        .group_by(memberships.c.cluster_id, clusters.c.title)
        .order_by(count.desc(), memberships.c.cluster_id)
    )
    rows = connection.execute(statement)
    return [{"cluster_id": one, "count": size, "meta": {"title": title}} for one, title, size in rows]
