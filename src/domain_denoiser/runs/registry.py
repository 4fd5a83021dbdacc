"""MLflow's model registry as a view of champion.json: a version for each promoted model, and aliases."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, NamedTuple

from domain_denoiser.runs import mlflow_store
from domain_denoiser.runs.champion import Champion
from domain_denoiser.runs.mlflow_store import Store

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

DESCRIPTION = "Denoisers that passed the gate. champion.json in git decides; `denoise sync` brings the decision here."


def publish(
    store: Store, promoted: Iterable[Champion], champion: Champion | None, challenger: Champion | None
) -> tuple[list[str], list[str]]:
    """Bring versions and the aliases `champion` and `challenger` into the registry, as far as they are not there.

    A version is made of what a run has logged of just the files that were promoted; without any, there is no registered
    model either. Returns what was done, and which of champion and challenger could not be registered.
    """
    did = []
    shown = {_identity(model): model for model in (champion, challenger) if model is not None}
    wanted = {_identity(model): model for model in promoted} | shown
    with store.lock:
        versions, runs = _versions(store), mlflow_store.runs_by_key(store)
        for identity, model in wanted.items():
            run = runs.get(model.key)
            if identity in versions or run is None:
                continue
            model_id = mlflow_store.logged_model(store, run.info.run_id, identity.md5)
            if model_id is None:
                continue
            did += _registered(store)
            versions[identity] = store.client.create_model_version(
                store.domain.registered,
                source=f"models:/{model_id}",
                run_id=run.info.run_id,
                tags={"key": model.key, "model": model.model, **model.trained},
                description="; ".join(model.reasons),
                model_id=model_id,
            )
            did.append(f"version {versions[identity].version}: {model.model} {model.key[:12]}")
        if versions:
            for alias, model in (("champion", champion), ("challenger", challenger)):
                did += _set_alias(store, alias, model, versions)
        elif store.local:
            did += _without_empty(store)
    left_out = [
        f"model {model.model} {model.key[:12]} of {'champion.json' if model is champion else 'the gate'}: "
        "its files are neither here nor in the DVC cache"
        for identity, model in shown.items()
        if identity not in versions
    ]
    return did, left_out


class Identity(NamedTuple):
    """What a version is of. The same work on another kind of machine gives other weights."""

    key: str
    md5: str  # of model.safetensors


def _identity(model: Champion) -> Identity:
    return Identity(model.key, weights_md5(model.files))


def weights_md5(files: Mapping[str, str]) -> str:
    """The MD5 of the weights among a model's files, by path; empty if they are not there."""
    return next((md5 for path, md5 in files.items() if path.endswith("/model.safetensors")), "")


def _registered(store: Store) -> list[str]:
    """Make the registered model unless it is there; what was done."""
    if store.client.search_registered_models(f"name = '{store.domain.registered}'"):
        return []
    store.client.create_registered_model(store.domain.registered, description=DESCRIPTION)
    return [f"registered model {store.domain.registered}"]


def _without_empty(store: Store) -> list[str]:
    """Take away the registered model, which has no version: a sync was interrupted, or the files are gone."""
    if not store.client.search_registered_models(f"name = '{store.domain.registered}'"):
        return []
    store.client.delete_registered_model(store.domain.registered)
    return [f"registered model {store.domain.registered} removed: it has no version"]


def _versions(store: Store) -> dict[Identity, "ModelVersion"]:
    """The registered versions; of equal ones the oldest."""
    found = store.client.search_model_versions(f"name = '{store.domain.registered}'", max_results=10_000)
    newest_first = sorted(found, key=lambda version: -int(version.version))
    return {
        Identity(version.tags["key"], weights_md5(version.tags)): version
        for version in newest_first
        if "key" in version.tags
    }


def _set_alias(
    store: Store, alias: str, model: Champion | None, versions: Mapping[Identity, "ModelVersion"]
) -> list[str]:
    current = store.client.get_registered_model(store.domain.registered).aliases.get(alias)
    found = None if model is None else versions.get(_identity(model))
    version = None if found is None else str(found.version)
    if version is None and current is not None:  # better none than one on another model
        store.client.delete_registered_model_alias(store.domain.registered, alias)
        return [f"alias {alias} removed"]
    if version is None or version == str(current):
        return []
    store.client.set_registered_model_alias(store.domain.registered, alias, version)
    return [f"alias {alias} on version {version}"]
