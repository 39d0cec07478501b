"""The write side's tables. Read models are never migrated: they are rebuilt from the log."""

from __future__ import annotations

from pathlib import Path

import psycopg
from alembic import command
from alembic.config import Config
from procrastinate import App, SyncPsycopgConnector
from sqlalchemy import text

from adapters.database import Database

LOCK = 0x6C6D7379
"""Advisory lock of whoever migrates: two processes that start at once must not create the same table."""


def migrate(database: Database) -> None:
    """Bring the write side and the job queue to the newest version; does nothing where they are."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    with database.engine.connect() as connection:
        connection.execute(text("SET lock_timeout = 0"))
        connection.execute(text("SELECT pg_advisory_lock(:lock)"), {"lock": LOCK})
        connection.commit()
        try:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
            connection.commit()
            _create_queue(database)
        finally:
            connection.rollback()
            connection.execute(text("SELECT pg_advisory_unlock(:lock)"), {"lock": LOCK})
            connection.execute(text("RESET lock_timeout"))
            connection.commit()


def _create_queue(database: Database) -> None:
    with psycopg.connect(database.url) as connection:
        connection.execute("CREATE SCHEMA IF NOT EXISTS queue")
        found = connection.execute("SELECT to_regclass('queue.procrastinate_jobs')").fetchone()
    if found == (None,):
        options = {"options": "-c search_path=queue"}
        with App(connector=SyncPsycopgConnector(conninfo=database.url, kwargs=options)).open() as queue:
            queue.schema_manager.apply_schema()
