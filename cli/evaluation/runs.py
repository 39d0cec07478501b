"""`lmsys evaluate run`, and what is seen of runs."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated
from urllib.parse import quote, urlencode

import typer

from cli.client import Answer, Client, Failed
from cli.language_models import Concurrency, Rpm, Tokens, bounds
from cli.output import fields, note, one_line, print_json, print_table
from cli.session import Session, Timeout, Wait
from cli.work import follow

RunId = Annotated[
    str, typer.Argument(metavar="RUN", help="An evaluation run; `lmsys evaluate runs` names them.")
]
WithLeaked = Annotated[
    bool, typer.Option("--with-leaked", help="Count also cases that are examples of the template.")
]
PATH = "/api/evaluation/runs"
LOCAL = "local/nearest"


class Only(StrEnum):
    FAILED = "failed"
    ERRORS = "errors"
    RIGHT = "right"
    LEAKED = "leaked"
    GONE = "gone"


class Outcome(StrEnum):
    FIXED = "fixed"
    BROKEN = "broken"
    BOTH_RIGHT = "both_right"
    BOTH_WRONG = "both_wrong"


class Kind(StrEnum):
    CONFUSION = "confusion"
    CLASSES = "classes"


def run(
    session: Session,
    template_id: Annotated[str, typer.Argument(metavar="TEMPLATE", help="A template (a prompt).")],
    test_set: Annotated[str, typer.Option(help="The cases to ask about.")],
    template_number: Annotated[int | None, typer.Option(min=1, help="Else its newest version.")] = None,
    test_set_version: Annotated[int | None, typer.Option(min=1, help="Else the newest.")] = None,
    model: Annotated[str, typer.Option(help="provider/model; the default needs no key.")] = LOCAL,
    concurrency: Concurrency = None,
    rpm: Rpm = None,
    tokens: Tokens = None,
    wait: Wait = True,
    timeout: Timeout = None,
) -> None:
    """Ask a model with a template about every case of a test set."""
    body = {
        "template_id": template_id,
        "template_number": template_number,
        "test_set": test_set,
        "test_set_version": test_set_version,
        "model": model,
        **bounds(concurrency, rpm, tokens),
    }
    followed(session, session.client.post(PATH, body), wait, timeout)


def followed(session: Session, started: Answer, wait: bool, timeout: float | None) -> None:
    """Prints the run's id, and its figures where it is waited for."""

    def tell(done: Answer) -> None:
        if not session.json:
            note(in_words(done))

    follow(session, started, started["evaluation_run_id"], wait, timeout, _wait_for_run, tell)


def _wait_for_run(client: Client, run_id: str, timeout: float | None) -> Answer:
    again = f"lmsys evaluate show {run_id}"
    done = client.wait(run_id, lambda: _run(client, run_id), timeout, again)
    if done["status"] != "completed":
        why = done.get("error") or "it was asked to stop"
        kept = f"{done['answered']:,} of {done['cases']:,} cases are done"
        raise Failed(
            f"evaluation run {run_id} {done['status']}: {why}; {kept};"
            f" to go on: lmsys evaluate resume {run_id}"
        )
    return done


def in_words(run: Answer) -> str:
    """What a run came to, in a line."""
    figures = run["figures"]
    if figures is None:
        return f"{run['status']}: {run['answered']:,} of {run['cases']:,} cases"
    block, counts = figures["headline"], figures["counts"]
    words = f"no case counts ({counts['leaked']:,} are examples of the template)"
    if block["cases"]:
        low, high = block["accuracy_interval"]
        words = (
            f"accuracy {block['accuracy']:.1%} ({low:.1%} to {high:.1%}),"
            f" {block['correct']:,} of {block['cases']:,}; macro F1 {block['macro']['f1']:.3f}"
        )
    kinds = {"errors": "error" if counts["errors"] == 1 else "errors", "leaked": "leaked", "gone": "gone"}
    odd = [f"{counts[name]:,} {word}" for name, word in kinds.items() if counts[name]]
    return "; ".join([words, *odd])


