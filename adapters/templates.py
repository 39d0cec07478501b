"""Templates as YAML files: read with the line of everything that is wrong, and written.

A reader of its own, not `safe_load`: `labels: [yes, no]` and `version: 1.10` mean what they look like, a key
that stands twice is refused, and so are aliases, by which a small file unfolds to a huge one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import yaml

from domain.errors import Invalid
from domain.templates import TemplateContent, read_content

MOST_BYTES = 1_000_000
MOST_DEPTH = 20
NULL = "tag:yaml.org,2002:null"
STANDARD = {
    f"tag:yaml.org,2002:{kind}" for kind in ("null", "bool", "int", "float", "timestamp", "str", "seq", "map")
}

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True)
class TemplateFile:
    """`template_id`: of the template that the file is a version of; None for that of its name."""

    content: TemplateContent
    version: str | None
    template_id: str | None


class _Misplaced(Exception):
    """Something that is wrong with the YAML, at a line."""

    def __init__(self, line: int, words: str) -> None:
        super().__init__(words)
        self.line = line


def read_template(text: str) -> TemplateFile:
    """Raises Invalid with `line`, `pointer` and `detail` for each thing that is wrong."""
    lines: dict[str, int] = {}
    try:
        fields = _fields(text, lines)
    except _Misplaced as error:
        raise Invalid(f"line {error.line}: {error}", [_fault(error.line, "", str(error))]) from error
    version, template_id = fields.pop("version", None), fields.pop("template_id", None)
    for name, value in (("version", version), ("template_id", template_id)):
        if value is not None and not (isinstance(value, str) and 0 < len(value) <= 128):
            line = lines[f"/{name}"]
            detail = f"{name}: a text of at most 128 characters is wanted"
            raise Invalid(f"line {line}: {detail}", [_fault(line, f"/{name}", detail)])
    try:
        return TemplateFile(read_content(fields), version, template_id)
    except Invalid as error:
        faults = [
            _fault(_line_of(one["pointer"], lines), one["pointer"], one["detail"]) for one in error.details
        ] or [_fault(1, "", error.message)]
        raise Invalid(f"line {faults[0]['line']}: {error.message}", faults) from error


def _fault(line: int, pointer: str, detail: str) -> dict[str, Any]:
    return {"line": line, "pointer": pointer, "detail": detail}


def _line_of(pointer: str, lines: dict[str, int]) -> int:
    """Of the innermost part that stands in the file."""
    while pointer and pointer not in lines:
        pointer = pointer.rpartition("/")[0]
    return lines.get(pointer, 1)


def _fields(text: str, lines: dict[str, int]) -> dict[str, Any]:
    """`lines` is filled with the line of each pointer."""
    if len(text.encode()) > MOST_BYTES:
        raise _Misplaced(1, f"the file has more than {MOST_BYTES:,} bytes")
    try:
        _check_events(text)
        root = yaml.compose(text, Loader=_Loader)
        if not isinstance(root, yaml.MappingNode):
            raise _Misplaced(1, "a template is a mapping: name, labels, ...")
        return {key: _field(key, line, node, lines) for key, line, node in _pairs(root)}
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        raise _Misplaced(line, error.problem or "this is no YAML") from error
    except yaml.YAMLError as error:
        raise _Misplaced(1, f"this is no YAML: {error}") from error


def _check_events(text: str) -> None:
    """What would unfold or be nested without end, before anything is built of it."""
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        line = event.start_mark.line + 1 if event.start_mark else 1
        if isinstance(event, yaml.AliasEvent):
            raise _Misplaced(line, f"*{event.anchor}: aliases are not taken; write it out")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > MOST_DEPTH:
            raise _Misplaced(line, f"it is nested more than {MOST_DEPTH} deep")


def _pairs(node: yaml.MappingNode) -> list[tuple[str, int, yaml.Node]]:
    """Key, its line, and value."""
    seen: dict[str, int] = {}
    for key, _ in node.value:
        line = key.start_mark.line + 1
        if not isinstance(key, yaml.ScalarNode):
            raise _Misplaced(line, "a key is a plain word")
        if key.value in seen:
            raise _Misplaced(line, f"{key.value!r} stands here again, after line {seen[key.value]}")
        seen[key.value] = line
    return [(key.value, seen[key.value], value) for key, value in node.value]


def _field(name: str, line: int, node: yaml.Node, lines: dict[str, int]) -> object:
    """A schema is JSON with numbers and truth values; all else in a template is text."""
    try:
        value = _plain(node, line, f"/{name}", lines)
        if name == "answer_schema" and value is not None:
            return yaml.constructor.SafeConstructor().construct_document(node)
    except ValueError as error:  # 2025-13-01, or a number of 5,000 digits
        raise _Misplaced(line, f"{name}: {error}") from error
    return value


def _plain(node: yaml.Node, line: int, pointer: str, lines: dict[str, int]) -> object:
    lines[pointer] = line
    if node.tag not in STANDARD:
        raise _Misplaced(line, f"the tag {node.tag} is not taken")
    if isinstance(node, yaml.SequenceNode):
        items = [(one.start_mark.line + 1, f"{pointer}/{index}", one) for index, one in enumerate(node.value)]
        return [_plain(one, at, below, lines) for at, below, one in items]
    if isinstance(node, yaml.MappingNode):
        return {key: _plain(one, at, f"{pointer}/{key}", lines) for key, at, one in _pairs(node)}
    if node.tag == NULL:
        return None
    return int(node.value) if pointer.endswith("/query_id") and node.value.isdecimal() else node.value


def write_template(content: TemplateContent, version: str | None, template_id: str | None = None) -> str:
    """A file of which `read_template` makes the same content, with the same hash."""
    fields: dict[str, Any] = {
        "template_id": template_id,
        "name": content.name,
        "version": version,
        "description": content.description,
        "labels": [
            {"name": one.name, "description": one.description} if one.description else one.name
            for one in content.labels
        ],
        "examples": [
            {name: value for name, value in vars(one).items() if value is not None}
            for one in content.examples
        ],
        "prompt": content.prompt,
        "answer_schema": content.answer_schema,
    }
    given = {name: value for name, value in fields.items() if value not in (None, [])}
    return str(yaml.dump(given, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100))


class _Dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]
    """Writes texts of several lines as blocks, and repeats what stands twice instead of naming it."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def _text(dumper: Any, text: str) -> yaml.ScalarNode:  # noqa: ANN401
    style = "|" if "\n" in text else None
    return cast(yaml.ScalarNode, dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style))


_Dumper.add_representer(str, _text)
