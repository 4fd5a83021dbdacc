"""The post's auto-encoder: one hidden layer, 784 - hidden - 784."""

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from domain_denoiser import params

if TYPE_CHECKING:
    from domain_denoiser.flat import Flat
    from domain_denoiser.precision import Precision

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

    def gradient(self, weights: "Flat", factors: "Precision") -> "Gradient":
        """What training uses in autograd's place; `factors`: of the matrix products."""
        return Gradient(self.output, weights, factors)


class Gradient:
    """The gradient of the mean squared error, written out: five matrix products a batch, and little else.

    The same as autograd's up to rounding, but every result goes straight to its place. Weights and their gradient are
    float32 whatever the products are.
    """

    def __init__(self, output: Output, weights: "Flat", factors: "Precision") -> None:
        self._output, self._flat, self._factors = output, weights, factors
        self._low = weights.values.to(factors.kept_in, copy=not factors.exact)
        self._low_gradient = weights.gradient.to(factors.kept_in)
        self._weight, self._gradient = weights.views(self._low), weights.views(self._low_gradient)

    def __call__(self, noisy: Tensor, clean: Tensor) -> Tensor:
        """The loss, float32 []; its gradient is in the weights' `gradient`. noisy, clean: float32 [B, 1, 28, 28]."""
        weight, gradient, factor = self._weight, self._gradient, self._factors.factor  # code and back: [hidden, B]
        self._low.copy_(self._factors.rounded(self._flat.values))
        noisy, clean = factor(noisy.flatten(1)), clean.flatten(1)
        # With the images as columns, oneDNN takes the weights as they lie; as rows, it packs them anew each time.
        code = factor(torch.addmm(weight["encoder.bias"].unsqueeze(1), weight["encoder.weight"], noisy.t())).relu_()
        values = torch.addmm(weight["decoder.bias"], code.t(), weight["decoder.weight"].t()).float()  # [B, 784]
        restored = self._output.function(values)
        error = restored - clean
        loss = torch.dot(error.view(-1), error.view(-1)) / error.numel()
        delta = factor(self._output.backward(error.mul_(2.0 / error.numel()), values, restored))
        torch.mm(delta.t(), code.t(), out=gradient["decoder.weight"])
        torch.sum(delta, 0, out=gradient["decoder.bias"])
        back = torch.ops.aten.threshold_backward(factor(weight["decoder.weight"].t() @ delta.t()), code, 0.0)
        torch.mm(back, noisy, out=gradient["encoder.weight"])
        torch.sum(back, 1, out=gradient["encoder.bias"])
        self._flat.gradient.copy_(self._low_gradient)
        return loss
