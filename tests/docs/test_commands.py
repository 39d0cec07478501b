"""Every `lmsys …` in the documentation is a command that exists, with options that exist."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer

from cli.main import app

ROOT = Path(__file__).parents[2]
LMSYS: Any = typer.main.get_command(app)
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def commands_of(page: Path) -> list[str]:
    """`lmsys` and what follows: in code blocks, behind the `$` of a session, and in code within a line."""
    text = page.read_text()
    blocks = re.findall(r"^```(\w*)\n(.*?)^```", text, re.S | re.M)
    outside = re.sub(r"^```.*?^```", "", text, flags=re.S | re.M)
    lines = [line for kind, block in blocks if kind in ("", "bash", "sh") for line in block.splitlines()]
    lines += [
        line for kind, block in blocks if kind == "console" for line in re.findall(r"^\$ .*", block, re.M)
    ]
    lines += re.findall(r"`([^`]+)`", outside)
    found = [re.search(r"(?<![\w/-])lmsys ([a-z].*)", line) for line in lines]
    return [re.split(r" \\\||\||#|\)$| > ", match[1])[0].strip() for match in found if match]


CASES = [
    pytest.param(page, command, id=f"{page.stem}: {command}")
    for page in PAGES
    for command in commands_of(page)
]


def test_there_are_commands_to_look_at() -> None:
    assert len(CASES) > 30


@pytest.mark.parametrize(("page", "command"), CASES)
def test_a_documented_command_exists(page: Path, command: str) -> None:
    words = shlex.split(command.replace("…", ""))
    found = LMSYS
    while words and words[0] in getattr(found, "commands", {}):
        found = found.commands[words.pop(0)]
    assert found.name != "lmsys", f"{page.name} names a command that does not exist: lmsys {command}"
    known = {name for parameter in found.params for name in (*parameter.opts, *parameter.secondary_opts)}
    assert {word.split("=")[0] for word in words if word.startswith("--")} <= known
