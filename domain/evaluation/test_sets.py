"""A test set: versions of labelled cases, each frozen by the hash of its manifest."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from domain.base import Aggregate, event
from domain.errors import Invalid, NotFound
from domain.evaluation.cases import MAX_REPORTED, Manifest
from domain.values import digest

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True)
class Version:
    """`manifest`: SHA-256 (hex) of the manifest beside the log, the hash that freezes it."""

    number: int
    manifest: str
    cases: int


class TestSet(Aggregate):
    TOPIC = "test_set"
    PREFIX = "test_set"

    class Created(Aggregate.Created):
        TOPIC = "test_set.created"
        test_set: str
        description: str | None

    class VersionFrozen(Aggregate.Event):
        """`labels`: label → cases. `source`: where they are from. `errors`: the first rows that were not
        taken, `{row, reason}`; `rejected` counts all."""

        TOPIC = "test_set.version_frozen"
        number: int
        manifest: str
        cases: int
        labels: dict[str, int]
        source: dict[str, Any]
        rejected: int
        errors: list[dict[str, Any]]

    @staticmethod
    def create_id(test_set: str) -> str:
        return TestSet.stream(test_set)

    def __init__(self, test_set: str, description: str | None) -> None:
        self.test_set = test_set
        self.description = description
        self.versions: list[Version] = []

    def freeze(self, manifest: Manifest, source: dict[str, Any], rejected: list[dict[str, Any]]) -> Version:
        """The next version; the newest again where it has exactly these cases."""
        hashed = digest(manifest.encoded()).hex()
        if not self.versions or self.versions[-1].manifest != hashed:
            self._frozen(
                number=len(self.versions) + 1,
                manifest=hashed,
                cases=len(manifest),
                labels=manifest.counts(),
                source=source,
                rejected=len(rejected),
                errors=rejected[:MAX_REPORTED],
            )
        return self.versions[-1]

    @event(VersionFrozen)
    def _frozen(
        self,
        number: int,
        manifest: str,
        cases: int,
        labels: dict[str, int],
        source: dict[str, Any],
        rejected: int,
        errors: list[dict[str, Any]],
    ) -> None:
        self.versions.append(Version(number, manifest, cases))

    def at(self, number: int | None) -> Version:
        """The version of this number, None for the newest. Raises NotFound."""
        if number is None and self.versions:
            return self.versions[-1]
        if number is None or not 1 <= number <= len(self.versions):
            raise NotFound(
                f"test set {self.test_set!r} has no version {number}: it has 1 to {len(self.versions)}"
            )
        return self.versions[number - 1]


def check_name(name: str) -> str:
    """The name of a test set, or Invalid: it becomes part of streams and addresses."""
    if not NAME.fullmatch(name):
        raise Invalid(
            f"test set name {name!r}: use 1 to 64 letters, digits, '.', '_' or '-', "
            "the first a letter or digit"
        )
    return name
