"""FastAPI handlers that rename and read a row: no history, undo or read model. Run with a URL and a port."""

from __future__ import annotations

import sys

import uvicorn
from fastapi import FastAPI
from psycopg_pool import ConnectionPool
from pydantic import BaseModel

app = FastAPI()
pool = ConnectionPool(sys.argv[1], min_size=2, open=False)


class Rename(BaseModel):
    title: str


@app.get("/")
def ready() -> dict[str, str]:
    pool.open()
    return {}


@app.get("/{row}")
def read(row: int) -> dict[str, str]:
    with pool.connection() as connection:
        found = connection.execute("SELECT title FROM public.titles WHERE id = %s", [row]).fetchone()
    return {"title": found[0] if found else ""}


@app.post("/{row}")
def rename(row: int, body: Rename) -> dict[str, str]:
    with pool.connection() as connection:
        connection.execute("UPDATE public.titles SET title = %s WHERE id = %s", [body.title, row])
    return {"title": body.title}


if __name__ == "__main__":
    uvicorn.run(app, port=int(sys.argv[2]), log_level="warning")
