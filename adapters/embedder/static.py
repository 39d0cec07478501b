"""wordllama: a static embedding of tokens, averaged. Its weights lie in the wheel: no download, no key."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from adapters.embedder.options import EmbedderOptions
from adapters.embedder.texts import cut_all, spread, unit_rows
from domain.errors import Refused
from domain.values import Space, Vectors

DIMENSIONS = (64, 128, 256)
"""The model was trained so that the first 64 or 128 of its 256 dimensions serve as well."""
BATCH = 256

_loading = Lock()
_loaded: dict[str, tuple[Any, Vectors]] = {}


class StaticEmbedder:
    """The port `Embedder`. The same text gives the same bytes, in whatever batch it stands."""

    def __init__(self, model: str, options: EmbedderOptions) -> None:
        name = re.fullmatch(r"l2_supercat(?:_(\d+))?", model)
        self._dimension = int(name[1]) if name and name[1] else options.dimension or 256
        if not name or self._dimension not in DIMENSIONS:
            known = ", ".join(f"l2_supercat_{dimension}" for dimension in DIMENSIONS)
            raise Refused(f"unknown model {model!r} of wordllama: known are {known}")
        if options.dimension not in (None, self._dimension):
            raise Refused(f"wordllama/{model} has {self._dimension} dimensions, not {options.dimension}")
        self._options = options

    @cached_property
    def space(self) -> Space:
        parts = (self._options.revision, version("wordllama"), f"bytes={self._options.max_text_bytes}")
        model = f"l2_supercat_{self._dimension}"
        return Space("wordllama", model, self._dimension, ";".join(part for part in parts if part))

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Tokens are summed text by text: the longest takes `max_text_bytes` rows of 1 KB, once."""
        tokenizer, table = _load()
        kept, at = cut_all(texts, self._options.max_text_bytes)
        rows = np.zeros((len(kept), self._dimension), dtype=np.float32)
        batch = self._options.batch_size or BATCH
        for start in range(0, len(kept), batch):
            part = tokenizer.encode_batch_fast(kept[start : start + batch], add_special_tokens=False)
            for place, encoded in enumerate(part, start):
                if encoded.ids:
                    rows[place] = table[encoded.ids, : self._dimension].sum(axis=0)
        return spread(unit_rows(rows), at, len(texts), self._dimension)


def _load() -> tuple[Any, Vectors]:
    """The tokenizer and the table of token vectors, loaded once in a process."""
    with _loading:
        if "l2_supercat" not in _loaded:
            _loaded["l2_supercat"] = _read()
        return _loaded["l2_supercat"]


def _read() -> tuple[Any, Vectors]:
    """From the package's own folder: by default `load()` looks in another one, then on the network.

    Importing wordllama sets up the root logger, which is not its business: that is put back.
    """
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    import wordllama

    root.handlers[:] = handlers
    root.setLevel(level)
    model = wordllama.WordLlama.load(cache_dir=Path(wordllama.__file__).parent, disable_download=True)
    model.tokenizer.no_padding()  # what a text is padded to depends on its neighbours
    return model.tokenizer, model.embedding
