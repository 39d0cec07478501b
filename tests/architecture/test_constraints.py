"""constraints.txt pins what pyproject.toml asks for, and neither it nor any other file names a machine."""

import re
import subprocess
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
LINES = (ROOT / "constraints.txt").read_text().splitlines()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
WANTED = [
    Requirement(text)
    for texts in (PROJECT["dependencies"], *PROJECT["optional-dependencies"].values())
    for text in texts
]
ELSEWHERE = re.compile(r"/(?:root|home/\w+|Users/\w+)/|//[\w.-]+/simple\b|//[^\s\"']+\.(?:whl|tar\.gz)\b")


def test_a_line_is_a_name_and_a_version() -> None:
    assert [line for line in LINES if not re.fullmatch(r"[a-z0-9][a-z0-9.-]*==[0-9][0-9a-z.+!]*", line)] == []
    assert sorted(LINES) == LINES


def test_the_tools_that_install_are_not_pinned() -> None:
    names = {line.partition("==")[0] for line in LINES}
    assert not names & {"pip", "uv", "setuptools", canonicalize_name(PROJECT["name"])}


def test_every_requirement_of_every_extra_has_a_version_that_it_allows() -> None:
    pins = dict(line.split("==") for line in LINES)
    versions = [(wanted, pins.get(canonicalize_name(wanted.name))) for wanted in WANTED]
    assert [str(wanted) for wanted, version in versions if version is None] == []
    assert [str(wanted) for wanted, version in versions if not wanted.specifier.contains(version or "")] == []


def test_no_file_names_a_path_of_a_machine_or_a_registry() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    found = []
    for name in filter(None, listed.stdout.split("\0")):
        path = ROOT / name
        if path.is_file() and path != Path(__file__) and b"\0" not in path.read_bytes():
            found += [
                f"{name}: {hit.group()}" for hit in ELSEWHERE.finditer(path.read_text(errors="replace"))
            ]
    assert found == []
