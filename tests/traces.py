"""Where something still stands: in any column of any table in any form, and in any file."""

from __future__ import annotations

import base64
import binascii
import os
import re
import struct
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import psycopg
import zstandard

from domain.values import Vectors

Needles = Mapping[str, list[bytes]]
"""What is looked for, by a name for it, each in all forms that it may take as bytes."""


def of_text(text: str) -> list[bytes]:
    return [text.encode()]


def of_vector(vector: Vectors) -> list[bytes]:
    """Some of its numbers in a row: as in memory, and as the vector engine writes them down first."""
    part = np.ascontiguousarray(vector[4:12], "<f4")
    return [part.tobytes(), b"".join(b"\xfa" + struct.pack(">f", one) for one in part)]


def in_database(url: str, needles: Needles, only: str = "%") -> set[tuple[str, str]]:
    """(table, name) of every needle that is found, the statistics of the planner included.

    `only`: tables whose names are like this.
    """
    found: set[tuple[str, str]] = set()
    with psycopg.connect(url) as connection:
        tables = connection.execute(
            "SELECT schemaname, tablename FROM pg_tables WHERE tablename LIKE %s", [only]
        ).fetchall()
        for schema, table in tables:
            with connection.cursor().copy(f'COPY "{schema}"."{table}" TO STDOUT') as copy:
                for row in copy:
                    found |= {(f"{schema}.{table}", one) for one in _named(bytes(row), needles)}
    return found


def in_files(folder: Path, needles: Needles) -> set[tuple[str, str]]:
    """(path in the folder, name) of every needle that is found, but for what the database writes."""
    found: set[tuple[str, str]] = set()
    for path, folders, names in os.walk(folder):
        folders[:] = [one for one in folders if one != "postgres"]
        for name in names:
            file = Path(path, name)
            if file.is_file():
                body = file.read_bytes()
                at = str(file.relative_to(folder))
                found |= {(at, one) for one, forms in needles.items() if any(form in body for form in forms)}
    return found


def _named(row: bytes, needles: Needles) -> set[str]:
    readings = list(_readings(row))
    return {
        name
        for name, forms in needles.items()
        if any(form in reading for form in forms for reading in readings)
    }


def _readings(row: bytes) -> Iterator[bytes]:
    """A row as it stands, and all that it may hold in hex, in base64 and compressed."""
    yield row
    for digits in re.findall(rb"\\\\x([0-9a-f]+)", row):
        yield from _opened(binascii.unhexlify(digits))
    yield from _in_base64(row)


def _in_base64(text: bytes) -> Iterator[bytes]:
    for token in re.findall(rb"[A-Za-z0-9+/]{16,}", text):
        for start in range(4):
            part = token[start:]
            yield from _opened(base64.b64decode(part[: len(part) // 4 * 4]))


def _opened(body: bytes) -> Iterator[bytes]:
    yield body
    if body.startswith(b"\x28\xb5\x2f\xfd"):
        plain = zstandard.ZstdDecompressor().decompress(body)
        yield plain
        yield from _in_base64(plain)
    elif body.startswith(b"\x78"):
        try:
            yield zlib.decompressobj().decompress(body)
        except zlib.error:
            return
