"""Changes of the labels of a template that say where each old label went, and labels read by them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

import msgspec

from domain.errors import Invalid
from domain.templates.checking import checked
from domain.templates.content import Example, Label, TemplateContent

Kind = Literal["rename", "merge", "split", "retire"]


class NewLabel(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    description: str | None = None


class _Given(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    kind: Kind
    sources: str | Annotated[list[str], msgspec.Meta(min_length=1)] = msgspec.field(name="from")
    targets: str | NewLabel | list[str | NewLabel] = msgspec.field(name="to", default_factory=list)
    default: str | None = None


@dataclass(frozen=True)
class Change:
    """`sources` become `targets`. `default`: of a split, what an old label stands for until it is decided."""

    kind: Kind
    sources: tuple[str, ...]
    targets: tuple[str, ...]
    default: str | None = None

    @property
    def stands_for(self) -> str | None:
        """What a result with an old label has now; None where a person must decide, or nothing is left."""
        return self.default if self.kind == "split" else next(iter(self.targets), None)

    def as_event(self) -> dict[str, Any]:
        fields = {"kind": self.kind, "from": list(self.sources), "to": list(self.targets)}
        return {**fields, "default": self.default}

    @staticmethod
    def of_event(fields: Mapping[str, Any]) -> Change:
        return Change(fields["kind"], tuple(fields["from"]), tuple(fields["to"]), fields["default"])


@dataclass(frozen=True)
class Migration:
    """Changes that happen at once: each old label is in one of them at most.

    `described`: the descriptions that new labels come with.
    """

    changes: tuple[Change, ...]
    described: Mapping[str, str]

    def __post_init__(self) -> None:
        twice = _repeated(one for change in self.changes for one in change.sources)
        if twice:
            raise Invalid(f"changes: label {twice!r} is changed twice; all changes happen at once")

    @staticmethod
    def read(given: Sequence[Mapping[str, Any]]) -> Migration:
        """Raises Invalid naming the change and what is wrong with it."""
        if not given:
            raise Invalid("changes is empty: say what happens to which label")
        described: dict[str, str] = {}
        changes = tuple(_change(index, one, described) for index, one in enumerate(given))
        return Migration(changes, described)

    def apply(self, content: TemplateContent) -> TemplateContent:
        """The content with the labels of after. Examples follow; those that nobody can place are left out."""
        self._check_known(content)
        made = [label for old in content.labels for label in self._instead(old, content)]
        _check_unique(made)
        examples = [new for old in content.examples if (new := self._moved(old)) is not None]
        return checked(replace(content, labels=tuple(made), examples=tuple(examples)))

    def _check_known(self, content: TemplateContent) -> None:
        known = set(content.label_names)
        for index, change in enumerate(self.changes):
            if unknown := next((one for one in change.sources if one not in known), None):
                raise Invalid(f"changes[{index}].from: the template has no label {unknown!r}")

    def _instead(self, old: Label, content: TemplateContent) -> list[Label]:
        """What stands at the place of a label: new labels at that of the first source of their change."""
        change = _change_of(self.changes, old.name)
        if change is None:
            return [replace(old, description=self.described.get(old.name, old.description))]
        changed = {one for each in self.changes for one in each.sources}
        stays = set(content.label_names) - changed
        if old.name != change.sources[0] or (change.kind == "merge" and change.targets[0] in stays):
            return []
        return [Label(name, self._description(name, change, content)) for name in change.targets]

    def _description(self, name: str, change: Change, content: TemplateContent) -> str:
        """The one that came with the change, else that of the label itself; one that is renamed keeps its."""
        whose = change.sources[0] if change.kind == "rename" else name
        was = {label.name: label.description for label in content.labels if label.name in change.sources}
        return self.described.get(name, was.get(whose, ""))

    def _moved(self, example: Example) -> Example | None:
        label = forward(self.changes, example.label)
        return None if label is None else replace(example, label=label)


def forward(changes: Iterable[Change], label: str) -> str | None:
    """What a label of before stands for after the changes; itself where none concerns it."""
    change = _change_of(changes, label)
    return label if change is None else change.stands_for


def backward(changes: Iterable[Change], before: Iterable[str], label: str) -> str | None:
    """The one label of before that a label of after comes from; None where that cannot be told."""
    sources = {one for change in changes if label in change.targets for one in change.sources}
    changed = {one for change in changes for one in change.sources}
    if label in before and label not in changed:
        sources.add(label)
    return sources.pop() if len(sources) == 1 else None


def _change_of(changes: Iterable[Change], label: str) -> Change | None:
    return next((one for one in changes if label in one.sources), None)


def _change(index: int, fields: Mapping[str, Any], described: dict[str, str]) -> Change:
    at = f"changes[{index}]"
    try:
        given = msgspec.convert(fields, _Given)
    except msgspec.ValidationError as error:
        raise Invalid(f"{at}: {error}") from error
    sources = (given.sources,) if isinstance(given.sources, str) else tuple(given.sources)
    targets = given.targets if isinstance(given.targets, list) else [given.targets]
    names = tuple(one if isinstance(one, str) else one.name for one in targets)
    described |= {
        one.name: one.description
        for one in targets
        if isinstance(one, NewLabel) and one.description is not None
    }
    change = Change(given.kind, sources, names, given.default)
    _check_shape(at, change)
    return change


_SHAPES: dict[Kind, tuple[int, int, int, int]] = {
    "rename": (1, 1, 1, 1),
    "merge": (1, 1_000, 1, 1),
    "split": (1, 1, 2, 1_000),
    "retire": (1, 1_000, 0, 0),
}
"""How many labels a change takes and gives: least and most of each."""


def _check_shape(at: str, change: Change) -> None:
    least_from, most_from, least_to, most_to = _SHAPES[change.kind]
    if not least_from <= len(change.sources) <= most_from:
        raise Invalid(f"{at}.from: a {change.kind} takes one label, not {len(change.sources)}")
    if not least_to <= len(change.targets) <= most_to:
        wanted = {0: "none", 1: "one label"}.get(least_to, "two labels or more")
        raise Invalid(f"{at}.to: a {change.kind} gives {wanted}, not {len(change.targets)}")
    if twice := _repeated(change.targets):
        raise Invalid(f"{at}.to: label {twice!r} stands there twice")
    if change.default is not None and (change.kind != "split" or change.default not in change.targets):
        raise Invalid(f"{at}.default: it must be one of the labels that a split gives")
    if change.kind == "rename" and change.sources == change.targets:
        raise Invalid(f"{at}: a rename of {change.sources[0]!r} to itself changes nothing")


def _check_unique(labels: Iterable[Label]) -> None:
    if twice := _repeated(label.name for label in labels):
        raise Invalid(
            f"changes: there would be two labels {twice!r}; merge into a label that there is already"
        )


def _repeated(names: Iterable[str]) -> str | None:
    return next((name for name, count in Counter(names).items() if count > 1), None)
