"""The trials of a sweep by Ray Tune: which runs when and where, and which ASHA ends early."""

import logging
import os
import tempfile
import threading
import warnings
from collections.abc import Iterator, Sequence
from queue import SimpleQueue
from typing import TYPE_CHECKING, NamedTuple

from domain_denoiser.base import progress
from domain_denoiser.base.processes import Failed
from domain_denoiser.operations import ray_cluster
from domain_denoiser.operations.ray_cluster import Folders
from domain_denoiser.operations.sweeping import process
from domain_denoiser.operations.sweeping import trial as trials
from domain_denoiser.operations.sweeping.spaces import BETTER, Sweep
from domain_denoiser.operations.sweeping.trial import Given

if TYPE_CHECKING:
    from ray.tune import Callback, Trainable, Tuner
    from ray.tune.experiment import Trial
    from ray.tune.schedulers import AsyncHyperBandScheduler

# Tune would write tables and TensorBoard's files, take Ctrl-C, change the working directory, and complain of a trial
# that has no value; and Ray would start anew when Tune asks it something after its end.
QUIET = {
    "RAY_ENABLE_AUTO_CONNECT": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
}


class Ended(NamedTuple):
    """A trial that no longer runs."""

    name: str
    error: str | None  # what Ray says if it has lost it


def run(
    sweep: Sweep, given: Sequence[Given], cpus: int, gpus: int, address: str, workers: int | None
) -> dict[str, str]:
    """Run the trials, to their ends or to where ASHA ends them. Returns what Ray says of those that it lost, by name.

    cpus, gpus: of a trial; workers: trials at a time, None for as many as a cluster has room for.
    Raises Failed if there is no such cluster, or none that is large enough.
    """
    lost = {}
    try:
        with (
            ray_cluster.apart(_ended, sweep, given, cpus, gpus, address, workers) as ended,
            progress.counter(len(given), "sweep", "trials") as count,
        ):
            for name, error in ended:
                count(1, 0)
                if error is not None:
                    lost[name] = error
    finally:
        trials.wait_for(given)
    return lost


def _ended(
    folders: Folders, sweep: Sweep, given: Sequence[Given], cpus: int, gpus: int, address: str, workers: int | None
) -> Iterator[Ended]:
    """Each trial when it has ended."""
    os.environ |= QUIET
    with (
        ray_cluster.connected(folders, address, None if workers is None else workers * cpus),
        tempfile.TemporaryDirectory(prefix="denoise-") as results,
        warnings.catch_warnings(action="ignore"),  # on the future of Tune
    ):
        import ray
        from ray import tune

        logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
        there = ray.cluster_resources()
        if there.get("CPU", 0) < cpus or there.get("GPU", 0) < gpus:
            raise Failed(f"a trial wants {cpus} cores and {gpus} GPUs, but Ray at {address!r} does not have them")
        ended: SimpleQueue[Ended | Exception | None] = SimpleQueue()
        tuner = tune.Tuner(
            tune.with_resources(_trainable(sweep.metric), {"CPU": cpus, "GPU": gpus}),
            param_space={"given": tune.grid_search([one._asdict() for one in given])},
            tune_config=tune.TuneConfig(
                metric=sweep.metric,
                mode=BETTER[sweep.metric].__name__,
                scheduler=_scheduler(sweep, max(one.epochs for one in given)),
                max_concurrent_trials=workers,
            ),
            run_config=tune.RunConfig(
                storage_path=results,
                name="sweep",
                verbose=0,
                callbacks=[_telling(ended)],
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            ),
        )
        # In another thread: a signal that is heeded within Ray comes out as an error of Ray's.
        threading.Thread(target=_fit, args=(tuner, ended), daemon=True).start()
        while (one := ended.get()) is not None:
            if isinstance(one, Exception):
                raise Failed(f"Ray ended: {one}") from one
            yield one


def _fit(tuner: "Tuner", ended: SimpleQueue[Ended | Exception | None]) -> None:
    try:
        tuner.fit()
        ended.put(None)
    except Exception as error:
        ended.put(error)


def _trainable(metric: str) -> "type[Trainable]":
    """What a process of Ray does with a trial: it listens to the training, and ends it when it is told to."""
    from ray import tune

    class Listening(tune.Trainable):
        def setup(self, config: dict) -> None:
            self._rows, self._known = process.rows(Given(**config["given"])), []

        def step(self) -> dict[str, object]:
            for row in self._rows:
                self._known.append(row)
                return {"epochs": int(row["epoch"]), metric: trials.judged(self._known, metric)}
            return {"done": True}

        def cleanup(self) -> None:
            self._rows.close()

    return Listening


def _scheduler(sweep: Sweep, epochs: int) -> "AsyncHyperBandScheduler | None":
    """ASHA, which judges by epochs; None to let each trial run to its end."""
    if sweep.asha is None:
        return None
    from ray.tune.schedulers import AsyncHyperBandScheduler

    return AsyncHyperBandScheduler(
        time_attr="epochs",
        max_t=max(epochs, sweep.asha.grace_epochs),
        grace_period=sweep.asha.grace_epochs,
        reduction_factor=sweep.asha.reduction,
        stop_last_trials=False,
    )


def _telling(ended: SimpleQueue[Ended | Exception | None]) -> "Callback":
    from ray import tune

    class Telling(tune.Callback):
        def __init__(self, ended: SimpleQueue[Ended | Exception | None]) -> None:
            self._ended = ended

        def __getstate__(self) -> dict[str, object]:
            return {}  # Tune keeps a copy of it, from which nobody goes on

        def on_trial_complete(self, iteration: int, trials: list["Trial"], trial: "Trial", **info: object) -> None:
            self._ended.put(Ended(trial.config["given"]["name"], None))

        def on_trial_error(self, iteration: int, trials: list["Trial"], trial: "Trial", **info: object) -> None:
            said = str(trial.get_error()).strip().rpartition("\n")[2]
            self._ended.put(Ended(trial.config["given"]["name"], said))

    return Telling(ended)
