"""What each event that was ever written does to the rows of the read models.

`tests/golden/rows/<topic>.v<version>.json` has `after`, the golden events that came before, and `rows`, by
table what the event added (`+`) and took away (`-`). A new event needs one such file and no change elsewhere:

    python -m tests.projections.golden_rows                  # writes those that are missing
    python -m tests.projections.golden_rows NAME             # writes this one anew
    python -m tests.projections.golden_rows NAME BEFORE...   # where other events come before it

Read what it has written before you commit it.
"""

from __future__ import annotations

import inspect
import json
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from pydantic import SecretStr
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from adapters.bootstrap import Container, open_container
from adapters.event_store.store import AGGREGATES
from adapters.postgres import start_embedded
from adapters.read_models import READ_MODELS
from adapters.read_store import SqlReadStore, Stored
from adapters.runner import project
from adapters.settings import read_settings
from docs.generate_events import recorded
from domain.base import Aggregate
from domain.content import encode_content, encode_manifest
from domain.evaluation import Case, Manifest
from domain.templates import Example, Label, TemplateContent
from domain.values import digest
from projections.base import BOOKKEEPING

EVENTS = Path(__file__).parents[1] / "golden"
ROWS = EVENTS / "rows"
RECORDED_AT = datetime(2025, 10, 4, 17, 4, 43, tzinfo=UTC)
META = {"actor": "anna", "reason": "for the record", "correlation_id": "golden"}

LOADED = ("dataset.created.v1", "dataset.load_requested.v1", "dataset.conversations_imported.v1")
CLUSTERED = ("clustering.created.v1", "clustering.queries_assigned.v1", "clustering.completed.v1")
TREE = tuple(
    f"hierarchy.{one}.v1"
    for one in (
        "created",
        "level_begun",
        "categories_proposed",
        "categories_chosen",
        "nodes_assigned",
        "categories_named",
        "level_ended",
        "completed",
        "nodes_moved",
        "category_renamed",
        "category_added",
        "clusters_followed",
        "category_removed",
        "edits_undone",
    )
)
BEGINNINGS: dict[str, Sequence[str]] = {
    "api_key": ("api_key.created.v1",),
    "classification": (
        "classification.created.v1",
        "classification.population_selected.v1",
        "classification.results_recorded.v1",
    ),
    "clustering": (*LOADED, *CLUSTERED),
    "dataset": (*LOADED, "dataset.embedding_requested.v1"),
    "evaluation": (
        "test_set.created.v1",
        "test_set.version_frozen.v1",
        "evaluation.created.v1",
        "evaluation.cases_answered.v1",
    ),
    "hierarchy": (*CLUSTERED, *TREE),
    "measures": (*CLUSTERED, "measures.created.v1"),
    "suggestion": ("suggestion.created.v1", "suggestion.made.v1"),
    "summary": (*CLUSTERED, "summary.created.v1"),
}
"""What comes before an event of an aggregate where its file does not say; else its creation alone."""

BODIES = [
    encode_content([{"role": "user", "content": f"query {n}"}], "gpt-4o", "English", None, {"n": n})
    for n in range(3)
]
DIGESTS = [bytes([n]) * 32 for n in range(1, 4)]
LABELS = (Label("billing", "Invoices and refunds"), Label("login"))
TEMPLATES = [
    TemplateContent("Support", LABELS, examples=(Example("why was I charged twice?", "billing", None, 7),)),
    TemplateContent("Support", LABELS, "What people ask for", prompt="Which of {labels} is it? {text}"),
    TemplateContent("Support", (Label("payment", "Invoices and refunds"), Label("login"))),
    TemplateContent("Support", LABELS),
]
CASES = Manifest.of(
    [Case("ORDER", "two shoes"), Case("REFUND", query_id=2), Case("REFUND", query_id=3)], "default"
)
CONTENTS = {
    digest(CASES.encoded()): CASES.encoded(),
    **{digest(one.body): one.body for one in TEMPLATES},
    **dict(zip(DIGESTS, BODIES, strict=True)),
    b"\xbb" * 32: encode_manifest(["c1", "c2", "c3"], DIGESTS),
    b"\xc0" * 32: np.eye(2, 4, dtype=np.float32).tobytes(),
}
"""What lies beside the log under the digests that golden events name."""


class GoldenStore(SqlReadStore):
    def contents(self, digests: Sequence[bytes]) -> dict[bytes, bytes]:
        return {one: CONTENTS[one] for one in digests if one in CONTENTS}


def golden(name: str) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((EVENTS / f"{name}.json").read_text())
    return read


