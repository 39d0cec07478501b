"""Files on their way to the API, and from it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.client import Answer, Client, Failed
from cli.output import note, print_json, progress
from cli.session import Session

FileFormat = Annotated[str, typer.Option("--format", help="csv, json, jsonl or parquet.")]
Output = Annotated[Path, typer.Option("--output", "-o", help="A file, or `-` for stdout.")]
STREAM = Path("-")
"""In place of a file: stdin or stdout."""


def upload(client: Client, path: str, file: Path, form: dict[str, Any]) -> Answer:
    """Stream a file to the API, with the fields of a form."""
    if file == STREAM:
        with progress("upload of stdin") as told:
            return client.upload(path, "stdin", sys.stdin.buffer, form, told)
    if file.is_dir() or not file.exists():
        raise typer.BadParameter(f"there is no file {file}")
    with file.open("rb") as opened, progress(f"upload of {file.name}") as told:
        return client.upload(path, file.name, opened, form, told)


def write(session: Session, export: Answer, output: Path) -> None:
    """The file of an export. With --json and no file to write to: where it can be fetched."""
    if output != STREAM:
        _download(session.client, export["download_url"], output)
        note(f"{export['row_count']:,} rows in {output}")
    elif not session.json:
        session.client.download(export["download_url"], sys.stdout.buffer)
    if session.json:
        print_json(export if output == STREAM else {**export, "output": str(output)})


def _download(client: Client, url: str, output: Path) -> None:
    """The file is there when it is whole, not before."""
    part = output.with_name(f"{output.name}.part")
    try:
        with part.open("wb") as target:
            client.download(url, target)
        part.replace(output)
    except OSError as error:
        raise Failed(f"{output} cannot be written: {error.strerror or error}") from error
    finally:
        part.unlink(missing_ok=True)
