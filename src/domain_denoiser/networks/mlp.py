"""The post's auto-encoder: one hidden layer, 784 - hidden - 784."""

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from domain_denoiser import params

if TYPE_CHECKING:
    from domain_denoiser.training.flat import Flat

PIXELS = 28 * 28


class Output(NamedTuple):
    """What makes images of the decoder's values."""

    function: Callable[[Tensor], Tensor]  # values -> restored
    backward: Callable[[Tensor, Tensor, Tensor], Tensor]  # gradient by restored, values, restored -> gradient by values


OUTPUTS = {
    "sigmoid": Output(torch.sigmoid, lambda gradient, _, restored: torch.ops.aten.sigmoid_backward(gradient, restored)),
    "hard_sigmoid": Output(
        functional.hardsigmoid, lambda gradient, values, _: torch.ops.aten.hardsigmoid_backward(gradient, values)
    ),
    "relu": Output(
        torch.relu, lambda gradient, _, restored: torch.ops.aten.threshold_backward(gradient, restored, 0.0)
    ),
    "linear": Output(nn.Identity(), lambda gradient, *_: gradient),
}


class Mlp(nn.Module):
    """restored = output(W2 relu(W1 noisy + b1) + b2).

    Source: the 2018 post "Using Auto-Encoders to denoise domain specific images" (784-300-784).
    """

    def __init__(self, settings: params.Mlp) -> None:
        super().__init__()
        self.encoder = nn.Linear(PIXELS, settings.hidden)
        self.decoder = nn.Linear(settings.hidden, PIXELS)
        self.output = OUTPUTS[settings.output]

    def forward(self, noisy: Tensor) -> Tensor:
        """noisy, restored: float32 [B, 1, 28, 28]. Restored images are in [0, 1] up to the output's own range."""
        code = torch.relu(self.encoder(noisy.flatten(1)))
        return self.output.function(self.decoder(code)).view_as(noisy)

    def gradient(self, weights: "Flat") -> "Gradient":
        """What training uses in autograd's place; the matmuls are of the type that the weights have."""
        return Gradient(self.output, weights)


class Gradient:
    """The gradient of the mean squared error, written out: five matmuls a batch, and little else.

    The same as autograd's up to rounding, but every result goes straight to its place.
    """

    def __init__(self, output: Output, weights: "Flat") -> None:
        self._output, self._type = output, weights.values.dtype
        self._weight, self._gradient = weights.views(weights.values), weights.views(weights.gradient)

    def __call__(self, noisy: Tensor, clean: Tensor) -> Tensor:
        """The loss, float32 []; its gradient is in the weights' `gradient`. noisy, clean: float32 [B, 1, 28, 28].

        Operands of matmuls have the type of the weights; what lies between decoder and loss is float32.
        """
        weight, gradient = self._weight, self._gradient  # code and back: [hidden, B]
        noisy, clean = noisy.flatten(1).to(self._type), clean.flatten(1)
        # With the images as columns, oneDNN takes the weights as they lie; as rows, it packs them anew each time.
        code = torch.addmm(weight["encoder.bias"].unsqueeze(1), weight["encoder.weight"], noisy.t()).relu_()
        values = torch.addmm(weight["decoder.bias"], code.t(), weight["decoder.weight"].t()).float()  # [B, 784]
        restored = self._output.function(values)
        error = restored - clean
        loss = torch.dot(error.view(-1), error.view(-1)) / error.numel()
        delta = self._output.backward(error.mul_(2.0 / error.numel()), values, restored).to(self._type)
        torch.mm(delta.t(), code.t(), out=gradient["decoder.weight"])
        torch.sum(delta, 0, out=gradient["decoder.bias"])
        back = torch.ops.aten.threshold_backward(weight["decoder.weight"].t() @ delta.t(), code, 0.0)
        torch.mm(back, noisy, out=gradient["encoder.weight"])
        torch.sum(back, 1, out=gradient["encoder.bias"])
        return loss
