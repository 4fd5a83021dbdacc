"""CAREamics' CARE on the crops of a project of photos: `PYTHON careamics_photos.py FOLDER MINUTES`.

Run by own_images.py with the Python of an environment in which CAREamics is installed, and nothing of this project.
The folder has clean.npy and noisy.npy, uint8 [N, 3, H, W], to train on; for each held-out image at each noise level
held_out/*.npy, uint8 [H, W, 3], it writes restored/*.npy, of the same name and form. Settings are CAREamics' own, but
for the time; its validation patches come out of the crops.
"""

import sys
from pathlib import Path

import numpy as np
from careamics import CAREamist
from careamics.config.factories import create_advanced_care_config

PATCH = 64  # pixels of a side, as `crop` of the preset photos
BATCH = 8
TILE, OVERLAP = (256, 256), (48, 48)  # pixels, in restoring
ENDLESS = 10_000  # epochs: the time ends it
SEED = 2018


def trained(clean: np.ndarray, noisy: np.ndarray, folder: Path, minutes: float) -> CAREamist:
    settings = create_advanced_care_config(
        experiment_name="photos",
        data_type="array",
        axes="SCYX",
        patch_size=[PATCH, PATCH],
        batch_size=BATCH,
        n_channels_in=3,
        n_channels_out=3,
        num_epochs=ENDLESS,
        trainer_params={"max_time": {"seconds": 60 * minutes}, "accelerator": "cpu"},
        seed=SEED,
    )
    care = CAREamist(settings, work_dir=folder / "careamics", enable_progress_bar=False)
    care.train(train_data=noisy.astype(np.float32), train_data_target=clean.astype(np.float32))
    return care


def restored(care: CAREamist, image: np.ndarray) -> np.ndarray:
    """uint8 [H, W, 3] -> the same."""
    channels_first = np.moveaxis(image, -1, 0)[np.newaxis].astype(np.float32)
    found, _ = care.predict(channels_first, tile_size=TILE, tile_overlap=OVERLAP, batch_size=1)
    whole = np.asarray(found[0]).reshape(channels_first.shape)
    return np.moveaxis(whole[0], 0, -1).clip(0, 255).round().astype(np.uint8)


def main(folder: Path, minutes: float) -> None:
    care = trained(np.load(folder / "clean.npy"), np.load(folder / "noisy.npy"), folder, minutes)
    print(f"CARE: {care.trainer.global_step} steps of {BATCH} patches", flush=True)
    (folder / "restored").mkdir()
    for path in sorted((folder / "held_out").glob("*.npy")):
        np.save(folder / "restored" / path.name, restored(care, np.load(path)))


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]))
