"""Whatever people send is either refused at once, or stands in the log and in the rows as it was sent."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from adapters.bootstrap import Container
from adapters.read_models import READ_MODELS
from commands.curation import RenameCluster
from commands.summaries import RequestSummary
from domain.base import Context, context
from domain.errors import DomainError, Invalid
from projections.base import bookkeeping
from projections.clustering import clusters
from projections.curation import edits
from projections.summaries import summary_runs
from tests.domain.test_values import VALUES
from tests.stories import AT, cluster, load, project, rows

ANY_TEXT = st.text(st.characters(exclude_categories=[]), max_size=12)
"""With control characters, NUL and lone surrogates."""
ANY_VALUE: st.SearchStrategy[Any] = VALUES | ANY_TEXT | st.integers() | st.floats()
QUICKLY = settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def run_id(shared: Container) -> str:
    load(shared, "one")
    return cluster(shared, [0], clusters=1)


def projected(container: Container) -> None:
    """Up to the head, with nothing set aside."""
    project(container)
    for projection in READ_MODELS:
        assert rows(container, bookkeeping(projection.tables, "parked")) == []


@given(ANY_TEXT, ANY_TEXT)
@example("a\0", "b")
@example("a\ud800", "b")
@example("a", "\x85")
@example("{\\u0000}", "\\ud800")
@example("\ufffe\uffff", "\U0010ffff\u2028")
@QUICKLY
def test_a_title_is_refused_or_shown_as_it_was_written(
    shared: Container, run_id: str, title: str, description: str
) -> None:
    command = RenameCluster(run_id=run_id, cluster_id=0, title=title, description=description)
    head = shared.store.head()
    try:
        shared.bus.handle(command)
    except Invalid:
        assert shared.store.head() == head
        return
    projected(shared)
    (row,) = rows(shared, clusters, cluster_id=0)
    assert (row["title"], row["description"]) == (title, description)


@given(st.dictionaries(ANY_TEXT, ANY_VALUE, max_size=3), ANY_TEXT)
@example({"a": [float("nan")]}, "")
@example({"a": 2**63}, "")
@example({"\ud800": 1}, "")
@example({"a": 1.7976931348623157e308, "b": 5e-324, "c": -(2**63)}, "\\u0000")
@QUICKLY
def test_parameters_are_refused_or_kept_as_they_were_given(
    shared: Container, run_id: str, parameters: dict[str, Any], alias: str
) -> None:
    command = RequestSummary(run_id=run_id, model="local/c-tf-idf", alias=alias, parameters=parameters, at=AT)
    try:
        summary_run_id = shared.bus.handle(command).answer["summary_run_id"]
    except Invalid:
        return
    projected(shared)
    (row,) = rows(shared, summary_runs, summary_run_id=summary_run_id)
    assert (counted(row["parameters"]), row["alias"]) == (counted(parameters), alias)


def counted(value: Any) -> Any:  # noqa: ANN401
    """Numbers as floats: Postgres writes 1e300 as a whole number of 301 digits."""
    match value:
        case bool() | str() | None:
            return value
        case int() | float():
            return float(value)
        case dict():
            return {name: counted(item) for name, item in value.items()}
        case _:
            return [counted(item) for item in value]


@given(ANY_TEXT)
@example("\0")
@example("\udfff")
@QUICKLY
def test_a_reason_is_refused_or_kept_as_it_was_given(shared: Container, run_id: str, reason: str) -> None:
    try:
        context.set(Context(reason=reason))
    except DomainError:
        return
    number = shared.store.head()
    receipt = shared.bus.handle(RenameCluster(run_id=run_id, cluster_id=0, title=f"Title {number}"))
    projected(shared)
    assert rows(shared, edits, position=receipt.position)[0]["reason"] == reason
