"""Who changed what, when and why: of a run, of a cluster, or one edit in full."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from cli.client import Answer
from cli.clustering import AsOf, RunId
from cli.curation.making import listed, place, queries_in_words
from cli.curation.reversal import blocker_lines, edits_named
from cli.output import note, one_line, print_json, print_table
from cli.session import Session

SHOWN_IDS = 10
FIELDS = {"own_title": "title", "own_description": "description", "coherence_score": "coherence"}
OF_EDITS = {"undo": "takes back", "redo": "does again"}
NONE = "(none)"
ABSENT = "(no such cluster)"
UNEDITED = "(unedited)"
"""For words that are a summary's, if anyone's."""


def history(
    session: Session,
    run_id: RunId,
    cluster_id: Annotated[
        int | None, typer.Argument(metavar="CLUSTER_ID", help="A cluster of it; else the whole run.")
    ] = None,
    cluster: Annotated[int | None, typer.Option("--cluster-id", help="The same as CLUSTER_ID.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Changes at most.")] = None,
    as_of: AsOf = None,
) -> None:
    """Who changed what, when and why: of a run, or of one of its clusters. The newest first."""
    if cluster_id is not None and cluster is not None:
        raise typer.BadParameter("name the cluster once, by CLUSTER_ID or by --cluster-id")
    one = cluster if cluster_id is None else cluster_id
    if one is None:
        path = f"/api/curation/runs/{run_id}/audit"
        show_history(session, session.client.pages(path, limit, {"as_of": as_of}))
    else:
        path = f"/api/curation/clusters/{one}/history"
        show_history(session, session.client.pages(path, limit, {"run_id": run_id, "as_of": as_of}))


def audit(
    session: Session,
    run_id: RunId,
    since: Annotated[str | None, typer.Option(help="From this time on (ISO 8601).")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Changes at most.")] = None,
    as_of: AsOf = None,
) -> None:
    """All changes of a run, the newest first."""
    path = f"/api/curation/runs/{run_id}/audit"
    show_history(session, session.client.pages(path, limit, {"since": since, "as_of": as_of}))


def show_history(session: Session, answer: Answer) -> None:
    if session.json:
        print_json(answer)
        return
    ids = _ids_by_version(session, answer["items"])
    columns = ["timestamp", "cluster_id", "edit_type", "editor", "reason"]
    rows = [
        [
            str(item["edit_id"]),  # without a comma: it is what `undo` takes
            *(item.get(name) for name in columns),
            None if item.get("undone_by") is None else str(item["undone_by"]),
            change(item, ids),
        ]
        for item in answer["items"]
    ]
    print_table(["edit_id", *columns, "undone_by", "change"], rows)


def _ids_by_version(session: Session, items: list[Answer]) -> dict[int, str]:
    """Of these edits, and of those that an undo among them names though they are not among them."""
    ids = {item["version"]: str(item["edit_id"]) for item in items}
    for item in items:
        if not ids.keys() >= set((item.get("details") or {}).get("edits") or ()):
            edit = session.client.get(f"/api/curation/edits/{item['edit_id']}")
            ids |= {one["version"]: str(one["edit_id"]) for one in edit["of"]}
    return ids


def change(item: Answer, ids: dict[int, str]) -> str:
    """What was and what is, in one line. `ids`: edits by version."""
    details = item.get("details") or {}
    parts = []
    if edits := details.get("edits"):
        word = OF_EDITS.get(item["edit_type"], "of")
        parts.append(f"{word} {listed([ids[one] for one in edits])}")
    parts += [
        f"{words(details[f'was_{name}'])} -> {words(details[name])}"
        for name in ("title", "description")
        if details.get(f"was_{name}") != details.get(name)
    ]
    parts += [_moves_in_words(details)] if details.get("moves") else []
    return "; ".join(parts + _clusters_in_words(item, details.get("clusters") or []))


def _clusters_in_words(item: Answer, clusters: list[Answer]) -> list[str]:
    changes = cluster_changes(clusters)
    made = [f"{one} ({now})" for one, _, was, now in changes if was == ABSENT]
    gone = [f"{one} ({was})" for one, _, was, now in changes if now == ABSENT]
    fields = [
        f"{'' if one == item['cluster_id'] else f'cluster {one} '}{field} {was} -> {now}"
        for one, field, was, now in changes
        if ABSENT not in (was, now)
    ]
    word = "there again" if item["edit_type"] in OF_EDITS else "new"
    return [
        *fields,
        *([f"{word}: {listed(made)}"] if made else []),
        *([f"gone: {listed(gone)}"] if gone else []),
    ]


def _moves_in_words(details: Answer) -> str:
    origins = list(dict.fromkeys(place(one["from"]) for one in details["moves"]))
    targets = list(dict.fromkeys(place(one["to"]) for one in details["moves"]))
    return f"{queries_in_words(details['queries_moved'])} {listed(origins)} -> {listed(targets)}"


def cluster_changes(clusters: list[Answer]) -> list[tuple[int, str, str, str]]:
    """Cluster, field, what was, what is; ABSENT where a cluster came to be or ceased to be."""
    found = []
    for one in clusters:
        cluster_id, was, now = one["cluster_id"], one["was"], one["now"]
        if was is None or now is None:
            found.append((cluster_id, "title", title_of(was), title_of(now)))
        else:
            found += [
                (cluster_id, FIELDS.get(name, name), words(was.get(name), name), words(now.get(name), name))
                for name in {**was, **now}
            ]
    return found


def title_of(cluster: Answer | None) -> str:
    if cluster is None:
        return ABSENT
    return words(cluster.get("own_title") or cluster.get("named_title") or "(no title)")


def words(value: Any, field: str = "") -> str:  # noqa: ANN401
    shown = ", ".join(value) if isinstance(value, list) else value
    if shown in (None, ""):
        return UNEDITED if field.startswith("own_") else NONE
    return one_line(shown)


# --- one edit


def show(
    session: Session,
    edit_id: Annotated[
        int, typer.Argument(metavar="EDIT_ID", min=0, help="An edit, as the history names it.")
    ],
) -> None:
    """One edit: what it changed, whether it is in force, and what stands in the way of taking it back."""
    answer = session.client.get(f"/api/curation/edits/{edit_id}")
    if session.json:
        print_json(answer)
        return
    event = session.client.get(f"/api/events/{edit_id}")
    where = answer.get("hierarchy_run_id") or answer["run_id"]
    typer.echo(f"edit {edit_id}: {answer['edit_type']} in {where}, {answer['state']}")
    who = [event["recorded_at"], *(one_line(event.get(name) or "") for name in ("actor", "reason"))]
    typer.echo("  ".join(one for one in who if one))
    if answer["of"]:
        typer.echo(f"{OF_EDITS.get(answer['edit_type'], 'of')} {edits_named(answer['of'])}")
    _print_moves(answer["moves"])
    if changed := cluster_changes(answer["clusters"]):
        print_table(["cluster_id", "field", "was", "now"], changed)
    _tell_blockers(answer)


def _print_moves(moves: list[Answer]) -> None:
    rows = []
    for one in moves:
        ids = one["query_ids"]
        origin, target = (place(one[f"{end}_cluster_id"]) for end in ("from", "to"))
        rows.append([origin, target, len(ids), listed(ids)])
    if rows:
        print_table(["from", "to", "queries", "query_ids"], rows)


def _tell_blockers(answer: Answer) -> None:
    if not answer["blockers"]:
        return
    word, a = ("redo", "a redo") if answer["state"] == "undone" else ("undo", "an undo")
    note(f"in the way of {a}, unless they go along (`lmsys edit {word} {answer['edit_id']} --cascade`):")
    for line in blocker_lines(answer["blockers"]):
        note(f"  {line}")
