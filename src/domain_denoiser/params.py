"""The schema of params.yaml: frozen, strict, without defaults."""

from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, RootModel, ValidationError, model_validator

from domain_denoiser.base import parsing, reading
from domain_denoiser.base.errors import BadInput, one_line

STEPS_OF_SIGMA = 10_000  # steps in MLflow are integers: the noise level 0.125 is step 1250


def _ascending(sigmas: list[float]) -> list[float]:
    if any(a >= b for a, b in zip(sigmas, sigmas[1:])):
        raise ValueError(f"must ascend, but is {sigmas}")
    return sigmas


Ascending = AfterValidator(_ascending)
Sigma = Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False)]
Decay = Annotated[float, Field(ge=0.0, lt=1.0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1, le=10_000_000)]
Seconds = Annotated[float, Field(gt=0.0, le=86_400.0, allow_inf_nan=False)]
Share = Annotated[float, Field(gt=0.0, lt=1.0, allow_inf_nan=False)]
Line = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]
Strength = Annotated[float, Field(gt=0.0, le=100.0, allow_inf_nan=False)]
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")]

Checked = TypeVar("Checked", bound=BaseModel)

IDX_FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
FILTERS = ("nonlocal_means", "wavelet", "total_variation")


class Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Compute(Strict):
    device: Literal["cpu", "cuda"]
    threads: Annotated[int, Field(ge=1, le=1024)]


class TrainingCompute(Compute):
    """How the main pipeline computes; its trainings may run in more than one process, the study's do not."""

    workers: Annotated[int, Field(ge=1, le=64)]


class Split(Strict):
    train: Count
    val: Count
    gate: Count


class Sources(Strict):
    """Where the four IDX files of a dataset come from."""

    sources: Annotated[
        list[Annotated[str, Field(pattern=r"^(torchvision|npm:[a-z0-9][a-z0-9._-]*@[0-9][0-9A-Za-z.-]*|dir:.+)$")]],
        Field(min_length=1),
    ]
    timeout_s: Seconds
    limit_s: Seconds
    sha256: dict[Literal[IDX_FILES], Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]]

    @model_validator(mode="after")
    def every_file_has_a_checksum(self) -> "Sources":
        missing = [name for name in IDX_FILES if name not in self.sha256]
        if missing:
            raise ValueError(f"must name every file, but lacks {', '.join(missing)}")
        return self


class Idx(Strict):
    """MNIST, or a dataset in files of its form."""

    kind: Literal["idx"]
    origin: Annotated[str, Field(pattern=r"^data/[A-Za-z0-9._-]+\.yaml$")]  # a file with Sources
    split: Split


class Shares(Strict):
    """Shares of the files; the others are to train on."""

    val: Share
    gate: Share
    test: Share

    @model_validator(mode="after")
    def some_are_left(self) -> "Shares":
        if self.val + self.gate + self.test > 0.9:
            raise ValueError("must leave a tenth of the files to train on")
        return self


class Most(Split):
    """Maximum numbers of tiles. Of more, some are drawn to train on; to measure on, large images lose their borders."""

    test: Count


class Images(Strict):
    """A folder of image files, which are cut into tiles."""

    kind: Literal["images"]
    origin: Annotated[str, Field(pattern=r"^data/[A-Za-z0-9_-]+$")]  # the folder
    tile: Annotated[list[Annotated[int, Field(ge=16, le=1024)]], Field(min_length=2, max_length=2)]  # height and width
    shares: Shares
    most: Most


class Pairs(Images):
    """A folder of clean image files and one of noisy ones, which are cut at the same places."""

    kind: Literal["pairs"]


