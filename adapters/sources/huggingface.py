"""Data sets of the Hugging Face hub, through the optional library `datasets`."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from adapters.sources.formats import Shape, detect, shape_of_columns
from adapters.sources.records import Broken, Records, encode
from adapters.sources.source import Part, Source
from domain.errors import DomainError, Invalid, Refused, Unavailable

if TYPE_CHECKING:
    from datasets import Dataset, DatasetBuilder, IterableDataset

_NAME = re.compile(r"\w[\w.-]*/\w[\w.-]*", re.ASCII)
_NOT_ALLOWED = (401, 403)
_BUSY = 429
_FAILURE = 500

_NO_ANSWER = {"ConnectionError", "TransportError", "ClientConnectionError", "TimeoutError", "Timeout"}
"""Classes of the standard library, httpx, aiohttp and requests, one of which a version of the hub's uses."""


def open_huggingface(
    dataset: str,
    *,
    token: str | None,
    split: str = "train",
    streaming: bool = True,
    text_column: str | None = None,
    limit: int | None = None,
) -> Source:
    """The rows of a split, read over the network as they are asked for, or from a copy that is fetched first.

    Raises `domain.errors.Refused` (the extra is not installed; the hub wants a token, or another one),
    `Unavailable` (the hub does not answer) or `Invalid` (no such split; nothing in it that can be read).
    `rows` may raise `Refused` and `Unavailable` as well, after the rows that came before.
    """
    if not _NAME.fullmatch(dataset) or Path(dataset).exists():
        raise Invalid(f"{dataset!r} is not the name of a data set on the hub: give it as owner/name")
    rows = _Split(dataset, split, token, streaming)
    rows.shape(text_column)
    return Source(dataset, [Part(rows, text_column)], rows.fingerprint, limit)


@dataclass(frozen=True)
class _Split:
    """Fixed to the revision that the hub had when it was first asked."""

    dataset: str
    split: str
    token: str | None = field(repr=False)
    streaming: bool

    @cached_property
    def total(self) -> int | None:
        """As the card of the data set says, or as the copy has it."""
        counts = self._builder.info.splits or {}
        return counts[self.split].num_examples or None if self.split in counts else None

    def fingerprint(self) -> str:
        revision = f"{self.dataset}@{self._builder.hash}/{self.split}"
        return hashlib.sha256(revision.encode()).hexdigest()

    def shape(self, text_column: str | None) -> Shape:
        import pyarrow as pa

        features = self._rows.features
        if features is None:
            return Shape(text_column, turns=False) if text_column else detect(self.records(0))
        schema = features.arrow_schema
        lists = {column.name for column in schema if pa.types.is_nested(column.type)}
        return shape_of_columns(self.dataset, schema.names, text_column, lists)

    def records(self, skip: int) -> Records:
        row = skip
        try:
            for record in self._rows.skip(skip):
                row += 1
                yield encode(record)
        except Exception as error:
            fault = _fault(self.dataset, error)
            if not isinstance(fault, Invalid):
                raise fault from error
            row += 1
            yield Broken(f"breaks off before row {row}: {_first_line(error)}", breaks=True)
        return row

    @cached_property
    def _builder(self) -> DatasetBuilder:
        try:
            return _library().load_dataset_builder(self.dataset, token=self.token)
        except DomainError:
            raise
        except Exception as error:
            raise _fault(self.dataset, error) from error

    @cached_property
    def _rows(self) -> Dataset | IterableDataset:
        builder = self._builder
        try:
            if self.streaming:
                return builder.as_streaming_dataset(split=self.split)
            builder.download_and_prepare()
            return builder.as_dataset(split=self.split)
        except Exception as error:
            raise _fault(self.dataset, error) from error


def _library() -> ModuleType:
    try:
        datasets = import_module("datasets")
    except ImportError:
        raise Refused(
            "the Hugging Face hub needs an extra: pip install 'lmsys-query-analysis[huggingface]'"
        ) from None
    datasets.disable_progress_bars()
    return datasets


def _fault(dataset: str, error: Exception) -> DomainError:
    """What went wrong, by the status of the answer if the hub gave one: the library hides it in causes."""
    for cause in _causes(error):
        answer = getattr(cause, "response", cause)
        status = getattr(answer, "status_code", None) or getattr(answer, "status", None) or 0
        names = {ancestor.__name__ for ancestor in type(cause).__mro__}
        if status in _NOT_ALLOWED or "DatasetNotFoundError" in names:
            return Refused(
                f"the hub does not give {dataset}: it does not exist, or HUGGINGFACE_TOKEN must hold a token "
                f"that may read it, after its terms are accepted at https://huggingface.co/datasets/{dataset}"
            )
        if status == _BUSY or status >= _FAILURE or names & _NO_ANSWER:
            return Unavailable(f"the Hugging Face hub does not answer for {dataset}: {_first_line(error)}")
    return Invalid(f"{dataset} cannot be read from the hub: {_first_line(error)}")


def _causes(error: BaseException) -> Iterator[BaseException]:
    waiting, seen = [error], set[int]()
    while waiting:
        cause = waiting.pop(0)
        if id(cause) not in seen:
            seen.add(id(cause))
            yield cause
            waiting += [deeper for deeper in (cause.__cause__, cause.__context__) if deeper]


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).partition("\n")[0][:200]
