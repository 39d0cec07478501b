"""The services against a server that speaks their protocols, on the loopback."""

from __future__ import annotations

import json
import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import pytest
from pydantic import SecretStr

from adapters.embedder import EmbedderOptions, make_embedder
from adapters.services.answers import retry_after
from adapters.services.pace import Pace
from adapters.services.retries import Patience
from commands.ports import Embedder
from domain.errors import Invalid, Refused, Unavailable

KEY = "sk-very-secret-0123456789"


@dataclass
class Reply:
    """One scripted answer. `body` None is the right one; `cut` bytes of it are kept back."""

    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    cut: int = 0
    hang: bool = False


class Service(ThreadingHTTPServer):
    """Answers from a script, then rightly. A text's vector is its length, its first character, and 1."""

    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.script: list[Reply] = []
        self.requests: list[tuple[str, dict[str, Any], str]] = []
        self.times: list[float] = []
        self.released = threading.Event()

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401
        """A client that no longer waits for its answer is what some of the tests are about."""
        if not isinstance(sys.exception(), BrokenPipeError | ConnectionResetError):
            super().handle_error(request, client_address)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def vector(self, text: str) -> list[float]:
        return [float(len(text)), float(ord(text[0])), 1.0]


class Handler(BaseHTTPRequestHandler):
    server: Service
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.times.append(time.monotonic())
        self.server.requests.append((self.path, asked, self.headers["Authorization"]))
        reply = self.server.script.pop(0) if self.server.script else Reply()
        if reply.hang:
            self.server.released.wait(10)
        body = json.dumps(self.right(asked) if reply.body is None else reply.body).encode()
        self.send_response(reply.status)
        for name, value in {"Content-Type": "application/json", **reply.headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) - reply.cut])
        self.close_connection = bool(reply.cut)

    def right(self, asked: dict[str, Any]) -> dict[str, Any]:
        if self.path == "/v2/embed":
            vectors = [self.server.vector(text) for text in asked["texts"]]
            return {"id": "1", "embeddings": {"float": vectors}, "texts": asked["texts"]}
        rows = [
            {"object": "embedding", "index": at, "embedding": self.server.vector(text)}
            for at, text in enumerate(asked["input"])
        ]
        usage = {"prompt_tokens": 1, "total_tokens": 1}
        return {"object": "list", "data": rows[::-1], "model": asked["model"], "usage": usage}

    def log_message(self, format: str, *args: object) -> None:
        """Not to stderr."""


@pytest.fixture
def service() -> Iterator[Service]:
    server = Service()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.released.set()
    server.shutdown()
    thread.join()
    server.server_close()


PATIENT = Patience(max_retries=2, base_s=0.01, max_s=0.02)
ONCE_MORE = replace(PATIENT, max_retries=1)
QUICK = EmbedderOptions(dimension=3, api_key=SecretStr(KEY), timeout_s=5, patience=PATIENT)
Make = Callable[..., Embedder]


@pytest.fixture
def making(service: Service) -> Iterator[Make]:
    """make_embedder, with connections that are closed in the end."""
    made: list[Any] = []

    def make(provider: str | None, model: str | None, options: EmbedderOptions) -> Embedder:
        made.append(make_embedder(provider, model, options=options))
        return made[-1]

    yield make
    for embedder in made:
        embedder.close()


@pytest.fixture(params=["openai", "openai-compatible", "cohere"])
def make(request: pytest.FixtureRequest, service: Service, making: Make) -> Make:
    """An embedder of each kind of service, pointed at the server."""
    provider = request.param
    url = service.url if provider == "cohere" else f"{service.url}/v1"

    def made(**changes: Any) -> Embedder:  # noqa: ANN401
        return making(provider, "some-model", replace(QUICK, base_url=url, **changes))

    return made


def texts_of(request: dict[str, Any]) -> list[str]:
    found: list[str] = request.get("input") or request["texts"]
    return found


def test_vectors_come_back_in_the_order_of_the_texts_and_of_length_one(make: Make, service: Service) -> None:
    vectors = make().embed(["bb", "a", "cccc"])
    expected = np.array([service.vector(text) for text in ("bb", "a", "cccc")], dtype=np.float64)
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(vectors, expected, rtol=1e-6)


def test_the_key_goes_out_as_a_bearer_token(make: Make, service: Service) -> None:
    make().embed(["a"])
    assert service.requests[0][2] == f"Bearer {KEY}"


def test_empty_texts_are_not_sent_and_get_zero_vectors(make: Make, service: Service) -> None:
    vectors = make().embed(["", "a", " \n\t"])
    assert [texts_of(asked) for _, asked, _ in service.requests] == [["a"]]
    assert not vectors[[0, 2]].any()
    assert vectors[1].any()


