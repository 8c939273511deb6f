"""Canvases: pictures being painted with the student, so that it learns what its own optimiser would exploit."""

import random
from dataclasses import dataclass

import torch
from torch import Tensor

from data import CropSampler
from student import Student
from teacher import TAPS

CONTENT_TAP = "relu4_1"


@dataclass
class Canvas:
    """One picture on its way: pixels, Adam's moments, what it is painted towards, how long it lives."""

    pixels: Tensor  # (1, 3, S, S)
    momentum: Tensor
    energy: Tensor
    content: Tensor  # (1, C, h, w) at CONTENT_TAP
    grams: list[Tensor]  # (C, C) at each tap
    means: list[Tensor]  # (C,) at each tap
    content_weight: float
    smoothness: float
    rate: float
    steps: int
    age: int = 0


class CanvasPool:
    """A fixed number of canvases; each batch is painted one step further and those that are old are begun anew."""

    def __init__(self, count: int, size: int, photos: CropSampler, paintings: CropSampler, seed: int) -> None:
        self.count, self.size = count, size
        self.photos, self.paintings = photos, paintings
        self.random = random.Random(seed)
        self.canvases: list[Canvas] = []

    @torch.no_grad()
    def _begin(self, student: Student) -> Canvas:
        photo = self.photos.crop(self.size)
        painting = self.paintings.crop(self.size)
        seen = student.eye(painting.contiguous(memory_format=torch.channels_last), TAPS)
        features = [seen[tap].float().flatten(2)[0] for tap in TAPS]
        noise = torch.rand(photo.shape)
        start = self.random.choice(["noise", "photo", "painting", "between"])
        share = self.random.random()
        begun = {
            "noise": noise if share < 0.7 else torch.full_like(noise, 0.5) + 0.1 * (noise - 0.5),
            "photo": photo,
            "painting": painting,
            "between": photo * share + noise * (1 - share),
        }
        pixels = begun[start].clone()
        return Canvas(
            pixels=pixels,
            momentum=torch.zeros_like(pixels),
            energy=torch.zeros_like(pixels),
            content=student.eye(photo.contiguous(memory_format=torch.channels_last), (CONTENT_TAP,))[
                CONTENT_TAP
            ].float(),
            grams=[f @ f.T / f.shape[1] for f in features],
            means=[f.mean(1) for f in features],
            content_weight=self.random.choice([0.0, 0.1, 0.3, 1.0]),
            smoothness=self.random.choice([0.0, 0.0, 0.3, 3.0]),
            rate=10 ** self.random.uniform(-2.2, -1.2),
            steps=round(10 ** self.random.uniform(1.0, 2.6)),
        )

    def draw(self, count: int, student: Student) -> list[Canvas]:
        """Pick canvases to go on with, beginning new ones for those that are done."""
        while len(self.canvases) < self.count:
            self.canvases.append(self._begin(student))
        return self.random.sample(self.canvases, count)

    def advance(self, canvases: list[Canvas], batch: Tensor, features: dict[str, Tensor]) -> None:
        """Paint one Adam step: `features` are the student's, with a graph back to `batch` (B, 3, S, S)."""
        loss = torch.zeros(())
        for index, canvas in enumerate(canvases):
            content = features[CONTENT_TAP][index : index + 1].float()
            spread = (canvas.content - canvas.content.mean((2, 3), keepdim=True)).square().mean()
            loss = loss + canvas.content_weight * (content - canvas.content).square().mean() / spread.clamp_min(1e-6)
            for tap, gram, mean in zip(TAPS, canvas.grams, canvas.means, strict=True):
                f = features[tap][index].float().flatten(1)
                loss = loss + (f @ f.T / f.shape[1] - gram).square().sum() / gram.square().sum()
                loss = loss + (f.mean(1) - mean).square().sum() / mean.square().sum().clamp_min(1e-6)
        steps = [batch[..., 1:, :] - batch[..., :-1, :], batch[..., 1:] - batch[..., :-1]]
        smoothness = torch.tensor([canvas.smoothness for canvas in canvases])
        loss = loss + sum((smoothness * step.square().mean((1, 2, 3))).sum() for step in steps)
        (gradient,) = torch.autograd.grad(loss, batch, retain_graph=True)
        for index, canvas in enumerate(canvases):
            canvas.age += 1
            g = gradient[index : index + 1].float()
            canvas.momentum.lerp_(g, 0.1)
            canvas.energy.lerp_(g * g, 0.01)
            momentum = canvas.momentum / (1 - 0.9**canvas.age)
            energy = canvas.energy / (1 - 0.99**canvas.age)
            canvas.pixels = (canvas.pixels - canvas.rate * momentum / (energy.sqrt() + 1e-12)).clamp(0, 1)
        self.canvases = [canvas for canvas in self.canvases if canvas.age < canvas.steps]
