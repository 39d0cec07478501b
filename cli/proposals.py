"""`lmsys proposals ...`: edits that are suggested, what they would come to, and the decision of a person."""

from __future__ import annotations

import json
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.client import Answer, ApiError, Failed
from cli.clustering import RunId
from cli.curation.making import (
    DryRun,
    IfMatch,
    counted,
    listed,
    numbers,
    queries_in_words,
)
from cli.curation.reversal import edits_named
from cli.output import fields, note, one_line, print_json, print_table
from cli.session import Session, add

ProposalId = Annotated[
    str, typer.Argument(metavar="PROPOSAL_ID", help="A proposal; `lmsys proposals list` names them.")
]
Title = Annotated[str | None, typer.Option(help="What it is about, in a line.")]
Source = Annotated[str | None, typer.Option(help="Who or what proposes, where that is more than the actor.")]


class Status(StrEnum):
    PENDING = "pending"
    ACCEPTED = "accepted"
    REJECTED = "rejected"


class Heuristic(StrEnum):
    LOW_COHESION = "low_cohesion"
    LOW_CONFIDENCE = "low_confidence"
    TOO_SMALL = "too_small"
    TOO_LARGE = "too_large"
    OVERLAP = "overlap"
    INCOHERENT = "incoherent"
    FLAGGED = "flagged"
    LOW_QUALITY = "low_quality"


def add_to(app: typer.Typer) -> None:
    group = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
    app.add_typer(group, name="proposals", help="Suggest edits, see what they would come to, decide.")
    add(group, create, "create")
    add(group, suggest, "suggest")
    add(group, list_proposals, "list")
    add(group, show, "show")
    add(group, accept, "accept")
    add(group, reject, "reject")


def create(
    session: Session,
    run_id: RunId,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The edits, as JSON or YAML; `-` for stdin.")],
    title: Title = None,
    reason: Annotated[str | None, typer.Option(help="Why; instead of that in the file.")] = None,
    source: Source = None,
    if_match: IfMatch = None,
    dry_run: DryRun = False,
) -> None:
    """Propose edits. They are checked, and none of them is made before somebody accepts."""
    given = {"title": title, "reason": reason, "source": source}
    body = {**_read(file), **{name: value for name, value in given.items() if value is not None}}
    if not body.get("reason"):
        raise typer.BadParameter("say why: by --reason, or by `reason` in the file")
    _propose(session, f"/api/curation/runs/{run_id}/proposals", body, {}, if_match, dry_run)


def suggest(
    session: Session,
    run_id: RunId,
    heuristic: Annotated[list[Heuristic] | None, typer.Option(help="May be repeated; else all.")] = None,
    title: Title = None,
    reason: Annotated[str | None, typer.Option(help="Why; else what the heuristics found.")] = None,
    source: Source = None,
    if_match: IfMatch = None,
    dry_run: DryRun = False,
) -> None:
    """Propose what could be done about bad clusters: merge neighbours that overlap, flag the others."""
    path = f"/api/curation/runs/{run_id}/select-bad-clusters/proposals"
    body = {"title": title, "reason": reason, "source": source}
    params = {"heuristics": [one.value for one in heuristic or []] or None}
    _propose(session, path, body, params, if_match, dry_run)


def _propose(
    session: Session,
    path: str,
    body: dict[str, Any],
    params: dict[str, Any],
    if_match: str | None,
    dry_run: bool,
) -> None:
    try:
        answer = session.client.post(
            path, body, params={**params, "dry_run": dry_run or None}, if_match=if_match
        )
    except ApiError as error:
        raise Failed(error.message, _by_edit(error)) from error
    if session.json:
        print_json(answer)
        return
    named = "dry run" if dry_run else answer["proposal_id"]
    typer.echo(f"{named}: {in_words(answer['impact'])}")
    if not dry_run:
        note(f"to look at it: lmsys proposals show {answer['proposal_id']}")


def _read(file: Path) -> dict[str, Any]:
    """A list of edits, or an object with `edits`. What YAML takes for a date stays the text that it was."""
    import yaml

    try:
        text = sys.stdin.read() if str(file) == "-" else file.read_text("utf-8-sig")
        read = yaml.safe_load(text)
    except OSError as error:
        raise typer.BadParameter(f"{file} cannot be read: {error.strerror or error}") from error
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise typer.BadParameter(f"{file} is neither JSON nor YAML: {one_line(error)}") from error
    body = {"edits": read} if isinstance(read, list) else read
    if not isinstance(body, dict) or not isinstance(body.get("edits"), list):
        raise typer.BadParameter(f"{file} holds no edits: a list of them, or an object with `edits`")
    return dict(json.loads(json.dumps(body, default=str)))


def list_proposals(
    session: Session,
    run_id: RunId,
    status: Annotated[Status | None, typer.Option(help="Only these.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Proposals at most.")] = None,
) -> None:
    """The proposals for a run, newest first."""
    path = f"/api/curation/runs/{run_id}/proposals"
    answer = session.client.pages(path, limit, {"status": status.value if status else None})
    columns = ["proposal_id", "status", "edit_count", "proposed_by", "proposed_at", "decided_by", "title"]
    session.table(answer, columns, [fields(item, columns) for item in answer["items"]])


