"""Labels of results as they were given, or by what has become of them since."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Literal

from fastapi import Query

from adapters.bootstrap import Container
from domain.errors import NotFound
from domain.templates import Template

Vocabulary = Annotated[
    Literal["original", "current"],
    Query(description="`current`: in the labels of the template's newest version."),
]

UNDECIDED = "(undecided)"
"""In the present vocabulary: a label that was retired, or split without saying what it stands for."""


class Labels:
    """What the places of labels of a run are called."""

    def __init__(self, container: Container, run: dict[str, Any], vocabulary: str = "original") -> None:
        self.names: list[str] = run["labels"]
        if vocabulary == "current":
            template = container.store.load(Template, run["template_id"])
            number = run["template_number"]
            self.names = [template.translate(one, number) or UNDECIDED for one in run["labels"]]

    def name(self, place: int | None) -> str | None:
        return None if place is None else self.names[place]

    def places(self, name: str) -> tuple[int, ...]:
        """Those that are called so. Raises NotFound where there are none."""
        found = tuple(place for place, known in enumerate(self.names) if known == name)
        if not found:
            raise NotFound(f"there is no label {name!r} in this run")
        return found

    def added_up(self, counts: Iterable[tuple[int, int]]) -> dict[str, int]:
        """Counts by place as counts by name, the largest first."""
        totals: dict[str, int] = {}
        for place, count in counts:
            totals[self.names[place]] = totals.get(self.names[place], 0) + count
        return dict(sorted(totals.items(), key=lambda one: (-one[1], one[0])))
