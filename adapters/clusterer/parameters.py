"""What each algorithm can be told. Light to import, so that a request is refused before a job is queued."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from domain.errors import Invalid


class Parameters(BaseModel):
    """Common to all: the seed of every draw, and how many vectors are worked on at a time."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    seed: Annotated[int, Field(ge=0, le=2**31 - 1)] = 42
    chunk_size: Annotated[int, Field(ge=1, le=200_000)] = 10_000


class KMeansParameters(Parameters):
    n_clusters: Annotated[int, Field(ge=1, le=100_000)]
    engine: Literal["faiss", "sklearn"] = "faiss"
    points_per_centroid: Annotated[int, Field(ge=1, le=10_000)] = 256
    niter: Annotated[int, Field(ge=1, le=1_000)] = 20
    mb_batch_size: Annotated[int, Field(ge=1, le=1_000_000)] = 4_096
    passes: Annotated[int, Field(ge=0, le=100)] = 2


class HdbscanParameters(Parameters):
    min_cluster_size: Annotated[int, Field(ge=2)] = 15
    min_samples: Annotated[int, Field(ge=1)] = 5
    cluster_selection_epsilon: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    cluster_selection_method: Literal["eom", "leaf"] = "eom"
    metric: Literal["euclidean", "cosine", "manhattan"] = "euclidean"
    pca_dimensions: Annotated[int, Field(ge=0, le=1_000)] = 32
    max_points: Annotated[int, Field(ge=100, le=200_000)] = 50_000


class DbscanParameters(Parameters):
    eps: Annotated[float, Field(gt=0, le=2)] | None = None
    min_samples: Annotated[int, Field(ge=1)] = 5
    max_points: Annotated[int, Field(ge=100, le=30_000)] = 10_000


class AgglomerativeParameters(Parameters):
    n_clusters: Annotated[int, Field(ge=1)] | None = None
    distance_threshold: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    linkage: Literal["ward", "average", "complete", "single"] = "ward"
    max_points: Annotated[int, Field(ge=100, le=30_000)] = 10_000

    @model_validator(mode="after")
    def _one_way_to_stop(self) -> AgglomerativeParameters:
        if (self.n_clusters is None) == (self.distance_threshold is None):
            raise ValueError("give one of n_clusters and distance_threshold")
        return self


ALGORITHMS: dict[str, type[Parameters]] = {
    "kmeans": KMeansParameters,
    "hdbscan": HdbscanParameters,
    "dbscan": DbscanParameters,
    "agglomerative": AgglomerativeParameters,
}


def validated(algorithm: str, parameters: Mapping[str, Any]) -> Any:  # noqa: ANN401  (one type per algorithm)
    """The parameters in the type of their algorithm. What is None counts as not given."""
    if algorithm not in ALGORITHMS:
        raise Invalid(f"unknown algorithm {algorithm!r}: known are {', '.join(ALGORITHMS)}")
    given = {name: value for name, value in parameters.items() if value is not None}
    try:
        return ALGORITHMS[algorithm](**given)
    except ValidationError as error:
        raise _refusal(algorithm, error) from None


def check_parameters(algorithm: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """All parameters with their defaults. Raises `Invalid` naming each one that is wrong or unknown."""
    checked: dict[str, Any] = validated(algorithm, parameters).model_dump()
    return checked


def _refusal(algorithm: str, error: ValidationError) -> Invalid:
    known = ", ".join(ALGORITHMS[algorithm].model_fields)
    details = []
    for wrong in error.errors(include_url=False):
        field = ".".join(str(part) for part in wrong["loc"]) or "parameters"
        message = wrong["msg"].removeprefix("Value error, ")
        if wrong["type"] == "extra_forbidden":
            message = f"unknown parameter; known are {known}"
        elif wrong["type"] not in {"missing", "value_error"}:
            message = f"{message}, but it is {wrong['input']!r}"
        details.append({"field": field, "message": message})
    return Invalid(f"{algorithm}: " + "; ".join(f"{d['field']}: {d['message']}" for d in details), details)
