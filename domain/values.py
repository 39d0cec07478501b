"""Small frozen values that aggregates share, and the compact encodings of what is bulky in events."""

from __future__ import annotations

import base64
import hashlib
import math
import re
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Labels = NDArray[np.int32]
QueryIds = NDArray[np.int64]
Vectors = NDArray[np.float32]

NOISE = -1
"""The cluster id of what a density-based algorithm left out."""

ORPHAN = -2
"""The label of a query that was in a cluster and is in none since that was deleted."""

ERASED = -3
"""The label of a query whose conversation was erased: it counts nowhere."""


@dataclass(frozen=True)
class Space:
    """What a vector was made with. Vectors of different spaces are never compared."""

    provider: str
    model: str
    dimension: int
    revision: str = ""

    @property
    def name(self) -> str:
        """A name fit for a collection, a file or a column: `wordllama_l2_supercat_256_1a2b3c4d`."""
        words = "_".join(re.sub(r"[^a-z0-9]+", "_", part.lower()) for part in (self.provider, self.model))
        exact = f"{self.provider}/{self.model}/{self.dimension}/{self.revision}"
        return f"{words[:60]}_{self.dimension}_{hashlib.sha256(exact.encode()).hexdigest()[:8]}"


def flaw(name: str, value: object) -> str | None:
    """What of a value JSON or Postgres cannot keep, in words that begin with its name; None for nothing."""
    parts: Iterable[tuple[str, object]] = ()
    if isinstance(value, str):
        return f"{name} holds {odd}" if (odd := _odd_character(value)) else None
    if isinstance(value, int):
        return None if -(2**63) <= value < 2**63 else f"{name} is a whole number of more than 64 bits"
    if isinstance(value, float):
        return None if math.isfinite(value) else f"{name} is {value}, which is no number"
    if isinstance(value, Mapping):
        parts = [(f"a key of {name}", key) for key in value] + [(f"{name}.{k}", v) for k, v in value.items()]
    elif isinstance(value, Sequence):
        parts = ((name, item) for item in value if not _small(item))
    return next((found for part in parts if (found := flaw(*part))), None)


def _small(item: object) -> bool:
    """An id, of which a list may have 100,000."""
    return type(item) is int and 0 <= item < 2**63


def _odd_character(text: str) -> str | None:
    if "\0" in text:
        return "a NUL character"
    lone = not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text)
    return "a lone surrogate (one half of a UTF-16 pair)" if lone else None


def mended(text: str) -> str:
    """The text without what `flaw` finds, for words of others that must not be lost: why a job failed."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode(errors="replace").decode()


DECIMALS = 12
"""Of sums of what calls took: a token costs a multiple of that, and floats are not as exact."""


def added(usage: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """Sums of what calls took; a sum with something unknown in it is unknown."""
    names = usage.keys() | more.keys()
    pairs = {name: (usage.get(name, 0), more.get(name, 0)) for name in sorted(names)}
    return {name: None if None in pair else round(sum(pair), DECIMALS) for name, pair in pairs.items()}


def digest(data: bytes) -> bytes:
    """The address of content: its SHA-256, 32 bytes."""
    return hashlib.sha256(data).digest()


def pack(array: NDArray[np.generic]) -> str:
    """One-dimensional numbers as text for an event: `dtype:base64(zlib(little-endian bytes))`."""
    kind = array.dtype.newbyteorder("<")
    packed = zlib.compress(array.astype(kind, copy=False).tobytes(), 6)
    return f"{kind.str}:{base64.b64encode(packed).decode()}"


def unpack(text: str) -> NDArray[np.generic]:
    """The array that `pack` was given."""
    kind, _, body = text.partition(":")
    return np.frombuffer(zlib.decompress(base64.b64decode(body)), dtype=np.dtype(kind))


def pack_digests(digests: Sequence[bytes]) -> str:
    """SHA-256 digests one after the other, as base64 (they do not compress)."""
    return base64.b64encode(b"".join(digests)).decode()


def unpack_digests(text: str) -> list[bytes]:
    """The digests that `pack_digests` was given."""
    body = base64.b64decode(text)
    return [body[start : start + 32] for start in range(0, len(body), 32)]
