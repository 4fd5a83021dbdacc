"""The post's own loop, written plainly: a Dataset that draws NumPy noise for each item, a DataLoader, RMSprop."""

import numpy as np
import torch
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from domain_denoiser import models
from domain_denoiser.models.initialisation import initialise
from domain_denoiser.params import Model
from domain_denoiser.seeds import generator


class Noisy(Dataset):
    """Clean images in [0, 1], made noisy one by one as they are asked for; as they are with sigma 0."""

    def __init__(self, clean: np.ndarray, sigma: float) -> None:
        self.clean, self.sigma = clean, sigma

    def __len__(self) -> int:
        return len(self.clean)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        clean = self.clean[index].astype(np.float32) / 255
        if self.sigma == 0.0:
            corrupted = clean
        else:
            noise = np.random.normal(0.0, 1.0, clean.shape)  # noqa: NPY002 - as the post does
            corrupted = np.clip(clean + self.sigma * noise, 0.0, 1.0).astype(np.float32)
        return torch.from_numpy(corrupted).unsqueeze(0), torch.from_numpy(clean).unsqueeze(0)


class PostLoop:
    """A training by the post's loop; each call is one more epoch over uint8 images [N, 28, 28]."""

    def __init__(self, clean: np.ndarray, settings: Model, sigma: float, workers: int) -> None:
        self._network = models.build(settings)
        initialise(self._network, settings.initialisation, generator("cpu", 2018, "initialisation"))
        self._optimizer = torch.optim.RMSprop(self._network.parameters(), lr=settings.learning_rate)
        self._loader = DataLoader(Noisy(clean, sigma), settings.batch_size, shuffle=True, num_workers=workers)

    def __call__(self) -> None:
        for corrupted, clean in self._loader:
            self._optimizer.zero_grad()
            loss = F.mse_loss(self._network(corrupted), clean)
            loss.backward()
            self._optimizer.step()
