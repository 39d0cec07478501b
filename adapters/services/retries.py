"""How often, and after what waits, a request is made again that may succeed."""

from __future__ import annotations

import time
from dataclasses import dataclass

from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_attempt
from tenacity.wait import wait_exponential, wait_random

from adapters.services.answers import Transient
from adapters.services.pace import Sleep


@dataclass(frozen=True)
class Patience:
    """Waits in seconds: `base_s`, twice that, and so on up to `max_s`, each with up to `base_s` of chance.

    Where a service says how long to wait it is that long, and above `retry_after_max_s` not at all.
    """

    max_retries: int = 5
    base_s: float = 0.5
    max_s: float = 30.0
    retry_after_max_s: float = 120.0

    def retrying(self, sleep: Sleep = time.sleep) -> Retrying:
        """Tries again after `Transient`, and raises the last one."""
        return Retrying(
            retry=retry_if_exception_type(Transient),
            stop=self._stop,
            wait=self._wait,
            sleep=sleep,
            reraise=True,
        )

    def _stop(self, state: RetryCallState) -> bool:
        asked = _asked_to_wait(state)
        if asked is not None and asked > self.retry_after_max_s:
            return True
        return stop_after_attempt(self.max_retries + 1)(state)

    def _wait(self, state: RetryCallState) -> float:
        asked = _asked_to_wait(state)
        chance = wait_random(0, self.base_s)(state)
        if asked is not None:
            return asked + chance
        return wait_exponential(multiplier=self.base_s, max=self.max_s)(state) + chance


PATIENCE = Patience()
"""Of whoever names none."""


def _asked_to_wait(state: RetryCallState) -> float | None:
    error = state.outcome.exception() if state.outcome else None
    return error.retry_after if isinstance(error, Transient) else None
