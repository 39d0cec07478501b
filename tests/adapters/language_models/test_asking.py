"""Many questions at once: every one has one answer or one error, and no bound is overstepped."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from adapters.language_models import LanguageModel, Question
from adapters.providers import SettingsLanguageModels
from adapters.services.pace import Pace
from commands.ports import Limits
from domain.errors import Refused, Unavailable
from tests.adapters.language_models.questions import RIGHT, ask, ask_one, question
from tests.protocols.fixtures import OtherModels
from tests.protocols.server import Asked, ProtocolServer, Said, Status, Words

WINDOW_S = 0.5


@pytest.fixture
def model(language_models: SettingsLanguageModels, openai: ProtocolServer) -> LanguageModel:
    openai.answer = lambda asked: {"label": "other", "reasoning": asked.text}
    return language_models.get("openai-compatible/m")


@pytest.fixture
def short_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A minute of half a second."""
    monkeypatch.setattr("adapters.providers.pace_of", lambda service: Pace(WINDOW_S))


def questions(count: int) -> Iterator[Question]:
    return (question(number, f"text {number}") for number in range(count))


class Troubled:
    """5 % of 429 and 1 % of answers that never fit, whichever question it is."""

    def __init__(self) -> None:
        self.count = 0
        self.lock = threading.Lock()

    def __call__(self, asked: Asked) -> Said:
        if int(asked.text.split()[1]) % 100 == 7:
            return Words("no object")
        with self.lock:
            self.count += 1
            if self.count % 20 == 0:
                return Status(429, "slow down", retry_after=0.01)
        return {"label": "other", "reasoning": asked.text}


def test_each_of_many_questions_has_one_answer_or_one_error(
    short_minutes: None, language_models: SettingsLanguageModels, anthropic: ProtocolServer
) -> None:
    anthropic.answer = Troubled()
    model = language_models.get("anthropic/m")
    rpm = 100
    began = time.monotonic()
    answers = ask(model, questions(300), concurrency=50, rpm=rpm)
    assert answers.keys() == set(range(300))
    for key, answer in answers.items():
        if key % 100 == 7:  # type: ignore[operator]
            assert (answer.value, answer.error) == (None, "3 answers did not fit what was asked for")
        else:
            assert answer.value == {"label": "other", "reasoning": f"text {key}"}
    assert anthropic.most_at_once <= 50
    assert len(anthropic.asked) == sum(one.usage.calls for one in answers.values())
    heard = sorted(asked.at - began for asked in anthropic.asked)
    for windows in range(1, int(heard[-1] / WINDOW_S) + 2):
        assert sum(at < windows * WINDOW_S for at in heard) <= windows * rpm


@pytest.mark.parametrize("concurrency", [1, 3])
def test_no_more_are_asked_at_a_time_than_allowed(
    model: LanguageModel, openai: ProtocolServer, concurrency: int
) -> None:
    openai.delay_s = 0.02
    assert len(ask(model, questions(12), concurrency=concurrency)) == 12
    assert openai.most_at_once == concurrency


def test_questions_are_read_as_they_are_needed(model: LanguageModel) -> None:
    read = 0

    def counted() -> Iterator[Question]:
        nonlocal read
        for one in questions(10_000):
            read += 1
            yield one

    with closing(model.ask(counted(), Limits(concurrency=4))) as answers:
        assert read == 0
        for _ in range(10):
            next(answers)
        time.sleep(0.1)
        assert read <= 200


def test_equal_questions_are_asked_once(model: LanguageModel, openai: ProtocolServer) -> None:
    openai.delay_s = 0.05
    answers = ask(model, [question(number, f"text {number % 2}") for number in range(200)], concurrency=8)
    assert len(openai.asked) == 2
    assert sum(one.usage.cached for one in answers.values()) == 198
    assert {one.value["reasoning"] for one in answers.values() if one.value} == {"text 0", "text 1"}


def test_the_error_of_a_question_is_that_of_its_equals(model: LanguageModel, openai: ProtocolServer) -> None:
    openai.answer = lambda asked: Words("no")
    openai.delay_s = 0.05
    answers = ask(model, [question(number, "text") for number in range(5)])
    assert {one.error for one in answers.values()} == {"3 answers did not fit what was asked for"}
    assert sum(one.usage.calls for one in answers.values()) == len(openai.asked) == 3


# --- what is kept


def test_a_repeated_run_asks_nobody(model: LanguageModel, openai: ProtocolServer) -> None:
    first = ask(model, questions(100))
    again = ask(model, questions(100))
    assert len(openai.asked) == 100
    assert {key: one.value for key, one in again.items()} == {key: one.value for key, one in first.items()}
    assert all(
        (one.usage.cached, one.usage.calls, one.usage.cost_usd) == (1, 0, 0.0) for one in again.values()
    )


