"""The shape of the code: names that keep a feature whole, sizes that can be read, imports that start fast."""

import ast
import json
import pkgutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("domain", "commands", "projections", "adapters", "api", "cli")
FORBIDDEN = ("common", "events", "handlers", "helpers", "misc", "models", "schemas", "utils")
HEAVY = (
    "datasets",
    "faiss",
    "fastembed",
    "hdbscan",
    "matplotlib",
    "numba",
    "onnxruntime",
    "pandas",
    "pyarrow",
    "qdrant_client",
    "scipy",
    "sklearn",
    "torch",
)
LATE = ("adapters.migrations", "adapters.vectors.server")
"""Modules that are only ever imported inside a function, by Alembic and where a Qdrant server is used."""

LINES_OF_A_FILE = 500
LINES_OF_A_FUNCTION = 60

FILES = [
    path
    for folder in (*PACKAGES, "tests", "bench")
    for path in sorted((ROOT / folder).rglob("*.py"))
    if "__pycache__" not in path.parts
]


def shown(path: Path) -> str:
    return str(path.relative_to(ROOT))


def functions(path: Path) -> Iterator[tuple[str, int]]:
    """Names with their lengths in lines; a table of cases in a decorator is not counted."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield f"{shown(path)}:{node.lineno} {node.name}", (node.end_lineno or 0) - node.lineno + 1


def test_all_packages_are_looked_at() -> None:
    assert {shown(path).split("/")[0] for path in FILES} >= set(PACKAGES)


def test_no_module_is_named_after_a_kind_of_code() -> None:
    names = [path.parent.name if path.name == "__init__.py" else path.stem for path in FILES]
    assert [shown(path) for path, name in zip(FILES, names, strict=True) if name in FORBIDDEN] == []


def test_no_file_is_too_long_to_be_read() -> None:
    lengths = {shown(path): len(path.read_text().splitlines()) for path in FILES}
    assert {path: lines for path, lines in lengths.items() if lines > LINES_OF_A_FILE} == {}


def test_no_function_is_too_long_to_be_read() -> None:
    lengths = dict(function for path in FILES for function in functions(path))
    assert {name: lines for name, lines in lengths.items() if lines > LINES_OF_A_FUNCTION} == {}


def modules(package: str) -> list[str]:
    """Every module of a package, by its folder, so that nothing is imported to find them."""
    found = [package]
    for module in pkgutil.iter_modules([str(ROOT / package.replace(".", "/"))], f"{package}."):
        found += modules(module.name) if module.ispkg else [module.name]
    return found


IMPORT_EACH = """
import importlib, json, sys
names, heavy = json.loads(sys.argv[1])
found = {}
for name in names:
    importlib.import_module(name)
    new = sorted(word for word in heavy if word in sys.modules and word not in sum(found.values(), []))
    if new:
        found[name] = new
print(json.dumps(found))
"""


def heavy_imports(names: list[str], folder: Path) -> dict[str, list[str]]:
    done = subprocess.run(
        [sys.executable, "-c", IMPORT_EACH, json.dumps([names, HEAVY])],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, list[str]] = json.loads(done.stdout)
    return found


def test_a_heavy_import_is_seen(tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text("import scipy\n")
    assert heavy_imports(["slow"], tmp_path) == {"slow": ["scipy"]}


@pytest.mark.parametrize("package", PACKAGES)
def test_nothing_heavy_is_imported_at_start(package: str) -> None:
    """numba, hdbscan and the like take seconds: they are imported inside the functions that need them."""
    names = [name for name in modules(package) if not name.startswith(LATE)]
    assert heavy_imports(names, ROOT) == {}
