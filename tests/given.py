"""`given(history).when(decision).then(event)`: a decision of an aggregate, as a test reads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

import pytest

from domain.base import Aggregate
from domain.errors import DomainError

A = TypeVar("A", bound=Aggregate)


class given(Generic[A]):
    """An aggregate with its history behind it."""

    def __init__(self, aggregate: A) -> None:
        self.aggregate = aggregate
        aggregate.collect_events()
        self._decide: Callable[[A], Any] = lambda one: None

    def when(self, decide: Callable[[A], Any]) -> given[A]:
        self._decide = decide
        return self

    def then(self, kind: type, /, **fields: Any) -> Any:  # noqa: ANN401
        """Exactly one event of this kind, with these fields among others. Returns it."""
        self._decide(self.aggregate)
        events = self.aggregate.collect_events()
        assert [type(one) for one in events] == [kind]
        assert {name: getattr(events[0], name) for name in fields} == fields
        return events[0]

    def then_nothing(self) -> None:
        self._decide(self.aggregate)
        assert self.aggregate.collect_events() == []

    def refuses(self, error: type[DomainError], match: str) -> None:
        """The decision is refused with these words, and nothing has happened."""
        with pytest.raises(error, match=match):
            self._decide(self.aggregate)
        assert self.aggregate.collect_events() == []
