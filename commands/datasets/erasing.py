"""Forgetting a conversation: its text and its vectors go, the fact that it was here stays."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from commands.ports import Contents, Erasure, EventStore, NewConversation, Outcome
from domain.base import context
from domain.clustering import ClusteringRun
from domain.content import decode_content, decode_manifest
from domain.datasets import Dataset, Erased
from domain.errors import Invalid, NotFound
from domain.templates import Template, TemplateContent
from domain.values import digest

READ_AT_ONCE = 50
"""Contents of templates, each of a megabyte at most."""


@dataclass(frozen=True, kw_only=True)
class EraseConversation:
    """The reason is that of the context, and there must be one. A second time changes nothing."""

    dataset: str
    conversation_id: str


@dataclass(frozen=True)
class _Copy:
    """A form in which the data set has had the conversation: it may have been cleared and loaded again."""

    query_id: int
    content: bytes


def erase_conversation(cmd: EraseConversation, store: EventStore, contents: Contents) -> Outcome:
    """The event, those of the runs that have its queries, and what goes beside the log: all in one step."""
    if not (context.get().reason or "").strip():
        raise Invalid("reason is missing: say why the conversation is erased; it is kept with the event")
    dataset = store.load(Dataset, cmd.dataset)
    runs = [store.load(ClusteringRun, run_id) for run_id in store.runs_of(cmd.dataset)]
    if before := dataset.erased.get(cmd.conversation_id):
        return Outcome((), _answer(cmd, before, runs))
    present = contents.conversation(cmd.dataset, cmd.conversation_id)
    copies = [_Copy(present.query_id, present.content)] if present else []
    if dataset.was_cleared:
        copies += [one for one in _copies(cmd, dataset, store, contents) if one not in copies]
    if not copies:
        raise NotFound(f"data set {cmd.dataset!r} has no conversation {cmd.conversation_id!r}")
    texts = _texts(copies, contents) | ({present.text} if present else set())
    also_held_by = contents.holders(sorted(texts)) - (present is not None)
    query_ids = sorted(one.query_id for one in copies)
    dataset.erase(cmd.conversation_id, query_ids, int(present is not None), also_held_by)
    for run in runs:
        if run.status != "retired":
            run.erase(np.array(query_ids, np.int64))
    changed = [run for run in runs if run.pending_events]
    templates, instead = _without_examples(query_ids, _alone(texts, present, contents), store, contents)
    erasure = Erasure(
        dataset=cmd.dataset,
        conversation_id=cmd.conversation_id,
        query_id=query_ids[-1],
        query_ids=query_ids,
        contents=[*(one.content for one in copies), *instead],
        texts=sorted(texts),
    )
    answer = _answer(cmd, dataset.erased[cmd.conversation_id], runs)
    kept = {digest(body): body for body in instead.values()}
    return Outcome((dataset, *changed, *templates), answer, contents=kept, erasure=erasure)


def _alone(texts: set[bytes], present: NewConversation | None, contents: Contents) -> set[bytes]:
    """The texts that no other conversation has: an example of these words can only be of this one."""
    own = present.text if present else None
    return {text for text in texts if contents.holders([text]) == (text == own)}


def _without_examples(
    query_ids: list[int], texts: set[bytes], store: EventStore, contents: Contents
) -> tuple[list[Template], dict[bytes, bytes]]:
    """The templates that leave out what the person said, and address → body in place of what lies there."""
    instead: dict[bytes, bytes] = {}
    changed = []
    for template_id in sorted(_quoting(query_ids, texts, store, contents)):
        template = store.load(Template, template_id)
        now = template.erase_examples(query_ids, texts)
        changed.append(template)
        instead |= {bytes.fromhex(was): content.body for was, content in now.items()}
    return changed, instead


def _quoting(query_ids: list[int], texts: set[bytes], store: EventStore, contents: Contents) -> set[str]:
    """The ids of the templates of which a version has an example of these; all are read, some at a time."""
    templates: dict[bytes, set[str]] = {}
    for template_hash, template_id in store.templates_with_examples():
        templates.setdefault(bytes.fromhex(template_hash), set()).add(template_id)
    found: set[str] = set()
    addresses = list(templates)
    for start in range(0, len(addresses), READ_AT_ONCE):
        for address, body in contents.get(addresses[start : start + READ_AT_ONCE]).items():
            content = TemplateContent.decode(body)
            if content.without(query_ids, texts) is not content:
                found |= templates[address]
    return found


def _copies(
    cmd: EraseConversation, dataset: Dataset, store: EventStore, contents: Contents
) -> Iterator[_Copy]:
    """All that the manifests tell of: reads them all, about a second for 1,000,000 conversations."""
    events = store.events(Dataset, cmd.dataset, range(1, dataset.version + 1)).values()
    for one in events:
        if isinstance(one, Dataset.ConversationsImported) and one.manifest:
            address = bytes.fromhex(one.manifest)
            ids, digests = decode_manifest(contents.get([address])[address])
            if cmd.conversation_id in ids:
                at = ids.index(cmd.conversation_id)
                yield _Copy(one.first_query_id + at, digests[at])


def _texts(copies: list[_Copy], contents: Contents) -> set[bytes]:
    """The digests of what is embedded of them, of as many as are still there."""
    bodies = contents.get([one.content for one in copies]).values()
    return {digest(decode_content(body).query.encode()) for body in bodies}


def _answer(cmd: EraseConversation, erased: Erased, runs: list[ClusteringRun]) -> dict[str, Any]:
    """The same for the first time and for every other."""
    holding = [run.run_id for run in runs if len(run.partition.places(erased.query_ids)[0])]
    return {
        "dataset": cmd.dataset,
        "conversation_id": cmd.conversation_id,
        "query_ids": erased.query_ids,
        "runs": holding,
        "also_held_by": erased.also_held_by,
    }