@pytest.mark.parametrize(
    "change",
    [
        {"text": "another"},
        {"system": "Another."},
        {"prompt": "label.v2@4567"},
        {"schema": {"type": "object", "properties": {"label": {}}}},
    ],
)
def test_another_question_is_asked(
    model: LanguageModel, openai: ProtocolServer, change: dict[str, Any]
) -> None:
    from dataclasses import replace

    ask(model, [question()])
    ask(model, [replace(question(), **change)])
    assert len(openai.asked) == 2


def test_another_model_or_the_same_at_another_place_is_asked(
    other_models: OtherModels, openai: ProtocolServer
) -> None:
    ask_one(other_models().get("openai-compatible/m"))
    ask_one(other_models().get("openai-compatible/other"))
    ask_one(other_models(openai_base_url=f"{openai.url}/openai/v1").get("openai-compatible/m"))
    assert len(openai.asked) == 3


def test_an_error_is_not_kept(model: LanguageModel, openai: ProtocolServer) -> None:
    openai.script.extend([Words("no")] * 3)
    assert ask_one(model).error
    assert ask_one(model).value


def test_a_kept_answer_that_is_not_right_any_more_is_asked_again(
    model: LanguageModel, openai: ProtocolServer
) -> None:
    ask_one(model)
    openai.answer = lambda asked: RIGHT
    assert ask_one(model, check=lambda value: "no" if value["label"] == "other" else None).value == RIGHT
    assert ask_one(model).value == RIGHT
    assert len(openai.asked) == 2


def test_what_was_answered_is_kept_although_nobody_took_it(
    model: LanguageModel, openai: ProtocolServer
) -> None:
    openai.delay_s = 0.05
    with closing(model.ask(questions(8), Limits(concurrency=8))) as answers:
        next(answers)
    ask(model, questions(8))
    assert len(openai.asked) == 8


# --- bounds


def test_the_rest_has_an_error_once_the_budget_is_spent(model: LanguageModel, openai: ProtocolServer) -> None:
    answers = ask(model, questions(50), concurrency=1, tokens=100)
    told = Counter(one.error for one in answers.values())
    assert told == {None: len(openai.asked), "the budget of 100 tokens is spent": 50 - len(openai.asked)}
    spent = sum(one.usage.input_tokens + one.usage.output_tokens for one in answers.values())
    each = spent // len(openai.asked)
    assert 100 <= spent < 100 + each


def test_kept_answers_cost_no_budget(model: LanguageModel) -> None:
    ask(model, questions(5))
    assert all(one.value for one in ask(model, questions(5), tokens=0).values())


def test_requests_keep_the_pace_of_the_provider_over_all_its_models(
    language_models: SettingsLanguageModels, openai: ProtocolServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = [language_models.get(f"openai/{name}")._with.pace for name in "ab"]  # type: ignore[attr-defined]
    assert seen[0] is seen[1]
    assert language_models.get("groq/a")._with.pace is not seen[0]  # type: ignore[attr-defined]


# --- an end


def test_after_stop_it_ends_with_what_was_under_way(model: LanguageModel, openai: ProtocolServer) -> None:
    stopped = threading.Event()
    openai.delay_s = 0.05
    answers = []
    for one in model.ask(questions(1_000), Limits(concurrency=4), stopped.is_set):
        answers.append(one)
        stopped.set()
    assert len(answers) == len(openai.asked) <= 5
    assert all(one.value for one in answers)


def test_stop_does_not_wait_for_a_pace_nor_for_another_try(
    model: LanguageModel, openai: ProtocolServer
) -> None:
    stopped = threading.Event()
    openai.answer = lambda asked: Status(429, "later", retry_after=60)
    began = time.monotonic()
    threading.Timer(0.2, stopped.set).start()
    assert list(model.ask(questions(20), Limits(concurrency=4, rpm=2), stopped.is_set)) == []
    assert time.monotonic() - began < 10


def test_stop_is_asked_before_every_call(model: LanguageModel, openai: ProtocolServer) -> None:
    calls = iter([False] * 3 + [True] * 10_000)
    list(model.ask(questions(100), Limits(concurrency=1), lambda: next(calls)))
    assert len(openai.asked) <= 3


def test_a_provider_that_does_not_answer_is_given_up(model: LanguageModel, openai: ProtocolServer) -> None:
    openai.answer = lambda asked: Status(529, "overloaded", retry_after=0)
    answers = []
    with pytest.raises(Unavailable, match=r"20 questions in a row: .*HTTP 529"):
        answers.extend(model.ask(questions(1_000), Limits(concurrency=10)))
    assert len(openai.asked) < 300


def test_so_is_one_that_takes_no_question(model: LanguageModel, openai: ProtocolServer) -> None:
    openai.answer = lambda asked: Status(400, "your credit balance is too low")
    with pytest.raises(Refused, match=r"20 questions in a row: .*credit balance"):
        list(model.ask(questions(1_000), Limits(concurrency=2)))


def test_a_source_that_breaks_ends_it(model: LanguageModel) -> None:
    def broken() -> Iterator[Question]:
        yield question()
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        list(model.ask(broken(), Limits()))


def test_no_questions_have_no_answers(model: LanguageModel) -> None:
    assert list(model.ask([], Limits())) == []
