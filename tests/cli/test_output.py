"""Tables that can be read by eye and by grep."""

from __future__ import annotations

import errno
import io
import json
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.output import note, one_line, print_json, print_table, show


@given(st.text())
def test_a_cell_is_one_line_without_control_characters(text: str) -> None:
    shown = one_line(text, 50)
    assert len(shown) <= 50
    assert len(shown.splitlines()) <= 1
    assert all(
        character == " " or not character.isspace() or character.isprintable() for character in shown[:1]
    )
    assert not any(ord(character) < 32 or 127 <= ord(character) < 160 for character in shown)


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, ""), (True, "yes"), (1234567, "1,234,567"), (0.51234, "0.512"), ("a\nb", "a b"), (-1, "-1")],
)
def test_values_are_shown_for_the_eye(value: object, shown: str) -> None:
    assert show(value) == shown


def test_a_row_stays_a_line_where_no_terminal_is(capsys: pytest.CaptureFixture[str]) -> None:
    text = "word " * 25 + "[bold]not markup[/bold]"
    print_table(["cluster_id", "title"], [[-1, text], [1_000, None]])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert "[bold]not markup[/bold]" in lines[1]
    assert [line.split()[0] for line in lines] == ["cluster_id", "-1", "1,000"]


def test_an_empty_table_has_its_head(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(["run_id", "status"], [])
    assert capsys.readouterr().out.split() == ["run_id", "status"]


def test_json_is_read_back_as_it_was(capsys: pytest.CaptureFixture[str]) -> None:
    value = {"text": "caf\u00e9 \u4e16\u754c \x1b", "count": 3, "none": None}
    print_json(value)
    assert json.loads(capsys.readouterr().out) == value


class FullDisk(io.StringIO):
    def write(self, text: str) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_note_that_cannot_be_written_stops_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """The supervisor says what it does, into a file perhaps, on a disk that may be full."""
    monkeypatch.setattr(sys, "stderr", FullDisk())
    note("lmsys: the embedded Postgres had ended; it was started again")
