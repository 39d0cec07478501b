"""Cases out of a file, by the readers that conversations come through."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from adapters.sources import open_file
from commands.ports import BadRow, Conversation
from domain.errors import Invalid
from domain.evaluation import Case, gather
from domain.evaluation.cases import MAX_CASES

MAX_BYTES = 256 * 1024 * 1024
"""What the file may unpack to."""

LABEL_COLUMNS = ("label", "category", "expected", "intent", "domain")
"""Where the truth stands: the first of these that the first row has."""


def read_cases(
    path: Path,
    *,
    name: str,
    file_format: str | None = None,
    text_column: str | None = None,
    label_column: str | None = None,
) -> tuple[list[Case], list[dict[str, Any]]]:
    """The cases, and `{row, reason}` for rows that are none. Raises Invalid for a file without any."""
    source = open_file(path, name=name, text_column=text_column, file_format=file_format, max_bytes=MAX_BYTES)
    bad: list[dict[str, Any]] = []
    cases, rejected = gather(_cases(source.rows(), label_column, bad))
    faults = sorted([*bad, *rejected], key=lambda one: int(one["row"]))
    if not cases:
        raise Invalid(f"{name} has no case: {faults[0]['reason'] if faults else 'it is empty'}", faults[:100])
    return cases, faults


def _cases(
    rows: Iterator[Conversation | BadRow], column: str | None, bad: list[dict[str, Any]]
) -> Iterator[Case]:
    taken = 0
    for row in rows:
        if isinstance(row, BadRow):
            bad.append({"row": row.row, "reason": row.reason})
            continue
        column = column or next((one for one in LABEL_COLUMNS if one in row.metadata), None)
        label = row.metadata.get(column) if column else None
        if not isinstance(label, str | int) or isinstance(label, bool):
            wanted = column or ", ".join(LABEL_COLUMNS)
            bad.append(
                {"row": row.row, "reason": f"has no label ({wanted}); name its column by label_column"}
            )
            continue
        taken += 1
        if taken > MAX_CASES:
            raise Invalid(f"the file has more than {MAX_CASES:,} cases")
        yield Case(label=str(label), text=row.query, row=row.row)
