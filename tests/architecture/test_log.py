"""Events hold ids and hashes: what people wrote, and vectors, lie beside the log and can be erased."""

import importlib
import inspect
from collections.abc import Iterator
from pathlib import Path

from domain.base import DomainEvent

ROOT = Path(__file__).parents[2]
CONTENT = {
    "body",
    "content",
    "contents",
    "conversation",
    "conversations",
    "query",
    "text",
    "turns",
    "vector",
    "vectors",
}


def everything_below(kind: type) -> Iterator[type]:
    for below in kind.__subclasses__():
        yield below
        yield from everything_below(below)


def events() -> list[type]:
    for path in sorted((ROOT / "domain").rglob("*.py")):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        importlib.import_module(name.removesuffix(".__init__"))
    return [kind for kind in everything_below(DomainEvent) if kind.__module__.startswith("domain.")]


def fields(kind: type) -> set[str]:
    return {name for base in kind.__mro__ for name in inspect.get_annotations(base)}


def test_the_events_are_found() -> None:
    assert {"ConversationsImported", "QueriesMoved"} <= {kind.__name__ for kind in events()}


def test_no_event_holds_what_people_wrote() -> None:
    found = {kind.__qualname__: fields(kind) & CONTENT for kind in events()}
    assert {name: names for name, names in found.items() if names} == {}
