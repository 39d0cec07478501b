"""docs/settings.md and the class of settings say the same, and nothing else reads the environment."""

import ast
from pathlib import Path

import pytest
from pydantic_core import PydanticUndefined

from adapters.settings import Settings, variable_of

ROOT = Path(__file__).parents[2]
PACKAGES = ("domain", "commands", "projections", "adapters", "api", "cli")
MODULES = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]


def shown(value: object) -> str:
    """A default as a person would write it into the environment."""
    if value is None or value == []:
        return "none"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def in_code() -> list[str]:
    return [
        f"| `{variable_of(name)}` | {shown(field.default)} | {field.description} |"
        for name, field in Settings.model_fields.items()
    ]


def in_docs() -> list[str]:
    lines = (ROOT / "docs/settings.md").read_text().splitlines()
    return [line for line in lines if line.startswith("| `")]


def test_the_table_of_the_docs_is_the_class() -> None:
    assert "\n".join(in_docs()) == "\n".join(in_code())


def test_every_field_has_a_default_and_a_description() -> None:
    bare = [
        name
        for name, field in Settings.model_fields.items()
        if field.default is PydanticUndefined or not field.description or "|" in field.description
    ]
    assert bare == []


def environment_reads(tree: ast.AST) -> list[int]:
    """Lines that name os.environ, os.getenv or the like."""
    names = {"environ", "environb", "getenv", "putenv", "unsetenv"}
    attributes = [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and node.attr in names
        and isinstance(node.value, ast.Name)
        and node.value.id == "os"
    ]
    imports = [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == "os" and names & {a.name for a in node.names}
    ]
    return attributes + imports


@pytest.mark.parametrize(
    "source", ["import os\nos.environ['A']", "import os\nos.getenv('A')", "from os import environ"]
)
def test_a_read_of_the_environment_is_seen(source: str) -> None:
    assert environment_reads(ast.parse(source))


def test_only_the_settings_read_the_environment() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}"
        for path in MODULES
        for line in environment_reads(ast.parse(path.read_text()))
    ]
    assert found == []
