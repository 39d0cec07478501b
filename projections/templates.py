"""Templates and all their versions, with what they say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import (
    ARRAY,
    Boolean,
    Column,
    ColumnElement,
    Connection,
    DateTime,
    Integer,
    RowMapping,
    Select,
    Table,
    Text,
    and_,
    any_,
    func,
    literal,
    or_,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import JSONB, insert

from domain.templates import Template, TemplateContent
from projections.base import BATCH, ReadStore, Recorded, read_model

tables = read_model("templates")

templates = Table(
    "templates",
    tables,
    Column("template_id", Text, primary_key=True),
    Column("number", Integer, nullable=False),
    Column("deleted", Boolean, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("updated_at", DateTime(timezone=True), nullable=False),
    Column("updated_by", Text, nullable=False),
)

versions = Table(
    "versions",
    tables,
    Column("template_id", Text, primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("name", Text, nullable=False),
    Column("version", Text),
    Column("description", Text),
    Column("source", Text, nullable=False),
    Column("labels", ARRAY(Text), nullable=False),
    Column("examples", Integer, nullable=False),
    Column("template_hash", Text, nullable=False, index=True),
    Column("body", Text),
    Column("changes", JSONB(none_as_null=True)),
    Column("rolled_back_to", Integer),
    Column("made_at", DateTime(timezone=True), nullable=False),
    Column("made_by", Text, nullable=False),
    Column("reason", Text),
)
"""`body`: the canonical form, as text because its order counts; None for a moment of a rebuild, where the
content was erased and what stands in its place comes with a later event."""


class TemplatesProjection:
    name = "templates"
    tables = tables
    batch = BATCH
    handles: frozenset[type] = frozenset(
        {
            Template.Created,
            Template.Revised,
            Template.LabelsMigrated,
            Template.ExamplesErased,
            Template.Deleted,
        }
    )

    def project(self, events: Sequence[Recorded], store: ReadStore) -> None:
        for one in events:
            self._project(one, store)

    def _project(self, one: Recorded, store: ReadStore) -> None:
        event = one.event
        changed = {"updated_at": one.event.timestamp, "updated_by": one.meta.get("actor", "system")}
        match event:
            case Template.Created():
                new = {
                    "template_id": one.name,
                    "number": 1,
                    "deleted": False,
                    "created_at": one.event.timestamp,
                }
                store.execute(insert(templates).values({**new, **changed}))
                store.execute(insert(versions).values(_version(one, 1, store)))
            case Template.Revised() | Template.LabelsMigrated():
                store.execute(insert(versions).values(_version(one, event.number, store)))
                self._change(one, {"number": event.number, "deleted": False, **changed}, store)
            case Template.Deleted():
                self._change(one, {"deleted": True, **changed}, store)
            case Template.ExamplesErased():
                self._replace(one, store)
                self._change(one, changed, store)

    def _change(self, one: Recorded, values: Mapping[str, Any], store: ReadStore) -> None:
        store.execute(update(templates).where(templates.c.template_id == one.name).values(**values))

    def _replace(self, one: Recorded, store: ReadStore) -> None:
        for each in one.event.versions:
            values = {
                "template_hash": each["template_hash"],
                "examples": each["examples"],
                **_said(each["template_hash"], store),
            }
            where = and_(versions.c.template_id == one.name, versions.c.number == each["number"])
            store.execute(update(versions).where(where).values(**values))


def _version(one: Recorded, number: int, store: ReadStore) -> dict[str, Any]:
    same = ("name", "version", "source", "labels", "examples", "template_hash")
    return {
        **{field: getattr(one.event, field) for field in same},
        "template_id": one.name,
        "number": number,
        **_said(one.event.template_hash, store),
        "changes": getattr(one.event, "changes", None),
        "rolled_back_to": getattr(one.event, "rolled_back_to", None),
        "made_at": one.event.timestamp,
        "made_by": one.meta.get("actor", "system"),
        "reason": one.meta.get("reason"),
    }


def _said(template_hash: str, store: ReadStore) -> dict[str, Any]:
    address = bytes.fromhex(template_hash)
    body = store.contents([address]).get(address)
    if body is None:
        return {"body": None, "description": None}
    return {"body": body.decode(), "description": TemplateContent.decode(body).description}


# --- queries -------------------------------------------------------------------------------------


OF_A_LIST = [one for one in versions.c if one.name != "body"]
"""A thousand bodies would be a gigabyte at worst."""


def _present(of_version: Sequence[Column[Any]]) -> Select[Any]:
    """Each template with its present version."""
    same = and_(versions.c.template_id == templates.c.template_id, versions.c.number == templates.c.number)
    further = [one for one in of_version if one.name not in templates.c]
    return select(templates, *further).select_from(templates.join(versions, same))


def list_templates(
    connection: Connection,
    limit: int,
    offset: int,
    *,
    text: str | None = None,
    label: str | None = None,
    source: str | None = None,
    include_deleted: bool = False,
) -> tuple[list[dict[str, Any]], int]:
    """A page of templates by their id, and how many there are. `text`: in the id, the name or a label."""
    where: list[ColumnElement[bool]] = [] if include_deleted else [~templates.c.deleted]
    if text is not None:
        words = (templates.c.template_id, versions.c.name, func.array_to_string(versions.c.labels, "\n"))
        where.append(or_(*(one.icontains(text, autoescape=True) for one in words)))
    if label is not None:
        where.append(literal(label) == any_(versions.c.labels))
    if source is not None:
        where.append(versions.c.source == source)
    wanted = _present(OF_A_LIST).where(*where)
    total = connection.execute(select(func.count()).select_from(wanted.subquery())).scalar_one()
    page = wanted.order_by(templates.c.template_id).limit(limit).offset(offset)
    return [dict(row) for row in connection.execute(page).mappings()], total


def find_template(connection: Connection, template_id: str) -> dict[str, Any] | None:
    """A template with its present version, deleted or not."""
    wanted = _present(list(versions.c)).where(templates.c.template_id == template_id)
    row = connection.execute(wanted).mappings().first()
    return _with_content(row) if row else None


def present_hash(connection: Connection, template_id: str) -> str | None:
    """Of the present version of a template that is not deleted."""
    wanted = _present([]).with_only_columns(versions.c.template_hash)
    where = and_(templates.c.template_id == template_id, ~templates.c.deleted)
    return connection.execute(wanted.where(where)).scalar()


def find_content(connection: Connection, template_hash: str) -> TemplateContent | None:
    """What a version says that has this hash; None once it is erased."""
    where = versions.c.template_hash == template_hash
    body = connection.execute(select(versions.c.body).where(where).limit(1)).scalar()
    return None if body is None else TemplateContent.decode(body.encode())


def list_versions(
    connection: Connection, template_id: str, limit: int, offset: int
) -> tuple[list[dict[str, Any]], int]:
    """A page of the versions of a template, newest first, and how many there are."""
    of_it = versions.c.template_id == template_id
    total = connection.execute(select(func.count()).select_from(versions).where(of_it)).scalar_one()
    newest = versions.c.number.desc()
    page = select(*OF_A_LIST).where(of_it).order_by(newest).limit(limit).offset(offset)
    return [dict(row) for row in connection.execute(page).mappings()], total


def find_version(connection: Connection, template_id: str, number: int) -> dict[str, Any] | None:
    where = and_(versions.c.template_id == template_id, versions.c.number == number)
    row = connection.execute(select(versions).where(where)).mappings().first()
    return _with_content(row) if row else None


def _with_content(row: RowMapping) -> dict[str, Any]:
    """With `content`, what it says."""
    body = row["body"]
    content = None if body is None else TemplateContent.decode(body.encode())
    return {**{name: value for name, value in row.items() if name != "body"}, "content": content}
