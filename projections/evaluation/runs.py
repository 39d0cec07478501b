"""Reading evaluation runs: figures, answers, and two runs case by case."""

from __future__ import annotations

from typing import Any, Literal

from sqlalchemy import ColumnElement, Connection, and_, case, func, select, true

from projections.evaluation.tables import cases, results, runs

Only = Literal["failed", "errors", "right", "leaked", "gone"]
Outcome = Literal["fixed", "broken", "both_right", "both_wrong"]

_headline = runs.c.figures["headline"]
AT_A_GLANCE = (
    _headline["accuracy"].as_float().label("accuracy"),
    _headline["macro"]["f1"].as_float().label("macro_f1"),
    runs.c.figures["usage"]["cost_usd"].as_float().label("cost_usd"),
)
OF_A_LIST = [column for column in runs.c if column.name not in ("labels", "manifest", "figures")]


def list_runs(
    connection: Connection,
    limit: int,
    offset: int,
    *,
    template_id: str | None = None,
    test_set: str | None = None,
    suggestion_id: str | None = None,
    status: str | None = None,
    figures: bool = False,
) -> tuple[list[dict[str, Any]], int]:
    """A page of runs, newest first, and how many there are; `figures`: with all, which may be much."""
    wanted = {
        "template_id": template_id,
        "test_set": test_set,
        "suggestion_id": suggestion_id,
        "status": status,
    }
    where = and_(true(), *(runs.c[name] == value for name, value in wanted.items() if value is not None))
    total = connection.execute(select(func.count()).select_from(runs).where(where)).scalar_one()
    columns = (*OF_A_LIST, *AT_A_GLANCE, *([runs.c.figures] if figures else []))
    page = select(*columns).where(where).order_by(runs.c.position.desc()).limit(limit).offset(offset)
    return [dict(row) for row in connection.execute(page).mappings()], total


def accuracies(connection: Connection, limit: int) -> list[dict[str, Any]]:
    """What completed runs of templates (drafts are none) came to, the newest first."""
    names = ("evaluation_run_id", "template_id", "template_number", "test_set", "test_set_version", "model")
    columns = (*(runs.c[name] for name in (*names, "created_at")), *AT_A_GLANCE)
    where = (runs.c.status == "completed", runs.c.suggestion_id.is_(None))
    statement = select(*columns).where(*where).order_by(runs.c.position.desc()).limit(limit)
    return [dict(row) for row in connection.execute(statement).mappings()]


def find_run(connection: Connection, evaluation_run_id: str) -> dict[str, Any] | None:
    statement = select(runs, *AT_A_GLANCE).where(runs.c.evaluation_run_id == evaluation_run_id)
    row = connection.execute(statement).mappings().first()
    return dict(row) if row else None


def list_results(
    connection: Connection,
    run: dict[str, Any],
    limit: int,
    offset: int,
    *,
    only: Only | None = None,
    expected: str | None = None,
    predicted: str | None = None,
) -> tuple[list[dict[str, Any]], int]:
    """A page of answers with the truth, in the order of the cases, and how many there are."""
    where = [results.c.evaluation_run_id == run["evaluation_run_id"]]
    if only is not None:
        where.append(_ONLY[only])
    if expected is not None:
        where.append(cases.c.label == expected)
    if predicted is not None:
        where.append(results.c.predicted == predicted)
    joined = results.join(cases, _its_case(run, results))
    total = connection.execute(select(func.count()).select_from(joined).where(*where)).scalar_one()
    columns = (results, cases.c.label.label("expected"), cases.c.query_id, cases.c.text)
    page = select(*columns).select_from(joined).where(*where).order_by(results.c.case_number)
    return [dict(row) for row in connection.execute(page.limit(limit).offset(offset)).mappings()], total


def _its_case(run: dict[str, Any], answers: Any) -> ColumnElement[bool]:  # noqa: ANN401
    return and_(
        cases.c.test_set == run["test_set"],
        cases.c.number == run["test_set_version"],
        cases.c.case_number == answers.c.case_number,
    )


def _right(answers: Any) -> ColumnElement[bool]:  # noqa: ANN401
    return func.coalesce(answers.c.predicted == cases.c.label, False)


_ONLY: dict[Only, ColumnElement[bool]] = {
    "failed": and_(~results.c.gone, ~_right(results)),
    "errors": and_(~results.c.gone, results.c.predicted.is_(None)),
    "right": _right(results),
    "leaked": results.c.leaked.is_(True),
    "gone": results.c.gone.is_(True),
}

_before, _after = results.alias("before"), results.alias("after")
_OUTCOME = case(
    (and_(_right(_before), _right(_after)), "both_right"),
    (_right(_before), "broken"),
    (_right(_after), "fixed"),
    else_="both_wrong",
)


def _pairs(before: dict[str, Any], after: dict[str, Any], with_leaked: bool) -> tuple[Any, list[Any]]:
    """Cases that both runs have answered; `with_leaked`: also those that leaked in one of them."""
    joined = cases.join(_before, _its_case(before, _before)).join(
        _after, _after.c.case_number == _before.c.case_number
    )
    where = [
        _before.c.evaluation_run_id == before["evaluation_run_id"],
        _after.c.evaluation_run_id == after["evaluation_run_id"],
        ~_before.c.gone,
        ~_after.c.gone,
    ]
    if not with_leaked:
        where += [~_before.c.leaked, ~_after.c.leaked]
    return joined, where


def compared_cells(
    connection: Connection, before: dict[str, Any], after: dict[str, Any], *, with_leaked: bool
) -> dict[tuple[str, bool, bool], int]:
    """(label, right before, right after) → cases. Both runs must be on the same cases."""
    joined, where = _pairs(before, after, with_leaked)
    key = (cases.c.label, _right(_before).label("was"), _right(_after).label("now"))
    statement = select(*key, func.count()).select_from(joined).where(*where).group_by(*key)
    return {(label, was, now): count for label, was, now, count in connection.execute(statement)}


def compared_cases(
    connection: Connection,
    before: dict[str, Any],
    after: dict[str, Any],
    limit: int,
    offset: int,
    *,
    with_leaked: bool,
    outcome: Outcome | None,
) -> tuple[list[dict[str, Any]], int]:
    """A page of cases with both answers, and how many there are."""
    joined, where = _pairs(before, after, with_leaked)
    if outcome is not None:
        where.append(outcome == _OUTCOME)
    total = connection.execute(select(func.count()).select_from(joined).where(*where)).scalar_one()
    columns = (
        cases.c.case_number,
        cases.c.label.label("expected"),
        cases.c.query_id,
        cases.c.text,
        _before.c.predicted.label("predicted_before"),
        _after.c.predicted.label("predicted_after"),
        (_before.c.leaked | _after.c.leaked).label("leaked"),
        _OUTCOME.label("outcome"),
    )
    page = select(*columns).select_from(joined).where(*where).order_by(cases.c.case_number)
    return [dict(row) for row in connection.execute(page.limit(limit).offset(offset)).mappings()], total
