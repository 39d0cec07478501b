"""`sql_filter`: conditions on queries in the words of SQL. The text is parsed, and no part of it becomes SQL.

What stands in it is either known (columns, operators) or bound as a parameter (values).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from operator import eq, ge, gt, le, lt, ne
from typing import TYPE_CHECKING, Any

from sqlalchemy import BigInteger, ColumnElement, and_, cast, func, not_, or_

from domain.errors import Invalid
from domain.values import flaw
from projections.datasets import queries
from projections.queries.filters import metadata_text

if TYPE_CHECKING:
    from sqlglot.expressions import Expr

LONGEST = 4_000
DEEPEST = 16


@dataclass(frozen=True)
class _Column:
    """`kind`: what its values are: `text`, `number` or `time`."""

    kind: str
    element: ColumnElement[Any]


COLUMNS: Mapping[str, _Column] = {
    "query_id": _Column("number", queries.c.query_id),
    "query_length": _Column("number", cast(func.char_length(queries.c.query_text), BigInteger)),
    **{
        name: _Column("text", queries.c[name])
        for name in ("conversation_id", "model", "language", "query_text")
    },
    **{name: _Column("text", metadata_text(name)) for name in ("label", "domain")},
    **{name: _Column("time", queries.c[name]) for name in ("timestamp", "created_at")},
}

ALLOWED = (
    "allowed are AND, OR, NOT, =, <>, <, <=, >, >=, IN (...), LIKE, ILIKE, BETWEEN and IS NULL between a"
    f" column and values; columns are {', '.join(sorted(COLUMNS))} and metadata.NAME"
)


def condition(text: str) -> ColumnElement[bool]:
    """The condition that a text stands for.

    Raises Invalid that says where, what is wrong there, and what is allowed.
    """
    if wrong := flaw("sql_filter", text):
        raise Invalid(wrong)
    if len(text) > LONGEST:
        raise Invalid(f"sql_filter: {len(text):,} characters are too many; the most are {LONGEST:,}")
    try:
        return _condition(_parsed(text), DEEPEST)
    except RecursionError:
        raise _too_deep(1) from None


def _parsed(text: str) -> Expr:
    import sqlglot
    from sqlglot.errors import ParseError, TokenError

    try:
        found = sqlglot.parse(text, dialect="postgres")
    except TokenError:
        raise _refused(1, "it cannot be read: is every quotation mark closed?") from None
    except ParseError as error:
        at = error.errors[0] if error.errors else {}
        raise _refused(_offset(text, at), "it breaks off or cannot be read there") from None
    if len(found) != 1 or found[0] is None:
        raise _refused(1, "one condition is wanted")
    return found[0]


def _offset(text: str, error: Mapping[str, Any]) -> int:
    """The place of an error of the parser, which tells the line and the end of the word in it."""
    before = text.split("\n")[: (error.get("line") or 1) - 1]
    column = (error.get("col") or 1) - len(error.get("highlight") or "")
    return sum(len(line) + 1 for line in before) + max(column, 0) + 1


def _condition(node: Expr, depth: int) -> ColumnElement[bool]:
    from sqlglot import expressions as exp

    if depth == 0:
        raise _too_deep(_place(node))
    if isinstance(node, exp.Paren):
        return _condition(node.this, depth - 1)
    if isinstance(node, exp.Not):
        return not_(_condition(node.this, depth - 1))
    if isinstance(node, exp.And | exp.Or):
        joined = and_ if isinstance(node, exp.And) else or_
        return joined(*(_condition(part, depth - 1) for part in node.flatten(unnest=False)))
    made = _MADE.get(type(node).__name__)
    if made is None or {name for name, value in node.args.items() if value} - _PARTS:
        raise _refused(_place(node), f"{_called(node)} is not allowed in this form")
    return not_(made(node)) if node.args.get("negate") else made(node)


_PARTS = {"this", "expression", "expressions", "low", "high", "negate"}
"""Of a node of the parser: what else there may be would be passed over, and means something."""


def _compared(node: Expr, how: Callable[..., Any], turned: Callable[..., Any]) -> ColumnElement[bool]:
    """A column and a value, on whichever side each stands. Texts are in the order of their bytes."""
    column, value = node.this, node.expression
    if _is_column(value) and not _is_column(column):
        column, value, how = value, column, turned
    known = _column(column)
    ordered = known.kind == "text" and how not in (eq, ne)
    made: ColumnElement[bool] = how(
        known.element.collate("C") if ordered else known.element, _value(value, known)
    )
    return made


def _among(node: Expr) -> ColumnElement[bool]:
    column, values = _column(node.this), node.expressions
    if not values:
        raise _refused(_place(node), "IN wants values in brackets")
    return column.element.in_([_value(one, column) for one in values])


def _between(node: Expr) -> ColumnElement[bool]:
    column = _column(node.this)
    element = column.element.collate("C") if column.kind == "text" else column.element
    low, high = (_value(node.args[name], column) for name in ("low", "high"))
    return and_(element >= low, element <= high)


def _like(node: Expr, name: str) -> ColumnElement[bool]:
    column = _column(node.this)
    if column.kind != "text":
        raise _refused(_place(node), f"{name.upper()} compares texts")
    pattern = str(_value(node.expression, column))
    if (len(pattern) - len(pattern.rstrip("\\"))) % 2:
        raise _refused(_place(node.expression), "a pattern cannot end with the backslash that escapes")
    made: ColumnElement[bool] = getattr(column.element, name)(pattern)
    return made


def _is_null(node: Expr) -> ColumnElement[bool]:
    from sqlglot import expressions as exp

    if not isinstance(node.expression, exp.Null):
        raise _refused(_place(node), "IS goes with NULL or NOT NULL")
    return _column(node.this).element.is_(None)


_MADE: Mapping[str, Callable[[Any], ColumnElement[bool]]] = {
    **{
        name: partial(_compared, how=how, turned=turned)
        for name, how, turned in (
            ("EQ", eq, eq),
            ("NEQ", ne, ne),
            ("LT", lt, gt),
            ("LTE", le, ge),
            ("GT", gt, lt),
            ("GTE", ge, le),
        )
    },
    "In": _among,
    "Between": _between,
    "Like": partial(_like, name="like"),
    "ILike": partial(_like, name="ilike"),
    "Is": _is_null,
}
"""By the name of the parser's class: it is imported when the first filter comes."""


