"""Answers that were paid for, in Postgres."""

from __future__ import annotations

from adapters.bootstrap import Container
from adapters.language_models.kept import Kept, PostgresAnswers

NOBODY: frozenset[int] = frozenset()


def test_many_are_found_with_one_look(container: Container) -> None:
    answers = PostgresAnswers(container.database, days=9)
    answers.keep("openai/m", [Kept(bytes([n]), {"n": n, "words": "ä\u2028"}, NOBODY) for n in range(9)])
    found = answers.find({bytes([n]): NOBODY for n in (1, 7, 200)})
    assert found == {b"\x01": {"n": 1, "words": "ä\u2028"}, b"\x07": {"n": 7, "words": "ä\u2028"}}


def test_the_last_answer_counts(container: Container) -> None:
    answers = PostgresAnswers(container.database, days=9)
    for said in ("first", "last"):
        answers.keep("openai/m", [Kept(b"key", {"said": said}, NOBODY)])
    assert answers.find({b"key": NOBODY}) == {b"key": {"said": "last"}}


def test_they_go_after_so_many_days(container: Container) -> None:
    PostgresAnswers(container.database, days=9).keep("openai/m", [Kept(b"key", {}, NOBODY)])
    with container.database.connection() as connection:
        connection.execute("UPDATE ops.answers SET answered_at = now() - interval '8 days'")
    assert PostgresAnswers(container.database, days=9).find({b"key": NOBODY})
    assert not PostgresAnswers(container.database, days=7).find({b"key": NOBODY})


def test_a_text_is_kept_by_its_digest_alone(container: Container) -> None:
    PostgresAnswers(container.database, days=9).keep(
        "openai/m", [Kept(b"key", {"label": "a"}, frozenset({3}))]
    )
    with container.database.connection() as connection:
        rows = connection.execute("SELECT model, value::text, query_ids FROM ops.answers").fetchall()
    assert rows == [("openai/m", '{"label":"a"}', [3])]
