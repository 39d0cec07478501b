"""Templates as YAML files, in and out."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, File, Query, Response, UploadFile

from adapters.templates import MOST_BYTES, read_template, write_template
from api.deps import Commands, CommandsDep, ContainerDep, OperationResponse
from api.templates.answers import LARGEST, Reason, TemplateId
from commands.templates import PutTemplate
from domain.base import context
from domain.errors import DomainError, Invalid
from domain.templates import Template
from domain.values import digest

router = APIRouter(prefix="/api/templates", tags=["templates"])

MOST_FILES = 500


@router.get(
    "/{template_id}/export",
    response_class=Response,
    responses={200: {"content": {"application/yaml": {}}, "description": "The template as a YAML file"}},
)
def export_template(
    template_id: TemplateId,
    container: ContainerDep,
    number: Annotated[int | None, Query(ge=1, le=LARGEST, description="A version, else the present.")] = None,
) -> Response:
    """A file that `sync` takes, here or elsewhere, and that comes to the same hash."""
    template = container.store.load(Template, template_id)
    if number is None:
        template.check_there()
    version = template.version_at(number or template.number)
    body = write_template(template.at(version.number), version.label, template_id)
    headers = {
        "Content-Disposition": f'attachment; filename="{template_id}.yaml"',
        "ETag": f'"{version.template_hash}"',
    }
    return Response(body, media_type="application/yaml", headers=headers)


@router.post("/sync")
def sync_templates(
    commands: CommandsDep,
    files: Annotated[list[UploadFile], File(description="A template each, as YAML.")],
    reason: Reason = None,
) -> OperationResponse:
    """Take templates from files: a bad one is reported with its lines, the others are taken."""
    if len(files) > MOST_FILES:
        raise Invalid(f"files: there are {len(files)}; {MOST_FILES} are allowed at once")
    taken: list[dict[str, Any]] = []
    rejected: list[dict[str, Any]] = []
    for index, file in enumerate(files):
        try:
            answer = _sync(commands, index, file, reason)
        except DomainError as error:
            wrong = error.details or [{"detail": error.message}]
            rejected += [
                {"file": file.filename, "line": one.get("line"), "reason": one.get("detail", error.message)}
                for one in wrong
            ]
        else:
            taken.append({"file": file.filename, **answer})
    counted = Counter(one["status"] for one in taken)
    counts = {status: counted[status] for status in ("created", "updated", "unchanged")}
    status = "synced" if not rejected else "partly" if taken else "rejected"
    return OperationResponse(status=status, data={"templates": taken, **counts, "rejected": rejected})


def _sync(commands: Commands, index: int, file: UploadFile, reason: str | None) -> dict[str, Any]:
    """Each file is a command of its own, and has an idempotency key of its own."""
    body = file.file.read(MOST_BYTES + 1)
    try:
        given = read_template(body.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        line = body.count(b"\n", 0, error.start) + 1
        raise Invalid("this is no UTF-8", [{"line": line, "detail": "this is no UTF-8"}]) from error
    now = context.get()
    key = None if now.idempotency_key is None else f"{now.idempotency_key}/{index}"
    command = PutTemplate(
        content=given.content, label=given.version, source="yaml", template_id=given.template_id
    )
    token = context.set(replace(now, idempotency_key=key, request_hash=digest(body).hex()))
    try:
        return commands.handle(command, reason).answer
    finally:
        context.reset(token)
