"""Followers of the log: woken together, by one connection that is there while somebody follows."""

from __future__ import annotations

import asyncio

import psycopg

from adapters.event_store.recorder import CHANNEL
from adapters.tail import LogTail


def notify(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"NOTIFY {CHANNEL}, '1'")


def listeners(url: str) -> int:
    with psycopg.connect(url) as connection:
        row = connection.execute(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE application_name = 'lmsys-listener' AND datname = current_database()"
        ).fetchone()
    assert row is not None
    return int(row[0])


def test_all_followers_are_woken_by_one_connection(database_url: str) -> None:
    async def follow() -> None:
        tail = LogTail(database_url)
        async with tail.follow() as first, tail.follow() as second:
            await asyncio.wait_for(asyncio.gather(first.wait(), second.wait()), 5)  # it listens from here on
            first.clear()
            second.clear()
            assert tail.followers == 2
            assert await asyncio.to_thread(listeners, database_url) == 1
            await asyncio.to_thread(notify, database_url)
            await asyncio.wait_for(asyncio.gather(first.wait(), second.wait()), 5)
        assert tail.followers == 0

    asyncio.run(follow())


def test_nobody_listens_when_nobody_follows(database_url: str) -> None:
    async def come_and_go() -> None:
        tail = LogTail(database_url)
        for _ in range(2):
            async with tail.follow() as grown:
                await asyncio.wait_for(grown.wait(), 5)
            deadline = asyncio.get_running_loop().time() + 5
            while await asyncio.to_thread(listeners, database_url):
                assert asyncio.get_running_loop().time() < deadline
                await asyncio.sleep(0.05)

    asyncio.run(come_and_go())
