"""What the work asks of language models, or of what does the same without one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from domain.templates import TemplateContent
from domain.values import added

Stop = Callable[[], bool]
"""Asked before every call: whether whoever wanted the answers wants no more of them."""


def never() -> bool:
    return False


@dataclass(frozen=True)
class Limits:
    """`concurrency` in calls at a time, `rpm` in calls a minute, `tokens` in all, in and out.

    None: no bound of its own.
    """

    concurrency: int = 8
    rpm: int | None = None
    tokens: int | None = None


@dataclass(frozen=True)
class Usage:
    """What answers took. `calls` counts every request, those that were repeated as well; `cached` the answers
    that took none. `cost_usd` is None as soon as one price is unknown; `seconds` is time of waiting, summed.
    """

    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float | None = 0.0
    seconds: float = 0.0
    cached: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(**added(vars(self), vars(other)))


NO_USAGE = Usage()

# --- naming --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Sample:
    """Some queries and their texts."""

    query_ids: list[int] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class ClusterTexts:
    """A cluster as a namer sees it: its most central queries first.

    For a namer that contrasts: members drawn at random; those nearest to another cluster, the nearest first;
    and the queries of other clusters that are nearest to this one. One may be in several of these.
    """

    cluster_id: int
    size: int
    query_ids: list[int]
    texts: list[str]
    random: Sample = field(default_factory=Sample)
    borderline: Sample = field(default_factory=Sample)
    outside: Sample = field(default_factory=Sample)


@dataclass(frozen=True)
class ClusterName:
    """`incoherent`: why the queries have no topic in common, where the namer says so.

    `prompt`: `Prompt.id` of what a model was asked with, None where none was asked.
    """

    cluster_id: int
    title: str
    description: str
    representative_query_ids: list[int]
    incoherent: str | None = None
    prompt: str | None = None
    usage: Usage = NO_USAGE


@dataclass(frozen=True)
class NotNamed:
    """A cluster that got no name, and why."""

    cluster_id: int
    error: str
    usage: Usage = NO_USAGE


@dataclass(frozen=True)
class ToldApart:
    """Another title for a cluster that was called as another is. `prompt` None: it was computed."""

    cluster_id: int
    title: str
    prompt: str | None = None
    usage: Usage = NO_USAGE


class Namer(Protocol):
    """Titles and descriptions for the clusters of one run."""

    @property
    def model(self) -> str:
        """`provider/model`, as it stands in the specification: `local/c-tf-idf`."""

    @property
    def compares(self) -> bool:
        """Whether a name depends on the central queries of all clusters, which then are all handed in.

        Else only those to be named are, each with what contrasts it.
        """

    def name(
        self, clusters: Iterable[ClusterTexts], limits: Limits, stop: Stop = never
    ) -> Iterator[ClusterName | NotNamed]:
        """A name for each cluster, or why there is none, as they come.

        Raises Refused and Unavailable as `LanguageModel.ask` does.
        """

    def tell_apart(
        self,
        titles: Mapping[int, str],
        taken: Mapping[int, str],
        texts: Callable[[int], ClusterTexts],
        limits: Limits,
        stop: Stop = never,
    ) -> Iterator[ToldApart]:
        """New titles for those of these clusters that are called like another of them, or of `taken`.

        After them no two are alike, unless `stop` ended it.
        """


class Namers(Protocol):
    """Namers by model."""

    def get(self, model: str) -> Namer:
        """Raises Invalid for a model that is unknown."""


# --- classifying ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Item:
    """A text to be labelled. `key`: what whoever asks knows it by; `query_id`: where it is a query's."""

    key: int | str
    text: str
    query_id: int | None = None


@dataclass(frozen=True)
class Labelled:
    """The answer for one item. `label` is one of the template's, or None, and then `error` says why.

    `confidence` is in [0, 1], its meaning is the classifier's; None where it has none. `reasoning` may quote
    the text: what goes into the log goes through `domain.summaries.without_quotations`. `answer` is what else
    the template's schema asks for, None where it asks for no more.
    """

    key: int | str
    label: str | None
    confidence: float | None = None
    reasoning: str | None = None
    error: str | None = None
    usage: Usage = NO_USAGE
    answer: Mapping[str, Any] | None = None


class Classifier(Protocol):
    """Texts to labels of a template."""

    @property
    def model(self) -> str:
        """`provider/model`: `local/nearest`, `openai/gpt-4o-mini`."""

    @property
    def prompt(self) -> str:
        """Name, version and hash of the prompt that the template's own is put into; empty where none is."""

    def classify(
        self, template: TemplateContent, items: Iterable[Item], limits: Limits, stop: Stop = never
    ) -> Iterator[Labelled]:
        """An answer for each item, as they come; items are read as they are needed, never all at once.

        Raises Refused where the provider will say no to every item (a wrong key, an unknown model), Invalid
        for a template that cannot be used, Unavailable where nobody answers any more. After `stop` it ends
        with the answers to what was under way.
        """


class Classifiers(Protocol):
    """Classifiers by model."""

    def get(self, model: str) -> Classifier:
        """Raises Invalid for a model that is unknown, Refused for one that is not set up."""


# --- classifying in batches ------------------------------------------------------------------------


@dataclass(frozen=True)
class BatchState:
    """How far a batch is that a provider works through on its own time."""

    ended: bool
    done: int = 0
    failed: int = 0
    total: int = 0
    error: str | None = None


class BatchClassifier(Protocol):
    """Labels at the provider's leisure: half the price, within a day. Keys are what `Item.key` was."""

    def submit(
        self, template: TemplateContent, items: Iterable[Item]
    ) -> Iterator[tuple[str, list[int | str]]]:
        """Hand in as many batches as the provider's bounds on size ask for: the id of each, and its keys."""

    def poll(self, batch_id: str) -> BatchState: ...

    def results(self, template: TemplateContent, batch_id: str) -> Iterator[Labelled]:
        """Of a batch that has ended, in no order; an item that failed has its error."""

    def read(self, template: TemplateContent, lines: Iterable[bytes]) -> Iterator[Labelled]:
        """The same out of an output file of the provider (JSON lines). Raises Invalid naming the line."""

    def cancel(self, batch_id: str) -> None: ...


class BatchClassifiers(Protocol):
    def get(self, model: str) -> BatchClassifier:
        """Raises Invalid where the provider has no batches."""
