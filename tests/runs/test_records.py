"""What is gathered of a training, from a real dvc.lock and its files."""

import pytest
from pipeline import Pipeline

from domain_denoiser.runs import dvc_lock, records
from domain_denoiser.runs.cache import Contents

NAME = "train@fixed"


def test_whole_is_a_record_that_lacks_nothing(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(pipeline.root)
    stages, find = dvc_lock.current(), Contents(None).find
    assert records.of_training(NAME, stages, find).whole
    for absent in ("evaluate@fixed", "figures@fixed", "summarise"):
        known = {name: stage for name, stage in stages.items() if name != absent}
        assert not records.of_training(NAME, known, find).whole, absent
    for lost in ("model.safetensors", "model.json", "history.csv", "metrics.json", "examples.png"):
        assert not records.of_training(
            NAME, stages, lambda path, md5, lost=lost: None if path.endswith(lost) else find(path, md5)
        ).whole, lost
    running = stages[NAME]._replace(outs=dict.fromkeys(stages[NAME].outs, ""))
    assert not records.of_training(NAME, stages | {NAME: running}, find).whole
