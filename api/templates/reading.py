"""Templates and their versions, read."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query, Response

from adapters.templates import write_template
from api.deps import ContainerDep, Read, found, reads
from api.paging import PageDep, PaginatedResponse
from api.templates.answers import (
    LARGEST,
    Source,
    TemplateDetail,
    TemplateDifference,
    TemplateId,
    TemplateSummary,
    TemplateVersion,
    TemplateVersionDetail,
    detail,
    said,
)
from domain.errors import NotFound
from domain.templates import Template, difference
from projections import templates as read

router = APIRouter(prefix="/api/templates", tags=["templates"])

Number = Annotated[int, Path(ge=1, le=LARGEST, description="Of a version: 1, 2, ...")]
Since = Annotated[int, Query(alias="from", ge=1, le=LARGEST, description="A version's number.")]
Until = Annotated[int | None, Query(alias="to", ge=1, le=LARGEST, description="Without it the present.")]


@router.get("", dependencies=reads)
def list_templates(
    connection: Read,
    page: PageDep,
    text: Annotated[str | None, Query(max_length=200, description="In the id, name or a label.")] = None,
    label: Annotated[str | None, Query(max_length=200, description="Has a label of this name.")] = None,
    source: Source | None = None,
    include_deleted: bool = False,
) -> PaginatedResponse[TemplateSummary]:
    """Templates by their id."""
    rows, total = read.list_templates(
        connection,
        page.limit,
        page.offset,
        text=text,
        label=label,
        source=source,
        include_deleted=include_deleted,
    )
    items = [{**row, "label_count": len(row["labels"]), "example_count": row["examples"]} for row in rows]
    return page.of(TemplateSummary, items, total)


@router.get("/{template_id}", dependencies=reads)
def get_template(
    template_id: TemplateId, connection: Read, response: Response, include_deleted: bool = False
) -> TemplateDetail:
    """A template as it is now. The ETag is its hash."""
    row = found(read.find_template(connection, template_id), f"template {template_id!r}")
    if row["deleted"] and not include_deleted:
        raise NotFound(f"template {template_id!r} was deleted; a rollback or a POST brings it back")
    response.headers["ETag"] = f'"{row["template_hash"]}"'
    return detail(row)


@router.get("/{template_id}/versions", dependencies=reads)
def list_versions(
    template_id: TemplateId, connection: Read, page: PageDep
) -> PaginatedResponse[TemplateVersion]:
    """All that a template has been, newest first; of one that was deleted as well."""
    found(read.find_template(connection, template_id), f"template {template_id!r}")
    rows, total = read.list_versions(connection, template_id, page.limit, page.offset)
    items = [{**row, "example_count": row["examples"]} for row in rows]
    return page.of(TemplateVersion, items, total)


@router.get("/{template_id}/versions/{number}", dependencies=reads)
def get_version(template_id: TemplateId, number: Number, connection: Read) -> TemplateVersionDetail:
    """A template as it was in a version."""
    row = found(
        read.find_version(connection, template_id, number), f"version {number} of template {template_id!r}"
    )
    content = row["content"]
    yaml_content = write_template(content, row["version"], template_id)
    counted = {"example_count": row["examples"], "yaml_content": yaml_content}
    return TemplateVersionDetail.model_validate({**row, **counted, **said(content)})


@router.get("/{template_id}/diff")
def diff_versions(
    template_id: TemplateId, container: ContainerDep, since: Since, until: Until = None
) -> TemplateDifference:
    """What lies between two versions, and what each label of the one is called in the other."""
    template = container.store.load(Template, template_id)
    to = until or template.number
    between = difference(template.at(since), template.at(to))
    labels = template.version_at(since).labels
    numbers = {"from_number": since, "to_number": to}
    words = {"translations": {one: template.translate(one, since, to) for one in labels}}
    return TemplateDifference.model_validate({**between, **numbers, **words})
