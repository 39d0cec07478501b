"""A FastAPI handler that renames a row: no history, no undo, no read model. Run with a URL and a port."""

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


@app.post("/{row}")
def rename(row: int, body: Rename) -> dict[str, str]:
    with pool.connection() as connection:
        connection.execute("UPDATE public.titles SET title = %s WHERE id = %s", [body.title, row])
    return {"title": body.title}


if __name__ == "__main__":
    uvicorn.run(app, port=int(sys.argv[2]), log_level="warning")
