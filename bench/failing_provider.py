"""Classification by a provider that fails as providers do: `python -m bench.failing_provider`.

A server on the loopback speaks OpenAI's protocol. Of its answers, 5 % are a 429 with Retry-After, and 1 % a
label that the template does not have. What is counted: that each query has one result or one error, how many
requests there were at a time and in any minute, and queries a second.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from bench.rows import write_rows
from bench.server import Server, running, wait_until
from bench.stages import load
from tests.protocols.dialects import OpenAI
from tests.protocols.server import KEY, Asked, ProtocolServer, Said, Status, serving

LABELS = ("account", "order", "refund", "other")
MODEL = "openai-compatible/failing"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.failing_provider", description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--concurrency", type=int, default=50)
    parser.add_argument("--rpm", type=int, default=9_000)
    parser.add_argument("--latency", type=float, default=0.05, help="seconds that an answer takes")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="lmsys-bench-") as folder, serving(OpenAI()) as provider:
        provider.answer, provider.delay_s = failing(random.Random(1)), given.latency
        os.environ |= {"LMSYS_OPENAI_BASE_URL": f"{provider.url}/v1", "OPENAI_API_KEY": KEY}
        with running(Path(folder) / "home") as server:
            load(server, write_rows(Path(folder) / "rows.jsonl", given.rows))
            figures = classify(server, given.concurrency, given.rpm)
    print(json.dumps({**figures, **heard(provider)}, indent=2))  # noqa: T201


def failing(chance: random.Random) -> Any:  # noqa: ANN401
    def answer(asked: Asked) -> Said:
        drawn = chance.random()
        if drawn < 0.05:
            return Status(429, "too many requests", retry_after=1)
        return {"reasoning": "so it is", "label": "no such label" if drawn < 0.06 else chance.choice(LABELS)}

    return answer


def classify(server: Server, concurrency: int, rpm: int) -> dict[str, Any]:
    client = server.client
    template = {"name": "topics", "labels": list(LABELS)}
    template_id = client.post("/api/templates", json=template).raise_for_status().json()["template_id"]
    body = {
        "template_id": template_id,
        "model": MODEL,
        "filters": {},
        "execution": {"concurrency": concurrency, "rpm": rpm},
    }
    begun = time.perf_counter()
    run = client.post("/api/classification/runs", json=body).raise_for_status().json()
    path = f"/api/classification/runs/{run['classification_run_id']}"
    wait_until(lambda: client.get(f"{path}/status").json()["status"] in ("completed", "failed"), 3_600)
    took = time.perf_counter() - begun
    server.wait_for_read_models()
    done = client.get(path).raise_for_status().json()
    counted = client.get(f"{path}/stats").raise_for_status().json()
    return {
        "status": done["status"],
        "queries": done["total_queries"],
        "labelled": sum(counted["label_distribution"].values()),
        "errors": done["error_count"],
        "seconds": round(took, 1),
        "queries_per_s": round(done["total_queries"] / took, 1),
    }


def heard(provider: ProtocolServer) -> dict[str, Any]:
    """`most_in_a_minute`: requests in any window of 60 s."""
    times = sorted(one.at for one in provider.asked)
    first, most = 0, 0
    for last, moment in enumerate(times):
        while times[first] <= moment - 60:
            first += 1
        most = max(most, last - first + 1)
    asked = Counter(one.text for one in provider.asked)
    return {
        "requests": len(times),
        "texts": len(asked),
        "most_at_once": provider.most_at_once,
        "most_in_a_minute": most,
    }


if __name__ == "__main__":
    main()
