"""Train the fast path's decoder on slim's mapped features: how `decoder.safetensors` was made.

    python training/train_decoder.py --photos DIR --paintings DIR --teacher FILE --slim FILE --run DIR [--seconds 400]

First the decoder learns to give back pictures and to make pictures whose features are those asked for; then style as
VGG-19 sees it in three views, with the content, and a picture in its own style as that picture. The run can be stopped
and goes on from its last checkpoint. RUN/decoder.safetensors is the result, RUN/log.txt tells how it went.
"""

import argparse
import math
import time
from collections.abc import Iterator
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn

from data import HELD_OUT_EVERY, Pictures, list_pictures
from decoder import Decoder, transport
from evaluate import load_trunk
from kernels import check_kernels, mean_outer
from student import sample_positions
from teacher import STYLE_TAPS, Teacher

CONTENT_TAPS = {"relu3_1": 0.2, "relu4_1": 1.0, "relu5_1": 0.5}
VIEWS = (1, 2, 4)  # parts of the full size
FIRST_STAGE = 0.2  # of the run
WARM_UP_STEPS = 200
LAST_RATE = 0.01  # of the first
EMA_DECAY = 0.999
MOMENTS_WEIGHT = 0.5  # of means and deviations, beside Gram matrices
RANGE_WEIGHT, SMOOTHNESS_WEIGHT = 60.0, 0.01
Statistics = dict[str, tuple[Tensor, Tensor, Tensor]]  # by tap: Gram matrices, means, deviations