def test_nothing_but_empty_texts_asks_nobody(make: Make, service: Service) -> None:
    assert make().embed(["", " "]).shape == (2, 3)
    assert make().embed([]).shape == (0, 3)
    assert service.requests == []


def test_texts_go_in_batches_in_order(make: Make, service: Service) -> None:
    texts = [f"{number} text" for number in range(7)]
    make(batch_size=3).embed(texts)
    assert [texts_of(asked) for _, asked, _ in service.requests] == [texts[:3], texts[3:6], texts[6:]]


def test_a_batch_is_bounded_in_bytes_and_so_is_a_text(make: Make, service: Service) -> None:
    make(batch_size=90).embed(["ж" * 300_000] * 62)
    sent = [texts_of(asked) for _, asked, _ in service.requests]
    assert {text for texts in sent for text in texts} == {"ж" * 4096}
    assert [len(texts) for texts in sent] == [30, 30, 2]


def test_429_is_asked_again_no_sooner_than_the_service_says(make: Make, service: Service) -> None:
    service.script = [Reply(429, {"message": "slow down"}, {"Retry-After": "0.3"})]
    assert make().embed(["a"]).any()
    assert service.times[1] - service.times[0] >= 0.3


@pytest.mark.parametrize("status", [408, 429, 500, 503, 529])
def test_what_passes_is_asked_again(make: Make, service: Service, status: int) -> None:
    service.script = [Reply(status, {"message": "overloaded"})] * 2
    assert make().embed(["a"]).any()
    assert len(service.requests) == 3


def test_what_does_not_pass_is_unavailable_after_so_many_tries(make: Make, service: Service) -> None:
    service.script = [Reply(529, {"message": "overloaded"})] * 9
    with pytest.raises(Unavailable, match=r"some-model .*\(3 tries\).*529.*overloaded"):
        make().embed(["a"])
    assert len(service.requests) == 3


