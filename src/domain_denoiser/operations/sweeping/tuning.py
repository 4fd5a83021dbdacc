"""The trials of a sweep by Ray Tune: which runs when and where, and which ASHA ends early."""

import os
import tempfile
import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from domain_denoiser.base import progress
from domain_denoiser.base.processes import Failed
from domain_denoiser.operations import ray_cluster
from domain_denoiser.operations.sweeping import trial as running
from domain_denoiser.operations.sweeping.spaces import BETTER, Sweep
from domain_denoiser.operations.sweeping.trial import Given

if TYPE_CHECKING:
    from ray.tune import Callback
    from ray.tune.schedulers import AsyncHyperBandScheduler

# Tune would write tables and TensorBoard's files, take Ctrl-C, change the working directory, and complain of a trial
# that has no value.
QUIET = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
}


def run(
    sweep: Sweep, given: Sequence[Given], cpus: int, gpus: int, address: str, workers: int | None
) -> dict[str, str]:
    """Run the trials, to their ends or to where ASHA ends them. Returns what Ray says of those that it lost, by name.

    cpus, gpus: of a trial; workers: trials at a time, None for as many as a cluster has room for.
    Raises Failed if there is no such cluster, or none that is large enough.
    """
    os.environ |= QUIET
    try:
        with (
            ray_cluster.connected(address, None if workers is None else workers * cpus),
            tempfile.TemporaryDirectory(prefix="denoise-") as folder,
            warnings.catch_warnings(action="ignore"),  # on the future of Tune
            progress.counter(len(given), "sweep", "trials") as count,
        ):
            import ray
            from ray import tune

            there = ray.cluster_resources()
            if there.get("CPU", 0) < cpus or there.get("GPU", 0) < gpus:
                raise Failed(f"a trial wants {cpus} cores and {gpus} GPUs, but Ray at {address!r} does not have them")
            results = tune.Tuner(
                tune.with_resources(_trainable(sweep.metric), {"CPU": cpus, "GPU": gpus}),
                param_space={"given": tune.grid_search([one._asdict() for one in given])},
                tune_config=tune.TuneConfig(
                    metric=sweep.metric,
                    mode=BETTER[sweep.metric].__name__,
                    scheduler=_scheduler(sweep, max(one.epochs for one in given)),
                    max_concurrent_trials=workers,
                ),
                run_config=tune.RunConfig(storage_path=folder, name="sweep", verbose=0, callbacks=[_counting(count)]),
            ).fit()
            return {
                result.config["given"]["name"]: str(result.error).strip().rpartition("\n")[2]
                for result in results
                if result.error is not None
            }
    finally:
        running.wait_for(given)


def _trainable(metric: str) -> Callable[[dict], None]:
    """What a process of Ray does with a trial: it listens to the training, and tells Tune."""

    def train(config: dict) -> None:
        from ray import tune

        known = []
        for row in running.rows(Given(**config["given"])):
            known.append(row)
            tune.report({"epochs": int(row["epoch"]), metric: running.judged(known, metric)})

    return train


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


def _counting(count: Callable[[int, int], None]) -> "Callback":
    from ray import tune

    class Counting(tune.Callback):
        def on_trial_complete(self, *args: object, **more: object) -> None:
            count(1, 0)

        on_trial_error = on_trial_complete

    return Counting()
