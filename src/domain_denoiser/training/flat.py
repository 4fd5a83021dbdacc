"""The weights of a network side by side in one tensor, so that whatever moves them does it in one pass."""

from torch import Tensor, nn


class Flat:
    """From now on the parameters of `network` and their `.grad` are views of `values` and `gradient`, [n] each."""

    def __init__(self, network: nn.Module) -> None:
        self._shapes = {name: parameter.shape for name, parameter in network.named_parameters()}
        self.values = nn.utils.parameters_to_vector(network.parameters()).detach()
        self.gradient = self.values.new_zeros(len(self.values))
        values, gradients = self.views(self.values), self.views(self.gradient)
        for name, parameter in network.named_parameters():
            parameter.data, parameter.grad = values[name], gradients[name]

    def views(self, flat: Tensor) -> dict[str, Tensor]:
        """The parts of a tensor that is laid out as `values` is, each in the shape of its parameter."""
        parts = flat.split([shape.numel() for shape in self._shapes.values()])
        return {name: part.view(shape) for (name, shape), part in zip(self._shapes.items(), parts)}
