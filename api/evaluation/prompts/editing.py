"""Prompts: made, changed, read, taken out of what is offered."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Connection

from adapters.bootstrap import Container
from api.deps import CommandsDep, ContainerDep, OperationResponse, Read, found, reads
from api.evaluation.prompts.words import as_prompt, as_template, in_these_words
from api.paging import Limit, Page
from commands.templates import DeleteTemplate, PutTemplate, ReviseTemplate
from domain.errors import Conflict, Invalid, NotFound, Unavailable
from domain.templates import Template, TemplateContent, read_content
from projections import evaluation as read
from projections import templates as templates_read

router = APIRouter()


class PromptFields(BaseModel):
    """`template`: the words to ask with, {ticket} where the text stands; empty for the standard words."""

    model_config = ConfigDict(strict=True)

    name: str | None = None
    template: str | None = None
    categories: list[str] | None = None

    def fields(self) -> dict[str, Any]:
        """Of a template, those that were given."""
        given: dict[str, Any] = {} if self.name is None else {"name": self.name}
        if self.template is not None:
            given["prompt"] = as_prompt(self.template)
        return given


class PromptCreate(PromptFields):
    """Without `categories` those of the newest test set are taken."""

    id: str = Field(min_length=1, max_length=128)
    name: str
    template: str


class PromptResponse(BaseModel):
    id: str
    name: str
    template: str
    categories: list[str]
    created_at: datetime
    updated_at: datetime
    version: int


@router.get("/prompts", dependencies=reads)
def list_prompts(connection: Read, page: Page = 1, limit: Limit = 100) -> list[PromptResponse]:
    """Prompts by their id."""
    rows, _ = templates_read.list_templates(connection, limit, (page - 1) * limit)
    return [_prompt(_there(connection, row["template_id"])) for row in rows]


@router.post("/prompts", status_code=201)
def create_prompt(body: PromptCreate, container: ContainerDep, commands: CommandsDep) -> PromptResponse:
    """Create a prompt. 409 where there is one of this id."""
    before = container.store.find(Template, body.id)
    if before is not None and not before.deleted:
        raise Conflict(f"there is a prompt {body.id!r} already: PUT changes it")
    with container.database.engine.connect() as connection:
        labels = _newest_categories(connection) if body.categories is None else body.categories
    with in_these_words():
        content = read_content({**body.fields(), "labels": labels})
        commands.handle(PutTemplate(content=content, template_id=body.id))
    commands.headers["Location"] = f"/api/prompts/{body.id}"
    return _read(container, body.id)


def _newest_categories(connection: Connection) -> list[str]:
    test_set = read.newest_test_set(connection)
    if test_set is None:
        raise Invalid("categories is missing, and there is no test set to take them from")
    return sorted(test_set["labels"])


@router.get("/prompts/{prompt_id}", dependencies=reads)
def get_prompt(prompt_id: str, connection: Read) -> PromptResponse:
    """A prompt as it is now."""
    return _prompt(_there(connection, prompt_id))


@router.put("/prompts/{prompt_id}")
def edit_prompt(
    prompt_id: str, body: PromptFields, container: ContainerDep, commands: CommandsDep
) -> PromptResponse:
    """Change what is given; the rest stays, with examples and descriptions. Past versions stay readable."""
    fields = body.fields()
    with in_these_words():
        template = container.store.load(Template, prompt_id)
        if body.categories is not None:
            fields["labels"] = _described(template.content, body.categories)
        now = template.current.template_hash
        command = ReviseTemplate(template_id=prompt_id, fields=fields, template_hash=now)
        commands.handle(command)
    return _read(container, prompt_id)


def _described(content: TemplateContent, categories: Iterable[str]) -> list[dict[str, str]]:
    known = {one.name: one.description for one in content.labels}
    return [{"name": name, "description": known.get(name, "")} for name in categories]


@router.delete("/prompts/{prompt_id}")
def delete_prompt(prompt_id: str, commands: CommandsDep) -> OperationResponse:
    """Take a prompt out of what is offered. Its versions and runs stay."""
    with in_these_words():
        return commands.operation(DeleteTemplate(template_id=prompt_id), status="deleted")


def _read(container: Container, prompt_id: str) -> PromptResponse:
    with container.database.engine.connect() as connection:
        return _prompt(_there(connection, prompt_id))


def _there(connection: Connection, prompt_id: str) -> dict[str, Any]:
    row: dict[str, Any] = found(templates_read.find_template(connection, prompt_id), f"prompt {prompt_id!r}")
    if row["deleted"]:
        raise NotFound(f"prompt {prompt_id!r} was deleted")
    return row


def _prompt(row: Mapping[str, Any]) -> PromptResponse:
    content: TemplateContent | None = row["content"]
    if content is None:
        raise Unavailable(f"prompt {row['template_id']!r} is being changed; try again")
    return PromptResponse(
        id=row["template_id"],
        name=content.name,
        template=as_template(content.prompt),
        categories=list(content.label_names),
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        version=row["number"],
    )
