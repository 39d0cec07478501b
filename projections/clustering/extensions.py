"""What is asked of the extensions of a run."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, select

from projections.clustering.tables import extensions


def list_extensions(connection: Connection, run_no: int) -> list[dict[str, Any]]:
    """All of a run, newest first; there is one for each time that somebody brought it up to date."""
    found = select(extensions).where(extensions.c.run_no == run_no).order_by(extensions.c.requested_at.desc())
    return [dict(row) for row in connection.execute(found).mappings()]
