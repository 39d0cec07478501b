"""`sql_filter`: says what it means, refuses what it does not know, and never becomes SQL by itself."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, select
from sqlalchemy.dialects import postgresql

from adapters.bootstrap import Container
from adapters.selection.expressions import COLUMNS, DEEPEST, condition
from domain.errors import Invalid
from projections.datasets import queries
from tests.stories import conversation, import_rows, project, request_load

Row = dict[str, Any]
Meaning = Callable[[Row], bool | None]
"""What an expression is of a row: True, False, or None where nobody can tell."""

TEXTS = ["a", "b", "ab", "a%", "a_b", "it's", "Ä", "x\\y", ""]
NAMES = ("model", "language", "query_text", "label", "domain", "metadata.source")
COMPARISONS = {
    "=": operator.eq,
    "<>": operator.ne,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
ROWS: list[Row] = [
    {
        "model": TEXTS[n % 5],
        "language": [None, "a", "b", "it's"][n % 4],
        "query_text": TEXTS[n % 7] + "." * (n % 3),
        "label": [None, *TEXTS][n % 10],
        "domain": [None, "a", "Ä"][n % 3],
        "metadata.source": [None, "x\\y", "a_b"][n // 2 % 3],
        "timestamp": None if n % 4 == 0 else datetime(2024, 1, 1 + n % 9, n % 24, tzinfo=UTC),
    }
    for n in range(40)
]


@pytest.fixture(scope="module")
def loaded(shared: Container) -> dict[int, Row]:
    """Query id → the row that it was loaded from."""
    job = request_load(shared, "rows")
    given_rows = []
    for number, row in enumerate(ROWS, 1):
        names = {"label": "label", "domain": "domain", "source": "metadata.source"}
        metadata = {name: row[of] for name, of in names.items() if row[of] is not None}
        more = {name: row[name] for name in ("model", "language", "timestamp")}
        given_rows.append(conversation(number, row["query_text"], f"c{number}", metadata=metadata, **more))
    import_rows(shared, job, given_rows, "rows")
    project(shared, None, "datasets")
    with shared.database.engine.connect() as connection:
        found = connection.execute(select(queries).order_by(queries.c.query_id)).mappings().all()
    return {
        row["query_id"]: {
            **given_row,
            "query_id": row["query_id"],
            "query_length": len(given_row["query_text"]),
        }
        for row, given_row in zip(found, ROWS, strict=True)
    }


@pytest.fixture(scope="module")
def connection(shared: Container) -> Any:  # noqa: ANN401
    with shared.database.engine.connect() as opened:
        yield opened


def found(connection: Connection, text: str) -> set[int]:
    try:
        return set(connection.execute(select(queries.c.query_id).where(condition(text))).scalars())
    finally:
        connection.rollback()


# --- a plain evaluator, and expressions drawn together with what they mean


def quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def maybe(name: str, of: Callable[[Any], bool]) -> Meaning:
    return lambda row: None if row[name] is None else of(row[name])


def like(pattern: str, *, folded: bool) -> Callable[[str], bool]:
    parts, escaped = [], False
    for one in pattern:
        if escaped:
            parts.append(re.escape(one))
            escaped = False
        elif one == "\\":
            escaped = True
        else:
            parts.append({"%": ".*", "_": "."}.get(one, re.escape(one)))
    matcher = re.compile("".join(parts), re.DOTALL | (re.IGNORECASE if folded else 0))
    return lambda text: matcher.fullmatch(text) is not None


def in_bytes(compare: Callable[[Any, Any], bool], value: str) -> Callable[[str], bool]:
    return lambda text: compare(text.encode(), value.encode())


@st.composite
def plain(draw: st.DrawFn) -> tuple[str, Meaning]:
    name = draw(st.sampled_from(NAMES))
    value, other = draw(st.sampled_from(TEXTS)), draw(st.sampled_from(TEXTS))
    sign = draw(st.sampled_from(sorted(COMPARISONS)))
    pattern = draw(st.sampled_from(["a%", "%b", "_", "a\\%", "%'s", "%", "a\\_b", "x\\\\y", "A%"]))
    return draw(
        st.sampled_from(
            [
                (f"{name} {sign} {quoted(value)}", maybe(name, in_bytes(COMPARISONS[sign], value))),
                (
                    f"{quoted(value)} {sign} {name}",
                    maybe(name, lambda text: COMPARISONS[sign](value.encode(), text.encode())),
                ),
                (
                    f"{name} IN ({quoted(value)}, {quoted(other)})",
                    maybe(name, lambda text: text in (value, other)),
                ),
                (f"{name} NOT IN ({quoted(value)})", maybe(name, lambda text: text != value)),
                (f"{name} LIKE {quoted(pattern)}", maybe(name, like(pattern, folded=False))),
                (
                    f"{name} NOT LIKE {quoted(pattern)}",
                    maybe(name, lambda text: not like(pattern, folded=False)(text)),
                ),
                (f"{name} ILIKE {quoted(pattern)}", maybe(name, like(pattern, folded=True))),
                (f"{name} IS NULL", lambda row: row[name] is None),
                (f"{name} is not null", lambda row: row[name] is not None),
                (
                    f"{name} BETWEEN {quoted(value)} AND {quoted(other)}",
                    maybe(name, lambda text: value.encode() <= text.encode() <= other.encode()),
                ),
            ]
        )
    )


@st.composite
def measured(draw: st.DrawFn) -> tuple[str, Meaning]:
    """On numbers and times."""
    sign = draw(st.sampled_from(sorted(COMPARISONS)))
    name = draw(st.sampled_from(["query_id", "query_length"]))
    number = draw(st.integers(-3, 45) | st.sampled_from([2**62, -(2**63)]))
    at = draw(st.datetimes(datetime(2024, 1, 1), datetime(2024, 1, 10), timezones=st.just(UTC)))  # noqa: DTZ001
    return draw(
        st.sampled_from(
            [
                (f"{name} {sign} {number}", maybe(name, lambda value: COMPARISONS[sign](value, number))),
                (f"{name} BETWEEN {number} AND 20", maybe(name, lambda value: number <= value <= 20)),
                (
                    f"timestamp {sign} '{at.isoformat()}'",
                    maybe("timestamp", lambda value: COMPARISONS[sign](value, at)),
                ),
            ]
        )
    )


def both(one: bool | None, other: bool | None) -> bool | None:
    if one is False or other is False:
        return False
    return None if one is None or other is None else True


def negated(one: bool | None) -> bool | None:
    return None if one is None else not one


def combined(parts: st.SearchStrategy[tuple[str, Meaning]]) -> st.SearchStrategy[tuple[str, Meaning]]:
    pairs = st.tuples(parts, parts)
    return (
        parts.map(lambda one: (f"NOT ({one[0]})", lambda row: negated(one[1](row))))
        | pairs.map(
            lambda two: (f"({two[0][0]}) AND {two[1][0]}", lambda row: both(two[0][1](row), two[1][1](row)))
        ).map(bracketed)
        | pairs.map(
            lambda two: (
                f"{two[0][0]} OR ({two[1][0]})",
                lambda row: negated(both(negated(two[0][1](row)), negated(two[1][1](row)))),
            )
        ).map(bracketed)
    )


def bracketed(one: tuple[str, Meaning]) -> tuple[str, Meaning]:
    return f"({one[0]})", one[1]


EXPRESSIONS = st.recursive(plain() | measured(), combined, max_leaves=5)


@given(EXPRESSIONS)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_an_expression_means_what_it_says(
    connection: Connection, loaded: dict[int, Row], drawn: tuple[str, Meaning]
) -> None:
    text, meaning = drawn
    assert found(connection, text) == {query_id for query_id, row in loaded.items() if meaning(row) is True}


# --- nothing of it becomes SQL

NEEDLE = "zq9needle"


@given(
    st.sampled_from(
        [
            "model = '{}'",
            "'{}' <> label",
            "language IN ('a', '{}')",
            "query_text LIKE '%{}%'",
            "metadata.{} = 'a'",
            'metadata."{}" IS NULL',
            "domain BETWEEN '{}' AND 'b' OR NOT (model ILIKE '{}')",
            "model = '{}'' OR 1=1 --'",
        ]
    )
)
def test_nothing_that_was_written_stands_in_the_statement(form: str) -> None:
    made = condition(form.replace("{}", NEEDLE)).compile(dialect=postgresql.dialect())  # type: ignore[no-untyped-call]
    assert NEEDLE not in str(made)
    assert NEEDLE in str(made.params)


@given(st.text(max_size=60) | st.text("model='a()ANDORNT -;/*%\\\"1", max_size=40))
def test_any_text_is_a_condition_or_is_refused(text: str) -> None:
    try:
        made = condition(text)
    except Invalid:
        return
    str(made.compile(dialect=postgresql.dialect()))  # type: ignore[no-untyped-call]


# --- what is refused


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ("", 1, "one condition is wanted"),
        ("model = 'a'; DROP TABLE queries", 1, "one condition is wanted"),
        ("SELECT 1", 8, "SELECT is not allowed in this form"),
        ("lower(model) = 'a'", 1, "LOWER stands where a column is wanted"),
        ("model = 'a' AND foo = 'b'", 17, "there is no column 'foo'"),
        ('model = "a"', 9, "COLUMN stands where a value is wanted"),
        ("x.model = 'a'", 1, "there is no column x.model"),
        ("model = 5", 9, "a text in single quotes is wanted, not '5'"),
        ("query_id = '5'", 12, "a whole number is wanted, not '5'"),
        ("query_id = 1.5", 12, "a whole number is wanted, not '1.5'"),
        ("query_id = 99999999999999999999", 12, "a whole number is wanted"),
        ("timestamp > 'soon'", 13, "an ISO 8601 time is wanted, not 'soon'"),
        ("timestamp > now()", 13, "stands where a value is wanted"),
        ("model IN (SELECT 1)", 1, "IN is not allowed in this form"),
        ("model ~ 'a'", 1, "REGEXPLIKE is not allowed in this form"),
        ("query_id LIKE '1%'", 1, "LIKE compares texts"),
        ("model LIKE 'a\\'", 12, "cannot end with the backslash"),
        ("model IS TRUE", 1, "IS goes with NULL"),
        ("model = 'a' OR", 13, "it breaks off"),
        ("model = 'a", 1, "is every quotation mark closed?"),
        ("model = 'a' AND\n language = 5", 29, "a text in single quotes"),
        ("model BETWEEN SYMMETRIC 'b' AND 'a'", 1, "BETWEEN is not allowed"),
        ("EXISTS (SELECT 1)", 16, "EXISTS is not allowed in this form"),
        ("model = $1", 10, "PARAMETER stands where a value is wanted"),
        ("model::int = 5", 1, "CAST stands where a column is wanted"),
    ],
)
def test_what_it_does_not_know_is_refused_with_its_place(text: str, place: int, words: str) -> None:
    with pytest.raises(Invalid) as refused:
        condition(text)
    assert f"sql_filter, character {place}: " in refused.value.message
    assert words in refused.value.message
    assert "allowed are AND, OR, NOT" in refused.value.message
    assert all(name in refused.value.message for name in COLUMNS)


@pytest.mark.parametrize("text", ["({})", "NOT {}", "NOT ({})"])
def test_depth_and_length_are_bounded(text: str) -> None:
    deep = "model = 'a'"
    for _ in range(DEEPEST):
        deep = text.replace("{}", deep)
    with pytest.raises(Invalid, match="more than 16 levels"):
        condition(deep)
    with pytest.raises(Invalid, match="more than 16 levels"):
        condition("(" * 2_000)
    with pytest.raises(Invalid, match="characters are too many"):
        condition("model = 'a' OR " * 300 + "model = 'a'")
    condition(" AND ".join(["model = 'a'"] * 200))
