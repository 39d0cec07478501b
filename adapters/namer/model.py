"""Names by a language model, which is shown what a cluster has in common and what lies next to it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from adapters.language_models import Answer, LanguageModel, Question
from adapters.namer.apart import Apart, Texts
from adapters.namer.descriptions import READ, clean, representatives, shortened
from adapters.namer.local import LocalNamer
from adapters.namer.titles import LONGEST_TITLE, UniqueTitles, title_key
from adapters.prompts import prompt
from commands.ports import (
    NO_USAGE,
    ClusterName,
    ClusterTexts,
    Limits,
    NotNamed,
    Sample,
    Stop,
    ToldApart,
    never,
)
from domain.summaries import without_quotations
from domain.values import NOISE

LONGEST_QUERY = 300
"""Characters of a query that a model is shown."""

TOGETHER = 12
"""Clusters that one question tells apart, at most."""

SHOWN_OF_EACH = 10
"""Queries of each of them."""

NOT_INCOHERENT = {"", "no", "none", "null", "false", "n/a", "coherent"}
"""What models write where nothing is to be said."""

NAME: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["incoherent", "title", "description"],
    "properties": {
        "incoherent": {
            "type": "string",
            "description": "Why the queries have no topic in common; empty where they have one.",
        },
        "title": {"type": "string", "description": f"2 to 6 words, at most {LONGEST_TITLE} characters."},
        "description": {"type": "string", "description": f"1 or 2 sentences, at most {READ} characters."},
    },
}

TITLES: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["titles"],
    "properties": {
        "titles": {
            "type": "array",
            "items": {
                "type": "object",
                "additionalProperties": False,
                "required": ["cluster_id", "title"],
                "properties": {"cluster_id": {"type": "integer"}, "title": {"type": "string"}},
            },
        }
    },
}


class ModelNamer:
    """The port `Namer` by questions to a language model. The noise and clusters without text are not asked
    about.
    """

    compares = False

    def __init__(self, model: LanguageModel) -> None:
        self._model = model

    @property
    def model(self) -> str:
        return self._model.name

    def name(
        self, clusters: Iterable[ClusterTexts], limits: Limits, stop: Stop = never
    ) -> Iterator[ClusterName | NotNamed]:
        asked: dict[int | str, ClusterTexts] = {}
        unasked: list[ClusterTexts] = []

        def questions() -> Iterator[Question]:
            for cluster in clusters:
                if cluster.cluster_id == NOISE or not any(map(clean, cluster.texts)):
                    unasked.append(cluster)
                else:
                    asked[cluster.cluster_id] = cluster
                    yield _question(cluster)

        for answer in self._model.ask(questions(), limits, stop):
            yield _named(asked.pop(answer.key), answer)
        for cluster in unasked:
            yield from LocalNamer().name([cluster], limits)

    def tell_apart(
        self,
        titles: Mapping[int, str],
        taken: Mapping[int, str],
        texts: Texts,
        limits: Limits,
        stop: Stop = never,
    ) -> Iterator[ToldApart]:
        """Each group is shown to the model; what is alike even then gets a telling word or a number."""
        apart = Apart(titles, taken)
        asked: dict[int | str, list[ClusterTexts]] = {}

        def questions() -> Iterator[Question]:
            for group in apart.groups:
                for start in range(0, len(group), TOGETHER):
                    first, *_ = some = group[start : start + TOGETHER]
                    asked[first] = [texts(one) for one in some]
                    yield _which_is_which(titles[first], asked[first], apart.free)

        for answer in self._model.ask(questions(), limits, stop):
            clusters = asked.pop(answer.key)
            usage = answer.usage
            for one in apart.told(clusters, _proposed(clusters, answer), prompt("tell_apart").id):
                yield replace(one, usage=usage)
                usage = NO_USAGE


# --- a name


def _question(cluster: ClusterTexts) -> Question:
    """No more of its own queries than were asked for: the central ones make room for the others."""
    wanted = prompt("name_cluster")
    count = len(cluster.texts)
    if cluster.size > count:
        count = max(1, count - len(cluster.random.texts) - len(cluster.borderline.texts))
    central = Sample(cluster.query_ids[:count], cluster.texts[:count])
    kinds = {"central": central, "random": cluster.random, "borderline": cluster.borderline}
    shown: set[int] = set()
    lists = {name: _listed(sample, shown) for name, sample in kinds.items()}
    text = wanted.fill(size=f"{cluster.size:,}", outside=_listed(cluster.outside, shown), **lists)
    return Question(
        key=cluster.cluster_id,
        system=wanted.system,
        text=text,
        schema=NAME,
        prompt=wanted.id,
        query_ids=tuple(sorted(shown)),
        check=_wrong_name,
    )


def _listed(sample: Sample, shown: set[int]) -> str:
    """A line for each that was not shown before: no text can look like a heading."""
    new = [(one, text) for one, text in zip(sample.query_ids, sample.texts, strict=True) if one not in shown]
    shown.update(one for one, _ in new)
    return _lines([text for _, text in new])


def _lines(texts: Sequence[str]) -> str:
    return "\n".join(f"- {shortened(clean(text), LONGEST_QUERY)}" for text in texts) or "(none)"


def _wrong_name(answer: Mapping[str, Any]) -> str | None:
    if wrong := _wrong_title(answer["title"]):
        return wrong
    description = answer["description"].strip()
    if not description:
        return "description is empty"
    return f"description has {len(description)} characters of {READ}" if len(description) > READ else None


def _wrong_title(title: str) -> str | None:
    if not clean(title):
        return "title is empty"
    return f"title has {len(title)} characters of {LONGEST_TITLE}" if len(title) > LONGEST_TITLE else None


def _named(cluster: ClusterTexts, answer: Answer) -> ClusterName | NotNamed:
    if answer.value is None:
        return NotNamed(cluster.cluster_id, answer.error or "the model gave no answer", answer.usage)
    said = clean(answer.value["incoherent"])
    return ClusterName(
        cluster.cluster_id,
        clean(answer.value["title"]),
        clean(answer.value["description"]),
        representatives(cluster),
        None if said.rstrip(".").lower() in NOT_INCOHERENT else said,
        prompt("name_cluster").id,
        answer.usage,
    )


# --- titles that are alike


def _which_is_which(title: str, clusters: Sequence[ClusterTexts], free: UniqueTitles) -> Question:
    wanted = prompt("tell_apart")
    blocks = (
        f"Cluster {one.cluster_id}, {one.size:,} queries:\n{_lines(one.texts[:SHOWN_OF_EACH])}"
        for one in clusters
    )
    return Question(
        key=clusters[0].cluster_id,
        system=wanted.system,
        text=wanted.fill(title=title, clusters="\n\n".join(blocks)),
        schema=TITLES,
        prompt=wanted.id,
        query_ids=tuple(query_id for one in clusters for query_id in one.query_ids[:SHOWN_OF_EACH]),
        check=_wrong_titles({one.cluster_id for one in clusters}, free),
    )


def _wrong_titles(cluster_ids: set[int], free: UniqueTitles) -> Callable[[Mapping[str, Any]], str | None]:
    def wrong(answer: Mapping[str, Any]) -> str | None:
        titles = {row["cluster_id"]: row["title"] for row in answer["titles"]}
        if titles.keys() != cluster_ids or len(answer["titles"]) != len(cluster_ids):
            return f"titles must have one entry for each of the clusters {sorted(cluster_ids)}"
        if len({title_key(title) for title in titles.values()}) < len(titles):
            return "two of the titles say the same"
        for title in titles.values():
            if wrong_one := _wrong_title(title):
                return wrong_one
            if not free.is_free(title):
                return f"title {title!r} is taken by another cluster"
        return None

    return wrong


def _proposed(clusters: Sequence[ClusterTexts], answer: Answer) -> dict[int, str]:
    """Without what repeats one person's words: such a title could become that of another cluster again."""
    texts = [text for one in clusters for text in one.texts]
    rows = answer.value["titles"] if answer.value else []
    titles = {row["cluster_id"]: without_quotations(clean(row["title"]), texts).strip("… ") for row in rows}
    return {cluster_id: title for cluster_id, title in titles.items() if title}
