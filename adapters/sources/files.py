"""Files and folders of files as sources, told apart by what is in them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path, PurePath

import orjson

from adapters.sources.formats import text_column_among
from adapters.sources.json_array import JsonArray
from adapters.sources.json_lines import JsonLines
from adapters.sources.parquet import Parquet
from adapters.sources.source import Container, Part, Source
from adapters.sources.streams import MAX_BYTES, Stream
from adapters.sources.tables import Table
from domain.errors import Invalid, NotFound, Refused

_FORMAT_OF_SUFFIX = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".csv": "csv",
    ".tsv": "tsv",
    ".parquet": "parquet",
}
FILE_FORMATS = ("jsonl", "json", "csv", "tsv", "parquet")
_PACKABLE = tuple(suffix for suffix in _FORMAT_OF_SUFFIX if suffix != ".parquet")
SOURCE_SUFFIXES = (*_FORMAT_OF_SUFFIX, *(f"{suffix}.gz" for suffix in _PACKABLE))

_HEAD_BYTES = 64 * 1024
_PARQUET = b"PAR1"
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")


def is_source(path: Path) -> bool:
    """Whether a file of a folder is read, by its name alone; hidden ones are not."""
    return path.name.lower().endswith(SOURCE_SUFFIXES) and not path.name.startswith(".")


def open_file(
    path: Path,
    *,
    name: str | None = None,
    text_column: str | None = None,
    file_format: str | None = None,
    limit: int | None = None,
    max_bytes: int = MAX_BYTES,
) -> Source:
    """The rows of a file, or of the files of a folder and its folders, sorted by name and numbered through.

    `name` is what users know the file by; its suffix counts, as uploads lie under another name. `max_bytes`
    bounds what each file may unpack to. Raises `domain.errors.NotFound`, `Refused` (it may not be read) or
    `Invalid` (of what format it is cannot be told; a table has no column of text; a Parquet file is cut off).
    """
    name = name or path.resolve().name
    if file_format not in (None, *FILE_FORMATS):
        raise Invalid(f"format must be one of {', '.join(FILE_FORMATS)}, found {file_format!r}")
    files = _files(path, name)
    parts = []
    for label, file in files:
        container = _container(file, label or name, file_format, max_bytes)
        if isinstance(container, Table | Parquet):
            container.shape(text_column)
        parts.append(Part(container, text_column, label))
    return Source(name, parts, partial(_fingerprint, files), limit)


def _files(path: Path, name: str) -> list[tuple[str, Path]]:
    """Files with their names in the folder; a single file has none."""
    try:
        if path.is_file():
            path.open("rb").close()
            return [("", path)]
        found = [file for file in path.rglob("*") if _is_listed(file.relative_to(path)) and file.is_file()]
        exists = path.exists()
    except OSError as error:
        raise Refused(f"{name} cannot be read: {error.strerror}") from None
    if not exists:
        raise NotFound(f"{name} does not exist")
    if not found:
        raise Invalid(f"{name} is a folder without a file whose name ends in {', '.join(SOURCE_SUFFIXES)}")
    return sorted((file.relative_to(path).as_posix(), file) for file in found)


def _is_listed(relative: Path) -> bool:
    return is_source(relative) and not any(part.startswith(".") for part in relative.parts)


def _container(path: Path, name: str, file_format: str | None, max_bytes: int) -> Container:
    with Stream(path, max_bytes) as stream:
        head = stream.read(_HEAD_BYTES)
    match file_format or _format_of(head, name):
        case "parquet":
            return Parquet(path, name, max_bytes)
        case "csv":
            return Table(path, name, None, max_bytes)
        case "tsv":
            return Table(path, name, "\t", max_bytes)
        case "json":
            return JsonArray(path, max_bytes)
        case _:
            return JsonLines(path, max_bytes)


def _format_of(head: bytes, name: str) -> str:
    """What the bytes say; the name decides where they leave a choice."""
    if head.startswith(_PARQUET):
        return "parquet"
    if head.startswith(_UTF_16):
        raise Invalid(f"{name} is UTF-16: save it as UTF-8")
    named = _FORMAT_OF_SUFFIX.get(PurePath(name.lower().removesuffix(".gz")).suffix)
    start = head.lstrip()[:1]
    if named in ("jsonl", "json") or (named is None and start in (b"{", b"[", b"")):
        return "json" if start == b"[" and _is_array(head.lstrip(), named == "jsonl") else "jsonl"
    if named:
        return named
    if text_column_among(re.split(r"[,;\t]", head.partition(b"\n")[0].decode("utf-8", "replace").strip())):
        return "csv"
    raise Invalid(f"{name}: its format cannot be told; name it (`format`), one of {', '.join(FILE_FORMATS)}")


def _is_array(head: bytes, named_lines: bool) -> bool:
    """One array, or lines the first of which is an array (a bad row, but the others may be good)?"""
    first, _, rest = head.partition(b"\n")
    if rest.strip() and _parses(first):
        return False
    return not named_lines or not rest or first.strip() == b"[" or _parses(first.strip()[1:].rstrip(b","))


def _parses(text: bytes) -> bool:
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError:
        return False
    return True


def _fingerprint(files: Sequence[tuple[str, Path]]) -> str:
    """The SHA-256 of the bytes of a file as it lies there; of a folder that of names and SHA-256s."""
    digests = {name: _digest(path) for name, path in files}
    if "" in digests:
        return digests[""]
    return hashlib.sha256("".join(f"{name}\0{digests[name]}\n" for name in digests).encode()).hexdigest()


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
