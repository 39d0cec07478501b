"""How an edit is asked of the API: its common options, a look before it, the question, what is said after."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.client import Answer, Failed, Params
from cli.output import note, print_json
from cli.session import Session

ClusterId = Annotated[
    int, typer.Argument(metavar="CLUSTER_ID", help="A cluster of the run; -1 is the noise.")
]
Reason = Annotated[str | None, typer.Option(help="Why; it is kept with the change.")]
IfMatch = Annotated[
    str | None, typer.Option(metavar="VERSION", help="Refuse if the run is no longer at this version.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what it would do, and change nothing.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask, also on a terminal.")]
QueryIds = Annotated[
    list[str] | None, typer.Option("--query-ids", metavar="ID,...", help="Queries; may be repeated.")
]
File = Annotated[
    Path | None,
    typer.Option("--file", metavar="FILE", help="Queries, one id per line; `-` for stdin."),
]

SHOWN = 10
"""Ids or lines that a message names; --json has all."""

ORPHAN = -2


@dataclass(frozen=True)
class How:
    """`asks`: a person at the terminal is shown what it would do, and asked."""

    reason: str | None
    if_match: str | None
    dry_run: bool
    asks: bool = False


def make_edit(
    session: Session,
    path: str,
    body: Mapping[str, Any],
    how: How,
    told: Callable[[Answer], str],
    *,
    params: Params,
    null: Sequence[str] = (),
    check: Callable[[Answer], None] = lambda _: None,
) -> Answer:
    """Make an edit, or with --dry-run ask what it would do; says so and returns the answer of the API.

    `told`: the answer in words. `check` raises Failed for a dry run whose edit would be refused.
    """

    def post(dry_run: bool, if_match: str | None) -> Answer:
        return session.client.post(
            path,
            {**body, "reason": how.reason},
            params={**params, "dry_run": dry_run or None},
            null=null,
            if_match=if_match,
        )

    seen = how.if_match
    if how.dry_run or (how.asks and not session.json and _is_a_terminal()):
        would = post(True, seen)
        if how.dry_run:
            session.text(would, f"dry run: {told(would)}")
            check(would)
            return would
        check(would)
        _ask(told(would))
        seen = seen or str(would["version"])  # what was agreed to, or nothing
    answer = post(False, seen)
    if session.json:
        print_json(answer)
    else:
        typer.echo(told(answer))
        note(_way_back(answer))
    return answer


def _is_a_terminal() -> bool:
    return sys.stdin.isatty() and sys.stderr.isatty()


def _ask(what: str) -> None:
    note(f"about to be done: {what}")
    note("Type yes to go on:")
    if sys.stdin.readline().strip() != "yes":
        raise Failed("that is not 'yes'; nothing was changed")


def _way_back(answer: Answer) -> str:
    edit_id = (answer.get("data") or answer).get("edit_id")
    if edit_id is None:
        return "nothing had to be changed"
    return f"this is edit {edit_id}; to take it back: lmsys edit undo {edit_id}"


# --- ids


def numbers(words: Iterable[str], what: str, least: int = 0) -> list[int]:
    """`3,17` and `5` as 3, 17, 5. Raises BadParameter."""
    found = []
    for word in (part.strip() for one in words for part in one.split(",")):
        digits = word.removeprefix("-")
        if not (digits.isascii() and digits.isdecimal() and len(digits) < 20 and int(word) >= least):
            raise typer.BadParameter(f"{what}: {word!r} is no id")
        found.append(int(word))
    return found


def queries_named(words: Sequence[str], file: Path | None) -> list[int]:
    """Query ids from the command line, or line by line from a file. Raises BadParameter."""
    if bool(words) == (file is not None):
        raise typer.BadParameter("name the queries by their ids or by --file, one of them")
    if file is None:
        return numbers(words, "query")
    lines = _lines_of(file)
    ids = [one for number, line in lines for one in numbers([line], f"{file}, line {number}")]
    if not ids:
        raise typer.BadParameter(f"{file} names no query")
    return ids


def _lines_of(file: Path) -> list[tuple[int, str]]:
    """Those that are not blank, with their numbers."""
    try:
        raw = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
        text = raw.decode("utf-8-sig")
    except OSError as error:
        raise typer.BadParameter(f"{file} cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise typer.BadParameter(f"{file} is no text of ids: {error}") from error
    return [(number, line) for number, line in enumerate(text.splitlines(), 1) if line.strip()]


# --- words


def place(cluster_id: int) -> str:
    return "orphaned" if cluster_id == ORPHAN else str(cluster_id)


def listed(things: Sequence[object]) -> str:
    """With commas; the first of them where they are many."""
    more = f" and {len(things) - SHOWN:,} more" if len(things) > SHOWN else ""
    return ", ".join(str(one) for one in things[:SHOWN]) + more


def counted(count: int, thing: str, many: str) -> str:
    return f"{count:,} {thing if count == 1 else many}"


def queries_in_words(count: int) -> str:
    return counted(count, "query", "queries")
