"""Adam for one canvas, with moments that can be resized to the next scale."""

from collections.abc import Callable
from typing import Self

import torch
from torch import Tensor

from impasto.images.sizes import resize


class Adam:
    """Adam without weight decay for one canvas (1, 3, H, W); its second moment is a mean over about a hundred steps.

    Source: Kingma and Ba 2015; resizing the moments between scales is from Crowson, style-transfer-pytorch.
    """

    def __init__(self, learning_rate: float, beta1: float = 0.9, beta2: float = 0.99, epsilon: float = 1e-8) -> None:
        self.learning_rate: float = learning_rate
        self.beta1: float = beta1
        self.beta2: float = beta2
        self.epsilon: float = epsilon
        self.steps: int = 0
        self.first: Tensor | None = None
        self.second: Tensor | None = None

    @torch.no_grad()
    def step(self, x: Tensor, gradient: Tensor) -> None:
        """Move `x` in place, given the gradient there."""
        if self.first is None or self.second is None:
            self.first, self.second = torch.zeros_like(x), torch.zeros_like(x)
        self.steps += 1
        self.first.lerp_(gradient, 1 - self.beta1)
        self.second.mul_(self.beta2).addcmul_(gradient, gradient, value=1 - self.beta2)
        spread = (self.second / (1 - self.beta2**self.steps)).sqrt_().add_(self.epsilon)
        x.addcdiv_(self.first, spread, value=-self.learning_rate / (1 - self.beta1**self.steps))

    def resized(self, width: int, height: int, resize: Callable[[Tensor, int, int], Tensor] = resize) -> Self:
        """Resize the moments to another canvas size, in the way the canvas is resized; returns itself."""
        if self.first is not None and self.second is not None:
            self.first = resize(self.first, width, height).contiguous(memory_format=torch.channels_last)
            self.second = resize(self.second, width, height).clamp_(min=0).contiguous(memory_format=torch.channels_last)
        return self