def test_a_wait_that_is_too_long_is_not_waited(make: Make, service: Service) -> None:
    service.script = [Reply(429, {"message": "later"}, {"Retry-After": "3600"})]
    with pytest.raises(Unavailable, match=r"\(1 tries\).*asks to wait 3600 s"):
        make().embed(["a"])


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422])
def test_a_refusal_is_passed_on_at_once_without_the_key(
    make: Make, service: Service, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    said = {"message": f"no, not with {KEY}", "error": {"message": f"no, not with {KEY}", "code": None}}
    service.script = [Reply(status, said)]
    with pytest.raises(Refused, match=rf"some-model refused: HTTP {status}.*not with \[key\]") as refused:
        make().embed(["a"])
    assert len(service.requests) == 1
    assert KEY not in repr(refused.value) + caplog.text


def test_a_service_that_hangs_is_unavailable(make: Make, service: Service) -> None:
    service.script = [Reply(hang=True)] * 2
    with pytest.raises(Unavailable, match=r"\(2 tries\): it did not answer in time"):
        make(timeout_s=0.15, patience=ONCE_MORE).embed(["a"])


@pytest.mark.parametrize("cut", [10, 1])
def test_an_answer_that_breaks_off_is_asked_again(make: Make, service: Service, cut: int) -> None:
    service.script = [Reply(cut=cut)]
    assert make().embed(["a"]).any()
    assert len(service.requests) == 2


def test_nobody_at_the_address_is_unavailable(make: Make, service: Service) -> None:
    embedder = make(patience=ONCE_MORE)
    service.shutdown()
    service.socket.close()
    with pytest.raises(Unavailable, match=r"\(2 tries\): no connection"):
        embedder.embed(["a"])


@pytest.mark.parametrize("body", ["all is well", {"data": 3}, {"embeddings": {}}, [1, 2]])
def test_an_answer_that_is_no_list_of_vectors_is_unavailable(
    make: Make, service: Service, body: object
) -> None:
    service.script = [Reply(body=body)] * 3
    with pytest.raises(Unavailable, match=r"\(3 tries\): it answered"):
        make().embed(["a"])


def test_fewer_vectors_than_texts_are_not_taken(make: Make, service: Service) -> None:
    vectors = [service.vector("a")]
    openai = {"object": "list", "data": [{"index": 0, "embedding": vectors[0]}], "model": "m"}
    service.script = [Reply(body={**openai, "embeddings": {"float": vectors}})] * 3
    with pytest.raises(Unavailable, match="1 vectors for 2 texts"):
        make().embed(["a", "b"])


def test_vectors_of_another_dimension_are_refused(make: Make) -> None:
    with pytest.raises(Refused, match="3 dimensions, its space has 5"):
        make(dimension=5).embed(["a"])


def test_values_that_are_no_numbers_are_refused(make: Make, service: Service) -> None:
    service.vector = lambda text: [1.0, 2.0, float("nan")]  # type: ignore[method-assign]
    with pytest.raises(Unavailable, match="no number"):
        make().embed(["a"])


def test_the_dimension_of_an_unknown_model_is_learnt_once(making: Make, service: Service) -> None:
    options = replace(QUICK, dimension=None, base_url=f"{service.url}/v1")
    embedder = making("openai-compatible", "nomic-embed-text", options)
    assert embedder.space.dimension == embedder.space.dimension == 3
    assert len(service.requests) == 1


def test_the_dimension_of_a_known_model_needs_no_call(making: Make) -> None:
    options = EmbedderOptions(api_key=KEY)
    assert making(None, "openai/text-embedding-3-small", options).space.dimension == 1536
    assert making(None, "cohere/embed-v4.0", options).space.dimension == 256


def test_models_that_can_be_cut_to_size_are_asked_to(making: Make, service: Service) -> None:
    options = replace(QUICK, base_url=f"{service.url}/v1")
    making("openai", "text-embedding-3-large", options).embed(["a"])
    making("cohere", "embed-v4.0", replace(QUICK, base_url=service.url)).embed(["a"])
    assert service.requests[0][1]["dimensions"] == 3
    assert service.requests[1][1]["output_dimension"] == 3


def test_what_changes_the_vectors_changes_the_space(making: Make) -> None:
    def named(**changes: Any) -> str:  # noqa: ANN401
        return making("cohere", "embed-v4.0", replace(QUICK, **changes)).space.name

    names = {named(), named(max_text_bytes=99), named(cohere_input_type="search_query"), named(revision="x")}
    assert len(names) == 4
    assert named() == named(batch_size=7, rpm=9, patience=ONCE_MORE)


def test_a_batch_is_no_larger_than_the_service_takes(making: Make, service: Service) -> None:
    options = replace(QUICK, base_url=service.url, batch_size=500)
    making("cohere", "embed-v4.0", options).embed(["a"] * 100)
    assert [len(texts_of(asked)) for _, asked, _ in service.requests] == [96, 4]


def test_an_empty_account_is_refused_at_once(making: Make, service: Service) -> None:
    error = {"message": "You exceeded your current quota", "code": "insufficient_quota"}
    service.script = [Reply(429, {"error": error})]
    with pytest.raises(Refused, match="exceeded your current quota"):
        making("openai", "m", replace(QUICK, base_url=f"{service.url}/v1")).embed(["a"])


def test_services_that_are_not_set_up_are_refused() -> None:
    with pytest.raises(Refused, match="OPENAI_API_KEY"):
        make_embedder("openai", None)
    with pytest.raises(Refused, match="COHERE_API_KEY"):
        make_embedder("cohere", None, options=EmbedderOptions(api_key=SecretStr("")))
    with pytest.raises(Refused, match="needs the URL"):
        make_embedder("openai-compatible", "m", options=EmbedderOptions(api_key=KEY))
    with pytest.raises(Refused, match="no default model"):
        make_embedder("openai-compatible", None)


def test_an_extra_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "cohere", None)
    with pytest.raises(Refused, match=r"pip install 'lmsys-query-analysis\[cohere\]'"):
        make_embedder("cohere", None, options=EmbedderOptions(api_key=KEY))


def test_a_provider_that_is_unknown_is_invalid() -> None:
    with pytest.raises(Invalid, match="unknown embedding provider 'voyage': known are wordllama, fastembed"):
        make_embedder(None, "voyage/voyage-3")


def test_options_never_show_the_key() -> None:
    assert KEY not in repr(EmbedderOptions(api_key=KEY))
    assert KEY not in repr(EmbedderOptions(api_key=SecretStr(KEY)))


@pytest.mark.parametrize("name", ["batch_size", "dimension", "rpm", "max_text_bytes"])
def test_options_that_make_no_sense_are_invalid(name: str) -> None:
    with pytest.raises(Invalid, match=f"{name} of an embedder is at least"):
        EmbedderOptions(**{name: 0})


def test_the_pace_is_shared_by_all_embedders_of_a_service(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []

    class Slept(Exception):
        pass

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        raise Slept

    monkeypatch.setattr(Pace.wait, "__defaults__", (sleep,))
    make(rpm=2).embed(["a"])
    make(rpm=2).embed(["b"])
    with pytest.raises(Slept):
        make(rpm=2).embed(["c"])
    assert 50 < slept[0] <= 61


def test_retry_after_is_read_in_both_forms() -> None:
    at = format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)
    assert 85 < (retry_after({"retry-after": at}) or 0) <= 90
    assert retry_after({"Retry-After": "7"}) == 7
    assert retry_after({"Retry-After": "-7"}) == 0
    assert retry_after({"Retry-After": "soon"}) is None
    assert retry_after({}) is None
