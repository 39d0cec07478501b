"""Keys are made under a name that is used once; what is kept of them is their hash."""

from __future__ import annotations

import hashlib

import pytest

from adapters.bootstrap import Container
from commands.access import CreateKey, RevokeKey, hash_key, new_key
from domain.access import ApiKey
from domain.errors import Conflict, Invalid, NotFound


@pytest.fixture
def container(shared: Container) -> Container:
    return shared


def test_a_key_is_hard_to_guess_and_kept_as_its_hash() -> None:
    keys = {new_key() for _ in range(20)}
    assert len(keys) == 20
    assert all(key.startswith("lmsys_") and len(key) == 49 for key in keys)
    assert hash_key("lmsys_x") == hashlib.sha256(b"lmsys_x").hexdigest()


def test_a_name_is_given_once_even_after_it_was_revoked(container: Container, dataset: str) -> None:
    container.bus.handle(CreateKey(name=dataset, key_hash=hash_key("a")))
    container.bus.handle(RevokeKey(name=dataset))
    assert container.store.load(ApiKey, dataset).revoked
    with pytest.raises(Conflict, match="names are not used twice"):
        container.bus.handle(CreateKey(name=dataset, key_hash=hash_key("b")))
    with pytest.raises(Conflict, match="is revoked already"):
        container.bus.handle(RevokeKey(name=dataset))


@pytest.mark.parametrize("name", ["", " a", "a b", "a/b", "x" * 65, "a\0", "\ud800", "-a"])
def test_an_odd_name_is_refused(container: Container, name: str) -> None:
    with pytest.raises(Invalid, match="key name"):
        container.bus.handle(CreateKey(name=name, key_hash=hash_key("a")))


def test_a_key_that_is_not_there_is_not_found(container: Container, dataset: str) -> None:
    with pytest.raises(NotFound, match=dataset):
        container.bus.handle(RevokeKey(name=dataset))


@pytest.mark.parametrize("name", ["a\0b", "\ud800"])
def test_no_key_has_a_name_that_cannot_be_kept(container: Container, name: str) -> None:
    with pytest.raises(Invalid, match="the name of a apikey holds"):
        container.bus.handle(RevokeKey(name=name))
