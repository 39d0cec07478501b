"""Where commands go in: finds the handler, commits what it decided, answers a repetition as before."""

from __future__ import annotations

import inspect
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any
from uuid import uuid4

from commands.ports import EventStore, Outcome, Receipt
from domain.base import Context, context
from domain.errors import Conflict, Stale, Unavailable, VersionConflict

Handler = Callable[..., Outcome]
Settled = Callable[[Receipt], None]
"""Called with each receipt before the answer goes out: waits for the read models, counts."""

TRIES = 20
"""How often a command is decided anew when others are quicker."""

BACK_OFF_S = 0.005
"""After the n-th conflict a command waits up to n times as long: many at once do not march in step."""

PATIENCE_S = 8.0
"""How long a command waits for a database that has gone away: a restart takes 1 to 3 s."""


class Bus:
    """Handlers name what they need as parameters; `needs` has it by that name."""

    def __init__(
        self,
        store: EventStore,
        handlers: Mapping[type, Handler],
        needs: Mapping[str, object],
        settled: Settled = lambda receipt: None,
    ) -> None:
        self._store = store
        self._settled = settled
        self._handlers = {
            kind: bind(handler, {**needs, "store": store}) for kind, handler in handlers.items()
        }

    def handle(self, command: object) -> Receipt:
        """Decide and commit. The same idempotency key gives the stored answer again.

        A version conflict is decided anew on fresh state, unless the caller said which state it must be.
        After an error of which nobody knows whether it came before or after the commit, the log is asked.
        """
        asked_before = context.get().idempotency_key is not None
        token = context.set(_with_key(context.get()))
        try:
            receipt = self._handle(command, asked_before)
        finally:
            context.reset(token)
        self._settled(receipt)
        return receipt

    def once(self, act: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """For a request that changes nothing in the log: the same idempotency key gives the stored answer."""
        if context.get().idempotency_key is None:
            return act()
        token = context.set(_with_key(context.get()))
        try:
            return self._once(act)
        finally:
            context.reset(token)

    def _once(self, act: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        if receipt := self._store.answered():
            return receipt.answer
        answer = act()
        try:
            return self._store.commit(Outcome((), answer), "once").answer
        except VersionConflict:
            stored = self._store.answered()
            return stored.answer if stored else answer

    def _handle(self, command: object, asked_before: bool) -> Receipt:
        now = context.get()
        deadline = time.monotonic() + PATIENCE_S
        for attempt in range(1, 1_000):
            try:
                if (asked_before or attempt > 1) and (receipt := self._store.answered()):
                    return receipt
                outcome = self._handlers[type(command)](command)
                return self._store.commit(outcome, type(command).__name__)
            except VersionConflict as error:
                if now.expected_version is not None and not self._store.answered():
                    raise Stale("it was changed since you read it; read it again") from error
                if attempt >= TRIES:
                    raise Conflict("too many changes of the same thing at once; try again") from error
                time.sleep(random.uniform(0, BACK_OFF_S * attempt))
            except Unavailable:
                if time.monotonic() > deadline:
                    raise
                time.sleep(min(0.05 * 2**attempt, 0.5))
        raise Unavailable("the command could not be settled")


def _with_key(now: Context) -> Context:
    """Every command has a key and a hash, so that what became of it can be asked for when nobody heard."""
    key = now.idempotency_key or f"auto-{uuid4().hex}"
    return replace(now, idempotency_key=key, request_hash=now.request_hash or "")


def bind(handler: Callable[..., Any], needs: Mapping[str, object]) -> Callable[..., Any]:
    """The function with what it needs filled in by parameter name; parameters left over stay open."""
    wanted = {name: needs[name] for name in inspect.signature(handler).parameters if name in needs}

    def bound(*args: object, **kwargs: object) -> Any:  # noqa: ANN401
        return handler(*args, **wanted, **kwargs)

    return bound
