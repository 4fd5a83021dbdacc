"""How the weights start."""

import torch
from torch import nn


def initialise(network: nn.Module, how: str, generator: torch.Generator) -> None:
    """Draw the weights of every linear and convolutional layer of a network on the CPU anew, in place.

    how: `xavier`: uniform, Glorot & Bengio 2010, biases 0 (Keras' own) · `kaiming`: uniform, He et al. 2015, for ReLU,
    biases 0 · `orthogonal`: Saxe, McClelland & Ganguli 2013, biases 0 · `pytorch`: what torch.nn.Linear does by itself,
    U(-1/sqrt(fan_in), 1/sqrt(fan_in)) for weights and biases.
    Layers that the network names in `start_at_zero` are 0.
    """
    for name, layer in network.named_modules():
        if not isinstance(layer, (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)):
            continue
        if name in getattr(network, "start_at_zero", ()):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
            continue
        match how:
            case "xavier":
                nn.init.xavier_uniform_(layer.weight, generator=generator)
                nn.init.zeros_(layer.bias)
            case "kaiming":
                nn.init.kaiming_uniform_(layer.weight, nonlinearity="relu", generator=generator)
                nn.init.zeros_(layer.bias)
            case "orthogonal":
                nn.init.orthogonal_(layer.weight, generator=generator)
                nn.init.zeros_(layer.bias)
            case "pytorch":
                bound = layer.weight[0].numel() ** -0.5
                nn.init.uniform_(layer.weight, -bound, bound, generator=generator)
                nn.init.uniform_(layer.bias, -bound, bound, generator=generator)
            case unknown:
                raise ValueError(f"unknown initialisation {unknown!r}")
