"""What lies between two contents of a template."""

from __future__ import annotations

import json
from difflib import unified_diff
from typing import Any

from domain.templates.content import TemplateContent


def difference(before: TemplateContent, after: TemplateContent) -> dict[str, Any]:
    """Labels and examples that came and went, and the words that are others; prompts as a unified diff."""
    was = {label.name: label.description for label in before.labels}
    now = {label.name: label.description for label in after.labels}
    described = [
        {"name": name, "before": was[name], "after": now[name]}
        for name in now
        if name in was and was[name] != now[name]
    ]
    return {
        "same": before == after,
        "fields": {
            field: {"before": getattr(before, field), "after": getattr(after, field)}
            for field in ("name", "description")
            if getattr(before, field) != getattr(after, field)
        },
        "labels_added": [name for name in now if name not in was],
        "labels_removed": [name for name in was if name not in now],
        "labels_described": described,
        "examples_added": _only_in(after, before),
        "examples_removed": _only_in(before, after),
        "prompt": _lines_changed(before.prompt, after.prompt),
        "answer_schema": _lines_changed(_pretty(before), _pretty(after)),
    }


def _only_in(one: TemplateContent, other: TemplateContent) -> list[dict[str, Any]]:
    there = set(other.examples)
    return [dict(vars(example)) for example in one.examples if example not in there]


def _lines_changed(before: str | None, after: str | None) -> str:
    """A unified diff; empty where they are the same."""
    lines = unified_diff(
        (before or "").splitlines(), (after or "").splitlines(), "before", "after", lineterm=""
    )
    return "\n".join(lines)


def _pretty(content: TemplateContent) -> str | None:
    schema = content.answer_schema
    return None if schema is None else json.dumps(schema, indent=2, ensure_ascii=False)
