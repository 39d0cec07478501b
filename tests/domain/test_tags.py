"""Tags: names that can be mistaken for nothing else, and used again when they are free."""

from __future__ import annotations

import pytest

from domain.errors import Conflict, Invalid, NotFound
from domain.tags import Tag, check_name
from tests.given import given


def test_a_tag_stands_for_a_position() -> None:
    given(Tag("before", 7)).when(lambda tag: tag.remove()).then(Tag.Removed)


def test_a_name_is_given_once() -> None:
    given(Tag("before", 7)).when(lambda tag: tag.place(8)).refuses(Conflict, "at position 7")


def test_a_name_that_is_free_again_stands_for_another_moment() -> None:
    tag = Tag("before", 7)
    tag.remove()
    given(tag).when(lambda tag: tag.place(8)).then(Tag.Placed, position=8)
    assert tag.moment() == 8


def test_what_was_removed_stands_for_nothing() -> None:
    tag = Tag("before", 7)
    tag.remove()
    given(tag).when(lambda tag: tag.remove()).refuses(NotFound, "it was removed")
    with pytest.raises(NotFound):
        tag.moment()


@pytest.mark.parametrize("name", ["a", "v1", "before-the-workshop", "A.b_c-9", "x" * 64])
def test_names(name: str) -> None:
    assert check_name(name) == name


@pytest.mark.parametrize(
    "name",
    ["", "7", "007", "2025-10-04", "2025-10-04T17:04:42Z", "-a", ".a", "a b", "a/b", "a@b", "ä", "x" * 65],
)
def test_what_could_be_mistaken_is_no_name(name: str) -> None:
    with pytest.raises(Invalid, match="begin with a letter"):
        check_name(name)
