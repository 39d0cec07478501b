"""Compact encodings give back what went in; what JSON or Postgres cannot keep is found."""

from __future__ import annotations

import hashlib
import math
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from domain.values import Space, added, digest, flaw, mended, pack, pack_digests, unpack, unpack_digests

DTYPES = st.one_of(
    arrays.boolean_dtypes(),
    arrays.integer_dtypes(),
    arrays.unsigned_integer_dtypes(),
    arrays.floating_dtypes(sizes=(16, 32, 64)),
)
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)
FLAWED = st.sampled_from(["\0", "a\0b", "\ud800", "x\udfffy", 2**63, -(2**63) - 1, math.nan, -math.inf])


@given(DTYPES.flatmap(lambda dtype: arrays.arrays(dtype, st.integers(0, 40))))
def test_any_array_comes_back_as_it_was_packed(array: NDArray[Any]) -> None:
    back = unpack(pack(array))
    assert back.dtype == array.dtype.newbyteorder("<")
    assert back.tobytes() == array.astype(back.dtype).tobytes()


def test_a_view_is_packed_like_its_copy() -> None:
    every_other = np.arange(10, dtype=np.int64)[::2]
    assert pack(every_other) == pack(every_other.copy())
    assert unpack(pack(every_other)).tolist() == [0, 2, 4, 6, 8]


def test_packed_numbers_say_how_they_are_to_be_read() -> None:
    assert pack(np.array([1, 2], np.int32)).startswith("<i4:")


def test_numbers_that_repeat_become_short() -> None:
    assert len(pack(np.zeros(10_000, np.int32))) < 200


@given(st.lists(st.binary(min_size=32, max_size=32), max_size=9))
def test_digests_come_back_in_order(digests: list[bytes]) -> None:
    assert unpack_digests(pack_digests(digests)) == digests


def test_content_is_addressed_by_its_sha256() -> None:
    assert digest(b"x").hex() == hashlib.sha256(b"x").hexdigest()


def test_names_of_spaces_are_fit_for_collections_and_files() -> None:
    assert Space("openai", "Text/Embedding 3", 256).name.startswith("openai_text_embedding_3_256_")
    assert len(Space("p" * 90, "m" * 90, 4096).name) < 80


@given(
    st.lists(
        st.builds(Space, TEXTS, TEXTS, st.integers(1, 9), TEXTS), min_size=2, max_size=2, unique=True
    ).filter(lambda two: "/" not in f"{two[0].provider}{two[0].model}{two[1].provider}{two[1].model}")
)
def test_spaces_that_differ_have_other_names(two: list[Space]) -> None:
    assert two[0].name != two[1].name


@given(VALUES)
def test_what_has_no_flaw_is_kept_by_json_as_it_is(value: Any) -> None:  # noqa: ANN401
    assert flaw("it", value) is None
    assert orjson.loads(orjson.dumps(value)) == value


@given(FLAWED, st.sampled_from(["itself", "an item", "a value", "a key"]))
def test_a_flaw_is_found_wherever_it_stands(flawed: object, where: str) -> None:
    value: object = flawed
    match where:
        case "an item":
            value = ["good", [flawed]]
        case "a value":
            value = {"good": 1, "inner": {"worse": flawed}}
        case "a key":
            value = {"inner": {flawed: 1}}
    found = flaw("it", value)
    assert found is not None
    assert orjson.dumps(found)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("a\0b", "it holds a NUL character"),
        ("\udc00", "it holds a lone surrogate (one half of a UTF-16 pair)"),
        ({"a": {"b": ["\0"]}}, "it.a.b holds a NUL character"),
        ({"a\0": 1}, "a key of it holds a NUL character"),
        (2**63, "it is a whole number of more than 64 bits"),
        ([math.nan], "it is nan, which is no number"),
    ],
)
def test_a_flaw_is_named_where_it_is(value: object, words: str) -> None:
    assert flaw("it", value) == words


@given(st.text(st.characters(exclude_categories=[])))
@example("\0 and \ud83d alone")
def test_words_of_others_are_mended_and_good_ones_stay(text: str) -> None:
    assert flaw("it", mended(text)) is None
    assert len(mended(text)) == len(text)
    if flaw("it", text) is None:
        assert mended(text) == text


def test_sums_of_what_calls_took_have_no_noise_and_lose_nothing() -> None:
    assert added({"cost_usd": 0.1, "calls": 1}, {"cost_usd": 0.2}) == {"cost_usd": 0.3, "calls": 1}
    total: dict[str, Any] = {}
    for _ in range(1_000):
        total = added(total, {"cost_usd": 0.000_000_075})
    assert total == {"cost_usd": 0.000_075}
    assert added(total, {"cost_usd": None}) == {"cost_usd": None}
