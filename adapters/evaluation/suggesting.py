"""The port `Suggester`: computed from what was confused, or asked of a language model."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from adapters.evaluation.examples import choose_examples
from adapters.language_models.port import LanguageModel, LanguageModels, Question, asked_for
from adapters.namer.terms import telling_terms, vocabulary_of
from adapters.prompts import prompt
from commands.ports import Advice, FailedCase, Limits, Report, Stop, Suggester, never
from domain.errors import Invalid, Unavailable, UpstreamRefused
from domain.templates import TemplateContent, checked

LOCAL = "local/confusion"
PAIRS = 10
"""Confused pairs that are spoken of."""
TERMS = 5
LONGEST_DESCRIPTION = 2_000

ALSO = "Also about: "


class LocalSuggester:
    """Computes which labels are taken for which, by what words they can be told, what could be added."""

    model = LOCAL
    prompt = ""

    def suggest(self, report: Report, stop: Stop = never) -> Advice:
        confused = confused_pairs(report)
        terms = dict(_new_terms(report.template, _terms_of_labels(report)))
        return Advice(
            analysis=_analysis(report, confused),
            suggestions=[*_told_apart(confused), *_described(terms), *_left(report)],
            priority_categories=priorities(report),
            confused=confused,
            descriptions=dict(_descriptions(report.template, terms)),
            examples=choose_examples(report),
        )


def confused_pairs(report: Report) -> list[dict[str, Any]]:
    """The most frequent pairs with what tells their cases from those of the label that they were taken for.

    A term is shared by two texts at least: it is nobody's alone.
    """
    counts: dict[tuple[str, str], int] = {
        (expected, answered): cases
        for expected, row in report.confusion.items()
        for answered, cases in row.items()
        if expected != answered
    }
    of_pair = defaultdict(list)
    for one in report.failed:
        of_pair[one.expected, one.predicted or "error"].append(one.text)
    pairs = sorted(counts, key=lambda pair: (-counts[pair], pair))[:PAIRS]
    return [
        {
            "expected": expected,
            "predicted": answered,
            "count": counts[expected, answered],
            "terms": telling(of_pair[expected, answered], report.right.get(answered, [])),
        }
        for expected, answered in pairs
    ]


def telling(texts: Sequence[str], others: Sequence[str]) -> list[str]:
    """Terms that some of the texts have and few of the others. Numbers tell nothing, or of whom they are."""
    if not texts:
        return []
    against = [vocabulary_of(others)] if others else []
    ranked = telling_terms([vocabulary_of(texts), *against])[0]
    return [term for term, _ in ranked if not any(map(str.isdigit, term))][:TERMS]


def priorities(report: Report) -> list[str]:
    """Labels by how many of their cases went wrong, the worst first."""
    wrong = Counter(
        {label: int(one["support"]) - int(one["correct"]) for label, one in report.categories.items()}
    )
    return [label for label, cases in wrong.most_common() if cases]


def _terms_of_labels(report: Report) -> dict[str, list[str]]:
    """Label → what its failed cases speak of and the cases of the others, that were right, do not."""
    failed = defaultdict(list)
    for one in report.failed:
        failed[one.expected].append(one.text)
    found = {}
    for label in priorities(report):
        others = [text for other, texts in report.right.items() if other != label for text in texts]
        if terms := telling(failed[label], others):
            found[label] = terms
    return found


def _new_terms(template: TemplateContent, terms: Mapping[str, list[str]]) -> Iterator[tuple[str, list[str]]]:
    """Terms of labels that their descriptions do not have yet."""
    for label in template.labels:
        before = f"{label.name} {label.description}".casefold()
        if new := [term for term in terms.get(label.name, ()) if term.casefold() not in before]:
            yield label.name, new


def _descriptions(template: TemplateContent, terms: Mapping[str, list[str]]) -> Iterator[tuple[str, str]]:
    for label in template.labels:
        if label.name in terms:
            after = f"{label.description.rstrip()}\n{ALSO}{', '.join(terms[label.name])}.".strip()
            if len(after) <= LONGEST_DESCRIPTION:
                yield label.name, after


def _analysis(report: Report, confused: Sequence[Mapping[str, Any]]) -> str:
    if not report.total:
        return "No case was answered: there is nothing to go by."
    share = f"{100 * (report.accuracy or 0):.1f} % of {report.total:,} cases are right ({report.correct:,})."
    if not confused:
        return f"{share} No case was taken for another category."
    wrong = report.total - report.correct
    shown = sum(one["count"] for one in confused)
    pairs = "; ".join(f"{one['expected']} for {one['predicted']} ({one['count']})" for one in confused[:5])
    return f"{share} Of {wrong:,} that are wrong, {shown:,} fall into {len(confused)} pairs. Taken: {pairs}."


def _told_apart(confused: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for one in confused:
        if one["terms"]:
            words = ", ".join(one["terms"])
            yield (
                f"Tell {one['expected']} from {one['predicted']}: the {one['count']} cases that were confused"
                f" have in common: {words}."
            )


def _described(terms: Mapping[str, list[str]]) -> Iterator[str]:
    for label, words in terms.items():
        yield f"Say of {label} that it is also about {', '.join(words)}."


def _left(report: Report) -> Iterator[str]:
    for label in priorities(report):
        if label not in {one.name for one in report.template.labels}:
            yield f"Add the label {label}: cases have it, and the template has not."


# --- by a language model

SHOWN_CASES = 60
LONGEST_TEXT = 500

SCHEMA = {
    "type": "object",
    "properties": {
        "analysis": {"type": "string"},
        "suggestions": {"type": "array", "items": {"type": "string"}, "maxItems": 20},
        "priority_categories": {"type": "array", "items": {"type": "string"}, "maxItems": 50},
        "descriptions": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"label": {"type": "string"}, "description": {"type": "string"}},
                "required": ["label", "description"],
                "additionalProperties": False,
            },
        },
        "draft_prompt": {"type": ["string", "null"]},
    },
    "required": ["analysis", "suggestions", "priority_categories", "descriptions", "draft_prompt"],
    "additionalProperties": False,
}


class AskingSuggester:
    """Asks one question about the whole report. Examples are chosen as the local one chooses them."""

    def __init__(self, language_model: LanguageModel) -> None:
        self._language_model = language_model

    @property
    def model(self) -> str:
        return self._language_model.name

    @property
    def prompt(self) -> str:
        return prompt("suggest").id

    def suggest(self, report: Report, stop: Stop = never) -> Advice:
        (answer,) = self._language_model.ask([question(report)], Limits(concurrency=1), stop)
        if answer.value is None:
            kind = Unavailable if answer.passes else UpstreamRefused
            raise kind(f"{self.model} gave no suggestion: {answer.error}")
        value = answer.value
        return Advice(
            analysis=value["analysis"],
            suggestions=value["suggestions"],
            priority_categories=value["priority_categories"],
            confused=confused_pairs(report),
            descriptions={one["label"]: one["description"] for one in value["descriptions"]},
            examples=choose_examples(report),
            draft_prompt=value["draft_prompt"],
            usage=answer.usage,
        )


def question(report: Report) -> Question:
    asked = prompt("suggest")
    shown = report.failed[:SHOWN_CASES]
    return Question(
        key="suggest",
        system=asked.system,
        text=asked.fill(
            template=_shown_template(report.template),
            metrics=f"{report.correct} of {report.total} right",
            categories="\n".join(_shown_categories(report)),
            confusion="\n".join(_shown_confusion(report)),
            failed="\n".join(map(_shown_case, shown)),
            places="{text}, {labels}, {examples}",
        ),
        schema=SCHEMA,
        prompt=asked.id,
        query_ids=tuple(one.query_id for one in shown if one.query_id is not None),
        check=lambda value: _fault(report.template, value),
        max_tokens=4_096,
    )


def _fault(template: TemplateContent, value: Mapping[str, Any]) -> str | None:
    """What of an answer cannot become a draft, in words for the model."""
    labels = {one.name for one in template.labels}
    for name in [*value["priority_categories"], *(one["label"] for one in value["descriptions"])]:
        if name not in labels:
            return f"{name!r} is none of the categories: they are {', '.join(sorted(labels))}"
    described = {one["label"]: one["description"] for one in value["descriptions"]}
    changed = [replace(one, description=described.get(one.name, one.description)) for one in template.labels]
    try:
        checked(replace(template, labels=tuple(changed), prompt=value["draft_prompt"] or template.prompt))
    except Invalid as fault:
        return fault.message
    return None


def _shown_template(template: TemplateContent) -> str:
    labels = "\n".join(f"- {one.name}: {one.description or '(no description)'}" for one in template.labels)
    return f"{template.prompt or '(the standard words)'}\n\nCategories:\n{labels}"


def _shown_categories(report: Report) -> Iterator[str]:
    for label, one in report.categories.items():
        yield f"- {label}: {one['correct']} of {one['support']} right"


def _shown_confusion(report: Report) -> Iterator[str]:
    for expected, row in report.confusion.items():
        for answered, cases in row.items():
            if expected != answered:
                yield f"- {expected} taken for {answered}: {cases}"


def _shown_case(case: FailedCase) -> str:
    text = " ".join(case.text.split())[:LONGEST_TEXT]
    return f"- expected {case.expected}, answered {case.predicted or 'nothing'}: {text}"


def make_suggester(model: str, language_models: LanguageModels) -> Suggester:
    """Raises Invalid for a model that is unknown, Refused for one that is not set up."""
    asked = asked_for(model, LOCAL, language_models)
    return AskingSuggester(asked) if asked else LocalSuggester()
