"""`lmsys carry-over` and `lmsys lineage`: curation from run to run."""

from __future__ import annotations

from collections import Counter
from enum import Enum
from typing import Annotated, Any

import typer

from cli.client import Answer
from cli.clustering import RunId
from cli.curation.making import DryRun, IfMatch, Reason, counted, listed
from cli.output import fields, note, print_json, print_table
from cli.session import Session, add

MOST_ROWS = 20
"""Of edits that need nobody; --json has all."""

EDIT = ["edit_id", "edit_type"]
EVIDENCE = ["overlap", "share_of_old", "share_of_new", "jaccard", "similarity", "score"]


class Kind(Enum):
    CONTINUATION = "continuation"
    SPLIT = "split"
    MERGE = "merge"
    BIRTH = "birth"
    DEATH = "death"


def add_to(app: typer.Typer) -> None:
    add(app, carry_over, "carry-over")
    add(app, lineage, "lineage")


def carry_over(
    session: Session,
    from_run: Annotated[str, typer.Argument(metavar="FROM_RUN", help="The run that was curated.")],
    to_run: Annotated[str, typer.Argument(metavar="TO_RUN", help="The run that is to get its edits.")],
    threshold: Annotated[
        float | None, typer.Option(min=0, max=1, help="Least score of a cluster that continues another.")
    ] = None,
    reason: Reason = None,
    if_match: IfMatch = None,
    dry_run: DryRun = False,
) -> None:
    """Make the edits of a run again on another, as one edit, where the clusters that they concern live on."""
    answer = session.client.post(
        f"/api/curation/runs/{to_run}/carry-over",
        {"from_run_id": from_run, "threshold": threshold, "reason": reason, "dry_run": dry_run or None},
        if_match=if_match,
        endless=True,
    )
    if session.json:
        print_json(answer)
        return
    typer.echo(("dry run: " if dry_run else "") + _counts(answer))
    _edits("carried over", _carried(answer["carried"]), [*EDIT, "versions_here"])
    _edits("so already", answer["already"], EDIT)
    _edits("needs a decision", answer["undecided"], [*EDIT, "reason"], most=len(answer["undecided"]))
    if not dry_run:
        note(_way_back(answer))


def _counts(answer: Answer) -> str:
    carried = len({one["edit_id"] for one in answer["carried"]})
    undecided = counted(len(answer["undecided"]), "needs", "need")
    edits = f"{counted(carried, 'edit', 'edits')} carried over, {len(answer['already']):,} so already"
    return f"{edits}, {undecided} a decision\n{kinds_in_words(answer['lineage'])}"


def kinds_in_words(links: list[Answer]) -> str:
    """`18 clusters continued, 2 split, 1 merged, 3 new, 1 gone`."""
    counts = Counter(link["kind"] for link in links)
    words = {
        "continuation": "continued",
        "split": "split",
        "merge": "merged",
        "birth": "new",
        "death": "gone",
    }
    return "clusters: " + ", ".join(f"{counts[kind]:,} {word}" for kind, word in words.items())


def _carried(rows: list[Answer]) -> list[Answer]:
    """A row for each edit there, with all that it became here."""
    found: dict[int, Any] = {}
    for row in rows:
        found.setdefault(row["edit_id"], {**row, "made": []})["made"].append(row["new_version"])
    return [{**one, "versions_here": listed(one["made"])} for one in found.values()]


def _edits(title: str, rows: list[Answer], columns: list[str], most: int = MOST_ROWS) -> None:
    if rows:
        typer.echo(f"\n{title}:")
        print_table(columns, [fields(row, columns) for row in rows[:most]])
        if len(rows) > most:
            typer.echo(f"and {len(rows) - most:,} more")


def _way_back(answer: Answer) -> str:
    edit_id = answer["edit_id"]
    if edit_id is None:
        return "nothing had to be changed"
    return f"this is edit {edit_id}; to take all of it back: lmsys edit undo {edit_id}"


def lineage(
    session: Session,
    run_id: RunId,
    kind: Annotated[list[Kind] | None, typer.Option(help="Only such links; may be repeated.")] = None,
    from_run: Annotated[
        str | None, typer.Option(metavar="RUN_ID", help="Where it was carried over from; else the newest.")
    ] = None,
) -> None:
    """Which clusters of another run became which of this one, as it was found when edits were carried."""
    answer = session.client.get(f"/api/curation/runs/{run_id}/lineage")
    found = [one for one in answer["carried_over"] if from_run in (None, one["from_run_id"])]
    wanted = [
        {**one, "links": [link for link in one["links"] if not kind or Kind(link["kind"]) in kind]}
        for one in found
    ]
    if session.json:
        print_json({**answer, "carried_over": wanted})
        return
    if not found:
        note(f"nothing was carried over into {run_id}; lmsys carry-over FROM_RUN {run_id} does so")
        return
    newest = wanted[0]
    print_table(["kind", "old", "new", *EVIDENCE], [row for link in newest["links"] for row in _rows(link)])
    note(
        f"from {newest['from_run_id']} (threshold {newest['threshold']:g}, edit {newest['edit_id']}): "
        f"{kinds_in_words(found[0]['links'])}"
    )


def _rows(link: Answer) -> list[list[object]]:
    """A row for each pair of clusters; for one alone, a row without evidence."""
    if not link["evidence"]:
        return [[link["kind"], listed(link["old"]), listed(link["new"]), *[None] * len(EVIDENCE)]]
    return [
        [link["kind"], str(one["old"]), str(one["new"]), *fields(one, EVIDENCE)] for one in link["evidence"]
    ]
