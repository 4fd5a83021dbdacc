"""What MLflow shows of a run, gathered from dvc.lock and the files it names."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from domain_denoiser import layout
from domain_denoiser.base import reading
from domain_denoiser.base.errors import BadInput
from domain_denoiser.evaluation import summary, tables
from domain_denoiser.runs import listings
from domain_denoiser.runs.dvc_lock import Stage

Find = Callable[[str, str], bytes | None]  # path, MD5 -> content


class Input(NamedTuple):
    """A dataset that a run read."""

    path: str
    md5: str
    context: str  # training, validation or test


class Part(NamedTuple):
    """What a later stage adds to a run, with the key of that stage's work."""

    key: str
    content: Mapping[str, object]


class Record(NamedTuple):
    """One training of one model and what is known of it."""

    key: str
    model: str
    params: Mapping[str, str]
    tags: Mapping[str, str]
    inputs: tuple[Input, ...]
    history: tuple[Mapping[str, float], ...]  # rows of history.csv
    finished: bool
    outs: Mapping[str, str]  # path -> MD5; empty while it trains
    platform: Mapping[str, object]  # the kind of machine it was trained on; empty if not at hand
    weights: Mapping[str, bytes]  # model.safetensors and model.json; empty if not at hand
    evaluation: Part | None  # {sigma: {metric: value}}
    figures: Part | None  # {artifact path: PNG}
    missing: tuple[str, ...]  # what is recorded, but not to be found any more

    @property
    def whole(self) -> bool:
        """Whether there is all that is made of a training: weights, test results, figures, and each of their files."""
        shown = self.weights and self.evaluation and self.figures
        return self.finished and not self.missing and bool(shown)


def gather(stages: Mapping[str, Stage], find: Find) -> list[Record]:
    """A record for each training among the stages, in their order."""
    return [of_training(name, stages, find) for name in stages if name.startswith("train@")]


def of_files(model: str, key: str, files: Mapping[str, str], find: Find) -> Record:
    """The record of a training of which nothing but its files is known: path -> MD5 of weights and settings."""
    weights = {path.rpartition("/")[2]: find(path, md5) for path, md5 in files.items()}
    note = "Its training is in no dvc.lock of this repository; champion.json has its files."
    return Record(
        key=key,
        model=model,
        params={},
        tags={"key": key, "model": model, "stage": f"train@{model}", "cmd": "", "mlflow.note.content": note},
        inputs=(),
        history=(),
        finished=True,
        outs=files,
        platform={},
        weights={} if None in weights.values() else weights,
        evaluation=None,
        figures=None,
        missing=tuple(path for path, md5 in files.items() if find(path, md5) is None),
    )


def of_training(name: str, stages: Mapping[str, Stage], find: Find) -> Record:
    """The record of one training among the stages; the files of others need not be there."""
    stage, model = stages[name], name.partition("@")[2]
    folder, missing = layout.MODELS / model, []

    def content(path: str) -> bytes | None:
        if not stage.outs.get(path):
            return None
        found = find(path, stage.outs[path])
        if found is None:
            missing.append(path)
        return found

    history_path = f"{folder}/{layout.HISTORY}"
    history, platform = content(history_path), stage.outs.get(f"{folder}/{layout.PLATFORM}")
    rows = () if history is None else _rows(history, history_path, missing)
    weights = {name: content(f"{folder}/{name}") for name in (layout.WEIGHTS, layout.SETTINGS)}
    return Record(
        key=stage.key,
        model=model,
        params=params(stage, model, stages),
        tags=_tags(stage, model),
        inputs=_inputs(stage, stages.get(f"evaluate@{model}")),
        history=rows,
        finished=all(stage.outs.values()),
        outs={path: md5 for path, md5 in stage.outs.items() if md5},
        platform=platform_of(find(f"{folder}/{layout.PLATFORM}", platform) if platform else None),
        weights={} if None in weights.values() else weights,
        evaluation=_evaluation(stage, model, stages, find, missing),
        figures=_figures(model, stage, stages, find, missing),
        missing=tuple(missing),
    )


def _rows(history: bytes, path: str, missing: list[str]) -> tuple[Mapping[str, float], ...]:
    """The epochs; a column that a history of another version lacks is named in `missing`."""
    found = tables.history(history, path, optional=tables.HISTORY[1:])
    missing += [f"{path}, column {name}" for name in tables.HISTORY if name not in found.columns]
    return tuple(found.to_dict("records"))


def platform_of(content: bytes | None) -> Mapping[str, object]:
    """What a platform.json says; nothing if it is none."""
    try:
        found = {} if content is None else reading.from_json(content, layout.PLATFORM)
    except BadInput:
        return {}
    return found if isinstance(found, dict) else {}


def params(stage: Stage, model: str, stages: Mapping[str, Stage]) -> dict[str, str]:
    """What a training read of params.yaml, by its keys without `models.<name>.`, so that models can be compared by
    name; and what its noise was.
    """
    flat = {}
    for key, value in stage.params.items():
        flat |= flattened(key.removeprefix(f"models.{model}"), value)
    # What the regime was is recorded where its dataset was made; only the very dataset that was read counts.
    for path, md5 in stage.deps.items():
        name = path.removeprefix(f"{layout.NOISY}/")
        made = stages.get(f"corrupt@{name}")
        if made is not None and made.outs.get(path) == md5:
            flat |= flattened("regime", made.params.get(f"noisy.{name}", {}))
    return {key: str(value) for key, value in sorted(flat.items())}


