"""What an answer of a service means: ask again, or give up."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from domain.errors import UpstreamRefused

PASSING = {408, 409, 425, 429}
THIS_ONE = {400, 413, 422}
"""Too long, say, or against the rules of the service: another request may be taken."""

LONGEST_MESSAGE = 300


class Transient(Exception):
    """The same request may succeed; `retry_after` is in seconds, where the service said how long to wait.

    `kind` is what failures are counted by.
    """

    def __init__(self, reason: str, retry_after: float | None = None, kind: str = "connection") -> None:
        super().__init__(reason)
        self.retry_after = retry_after
        self.kind = kind


class Rejected(UpstreamRefused):
    """The service says no to this request, which may be no word about the next."""


def failure(
    service: str, status: int, message: str, headers: Mapping[str, str], key: str | None
) -> Transient | UpstreamRefused:
    """An answer that is no success: 408, 409, 425, 429 and 5xx may pass, any other will be the same again.

    OpenAI says 429 too when the account has no money left, which no waiting mends.
    """
    said = quoted(message, key)
    if (status in PASSING or status >= 500) and "insufficient_quota" not in message:
        wait = retry_after(headers)
        asked = f", and asks to wait {wait:.0f} s" if wait is not None else ""
        kind = "rate_limit" if status == 429 else "server"
        return Transient(f"it answered HTTP {status}{asked}: {said}", wait, kind)
    refusal = Rejected if status in THIS_ONE else UpstreamRefused
    return refusal(f"{service} refused: HTTP {status}: {said}")


def quoted(message: str, key: str | None) -> str:
    """A message of a service on one line, shortened, and without the key, which some of them repeat."""
    if key:
        message = message.replace(key, "[key]")
    message = " ".join(message.split())
    return message if len(message) <= LONGEST_MESSAGE else message[: LONGEST_MESSAGE - 1] + "…"


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds, from either form of the header (RFC 9110: seconds or a date)."""
    value = next((value for name, value in headers.items() if name.lower() == "retry-after"), "").strip()
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())
