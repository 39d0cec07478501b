"""`lmsys evaluate test-sets ...`"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated
from urllib.parse import quote

import typer

from cli.client import Answer
from cli.files import upload
from cli.output import fields, note, one_line, print_json, print_table
from cli.session import SHOWN_DETAILS, Session, add

Name = Annotated[str, typer.Argument(metavar="TEST_SET", help="Its name.")]
PATH = "/api/evaluation/test-sets"


class Truth(StrEnum):
    LABEL = "label"
    DOMAIN = "domain"


def add_to(group: typer.Typer) -> None:
    below = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
    group.add_typer(below, name="test-sets", help="Labelled cases, in versions that are frozen by a hash.")
    add(below, create, "create")
    add(below, from_queries, "from-queries")
    add(below, list_test_sets, "list")
    add(below, show, "show")
    add(below, cases, "cases")


def create(
    session: Session,
    test_set: Name,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="JSONL, JSON, CSV, TSV, Parquet; `-`: stdin.")],
    label_column: Annotated[
        str | None, typer.Option(help="Where the truth stands; else label, category, expected, ...")
    ] = None,
    text_column: Annotated[str | None, typer.Option(help="Where the text stands; else text, ...")] = None,
    format: Annotated[str | None, typer.Option(help="jsonl, json, csv, tsv or parquet.")] = None,
    per_label: Annotated[int | None, typer.Option(min=1, help="Cases of each label at most.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Which of them are drawn.")] = None,
    description: Annotated[str | None, typer.Option(help="What it is for.")] = None,
) -> None:
    """Freeze the cases of a file as the next version of a test set. Prints its name, version and hash."""
    form = {
        "test_set": test_set,
        "label_column": label_column,
        "text_column": text_column,
        "format": format,
        "per_label": per_label,
        "seed": seed,
        "description": description,
    }
    _told(session, upload(session.client, f"{PATH}/upload", file, form))


def from_queries(
    session: Session,
    test_set: Name,
    dataset: Annotated[str | None, typer.Option(help="Labelled queries of this data set.")] = None,
    run_id: Annotated[str | None, typer.Option(help="Members of this clustering run.")] = None,
    cluster_id: Annotated[int | None, typer.Option(help="Of this cluster of the run.")] = None,
    text: Annotated[str | None, typer.Option(help="With these words.")] = None,
    model: Annotated[str | None, typer.Option(help="Of conversations with this model.")] = None,
    language: Annotated[str | None, typer.Option(help="In this language.")] = None,
    truth: Annotated[Truth, typer.Option(help="The field of their metadata that is right.")] = Truth.LABEL,
    per_label: Annotated[int | None, typer.Option(min=1, help="Cases of each label at most.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Which of them are drawn.")] = None,
    description: Annotated[str | None, typer.Option(help="What it is for.")] = None,
) -> None:
    """Freeze labelled queries that are loaded. One whose conversation is erased later is gone from it."""
    filters = {
        "dataset": dataset,
        "run_id": run_id,
        "cluster_id": cluster_id,
        "text": text,
        "model": model,
        "language": language,
    }
    body = {
        "test_set": test_set,
        "filters": {name: value for name, value in filters.items() if value is not None},
        "truth": truth.value,
        "per_label": per_label,
        "seed": seed,
        "description": description,
    }
    _told(session, session.client.post(PATH, body))


def _told(session: Session, answer: Answer) -> None:
    for error in answer["errors"][:SHOWN_DETAILS]:
        note(f"  row {error['row']}: {one_line(error['reason'])}")
    if answer["rejected"]:
        note(f"{answer['rejected']:,} rows were left out")
    words = f"{answer['test_set']} v{answer['number']}  {answer['hash'][:12]}"
    session.text(answer, f"{words}  {answer['cases']:,} cases, {len(answer['labels'])} labels")


def list_test_sets(
    session: Session, limit: Annotated[int | None, typer.Option(min=1, help="Test sets at most.")] = None
) -> None:
    """List the test sets, the last changed first."""
    answer = session.client.pages(PATH, limit)
    columns = ["test_set", "number", "cases", "labels", "hash", "updated_at", "description"]
    rows = [
        fields({**one, "hash": one["hash"][:12], "labels": len(one["labels"])}, columns)
        for one in answer["items"]
    ]
    session.table(answer, columns, rows)


def show(session: Session, test_set: Name) -> None:
    """A test set: how many cases each label has, and its versions."""
    path = f"{PATH}/{quote(test_set, safe='')}"
    answer = session.client.get(path)
    newest = session.client.get(f"{path}/versions/{answer['number']}")
    if session.json:
        print_json({**answer, "gone": newest["gone"]})
        return
    gone = f", {newest['gone']:,} of them gone" if newest["gone"] else ""
    typer.echo(f"{test_set} v{answer['number']}: {answer['cases']:,} cases{gone}  {answer['hash']}")
    print_table(["label", "cases"], [[label, count] for label, count in sorted(answer["labels"].items())])


def cases(
    session: Session,
    test_set: Name,
    version: Annotated[int | None, typer.Option(min=1, help="Else the newest.")] = None,
    label: Annotated[str | None, typer.Option(help="Only these.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Cases at most.")] = 50,
) -> None:
    """The cases with their texts."""
    path = f"{PATH}/{quote(test_set, safe='')}"
    number = version or session.client.get(path)["number"]
    answer = session.client.pages(f"{path}/versions/{number}/cases", limit, {"label": label})
    columns = ["test_id", "label", "text"]
    session.table(answer, columns, [fields(one, columns) for one in answer["items"]])
