"""Who holds a key: by its hash, until it is revoked."""

from __future__ import annotations

import pytest

from adapters.bootstrap import Container
from commands.access import CreateKey, RevokeKey, hash_key
from projections.access import holder_of
from tests.stories import project


def holder(container: Container, key: str) -> str | None:
    with container.database.engine.connect() as connection:
        return holder_of(connection, hash_key(key))


@pytest.mark.parametrize("batch", [1, 1_000])
def test_a_key_opens_until_it_is_revoked(shared: Container, dataset: str, batch: int) -> None:
    anna, ben = f"anna-{dataset}", f"ben-{dataset}"
    for name in (anna, ben):
        shared.bus.handle(CreateKey(name=name, key_hash=hash_key(f"key of {name}")))
    project(shared, batch)
    assert holder(shared, f"key of {anna}") == anna
    assert holder(shared, "a guess") is None
    shared.bus.handle(RevokeKey(name=anna))
    project(shared, batch)
    assert holder(shared, f"key of {anna}") is None
    assert holder(shared, f"key of {ben}") == ben


def test_a_key_that_was_made_and_revoked_in_one_batch_opens_nothing(shared: Container, dataset: str) -> None:
    shared.bus.handle(CreateKey(name=dataset, key_hash=hash_key(dataset)))
    shared.bus.handle(RevokeKey(name=dataset))
    project(shared)
    assert holder(shared, dataset) is None
