"""The schema of study/params.yaml: frozen, strict, without defaults."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from domain_denoiser.base import parsing, reading
from domain_denoiser.params import (
    Ascending,
    Compute,
    Count,
    Model,
    Name,
    Sigma,
    Sources,
    Split,
    Strict,
    check,
)

Domain = Literal["digits", "letters", "upside_down", "inverted", "fashion"]
Seed = Annotated[int, Field(ge=0, le=2**63 - 1)]
Positive = Annotated[float, Field(gt=0.0, le=1_000.0, allow_inf_nan=False)]


class Levels(Strict):
    images: Count
    sigmas: Annotated[
        list[Annotated[float, Field(ge=0.0, le=10.0, allow_inf_nan=False)]], Field(min_length=1), Ascending
    ]


class Strengths(Strict):
    median: Annotated[list[Count], Field(min_length=1)]
    total_variation: Annotated[list[Positive], Field(min_length=1)]
    nonlocal_means: Annotated[list[Positive], Field(min_length=1)]
    wavelet: Annotated[list[Positive], Field(min_length=1)]


class Classical(Strict):
    tuning_images: Count
    strengths: Strengths


class Linear(Strict):
    ridge: Annotated[float, Field(gt=0.0, le=1_000.0, allow_inf_nan=False)]


class Fashion(Sources):
    split: Split


class Domains(Strict):
    sigma: Sigma
    test_images: Count
    fashion: Fashion


class Classifier(Strict):
    epochs: Annotated[int, Field(ge=1, le=1_000)]
    batch_size: Count
    learning_rate: Annotated[float, Field(gt=0.0, le=1.0, allow_inf_nan=False)]


class Network(Strict):
    """A network that is trained for comparison, and its domain."""

    domain: Domain
    seed: Seed
    compute: Compute
    settings: Model


class StudyParams(Strict):
    compute: Compute
    levels: Levels
    classical: Classical
    linear: Linear
    domains: Domains
    classifier: Classifier
    seeds: Annotated[list[Seed], Field(min_length=1)]
    networks: dict[Name, Network]
    large: Network

    @model_validator(mode="after")
    def domains_have_a_known_level(self) -> "StudyParams":
        if self.domains.sigma not in self.levels.sigmas:
            raise ValueError(f"must have domains.sigma (={self.domains.sigma}) among levels.sigmas")
        return self


def read(path: Path) -> StudyParams:
    """Read and check study/params.yaml. Raises BadInput with the key, the value found and what is allowed."""
    return check(StudyParams, parsing.parse(reading.content(path, reading.LARGEST_TEXT), str(path)), str(path))
