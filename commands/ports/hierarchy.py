"""Clusters arranged under categories, in the four steps of each level."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from commands.ports.language import NO_USAGE, Limits, Stop, Usage, never
from domain.values import Vectors

Step = Literal["propose", "deduplicate", "assign", "rename"]


@dataclass(frozen=True, eq=False)
class Child:
    """A cluster, or a category of the level below. `vector`: its mean direction, of length 1, or zeros.

    `texts`: some of its queries, for who names by counting words.
    """

    cluster_id: int
    title: str
    description: str
    size: int
    vector: Vectors
    texts: Sequence[str] = ()


@dataclass(frozen=True)
class Neighborhood:
    """Children that lie together, for which some `wanted` categories are to be found.

    `outside`: the nearest of the other children, to tell these from.
    """

    number: int
    children: Sequence[Child]
    outside: Sequence[Child]
    wanted: int


@dataclass(frozen=True)
class Category:
    """`cluster_ids`: the children that it was proposed for. `category_id`: once it has one."""

    title: str
    description: str
    cluster_ids: Sequence[int] = ()
    category_id: int = -1


@dataclass(frozen=True)
class Proposed:
    number: int
    categories: Sequence[Category]
    error: str | None = None
    usage: Usage = NO_USAGE


@dataclass(frozen=True)
class Chosen:
    """`error`: why some of what was proposed stands as it was, perhaps twice."""

    categories: Sequence[Category]
    error: str | None = None
    usage: Usage = NO_USAGE


@dataclass(frozen=True)
class Assigned:
    """`category_id` None: it fits under none, or `error` says why there is no answer."""

    cluster_id: int
    category_id: int | None
    error: str | None = None
    usage: Usage = NO_USAGE


@dataclass(frozen=True)
class Named:
    """With an `error`: as it was called before."""

    category_id: int
    title: str
    description: str
    error: str | None = None
    usage: Usage = NO_USAGE


@dataclass(frozen=True)
class Group:
    """A category with what was assigned to it, to be named by that."""

    category: Category
    children: Sequence[Child] = field(default=())


class Taxonomist(Protocol):
    """Who arranges the clusters of a run. Answers come as they are ready, in any order."""

    @property
    def model(self) -> str:
        """`provider/model`: `local/agglomerative`, `openai/gpt-4o-mini`."""

    @property
    def prompts(self) -> Mapping[Step, str]:
        """`Prompt.id` of each step; nothing for a step that asks no model."""

    def neighborhoods(
        self, children: Sequence[Child], wanted: int, size: int | None
    ) -> Sequence[Neighborhood]:
        """Every child in one of them; `size`: how many of these together, None: as it does best."""

    def propose(
        self, neighborhoods: Iterable[Neighborhood], limits: Limits, stop: Stop = never
    ) -> Iterator[Proposed]: ...

    def deduplicate(
        self,
        proposed: Sequence[Category],
        children: Sequence[Child],
        wanted: int,
        limits: Limits,
        stop: Stop = never,
    ) -> Chosen:
        """About `wanted` of them, none of which says what another says."""

    def assign(
        self,
        children: Sequence[Child],
        known: Collection[int],
        categories: Sequence[Category],
        limits: Limits,
        stop: Stop = never,
    ) -> Iterator[Assigned]:
        """The category of each of the children, but of those that are `known` already."""

    def rename(
        self, groups: Sequence[Group], known: Mapping[int, str], limits: Limits, stop: Stop = never
    ) -> Iterator[Named]:
        """Each by what is under it, told from the others; `known`: titles that are given already, by id."""


class Taxonomists(Protocol):
    def get(self, model: str) -> Taxonomist:
        """Raises Invalid for a model that is unknown, Refused for one that is not set up."""