def list_runs(
    session: Session,
    template_id: Annotated[
        str | None, typer.Argument(metavar="TEMPLATE", help="Runs of this template.")
    ] = None,
    test_set: Annotated[str | None, typer.Option(help="On this test set.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Runs at most.")] = None,
) -> None:
    """List evaluation runs, newest first."""
    answer = session.client.pages(PATH, limit, {"template_id": template_id, "test_set": test_set})
    columns = [
        "evaluation_run_id",
        "template",
        "model",
        "test_set",
        "status",
        "cases",
        "accuracy",
        "macro_f1",
        "cost_usd",
    ]
    rows = [fields({**one, **_named(one)}, columns) for one in answer["items"]]
    session.table(answer, columns, rows)


def _named(run: Answer) -> Answer:
    draft = "+draft" if run["suggestion_id"] else ""
    return {
        "template": f"{run['template_id']}:v{run['template_number']}{draft}",
        "test_set": f"{run['test_set']}:v{run['test_set_version']}",
    }


def show(session: Session, run_id: RunId, with_leaked: WithLeaked = False) -> None:
    """A run: its figures, by label."""
    run = _run(session.client, run_id)
    if session.json:
        print_json(run)
        return
    named = _named(run)
    typer.echo(
        f"{run_id}  {run['status']}: {named['template']} by {run['model']} on {named['test_set']}"
        + (f": {one_line(run['error'])}" if run["error"] else "")
    )
    typer.echo(in_words(run))
    if run["figures"]:
        _figures(run["figures"], with_leaked)


def _figures(figures: Answer, with_leaked: bool) -> None:
    seconds, usage = figures["seconds"], figures["usage"]
    if seconds["p50"] is not None:
        cost = usage.get("cost_usd")
        paid = "its price is not known" if cost is None else f"{cost:.4f} USD"
        half, most = 1_000 * seconds["p50"], 1_000 * seconds["p95"]
        typer.echo(f"{half:,.2f} ms a case (p95 {most:,.2f}), {paid}")
    every = figures["with_leaked"]
    if every:
        typer.echo(f"with those that are examples: {every['correct']:,} of {every['cases']:,} right")
    if figures["not_allowed"]:
        typer.echo(f"labels that the template has not: {', '.join(map(one_line, figures['not_allowed']))}")
    block = (every if with_leaked else None) or figures["headline"]
    columns = ["label", "support", "predicted", "correct", "precision", "recall", "f1", "f1_interval"]
    print_table(columns, [fields({**one, **_interval(one)}, columns) for one in block["classes"]])
    for name in ("macro", "weighted"):
        average = block[name]
        if average["f1"] is not None:
            typer.echo(
                f"{name}: precision {average['precision']:.3f}, recall {average['recall']:.3f},"
                f" F1 {average['f1']:.3f} {_interval(average)['f1_interval']}"
            )


def _interval(figures: Answer) -> Answer:
    bounds = figures["f1_interval"]
    return {"f1_interval": f"{bounds[0]:.3f}-{bounds[1]:.3f}" if bounds else None}


def _run(client: Client, run_id: str) -> Answer:
    return client.get(path_of(run_id))


def path_of(run_id: str) -> str:
    return f"{PATH}/{quote(run_id, safe='')}"


def results(
    session: Session,
    run_id: RunId,
    only: Annotated[Only | None, typer.Option(help="Only these.")] = None,
    expected: Annotated[str | None, typer.Option(help="Cases of this label.")] = None,
    predicted: Annotated[str | None, typer.Option(help="Cases that were answered so.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Cases at most.")] = 50,
) -> None:
    """The answers, case by case."""
    which = {"only": only.value if only else None, "expected": expected, "predicted": predicted}
    answer = session.client.pages(f"{path_of(run_id)}/results", limit, which)
    columns = ["test_id", "expected", "predicted", "confidence", "leaked", "text", "error"]
    session.table(answer, columns, [fields(one, columns) for one in answer["items"]])


def matrix(session: Session, run_id: RunId, with_leaked: WithLeaked = False) -> None:
    """What was taken for what: a row for each label, a column for each answer."""
    run = _run(session.client, run_id)
    figures = run["figures"]
    if figures is None:
        raise Failed(f"evaluation run {run_id} is {run['status']}: it has no figures yet")
    confusion = ((figures["with_leaked"] if with_leaked else None) or figures["headline"])["confusion"]
    rows, columns, counts = _table(confusion)
    shown = [[row, *(counts.get((row, column)) for column in columns)] for row in rows]
    session.table(confusion, ["expected", *columns], shown)


