"""Writes docs/events.md from the classes of the events: `python -m docs.generate_events`."""

from __future__ import annotations

import dataclasses
import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from adapters.event_store.store import AGGREGATES
from domain.base import Aggregate, DomainEvent

PAGE = Path(__file__).with_name("events.md")
COMMON = {"originator_id", "originator_version", "originator_topic", "timestamp"}
INTRODUCTION = """\
# Events

<!-- Written by `python -m docs.generate_events`; a test holds it to the code. -->

What the log holds, by aggregate. An event is a row of `log.events`: its `position` in the log, the
`stream` of its aggregate and its `version` there, its `type` (the topic below), its fields as `data`,
and as `meta` who acted, why, by which command, and what caused it. All `data` has the `timestamp` of
the decision as well. Text of people and vectors stand beside the log; an event has their SHA-256.

An event never changes: a new form is a new version, and the old one is read through an upcast."""


def page() -> str:
    parts = [INTRODUCTION, *("\n".join(section(one)) for one in AGGREGATES)]
    return "\n\n".join(parts) + "\n"


def section(aggregate: Any) -> Iterator[str]:  # noqa: ANN401
    yield f"## {aggregate.__name__}: `{aggregate.PREFIX}/<name>`\n"
    yield f"{inspect.getdoc(sys.modules[aggregate.__module__])}\n"
    yield "| Topic | Fields | Meaning |"
    yield "| --- | --- | --- |"
    for kind in recorded(aggregate):
        if issubclass(kind, Aggregate.Event):
            yield f"| {topic(kind)} | {'<br>'.join(fields(kind))} | {meaning(kind)} |"


def recorded(aggregate: type) -> Iterator[Any]:
    """What an aggregate records, in the order of its declaration; the library copies that of its bases."""
    for kind in vars(aggregate).values():
        if isinstance(kind, type) and issubclass(kind, DomainEvent) and hasattr(kind, "TOPIC"):
            yield kind


def topic(kind: Any) -> str:  # noqa: ANN401
    version = getattr(kind, "class_version", 1)
    return f"`{kind.TOPIC}`" + (f" v{version}" if version > 1 else "")


def fields(kind: Any) -> Iterator[str]:  # noqa: ANN401
    for field in dataclasses.fields(kind):
        if field.name not in COMMON:
            yield f"`{field.name}: {field.type}`".replace("|", "\\|")


def meaning(kind: type) -> str:
    """What is written at its declaration, which the library derives the class in use from."""
    for declared in (one for one in kind.__mro__ if one.__name__ == kind.__name__):
        written = inspect.cleandoc(vars(declared).get("__doc__") or "")
        if written and not written.startswith(f"{kind.__name__}("):  # a data class has its signature for it
            return " ".join(written.split()).replace("|", "\\|")
    return ""


if __name__ == "__main__":
    PAGE.write_text(page())
