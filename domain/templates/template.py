"""A template with all its versions: what it says, and what became of its labels from one to the next."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, cast

from domain.base import Aggregate, event
from domain.errors import NotFound, Stale, Unavailable
from domain.templates.content import TemplateContent
from domain.templates.migration import Change, Migration, backward, forward

Source = Literal["db", "yaml"]


BodyOf = Callable[[str], bytes | None]
"""What lies beside the log under a hash."""


def _nowhere(template_hash: str) -> bytes | None:
    return None


@dataclass(frozen=True)
class Version:
    """`changes`: those that made it of the version before; None where it was written anew.

    `label`: what its author calls it (`1.2`). `hashes`: of its content, the present one last; there are more
    than one where examples were erased.
    """

    number: int
    name: str
    label: str | None
    source: Source
    labels: tuple[str, ...]
    hashes: tuple[str, ...]
    changes: tuple[Change, ...] | None = None
    rolled_back_to: int | None = None

    @property
    def template_hash(self) -> str:
        return self.hashes[-1]


class Template(Aggregate):
    TOPIC = "template"
    PREFIX = "template"

    class Created(Aggregate.Created):
        """The first version. Its content lies beside the log under `template_hash`; `labels` are their names,
        `examples` how many there are, `version` what its author calls it.
        """

        TOPIC = "template.created"
        template_id: str
        name: str
        version: str | None
        source: str
        labels: list[str]
        examples: int
        template_hash: str

    class Revised(Aggregate.Event):
        """The next version. `rolled_back_to`: the one that it says the same as. One deleted is back."""

        TOPIC = "template.revised"
        number: int
        name: str
        version: str | None
        source: str
        labels: list[str]
        examples: int
        template_hash: str
        rolled_back_to: int | None

    class LabelsMigrated(Aggregate.Event):
        """The next version, by `changes`: `{kind, from, to, default}`, all at once."""

        TOPIC = "template.labels_migrated"
        number: int
        name: str
        version: str | None
        source: str
        labels: list[str]
        examples: int
        template_hash: str
        changes: list[dict[str, Any]]

    class ExamplesErased(Aggregate.Event):
        """Versions without the examples that a conversation had: `{number, was, template_hash, examples}`.

        `was`: the hash that the version had before. There is nothing under it any more.
        """

        TOPIC = "template.examples_erased"
        versions: list[dict[str, Any]]

    class Deleted(Aggregate.Event):
        """It is offered no more. All versions stay, and a new one brings it back."""

        TOPIC = "template.deleted"

    @staticmethod
    def create_id(template_id: str) -> str:
        return Template.stream(template_id)

    @staticmethod
    def create(
        template_id: str, content: TemplateContent, label: str | None = None, source: Source = "db"
    ) -> Template:
        made = Template(template_id=template_id, **_recorded(content, label, source))
        made.remember(content)
        return made

    def __init__(
        self,
        template_id: str,
        name: str,
        version: str | None,
        source: str,
        labels: list[str],
        examples: int,
        template_hash: str,
    ) -> None:
        self.template_id = template_id
        self.deleted = False
        self.versions: list[Version] = []
        self.contents: dict[str, TemplateContent] = {}
        self._body_of: BodyOf = _nowhere
        self._add(1, name, version, source, labels, template_hash)

    # --- what it says

    @property
    def number(self) -> int:
        """Of the present version: 1, 2, ..."""
        return len(self.versions)

    @property
    def current(self) -> Version:
        return self.versions[-1]

    @property
    def source(self) -> Source:
        return self.current.source

    @property
    def content(self) -> TemplateContent:
        """Of the present version."""
        return self.at(self.number)

    def at(self, number: int) -> TemplateContent:
        """The content of a version. Raises NotFound, and Unavailable while examples are being erased."""
        template_hash = self.version_at(number).template_hash
        if template_hash not in self.contents and (body := self._body_of(template_hash)) is not None:
            self.contents[template_hash] = TemplateContent.decode(body)
        found = self.contents.get(template_hash)
        if found is None:
            raise Unavailable(
                f"version {number} of template {self.template_id!r} is being changed; try again"
            )
        return found

    def version_at(self, number: int) -> Version:
        if not 1 <= number <= self.number:
            raise NotFound(f"template {self.template_id!r} has versions 1 to {self.number}, not {number}")
        return self.versions[number - 1]

    def version_with(self, template_hash: str) -> int | None:
        """The newest version that has or had this hash."""
        return next((one.number for one in reversed(self.versions) if template_hash in one.hashes), None)

    def recall_by(self, body_of: BodyOf) -> None:
        """Have contents read, when they are asked for, from beside the log."""
        self.contents, self._body_of = {}, body_of

    def remember(self, content: TemplateContent) -> None:
        self.contents[content.template_hash] = content

    # --- changes

    def check_hash(self, template_hash: str) -> None:
        """Raises Stale with the present hash where this is another."""
        if template_hash != self.current.template_hash:
            raise Stale(
                f"template_hash: template {self.template_id!r} has changed since you read it;"
                f" it is now {self.current.template_hash}",
                [{"pointer": "/template_hash", "template_hash": self.current.template_hash}],
            )

    def check_there(self) -> None:
        if self.deleted:
            raise NotFound(f"template {self.template_id!r} was deleted; a rollback or a POST brings it back")

    def revise(
        self,
        content: TemplateContent,
        label: str | None = None,
        source: Source = "db",
        *,
        rolled_back_to: int | None = None,
    ) -> None:
        """The next version; what says the same as the present one changes nothing.

        What says the same as an older one is a roll-back, also where an old file has brought it: so it is
        known what became of the labels.
        """
        same = self.version_with(content.template_hash)
        if same == self.number and self.current.label == label and not self.deleted:
            return
        if rolled_back_to is None and same != self.number:
            rolled_back_to = same
        fields = _recorded(content, label, source)
        self._revised(number=self.number + 1, rolled_back_to=rolled_back_to, **fields)
        self.remember(content)

    @event(Revised)
    def _revised(
        self,
        number: int,
        name: str,
        version: str | None,
        source: str,
        labels: list[str],
        examples: int,
        template_hash: str,
        rolled_back_to: int | None,
    ) -> None:
        self.deleted = False
        self._add(number, name, version, source, labels, template_hash, rolled_back_to=rolled_back_to)

    def roll_back(self, number: int) -> None:
        """Say again, as a new version, what this one said."""
        version = self.version_at(number)
        self.revise(self.at(number), version.label, version.source, rolled_back_to=number)

    def migrate(self, migration: Migration) -> None:
        """The next version, with other labels, of which it is known what became of the old ones."""
        self.check_there()
        content = migration.apply(self.content)
        changes = [one.as_event() for one in migration.changes]
        fields = _recorded(content, self.current.label, "db")
        self._labels_migrated(number=self.number + 1, changes=changes, **fields)
        self.remember(content)

    @event(LabelsMigrated)
    def _labels_migrated(
        self,
        number: int,
        name: str,
        version: str | None,
        source: str,
        labels: list[str],
        examples: int,
        template_hash: str,
        changes: list[dict[str, Any]],
    ) -> None:
        made = tuple(Change.of_event(one) for one in changes)
        self._add(number, name, version, source, labels, template_hash, changes=made)

    def delete(self) -> None:
        self.check_there()
        self._deleted()

    @event(Deleted)
    def _deleted(self) -> None:
        self.deleted = True

    def erase_examples(
        self, query_ids: Collection[int], texts: Collection[bytes]
    ) -> dict[str, TemplateContent]:
        """Leave out, in all versions, the examples of these queries and those with texts of these digests.

        Hash → content in place of what lay under it, where there must be nothing any more.
        """
        instead: dict[str, TemplateContent] = {}
        for version in self.versions:
            was = self.at(version.number)
            now = was.without(query_ids, texts)
            if now is not was:
                instead[version.template_hash] = now
        if instead:
            hashes = {one.number: one.template_hash for one in self.versions}
            self._examples_erased(
                versions=[
                    {
                        "number": number,
                        "was": was,
                        "template_hash": instead[was].template_hash,
                        "examples": len(instead[was].examples),
                    }
                    for number, was in hashes.items()
                    if was in instead
                ]
            )
            self.contents = {one.template_hash: one for one in instead.values()}
        return instead

    @event(ExamplesErased)
    def _examples_erased(self, versions: list[dict[str, Any]]) -> None:
        for one in versions:
            was = self.versions[one["number"] - 1]
            self.versions[one["number"] - 1] = replace(was, hashes=(*was.hashes, one["template_hash"]))

    def _add(
        self,
        number: int,
        name: str,
        label: str | None,
        source: str,
        labels: Sequence[str],
        template_hash: str,
        *,
        changes: tuple[Change, ...] | None = None,
        rolled_back_to: int | None = None,
    ) -> None:
        self.versions.append(
            Version(
                number,
                name,
                label,
                cast(Source, source),
                tuple(labels),
                (template_hash,),
                changes,
                rolled_back_to,
            )
        )

    # --- labels of one version in the words of another

    def translate(self, label: str, from_number: int, to_number: int | None = None) -> str | None:
        """What a label of one version is called in another, by what became of the labels in between.

        None where a person must decide: a label that was split without a default, retired, or dropped, and,
        backwards, one that comes of several; so is a label that the version does not have.
        """
        to_number = self.version_at(to_number or self.number).number
        step = 1 if to_number > from_number else -1
        now = label if label in self.version_at(from_number).labels else None
        for number in range(from_number, to_number, step):
            if now is not None:
                now = self._step(now, number, number + step)
        return now

    def _step(self, label: str, number: int, to: int) -> str | None:
        """From a version to the one after or before it."""
        later, earlier = self.versions[max(number, to) - 1], self.versions[min(number, to) - 1]
        goal = self.versions[to - 1].labels
        if later.rolled_back_to is not None:
            if to > number:
                return self.translate(label, number, later.rolled_back_to)
            return self.translate(label, later.rolled_back_to, to)
        changes = later.changes or ()
        found = forward(changes, label) if to > number else backward(changes, earlier.labels, label)
        return found if found in goal else None


def _recorded(content: TemplateContent, label: str | None, source: Source) -> dict[str, Any]:
    """What the log has of a version."""
    return {
        "name": content.name,
        "version": label,
        "source": source,
        "labels": list(content.label_names),
        "examples": len(content.examples),
        "template_hash": content.template_hash,
    }
