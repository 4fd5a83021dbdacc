"""The weights of a network side by side in one tensor, so that whatever moves them does it in one pass."""

from torch import Tensor, nn

ALIGNMENT = 32  # numbers: each weight starts on a cache line also as bfloat16, or products become a third slower


class Flat:
    """From now on the parameters of `network` and their `.grad` are views of `values` and `gradient`, float32 [n].

    Between two parameters lie zeros, whose gradient is zero.
    """

    def __init__(self, network: nn.Module) -> None:
        self._places: dict[str, tuple[int, nn.Parameter]] = {}
        end = 0
        for name, parameter in network.named_parameters():
            self._places[name] = end, parameter
            end += -(-parameter.numel() // ALIGNMENT) * ALIGNMENT
        first = next(network.parameters())
        self.values, self.gradient = first.new_zeros(end), first.new_zeros(end)
        gradients = self.views(self.gradient)
        for name, view in self.views(self.values.detach()).items():
            parameter = self._places[name][1]
            view.copy_(parameter.detach())
            parameter.data, parameter.grad = view, gradients[name]

    def views(self, flat: Tensor) -> dict[str, Tensor]:
        """The parts of a tensor that is laid out as `values` is, each in the shape of its parameter."""
        return {
            name: flat[start : start + parameter.numel()].view_as(parameter)
            for name, (start, parameter) in self._places.items()
        }
