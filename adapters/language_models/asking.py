"""Many questions to one model at once: bounded, paced, within a budget, ended when nobody wants them."""

from __future__ import annotations

import hashlib
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, Protocol

import orjson

from adapters.language_models.exchange import Exchange, Result, Stopped
from adapters.language_models.kept import Kept
from adapters.language_models.port import Answer, Question
from adapters.language_models.prices import Prices
from adapters.language_models.service import NoAnswer, Service
from adapters.services.answers import Transient
from adapters.services.pace import Pace
from adapters.services.retries import Patience
from commands.ports import NO_USAGE, Limits, Stop, Usage
from domain.errors import Unavailable, UpstreamRefused

AHEAD = 64
"""Questions that are read at a time, so that one look at what is kept serves them all."""

IN_A_ROW = 20
"""Questions without an answer, one after the other, that are enough to give up the rest."""

LOOK_UP_S = 0.1
METER_EVERY_S = 1.0


class Answers(Protocol):
    """What was answered before."""

    def find(self, wanted: Mapping[bytes, frozenset[int]]) -> dict[bytes, dict[str, Any]]: ...

    def keep(self, model: str, answers: Sequence[Kept]) -> None: ...


Measure = Callable[[str, Usage, int, Mapping[str, int]], None]
"""Model, usage of the calls with a price, calls without one, failures by kind."""


@dataclass(frozen=True)
class Equipment:
    """What a model is asked with, whatever is asked."""

    service: Service
    patience: Patience
    prices: Prices
    pace: Pace
    answers: Answers
    measure: Measure