class Domain(Strict):
    """What the images are, in words."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,39}$")]
    title: Line
    images: Line
    look: Line
    dataset: Line | None
    authors: Line | None
    licence: Line | None

    @property
    def experiment(self) -> str:
        """The name of the experiment in MLflow."""
        return f"{self.name}-denoising"

    @property
    def registered(self) -> str:
        """The name of the registered model in MLflow."""
        return f"{self.name}-denoiser"


class Constant(Strict):
    """Every image has the same sigma."""

    law: Literal["constant"]
    noise: Name  # one of core.noise.NOISES
    sigma: Sigma


class Uniform(Strict):
    """One draw per image, sigma ~ U(low, high)."""

    law: Literal["uniform"]
    noise: Name  # one of core.noise.NOISES
    low: Sigma
    high: Sigma

    @model_validator(mode="after")
    def low_is_below_high(self) -> "Uniform":
        if not self.low < self.high:
            raise ValueError(f"must have low (={self.low}) below high (={self.high})")
        return self


class Given(Strict):
    """The noisy images of pairs, which came with the clean ones: nothing is drawn."""

    law: Literal["given"]
    sigma: Sigma  # root mean square of noisy - clean: the name of this noise level


class Levels(Strict):
    """Every image at every noise level."""

    law: Literal["levels"]
    noise: Name  # one of core.noise.NOISES
    sigmas: Annotated[list[Sigma], Field(min_length=1), Ascending]

    @model_validator(mode="after")
    def steps_differ(self) -> "Levels":
        steps = [round(STEPS_OF_SIGMA * sigma) for sigma in self.sigmas]
        if any(a == b for a, b in zip(steps, steps[1:])):
            raise ValueError(
                f"must have sigmas that differ by {1 / STEPS_OF_SIGMA:g} or more, but they are {self.sigmas}"
            )
        return self


Regime = Constant | Uniform | Given


class Law(RootModel[Annotated[Constant | Uniform | Given | Levels, Field(discriminator="law")]]):
    """The sigma distribution of a noisy dataset, in `root`."""


class Training(Strict):
    """The settings of a training, the same for every architecture."""

    regime: Name
    initialisation: Literal["xavier", "kaiming", "orthogonal", "pytorch"]
    noise: Literal["fresh", "frozen"]
    crop: Annotated[int, Field(ge=8, le=4096)] | None  # side of the part of an image that an epoch sees
    augment: bool  # flips, quarter turns, and where noise is drawn on images of colour, an exchange of their channels
    epochs: Annotated[int, Field(ge=1, le=100_000)]
    batch_size: Count
    loss: Literal["mse", "rmse", "log_mse"]
    precision: Literal["float32", "bfloat16"]
    optimizer: Literal["rmsprop", "rmsprop_corrected", "adam", "muon"]
    learning_rate: Annotated[float, Field(gt=0.0, le=10.0, allow_inf_nan=False)]
    beta2: Decay  # of the running mean of squared gradients; for rmsprop this is its alpha
    schedule: Literal["constant", "linear", "cosine", "one_cycle"]
    ema: Decay  # of the exponential moving average of the weights; 0 keeps the last weights


class Model(Training):
    """A denoiser: its training, its architecture and the settings of it, which networks.architectures checks."""

    model_config = ConfigDict(frozen=True, extra="allow", strict=True)
    architecture: Name

    @property
    def network(self) -> dict[str, object]:
        """The settings that model.json stores: enough to build the network, nothing of its training."""
        return {"architecture": self.architecture, **(self.model_extra or {})}


class Gate(Strict):
    """The conditions that a candidate must meet on the gate images to be promoted."""

    sigma: Sigma
    margin_db: Annotated[float, Field(ge=0.0, le=100.0, allow_inf_nan=False)]
    allowed_loss_db: dict[str, Annotated[float, Field(ge=0.0, le=100.0, allow_inf_nan=False)]]  # at each noise level
    floors_db: dict[str, Annotated[float, Field(ge=0.0, le=100.0, allow_inf_nan=False)]]  # at some noise levels
    profile: bool  # whether the graph of a champion says what the images of its domain look like


class Params(Strict):
    domain: Domain
    seed: Annotated[int, Field(ge=0, le=2**63 - 1)]
    compute: TrainingCompute
    data: Annotated[Idx | Images | Pairs, Field(discriminator="kind")]
    noisy: dict[Name, Law]
    # Classical filters -> strengths to choose from: multiples of the noise level that is estimated from each image.
    filters: dict[Literal[FILTERS], Annotated[list[Strength], Field(min_length=1), Ascending]]
    models: Annotated[dict[Name, Model], Field(min_length=1)]
    gate: Gate

    @property
    def levels(self) -> list[float]:
        """The noise levels that the evaluation measures at, ascending."""
        law = self.noisy["test"].root
        return [law.sigma] if isinstance(law, Given) else law.sigmas

    @model_validator(mode="after")
    def given_noise_is_there(self) -> "Params":
        given = [name for name, law in self.noisy.items() if isinstance(law.root, Given)]
        if given and not isinstance(self.data, Pairs):
            raise ValueError(f"must have data.kind 'pairs' for noisy.{given[0]}, whose noisy images are given")
        return self

    @model_validator(mode="after")
    def regimes_exist(self) -> "Params":
        if not ("test" in self.noisy and isinstance(self.noisy["test"].root, (Levels, Given))):
            raise ValueError("must have noisy.test with the law levels or given")
        regimes = [name for name, law in self.noisy.items() if name != "test" and not isinstance(law.root, Levels)]
        for name, model in self.models.items():
            if model.regime not in regimes:
                raise ValueError(f"must train models.{name} on one of {', '.join(regimes)}, not on {model.regime!r}")
            if isinstance(self.noisy[model.regime].root, Given) and model.noise != "frozen":
                raise ValueError(f"must have models.{name}.noise 'frozen', as {model.regime} is given, not drawn")
        levels = [str(sigma) for sigma in self.levels]
        for sigma in [str(self.gate.sigma), *self.gate.floors_db]:
            if sigma not in levels:
                raise ValueError(f"must have gate at one of the noise levels {', '.join(levels)}, not at {sigma}")
        if set(self.gate.allowed_loss_db) != set(levels):
            found = ", ".join(self.gate.allowed_loss_db) or "(none)"
            raise ValueError(f"must have gate.allowed_loss_db at the noise levels {', '.join(levels)}, not at {found}")
        if "noisy" in self.models:
            raise ValueError("must not call a model 'noisy': that is the name of the unrestored input")
        if taken := [name for name in FILTERS if name in self.models]:
            raise ValueError(f"must not call a model {taken[0]!r}: that is the name of a filter")
        if not (self.gate.floors_db or self.filters):
            raise ValueError("must have a noise level in gate.floors_db, or a filter in filters, for a first champion")
        return self


def read(path: Path) -> Params:
    """Read and check params.yaml.

    Raises BadInput with the key, the value found and what is allowed.
    """
    return check(Params, parsing.parse(reading.content(path, reading.LARGEST_TEXT), str(path)), str(path))


class _OfDomain(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)
    domain: Domain


def read_domain(path: Path) -> Domain:
    """What a params.yaml says of the domain, whatever else is in it: names must not hang on the other values.

    Raises BadInput with the key, the value found and what is allowed.
    """
    return check(_OfDomain, parsing.parse(reading.content(path, reading.LARGEST_TEXT), str(path)), str(path)).domain


def check(schema: type[Checked], value: object, where: str) -> Checked:
    """Validate `value`. Raises BadInput, whose message starts with `where`."""
    try:
        return schema.model_validate(value)
    except ValidationError as error:
        raise BadInput(f"{where}: {one_line(_message(error, value))}") from error


def _message(error: ValidationError, value: object) -> str:
    """The first error: the key, the value found and what is allowed."""
    first = error.errors()[0]
    missing = first["loc"][-1:] if first["type"] == "missing" else ()
    parts = [*_key(first["loc"], value), *missing]
    if first["type"] == "union_tag_invalid":
        parts, allowed = [*parts, first["ctx"]["discriminator"].strip("'")], first["ctx"]["expected_tags"]
        return f"{'.'.join(parts)} is {first['ctx']['tag']!r}, but one of {allowed} is expected"
    key = ".".join(parts) or "it"
    allowed = first["msg"].removeprefix("Value error, ")
    match first["type"]:
        case "missing":
            return f"{key} is missing"
        case "extra_forbidden":
            return f"{key} is not a known key"
        case "value_error":
            return f"{key} {allowed}"
    return f"{key} is {_shown(first['input'])}, but {allowed[0].lower() + allowed[1:]}"


def _shown(value: object) -> str:
    try:
        found = repr(value)
    except ValueError:  # Python does not print an integer of thousands of digits
        return "a number of thousands of digits"
    return found if len(found) <= 80 else found[:77] + "..."


def _key(location: tuple[int | str, ...], value: object) -> list[str]:
    """The parts of the key as the file spells it, without the parts that pydantic adds to a location."""
    parts = []
    for part in location:
        if part in value if isinstance(value, dict) else isinstance(value, list) and isinstance(part, int):
            parts.append(str(part))
            value = value[part]
    return parts