def main() -> None:
    """Read the arguments, train."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--paintings", type=Path, required=True)
    parser.add_argument("--teacher", type=Path, required=True, help="VGG-19's weights, see training/teacher.py")
    parser.add_argument("--slim", type=Path, required=True, help="the network whose features are decoded")
    parser.add_argument("--run", type=Path, required=True, help="folder for checkpoint, log and result")
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--steps", type=int, default=20000)
    length.add_argument("--seconds", type=float, help="train by the clock, over all runs together, in place of steps")
    parser.add_argument("--batch", type=int, help="pairs; GPU: 32, CPU: 4")
    parser.add_argument("--size", type=int, default=256, help="side of the crops in pixels")
    parser.add_argument("--rate", type=float, default=1.5e-3)
    parser.add_argument("--content", type=float, default=0.025, help="weight of the content")
    parser.add_argument("--consistency", type=float, default=0.03, help="weight of the features asked for, in the end")
    parser.add_argument("--identity", type=float, default=3.0, help="weight of pictures in their own style")
    parser.add_argument("--save-every", type=float, default=60, help="seconds between checkpoints")
    parser.add_argument("--device", type=torch.device, default="cuda" if torch.cuda.is_available() else "cpu")
    arguments = parser.parse_args()
    if arguments.batch is None:
        arguments.batch = 32 if arguments.device.type == "cuda" else 4
    arguments.run.mkdir(parents=True, exist_ok=True)
    torch.backends.cudnn.benchmark = True
    torch.backends.cuda.matmul.allow_tf32 = True
    Run(arguments).train()


class Run:
    """One training: decoder, average, optimizer; what is kept in RUN/checkpoint.pt."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.arguments, self.device = arguments, arguments.device
        self.log = (arguments.run / "log.txt").open("a")
        folders = {"photos": arguments.photos, "paintings": arguments.paintings}
        split = [list_pictures(folder, HELD_OUT_EVERY[kind]) for kind, folder in folders.items()]
        self.pictures, self.held_out = (Pictures(list(kinds), self.device) for kinds in zip(*split, strict=True))
        self.say(f"{self.pictures.counts} pictures; {check_kernels(self.device)}")
        dtype = torch.bfloat16 if self.device.type == "cuda" else torch.float32
        self.teacher = Teacher(arguments.teacher, self.device, dtype)
        torch.manual_seed(0)
        whole = self.pictures.crop(self.pictures.draw(8, 6), arguments.size, disturb=False)
        self.teacher.fit_scales([whole])
        self.trunk = load_trunk(arguments.slim).to(self.device, dtype)
        self.decoder, self.average = (Decoder(self.trunk.widths).to(self.device) for _ in range(2))
        self.average.requires_grad_(False)
        self.optimizer = torch.optim.AdamW(
            self.decoder.parameters(), lr=arguments.rate, weight_decay=1e-4, betas=(0.9, 0.99), fused=True
        )
        self.step, self.seconds = 0, 0.0
        self._resume()
        torch.manual_seed(self.step)

    def say(self, text: str) -> None:
        """Print a line, and write it into the log."""
        print(text, flush=True)
        print(text, file=self.log, flush=True)

    @property
    def progress(self) -> float:
        """How far the run is, from 0 to 1."""
        a = self.arguments
        return float(self.seconds / a.seconds if a.seconds else self.step / a.steps)

    def train(self) -> None:
        """Train to the end, with a checkpoint now and then."""
        begun, before = time.perf_counter(), self.seconds
        saved = logged = begun
        first, logged_step = self.step, self.step
        running: dict[str, Tensor] = {}
        while self.progress < 1:
            warm = min(1.0, (self.step - first + 1) / WARM_UP_STEPS)
            cosine = LAST_RATE + (1 - LAST_RATE) * (1 + math.cos(math.pi * self.progress)) / 2
            for group in self.optimizer.param_groups:
                group["lr"] = self.arguments.rate * warm * cosine
            for name, value in self._train_step(with_style=self.progress >= FIRST_STAGE).items():
                running[name] = running[name].lerp(value, 0.02) if name in running else value
            self._follow(first)
            now = time.perf_counter()
            self.seconds = before + now - begun
            if self.step % 16 == 0 and now - logged > 10:
                pace = (now - logged) / (self.step - logged_step)
                figures = "; ".join(f"{name} {_format_row(value)}" for name, value in running.items())
                self.say(f"step {self.step}, {self.seconds:.0f} s, {pace * 1e3:.0f} ms/step: {figures}")
                logged, logged_step = now, self.step
            if now - saved > self.arguments.save_every:
                self._save()
                self.say(self._measure())
                saved = now
        self._save()
        self.say(self._measure())

    def _train_step(self, *, with_style: bool) -> dict[str, Tensor]:
        """One step; returns figures for the log."""
        batch, device = self.arguments.batch, self.device
        content = self._draw(batch - batch // 4, batch // 4)
        style = self._draw(batch // 8, batch - batch // 8, zoom=(-0.3, 1.3))
        # Some pictures stay as they are, some go a part of the way.
        number = torch.arange(batch, device=device)
        is_same = number < max(1, batch // 8 if with_style else batch // 2)
        is_partial = number >= batch - batch // 8
        strength = torch.where(is_partial, torch.rand(batch, device=device), torch.ones(batch, device=device))
        strength = strength.masked_fill(is_same, 0.0)
        with torch.no_grad():
            mapped = transport(self._encode(content), self._encode(style), strength)
        with torch.autocast(device.type, torch.bfloat16):
            painted = self.decoder(mapped)
        painted = painted.float()
        errors = torch.stack([_relative_error(x, y) for x, y in zip(self._encode(painted), mapped, strict=True)], 1)
        off = painted - content
        sameness = ((off.abs().mean((1, 2, 3)) + 2 * off.square().mean((1, 2, 3))) * is_same).sum() / is_same.sum()
        loss = _measure_defects(painted).mean()
        same_psnr = _psnr(painted.detach(), content)[is_same].mean()
        figures = {"dB": same_psnr[None], "asked": errors.detach()[~is_same].mean(0)}
        if with_style:
            likeness, distance, by_tap = self._compare(painted, content, style, strength)
            loss = loss + (likeness + self.arguments.content * distance).mean()
            loss = loss + self.arguments.consistency * errors.mean() + self.arguments.identity * sameness
            is_full = strength == 1
            figures |= {"style": by_tap[is_full].mean(0), "content": distance.detach()[is_full].mean()[None]}
        else:
            loss = loss + errors.mean() + 3 * sameness
        self.optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(self.decoder.parameters(), 1.0, foreach=True)
        self.optimizer.step()
        self.step += 1
        return figures

    def _draw(self, photos: int, paintings: int, zoom: tuple[float, float] = (-0.7, 1.0)) -> Tensor:
        which = self.pictures.draw(photos, paintings)
        return self.pictures.crop(which[torch.randperm(len(which), device=self.device)], self.arguments.size, zoom=zoom)

    def _encode(self, rgb: Tensor) -> list[Tensor]:
        found = self.trunk(rgb, STYLE_TAPS, next(self.trunk.parameters()).dtype)
        return [found[tap] for tap in STYLE_TAPS]

    def _compare(
        self, painted: Tensor, content: Tensor, style: Tensor, strength: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return the style's distance over views (B,), the content's (B,), and the style's by tap (B, taps)."""
        total, distance = (torch.zeros(len(painted), device=self.device) for _ in range(2))
        by_tap: list[Tensor] = []
        part = strength.view(-1, 1, 1)
        for number, views in enumerate(zip(*map(list_views, (painted, content, style)), strict=True)):
            found = self.teacher(views[0], STYLE_TAPS)
            with torch.no_grad():
                original = self.teacher(views[1], STYLE_TAPS)
                here, there = self._measure_style(original), self._measure_style(self.teacher(views[2], STYLE_TAPS))
            ours = self._measure_style(found)
            for tap in STYLE_TAPS:
                gram = torch.lerp(here[tap][0], there[tap][0], part)
                mean, spread = (torch.lerp(here[tap][n], there[tap][n], part[:, 0]) for n in (1, 2))
                gap = (ours[tap][0] - gram).square().sum((1, 2)).add(1e-8).sqrt() / gram.flatten(1).norm(dim=1)
                off = (ours[tap][1] - mean).square().sum(1) + (ours[tap][2] - spread).square().sum(1)
                energy = mean.square().sum(1) + spread.square().sum(1)
                total = total + (gap + MOMENTS_WEIGHT * off / energy) / len(STYLE_TAPS) / len(VIEWS)
                if number == 0:
                    by_tap.append(gap.detach())
                if number == 0 and tap in CONTENT_TAPS:
                    f, target = self.teacher.scale(found, tap), self.teacher.scale(original, tap)
                    variance = (target - target.mean(1, keepdim=True)).square().sum((1, 2))
                    variance = torch.maximum(variance, 0.05 * target.square().sum((1, 2)))
                    distance = distance + CONTENT_TAPS[tap] * (f - target).square().sum((1, 2)) / variance
        return total, distance, torch.stack(by_tap, 1)

    def _measure_style(self, found: dict[str, Tensor]) -> Statistics:
        statistics = {}
        for tap in STYLE_TAPS:
            f = self.teacher.scale(found, tap)
            statistics[tap] = (mean_outer(f), f.mean(1), f.var(1, unbiased=False).add(1e-6).sqrt())
        return statistics

    @torch.no_grad()
    def _follow(self, first: int) -> None:
        steps = self.step - first
        decay = min(EMA_DECAY, steps / (steps + 9))
        torch._foreach_lerp_(list(self.average.parameters()), list(self.decoder.parameters()), 1 - decay)

    @torch.no_grad()
    def _measure(self) -> str:
        """Judge held-out photographs in the style of held-out paintings, in three views, at the size of training."""
        photos, paintings = self.held_out.counts
        count = min(16, photos)
        number = torch.arange(count, device=self.device)
        content = self.held_out.crop_middle(number, self.arguments.size)
        style = self.held_out.crop_middle(photos + number % paintings, self.arguments.size)
        painted = self._paint(content, style).clamp(0, 1)
        views = []
        for x, y in zip(list_views(painted), list_views(style), strict=True):
            ours, theirs = (self._measure_style(self.teacher(rgb, STYLE_TAPS)) for rgb in (x, y))
            views.append(torch.stack([_relative_norm(ours[tap][0], theirs[tap][0]) for tap in STYLE_TAPS]).mean())
        same = _psnr(self._paint(content, content), content).mean()
        return f"held out: views {_format_row(torch.stack(views))}, identity {same:.1f} dB"

    def _paint(self, content: Tensor, style: Tensor) -> Tensor:
        strength = torch.ones(len(content), device=self.device)
        with torch.autocast(self.device.type, torch.bfloat16):
            painted: Tensor = self.average(transport(self._encode(content), self._encode(style), strength))
        return painted.float()

    def _save(self) -> None:
        """Write the checkpoint and the decoder as it is, each whole or not at all."""
        state = {name: getattr(self, name).state_dict() for name in ("decoder", "average", "optimizer")}
        partial = self.arguments.run / "checkpoint.partial"
        torch.save({**state, "step": self.step, "seconds": self.seconds}, partial)
        partial.replace(self.arguments.run / "checkpoint.pt")
        tensors = {name: tensor.half().cpu().contiguous() for name, tensor in self.average.state_dict().items()}
        save_file(tensors, self.arguments.run / "decoder.safetensors", metadata={"step": str(self.step)})

    def _resume(self) -> None:
        """Load the last checkpoint, if there is one."""
        checkpoint = self.arguments.run / "checkpoint.pt"
        if checkpoint.exists():
            state = torch.load(checkpoint, map_location=self.device, weights_only=True)
            for name in ("decoder", "average", "optimizer"):
                getattr(self, name).load_state_dict(state[name])
            self.step, self.seconds = state["step"], state["seconds"]
            self.say(f"goes on from step {self.step}")


def list_views(rgb: Tensor) -> Iterator[Tensor]:
    """Yield pictures at full size, a half and a quarter."""
    for part in VIEWS:
        size = (rgb.shape[2] // part, rgb.shape[3] // part)
        yield rgb if part == 1 else F.interpolate(rgb, size, mode="bilinear", antialias=True, align_corners=False)


def _measure_defects(rgb: Tensor) -> Tensor:
    """Weigh values that no picture can show, and total variation: (B, 3, H, W) -> (B,)."""
    excess = (rgb - rgb.clamp(0, 1)).square().mean((1, 2, 3))
    steps = [rgb.diff(dim=dimension).square().mean((1, 2, 3)) for dimension in (2, 3)]
    return RANGE_WEIGHT * excess + SMOOTHNESS_WEIGHT * (steps[0] + steps[1])


def _relative_error(x: Tensor, target: Tensor) -> Tensor:
    x, target = (sample_positions(f).float() for f in (x, target))
    return (x - target).square().sum((1, 2)) / target.square().sum((1, 2)).clamp_min(1e-6)


def _relative_norm(x: Tensor, target: Tensor) -> Tensor:
    gap: Tensor = torch.linalg.matrix_norm(x - target) / torch.linalg.matrix_norm(target)
    return gap


def _psnr(rgb: Tensor, target: Tensor) -> Tensor:
    return -10 * (rgb.clamp(0, 1) - target).square().mean((1, 2, 3)).clamp_min(1e-8).log10()


def _format_row(values: Tensor) -> str:
    return " ".join(f"{value:.3f}" for value in values.tolist())


if __name__ == "__main__":
    main()
