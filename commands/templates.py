"""Templates: created, revised, rolled back, deleted, and labels that become others."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from commands.bus import Handler
from commands.ports import EventStore, Outcome
from domain.base import context
from domain.errors import Invalid, Stale
from domain.templates import Migration, Template, TemplateContent, read_content
from domain.templates.template import Source
from domain.values import digest

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


@dataclass(frozen=True, kw_only=True)
class PutTemplate:
    """The next version of the template with this id, or the first. `template_id` None: that of the name.

    `label`: what its author calls the version.
    """

    content: TemplateContent
    label: str | None = None
    source: Source = "db"
    template_id: str | None = None


@dataclass(frozen=True, kw_only=True)
class ReviseTemplate:
    """`template_hash`: that of the version which the author has seen; here or as If-Match.

    `fields` as `read_content` takes them, with `version`; those that are left out stay as they are.
    """

    template_id: str
    fields: Mapping[str, Any]
    template_hash: str | None = None
    source: Source = "db"


@dataclass(frozen=True, kw_only=True)
class RollBackTemplate:
    """To version `number`, as a new version. `template_hash` None: whatever there is now."""

    template_id: str
    number: int
    template_hash: str | None = None


@dataclass(frozen=True, kw_only=True)
class DeleteTemplate:
    template_id: str
    template_hash: str | None = None


@dataclass(frozen=True, kw_only=True)
class MigrateLabels:
    """`changes` as in `domain.templates.migration`. `dry_run`: decided and answered, and not done."""

    template_id: str
    changes: Sequence[Mapping[str, Any]]
    template_hash: str | None = None
    dry_run: bool = False


def put_template(cmd: PutTemplate, store: EventStore) -> Outcome:
    template_id = _checked_id(cmd.template_id) if cmd.template_id else _free_id(cmd.content.name, store)
    template = store.find(Template, template_id)
    if template is None:
        template = Template.create(template_id, cmd.content, cmd.label, cmd.source)
        return _outcome(template, "created")
    _check_seen(template)
    template.revise(cmd.content, cmd.label, cmd.source)
    return _outcome(template, "updated" if template.pending_events else "unchanged")


def _checked_id(template_id: str) -> str:
    if not _ID.fullmatch(template_id):
        raise Invalid(
            f"template_id {template_id!r}: use 1 to 128 letters, digits, '.', '_' or '-',"
            " the first a letter or digit"
        )
    return template_id


def _free_id(name: str, store: EventStore) -> str:
    """That of the template which is called so, or one that nobody has."""
    for template_id in _ids(name):
        template = store.find(Template, template_id)
        if template is None or template.current.name == name:
            return template_id
    raise AssertionError("there are ids without end")


def _ids(name: str) -> Iterator[str]:
    """`support-tickets`, then the same with `-2`, `-3`, ..."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    slug = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:64].rstrip("-") or "template"
    yield slug
    for number in range(2, 1_000_000):
        yield f"{slug}-{number}"


def revise_template(cmd: ReviseTemplate, store: EventStore) -> Outcome:
    template = store.load(Template, cmd.template_id)
    template.check_there()
    _check_seen(template, cmd.template_hash)
    if cmd.template_hash is None and context.get().expected_hash is None:
        raise Invalid(
            "template_hash is missing: give that of the version you have seen, in the body or as If-Match"
        )
    now = asdict(template.content)
    content = read_content({**now, **{k: v for k, v in cmd.fields.items() if k != "version"}})
    template.revise(content, cmd.fields.get("version", template.current.label), cmd.source)
    return _outcome(template, "updated" if template.pending_events else "unchanged")


def roll_back_template(cmd: RollBackTemplate, store: EventStore) -> Outcome:
    template = store.load(Template, cmd.template_id)
    _check_seen(template, cmd.template_hash)
    template.roll_back(cmd.number)
    return _outcome(template, "updated" if template.pending_events else "unchanged")


def delete_template(cmd: DeleteTemplate, store: EventStore) -> Outcome:
    template = store.load(Template, cmd.template_id)
    _check_seen(template, cmd.template_hash)
    template.delete()
    return _outcome(template, "deleted")


def migrate_labels(cmd: MigrateLabels, store: EventStore) -> Outcome:
    template = store.load(Template, cmd.template_id)
    _check_seen(template, cmd.template_hash)
    before = template.content
    template.migrate(Migration.read(cmd.changes))
    outcome = _outcome(template, "dry_run" if cmd.dry_run else "updated")
    answer = {
        **outcome.answer,
        "changes": [one.as_event() for one in template.current.changes or ()],
        "labels": list(template.content.label_names),
        "undecided": [
            one for one in before.label_names if template.translate(one, template.number - 1) is None
        ],
        "examples_left_out": len(before.examples) - len(template.content.examples),
    }
    return Outcome((), answer) if cmd.dry_run else Outcome(outcome.aggregates, answer, outcome.contents)


def _check_seen(template: Template, template_hash: str | None = None) -> None:
    """Raises Stale where the caller, in the command or by If-Match, has seen another version."""
    if (version := context.get().expected_version) is not None:
        raise Stale(
            f"If-Match {version}: the ETag of a template is its hash, now {template.current.template_hash}"
        )
    for seen in (template_hash, context.get().expected_hash):
        if seen is not None:
            template.check_hash(seen)


def _outcome(template: Template, status: str) -> Outcome:
    body = template.content.body
    answer = {
        "template_id": template.template_id,
        "number": template.number,
        "template_hash": template.current.template_hash,
        "status": status,
    }
    return Outcome((template,), answer, contents={digest(body): body})


HANDLERS: dict[type, Handler] = {
    DeleteTemplate: delete_template,
    MigrateLabels: migrate_labels,
    PutTemplate: put_template,
    ReviseTemplate: revise_template,
    RollBackTemplate: roll_back_template,
}
