"""What is asked of queries: lists, one of them, the nearest to a text, those with certain words."""

from projections.queries.filters import QueryFilter
from projections.queries.listing import (
    clusters_of,
    count_queries,
    find_query,
    known_clusters,
    list_queries,
    queries_by_id,
)
from projections.queries.ranking import RANKED, Ranked, by_words, facets, headlines, nearest
from projections.queries.titles import count_titles, nearest_titles, summary_runs_of

__all__ = [
    "RANKED",
    "QueryFilter",
    "Ranked",
    "by_words",
    "clusters_of",
    "count_queries",
    "count_titles",
    "facets",
    "find_query",
    "headlines",
    "known_clusters",
    "list_queries",
    "nearest",
    "nearest_titles",
    "queries_by_id",
    "summary_runs_of",
]
