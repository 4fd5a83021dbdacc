"""The numbers that a training multiplies: what they are rounded to, and what they are kept in meanwhile."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from domain_denoiser import compute

NUMBERS = {"float32": torch.float32, "bfloat16": torch.bfloat16}
LAYERS = (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)  # what a network multiplies in


class Precision(NamedTuple):
    """The type that both factors of each product are rounded to, and the type that they are kept and multiplied in.

    The two differ where the processor has no instructions for products in bfloat16, which torch then computes ten
    times as slowly as in float32: there float32 products of the rounded numbers take their place. A product of two
    numbers in bfloat16 is exact in float32 and summed there either way, so only the order of sums is another.
    """

    rounded_to: torch.dtype
    kept_in: torch.dtype

    @property
    def exact(self) -> bool:
        """Whether nothing is rounded, so that the weights may be factors themselves."""
        return self.rounded_to == torch.float32

    @property
    def native(self) -> bool:
        """Whether a number is kept in the type that it is rounded to."""
        return self.rounded_to == self.kept_in

    def rounded(self, numbers: Tensor) -> Tensor:
        """What may be copied to a tensor of `kept_in`; the copy rounds by itself if the types are one."""
        return numbers if self.native else numbers.to(self.rounded_to)

    def factor(self, numbers: Tensor) -> Tensor:
        """The numbers as factors of a product; their gradient is rounded alike."""
        return self.rounded(numbers).to(self.kept_in)

    def lower(self, network: nn.Module) -> nn.Module:
        """The network, changed in place so that what its layers take and give are factors, forward and backward."""
        network.to(self.kept_in)
        if not self.native:
            for layer in network.modules():
                if isinstance(layer, LAYERS):
                    layer.register_forward_pre_hook(lambda _, given: tuple(map(self.factor, given)))
                    layer.register_forward_hook(lambda _, given, made: self.factor(made))
        return network


def of(name: str, device: torch.device) -> Precision:
    """The precision of that name in params.yaml, as the device computes it best."""
    number = NUMBERS[name]
    native = number == torch.float32 or device.type != "cpu" or bool(compute.bfloat16_instructions())
    return Precision(number, number if native else torch.float32)
