"""The gradient of the post's auto-encoder, written out (docs/decisions/written-out-gradient.md)."""

import torch
from torch import Tensor

from domain_denoiser.networks.mlp import Mlp
from domain_denoiser.training.optimizer import Flat


class MlpGradient:
    """The gradient of the mean squared error, written out: five matmuls a batch, and little else.

    The same as autograd's up to rounding, but every result goes straight to its place.
    """

    def __init__(self, network: Mlp, weights: Flat) -> None:
        self._output, self._type = network.output, weights.values.dtype
        self._weight, self._gradient = weights.views(weights.values), weights.views(weights.gradient)

    def __call__(self, noisy: Tensor, clean: Tensor) -> Tensor:
        """The loss, float32 []; its gradient is in the weights' `gradient`. noisy, clean: float32 [B, 1, 28, 28]."""
        return self.part(noisy, clean, len(noisy))

    def part(self, noisy: Tensor, clean: Tensor, images: int) -> Tensor:
        """The mean squared error of a part of a batch of `images` images, float32 []; the part's share of the batch's
        gradient is in the weights' `gradient`.

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
        delta = self._output.backward(error.mul_(2.0 / (images * error.shape[1])), values, restored).to(self._type)
        torch.mm(delta.t(), code.t(), out=gradient["decoder.weight"])
        torch.sum(delta, 0, out=gradient["decoder.bias"])
        back = torch.ops.aten.threshold_backward(weight["decoder.weight"].t() @ delta.t(), code, 0.0)
        torch.mm(back, noisy, out=gradient["encoder.weight"])
        torch.sum(back, 1, out=gradient["encoder.bias"])
        return loss
