"""Work that goes on after its request was answered: waited for, or left to itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from cli.client import Answer, Client, Failed
from cli.session import Session

Waiting = Callable[[Client, str, float | None], Answer]
"""By the id of the work, so many seconds at most: what became of it. Raises Failed where it is not done."""


def follow(
    session: Session,
    started: Answer,
    work_id: str,
    wait: bool,
    timeout: float | None,
    wait_for: Waiting,
    tell: Callable[[Answer], None],
) -> None:
    """Print the id of what was started, at once or when it is done; then `tell` what it came to."""
    if not wait:
        session.text(started, work_id)
        return
    done = wait_for(session.client, work_id, timeout)
    session.text(done, work_id)
    tell(done)


def completed(
    done: Answer, what: str, why: str | None, further: str = "", details: Sequence[str] = ()
) -> Answer:
    """Work that has ended. Raises Failed where it failed or was cancelled.

    `further` ends its message, `details` are lines below: what is kept, how to go on.
    """
    if done["status"] == "failed":
        raise Failed(f"{what} failed: {why or 'the server does not say why'}{further}", list(details))
    if done["status"] == "cancelled":
        raise Failed(f"{what} was cancelled{further}", list(details))
    return done
