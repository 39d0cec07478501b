"""What could be done about clusters that somebody should look at: edits to propose, never to make unasked."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from domain.quality import Bad, Facts, Reason
from domain.values import NOISE

REVIEW = "review"
"""The flag of a cluster that a person should look at: what it needs, a split above all, no rule can say."""

TitleFor = Callable[[Sequence[int]], str | None]
"""What clusters could be called together, the one that stays being first."""


def remedies(bad: Sequence[Bad], facts: Sequence[Facts], title_for: TitleFor) -> list[dict[str, Any]]:
    """Edits as in `domain.clustering.script`, the worst first, each with the reasons that speak for it.

    Neighbours that overlap: the smaller is merged into the larger, under a common title. Too small: merged
    into the nearest; deleted where it is empty. Anything else, and a small one without a known neighbour:
    flagged. No cluster that goes is named again, and none that takes in others goes: so any of the edits can
    be accepted without the others, and what overlaps with one that goes is found when that is decided.
    """
    return list(_Remedies(facts, title_for).of(bad))


class _Remedies:
    def __init__(self, facts: Sequence[Facts], title_for: TitleFor) -> None:
        self.facts: Mapping[int, Facts] = {one.cluster_id: one for one in facts}
        self.measured = [one for one in facts if one.centroid is not None and one.cluster_id != NOISE]
        self.title_for = title_for
        self.going: set[int] = set()
        self.staying: set[int] = set()
        self.titled: set[int] = set()

    def of(self, bad: Sequence[Bad]) -> Iterator[dict[str, Any]]:
        for one in bad:
            yield from self._regrouped(one)
        for one in bad:
            yield from self._flagged(one)

    def _regrouped(self, one: Bad) -> Iterator[dict[str, Any]]:
        by = {reason.heuristic: reason for reason in one.reasons}
        cluster_id = one.facts.cluster_id
        if "overlap" in by:
            other = by["overlap"].neighbour_cluster_id
            yield from self._merged(cluster_id, other, by["overlap"], titled=True)
        if "too_small" in by and cluster_id not in self.going | self.staying:
            if not one.facts.size:
                self.going.add(cluster_id)
                reason = "no query is in it"
                yield {"type": "delete", "cluster_id": cluster_id, "orphan": True, "reason": reason}
            else:
                yield from self._merged(cluster_id, self._nearest(one.facts), by["too_small"], titled=False)

    def _merged(
        self, cluster_id: int, other_id: int | None, reason: Reason, *, titled: bool
    ) -> Iterator[dict[str, Any]]:
        if other_id is None or other_id not in self.facts:
            return
        pair = (self.facts[cluster_id], self.facts[other_id])
        small, large = sorted(pair, key=lambda one: (one.size, -one.cluster_id)) if titled else pair
        source, target = small.cluster_id, large.cluster_id
        if source in self.going | self.staying or target in self.going or target in self.titled:
            return
        self.going.add(source)
        self.staying.add(target)
        title = self.title_for([target, source]) if titled else None
        if titled:
            self.titled.add(target)
        yield {
            "type": "merge",
            "source_cluster_ids": [source],
            "target_cluster_id": target,
            **({"new_title": title} if title else {}),
            "reason": f"cluster {cluster_id}: {reason.detail}",
        }

    def _nearest(self, facts: Facts) -> int | None:
        """By the cosine of the centroids, of those that stay."""
        others = [one for one in self.measured if one.cluster_id not in {facts.cluster_id, *self.going}]
        if facts.centroid is None or not others:
            return None
        cosines = np.stack([one.centroid for one in others if one.centroid is not None]) @ facts.centroid
        return others[int(cosines.argmax())].cluster_id

    def _flagged(self, one: Bad) -> Iterator[dict[str, Any]]:
        cluster_id = one.facts.cluster_id
        regrouped = {"overlap", *(["too_small"] if cluster_id in self.staying else [])}
        left = [reason for reason in one.reasons if reason.heuristic not in regrouped]
        if not left or cluster_id in self.going or REVIEW in one.facts.flags:
            return
        reason = "; ".join(reason.detail for reason in left)
        yield {"type": "flags", "cluster_id": cluster_id, "flags": [REVIEW], "reason": reason}
