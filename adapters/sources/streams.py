"""The bytes of a file, unpacked where they are gzip, with a bound on how many there may be."""

from __future__ import annotations

import gzip
import io
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

MAX_BYTES = 64 * 1024**3
"""A gigabyte of zeros packs to a megabyte: what a file may unpack to is bounded."""

_GZIP = b"\x1f\x8b"
_BOM = b"\xef\xbb\xbf"
_CHUNK = 1024 * 1024


class Stream(io.BufferedReader):
    """The bytes behind a byte order mark. It ends where the file breaks off: what stands before is read."""

    def __init__(self, path: Path, max_bytes: int = MAX_BYTES) -> None:
        self._unpacked = _Unpacked(path, max_bytes)
        super().__init__(self._unpacked, _CHUNK)
        if self.peek(len(_BOM)).startswith(_BOM):
            self.read(len(_BOM))

    @property
    def size(self) -> int:
        """How many bytes have been unpacked, a byte order mark among them: at its end, where it ends."""
        return self._unpacked.size

    @property
    def fault(self) -> str | None:
        """Why it broke off, once it has."""
        return self._unpacked.fault


class _Unpacked(io.RawIOBase):
    def __init__(self, path: Path, max_bytes: int) -> None:
        self._file = path.open("rb")
        packed = self._file.peek(len(_GZIP)).startswith(_GZIP)
        self._source = gzip.GzipFile(fileobj=self._file) if packed else self._file
        self._max_bytes = max_bytes
        self.size = 0
        self.fault: str | None = None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        view = memoryview(buffer)
        data = b"" if self.fault else self._read(len(view))
        view[: len(data)] = data
        self.size += len(data)
        return len(data)

    def close(self) -> None:
        self._file.close()
        super().close()

    def _read(self, size: int) -> bytes:
        try:
            data = self._source.read1(size)
        except EOFError:
            self.fault = "the gzip data is cut off"
            return b""
        except (zlib.error, gzip.BadGzipFile) as error:
            self.fault = f"the gzip data is damaged ({error})"
            return b""
        room = self._max_bytes - self.size
        if len(data) > room:
            self.fault = f"it holds more than {self._max_bytes:,} bytes"
        return data[:room]
