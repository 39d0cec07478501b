"""API keys are made once and revoked once."""

from __future__ import annotations

import pytest

from domain.access import ApiKey
from domain.base import Context
from domain.errors import Conflict, Invalid
from tests.given import given


def test_a_key_is_known_by_its_name_and_its_hash_alone() -> None:
    key = ApiKey("anna", "5e" * 32)
    (created,) = key.collect_events()
    assert type(created) is ApiKey.Created
    assert (created.name, created.key_hash) == ("anna", "5e" * 32)
    assert key.id == "api_key/anna"
    assert not key.revoked


def test_a_key_can_be_revoked() -> None:
    revoking = given(ApiKey("anna", "5e" * 32)).when(lambda key: key.revoke())
    revoking.then(ApiKey.Revoked)
    assert revoking.aggregate.revoked


def test_a_key_cannot_be_revoked_twice() -> None:
    key = ApiKey("anna", "5e" * 32)
    key.revoke()
    given(key).when(lambda key: key.revoke()).refuses(Conflict, "API key 'anna' is revoked already")


@pytest.mark.parametrize("name", ["a\0", "\ud800"])
def test_a_name_that_cannot_be_a_stream_is_refused(name: str) -> None:
    with pytest.raises(Invalid, match="the name of a apikey holds"):
        ApiKey.stream(name)


@pytest.mark.parametrize("reason", ["because\0", "\udfff"])
def test_a_reason_that_cannot_be_kept_is_refused(reason: str) -> None:
    with pytest.raises(Invalid, match="reason holds"):
        Context(reason=reason)
