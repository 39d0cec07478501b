"""Classification in the batches of a provider, and answers out of its files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from adapters.bootstrap import Container
from commands.classification import EndIngest, RequestIngest, run_cancelled, run_ingest
from commands.classification.batches import LOOK_AGAIN_S
from commands.ports import BatchState
from domain.classification import ClassificationRun
from domain.errors import Conflict, Invalid, NotFound, Refused
from tests.classifying import (
    Scripted,
    ScriptedBatches,
    bus,
    cancel,
    chunks,
    labelled,
    request,
    resume,
    run_of,
    work,
)
from tests.stories import load, project

TEXTS = ("refund please", "weather today", "refund now", "hello", "weather again")


@pytest.fixture
def container(shared: Container) -> Container:
    return shared


@pytest.fixture
def ids(container: Container, dataset: str) -> list[int]:
    found = load(container, *TEXTS, dataset=dataset)
    project(container)
    return found


def in_batches(container: Container, dataset: str, batches: ScriptedBatches) -> str:
    return request(container, dataset, batches=batches, execution={"mode": "batch"})


def test_batches_are_handed_in_looked_at_and_taken_in(
    container: Container, ids: list[int], dataset: str
) -> None:
    batches, later = ScriptedBatches(by=Scripted(broken={"hello"})), list[int]()
    run_id = in_batches(container, dataset, batches)
    batches.states = {f"batch-{n}": BatchState(ended=False, total=2) for n in (1, 2, 3)}
    work(container, run_id, batches=batches, again=later.append)
    assert (later, [len(one) for one in batches.handed_in.values()]) == ([LOOK_AGAIN_S], [2, 2, 1])
    assert list(run_of(container, run_id).batches) == ["batch-1", "batch-2", "batch-3"]
    del batches.states["batch-2"]
    work(container, run_id, batches=batches, again=later.append)
    assert (len(later), len(batches.handed_in), len(labelled(container, run_id))) == (2, 3, 1)
    batches.states.clear()
    work(container, run_id, batches=batches, again=later.append)
    run = run_of(container, run_id)
    assert (len(later), run.status, len(run.answered), len(run.failed)) == (2, "completed", 4, 1)


def test_what_a_batch_does_not_answer_has_an_error(
    container: Container, ids: list[int], dataset: str
) -> None:
    batches = ScriptedBatches(silent={ids[0]})
    run_id = in_batches(container, dataset, batches)
    batches.states = {"batch-2": BatchState(ended=True, error="it has expired")}
    batches.silent |= {ids[2], ids[3]}
    work(container, run_id, batches=batches)
    errors = {one["query_id"]: one["error"] for chunk in chunks(container, run_id) for one in chunk.errors}
    assert errors == {
        ids[0]: "batch batch-1: no answer stands in its results",
        ids[2]: "batch batch-2: it has expired",
        ids[3]: "batch batch-2: it has expired",
    }
    resume(container, run_id)
    batches.silent.clear()
    batches.states.clear()
    work(container, run_id, batches=batches)
    assert [item.query_id for item in batches.handed_in["batch-4"]] == [ids[0], ids[2]]
    assert len(labelled(container, run_id)) == 5


def test_a_cancel_stops_batches_and_keeps_what_they_have_done(
    container: Container, ids: list[int], dataset: str
) -> None:
    batches = ScriptedBatches(silent={ids[3]})
    run_id = in_batches(container, dataset, batches)
    batches.states = {f"batch-{n}": BatchState(ended=False) for n in (1, 2, 3)}
    work(container, run_id, batches=batches)
    cancel(container, run_id)
    run_cancelled(run_id, bus=container.bus, store=container.store, batch_classifiers=batches)
    assert batches.cancelled == ["batch-1", "batch-2", "batch-3"]
    batches.states.clear()
    work(container, run_id, batches=batches)
    run = run_of(container, run_id)
    assert (len(run.answered), len(run.failed), run.batches) == (4, 1, {})
    assert run.status == "completed"


# --- ingesting


def ingest(container: Container, run_id: str, lines: str) -> Any:  # noqa: ANN401
    """The event that ends it."""
    path = Path(container.settings.home) / "imports" / "out.txt"
    path.parent.mkdir(exist_ok=True)
    path.write_text(lines)
    batches = ScriptedBatches()
    command = RequestIngest(classification_run_id=run_id, path="out.txt")
    ingest_id = bus(container, batches=batches).handle(command).answer["ingest_id"]
    for _ in range(2):  # as a job may be run
        run_ingest(
            run_id,
            ingest_id,
            bus=container.bus,
            store=container.store,
            contents=container.contents,
            sources=container.sources,
            batch_classifiers=batches,
        )
    version = run_of(container, run_id).version
    return container.store.events(ClassificationRun, run_id, [version])[version]


@pytest.fixture
def importing(container: Container, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Path(container.settings.home) / "imports"
    settings = container.settings.model_copy(update={"import_dir": folder})
    monkeypatch.setattr(container.sources, "_settings", settings)


@pytest.mark.usefixtures("importing")
def test_a_file_of_answers_is_taken_in_once(container: Container, ids: list[int], dataset: str) -> None:
    batches = ScriptedBatches()
    run_id = in_batches(container, dataset, batches)
    batches.states = {f"batch-{n}": BatchState(ended=False) for n in (1, 2, 3)}
    work(container, run_id, batches=batches)
    lines = "".join(f"{query_id} refund\n" for query_id in ids) + "0 refund\nelsewhere refund\n"
    ended = ingest(container, run_id, lines)
    assert (ended.recorded, ended.passed_over, ended.error) == (5, 2, None)
    assert set(labelled(container, run_id).values()) == {"refund"}
    again = ingest(container, run_id, f"{ids[0]} weather\n")
    assert (again.recorded, again.passed_over) == (0, 1)
    polls = batches.polls
    work(container, run_id, batches=batches)
    assert (run_of(container, run_id).status, batches.polls) == ("completed", polls)


@pytest.mark.usefixtures("importing")
def test_a_line_that_cannot_be_read_is_named_and_what_came_before_stays(
    container: Container, ids: list[int], dataset: str
) -> None:
    run_id = request(container, dataset)
    with pytest.raises(Conflict, match="no queries yet"):
        ingest(container, run_id, "")
    work(container, run_id, Scripted(ends=0))
    ended = ingest(container, run_id, f"{ids[0]} refund\nbroken\n")
    assert (ended.recorded, ended.error) == (1, "line 2: no label stands there")
    container.bus.handle(EndIngest(classification_run_id=run_id, ingest_id="ingest-v9", error="again"))


@pytest.mark.usefixtures("importing")
def test_files_are_read_below_the_import_folder_alone(
    container: Container, ids: list[int], dataset: str
) -> None:
    run_id = request(container, dataset)
    work(container, run_id, Scripted(ends=0))
    for path, error in (
        ("../x", Refused),
        ("/etc/passwd", Refused),
        ("nothing.txt", NotFound),
        (".", Invalid),
    ):
        with pytest.raises(error):
            bus(container).handle(RequestIngest(classification_run_id=run_id, path=path))
