"""The type that `instructor` holds an answer to, made of a question's schema."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from typing import Any

from domain.errors import Invalid

Check = Callable[[Mapping[str, Any]], str | None]

_check: ContextVar[Check] = ContextVar("check")


@contextmanager
def checked_by(check: Check) -> Iterator[None]:
    """What the question itself says of an answer, for as long as it is being asked.

    Not part of the type, which many questions share; and not the context of `instructor`, which would read
    the question as a Jinja template then.
    """
    token = _check.set(check)
    try:
        yield
    finally:
        _check.reset(token)


def reply_model(schema: Mapping[str, Any]) -> Any:  # noqa: ANN401  (a pydantic model)
    """Raises Invalid for what is no JSON schema. A reference to another document is never followed."""
    return _model(json.dumps(schema, sort_keys=True))


@lru_cache(maxsize=64)
def _model(canonical: str) -> Any:  # noqa: ANN401
    from instructor import OpenAISchema
    from pydantic import ConfigDict, model_validator

    schema = {**json.loads(canonical), "title": "Answer"}
    problem = problem_finder(schema)

    class Answer(OpenAISchema):
        """The answer to the question."""

        model_config = ConfigDict(extra="allow")

        @model_validator(mode="before")
        @classmethod
        def _fits(cls, value: Any) -> Any:  # noqa: ANN401
            said = problem(value) or _check.get()(value)
            if said:
                raise ValueError(said)
            return value

        @classmethod
        def model_json_schema(cls, *args: Any, **options: Any) -> dict[str, Any]:  # noqa: ANN401
            return schema

    return Answer


def problem_finder(schema: dict[str, Any]) -> Callable[[Any], str | None]:
    """What says what is wrong with a value. Raises Invalid for what is no JSON schema."""
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import SchemaError, best_match
    from referencing import Registry
    from referencing.exceptions import Unresolvable

    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        raise Invalid(f"the schema of the answer is no JSON schema: {error.message}") from None
    validator = Draft202012Validator(schema, registry=Registry())

    def problem(value: Any) -> str | None:  # noqa: ANN401
        try:
            found = best_match(validator.iter_errors(value))
        except Unresolvable as error:
            raise Invalid(f"the schema of the answer refers to what is not in it: {error}") from None
        return f"{found.json_path}: {found.message}" if found else None

    return problem
