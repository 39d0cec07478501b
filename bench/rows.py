"""Rows of LMSYS-chat-1M made up of a few words, for a machine that has no real ones."""

from __future__ import annotations

import json
import random
from pathlib import Path

WORDS = [
    "python",
    "sql",
    "credit",
    "card",
    "refund",
    "order",
    "invoice",
    "weather",
    "recipe",
    "pasta",
    "guitar",
    "chord",
    "visa",
    "flight",
    "hotel",
    "booking",
    "translate",
    "spanish",
    "essay",
    "history",
    "rome",
    "physics",
    "quantum",
    "garden",
    "tomato",
    "dog",
    "training",
    "running",
    "shoes",
    "laptop",
    "battery",
    "screen",
    "printer",
    "password",
    "reset",
    "email",
    "spam",
    "tax",
    "return",
    "mortgage",
    "rate",
    "stock",
    "bond",
    "novel",
    "character",
]


def write_rows(path: Path, rows: int, seed: int = 0) -> Path:
    """`rows` conversations of about 1 KB, as JSONL."""
    rng = random.Random(seed)
    with path.open("w") as out:
        for number in range(rows):
            topic = rng.sample(WORDS, 4)
            question = f"How do I {' '.join(rng.choices(topic, k=8))} {number}?"
            answer = " ".join(rng.choices(WORDS, k=110))
            turns = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
            row = {"conversation_id": f"{number:032x}", "model": "made-up", "conversation": turns}
            out.write(json.dumps({**row, "turn": 1, "language": "English"}) + "\n")
    return path
