"""`lmsys classify templates ...`: what a classifier goes by, as YAML files and in versions."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer

from cli.client import Answer, Failed
from cli.curation.making import counted
from cli.output import fields, note, one_line, print_json, print_table
from cli.session import Session, add

PATH = "/api/templates"

TemplateId = Annotated[
    str,
    typer.Argument(metavar="TEMPLATE_ID", help="A template; `lmsys classify templates list` names them."),
]
File = Annotated[Path | None, typer.Argument(metavar="FILE", help="The template as YAML; `-` for stdin.")]
Reason = Annotated[str | None, typer.Option(help="Why; it is kept with the event.")]
IfMatch = Annotated[
    str | None,
    typer.Option("--if-match", metavar="HASH", help="Only while the template still has this hash."),
]
Name = Annotated[str | None, typer.Option(help="What it is called.")]
Description = Annotated[str | None, typer.Option(help="What it is for.")]
Version = Annotated[str | None, typer.Option(help="What you call this version.")]
Labels = Annotated[
    list[str] | None,
    typer.Option("--label", metavar="NAME[=DESCRIPTION]", help="A label; may be repeated."),
]
Prompt = Annotated[
    Path | None,
    typer.Option("--prompt-file", metavar="FILE", help="The prompt, with {text}; and {labels}, {examples}."),
]
Number = Annotated[int | None, typer.Option(min=1, help="A version; else the present one.")]


def add_to(app: typer.Typer) -> None:
    group = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
    app.add_typer(group, name="templates", help="Write templates, look at their versions, change labels.")
    add(group, list_templates, "list")
    add(group, show, "show")
    add(group, create, "create")
    add(group, update, "update")
    add(group, delete, "delete")
    add(group, sync, "sync")
    add(group, export, "export")
    add(group, versions, "versions")
    add(group, diff, "diff")
    add(group, rollback, "rollback")
    add(group, migrate, "migrate")


def _at(template_id: str, *rest: str) -> str:
    return "/".join([PATH, quote(template_id, safe=""), *rest])


# --- reading


def list_templates(
    session: Session,
    text: Annotated[str | None, typer.Option(help="In the id, the name or a label.")] = None,
    label: Annotated[str | None, typer.Option(help="Those with a label of this name.")] = None,
    deleted: Annotated[bool, typer.Option("--deleted", help="Those that were deleted as well.")] = False,
    limit: Annotated[int | None, typer.Option(min=1, help="Templates at most.")] = None,
) -> None:
    """List templates by their id."""
    params = {"text": text, "label": label, "include_deleted": deleted or None}
    answer = session.client.pages(PATH, limit, params)
    columns = ["template_id", "number", "version", "label_count", "example_count", "updated_at", "name"]
    columns += ["deleted"] if deleted else []
    session.table(answer, columns, [fields(item, columns) for item in answer["items"]])


def show(session: Session, template_id: TemplateId, number: Number = None) -> None:
    """A template as the YAML file that makes it."""
    answer = _read(session, template_id, number)
    session.text(answer, answer["yaml_content"].rstrip("\n"))


def _read(session: Session, template_id: str, number: int | None) -> Answer:
    if number is None:
        return session.client.get(_at(template_id))
    return session.client.get(_at(template_id, "versions", str(number)))


def export(
    session: Session,
    template_ids: Annotated[
        list[str] | None, typer.Argument(metavar="TEMPLATE_ID...", help="Without any: all of them.")
    ] = None,
    to: Annotated[
        Path | None, typer.Option("--to", metavar="FOLDER", help="A file each; else one, to stdout.")
    ] = None,
    number: Number = None,
) -> None:
    """Write templates as YAML files that `sync` takes, here or elsewhere."""
    wanted = template_ids or [one["template_id"] for one in session.client.pages(PATH, None)["items"]]
    if to is None and len(wanted) != 1:
        raise typer.BadParameter(f"{len(wanted)} templates do not go to stdout; name a folder by --to")
    if number is not None and len(wanted) != 1:
        raise typer.BadParameter("--number is of one template; name it")
    written = [{"template_id": one, **_exported(session, one, number, to)} for one in wanted]
    if session.json:
        print_json({"templates": written})
    elif to is None:
        typer.echo(written[0]["yaml_content"].rstrip("\n"))
    else:
        for one in written:
            typer.echo(one["file"])


def _exported(session: Session, template_id: str, number: int | None, to: Path | None) -> Answer:
    answer = _read(session, template_id, number)
    same = {"template_hash": answer["template_hash"]}
    if to is None:
        return {**same, "yaml_content": answer["yaml_content"]}
    file = to / f"{template_id}.yaml"
    try:
        to.mkdir(parents=True, exist_ok=True)
        file.write_text(answer["yaml_content"])
    except OSError as error:
        raise Failed(f"{file} cannot be written: {error.strerror or error}") from error
    return {**same, "file": str(file)}


def versions(session: Session, template_id: TemplateId) -> None:
    """All that a template has been, newest first."""
    answer = session.client.pages(_at(template_id, "versions"), None)
    columns = ["number", "version", "labels", "examples", "hash", "made_at", "made_by", "what", "reason"]
    session.table(answer, columns, [_version_row(one) for one in answer["items"]])


def _version_row(one: Answer) -> list[object]:
    what = f"rolled back to {one['rolled_back_to']}" if one["rolled_back_to"] else ""
    if one["changes"]:
        what = "; ".join(map(change_in_words, one["changes"]))
    counts = [len(one["labels"]), one["example_count"], one["template_hash"][:12]]
    made = [one["made_at"], one["made_by"], what, one["reason"]]
    return [one["number"], one["version"], *counts, *made]


def change_in_words(change: Answer) -> str:
    """`merge invoices, refunds into billing`."""
    words = {"rename": " to ", "merge": " into ", "split": " into "}
    ends = words.get(change["kind"], "") + ", ".join(change["to"])
    return f"{change['kind']} {', '.join(change['from'])}{ends}"


def diff(
    session: Session,
    template_id: TemplateId,
    since: Annotated[int, typer.Argument(metavar="FROM", min=1, help="A version's number.")],
    until: Annotated[int | None, typer.Argument(metavar="[TO]", min=1, help="Else the present.")] = None,
) -> None:
    """What lies between two versions, and what became of the labels."""
    answer = session.client.get(_at(template_id, "diff"), {"from": since, "to": until})
    if session.json:
        print_json(answer)
        return
    for line in _difference(answer):
        typer.echo(line)


def _difference(answer: Answer) -> Iterable[str]:
    yield f"version {answer['from_number']} -> {answer['to_number']}" + (
        ": the same" if answer["same"] else ""
    )
    for name, words in answer["fields"].items():
        yield one_line(f"{name}: {words['before'] or '(none)'} -> {words['after'] or '(none)'}", 500)
    for label in answer["labels_removed"]:
        now = answer["translations"][label]
        yield one_line(f"- label {label}" + (f" (now {now})" if now else " (undecided)"))
    for label in answer["labels_added"]:
        yield one_line(f"+ label {label}")
    for one in answer["labels_described"]:
        yield one_line(
            f"~ label {one['name']}: {one['before'] or '(none)'} -> {one['after'] or '(none)'}", 500
        )
    for sign, key in (("-", "examples_removed"), ("+", "examples_added")):
        yield from (one_line(f"{sign} example {one['label']}: {one['text']}") for one in answer[key])
    for key in ("prompt", "answer_schema"):
        yield from ([f"{key}:", answer[key]] if answer[key] else [])


# --- writing


def create(
    session: Session,
    file: File = None,
    template_id: Annotated[str | None, typer.Option(help="Its id, if not one made of the name.")] = None,
    name: Name = None,
    description: Description = None,
    version: Version = None,
    label: Labels = None,
    prompt_file: Prompt = None,
    reason: Reason = None,
) -> None:
    """Create a template, or write the next version of the one with this id or name. Prints its id."""
    body = _body(file, name, description, version, label, prompt_file, reason)
    answer = session.client.post(PATH, {**body, "template_id": template_id})
    session.text(answer, answer["template_id"])
    _noted(answer)


def update(
    session: Session,
    template_id: TemplateId,
    file: File = None,
    name: Name = None,
    description: Description = None,
    version: Version = None,
    label: Labels = None,
    prompt_file: Prompt = None,
    reason: Reason = None,
    if_match: IfMatch = None,
) -> None:
    """Write the next version: from a file, or with these fields changed. Prints its id."""
    body = _body(file, name, description, version, label, prompt_file, reason)
    seen = if_match or session.client.get(_at(template_id))["template_hash"]
    answer = session.client.put(_at(template_id), {**body, "template_hash": seen})
    session.text(answer, answer["template_id"])
    _noted(answer)


def _body(
    file: Path | None,
    name: str | None,
    description: str | None,
    version: str | None,
    labels: list[str] | None,
    prompt_file: Path | None,
    reason: str | None,
) -> dict[str, Any]:
    named = [dict(zip(("name", "description"), one.split("=", 1), strict=False)) for one in labels or []]
    body = {
        "yaml_content": file and _text(file),
        "name": name,
        "description": description,
        "version": version,
        "labels": named or None,
        "prompt": prompt_file and _text(prompt_file),
    }
    if not any(body.values()):
        raise typer.BadParameter("give a FILE, or say by options what it is")
    return {**body, "reason": reason}


def _text(file: Path) -> str:
    try:
        return sys.stdin.read() if str(file) == "-" else file.read_text("utf-8-sig")
    except OSError as error:
        raise typer.BadParameter(f"{file} cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise typer.BadParameter(f"{file} is no UTF-8") from error


def _noted(answer: Answer) -> None:
    note(f"version {answer['number']}, hash {answer['template_hash']}")


def delete(
    session: Session, template_id: TemplateId, reason: Reason = None, if_match: IfMatch = None
) -> None:
    """Offer a template no more. Its versions stay; `rollback` brings it back."""
    answer = session.client.delete(_at(template_id), {"reason": reason}, if_match=if_match)
    session.text(answer, f"the template {template_id} is deleted")
    note(f"to bring it back: lmsys classify templates rollback {template_id} {answer['data']['number']}")


def rollback(
    session: Session,
    template_id: TemplateId,
    number: Annotated[int, typer.Argument(metavar="NUMBER", min=1, help="The version to say again.")],
    reason: Reason = None,
    if_match: IfMatch = None,
) -> None:
    """Say again, as a new version, what an older one said. Prints its id."""
    body = {"number": number, "reason": reason}
    answer = session.client.post(_at(template_id, "rollback"), body, if_match=if_match)
    session.text(answer, answer["template_id"])
    _noted(answer)


def sync(
    session: Session,
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help="YAML files, or folders of them.")],
    reason: Reason = None,
) -> None:
    """Take templates from files. A bad one is reported with its lines, the others are taken."""
    files = [("files", (str(file), _bytes(file), "application/yaml")) for file in _files(paths)]
    answer = session.client.post_files(f"{PATH}/sync", files, {"reason": reason})
    data = answer["data"]
    columns = ["status", "template_id", "number", "file"]
    session.table(answer, columns, [fields(one, columns) for one in data["templates"]])
    for one in data["rejected"]:
        line = f":{one['line']}" if one["line"] else ""
        note(one_line(f"{one['file']}{line}: {one['reason']}", 1_000))
    if data["rejected"]:
        raise Failed(f"{len({one['file'] for one in data['rejected']})} of {len(files)} files were not taken")


def _files(paths: list[Path]) -> list[Path]:
    found = []
    for path in paths:
        inside = sorted(one for one in path.glob("*") if one.suffix in (".yaml", ".yml"))
        found += inside if path.is_dir() else [path]
    if not found:
        raise typer.BadParameter("there is no .yaml or .yml file")
    return found


def _bytes(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise typer.BadParameter(f"{file} cannot be read: {error.strerror or error}") from error


# --- labels


def migrate(
    session: Session,
    template_id: TemplateId,
    rename: Annotated[
        list[str] | None, typer.Option(metavar="OLD=NEW", help="Call a label otherwise; may be repeated.")
    ] = None,
    merge: Annotated[
        list[str] | None, typer.Option(metavar="OLD,...=NEW", help="One label of several.")
    ] = None,
    split: Annotated[
        list[str] | None, typer.Option(metavar="OLD=NEW,...", help="Several labels of one.")
    ] = None,
    retire: Annotated[list[str] | None, typer.Option(metavar="OLD", help="Have a label no more.")] = None,
    file: Annotated[
        Path | None, typer.Option("--file", help="A JSON list of changes, for names with , or = in them.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be, and change nothing.")
    ] = False,
    reason: Reason = None,
    if_match: IfMatch = None,
) -> None:
    """Change labels, all at once, as a new version by which old results can still be read."""
    changes = _listed(file) if file else []
    changes += [_change("rename", one) for one in rename or []]
    changes += [_change("merge", one) for one in merge or []]
    changes += [_change("split", one) for one in split or []]
    changes += [{"kind": "retire", "from": one} for one in retire or []]
    if not changes:
        raise typer.BadParameter("say what changes: --rename, --merge, --split, --retire or --file")
    body = {"changes": changes, "dry_run": dry_run, "reason": reason}
    answer = session.client.post(_at(template_id, "labels", "migrate"), body, if_match=if_match)
    if session.json:
        print_json(answer)
        return
    word = "dry run: " if dry_run else ""
    typer.echo(f"{word}version {answer['number']}, labels: {one_line(', '.join(answer['labels']), 2_000)}")
    columns = ["change", "from", "to", "results"]
    print_table(columns, [_change_row(one, answer["results"]) for one in answer["changes"]])
    if answer["undecided"]:
        many = counted(answer["results_undecided"], "result", "results")
        note(one_line(f"a person must decide about: {', '.join(answer['undecided'])} ({many})", 1_000))
    if answer["examples_left_out"]:
        left_out = answer["examples_left_out"]
        note(f"left out: {counted(left_out, 'example', 'examples')}")


def _change_row(one: Answer, results: Mapping[str, int]) -> list[object]:
    concerned = sum(results[label] for label in one["from"])
    return [one["kind"], ", ".join(one["from"]), ", ".join(one["to"]), concerned]


def _change(kind: str, words: str) -> dict[str, Any]:
    """`a,b=c` as a change. A rename has one name on either side, in which a comma is a comma."""
    before, equals, after = words.partition("=")
    if not (before and equals and after):
        raise typer.BadParameter(f"--{kind} {words}: write OLD=NEW; names with = in them go into a --file")
    return {
        "kind": kind,
        "from": before.split(",") if kind == "merge" else before,
        "to": after.split(",") if kind == "split" else after,
    }


def _listed(file: Path) -> list[Any]:
    try:
        read = json.loads(_text(file))
    except ValueError as error:
        raise typer.BadParameter(f"{file} is no JSON: {error}") from error
    if not isinstance(read, list):
        raise typer.BadParameter(f"{file} holds no list of changes")
    return read
