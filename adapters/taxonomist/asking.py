"""A hierarchy by a language model, as Clio makes one: proposed, made one list, assigned, named."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from adapters.language_models import Answer, LanguageModel, Question
from adapters.prompts import prompt
from adapters.taxonomist.neighborhoods import neighborhoods
from commands.hierarchy import mean_direction
from commands.ports import (
    NO_USAGE,
    Assigned,
    Category,
    Child,
    Chosen,
    Group,
    Limits,
    Named,
    Neighborhood,
    Proposed,
    Step,
    Stop,
    never,
)

NEIGHBORHOOD = 40
"""Children that are seen together, as in Clio."""

LISTED = 60
"""Children of a category that it is named by, the largest first."""

CANDIDATES = 60
"""Categories that a child is assigned among: those that were proposed for what lies nearest to it."""

DEDUPLICATED_AT_ONCE = 150
ROUNDS = 3
"""Proposals in one question, and rounds in which those of different questions meet."""

LONGEST_DESCRIPTION = 300
LONGEST_TITLE = 100

CATEGORY = {
    "type": "object",
    "properties": {
        "title": {"type": "string", "minLength": 1, "maxLength": LONGEST_TITLE},
        "description": {"type": "string", "maxLength": 1_000},
    },
    "required": ["title", "description"],
    "additionalProperties": False,
}


class AskingTaxonomist:
    """The port `Taxonomist` over a language model."""

    def __init__(self, model: LanguageModel) -> None:
        self._model = model

    @property
    def model(self) -> str:
        return self._model.name

    @property
    def prompts(self) -> Mapping[Step, str]:
        return {step: prompt(name).id for step, name in PROMPTS.items()}

    def neighborhoods(
        self, children: Sequence[Child], wanted: int, size: int | None
    ) -> Sequence[Neighborhood]:
        return neighborhoods(children, wanted, size or NEIGHBORHOOD)

    # --- the steps

    def propose(
        self, neighborhoods: Iterable[Neighborhood], limits: Limits, stop: Stop = never
    ) -> Iterator[Proposed]:
        asked = {one.number: one for one in neighborhoods}
        for answer in self._model.ask((_proposal(one) for one in asked.values()), limits, stop):
            ids = [child.cluster_id for child in asked[int(answer.key)].children]
            found = (answer.value or {}).get("categories", ())
            categories = [Category(one["title"], one["description"], ids) for one in found]
            yield Proposed(int(answer.key), categories, answer.error, answer.usage)

    def deduplicate(
        self,
        proposed: Sequence[Category],
        children: Sequence[Child],
        wanted: int,
        limits: Limits,
        stop: Stop = never,
    ) -> Chosen:
        """In rounds, where there are too many for one question: each time others are seen together."""
        known = {one.cluster_id: one for one in children}
        left, error, usage = list(proposed), None, NO_USAGE
        for _ in range(ROUNDS):
            before, parts = len(left), _parts(left, known)
            merged = self._merged(parts, wanted, limits, stop)
            left, error, usage = list(merged.categories), error or merged.error, usage + merged.usage
            if len(parts) == 1 or len(left) == before:
                break
        return Chosen(left, error, usage)

    def _merged(self, parts: Sequence[Sequence[Category]], wanted: int, limits: Limits, stop: Stop) -> Chosen:
        total = sum(len(part) for part in parts)
        questions = (
            _merging(number, part, max(1, round(wanted * len(part) / total)))
            for number, part in enumerate(parts)
        )
        answers = {int(one.key): one for one in self._model.ask(questions, limits, stop)}
        merged = [one for at, part in enumerate(parts) for one in _distinct(part, answers.get(at))]
        error = next((one.error for one in answers.values() if one.error), None)
        return Chosen(merged, error, sum((one.usage for one in answers.values()), NO_USAGE))

    def assign(
        self,
        children: Sequence[Child],
        known: Collection[int],
        categories: Sequence[Category],
        limits: Limits,
        stop: Stop = never,
    ) -> Iterator[Assigned]:
        vectors = _vectors(categories, {one.cluster_id: one for one in children})
        left = {one.cluster_id: one for one in children if one.cluster_id not in known}
        candidates = {one: _nearest(child, categories, vectors) for one, child in left.items()}
        questions = (_assignment(child, candidates[one]) for one, child in left.items())
        for answer in self._model.ask(questions, limits, stop):
            cluster_id = int(answer.key)
            number = answer.value["category"] if answer.value else 0
            chosen = candidates[cluster_id][number - 1].category_id if number else None
            yield Assigned(cluster_id, chosen, answer.error, answer.usage)

    def rename(
        self, groups: Sequence[Group], known: Mapping[int, str], limits: Limits, stop: Stop = never
    ) -> Iterator[Named]:
        """Titles that several got at the same time are told apart by the largest child."""
        asked = {one.category.category_id: one for one in groups if one.category.category_id not in known}
        taken = {_plain(title) for title in known.values()}
        titles = [known.get(one.category.category_id, one.category.title) for one in groups]
        questions = (_naming(one, titles) for one in asked.values())
        for answer in self._model.ask(questions, limits, stop):
            group = asked[int(answer.key)]
            words = answer.value or vars(group.category)
            title = _free(words["title"], group, taken)
            taken.add(_plain(title))
            yield Named(int(answer.key), title, words["description"], answer.error, answer.usage)


PROMPTS: dict[Step, str] = {
    "propose": "propose_categories",
    "deduplicate": "deduplicate_categories",
    "assign": "assign_category",
    "rename": "rename_category",
}

# --- questions -----------------------------------------------------------------------------------


def _question(
    step: Step,
    key: int,
    schema: Mapping[str, Any],
    values: Mapping[str, str],
    **more: Any,  # noqa: ANN401
) -> Question:
    asked = prompt(PROMPTS[step])
    return Question(key, asked.system, asked.fill(**values), schema, asked.id, **more)


def _proposal(area: Neighborhood) -> Question:
    most = 2 * area.wanted
    values = {
        "topics": _topics(area.children),
        "outside": _topics(area.outside),
        "wanted": str(area.wanted),
        "most": str(most),
    }
    found = {"type": "array", "items": CATEGORY, "minItems": 1, "maxItems": most}
    return _question("propose", area.number, _object(categories=found), values, max_tokens=300 + 120 * most)


def _merging(number: int, part: Sequence[Category], wanted: int) -> Question:
    numbers = {"type": "array", "items": {"type": "integer"}, "minItems": 1}
    merged = {
        **CATEGORY,
        "properties": {**CATEGORY["properties"], "merged_from": numbers},  # type: ignore[dict-item]
        "required": ["title", "description", "merged_from"],
    }
    schema = _object(categories={"type": "array", "items": merged, "minItems": 1})
    values = {"categories": _numbered(part), "wanted": str(wanted)}

    def check(answer: Mapping[str, Any]) -> str | None:
        said = sorted(one for category in answer["categories"] for one in category["merged_from"])
        if said == list(range(1, len(part) + 1)):
            return None
        return f"each number from 1 to {len(part)} must be in merged_from of exactly one category"

    return _question("deduplicate", number, schema, values, check=check, max_tokens=300 + 120 * len(part))


def _assignment(child: Child, candidates: Sequence[Category]) -> Question:
    number = {"type": "integer", "minimum": 0, "maximum": len(candidates)}
    values = {"topic": _topics([child]), "categories": _numbered(candidates)}
    return _question("assign", child.cluster_id, _object(category=number), values, max_tokens=200)


def _naming(group: Group, titles: Sequence[str]) -> Question:
    largest = sorted(group.children, key=lambda one: (-one.size, one.cluster_id))[:LISTED]
    others = [one for one in titles if one != group.category.title][:CANDIDATES]
    values = {
        "category": f"{group.category.title}: {_short(group.category.description)}",
        "topics": _topics(largest),
        "taken": "\n".join(f"- {one}" for one in others) or "(none)",
    }
    return _question("rename", group.category.category_id, CATEGORY, values, max_tokens=500)


def _object(**properties: Any) -> dict[str, Any]:  # noqa: ANN401
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _topics(children: Sequence[Child]) -> str:
    lines = (f"- {one.title}: {_short(one.description)}" for one in children)
    return "\n".join(lines) or "(none)"


def _numbered(categories: Sequence[Category]) -> str:
    return "\n".join(f"{at}. {one.title}: {_short(one.description)}" for at, one in enumerate(categories, 1))


def _short(words: str) -> str:
    flat = " ".join(words.split())
    return flat if len(flat) <= LONGEST_DESCRIPTION else f"{flat[: LONGEST_DESCRIPTION - 1]}…"


# --- answers -------------------------------------------------------------------------------------


def _distinct(part: Sequence[Category], answer: Answer | None) -> list[Category]:
    """What was merged is for all that its parts were for; without an answer all stay as they are."""
    if answer is None or answer.value is None:
        return list(part)
    found = []
    for one in answer.value["categories"]:
        ids = (child for number in one["merged_from"] for child in part[number - 1].cluster_ids)
        found.append(Category(one["title"], one["description"], list(dict.fromkeys(ids))))
    return found


def _free(title: str, group: Group, taken: Collection[str]) -> str:
    """The title, told from those that are taken by what is largest under it, or else by a number."""
    largest = max(group.children, key=lambda one: (one.size, -one.cluster_id))
    tries = [title, f"{title} ({largest.title})"]
    tries += [f"{title} ({number})" for number in range(2, len(taken) + 3)]
    return next(one for one in tries if _plain(one) not in taken)


def _plain(title: str) -> str:
    return " ".join(title.casefold().split())


# --- what lies near ------------------------------------------------------------------------------


def _vectors(categories: Sequence[Category], known: Mapping[int, Child]) -> np.ndarray[Any, Any]:
    """For each category the direction of what it was proposed for."""
    return np.stack([mean_direction([known[one] for one in category.cluster_ids]) for category in categories])


def _nearest(child: Child, categories: Sequence[Category], vectors: Any) -> list[Category]:  # noqa: ANN401
    """In the order in which they stand, so that no place in the list speaks for one of them."""
    nearest = np.argsort(-(vectors @ child.vector), kind="stable")[:CANDIDATES]
    return [categories[at] for at in sorted(nearest.tolist())]


def _parts(proposed: Sequence[Category], known: Mapping[int, Child]) -> list[list[Category]]:
    """All of them, or those that lie together, as many as fit into a question."""
    if len(proposed) <= DEDUPLICATED_AT_ONCE:
        return [list(proposed)]
    vectors = _vectors(proposed, known)
    stand_ins = [Child(at, one.title, "", 1, vectors[at]) for at, one in enumerate(proposed)]
    areas = neighborhoods(stand_ins, len(proposed), DEDUPLICATED_AT_ONCE)
    return [[proposed[one.cluster_id] for one in area.children] for area in areas]
