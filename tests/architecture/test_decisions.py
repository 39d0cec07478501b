"""Decision records are numbered, short, of one shape, and end in a check that exists."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RECORDS = sorted((ROOT / "docs/decisions").glob("*.md"))
HEADINGS = ["Decision", "Context", "Consequences", "Check"]
FOLDERS = "adapters|api|bench|cli|commands|docs|domain|projections|tests"


def sections(record: Path) -> dict[str, str]:
    parts = re.split(r"^## (.+)$", record.read_text(), flags=re.MULTILINE)
    return dict(zip(parts[1::2], (part.strip() for part in parts[2::2]), strict=True))


def test_they_are_numbered_without_a_gap() -> None:
    numbers = [record.name[:4] for record in RECORDS]
    assert numbers == [f"{number:04}" for number in range(1, len(RECORDS) + 1)]


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.name)
def test_a_record_is_a_page_of_the_usual_shape(record: Path) -> None:
    lines = record.read_text().splitlines()
    assert re.fullmatch(r"\d{4}-[a-z0-9-]+\.md", record.name)
    assert lines[0].startswith(f"# {int(record.name[:4])}. ")
    assert len(lines) <= 60
    assert list(sections(record)) == HEADINGS


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.name)
def test_the_decision_is_a_sentence(record: Path) -> None:
    decision = sections(record)["Decision"]
    assert "\n\n" not in decision
    assert decision.endswith(".")
    assert len(re.findall(r"[.!?](?:\s|$)", decision)) == 1


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.name)
def test_what_the_check_names_exists(record: Path) -> None:
    named = re.findall(
        rf"`((?:{FOLDERS})/[\w./-]+|[\w.-]+\.(?:toml|txt)|\.ci/run)`", sections(record)["Check"]
    )
    assert named
    assert [path for path in named if not (ROOT / path).exists()] == []