def show(session: Session, proposal_id: ProposalId) -> None:
    """A proposal, and what it would come to now; once decided, what it came to then."""
    answer = session.client.get(f"/api/curation/proposals/{proposal_id}")
    if session.json:
        print_json(answer)
        return
    typer.echo(f"{answer['proposal_id']}  {answer['status']}  {one_line(answer['title'] or '')}".rstrip())
    typer.echo(f"run {answer['run_id']}, proposed by {_by(answer)}: {one_line(answer['reason'], 2_000)}")
    if answer["decided_by"]:
        why = f": {one_line(answer['decision_reason'], 2_000)}" if answer["decision_reason"] else ""
        typer.echo(f"{answer['status']} by {answer['decided_by']} at {answer['decided_at']}{why}")
    typer.echo(in_words(answer["impact"]))
    for table in (_sizes, _clusters):
        typer.echo()
        table(answer["impact"])
    typer.echo()
    _edits(answer)
    if answer["status"] == "pending":
        note(f"to decide: lmsys proposals accept {proposal_id} --if-match {answer['version']}")


def _by(answer: Answer) -> str:
    source = f" ({one_line(answer['source'])})" if answer["source"] else ""
    return f"{one_line(answer['proposed_by'])}{source} at {answer['proposed_at']}"


def accept(
    session: Session,
    proposal_id: ProposalId,
    only: Annotated[
        list[str] | None, typer.Option(metavar="INDEX,...", help="These edits; the others are left out.")
    ] = None,
    reason: Annotated[str | None, typer.Option(help="Why; it is kept with the decision.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Although others edited the same since.")] = False,
    if_match: IfMatch = None,
    dry_run: DryRun = False,
) -> None:
    """Make its edits, all at once. One undo takes all of them back."""
    indexes = numbers(only, "edit") if only else None
    try:
        answer = session.client.post(
            f"/api/curation/proposals/{proposal_id}/accept",
            {"only": indexes, "reason": reason},
            params={"force": force or None, "dry_run": dry_run or None},
            if_match=if_match,
        )
    except ApiError as error:
        raise Failed(error.message, _by_edit(error)) from error
    word = "dry run" if dry_run else "accepted"
    session.text(
        answer, f"{word}: {counted(answer['edits_made'], 'edit', 'edits')}; {in_words(answer['impact'])}"
    )
    for line in _conflict_lines(answer["conflicts"]):
        note(line)
    if answer["edit_id"] is not None:
        note(f"this is edit {answer['edit_id']}; to take it back: lmsys edit undo {answer['edit_id']}")


def reject(
    session: Session,
    proposal_id: ProposalId,
    reason: Annotated[str, typer.Option(help="Why; it is kept, for who proposed.")],
    if_match: IfMatch = None,
) -> None:
    """Decide against a proposal. Nothing changes, and it stays to be read."""
    path = f"/api/curation/proposals/{proposal_id}/reject"
    session.text(
        session.client.post(path, {"reason": reason}, if_match=if_match), f"{proposal_id} is rejected"
    )


# --- words and tables


def in_words(impact: Answer) -> str:
    """What an impact comes to, in a line."""
    kinds = [f"{count:,} {kind}" for kind, count in impact["counts"].items() if count]
    before, after = impact["before"], impact["after"]
    clusters = f"; clusters: {', '.join(kinds)}" if kinds else ""
    uneven = f"; gini {_gini(before)} -> {_gini(after)}" if _gini(before) != _gini(after) else ""
    return f"{queries_in_words(impact['queries_moved'])} moved{clusters}{uneven}"


def _gini(figures: Answer) -> str:
    return "(none)" if figures["gini"] is None else f"{figures['gini']:.3f}"


def _sizes(impact: Answer) -> None:
    names = ("clusters", "queries", "noise", "orphans", "smallest", "median", "largest", "gini")
    print_table(["run", *names], [[at, *fields(impact[at], names)] for at in ("before", "after")])


def _clusters(impact: Answer) -> None:
    columns = ["cluster_id", "what", "was_size", "size", "title"]
    rows = [
        [*fields({**one, "what": ",".join(one["what"])}, columns[:-1]), _words(one)]
        for one in impact["clusters"]
    ]
    print_table(columns, rows)


def _words(one: Answer) -> str:
    was, now = one["was_title"], one["title"]
    title = (
        f"{was or '(no title)'} -> {now or '(no title)'}" if "renamed" in one["what"] else now or was or ""
    )
    noted = "; ".join(
        f"{name}: {listed(v) if isinstance(v, list) else v}" for name, v in one["noted"].items()
    )
    return one_line("; ".join(part for part in (title, noted) if part))


def _edits(answer: Answer) -> None:
    reasons = [one.get("reason") for one in answer["edits"]]
    columns = ["index", "edit", "clusters", "moved", "conflict", "reason"]
    rows = [
        [
            one["index"],
            one["edit_type"],
            listed(one["clusters_changed"]),
            one["queries_moved"],
            _conflict(one),
            reasons[one["index"]],
        ]
        for one in answer["impact"]["edits"]
    ]
    print_table(columns, rows)


def _conflict(one: Answer) -> str | None:
    if one["refusal"]:
        return str(one["refusal"])
    return f"edited since: {edits_named(one['touched_by'])}" if one["touched_since"] else None


def _by_edit(error: ApiError) -> list[str]:
    """What stands in the way of each edit, where the API has said so."""
    if not all(isinstance(one, dict) and "index" in one for one in error.errors):
        return error.details
    conflicts = [one for one in error.errors if "edits" in one]
    return _conflict_lines(conflicts) or [f"edit {one['index']}: {one['detail']}" for one in error.errors]


def _conflict_lines(conflicts: list[Answer]) -> list[str]:
    return [
        f"edit {one['index']} ({one['edit_type']}): {one['reason']}"
        + (f": {edits_named(one['edits'])}" if one["edits"] else "")
        for one in conflicts
    ]
