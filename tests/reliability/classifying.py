"""A worker whose classifier takes its time, and notes what it is asked in the file NOTES."""

from __future__ import annotations

import os
import sys
import time

from adapters.bootstrap import open_container
from adapters.read_models import READ_MODELS
from adapters.settings import read_settings
from cli.supervisor import end_with
from commands.ports import Item, Labelled
from tests.classifying import Scripted, ScriptedBatches

TAKES_S = 0.01


class Noting(Scripted):
    def __init__(self, notes: str) -> None:
        super().__init__(before=lambda done: time.sleep(TAKES_S))
        self._notes = os.open(notes, os.O_CREAT | os.O_APPEND | os.O_WRONLY)

    def get(self, model: str) -> Noting:
        return self

    def answer(self, item: Item) -> Labelled:
        os.write(self._notes, f"{item.key}\n".encode())
        return super().answer(item)


def main() -> None:
    end_with(int(sys.argv[-1]))
    with open_container(read_settings()) as container:
        needs = {"classifiers": Noting(sys.argv[1]), "batch_classifiers": ScriptedBatches()}
        vars(container)["needs"] |= needs
        container.follow(*READ_MODELS, container.policies)
        container.worker().run()
