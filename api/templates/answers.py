"""Templates as they are answered."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import Path, Query
from pydantic import BaseModel, ConfigDict

from adapters.bootstrap import Container
from adapters.templates import write_template
from api.deps import Commands
from domain.templates import Template, TemplateContent

TemplateId = Annotated[str, Path(max_length=128)]
Reason = Annotated[str | None, Query(max_length=2_000, description="Why; it is kept with the event.")]
Source = Literal["db", "yaml"]
LARGEST = 2**31 - 1


class LabelModel(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")

    name: str
    description: str | None = None


class TemplateSummary(BaseModel):
    """`version`: what its author calls it. `number`: 1, 2, ... of all that there have been."""

    template_id: str
    name: str
    version: str | None = None
    description: str | None = None
    source: Source
    updated_at: datetime
    template_hash: str
    number: int
    deleted: bool
    label_count: int
    example_count: int


class TemplateDetail(TemplateSummary):
    """`yaml_content`: as a file that comes to the same hash. `label_definitions`: with descriptions."""

    yaml_content: str
    labels: list[str]
    label_definitions: list[LabelModel]
    examples: list[dict[str, Any]] | None = None
    prompt: str | None = None
    answer_schema: dict[str, Any] | None = None


class TemplateVersion(BaseModel):
    """`changes`: what became of labels, where they were migrated; `rolled_back_to`: what it repeats."""

    number: int
    name: str
    version: str | None = None
    source: Source
    template_hash: str
    labels: list[str]
    example_count: int
    changes: list[dict[str, Any]] | None = None
    rolled_back_to: int | None = None
    made_at: datetime
    made_by: str
    reason: str | None = None


class TemplateVersionDetail(TemplateVersion):
    description: str | None = None
    yaml_content: str
    label_definitions: list[LabelModel]
    examples: list[dict[str, Any]]
    prompt: str | None = None
    answer_schema: dict[str, Any] | None = None


class WordsChanged(BaseModel):
    before: str | None
    after: str | None


class LabelDescribed(BaseModel):
    name: str
    before: str
    after: str


class TemplateDifference(BaseModel):
    """`prompt` and `answer_schema` as unified diffs, empty where they are the same.

    `translations`: each label of `from` in the words of `to`; null where a person must decide.
    """

    from_number: int
    to_number: int
    same: bool
    fields: dict[str, WordsChanged]
    labels_added: list[str]
    labels_removed: list[str]
    labels_described: list[LabelDescribed]
    examples_added: list[dict[str, Any]]
    examples_removed: list[dict[str, Any]]
    prompt: str
    answer_schema: str
    translations: dict[str, str | None]


class MigrationResponse(BaseModel):
    """`undecided`: labels whose results a person must decide about; so many examples are left out for it.

    `results`: how many results of classification runs have a label that changes, in the words of the version
    before, older versions included; `results_undecided`: how many of them nobody could name any more.
    """

    template_id: str
    number: int
    template_hash: str
    dry_run: bool
    changes: list[dict[str, Any]]
    labels: list[str]
    undecided: list[str]
    examples_left_out: int
    results: dict[str, int]
    results_undecided: int


def answered(container: Container, commands: Commands, answer: Mapping[str, Any]) -> TemplateDetail:
    """The version that a command has made, whether or not the read models show it already."""
    commands.headers["ETag"] = f'"{answer["template_hash"]}"'
    template = container.store.load(Template, answer["template_id"])
    version = template.current
    return detail(
        {
            **vars(version),
            "template_id": template.template_id,
            "version": version.label,
            "template_hash": version.template_hash,
            "updated_at": template.modified_on,
            "deleted": template.deleted,
            "content": template.content,
        }
    )


def detail(row: Mapping[str, Any]) -> TemplateDetail:
    content = row["content"]
    yaml_content = write_template(content, row["version"], row["template_id"])
    counted = {"label_count": len(content.labels), "example_count": len(content.examples)}
    fields = {**row, **counted, **said(content), "yaml_content": yaml_content}
    return TemplateDetail.model_validate(fields)


def said(content: TemplateContent) -> dict[str, Any]:
    return {
        "description": content.description,
        "labels": list(content.label_names),
        "label_definitions": [vars(one) for one in content.labels],
        "examples": [vars(one) for one in content.examples],
        "prompt": content.prompt,
        "answer_schema": content.answer_schema,
    }