def flattened(prefix: str, value: object) -> dict[str, object]:
    """Nested mappings as one, with dots between the keys; `prefix` comes before all of them."""
    if not isinstance(value, Mapping):
        return {prefix: value}
    flat = {}
    for key, inner in value.items():
        flat |= flattened(f"{prefix}.{key}" if prefix else str(key), inner)
    return flat


def _tags(stage: Stage, model: str) -> dict[str, str]:
    return {
        "key": stage.key,
        "model": model,
        "stage": stage.name,
        "cmd": stage.cmd,
        "mlflow.note.content": f"The model `{model}`. `denoise show {stage.key[:12]}` says what gives it again.",
        **{f"dep/{path}": md5 for path, md5 in stage.deps.items()},
    }


def _inputs(stage: Stage, evaluate: Stage | None) -> tuple[Input, ...]:
    inputs = [
        Input(path, md5, "validation" if "/val_" in path else "training")
        for path, md5 in stage.deps.items()
        if layout.is_dataset(path)
    ]
    inputs.sort(key=lambda given: not given.path.startswith(f"{layout.NOISY}/"))  # what tells runs apart comes first
    if evaluate is not None and _evaluates(evaluate, stage):
        inputs += [Input(path, md5, "test") for path, md5 in evaluate.deps.items() if layout.is_dataset(path)]
    return tuple(inputs)


def _evaluates(evaluate: Stage, train: Stage) -> bool:
    """Whether the evaluation read exactly the weights that the training wrote."""
    path = str(layout.MODELS / train.name.partition("@")[2] / layout.WEIGHTS)
    return path in train.outs and evaluate.deps.get(path) == train.outs[path]


def _evaluation(train: Stage, model: str, stages: Mapping[str, Stage], find: Find, missing: list[str]) -> Part | None:
    """The means that summarise wrote, if they are those of this evaluation of these weights."""
    evaluate, summarise = stages.get(f"evaluate@{model}"), stages.get("summarise")
    if evaluate is None or summarise is None or not _evaluates(evaluate, train):
        return None
    metrics = str(layout.METRICS)
    if not _summarises(summarise, evaluate, stages) or metrics not in summarise.outs:
        return None
    content = find(metrics, summarise.outs[metrics])
    if content is None:
        missing.append(metrics)
        return None
    means = summary.parse(content, metrics)
    if model not in means:
        raise BadInput(f"{metrics} has the models {', '.join(means)}, but not {model}")
    # The means depend on how they were summarised too, but not on the other models in the same file.
    summarised = {path: md5 for path, md5 in summarise.deps.items() if not path.startswith("reports/")}
    work = Stage("evaluation", summarise.cmd.partition(".py")[0], summarised, {"evaluate": evaluate.key}, {})
    return Part(work.key, means[model])


def _summarises(summarise: Stage, evaluate: Stage, stages: Mapping[str, Stage]) -> bool:
    """Whether summarise read exactly the table that this evaluation wrote."""
    if len(evaluate.outs) != 1:  # dvc.lock may be anybody's
        return False
    [(path, md5)] = evaluate.outs.items()
    if path in summarise.deps:  # in a dvc.lock of version 0.1
        return summarise.deps[path] == md5
    read = {"evaluate-noisy"}
    for kind, key in (("evaluate", "models"), ("filter", "filters")):
        named = summarise.params.get(key)
        read |= {f"{kind}@{name}" for name in named} if isinstance(named, Mapping) else set()
    folder = path.rpartition("/")[0]
    tables = {
        written.rpartition("/")[2]: md5
        for name in read & stages.keys()
        for written, md5 in stages[name].outs.items()
        if written.startswith(f"{folder}/")  # a filter has a table of the gate images too
    }
    return summarise.deps.get(folder) == listings.hash_of(tables)


def _figures(model: str, train: Stage, stages: Mapping[str, Stage], find: Find, missing: list[str]) -> Part | None:
    """The model's own figures and the one that shows all models, if they show these weights."""
    drawn = stages.get(f"figures@{model}", stages.get("figures"))  # one stage for all models, in version 0.1
    if drawn is None or not _evaluates(drawn, train):
        return None
    shown, evaluate, summarise = [drawn], stages.get(f"evaluate@{model}"), stages.get("summarise")
    if None not in (evaluate, summarise) and _evaluates(evaluate, train) and _summarises(summarise, evaluate, stages):
        shown.append(summarise)
    content = {}
    for path, md5 in (out for stage in shown for out in stage.outs.items()):
        name = path.removeprefix(f"{layout.FIGURES}/")
        if not path.endswith(".png") or "/" in name and not name.startswith(f"{model}/"):
            continue
        found = find(path, md5)
        if found is None:
            missing.append(path)
        else:
            content[name.rpartition("/")[2]] = found
    return Part(drawn.key if len(shown) == 1 else _together(shown), content)


def _together(stages: Sequence[Stage]) -> str:
    """The key of what several stages drew."""
    return Stage("figures", "", {}, {stage.name: stage.key for stage in stages}, {}).key
