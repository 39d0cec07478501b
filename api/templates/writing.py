"""Templates written: created, revised, rolled back, deleted, their labels migrated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Connection

from adapters.templates import TemplateFile, read_template
from api.deps import CommandsDep, ContainerDep, OperationResponse, Read
from api.templates.answers import (
    LARGEST,
    LabelModel,
    MigrationResponse,
    Reason,
    TemplateDetail,
    TemplateId,
    answered,
)
from commands.templates import (
    DeleteTemplate,
    MigrateLabels,
    PutTemplate,
    ReviseTemplate,
    RollBackTemplate,
)
from domain.errors import Invalid
from domain.templates import Template, read_content
from projections.classification import results_of_template

router = APIRouter(prefix="/api/templates", tags=["templates"])


class TemplateFields(BaseModel):
    """`labels`: names, or objects with a description. `yaml_content`: all of it as a file; what is given
    beside that must agree with it. `schema_module` is refused: give `answer_schema` instead.
    """

    model_config = ConfigDict(strict=True)

    name: str | None = None
    description: str | None = None
    version: str | None = Field(None, max_length=128, description="What you call this version.")
    labels: list[str | LabelModel] | None = None
    yaml_content: str | None = None
    prompt: str | None = Field(None, description="With {text}, and {labels} and {examples} where wanted.")
    schema_module: str | None = None
    answer_schema: dict[str, Any] | None = Field(None, description="A JSON schema of the answer.")
    examples: list[dict[str, Any]] | None = Field(
        None, description="Objects with text, label, and reasoning and query_id where known."
    )
    reason: str | None = Field(None, max_length=2_000)

    def given(self) -> dict[str, Any]:
        """The fields of a template that the client wrote."""
        return self.model_dump(include=FIELDS, exclude_unset=True)


FIELDS = {
    "name",
    "description",
    "version",
    "labels",
    "prompt",
    "schema_module",
    "answer_schema",
    "examples",
}


class TemplateCreateRequest(TemplateFields):
    template_id: str | None = Field(None, max_length=128, description="Else it is made of the name.")


class TemplateUpdateRequest(TemplateFields):
    """Fields that are left out stay as they are; null takes one away."""

    template_hash: str | None = Field(None, description="That of the version you have seen; or If-Match.")


class RollbackRequest(BaseModel):
    """`number`: the version to say again."""

    model_config = ConfigDict(strict=True)

    number: int = Field(ge=1, le=LARGEST)
    template_hash: str | None = None
    reason: str | None = Field(None, max_length=2_000)


class MigrateRequest(BaseModel):
    """`changes`: `{kind, from, to}` with kind rename, merge, split or retire; they happen at once.

    A split may have a `default`, one of its labels, for results that nobody has decided yet.
    """

    model_config = ConfigDict(strict=True)

    changes: list[dict[str, Any]] = Field(max_length=1_000)
    dry_run: bool = False
    template_hash: str | None = None
    reason: str | None = Field(None, max_length=2_000)


@router.post("", status_code=201, responses={200: {"model": TemplateDetail, "description": "It was there"}})
def put_template(
    body: TemplateCreateRequest, response: Response, container: ContainerDep, commands: CommandsDep
) -> TemplateDetail:
    """Create a template, or write the next version of the one that has this id or name. Nothing is lost by
    it: all versions can be read and come back by a rollback. What says the same as before changes nothing.
    """
    file = _file(body)
    fields = body.given()
    command = PutTemplate(
        content=file.content if file else read_content(_without_version(fields)),
        label=file.version if file else fields.get("version"),
        source="yaml" if file else "db",
        template_id=body.template_id or (file.template_id if file else None),
    )
    answer = commands.handle(command, body.reason).answer
    if answer["status"] != "created":
        response.status_code = 200
    commands.locate("templates", answer["template_id"])
    return answered(container, commands, answer)


@router.put("/{template_id}")
def revise_template(
    template_id: TemplateId, body: TemplateUpdateRequest, container: ContainerDep, commands: CommandsDep
) -> TemplateDetail:
    """Write the next version of what you have seen; 412 with the present hash where it is another by now."""
    file = _file(body)
    fields = {**asdict(file.content), "version": file.version} if file else body.given()
    command = ReviseTemplate(
        template_id=template_id,
        fields=fields,
        template_hash=body.template_hash,
        source="yaml" if file else "db",
    )
    return answered(container, commands, commands.handle(command, body.reason).answer)


@router.delete("/{template_id}")
def delete_template(
    template_id: TemplateId, commands: CommandsDep, reason: Reason = None
) -> OperationResponse:
    """Offer it no more. Its versions stay to be read, and a rollback or a POST brings it back."""
    return commands.operation(DeleteTemplate(template_id=template_id), reason, status="deleted")


@router.post("/{template_id}/rollback")
def roll_back_template(
    template_id: TemplateId, body: RollbackRequest, container: ContainerDep, commands: CommandsDep
) -> TemplateDetail:
    """Say again, as a new version, what an older one said."""
    command = RollBackTemplate(template_id=template_id, number=body.number, template_hash=body.template_hash)
    return answered(container, commands, commands.handle(command, body.reason).answer)


@router.post("/{template_id}/labels/migrate")
def migrate_labels(
    template_id: TemplateId,
    body: MigrateRequest,
    container: ContainerDep,
    commands: CommandsDep,
    connection: Read,
) -> MigrationResponse:
    """Rename, merge, split or retire labels, as a new version by which old results can still be read."""
    command = MigrateLabels(
        template_id=template_id,
        changes=body.changes,
        template_hash=body.template_hash,
        dry_run=body.dry_run,
    )
    answer = commands.handle(command, body.reason).answer
    commands.headers["ETag"] = f'"{answer["template_hash"]}"'
    results = _results(container.store.load(Template, template_id), answer, connection)
    undecided = sum(many for label, many in results.items() if label in answer["undecided"])
    counted = {"results": results, "results_undecided": undecided}
    return MigrationResponse.model_validate({**answer, **counted, "dry_run": body.dry_run})


def _results(template: Template, answer: Mapping[str, Any], connection: Connection) -> dict[str, int]:
    """How many results stand for each label that changes, whatever version they were made with."""
    before = answer["number"] - 1
    found = {label: 0 for change in answer["changes"] for label in change["from"]}
    for number, label, many in results_of_template(connection, template.template_id):
        now = template.translate(label, number, before) if number <= before else None
        if now in found:
            found[now] += many
    return found


def _file(body: TemplateFields) -> TemplateFile | None:
    """What `yaml_content` says, where there is one and all that is given beside it says the same."""
    if body.yaml_content is None:
        return None
    file = read_template(body.yaml_content)
    fields = {name: value for name, value in body.given().items() if value is not None}
    content = read_content({**asdict(file.content), **_without_version(fields)})
    other = [name for name in asdict(content) if getattr(content, name) != getattr(file.content, name)]
    if fields.get("version", file.version) != file.version:
        other.append("version")
    if other:
        raise Invalid(f"{other[0]}: it is not what yaml_content says; leave it out, or say the same")
    return file


def _without_version(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if name != "version"}