def _is_column(node: Any) -> bool:  # noqa: ANN401
    from sqlglot import expressions as exp

    return isinstance(node, exp.Column)


def _column(node: Any) -> _Column:  # noqa: ANN401
    if not _is_column(node):
        raise _refused(_place(node), f"{_called(node)} stands where a column is wanted")
    table, name = node.args.get("table"), node.name
    if node.args.get("db") or (table is not None and table.name.lower() != "metadata"):
        raise _refused(_place(node), f"there is no column {node.sql()}")
    if table is not None:
        return _Column("text", queries.c.metadata[name].astext)
    if name.lower() not in COLUMNS:
        raise _refused(_place(node), f"there is no column {name!r}; values stand in single quotes")
    return COLUMNS[name.lower()]


def _value(node: Any, column: _Column) -> Any:  # noqa: ANN401
    """What a value means in a comparison with this column."""
    from sqlglot import expressions as exp

    sign, literal = (-1, node.this) if isinstance(node, exp.Neg) else (1, node)
    if not isinstance(literal, exp.Literal):
        raise _refused(_place(node), f"{_called(node)} stands where a value is wanted")
    wanted = {"text": "a text in single quotes", "number": "a whole number", "time": "an ISO 8601 time"}
    try:
        return _READ[column.kind](literal.this, literal.is_string, sign)
    except ValueError:
        raise _refused(
            _place(literal), f"{wanted[column.kind]} is wanted, not {literal.this[:40]!r}"
        ) from None


def _text(written: str, quoted: bool, sign: int) -> str:
    if not quoted or sign < 0:
        raise ValueError
    return written


def _number(written: str, quoted: bool, sign: int) -> int:
    value = sign * int(written)
    if quoted or not written.isdecimal() or not -(2**63) <= value < 2**63:
        raise ValueError
    return value


def _time(written: str, quoted: bool, sign: int) -> datetime:
    if not quoted or sign < 0:
        raise ValueError
    at = datetime.fromisoformat(written)
    return at if at.tzinfo else at.replace(tzinfo=UTC)


_READ: Mapping[str, Callable[[str, bool, int], Any]] = {"text": _text, "number": _number, "time": _time}


def _place(node: Any) -> int:  # noqa: ANN401
    """Where a part stands, counted from 1: at the first word of it that knows."""
    known = [one.meta["start"] for one in node.walk() if "start" in one.meta] if node is not None else []
    return min(known, default=0) + 1


def _called(node: Any) -> str:  # noqa: ANN401
    return "nothing" if node is None else type(node).__name__.upper()


def _refused(at: int, why: str) -> Invalid:
    return Invalid(f"sql_filter, character {at}: {why}; {ALLOWED}")


def _too_deep(at: int) -> Invalid:
    return Invalid(f"sql_filter, character {at}: more than {DEEPEST} levels of brackets and NOT")
