"""Texts on their way to a classifier, and its answers on their way into the log."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from commands.bus import Bus
from commands.classification.recording import RecordResults
from commands.ports import NO_USAGE, Contents, Item, Labelled, Usage
from commands.runs import chunks
from domain.classification import ClassificationRun, Results
from domain.content import decode_content
from domain.summaries import without_quotations
from domain.values import QueryIds

READ_AT_ONCE = 500
"""Conversations that are in memory at a time, besides those that are asked about."""

RECORDED_AT_ONCE = 10_000
LONGEST_REASONING = 2_000
LONGEST_ERROR = 500


class Texts:
    """The texts of queries, read as they are needed. Those that are asked about are held until answered.

    `missing` counts those that were to be asked about, and whose conversation is gone.
    """

    def __init__(self, dataset: str, contents: Contents) -> None:
        self._dataset = dataset
        self._contents = contents
        self._held: dict[int, str] = {}
        self.missing = 0

    def items(self, query_ids: QueryIds, *, hold: bool = True) -> Iterator[Item]:
        """`hold` False: who asks will read the texts again when answers come."""
        for at in range(0, len(query_ids), READ_AT_ONCE):
            some = query_ids[at : at + READ_AT_ONCE].tolist()
            found = self._read(some)
            self.missing += len(some) - len(found)
            for query_id, text in found.items():
                if hold:
                    self._held[query_id] = text
                yield Item(query_id, text, query_id)

    def hold(self, query_ids: Sequence[int]) -> None:
        self._held |= self._read(query_ids)

    def _read(self, query_ids: Sequence[int]) -> dict[int, str]:
        bodies = self._contents.of_queries(self._dataset, query_ids)
        return {one: decode_content(bodies.pop(one)).query for one in query_ids if one in bodies}

    def taken(self, query_id: int) -> str:
        """The text of an answered query, which is let go of."""
        return self._held.pop(query_id, "")

    def unanswered(self) -> list[int]:
        return list(self._held)


@dataclass
class Recorder:
    """Gathers answers into chunks. What a model wrote about a text quotes nothing of it in the log."""

    run: ClassificationRun
    bus: Bus
    texts: Texts
    prompt: str = ""
    recorded: int = 0
    passed_over: int = 0

    def __post_init__(self) -> None:
        self._places = {label: place for place, label in enumerate(self.run.labels)}

    def record(
        self, answers: Iterable[Labelled], progress: Callable[[int], None] = lambda done: None
    ) -> None:
        """`progress` is told how many of these were recorded."""
        done = 0
        for some in chunks(map(self._fit_to_keep, answers), RECORDED_AT_ONCE, _characters):
            self._record(some)
            done += len(some)
            progress(done)

    def record_errors(self, query_ids: Sequence[int], error: str) -> None:
        self.record(Labelled(query_id, None, error=error) for query_id in query_ids)

    def _fit_to_keep(self, answer: Labelled) -> Labelled:
        query_id = int(answer.key)
        text = self.texts.taken(query_id)
        label, error = answer.label, answer.error
        if label is None or label not in self._places:
            named = "no label" if label is None else f"{label[:80]!r}, which is no label of the template"
            error, label = error or f"the answer was {named}", None
        words = answer.reasoning
        return Labelled(
            query_id,
            label,
            answer.confidence,
            without_quotations(words, [text])[:LONGEST_REASONING] if words and label is not None else None,
            None if label is not None or error is None else without_quotations(error, [text])[:LONGEST_ERROR],
            answer.usage,
        )

    def _record(self, answers: list[Labelled]) -> None:
        command = RecordResults(
            classification_run_id=self.run.name, results=self._results(answers, self.prompt)
        )
        new = int(self.bus.handle(command).answer["recorded"])
        self.recorded += new
        self.passed_over += len(answers) - new

    def _results(self, answers: list[Labelled], prompt: str) -> Results:
        good = [one for one in answers if one.label is not None]
        usage: Usage = sum((one.usage for one in answers), NO_USAGE)
        confidence = [np.nan if one.confidence is None else min(max(one.confidence, 0), 1) for one in good]
        return Results(
            query_ids=np.array([one.key for one in good], np.int64),
            labels=np.array([self._places[one.label] for one in good if one.label], np.int32),
            confidence=np.array(confidence, np.float64),
            reasoning=[one.reasoning for one in good],
            errors={int(one.key): one.error or "" for one in answers if one.label is None},
            usage=vars(usage),
            prompt=prompt,
        )


def _characters(answer: Labelled) -> int:
    return len(answer.reasoning or "") + len(answer.error or "")
