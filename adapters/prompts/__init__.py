"""Prompts as files: `name_cluster.v1.md` has what the model is told it is, a line `---`, and the question.

A prompt that has been released never changes; other words are another version, so that the name, the version
and the hash that are recorded with an answer say for good what was asked.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

_PLACEHOLDER = re.compile(r"\{([a-z_]+)\}")


@dataclass(frozen=True)
class Prompt:
    name: str
    version: int
    system: str
    text: str
    sha256: str

    @property
    def id(self) -> str:
        """`name_cluster.v1@1f2e3d4c5b6a`: what is recorded beside an answer."""
        return f"{self.name}.v{self.version}@{self.sha256[:12]}"

    def fill(self, **values: str) -> str:
        """The question, with a value for each placeholder; braces in the values stay as they are."""
        wanted = set(_PLACEHOLDER.findall(self.text))
        if wanted != values.keys():
            raise ValueError(f"prompt {self.name} takes {sorted(wanted)}, not {sorted(values)}")
        return _PLACEHOLDER.sub(lambda found: values[found[1]], self.text)


@cache
def prompt(name: str, version: int = 1) -> Prompt:
    """The prompt of this name and version."""
    body = (files(__name__) / f"{name}.v{version}.md").read_text()
    system, _, text = body.partition("\n---\n")
    return Prompt(name, version, system.strip(), text.strip(), hashlib.sha256(body.encode()).hexdigest())
