"""Undo and redo, with what stands in the way as a table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import typer

from cli.client import Answer, ApiError, Failed, Params
from cli.curation.making import (
    DryRun,
    How,
    IfMatch,
    Reason,
    Yes,
    counted,
    listed,
    make_edit,
    queries_in_words,
)
from cli.session import Session

EditId = Annotated[
    int | None,
    typer.Argument(metavar="EDIT_ID", min=0, help="An edit, as its answer and the history name it."),
]
OfRun = Annotated[str | None, typer.Option("--run-id", help="The run that the edit must belong to.")]
Cascade = Annotated[bool, typer.Option("--cascade", help="Together with the edits that stand in the way.")]

BLOCKERS = ("edit_id", "version", "edit_type")
SHOWN_BLOCKERS = 20


@dataclass(frozen=True)
class Reversal:
    """Of one edit, or without an id of the last of a run."""

    word: Literal["undo", "redo"]
    edit_id: int | None
    run_id: str | None
    cascade: bool

    @property
    def path(self) -> str:
        of = f"runs/{self.run_id}" if self.edit_id is None else f"edits/{self.edit_id}"
        return f"/api/curation/{of}/{self.word}"

    @property
    def params(self) -> Params:
        if self.edit_id is None:
            return {}  # nothing can stand in the way of the last one
        return {"run_id": self.run_id, "cascade": self.cascade or None}

    @property
    def done(self) -> str:
        return "undone" if self.word == "undo" else "done again"


def undo(
    session: Session,
    edit_id: EditId = None,
    last: Annotated[bool, typer.Option("--last", help="The newest edit of --run-id in force.")] = False,
    run_id: OfRun = None,
    cascade: Cascade = False,
    reason: Reason = None,
    if_match: IfMatch = None,
    dry_run: DryRun = False,
    yes: Yes = False,
) -> None:
    """Take an edit back. Later edits that touched the same stand in the way, unless --cascade."""
    how = How(reason, if_match, dry_run, asks=not yes)
    _reverse(session, _wanted("undo", edit_id, last, run_id, cascade), how)


def redo(
    session: Session,
    edit_id: EditId = None,
    last: Annotated[bool, typer.Option("--last", help="What was undone last in --run-id.")] = False,
    run_id: OfRun = None,
    cascade: Cascade = False,
    reason: Reason = None,
    if_match: IfMatch = None,
    dry_run: DryRun = False,
    yes: Yes = False,
) -> None:
    """Do an undone edit again. Undone edits that it was made on stand in the way, unless --cascade."""
    how = How(reason, if_match, dry_run, asks=not yes)
    _reverse(session, _wanted("redo", edit_id, last, run_id, cascade), how)


def _wanted(
    word: Literal["undo", "redo"], edit_id: int | None, last: bool, run_id: str | None, cascade: bool
) -> Reversal:
    if last == (edit_id is not None):
        raise typer.BadParameter("give an EDIT_ID, or --last with --run-id")
    if last and run_id is None:
        raise typer.BadParameter("--last: say of which run by --run-id")
    return Reversal(word, edit_id, run_id, cascade)


def _reverse(session: Session, wanted: Reversal, how: How) -> None:
    def told(answer: Answer) -> str:
        return f"{_edits_in_words(wanted, answer)}\n{effect_in_words(answer)}"

    def check(answer: Answer) -> None:
        if answer["blockers"] and not wanted.cascade:
            count = counted(len(answer["blockers"]), "edit stands", "edits stand")
            raise _blocked(
                wanted, f"it cannot be {wanted.done} alone: {count} in the way", answer["blockers"], answer
            )

    try:
        make_edit(session, wanted.path, {}, how, told, params=wanted.params, check=check)
    except ApiError as error:
        if error.status != 409 or not all("edit_id" in one for one in error.errors or [{}]):
            raise
        raise _blocked(wanted, error.message, error.errors, _cascaded(session, wanted)) from error


def _cascaded(session: Session, wanted: Reversal) -> Answer | None:
    """What --cascade would come to; None where it would be refused as well."""
    if wanted.cascade or wanted.edit_id is None:
        return None
    try:
        return session.client.post(
            wanted.path, {}, params={**wanted.params, "cascade": True, "dry_run": True}
        )
    except ApiError:
        return None


def _blocked(wanted: Reversal, message: str, blockers: list[Answer], cascaded: Answer | None) -> Failed:
    lines = blocker_lines(blockers)
    if cascaded:
        lines.append(f"--cascade: they are {wanted.done} as well; {effect_in_words(cascaded)}")
    return Failed(message, lines)


def blocker_lines(blockers: list[Answer]) -> list[str]:
    """A table for stderr."""
    rows = [BLOCKERS, *([str(one.get(name, "")) for name in BLOCKERS] for one in blockers[:SHOWN_BLOCKERS])]
    widths = [max(len(row[at]) for row in rows) for at in range(len(BLOCKERS))]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    more = len(blockers) - SHOWN_BLOCKERS
    return [*lines, f"and {more:,} more"] if more > 0 else lines


def _edits_in_words(wanted: Reversal, answer: Answer) -> str:
    """An undo of an undo does the edits again that it names, so only the edit asked for is called undone."""
    beside = [one["edit_id"] for one in answer["blockers"]]
    own = [one for one in answer["edits"] if one["edit_id"] not in (*beside, wanted.edit_id)]
    if wanted.edit_id is None:
        return f"{wanted.done}: {edits_named(answer['edits'])}"
    with_it = f" together with {edits_named(answer['blockers'])}" if beside else ""
    about = f"; it was about {edits_named(own)}" if own else ""
    return f"edit {wanted.edit_id} {wanted.done}{with_it}{about}"


def edits_named(edits: list[Answer]) -> str:
    return listed([f"{one['edit_id']} ({one['edit_type']})" for one in edits])


def effect_in_words(answer: Answer) -> str:
    """What changes come to."""
    of_tree = answer.get("hierarchy_run_id") is not None
    moved = (
        counted(answer["nodes_moved"], "node", "nodes")
        if of_tree
        else queries_in_words(answer["queries_moved"])
    )
    parts = [f"{moved} moved"]
    touched = "nodes touched" if of_tree else "clusters touched"
    for name, word in (("changed", touched), ("restored", "there again"), ("removed", "gone")):
        if ids := answer[f"clusters_{name}"]:
            parts.append(f"{word}: {listed(ids)}")
    return "; ".join(parts)
