"""The schema of sweep.yaml, and the trials that follow from it: the same ones each time, on any machine."""

import copy
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import numpy as np
from pydantic import Discriminator, Field, JsonValue, Tag, model_validator

from domain_denoiser.base import parsing, reading
from domain_denoiser.base.errors import BadInput
from domain_denoiser.core.seeds import derive
from domain_denoiser.networks import architectures
from domain_denoiser.operations.retraining import overrides
from domain_denoiser.params import Name, Params, Strict, check

DRAWS = 100  # for each trial that is asked for, before the spaces count as exhausted
BETTER = {"val_psnr_db": max, "val_loss": min}  # columns of history.csv that judge a trial

Number = Annotated[float, Field(allow_inf_nan=False)]


class Choice(Strict):
    choice: Annotated[list[JsonValue], Field(min_length=1, max_length=1000)]

    def value(self, share: float) -> JsonValue:
        return self.choice[int(share * len(self.choice))]

    def ends(self) -> list[JsonValue]:
        return self.choice


class _Range(Strict):
    """From the first number to the second. A subclass has them in its one field."""

    @property
    def bounds(self) -> list:
        [bounds] = self.__dict__.values()
        return bounds

    @model_validator(mode="after")
    def ascends(self) -> "_Range":
        if not self.bounds[0] < self.bounds[1]:
            raise ValueError(f"must have a first number below the second, but has {self.bounds}")
        return self

    def ends(self) -> list[JsonValue]:
        return [self.value(0.0), self.value(1.0)]


class Integers(_Range):
    """Both bounds are values too."""

    integers: Annotated[list[int], Field(min_length=2, max_length=2)]

    def value(self, share: float) -> int:
        low, high = self.bounds
        return min(high, low + int(share * (high - low + 1)))


class Uniform(_Range):
    uniform: Annotated[list[Number], Field(min_length=2, max_length=2)]

    def value(self, share: float) -> float:
        low, high = self.bounds
        return _short(low + share * (high - low))


class LogUniform(_Range):
    log_uniform: Annotated[list[Annotated[Number, Field(gt=0.0)]], Field(min_length=2, max_length=2)]

    def value(self, share: float) -> float:
        low, high = self.bounds
        return _short(low * (high / low) ** share)


LAWS = ("choice", "integers", "uniform", "log_uniform")


def _law(given: object) -> str | None:
    """The one key of a space."""
    if isinstance(given, Mapping):
        return next(iter(given)) if len(given) == 1 else None
    return None


Space = Annotated[
    Annotated[Choice, Tag("choice")]
    | Annotated[Integers, Tag("integers")]
    | Annotated[Uniform, Tag("uniform")]
    | Annotated[LogUniform, Tag("log_uniform")],
    Discriminator(
        _law,
        custom_error_type="space",
        custom_error_message=f"one of {', '.join(LAWS)} with its values is expected",
    ),
]


class Asha(Strict):
    """Asynchronous successive halving (Li et al. 2018, arXiv:1810.05934): which trials end early."""

    grace_epochs: Annotated[int, Field(ge=1, le=100_000)]  # of every trial, at least
    reduction: Annotated[int, Field(ge=2, le=100)]  # one in so many goes on from each rung to the next


class Sweep(Strict):
    """What sweep.yaml holds."""

    model: Name
    metric: Literal[tuple(BETTER)]
    trials: Annotated[int, Field(ge=1, le=10_000)]
    seed: Annotated[int, Field(ge=0, le=2**63 - 1)]
    spaces: Annotated[dict[str, Space], Field(min_length=1)]  # key in params.yaml -> its values
    asha: Asha | None


class Trial(NamedTuple):
    """One training of the model."""

    name: str  # of its experiment in DVC: the same settings have the same one
    settings: Mapping[str, JsonValue]  # key in params.yaml -> value
    params: Params  # params.yaml with these settings

    def overrides(self) -> list[str]:
        """The settings as `dvc exp run -S` takes them."""
        return [f"{key}={json.dumps(value)}" for key, value in self.settings.items()]


def read(path: Path) -> Sweep:
    """Read and check a sweep.yaml. Raises BadInput with the key, the value found and what is allowed."""
    return check(Sweep, parsing.parse(reading.content(path, reading.LARGEST_TEXT), str(path)), str(path))


def trials(sweep: Sweep, where: str, params: bytes) -> list[Trial]:
    """The trials of a sweep, drawn from its seed: each settings once, so perhaps fewer than are asked for.

    where: the name of the sweep's file; params: the content of params.yaml. Raises BadInput if params.yaml does not
    have a key or refuses a value, if a training of the model does not read the key, or if there is no such model.
    """
    values = parsing.parse(params, "params.yaml")
    known = check(Params, values, "params.yaml")
    if sweep.model not in known.models:
        raise BadInput(f"{where}: model is {sweep.model!r}, but params.yaml has {', '.join(known.models)}")
    for key, space in sweep.spaces.items():
        if key != "seed" and not key.startswith((f"models.{sweep.model}.", "compute.", "data.", "noisy.")):
            raise BadInput(f"{where}: spaces.{key}: a training of {sweep.model} does not read that key of params.yaml")
        for value in space.ends():
            _with(values, {key: value}, where)
    drawn: dict[str, Trial] = {}
    for index in range(DRAWS * sweep.trials):
        settings = {
            key: space.value(np.random.default_rng(derive(sweep.seed, key, index)).random())
            for key, space in sweep.spaces.items()
        }
        name = _name(sweep.model, settings)
        if name not in drawn:
            drawn[name] = Trial(name, settings, _with(values, settings, where))
        if len(drawn) == sweep.trials:
            break
    return list(drawn.values())


def _with(values: object, settings: Mapping[str, JsonValue], where: str) -> Params:
    changed = copy.deepcopy(values)
    told = ", ".join(f"{key}={json.dumps(value)}" for key, value in settings.items())
    try:
        for key, value in settings.items():
            place, last = overrides.place_of(changed, key)
            place[last] = value
        found = check(Params, changed, "params.yaml")
        architectures.check_all(found.models, "params.yaml")
    except BadInput as error:
        raise BadInput(f"{where}: spaces give {told}, but {error}") from error
    return found


def _name(model: str, settings: Mapping[str, JsonValue]) -> str:
    told = json.dumps([model, settings], sort_keys=True)
    return f"sweep-{hashlib.sha256(told.encode()).hexdigest()[:8]}"


def _short(value: float) -> float:
    """Three significant digits: short in params.yaml, and equal where the last bits of a power differ."""
    return float(f"{value:.3g}")
