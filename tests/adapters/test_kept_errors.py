"""What is kept of an error does not repeat the rows that it was about."""

from __future__ import annotations

import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from adapters.bootstrap import Container
from adapters.database import told

SECRET = "what a person said"


def test_the_values_of_a_row_are_left_out(shared: Container) -> None:
    with shared.database.engine.connect() as connection:
        connection.execute(text("CREATE TEMPORARY TABLE said (words text NOT NULL, again text NOT NULL)"))
        with pytest.raises(DBAPIError) as raised:
            connection.execute(text("INSERT INTO said VALUES (:words, NULL)"), {"words": SECRET})
    assert SECRET in str(raised.value), "else this test shows nothing"
    assert SECRET not in told(raised.value)
    assert told(raised.value).startswith("NotNullViolation: null value in column")


def test_the_line_of_a_copy_is_left_out(shared: Container) -> None:
    with shared.database.connection() as connection:
        connection.execute("CREATE TEMPORARY TABLE numbers (one int) ON COMMIT DROP")
        with (
            pytest.raises(psycopg.DataError) as raised,
            connection.cursor().copy("COPY numbers FROM STDIN") as copy,
        ):
            copy.write_row((SECRET, 2))
        assert told(raised.value) == "BadCopyFileFormat: extra data after last expected column"
        connection.rollback()
    assert SECRET in str(raised.value)


def test_other_errors_say_what_they_are() -> None:
    assert told(ValueError("no such thing")) == "ValueError: no such thing"
    assert len(told(ValueError("x" * 5_000))) == 500