def aggregate_of(topic: str) -> type[Aggregate]:
    return next(one for one in AGGREGATES for kind in recorded(one) if topic == kind.TOPIC)


def stream_of(kind: type[Aggregate]) -> str:
    """Of the aggregate that the golden event of its creation makes."""
    data = golden(f"{kind.PREFIX}.created.v1")["data"]
    wanted = inspect.signature(kind.create_id).parameters
    return str(kind.create_id(**{name: data[name] for name in wanted}))


def beginning(name: str) -> list[str]:
    """What comes before an event, up to the event itself where it is one of them."""
    kind = aggregate_of(golden(name)["topic"])
    before = list(BEGINNINGS.get(kind.PREFIX, (f"{kind.PREFIX}.created.v1",)))
    return before[: before.index(name)] if name in before else before


def story(names: Sequence[str]) -> list[Stored]:
    """Golden events as they would stand in the log, one behind the other."""
    versions: dict[str, int] = {}
    found = []
    for position, name in enumerate(names, 1):
        event = golden(name)
        stream = stream_of(aggregate_of(event["topic"]))
        versions[stream] = versions.get(stream, 0) + 1
        data = dict(event["data"])
        if event["class_version"] > 1:
            data["class_version"] = event["class_version"]
        text = orjson.dumps(data).decode()
        found.append(Stored(position, stream, versions[stream], event["topic"], text, META, RECORDED_AT))
    return found


Changes = dict[str, dict[str, list[dict[str, Any]]]]


def changes(container: Container, name: str, after: Sequence[str]) -> Changes:
    """Table → rows that the event adds and takes away; of a table where nothing changes: nothing."""
    *before, event = story([*after, name])
    found: Changes = {}
    for one in READ_MODELS:
        with container.database.projecting.connect() as connection:
            store = GoldenStore(connection, one.name)
            if before:
                project(store, one, before, container.mapper)
            was = _rows(store, one)
            project(store, one, [event], container.mapper)
            found |= _differences(was, _rows(store, one))
            connection.rollback()
    return found


def _rows(store: SqlReadStore, projection: Any) -> dict[str, list[str]]:  # noqa: ANN401
    """Table → its rows as JSON."""
    tables = [one for one in projection.tables.sorted_tables if one.name not in BOOKKEEPING]
    return {
        str(table): [
            _json({str(column): value for column, value in row.items()})
            for row in store.execute(select(table)).mappings()
        ]
        for table in tables
    }


def _json(row: dict[str, Any]) -> str:
    return orjson.dumps(row, default=_plain, option=orjson.OPT_SORT_KEYS).decode()


def _plain(value: object) -> object:
    return value.hex() if isinstance(value, bytes) else str(value)


def _differences(was: dict[str, list[str]], now: dict[str, list[str]]) -> Changes:
    found: Changes = {}
    for table in now:
        sides = {
            "+": sorted(set(now[table]) - set(was[table])),
            "-": sorted(set(was[table]) - set(now[table])),
        }
        if any(sides.values()):
            found[table] = {side: [json.loads(row) for row in rows] for side, rows in sides.items() if rows}
    return found


def is_snapshot(topic: str) -> bool:
    """Golden as well, but of no event: nothing is projected from it."""
    kinds = [kind for one in AGGREGATES for kind in recorded(one) if topic == kind.TOPIC]
    return any(issubclass(kind, Aggregate.Snapshot) for kind in kinds)


def missing() -> list[str]:
    names = sorted(path.stem for path in EVENTS.glob("*.json") if not (ROWS / path.name).exists())
    return [name for name in names if not is_snapshot(golden(name)["topic"])]


def write(container: Container, name: str, after: Sequence[str] = ()) -> str:
    """What was done, or why not."""
    path = ROWS / f"{name}.json"
    before = after or (json.loads(path.read_text())["after"] if path.exists() else beginning(name))
    try:
        content = {"after": list(before), "rows": changes(container, name, before)}
    except (SQLAlchemyError, LookupError) as error:
        return f"{name}: not written, name the events before it: {' '.join(before)} do not do: {error!r:.300}"
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    return f"{name}: written, {len(content['rows'])} tables change"


if __name__ == "__main__":
    ROWS.mkdir(exist_ok=True)
    asked = [(sys.argv[1], sys.argv[2:])] if sys.argv[1:] else [(one, []) for one in missing()]
    with tempfile.TemporaryDirectory() as home:
        embedded = start_embedded(Path(home))
        with open_container(read_settings(database_url=SecretStr(embedded.url))) as opened:
            for name, after in asked:
                sys.stdout.write(f"{write(opened, name, after)}\n")
        embedded.stop()
