"""Labels for texts at once: nothing is kept of them, and no event says that they were asked for."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

import msgspec
import structlog
from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from prometheus_client import Counter
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.types import Receive

from adapters.bootstrap import Container
from adapters.kept import Kept
from adapters.templates import read_template
from api.deps import ContainerDep, found
from api.limits import limit_predictions
from api.lines import NDJSON, Line, LinesResponse, received
from commands.ports import Item, Labelled, Limits
from domain.errors import DomainError, Invalid, Unavailable
from domain.templates import TemplateContent
from projections import templates as read

router = APIRouter(prefix="/api/predict", tags=["predictions"], dependencies=[Depends(limit_predictions)])
log = structlog.get_logger()

AT_ONCE = 1_000
"""Texts of a batch that are classified together, and held."""

ASKED_AT_ONCE = 32
"""The same where each is a question to a language model: the first answer comes after so many."""

LONGEST_ID = 200

predictions = Counter(
    "lmsys_predictions", "Texts classified by the prediction endpoints", ["provider", "outcome"]
)


class _Asked(BaseModel):
    """By which template (one of the two), and by what: `local/nearest` where nothing is named."""

    model_config = ConfigDict(strict=True)

    template_id: str | None = Field(None, max_length=200)
    template_yaml: str | None = None
    provider: str | None = Field(None, max_length=100)
    model: str | None = Field(None, max_length=400)


class SinglePredictionRequest(_Asked):
    text: str = Field(min_length=1)


class SinglePredictionResponse(BaseModel):
    """`confidence`: what it means depends on the model. `answer`: what else the template asks for."""

    label: str
    reasoning: str | None = None
    template_hash: str
    confidence: float | None = None
    model: str
    answer: Mapping[str, Any] | None = None


class BatchPredictionItem(BaseModel):
    id: str = Field(max_length=LONGEST_ID)
    text: str


class BatchPredictionRequest(_Asked):
    items: list[BatchPredictionItem]


class BatchPredictionResultItem(BaseModel):
    """One line. Where there is an `error`, `label` is empty, and `line` says which line it was."""

    id: str
    label: str
    reasoning: str | None = None
    confidence: float | None = None
    answer: Mapping[str, Any] | None = None
    error: str | None = None
    line: int | None = None


@router.post("")
def predict(body: SinglePredictionRequest, container: ContainerDep) -> SinglePredictionResponse:
    """The label of a text."""
    if body.text.isspace():
        raise Invalid("text: there is nothing in it but white space")
    served = _Served(container, body)
    (found,) = served.classify([Item(0, body.text)], Limits(concurrency=1))
    served.note()
    if found.label is None:
        raise Unavailable(f"{served.classifier.model} gave no label: {found.error}")
    return SinglePredictionResponse(
        label=found.label,
        reasoning=found.reasoning,
        template_hash=served.template.template_hash,
        confidence=found.confidence,
        model=served.classifier.model,
        answer=found.answer,
    )


def _batch_body() -> dict[str, Any]:
    """Either form of it. FastAPI would read all of a body that it knows the form of."""
    schema = BatchPredictionRequest.model_json_schema()
    line = schema.pop("$defs")["BatchPredictionItem"]
    schema["properties"]["items"]["items"] = line
    content = {"application/json": {"schema": schema}, NDJSON: {"schema": line}}
    return {"requestBody": {"required": True, "content": content}}


@router.post(
    "/batch",
    status_code=200,
    response_class=LinesResponse,
    responses={200: {"content": {NDJSON: {"schema": BatchPredictionResultItem.model_json_schema()}}}},
    openapi_extra=_batch_body(),
)
async def predict_batch(
    request: Request,
    container: ContainerDep,
    template_id: Annotated[str | None, Query(max_length=200, description="With lines as the body.")] = None,
    provider: Annotated[str | None, Query(max_length=100, description="With lines as the body.")] = None,
    model: Annotated[str | None, Query(max_length=400, description="With lines as the body.")] = None,
) -> Response:
    """A label or an error for each text, a line each, in order; answered while it is read.

    Texts come as `items` of a JSON body, or as lines of JSON, as many as there are, with `id` and `text` in
    each and the template in the parameters. Whoever sends more lines than fit between two ends of a
    connection must read while it sends.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == NDJSON:
        asked = _Asked(template_id=template_id, provider=provider, model=model)
        served = await run_in_threadpool(_Served, container, asked)
        longest = container.settings.max_body_bytes
        return LinesResponse(partial(_entries_of_lines, longest, served.at_once), served.answer, served.note)
    body = _checked_body(await request.body())
    served = await run_in_threadpool(_Served, container, body)
    entries = [_Entry(number, item.id, item.text) for number, item in enumerate(body.items, 1)]
    return LinesResponse(partial(_blocks, entries, served.at_once), served.answer, served.note)