def _table(confusion: Answer) -> tuple[list[str], list[str], dict[tuple[str, str], int]]:
    """Rows: labels that have cases; columns: those and whatever else was answered."""
    labels = [*confusion["labels"], "(error)"]
    counts = {(labels[truth], labels[answer]): cases for truth, answer, cases in confusion["cells"]}
    rows = [label for label in labels if any(truth == label for truth, _ in counts)]
    answered = {answer for _, answer in counts}
    return rows, [*rows, *(one for one in labels if one in answered and one not in rows)], counts


def plot(
    session: Session,
    run_id: RunId,
    out: Annotated[Path, typer.Option(help="A file that ends in .svg or .png.")],
    kind: Annotated[Kind, typer.Option(help="The matrix, or figures of each label.")] = Kind.CONFUSION,
    with_leaked: WithLeaked = False,
) -> None:
    """Draw a run into a file."""
    file_format = out.suffix.lower().removeprefix(".")
    if file_format not in ("svg", "png"):
        raise typer.BadParameter(f"--out {out}: name a file that ends in .svg or .png")
    which = urlencode({"kind": kind.value, "format": file_format, "with_leaked": str(with_leaked).lower()})
    try:
        with out.open("wb") as target:
            session.client.download(f"{path_of(run_id)}/plot?{which}", target)
    except OSError as error:
        raise typer.BadParameter(f"{out} cannot be written: {error.strerror or error}") from error
    except Failed:
        out.unlink(missing_ok=True)
        raise
    session.text({"file": str(out), "bytes": out.stat().st_size}, str(out))


def compare(
    session: Session,
    before: Annotated[str, typer.Argument(metavar="BEFORE", help="A run to compare with.")],
    after: Annotated[str, typer.Argument(metavar="AFTER", help="Another on the same cases.")],
    cases: Annotated[Outcome | None, typer.Option(help="List these cases.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Cases at most.")] = 50,
    with_leaked: WithLeaked = False,
) -> None:
    """Two runs case by case: what was fixed, what was broken, and whether that may be chance."""
    which = {"before": before, "after": after, "with_leaked": with_leaked or None}
    if cases is not None:
        path = "/api/evaluation/compare/cases"
        answer = session.client.pages(path, limit, {**which, "outcome": cases.value})
        columns = ["test_id", "expected", "predicted_before", "predicted_after", "leaked", "text"]
        session.table(answer, columns, [fields(one, columns) for one in answer["items"]])
        return
    answer = session.client.get("/api/evaluation/compare", which)
    if session.json:
        print_json(answer)
        return
    for line in _compared(answer):
        typer.echo(line)
    columns = ["label", "support", "fixed", "broken", "recall_before", "recall_after"]
    changed = [one for one in answer["classes"] if one["fixed"] or one["broken"]]
    if changed:
        print_table(columns, [fields(one, columns) for one in changed])


def _compared(answer: Answer) -> list[str]:
    names = ("fixed", "broken", "both_right", "both_wrong")
    counts = ", ".join(f"{answer[name]:,} {name.replace('_', ' ')}" for name in names)
    lines = [f"{answer['cases']:,} cases: {counts}"]
    if answer["left_out"]:
        lines.append(f"{answer['left_out']:,} were left out: they are examples of one of the templates")
    if answer["difference"] is not None:
        low, high = answer["difference_interval"]
        lines.append(
            f"accuracy {answer['accuracy_before']:.1%} -> {answer['accuracy_after']:.1%}:"
            f" {_points(answer['difference'])} points ({_points(low)} to {_points(high)});"
            f" McNemar p = {answer['p_value']:.4g}"
        )
    return lines


def _points(share: float) -> str:
    return f"{100 * share:+.1f}"


def cancel(session: Session, run_id: RunId) -> None:
    """Ask a run to stop. It ends with what was answered."""
    answer = session.client.post(f"{path_of(run_id)}/cancel")
    session.text(answer, f"{run_id} is asked to stop")


def resume(
    session: Session,
    run_id: RunId,
    concurrency: Concurrency = None,
    rpm: Rpm = None,
    tokens: Tokens = None,
    wait: Wait = True,
    timeout: Timeout = None,
) -> None:
    """Go on with a run that failed or was cancelled."""
    started = session.client.post(f"{path_of(run_id)}/resume", bounds(concurrency, rpm, tokens))
    followed(session, started, wait, timeout)
