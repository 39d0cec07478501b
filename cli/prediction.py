"""`lmsys classify single` and `lmsys classify batch`: labels at once, of which nothing is kept."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Annotated

import typer

from cli.client import Failed
from cli.output import Told, note, one_line, progress
from cli.session import Session, add

Template = Annotated[str | None, typer.Option("--template", metavar="ID", help="The template to go by.")]
Provider = Annotated[str | None, typer.Option(help="`local` if none is given, which needs no key.")]
Model = Annotated[str | None, typer.Option(help="Its model; `provider/model` in one works as well.")]


def add_to(group: typer.Typer) -> None:
    """To the group `classify`."""
    add(group, single, "single")
    add(group, batch, "batch")


def single(
    session: Session,
    text: Annotated[str, typer.Argument(metavar="TEXT", help="What to label; `-` reads it from stdin.")],
    template: Template = None,
    template_file: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="A template as YAML, in place of an ID.")
    ] = None,
    provider: Provider = None,
    model: Model = None,
) -> None:
    """Label one text. Prints the label; how sure that is, and why, goes to stderr."""
    body = {
        "template_id": template,
        "template_yaml": template_file.read_text() if template_file else None,
        "provider": provider,
        "model": model,
        "text": sys.stdin.read() if text == "-" else text,
    }
    answer = session.client.post("/api/predict", body)
    session.text(answer, answer["label"])
    if not session.json:
        confidence = answer.get("confidence")
        sure = "" if confidence is None else f" {confidence:.2f}"
        note(f"{answer['model']}{sure}: {one_line(answer.get('reasoning') or '', 1_000)}")


def batch(
    session: Session,
    file: Annotated[
        str, typer.Argument(metavar="FILE", help='Lines of {"id": ..., "text": ...}; `-` reads stdin.')
    ],
    template: Annotated[str, typer.Option("--template", metavar="ID", help="The template to go by.")],
    provider: Provider = None,
    model: Model = None,
) -> None:
    """Label texts line by line, as they come, however many: a line of JSON for each, in order.

    The status is 1 when a line got no label; which and why stands in its `error`, and the others have theirs.
    """
    params = {"template_id": template, "provider": provider, "model": model}
    with _opened(file) as lines, progress("Classifying") as told:
        counted = _Printed(told)
        session.client.exchange("/api/predict/batch", params, lines, counted.take)
    if counted.failed:
        raise Failed(f"{counted.failed:,} of {counted.lines:,} lines got no label; see their `error`")


class _Printed:
    """Lines of the answer to stdout as they come, and a count of those that have an error."""

    def __init__(self, told: Told) -> None:
        self._told = told
        self.lines = self.failed = 0

    def take(self, line: bytes) -> None:
        sys.stdout.buffer.write(line + b"\n")
        sys.stdout.buffer.flush()
        self.lines += 1
        self.failed += b'"error":' in line and "error" in json.loads(line)
        self._told(self.lines)


@contextmanager
def _opened(file: str) -> Iterator[IO[bytes]]:
    if file == "-":
        yield sys.stdin.buffer
        return
    try:
        opened = Path(file).open("rb")  # noqa: SIM115
    except OSError as error:
        raise Failed(f"{file}: {error.strerror}") from error
    with opened:
        yield opened