class Asking:
    """One pass. A single thread, the caller's, reads questions, keeps answers and gives them out.

    Whoever is slow, the source, the model or the reader of the answers: at most `concurrency` questions are
    being asked, and about `AHEAD` wait. Equal questions are asked once.
    """

    def __init__(self, equipment: Equipment, limits: Limits, stop: Stop) -> None:
        self._with = equipment
        self._limits = limits
        self._concurrency = max(1, limits.concurrency)
        self._stop = stop
        self._halted = threading.Event()
        self._spent = 0
        self._lock = threading.Lock()
        self._exhausted = False
        self._waiting: dict[bytes, list[Question]] = {}
        self._queue: deque[bytes] = deque()
        self._running: dict[Future[Result | None], bytes] = {}
        self._in_a_row = 0
        self._bill = _Bill(equipment)

    def answers(self, questions: Iterable[Question]) -> Iterator[Answer]:
        source = iter(questions)
        pool = ThreadPoolExecutor(self._concurrency, thread_name_prefix="language-model")
        try:
            while True:
                yield from self._fill(source, pool)
                if not self._running:
                    return
                yield from self._collect()
        finally:
            self._halted.set()
            pool.shutdown(cancel_futures=True)
            self._settle()

    # --- questions in

    def _fill(self, source: Iterator[Question], pool: ThreadPoolExecutor) -> Iterator[Answer]:
        """Ask as many as may be asked at a time; what is kept is answered on the way."""
        while len(self._running) < self._concurrency and not self._over():
            if self._queue:
                key = self._queue.popleft()
                self._running[pool.submit(self._ask, self._waiting[key][0])] = key
            elif self._exhausted or sum(map(len, self._waiting.values())) > self._concurrency + AHEAD:
                return
            else:
                yield from self._read(source)

    def _read(self, source: Iterator[Question]) -> Iterator[Answer]:
        asked = [(self._key(one), one) for one in islice(source, AHEAD)]
        self._exhausted = len(asked) < AHEAD
        kept = self._with.answers.find(_queries(asked)) if asked else {}
        for key, question in asked:
            value = kept.get(key)
            if value is not None and question.check(value) is None:
                yield self._repeated(question, value)
            elif key in self._waiting:
                self._waiting[key].append(question)
            else:
                self._waiting[key] = [question]
                self._queue.append(key)

    def _key(self, question: Question) -> bytes:
        asked = (question.prompt, question.system, question.text, question.schema)
        whole = orjson.dumps((self._with.service.identity, *asked), option=orjson.OPT_SORT_KEYS)
        return hashlib.sha256(whole).digest()

    # --- in the threads

    def _ask(self, question: Question) -> Result | None:
        """None where it was not asked because nobody wants the answer any more."""
        one = Exchange(question, self._with.service, self._with.patience, self._with.prices, self)
        try:
            return one.result()
        except Stopped:
            return None

    def may_ask(self) -> None:
        self._check()
        self._with.pace.wait(self._limits.rpm, self.sleep)
        self._check()

    def sleep(self, seconds: float) -> None:
        if self._halted.wait(seconds):
            raise Stopped

    def spent(self, usage: Usage) -> None:
        with self._lock:
            self._spent += usage.input_tokens + usage.output_tokens

    def _check(self) -> None:
        if self._over():
            raise Stopped
        budget = self._limits.tokens
        if budget is not None and self._spent >= budget:
            raise NoAnswer(f"the budget of {budget} tokens is spent", "budget")

    def _over(self) -> bool:
        if not self._halted.is_set() and self._stop():
            self._halted.set()
        return self._halted.is_set()

    # --- answers out

    def _collect(self) -> Iterator[Answer]:
        """Kept before they are given out: what was paid for is not lost with whoever reads it."""
        done = self._done()
        errors = [error for one in done if (error := one.exception())]
        results = [(self._running.pop(one), one.result()) for one in done if not one.exception()]
        self._keep(results)
        for key, result in results:
            questions = self._waiting.pop(key)
            if result and not result.denial:
                yield from self._given(questions, result)
        for error in errors or self._given_up(results):
            raise error

    def _done(self) -> set[Future[Result | None]]:
        while True:
            done, _ = wait(self._running, timeout=LOOK_UP_S, return_when=FIRST_COMPLETED)
            self._over()  # wakes those who wait for their pace or for another try
            if done:
                return done

    def _given(self, questions: Sequence[Question], result: Result) -> Iterator[Answer]:
        answer = result.answer
        yield answer
        for question in questions[1:]:
            said = answer.error if answer.value is None else question.check(answer.value)
            if answer.value is None or said:
                yield Answer(question.key, None, said)
            else:
                yield self._repeated(question, answer.value)

    def _repeated(self, question: Question, value: dict[str, Any]) -> Answer:
        usage = Usage(cached=1)
        self._bill.add(usage, {})
        return Answer(question.key, value, usage=usage)

    def _given_up(self, results: Iterable[tuple[bytes, Result | None]]) -> list[Exception]:
        """Why the rest need not be asked: they would all be refused, or so many in a row had no answer."""
        for result in (result for _, result in results if result):
            if result.denial:
                return [result.denial]
            self._in_a_row = self._in_a_row + 1 if result.trouble else 0
            if self._in_a_row >= IN_A_ROW and result.trouble:
                said = f"{IN_A_ROW} questions in a row: {result.answer.error}"
                return [Unavailable(said) if isinstance(result.trouble, Transient) else UpstreamRefused(said)]
        return []

    def _keep(self, results: Iterable[tuple[bytes, Result | None]]) -> None:
        kept = []
        for key, result in results:
            if result:
                self._bill.add(result.answer.usage, result.failures)
                if result.answer.value is not None:
                    query_ids = frozenset(one for asked in self._waiting[key] for one in asked.query_ids)
                    kept.append(Kept(key, result.answer.value, query_ids))
        if kept:
            self._with.answers.keep(self._with.service.name, kept)

    def _settle(self) -> None:
        """What came in after the last look."""
        late = [
            (key, one.result())
            for one, key in self._running.items()
            if not one.cancelled() and not one.exception()
        ]
        with suppress(Unavailable):  # where that is so, there is a better reason why this ends
            self._keep(late)
            self._bill.pay()


def _queries(asked: Iterable[tuple[bytes, Question]]) -> dict[bytes, frozenset[int]]:
    wanted: dict[bytes, frozenset[int]] = {}
    for key, question in asked:
        wanted[key] = wanted.get(key, frozenset()) | frozenset(question.query_ids)
    return wanted


class _Bill:
    """What was used since it was last written down, once a second."""

    def __init__(self, equipment: Equipment) -> None:
        self._with = equipment
        self._clear()

    def _clear(self) -> None:
        self._usage = NO_USAGE
        self._unpriced = 0
        self._failures: Counter[str] = Counter()
        self._since = time.monotonic()

    def add(self, usage: Usage, failures: Mapping[str, int]) -> None:
        if usage.cost_usd is None:
            self._unpriced += usage.calls
            usage = replace(usage, cost_usd=0.0)
        self._usage += usage
        self._failures.update(failures)
        if time.monotonic() - self._since > METER_EVERY_S:
            self.pay()

    def pay(self) -> None:
        if self._usage != NO_USAGE:
            self._with.measure(self._with.service.name, self._usage, self._unpriced, self._failures)
        self._clear()
