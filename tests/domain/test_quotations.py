"""What a model wrote about clusters repeats nobody's words: those stand in the log for good."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.summaries import QUOTATION, without_quotations

SAID = "Hello, I am John Smith of 12 Violet Lane and I need a refund"
OTHERS = ["reset my password please, it is urgent", "Reset my  password please, it is late"]


@pytest.mark.parametrize(
    ("words", "left"),
    [
        ("Refunds and passwords", "Refunds and passwords"),
        (f"People say: {SAID}", "People say: …"),
        ("He says “john smith of 12  violet lane” and more", "He says “… and more"),
        ("reset my password please, it is", "reset my password please, it is"),
        ("reset my password please, it is urgent", "reset my …"),
        ("", ""),
    ],
)
def test_a_stretch_that_one_text_alone_has_is_cut(words: str, left: str) -> None:
    assert without_quotations(words, [SAID, *OTHERS]) == left


def test_scripts_without_spaces_are_cut_as_well() -> None:
    text = "请问如何学习机器学习和深度学习的方法以及如何应用到实际的工作中去呢谢谢"
    assert without_quotations(f"关于{text}", [text]) == "关于…"


@given(st.text(alphabet="ab Ä", max_size=80), st.text(alphabet="ab Ä", min_size=1, max_size=80))
def test_nothing_longer_than_a_quotation_and_a_word_is_left(before: str, said: str) -> None:
    left = without_quotations(f"{before} {said}", [said])
    longest = max(map(len, said.split()), default=0)
    whole = " ".join(said.split())
    size = QUOTATION + longest + 1
    assert not any(whole[at : at + size] in left for at in range(len(whole) - size + 1))


@given(st.text(max_size=60))
def test_what_no_text_says_is_left_as_it_is(words: str) -> None:
    assert without_quotations(words, ["something else altogether, which nobody wrote here"]) == " ".join(
        words.split()
    )


@pytest.mark.parametrize("before", ["", "İ "])
def test_a_quotation_in_other_letters_is_one_too(before: str) -> None:
    """A small sigma at the end of a word is another letter than the one in capitals made small."""
    text = "ο κύριος ΝΙΚΟΛΑΟΣ μένει στην οδό"  # noqa: RUF001
    assert "…" in without_quotations(f"{before}{text.lower()}", [text])
    assert "…" in without_quotations(text, [f"{before}{text.lower()}"])
