"""The assignment by scipy, against trying every one."""

from __future__ import annotations

import subprocess
import sys
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.matching import best_pairs
from domain.clustering import Partition
from domain.clustering.lineage import match

SHAPES = st.tuples(st.integers(1, 5), st.integers(1, 5))


@given(SHAPES, st.integers(0, 2**32 - 1))
def test_no_other_assignment_has_a_greater_sum(shape: tuple[int, int], seed: int) -> None:
    scores = np.random.default_rng(seed).integers(0, 5, shape) / 4
    rows, columns = best_pairs(scores)
    assert len(rows) == len({*rows.tolist()}) == len({*columns.tolist()}) == min(shape)
    high = scores if shape[0] >= shape[1] else scores.T
    every = (
        high[list(some), range(high.shape[1])].sum() for some in permutations(range(len(high)), high.shape[1])
    )
    assert scores[rows, columns].sum() == max(every)


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_the_scores_stay_as_they_are(kind: type[np.floating]) -> None:
    scores = np.array([[0.9, 0.8, 0], [0.8, 0.1, 0]], kind)
    kept = scores.copy()
    rows, columns = best_pairs(scores)
    assert [rows.tolist(), columns.tolist()] == [[0, 1], [1, 0]]
    assert np.array_equal(scores, kept)


def test_a_lineage_takes_it_as_it_is() -> None:
    ids = np.arange(1, 7)
    older = Partition(ids, np.array([0, 0, 1, 1, 2, 2], np.int32))
    newer = Partition(ids, np.array([5, 5, 3, 3, 4, 4], np.int32))
    lineage = match(older, newer, [0, 1, 2], [3, 4, 5], best_pairs)
    assert [lineage.target_of(old) for old in (0, 1, 2)] == [5, 3, 4]


def test_scipy_is_not_loaded_before_it_is_needed() -> None:
    code = "import sys, adapters.matching; assert 'scipy' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
