"""Snapshots of clustering runs have another form: those of before go, and are taken again when due."""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.execute("DELETE FROM log.snapshots WHERE type = 'clustering.snapshot'")


def downgrade() -> None:
    op.execute("DELETE FROM log.snapshots WHERE type = 'clustering.state'")
