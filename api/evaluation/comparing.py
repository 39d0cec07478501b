"""Two runs on the same cases, compared case by case."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel

from api.deps import ContainerDep, Read, reads
from api.evaluation.runs import WithLeaked, run_row, with_texts
from api.paging import PageDep, PaginatedResponse
from domain.errors import Conflict
from projections import evaluation as read

router = APIRouter()

Before = Annotated[str, Query(max_length=200, description="The run to compare with.")]
After = Annotated[str, Query(max_length=200)]
Seed = Annotated[int, Query(ge=0, lt=2**31, description="Of the interval.")]
OutcomeName = Literal["fixed", "broken", "both_right", "both_wrong"]


class ClassChange(BaseModel):
    label: str
    support: int
    fixed: int
    broken: int
    recall_before: float | None
    recall_after: float | None


class Comparison(BaseModel):
    """Over the cases that both have answered. `fixed`: wrong before, right after; `broken`: the other way.

    `difference` of the accuracies, with the 95 % interval of a paired bootstrap. `p_value`: of McNemar's
    exact test, how likely so uneven a split of fixed and broken is where neither run is better. `left_out`:
    cases that leaked in one of the two.
    """

    before: str
    after: str
    test_set: str
    test_set_version: int
    cases: int
    left_out: int
    both_right: int
    broken: int
    fixed: int
    both_wrong: int
    accuracy_before: float | None
    accuracy_after: float | None
    difference: float | None
    difference_interval: list[float] | None
    p_value: float
    classes: list[ClassChange]


class ComparedCase(BaseModel):
    test_id: int
    text: str | None = None
    query_id: int | None = None
    expected: str
    predicted_before: str | None = None
    predicted_after: str | None = None
    outcome: OutcomeName
    leaked: bool


@router.get("/compare", dependencies=reads)
def compare(
    connection: Read,
    container: ContainerDep,
    before: Before,
    after: After,
    with_leaked: WithLeaked = False,
    seed: Seed = 42,
) -> Comparison:
    """Which run is better, and whether that may be chance."""
    runs = _pair(connection, before, after)
    cells = read.compared_cells(connection, *runs, with_leaked=with_leaked)
    every = cells if with_leaked else read.compared_cells(connection, *runs, with_leaked=True)
    figures = container.scorer.compare(cells, seed)
    same = {"test_set": runs[0]["test_set"], "test_set_version": runs[0]["test_set_version"]}
    left_out = sum(every.values()) - sum(cells.values())
    return Comparison(before=before, after=after, left_out=left_out, **same, **figures)


@router.get("/compare/cases", dependencies=reads)
def compare_cases(
    connection: Read,
    container: ContainerDep,
    before: Before,
    after: After,
    page: PageDep,
    outcome: OutcomeName | None = None,
    with_leaked: WithLeaked = False,
) -> PaginatedResponse[ComparedCase]:
    """The cases with both answers, in their order."""
    runs = _pair(connection, before, after)
    rows, total = read.compared_cases(
        connection, *runs, page.limit, page.offset, with_leaked=with_leaked, outcome=outcome
    )
    items = with_texts(connection, container, runs[0], rows)
    return page.of(ComparedCase, items, total)


def _pair(connection: Any, before: str, after: str) -> tuple[dict[str, Any], dict[str, Any]]:  # noqa: ANN401
    """Raises Conflict for runs on different cases."""
    first, second = run_row(connection, before), run_row(connection, after)
    if first["manifest"] != second["manifest"]:
        named = [f"{one['test_set']} v{one['test_set_version']}" for one in (first, second)]
        raise Conflict(f"the runs are on different cases, {named[0]} and {named[1]}: they cannot be compared")
    return first, second
