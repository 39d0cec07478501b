"""`python -m bench.prediction`: how soon a text has its label, and how many of a batch have theirs a second.

The template has 150 labels of ten examples each, out of a file of rows with `text` and `label`, or made up.
"""

from __future__ import annotations

import argparse
import http.client
import json
import tempfile
import threading
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from bench.classification_quality import OUT_OF_SCOPE, Rows, few, read_rows
from bench.limits import plain_select_ms
from bench.rows import WORDS
from bench.server import Server, percentiles, running

LABELS = 150
EXAMPLES = 10
ASKED = 500
LINES_OF_A_PIECE = 500


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.prediction", description=__doc__)
    parser.add_argument("--file", type=Path, help="rows with text and label, gzip or plain; else made up")
    parser.add_argument("--items", type=int, default=1_000_000, help="lines of the batch")
    given = parser.parse_args()
    rows = read_rows(given.file) if given.file else _made_up()
    rows = [row for row in rows if row["label"] != OUT_OF_SCOPE]
    with (
        tempfile.TemporaryDirectory(prefix="lmsys-bench-") as folder,
        running(Path(folder) / "home", LMSYS_PREDICT_RATE="1000000/minute") as server,
    ):
        print(json.dumps(measure(server, rows, given.items), indent=2))  # noqa: T201


def measure(server: Server, rows: Rows, items: int) -> dict[str, Any]:
    template_id = _template(server, rows)
    texts = [row["text"] for row in rows]

    def predict(number: int) -> object:
        body = {"template_id": template_id, "text": texts[number % len(texts)]}
        return server.client.post("/api/predict", json=body).raise_for_status()

    figures: dict[str, Any] = {
        "predict_ms": percentiles(predict, ASKED),
        "plain_select_ms": plain_select_ms(server.database_url),
    }
    before = server.peak_memory_mb()["api"]
    begun = time.perf_counter()
    answered = _batch(server, template_id, texts, items)
    return figures | {
        "items": answered,
        "items_per_s": round(answered / (time.perf_counter() - begun)),
        "api_peak_mb": {"before": before, "after": server.peak_memory_mb()["api"]},
    }


def _template(server: Server, rows: Rows) -> str:
    names = sorted({row["label"] for row in rows})[:LABELS]
    examples = few([row for row in rows if row["label"] in set(names)], EXAMPLES)
    shown = [{"text": row["text"], "label": row["label"]} for row in examples]
    _, made = server.timed_post("/api/templates", {"name": "bench", "labels": names, "examples": shown})
    return str(made["template_id"])


def _made_up() -> Rows:
    """Each label has words of its own, of which the texts are made."""
    rng = np.random.default_rng(1)
    own = [rng.choice(WORDS, 4, replace=False) for _ in range(LABELS)]
    return [
        {"text": f"how do I {' '.join(rng.choice(words, 6))}", "label": f"label {number:03}"}
        for number, words in enumerate(own)
        for _ in range(2 * EXAMPLES)
    ]


def _batch(server: Server, template_id: str, texts: list[str], items: int) -> int:
    """Lines sent by a thread while their answers are read here; returns how many had a label."""
    base = server.client.base_url
    connection = http.client.HTTPConnection(base.host, base.port, timeout=600)
    connection.putrequest("POST", f"/api/predict/batch?template_id={template_id}")
    connection.putheader("Content-Type", "application/x-ndjson")
    connection.putheader("Transfer-Encoding", "chunked")
    connection.endheaders()
    sender = threading.Thread(target=_send, args=(connection, _lines(texts, items)))
    sender.start()
    with connection.getresponse() as answer:
        labelled = sum(b'"error"' not in line for line in answer)
    sender.join()
    connection.close()
    return labelled


def _send(connection: http.client.HTTPConnection, pieces: Iterator[bytes]) -> None:
    for piece in pieces:
        connection.send(b"%x\r\n%s\r\n" % (len(piece), piece))
    connection.send(b"0\r\n\r\n")


def _lines(texts: list[str], items: int) -> Iterator[bytes]:
    made = (json.dumps({"id": str(n), "text": f"{texts[n % len(texts)]} {n}"}) + "\n" for n in range(items))
    while piece := "".join(islice(made, LINES_OF_A_PIECE)):
        yield piece.encode()


if __name__ == "__main__":
    main()
