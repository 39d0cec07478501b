"""Reading suggestions."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, and_, func, select, true

from projections.evaluation.tables import suggestions


def list_suggestions(
    connection: Connection,
    limit: int,
    offset: int,
    *,
    evaluation_run_id: str | None = None,
    template_id: str | None = None,
    status: str | None = None,
) -> tuple[list[dict[str, Any]], int]:
    """A page of suggestions, newest first, and how many there are."""
    wanted = {"evaluation_run_id": evaluation_run_id, "template_id": template_id, "status": status}
    where = and_(
        true(), *(suggestions.c[name] == value for name, value in wanted.items() if value is not None)
    )
    total = connection.execute(select(func.count()).select_from(suggestions).where(where)).scalar_one()
    order = suggestions.c.position.desc()
    page = select(suggestions).where(where).order_by(order).limit(limit).offset(offset)
    return [dict(row) for row in connection.execute(page).mappings()], total


def find_suggestion(connection: Connection, suggestion_id: str) -> dict[str, Any] | None:
    statement = select(suggestions).where(suggestions.c.suggestion_id == suggestion_id)
    row = connection.execute(statement).mappings().first()
    return dict(row) if row else None
