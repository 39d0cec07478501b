"""HTTP as the command line speaks it: safe repetition, errors that can be read, jobs that are waited for."""

from __future__ import annotations

import http.client
import io
import ipaddress
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import urlsplit
from uuid import uuid4

from cli.output import Told, note, progress

if TYPE_CHECKING:
    import httpx

Params = Mapping[str, str | int | float | bool | Sequence[str] | None]
"""What is None is left out."""

Answer = dict[str, Any]

TRIES = 3
"""How often a request is sent when the connection breaks or the API says 503."""

TRY_AGAIN_S = 0.3
LOOK_AGAIN_S = (0.1, 1.0)
"""Between looks at a job: at first, and when it takes long."""

REQUEST_TIMEOUT_S = 60.0
CONNECT_TIMEOUT_S = 5.0
PATIENCE_S = 60.0
"""How long a job is waited for while the API does not answer: it may be starting again."""

PAGE = 1_000
MUTATING = ("POST", "PUT", "DELETE")
ENDED = ("completed", "failed", "cancelled")


class Failed(Exception):
    """What the person at the terminal is told; the command then ends with status 1."""

    def __init__(self, message: str, details: list[str] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.details = details or []


class Unreachable(Failed):
    """Nobody answers at the URL, or no longer."""


class ApiError(Failed):
    """The API has answered, and it says no. `errors`: what it lists of things that are wrong, as it came."""

    def __init__(self, status: int, message: str, details: list[str], errors: Sequence[Any] = ()) -> None:
        super().__init__(message, details)
        self.status = status
        self.errors = list(errors)


class Client:
    """One API. Its commands answer when reads show what they have changed."""

    def __init__(
        self, url: str, *, actor: str | None = None, key: str | None = None, verbose: bool = False
    ) -> None:
        import httpx

        self.url = _checked(url)
        headers = {"X-Actor": actor, "X-API-Key": key}
        self._headers = {name: value for name, value in headers.items() if value}
        self._endless = httpx.Timeout(None, connect=CONNECT_TIMEOUT_S)
        self._bounded = httpx.Timeout(REQUEST_TIMEOUT_S, connect=CONNECT_TIMEOUT_S)
        self._http = httpx.Client(
            base_url=self.url,
            headers=self._headers,
            trust_env=not _is_local(self.url),
            follow_redirects=True,
            event_hooks={"response": [_tell]} if verbose else {},
        )

    def close(self) -> None:
        self._http.close()

    # --- requests

    def get(self, path: str, params: Params | None = None, *, endless: bool = False) -> Answer:
        """`endless`: without a limit of time."""
        return self._json("GET", path, params or {}, endless=endless)

    def post(
        self,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        params: Params | None = None,
        null: Sequence[str] = (),
        if_match: str | None = None,
        endless: bool = False,
    ) -> Answer:
        """`null`: fields that are sent as null, which takes away what is there."""
        json = None if body is None else {**_given(body), **dict.fromkeys(null)}
        return self._json("POST", path, params or {}, if_match=if_match, endless=endless, json=json)

    def put(self, path: str, body: Mapping[str, Any], *, if_match: str | None = None) -> Answer:
        return self._json("PUT", path, {}, if_match=if_match, json=_given(body))

    def delete(
        self, path: str, params: Params, body: Params | None = None, *, if_match: str | None = None
    ) -> Answer:
        return self._json("DELETE", path, params, if_match=if_match, json=body)

    def post_files(self, path: str, files: Sequence[tuple[str, Any]], params: Params) -> Answer:
        """Small files, as multipart: a field, and name, content and type of each."""
        return self._json("POST", path, params, files=list(files))

    def upload(self, path: str, name: str, file: IO[bytes], fields: Params, told: Told) -> Answer:
        """Send a file as multipart, read in pieces as the connection takes them. A pipe is sent but once."""
        form = {key: _form_value(value) for key, value in _given(fields).items()}
        again = file.seekable()
        sent = _Sent(file, told) if again else _Piped(file, told)
        files = {"file": (name, sent, "application/octet-stream")}
        return self._json("POST", path, {}, endless=True, tries=TRIES if again else 1, data=form, files=files)

    def pages(self, path: str, limit: int | None, params: Params | None = None) -> Answer:
        """The pages of a list as one, up to `limit` items; None: all."""
        items: list[Any] = []
        page: Answer = {}
        for page in self.each_page(path, min(limit or PAGE, PAGE), params or {}):
            items += page["items"]
            if limit is not None and len(items) >= limit:
                break
        shown = items if limit is None else items[:limit]
        more = {name: value for name, value in page.items() if name != "next_cursor"}
        return {**more, "items": shown, "page": 1, "pages": 1, "limit": limit or len(shown)}

    def each_page(self, path: str, size: int, params: Params) -> Iterator[Answer]:
        """Page after page, by cursor where the list has one, else by number."""
        number, cursor, by_cursor = 1, None, False
        while True:
            at = {"cursor": cursor} if cursor else {"page": number}
            page = self.get(path, {"limit": size, **at, **params})
            yield page
            number, cursor = number + 1, page.get("next_cursor")
            by_cursor = by_cursor or bool(cursor)
            if not cursor and (by_cursor or number > page["pages"]):
                return

    def download(self, url: str, target: IO[bytes]) -> None:
        """An address that the API gave out, into a file that is open for writing."""
        with self._streamed(url, {}, {}) as answer:
            for piece in answer.iter_bytes():
                target.write(piece)

    def exchange(self, path: str, params: Params, file: IO[bytes], took: Callable[[bytes], None]) -> None:
        """Send lines of JSON as they can be read; each line of the answer is handed over as it comes."""
        import asyncio

        import aiohttp

        from cli.exchange import exchange

        headers = {**self._headers, "Content-Type": "application/x-ndjson"}
        given = {name: str(value) for name, value in _given(params).items()}
        how: Any = {"connect_timeout": CONNECT_TIMEOUT_S, "proxies": not _is_local(self.url)}
        try:
            asyncio.run(exchange(self.url + path, headers, given, file, took, _refusal, **how))
        except aiohttp.ClientConnectorError as error:
            raise Unreachable(f"no API at {self.url}: start it with `lmsys serve`") from error
        except aiohttp.ClientError as error:
            what = str(error) or type(error).__name__
            raise Unreachable(f"the API at {self.url} broke off: {what}") from error

    def server_sent(self, path: str, after: str | None, params: Params) -> Iterator[tuple[str, str]]:
        """Id and data of each event of a stream, for as long as the connection lasts."""
        headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": after} if after else {})
        with self._streamed(path, params, headers) as answer:
            last, data = after or "", []
            for line in answer.iter_lines():
                name, _, value = line.partition(":")
                if name == "id":
                    last = value.removeprefix(" ")
                elif name == "data":
                    data.append(value.removeprefix(" "))
                elif not line and data:
                    yield last, "\n".join(data)
                    data = []

    # --- jobs

    def wait(self, label: str, read: Callable[[], Answer], timeout: float | None, again: str) -> Answer:
        """Ask until a job has ended; returns its last state. `again`: the command that looks at it later.

        Raises Failed after `timeout` seconds, and when the API has been away for too long.
        """
        begun = answered = time.monotonic()
        pause, longest = LOOK_AGAIN_S
        with progress(label) as told, _left_at_work(again):
            while timeout is None or time.monotonic() - begun <= timeout:
                try:
                    job = read()
                except Failed as error:
                    if not _may_pass(error) or time.monotonic() - answered > PATIENCE_S:
                        raise
                else:
                    answered = time.monotonic()
                    told(job.get("processed"), job.get("total"))
                    if job["status"] in ENDED:
                        return job
                time.sleep(pause)
                pause = min(pause * 1.3, longest)
        raise Failed(f"not done after {timeout:g} s; the work goes on: {again}")

    # --- below

    def _json(self, method: str, path: str, params: Params, **request: Any) -> Answer:  # noqa: ANN401
        answer = self._send(method, path, params, **request)
        _check(answer)
        body: Answer = answer.json() if answer.content else {}
        return body

    def _send(
        self,
        method: str,
        path: str,
        params: Params,
        *,
        if_match: str | None = None,
        endless: bool = False,
        tries: int = TRIES,
        **body: Any,  # noqa: ANN401
    ) -> httpx.Response:
        """The answer, whatever it says. All tries of a command have the same key: it is carried out once."""
        headers = {"Idempotency-Key": str(uuid4())} if method in MUTATING else {}
        if if_match is not None:
            headers["If-Match"] = if_match if if_match == "*" else f'"{if_match.strip(chr(34))}"'
        request = {**_given(body), "timeout": self._endless if endless else self._bounded}
        for attempt in range(1, tries + 1):
            last = attempt == tries
            with self._connection_errors(last):
                answer = self._http.request(method, path, params=_given(params), headers=headers, **request)
                if answer.status_code != 503 or last:
                    return answer
            time.sleep(TRY_AGAIN_S * attempt)
        raise Unreachable(f"the API at {self.url} does not answer")

    @contextmanager
    def _streamed(self, url: str, params: Params, headers: Mapping[str, str]) -> Iterator[httpx.Response]:
        given = _given(params) or None
        with (
            self._connection_errors(last=True),
            self._http.stream("GET", url, params=given, headers=headers, timeout=self._endless) as answer,
        ):
            if answer.is_error:
                answer.read()
            _check(answer)
            yield answer

    @contextmanager
    def _connection_errors(self, last: bool) -> Iterator[None]:
        """Those that another try may mend are passed over, except on the last."""
        import httpx

        try:
            yield
        except httpx.LocalProtocolError as error:
            raise Failed(f"this cannot be sent in a header: {error}") from error
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            if last:
                raise Unreachable(f"no API at {self.url}: start it with `lmsys serve`") from error
        except httpx.TransportError as error:
            if last:
                what = str(error) or type(error).__name__
                raise Unreachable(f"the API at {self.url} broke off: {what}") from error


def _checked(url: str) -> str:
    """Raises Invalid for what is no URL of an API."""
    import httpx

    from domain.errors import Invalid

    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise Invalid(f"{url!r} is no URL of an API: {error}") from error
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise Invalid(f"{url!r} is no URL of an API: write it as http://127.0.0.1:8000")
    return url.rstrip("/")


def _given(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _form_value(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


@contextmanager
def _left_at_work(again: str) -> Iterator[None]:
    """Ctrl-C ends the waiting, not the work."""
    try:
        yield
    except KeyboardInterrupt:
        raise Failed(f"no longer waiting; the work goes on: {again}") from None


def _may_pass(error: Failed) -> bool:
    """The API is starting again, or does not show the job yet."""
    if isinstance(error, ApiError):
        return error.status in (404, 502, 503, 504)
    return isinstance(error, Unreachable)


def _is_local(url: str) -> bool:
    """Whether it is this machine: no proxy stands before it, whatever the environment says of others."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _tell(answer: httpx.Response) -> None:
    request, correlation = answer.request, answer.headers.get("X-Correlation-ID", "-")
    note(f"{request.method} {request.url} {answer.status_code} correlation_id={correlation}")


def _check(answer: httpx.Response) -> None:
    if answer.is_error:
        raise _refusal(answer.status_code, answer.content)


def _refusal(status: int, content: bytes) -> ApiError:
    """The words of the API, or what came in their place."""
    try:
        body = json.loads(content)
    except ValueError:
        body = None
    body = body if isinstance(body, dict) else {}
    error = body.get("error")
    message = error.get("message") if isinstance(error, dict) else None
    text = content[:2_000].decode("utf-8", "replace")[:500]
    said = message or body.get("detail") or text or http.client.responses.get(status, f"HTTP {status}")
    wrong = [*(body.get("details") or []), *(body.get("errors") or [])]
    return ApiError(status, str(said), [_detail(one) for one in wrong], wrong)


def _detail(one: object) -> str:
    """`{field: limit, message: too large}` as `limit: too large`."""
    return ": ".join(str(value) for value in one.values()) if isinstance(one, dict) else str(one)


class _Sent(io.RawIOBase):
    """A file on its way: it tells how much of it has been read, and begins anew when it is sent again."""

    def __init__(self, file: IO[bytes], told: Told) -> None:
        self._file = file
        self._told = told
        self._size = file.seek(0, io.SEEK_END)

    def read(self, size: int = -1) -> bytes:
        piece = self._file.read(size)
        self._told(self._file.tell(), self._size)
        return piece

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()


class _Piped:
    """A pipe on its way. It has nothing but `read`: of what has a file number, a length would be believed."""

    def __init__(self, file: IO[bytes], told: Told) -> None:
        self._file = file
        self._told = told
        self._sent = 0

    def read(self, size: int) -> bytes:
        piece = self._file.read(size)
        self._sent += len(piece)
        self._told(self._sent)
        return piece
