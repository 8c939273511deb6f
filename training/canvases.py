"""Canvases: pictures being painted with the student, so that it learns what its own optimizer would exploit."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from data import Pictures
from kernels import add_ridge, find_roots, mean_outer
from student import Student, sample_positions
from teacher import STYLE_TAPS

CONTENT_TAPS = {"relu3_1": 0.2, "relu4_1": 1.0, "relu5_1": 0.5}  # impasto's defaults
RIDGE = 1e-3  # of the mean eigenvalue
MIN_VARIANCE_SHARE = 0.05  # of a painting's energy that a photo's variance counts for at least


class CanvasPool:
    """Canvases on their way, painted by impasto's default objective as the student sees it, by Adam.

    Each has a photo and a painting, and begins as the photo, the painting, noise, or between photo and noise. Weights,
    rate and lifetime are drawn for each. What the student sees of photos and paintings is refreshed as it changes.
    """

    def __init__(self, student: Student, pictures: Pictures, count: int, size: int) -> None:
        self.student, self.pictures, self.count, self.size = student, pictures, count, size
        device = self.device = pictures.device
        shape = (count, 3, size, size)
        self.pixels, self.momentum, self.energy, self.photos, self.paintings = (
            torch.zeros(shape, device=device).contiguous(memory_format=torch.channels_last) for _ in range(5)
        )
        names = ("age", "lifetime", "rate", "content", "smoothness", "gram", "excess")
        self.knobs = {name: torch.zeros(count, device=device) for name in names}
        self.content: dict[str, list[Tensor]] = {}
        self.style: dict[str, list[Tensor]] = {}
        self.mixes: dict[str, tuple[Tensor, Tensor]] = {}
        self._begin(torch.arange(count, device=device))
        self.refresh()

    def renew(self, *, refresh_all: bool) -> None:
        """Begin those anew that have lived long enough."""
        old = (self.knobs["age"] >= self.knobs["lifetime"]).nonzero()[:, 0]
        self._begin(old)
        if refresh_all:
            self.refresh()
        else:
            self._see(old)

    @torch.no_grad()
    def _begin(self, which: Tensor) -> None:
        if not len(which):
            return
        count, device = len(which), self.device

        def between(low: float, high: float) -> Tensor:
            return torch.empty(count, device=device).uniform_(low, high)

        def one_of(*values: float) -> Tensor:
            return torch.tensor(values, device=device)[torch.randint(len(values), (count,), device=device)]

        drawn = self.pictures.draw(count, count)
        photo, painting = self.pictures.crop(drawn, self.size, whole=0.4).chunk(2)
        noise = torch.rand_like(photo)
        share = torch.rand(count, 1, 1, 1, device=device)
        kind = one_of(0, 1, 1, 1, 2, 3).view(-1, 1, 1, 1)
        begun = torch.where(kind == 0, torch.where(share < 0.6, noise, 0.5 + 0.1 * (noise - 0.5)), photo)
        begun = torch.where(kind == 2, painting, begun)
        begun = torch.where(kind == 3, photo * share + noise * (1 - share), begun)
        self.pixels[which], self.photos[which], self.paintings[which] = begun, photo, painting
        self.momentum[which], self.energy[which] = 0.0, 0.0
        drawn_knobs = {
            "age": torch.zeros(count, device=device),
            "lifetime": (10 ** between(1.0, 2.5)).round(),
            "rate": 10 ** between(-2.2, -1.3),
            "content": one_of(0.0, 0.05, 0.138, 0.138, 0.4),
            "smoothness": one_of(0.0, 0.02, 0.02, 0.2),
            "gram": one_of(0.0, 0.6, 0.6, 3.0),
            "excess": one_of(0.0, 0.0, 0.04),  # how far values may leave [0, 1]
        }
        for name, values in drawn_knobs.items():
            self.knobs[name][which] = values

    @torch.no_grad()
    def refresh(self) -> None:
        """Take the mixes from the student's heads as they are now, and look at all photos and paintings again."""
        for tap in STYLE_TAPS:
            head = self.student.heads[tap]
            assert isinstance(head, nn.Linear)
            guess = torch.cat([head.weight, head.bias[:, None]], 1).float()
            eigenvalues, vectors = torch.linalg.eigh(guess.T @ guess)
            mix = (vectors * eigenvalues.clamp_min(0).sqrt()) @ vectors.T
            self.mixes[tap] = (mix[:, :-1].contiguous(), mix[:, -1].contiguous())
        self._see(torch.arange(self.count, device=self.device))

    @torch.no_grad()
    def _see(self, which: Tensor) -> None:
        for some in torch.split(which, 32) if len(which) else ():
            with torch.autocast(self.device.type, torch.bfloat16):
                photo = self.student.trunk(self.photos[some], tuple(CONTENT_TAPS), torch.bfloat16)
                painting = self.student.trunk(self.paintings[some], STYLE_TAPS, torch.bfloat16)
            for tap in STYLE_TAPS:
                mean, covariance = self._measure(painting[tap], tap)
                second = covariance + mean[:, :, None] * mean[:, None]
                energy = second.diagonal(dim1=1, dim2=2).sum(1)
                root, _ = find_roots(add_ridge(covariance, RIDGE), 18)
                self._keep(self.style, tap, some, (mean, covariance, second, energy, root))
                if tap in CONTENT_TAPS:
                    f = photo[tap].float()
                    spread = sample_positions(f - f.mean((2, 3), keepdim=True)) @ self.mixes[tap][0].T
                    least = MIN_VARIANCE_SHARE * spread.shape[1] * energy
                    variance = torch.maximum(spread.square().sum((1, 2)), least)
                    self._keep(self.content, tap, some, (photo[tap], variance))

    def _keep(self, into: dict[str, list[Tensor]], tap: str, which: Tensor, values: tuple[Tensor, ...]) -> None:
        if tap not in into:
            into[tap] = [value.new_zeros((self.count, *value.shape[1:])) for value in values]
        for held, value in zip(into[tap], values, strict=True):
            held[which] = value

    def _measure(self, features: Tensor, tap: str) -> tuple[Tensor, Tensor]:
        """Return mean and covariance after the mix, in float32."""
        f = sample_positions(features).float()
        weight, bias = self.mixes[tap]
        mean = f.mean(1)
        covariance = mean_outer(f) - mean[:, :, None] * mean[:, None]
        return mean @ weight.T + bias, weight @ covariance @ weight.T

    def measure_loss(self, which: Tensor, rgb: Tensor, seen: Mapping[str, Tensor]) -> Tensor:
        """Sum up the losses of canvases `rgb` (B, 3, S, S) whose features `seen` have a graph back to them."""
        knobs = {name: values[which] for name, values in self.knobs.items()}
        total = rgb.new_zeros(len(which))
        for tap in STYLE_TAPS:
            mean, covariance = self._measure(seen[tap], tap)
            n, _, second, energy, root = (values[which] for values in self.style[tap])
            with torch.no_grad():
                # The slope of the squared Wasserstein-2 distance by the covariance is I - T, T the optimal map: it
                # takes the place of the distance itself, whose value nobody asks for.
                _, inverse = find_roots(add_ridge(root @ covariance @ root, RIDGE), 14)
                slope = torch.eye(len(n[0]), device=self.device) - root @ inverse @ root
            wasserstein = ((mean - n).square().sum(1) + (covariance * slope).sum((1, 2))) / energy
            gram = (covariance + mean[:, :, None] * mean[:, None] - second).square().sum((1, 2))
            total = total + wasserstein + knobs["gram"] * gram / second.square().sum((1, 2))
        for tap, weight in CONTENT_TAPS.items():
            target, variance = (values[which] for values in self.content[tap])
            distance = sample_positions(seen[tap].float() - target.float()) @ self.mixes[tap][0].T
            total = total + weight * knobs["content"] * distance.square().sum((1, 2)) / variance
        for dimension in (2, 3):
            total = total + knobs["smoothness"] * rgb.diff(dim=dimension).square().mean((1, 2, 3))
        return total.sum()

    @torch.no_grad()
    def advance(self, which: Tensor, gradient: Tensor) -> None:
        """Paint one Adam step of canvases `which`; one that is no longer finite ends."""
        age = self.knobs["age"][which] + 1
        momentum = self.momentum[which].lerp_(gradient, 0.1)
        energy = self.energy[which].lerp_(gradient * gradient, 0.01)
        steps, rate, excess = (
            values.view(-1, 1, 1, 1) for values in (age, self.knobs["rate"][which], self.knobs["excess"][which])
        )
        move = rate * momentum / (1 - 0.9**steps) / ((energy / (1 - 0.99**steps)).sqrt() + 1e-12)
        pixels = torch.minimum(torch.maximum(self.pixels[which] - move, -excess), 1 + excess)
        is_finite = pixels.isfinite().flatten(1).all(1)
        self.pixels[which] = torch.where(is_finite.view(-1, 1, 1, 1), pixels, torch.rand_like(pixels))
        self.momentum[which], self.energy[which] = (x.nan_to_num(0, 0, 0) for x in (momentum, energy))
        self.knobs["age"][which] = torch.where(is_finite, age, torch.full_like(age, torch.inf))