def _checked_body(body: bytes) -> BatchPredictionRequest:
    try:
        return BatchPredictionRequest.model_validate_json(body)
    except ValidationError as error:
        wrong = [{**one, "loc": ("body", *one["loc"])} for one in error.errors(include_url=False)]
        raise RequestValidationError(wrong) from None


@dataclass(frozen=True)
class _Entry:
    """A line that asks for a label. `error`: why it cannot have one."""

    line: int
    id: str
    text: str
    error: str | None = None


class _Given(msgspec.Struct):
    text: str
    id: str | int | None = None


_decode = msgspec.json.Decoder(_Given).decode


def _entry(line: Line, longest: int) -> _Entry:
    if line.body is None:
        return _Entry(line.number, "", "", f"the line has more than {longest} bytes")
    try:
        given = _decode(line.body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return _Entry(line.number, "", "", f'{error}; a line is {{"id": ..., "text": ...}}')
    name = str(line.number if given.id is None else given.id)
    long = f"the id has more than {LONGEST_ID} characters" if len(name) > LONGEST_ID else None
    return _Entry(line.number, name[:LONGEST_ID], given.text, long)


async def _entries_of_lines(longest: int, most: int, receive: Receive) -> AsyncIterator[Sequence[_Entry]]:
    async for lines in received(receive, longest, most):
        yield [_entry(line, longest) for line in lines]


async def _blocks(entries: list[_Entry], most: int, receive: Receive) -> AsyncIterator[Sequence[_Entry]]:
    for start in range(0, len(entries), most):
        yield entries[start : start + most]


class _Row(msgspec.Struct, omit_defaults=True):
    """`BatchPredictionResultItem` as it is written."""

    id: str
    label: str
    reasoning: str | None = None
    confidence: float | None = None
    answer: Mapping[str, Any] | None = None
    error: str | None = None
    line: int | None = None


_encode = msgspec.json.Encoder().encode_lines


class _Served:
    """One request: by what it is answered, and what is counted of it."""

    def __init__(self, container: Container, asked: _Asked) -> None:
        self.classifier = container.classifiers.get(container.classifiers.named(asked.provider, asked.model))
        self.template = _template(container, asked)
        self.provider = self.classifier.model.partition("/")[0]
        self.at_once = AT_ONCE if self.provider == "local" else ASKED_AT_ONCE
        self._begun = time.perf_counter()
        self._counts = {"labelled": 0, "failed": 0}

    def classify(self, items: Sequence[Item], limits: Limits) -> list[Labelled]:
        found = list(self.classifier.classify(self.template, items, limits))
        self._count(sum(one.label is not None for one in found), len(items))
        return found

    def answer(self, entries: Sequence[_Entry]) -> bytes:
        """A line for each entry, in order; a classifier that fails has failed for each of them."""
        items = [Item(at, entry.text) for at, entry in enumerate(entries) if entry.error is None]
        try:
            found = {one.key: one for one in self.classify(items, Limits())}
        except DomainError as error:
            self._count(0, len(items))
            found = {item.key: Labelled(item.key, None, error=error.message) for item in items}
        self._count(0, len(entries) - len(items))
        return _encode([_row(entry, found.get(at)) for at, entry in enumerate(entries)])

    def note(self) -> None:
        """`PredictionServed`, with how many and by what; no word of the texts."""
        log.info(
            "PredictionServed",
            model=self.classifier.model,
            template_hash=self.template.template_hash,
            ms=round((time.perf_counter() - self._begun) * 1000, 1),
            **self._counts,
        )

    def _count(self, labelled: int, of: int) -> None:
        for outcome, count in (("labelled", labelled), ("failed", of - labelled)):
            self._counts[outcome] += count
            predictions.labels(self.provider, outcome).inc(count)


_contents = Kept[str, TemplateContent](64 * 1024**2, lambda content: 400 * len(content.examples) + 10_000)


def _template(container: Container, asked: _Asked) -> TemplateContent:
    """The present version. Its hash is looked up each time, what it says only where that is not known yet."""
    if (asked.template_id is None) == (asked.template_yaml is None):
        raise Invalid("give one of template_id and template_yaml")
    if asked.template_yaml is not None:
        try:
            return read_template(asked.template_yaml).content
        except Invalid as error:
            raise Invalid(f"template_yaml: {error.message}", error.details) from None
    name = asked.template_id or ""
    with container.database.engine.connect() as connection:
        template_hash = found(read.present_hash(connection, name), f"template {name!r}")
        return _contents.get(
            template_hash,
            lambda: found(read.find_content(connection, template_hash), f"content of template {name!r}"),
        )


def _row(entry: _Entry, found: Labelled | None) -> _Row:
    if found is None or found.label is None:
        error = entry.error or (found.error if found else None) or "no answer"
        return _Row(entry.id, "", error=error, line=entry.line)
    return _Row(entry.id, found.label, found.reasoning, found.confidence, found.answer)
