"""What every aggregate has that is asked for first, and then made by a job."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from domain.base import Aggregate
from domain.values import mended

UNDER_WAY = frozenset({"pending", "running", "cancelling"})
"""What a run is called before it has ended, in one way or another."""


class Run(Aggregate):
    """It begins as `pending`. What was made of it before it failed stays."""

    NOUN: ClassVar[str]

    class Failed(Aggregate.Event):
        error: str

        def apply(self, run: Run) -> None:
            run.status = "failed"

    if TYPE_CHECKING:  # the library would make fields of these
        status: str

    @property
    def noun(self) -> str:
        """As errors call it: `run kmeans-200-20251004-170442`."""
        return f"{self.NOUN} {self.name}"

    @property
    def has_ended(self) -> bool:
        return self.status not in UNDER_WAY

    def fail(self, error: str) -> None:
        """One that has ended stays as it is."""
        if not self.has_ended:
            self.trigger_event(self.Failed, error=mended(error))
