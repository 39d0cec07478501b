"""The embedder that needs no key, no network and no download."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from adapters.embedder import EmbedderOptions, make_embedder
from adapters.embedder.texts import cut
from domain.errors import Refused
from domain.values import Space

TEXTS = ["how do I bake bread", "what is my credit limit", "你好", "🙂", "x" * 5_000, "नमस्ते दुनिया", "1 + 1"]


def test_it_is_the_default_and_says_what_it_is() -> None:
    space = make_embedder(None, None).space
    assert (space.provider, space.model, space.dimension) == ("wordllama", "l2_supercat_256", 256)
    assert "bytes=8192" in space.revision
    assert space == make_embedder("wordllama", "l2_supercat").space
    assert space == make_embedder(None, "wordllama/l2_supercat_256").space


def test_texts_of_like_meaning_lie_close() -> None:
    bread, loaf, bank = make_embedder(None, None).embed(
        ["how do I bake bread", "recipe for a loaf of bread", "what is my account balance"]
    )
    assert bread @ loaf > bread @ bank + 0.2


def test_vectors_are_of_length_one_and_empty_texts_have_none() -> None:
    vectors = make_embedder(None, None).embed([*TEXTS, "", " \n\t "])
    assert vectors.dtype == np.float32
    assert vectors.shape == (len(TEXTS) + 2, 256)
    np.testing.assert_allclose(np.linalg.norm(vectors[:-2], axis=1), 1, atol=1e-6)
    assert not vectors[-2:].any()
    assert make_embedder(None, None).embed([]).shape == (0, 256)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(max_size=40), min_size=1, max_size=20), st.integers(1, 8))
@example(["a" * 9_000, "a", ""], 2)
def test_a_text_has_the_same_bytes_in_any_batch(texts: list[str], batch: int) -> None:
    together = make_embedder(None, None, options=EmbedderOptions(batch_size=batch)).embed(texts)
    for text, row in zip(texts, together, strict=True):
        assert make_embedder(None, None).embed([text])[0].tobytes() == row.tobytes()


def test_a_very_long_text_takes_no_more_memory_than_its_first_bytes() -> None:
    embedder = make_embedder(None, None)
    embedder.embed(["warm"])
    long = "word " * 52_000
    tracemalloc.start()
    vectors = embedder.embed([long] * 20 + [long[:8192]])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 40 * 2**20
    assert {row.tobytes() for row in vectors} == {vectors[0].tobytes()}


def test_what_no_tokenizer_takes_is_embedded_all_the_same() -> None:
    vectors = make_embedder(None, None).embed(["a \ud800 lone surrogate", "nul \x00 byte"])
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)


@pytest.mark.parametrize(("text", "kept"), [("жжж", "жж"), ("aжж", "aж"), ("🙂🙂", "🙂"), ("abcde", "abcd")])
def test_a_cut_never_halves_a_character(text: str, kept: str) -> None:
    assert cut(text, 4) == kept


def test_shorter_vectors_are_the_beginnings_of_longer_ones() -> None:
    whole = make_embedder(None, None).embed(TEXTS)[:, :64]
    short = make_embedder(None, "wordllama/l2_supercat_64").embed(TEXTS)
    assert short.shape[1] == 64
    np.testing.assert_allclose(short, whole / np.linalg.norm(whole, axis=1, keepdims=True), atol=1e-6)
    assert make_embedder(None, None, options=EmbedderOptions(dimension=64)).space == Space(
        **{**vars(make_embedder(None, None).space), "model": "l2_supercat_64", "dimension": 64}
    )


@pytest.mark.parametrize("model", ["l2_supercat_512", "l3_supercat", "l2_supercat_256x"])
def test_a_model_that_is_not_in_the_wheel_is_refused(model: str) -> None:
    with pytest.raises(Refused, match=r"known are l2_supercat_64, l2_supercat_128, l2_supercat_256"):
        make_embedder("wordllama", model)


def test_a_dimension_that_does_not_fit_the_model_is_refused() -> None:
    with pytest.raises(Refused, match="has 256 dimensions, not 128"):
        make_embedder("wordllama", "l2_supercat_256", options=EmbedderOptions(dimension=128))


def test_a_revision_is_added_to_what_the_space_is_known_by() -> None:
    options = EmbedderOptions(revision="spring", max_text_bytes=100)
    revision = make_embedder(None, None, options=options).space.revision
    assert revision.startswith("spring;")
    assert revision.endswith(";bytes=100")


OFFLINE = """
import logging, socket
def no_network(*args, **kwargs):
    raise AssertionError("nobody is to be called")
socket.socket.connect = no_network
socket.getaddrinfo = no_network
import sys
from adapters.embedder import make_embedder
embedder = make_embedder(None, None)
assert embedder.space.dimension == 256
assert not {"wordllama", "openai", "fastembed", "cohere"} & set(sys.modules), "imported before it is needed"
assert embedder.embed(["hello"]).any()
assert logging.getLogger().handlers == [], "wordllama has set up the root logger"
assert logging.getLogger().level == logging.WARNING
"""


def test_it_works_without_a_home_and_without_a_network(tmp_path: Path) -> None:
    environment = {**os.environ, "HOME": str(tmp_path / "missing"), "PYTHONPATH": os.getcwd()}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", OFFLINE],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.iterdir()) == []


def test_many_threads_load_it_once(monkeypatch: pytest.MonkeyPatch) -> None:
    from adapters.embedder import static

    reads: list[int] = []
    read = static._read

    def counted() -> object:
        reads.append(1)
        return read()

    monkeypatch.setattr(static, "_loaded", {})
    monkeypatch.setattr(static, "_read", counted)
    found: list[bytes] = []
    threads = [
        threading.Thread(target=lambda: found.append(make_embedder(None, None).embed(["hello"]).tobytes()))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(reads) == 1
    assert len(found) == 8
    assert len(set(found)) == 1
