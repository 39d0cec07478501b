"""Clusters whose titles are nearest to a text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ARRAY, Connection, Integer, Select, Text, any_, column, func, literal, select
from sqlalchemy.dialects.postgresql import JSONB

from commands.ports import Hit, PointFilter, VectorIndex
from domain.values import Space, Vectors
from projections.clustering import clusters, runs
from projections.search import SHOWN, TITLES, alias_of
from projections.summaries import summaries, summary_runs

SPARE = 50


def nearest_titles(
    connection: Connection,
    index: VectorIndex,
    space: Space,
    vector: Vectors,
    want: int,
    *,
    run_id: str | None = None,
    summary_run_ids: Sequence[str] | None = None,
) -> list[dict[str, Any]]:
    """Clusters, nearest first: run_id, cluster_id, title, description, num_queries, summary_run_id, score.

    By the titles that are shown, or, with `summary_run_ids`, by those that these summary runs gave. A title
    is compared together with its description. A cluster that is no more is left out.
    """
    alias = alias_of(TITLES, space)
    if index.resolve(alias) is None:
        return []
    equals: dict[str, Sequence[str | int]] = {"summary_run_id": summary_run_ids or [SHOWN]}
    if run_id is not None:
        equals["run_id"] = [run_id]
    asked = want + SPARE
    while True:
        hits = index.search(alias, vector, asked, PointFilter(equals))
        found = _joined(connection, hits)
        if len(found) >= want or len(hits) < asked:
            return found[:want]
        asked *= 4


def _joined(connection: Connection, hits: Sequence[Hit]) -> list[dict[str, Any]]:
    keys = [(hit.payload["run_id"], hit.payload["cluster_id"], hit.payload["summary_run_id"]) for hit in hits]
    rows = {
        (row["run_id"], row["cluster_id"], row["wanted"]): dict(row)
        for row in connection.execute(_titles_of(keys)).mappings()
    }
    found = [{**rows[key], "score": hit.score} for key, hit in zip(keys, hits, strict=True) if key in rows]
    return sorted(found, key=lambda row: (-row["score"], row["run_id"], row["cluster_id"]))


def _titles_of(keys: Sequence[tuple[str, int, str]]) -> Select[Any]:
    """Titles of clusters as each key wants them: shown, or of a summary run, while the cluster exists."""
    run_ids, cluster_ids, wanted = ([key[place] for key in keys] for place in range(3))
    key = (
        func.unnest(
            literal(run_ids, ARRAY(Text)), literal(cluster_ids, ARRAY(Integer)), literal(wanted, ARRAY(Text))
        )
        .table_valued(column("run_id", Text), column("cluster_id", Integer), column("wanted", Text))
        .render_derived(name="key")
    )
    theirs = (summaries.c.summary_run_id == key.c.wanted) & (summaries.c.cluster_id == key.c.cluster_id)
    return (
        select(
            key.c.run_id,
            key.c.cluster_id,
            key.c.wanted,
            func.coalesce(summaries.c.title, clusters.c.title).label("title"),
            func.coalesce(summaries.c.description, clusters.c.description).label("description"),
            clusters.c.size.label("num_queries"),
            func.coalesce(summaries.c.summary_run_id, clusters.c.summary_run_id).label("summary_run_id"),
        )
        .select_from(key)
        .join(runs, runs.c.run_id == key.c.run_id)
        .join(clusters, (clusters.c.run_no == runs.c.run_no) & (clusters.c.cluster_id == key.c.cluster_id))
        .outerjoin(summaries, theirs)
    )


def count_titles(
    connection: Connection,
    space: Space,
    *,
    run_id: str | None = None,
    summary_run_ids: Sequence[str] | None = None,
) -> int:
    """How many titles there are to be compared with."""
    if summary_run_ids is None:
        statement = (
            select(func.count())
            .select_from(clusters)
            .join(runs, runs.c.run_no == clusters.c.run_no)
            .where(clusters.c.title.is_not(None))
        )
    else:
        wanted = summaries.c.summary_run_id == any_(literal(list(summary_run_ids), ARRAY(Text)))
        statement = (
            select(func.count())
            .select_from(summaries)
            .join(summary_runs, summary_runs.c.summary_run_id == summaries.c.summary_run_id)
            .join(runs, runs.c.run_id == summary_runs.c.run_id)
            .where(wanted)
        )
    statement = statement.where(runs.c.space == literal(vars(space), JSONB))
    if run_id is not None:
        statement = statement.where(runs.c.run_id == run_id)
    return int(connection.execute(statement).scalar_one())


def summary_runs_of(connection: Connection, alias: str, run_id: str | None, most: int = 100) -> list[str]:
    """Summary runs with this alias, newest first; of a run: the newest alone."""
    statement = (
        select(summary_runs.c.summary_run_id)
        .where(summary_runs.c.alias == alias, summary_runs.c.status == "completed")
        .order_by(summary_runs.c.created_at.desc())
    )
    if run_id is not None:
        statement = statement.where(summary_runs.c.run_id == run_id)
        most = 1
    return list(connection.execute(statement.limit(most)).scalars())
