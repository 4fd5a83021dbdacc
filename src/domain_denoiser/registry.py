"""MLflow's model registry as a view of champion.json: a version for each promoted model, and aliases."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from domain_denoiser import tracking
from domain_denoiser.champion import Champion
from domain_denoiser.tracking import Store

if TYPE_CHECKING:
    from mlflow.entities import LoggedModelOutput, Run
    from mlflow.entities.model_registry import ModelVersion

NAME = "mnist-denoiser"
DESCRIPTION = "Denoisers that passed the gate. champion.json in git decides; `denoise sync` brings the decision here."


def publish(
    store: Store, promoted: Iterable[Champion], champion: Champion | None, challenger: Champion | None
) -> tuple[list[str], list[str]]:
    """Bring versions and the aliases `champion` and `challenger` into the registry, as far as they are not there.

    Returns what was done, and which models could not be registered, as the store does not have just their files.
    """
    did, left_out = [], []
    wanted = {found.key: found for found in [*promoted, *([challenger] if challenger else [])]}
    if not wanted:
        return did, left_out
    with store.lock:
        if not store.client.search_registered_models(f"name = '{NAME}'"):
            store.client.create_registered_model(NAME, description=DESCRIPTION)
            did.append(f"registered model {NAME}")
        versions = _versions(store)
        runs = tracking.runs_by_key(store)
        for key, model in wanted.items():
            if key in versions:
                continue
            outputs = _logged(runs[key], model) if key in runs else []
            if not outputs:
                left_out.append(
                    f"model {model.model} {key[:12]} of champion.json or the gate; `dvc pull dvc.yaml` may bring it"
                )
                continue
            version = store.client.create_model_version(
                NAME,
                source=f"models:/{outputs[-1].model_id}",
                run_id=runs[key].info.run_id,
                tags={"key": key, "model": model.model, **model.trained},
                description="; ".join(model.reasons),
                model_id=outputs[-1].model_id,
            )
            versions[key] = version
            did.append(f"version {version.version}: {model.model} {key[:12]}")
        for alias, model in (("champion", champion), ("challenger", challenger)):
            did += _set_alias(store, alias, model, versions)
    return did, left_out


def _logged(run: "Run", model: Champion) -> list["LoggedModelOutput"]:
    """The models that a run logged, if they were made of just the files that were promoted."""
    same = all(run.data.tags.get(f"out/{path}") == md5 for path, md5 in model.trained.items())
    return run.outputs.model_outputs if same and run.outputs else []


def _versions(store: Store) -> dict[str, "ModelVersion"]:
    """The registered versions by key; of equal keys the oldest."""
    found = store.client.search_model_versions(f"name = '{NAME}'", max_results=10_000)
    newest_first = sorted(found, key=lambda version: -int(version.version))
    return {version.tags["key"]: version for version in newest_first if "key" in version.tags}


def _set_alias(store: Store, alias: str, model: Champion | None, versions: Mapping[str, "ModelVersion"]) -> list[str]:
    current = store.client.get_registered_model(NAME).aliases.get(alias)
    version = None if model is None or model.key not in versions else str(versions[model.key].version)
    if version is None and current is not None:  # better none than one on another model
        store.client.delete_registered_model_alias(NAME, alias)
        return [f"alias {alias} removed"]
    if version is None or version == str(current):
        return []
    store.client.set_registered_model_alias(NAME, alias, version)
    return [f"alias {alias} on version {version}"]
