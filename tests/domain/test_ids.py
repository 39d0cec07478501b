"""A set of query ids is a set, however it came to be."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from domain.ids import IdSet

IDS = st.lists(st.integers(1, 60), max_size=12, unique=True).map(lambda ids: np.array(ids, np.int64))


@given(st.lists(st.tuples(st.booleans(), IDS), max_size=12))
def test_a_set_of_ids_is_a_set(steps: list[tuple[bool, Any]]) -> None:
    made, plain = IdSet(), set[int]()
    for adding, ids in steps:
        new = ids[~made.has(ids)]
        made = made.plus(new) if adding else made.minus(ids)
        plain = plain | set(ids.tolist()) if adding else plain - set(ids.tolist())
        assert len(made) == len(plain)
        everything = np.arange(61)
        assert set(everything[made.has(everything)].tolist()) == plain
