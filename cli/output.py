"""Data on stdout, as tables or as JSON; progress and notes on stderr."""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Protocol

import typer

WIDE = 10_000
"""Columns of an output that is no terminal: a line stays a line, for grep and cut."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")


def print_json(value: object) -> None:
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False))


def print_json_line(value: object) -> None:
    typer.echo(json.dumps(value, ensure_ascii=False))


def note(text: str) -> None:
    """To stderr, for the person at the terminal. Where it cannot be written (a file on a full disk, a pipe
    that nobody reads) it is lost, and whoever said it goes on."""
    with suppress(OSError):
        typer.echo(text, err=True)


def one_line(text: object, longest: int = 160) -> str:
    """Words of strangers, fit for a terminal: no control characters, no second line, not too long."""
    flat = _CONTROL.sub(" ", str(text)).strip()
    return flat if len(flat) <= longest else f"{flat[: longest - 1]}…"


def show(value: object) -> str:
    """A cell of a table."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:,.3f}"
    return f"{value:,}" if isinstance(value, int) else one_line(value)


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Columns without blanks (ids, numbers, times) are never broken; the others share what is left."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    cells = [list(row) for row in rows]
    shown = [[show(cell) for cell in row] for row in cells]
    table = Table(box=None, header_style="bold", pad_edge=False)
    for at, name in enumerate(columns):
        numbers = bool(cells) and all(isinstance(row[at], int | float | None) for row in cells)
        table.add_column(
            Text(name),
            justify="right" if numbers else "left",
            no_wrap=not any(" " in row[at] for row in shown),
            overflow="fold",
        )
    for row in shown:
        table.add_row(*(Text(cell) for cell in row))
    if sys.stdout.isatty():
        Console(highlight=False).print(table)
        return
    console = Console(width=WIDE, highlight=False)
    with console.capture() as captured:
        console.print(table)
    typer.echo("\n".join(line.rstrip() for line in captured.get().splitlines()))


class Told(Protocol):
    def __call__(self, done: int | None, total: int | None = None) -> None: ...


@contextmanager
def progress(label: str) -> Iterator[Told]:
    """A bar where stderr is a terminal, else a line at the start and one at the end."""
    with _bar(label) if sys.stderr.isatty() else _lines(label) as told:
        yield told


@contextmanager
def _bar(label: str) -> Iterator[Told]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(label, total=None)

        def told(done: int | None, total: int | None = None) -> None:
            bar.update(task, completed=done or 0, total=total)

        yield told


@contextmanager
def _lines(label: str) -> Iterator[Told]:
    begun, last = time.monotonic(), 0
    note(f"{label} ...")

    def told(done: int | None, total: int | None = None) -> None:
        nonlocal last
        last = done or last

    try:
        yield told
    finally:
        done = f", {last:,} done" if last else ""
        note(f"{label}: {time.monotonic() - begun:.1f} s{done}")


def fields(item: dict[str, Any], names: Sequence[str]) -> list[object]:
    """A row of a table out of an answer of the API; what it does not have is left blank."""
    return [item.get(name) for name in names]
