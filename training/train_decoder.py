"""Train the fast path's decoder on slim's features, which makes `decoder.safetensors`.

    python training/train_decoder.py --photos DIR --paintings DIR --teacher FILE --slim FILE --run DIR [--seconds 500]

The teacher is VGG-19, or slim itself, which is ten times as quick, for a CPU: it teaches nearly as well as long as the
decoder is far from its best. The decoder learns to make pictures whose features are those that it was asked for, and a
photo's own picture where nothing changes; then style as the teacher sees it in three views, with the content. The
moments of many crops of paintings are measured once, at the start. On a GPU a step is captured as one graph: it is a
thousand small kernels, and would wait for Python otherwise. The run can be stopped and goes on from its last
checkpoint. RUN/decoder.safetensors is the result, RUN/log.txt tells how it went; with --judge also RUN/PAINTING.png.
"""

import argparse
import math
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from data import HELD_OUT_EVERY, Pictures, list_pictures
from evaluate import load_trunk
from impasto.fast.decoder import LEVELS, Decoder
from kernels import check_kernels, mean_outer
from run import Training, add_run_arguments
from student import sample_positions
from teacher import STYLE_TAPS, SlimTeacher, Teacher
from transport import StyleMoments, encode, measure_style, transport

CONTENT_TAPS = {"relu3_1": 0.2, "relu4_1": 1.0, "relu5_1": 0.3}
VIEWS = (1, 2, 4)  # parts of the full size
STYLE_FROM, STYLE_WHOLE = 0.02, 0.06  # parts of the run between which the style's weight grows
EMA_EVERY = 4  # steps
MOMENTS_WEIGHT = 0.3  # of means and deviations, beside Gram matrices
RANGE_WEIGHT, SMOOTHNESS_WEIGHT = 60.0, 0.01
MAX_CONTENT, MAX_STYLE, MAX_ERROR = 20.0, 3.0, 3.0  # of a pair that counts: one of a black picture is no lesson
Module = TypeVar("Module", bound=nn.Module)
Statistics = list[list[tuple[Tensor, ...]]]  # by view and tap: Gram matrices, means, deviations


def main() -> None:
    """Read the arguments, train."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_run_arguments(parser, rate=5e-4)
    parser.add_argument("--slim", type=Path, required=True, help="the network whose features are decoded")
    parser.add_argument("--start", type=Path, help="a decoder to begin with; blocks that it lacks begin as nothing")
    parser.add_argument("--judge", type=Path, nargs="+", default=[], help="a photo and paintings to judge at 512 px")
    parser.add_argument("--batch", type=int, help="pairs; GPU: 12, CPU: 8")
    parser.add_argument("--size", type=int, default=320, help="side of the crops in pixels")
    parser.add_argument("--bank", type=int, default=3000, help="crops of paintings")
    parser.add_argument("--content", type=float, default=0.02, help="weight of the content")
    parser.add_argument("--consistency", type=float, default=0.1, help="weight of the features asked for, in the end")
    parser.add_argument("--identity", type=float, default=1.0, help="weight of pictures that stay as they are")
    parser.add_argument("--no-graph", action="store_true", help="do not capture a step as a graph")
    arguments = parser.parse_args()
    if arguments.batch is None:
        arguments.batch = 12 if arguments.device.type == "cuda" else 8
    torch.backends.cudnn.benchmark = True
    torch.backends.cuda.matmul.allow_tf32 = True
    Run(arguments).train()


class Bank:
    """Statistics of many crops of paintings: of VGG-19's features in all views, and the moments of slim's."""

    def __init__(self, run: "Run", count: int) -> None:
        rows: list[tuple[Statistics, list[StyleMoments]]] = []
        batch = 8
        for _ in range(math.ceil(count / batch)):
            crops = run.draw(1, batch - 1, zoom=(-0.3, 1.3))
            rows.append((run.measure_views(crops, torch.float16), [measure_style(f) for f in encode(run.trunk, crops)]))
        self.count = len(rows) * batch
        self.views: Statistics = [
            [
                tuple(torch.cat([row[0][view][tap][part] for row in rows]) for part in range(3))
                for tap in range(len(STYLE_TAPS))
            ]
            for view in range(len(VIEWS))
        ]
        self.levels = [
            StyleMoments(
                *(torch.cat([getattr(row[1][level], part) for row in rows]) for part in ("mean", "root", "ridge"))
            )
            for level in range(len(LEVELS))
        ]

    def take(self, which: Tensor) -> tuple[Statistics, list[StyleMoments]]:
        """Take the statistics of some crops."""
        views = [[tuple(part[which].float() for part in tap) for tap in view] for view in self.views]
        return views, [level.take(which) for level in self.levels]


class Run(Training):
    """Decoder, average, optimizer, and what they learn from."""

    kept = ("decoder", "average", "optimizer")

    def __init__(self, arguments: argparse.Namespace) -> None:
        super().__init__(arguments)
        begun = time.perf_counter()
        folders = {"photos": arguments.photos, "paintings": arguments.paintings}
        split = [list_pictures(folder, HELD_OUT_EVERY[kind]) for kind, folder in folders.items()]
        self.pictures, self.held_out = (Pictures(list(kinds), self.device) for kinds in zip(*split, strict=True))
        self.say(f"{self.pictures.counts} pictures; {check_kernels(self.device)}")
        self.is_cuda = self.device.type == "cuda"
        dtype = torch.bfloat16
        torch.manual_seed(0)
        self.teacher: Teacher | SlimTeacher
        if arguments.teacher == arguments.slim:
            self.teacher = SlimTeacher(arguments.teacher, self.device, dtype)
        else:
            self.teacher = Teacher(arguments.teacher, self.device, dtype)
            self.teacher.fit_scales([self.draw(8, 6)])
        self.trunk = _place(load_trunk(arguments.slim).to(dtype), self.device)
        widths = [self.trunk.widths[int(level.tap[4]) - 1] for level in LEVELS]
        with torch.no_grad():
            self.bank = Bank(self, arguments.bank)
        self.decoder, self.average = (_place(Decoder(widths), self.device) for _ in range(2))
        self.initialize()
        self.average.load_state_dict(self.decoder.state_dict())
        self.average.requires_grad_(False)
        self.device_rate = torch.tensor(arguments.rate, device=self.device)
        self.optimizer = torch.optim.AdamW(
            self.decoder.parameters(),
            lr=self.device_rate if self.is_cuda else arguments.rate,
            weight_decay=1e-4,
            betas=(0.9, 0.99),
            fused=True,
            capturable=self.is_cuda,
        )
        # Weights that change in the course of the run are on the device, where a graph sees them.
        self.style_weight, self.consistency = (torch.zeros((), device=self.device) for _ in range(2))
        self.running: dict[str, Tensor] = {}
        self.resume()
        torch.manual_seed(self.step)
        self.say(
            f"bank of {self.bank.count}, {sum(p.numel() for p in self.decoder.parameters())} parameters; "
            f"ready after {time.perf_counter() - begun:.0f} s"
        )

    @torch.no_grad()
    def initialize(self) -> None:
        """Begin with the photo's own features carried at each level, which is recoloring, and nothing of other levels.

        The last two layers are fitted by least squares, so that a photo's own features give the photo from the start.
        """
        decoder = self.decoder
        blocks = [block for level in decoder.blocks for block in level.children()]
        for layer in (*decoder.up, *decoder.tell, *[block.two for block in blocks]):
            assert isinstance(layer, nn.Conv2d)
            assert layer.bias is not None
            nn.init.normal_(layer.weight, std=1e-3)
            nn.init.zeros_(layer.bias)
        for layer in (*decoder.skip, decoder.last):
            assert isinstance(layer, nn.Conv2d)
            assert layer.bias is not None
            nn.init.dirac_(layer.weight)
            nn.init.zeros_(layer.bias)
        rgb = self.draw(10, 6)
        features = encode(self.trunk, rgb)[-1].float()
        x = F.unfold(features, 3, padding=1).mT.reshape(-1, 9 * features.shape[1])
        x = torch.cat([x, torch.ones_like(x[:, :1])], 1).double()
        y = rgb.permute(0, 2, 3, 1).reshape(-1, 3).double()
        ridge = 1e-4 * len(x) * torch.eye(x.shape[1], dtype=x.dtype, device=x.device)
        fitted = torch.linalg.solve(x.mT @ x + ridge, x.mT @ y)
        assert decoder.rgb.bias is not None
        decoder.rgb.weight.copy_(fitted[:-1].mT.reshape_as(decoder.rgb.weight))
        decoder.rgb.bias.copy_(fitted[-1])
        if self.arguments.start:
            decoder.load_state_dict(load_file(self.arguments.start), strict=False)

    def train(self) -> None:
        """Train to the end, with a checkpoint now and then."""
        begun, before = time.perf_counter(), self.seconds
        saved = logged = begun
        logged_step = self.step
        take_step = self._capture()
        while self.progress < 1:
            self._set_rates(self.rate)
            take_step()
            self.step += 1
            if self.step % EMA_EVERY == 0:
                self.follow(self.average, self.decoder, EMA_EVERY)
            if self.is_cuda and self.step % 8 == 0:
                torch.cuda.synchronize()  # the clock is the device's
            now = time.perf_counter()
            self.seconds = before + now - begun
            if self.step % 16 == 0 and now - logged > 10:
                if not all(value.isfinite().all() for value in self.running.values()):
                    raise SystemExit(f"Step {self.step} gave values that are no numbers; the last checkpoint is whole.")
                figures = "; ".join(f"{name} {_format_row(value)}" for name, value in self.running.items())
                pace = (now - logged) / (self.step - logged_step)
                self.say(f"step {self.step}, {self.seconds:.0f} s, {pace * 1e3:.0f} ms/step: {figures}")
                logged, logged_step = now, self.step
            if now - saved > self.arguments.save_every:
                self._keep()
                saved = now
        self._keep()

    def _set_rates(self, rate: float) -> None:
        if self.is_cuda:
            self.device_rate.fill_(rate)
        else:
            self.optimizer.param_groups[0]["lr"] = rate
        begun = STYLE_WHOLE if self.arguments.start else self.progress
        grown = min(1.0, max(0.0, (begun - STYLE_FROM) / (STYLE_WHOLE - STYLE_FROM)))
        self.style_weight.fill_(grown)
        self.consistency.fill_(1 + grown * (self.arguments.consistency - 1))

    def _capture(self) -> Any:
        """Return the function of a step: a graph of it where there is a GPU."""
        if not self.is_cuda or self.arguments.no_graph:
            return self._train_step
        self._set_rates(0.0)
        stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(5):
                self._train_step()
        torch.cuda.current_stream().wait_stream(stream)
        self.optimizer.zero_grad(set_to_none=True)
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph):
                self._train_step()
        except RuntimeError as error:
            torch.cuda.synchronize()
            self.say(f"no graph: {error!r:.300}")
            return self._train_step
        torch.cuda.synchronize()
        self.say(f"a graph; memory {torch.cuda.max_memory_allocated() / 2**30:.1f} GiB")
        return graph.replay

    def _train_step(self) -> None:
        """One step: some go a part of the way, most all of it, some none, or to their own style, and stay the same."""
        batch, device = self.arguments.batch, self.device
        same, own, partial = max(2, batch // 6), max(1, batch // 12), max(1, batch // 12)
        content = self.draw(batch - batch // 4, batch // 4)[torch.rand(batch, device=device).argsort()]
        which = torch.randint(self.bank.count, (batch,), device=device)
        target, moments = self.bank.take(which)
        strength = torch.ones(batch, device=device)
        strength[own:same] = 0
        strength[-partial:] = torch.rand(partial, device=device)
        asked: list[Tensor] = []

        def carry(number: int, features: Tensor) -> tuple[Tensor, Tensor]:
            carried, amount = transport(features, moments[number], strength)
            asked.append(carried)
            return carried, amount

        with torch.no_grad():
            features = encode(self.trunk, content)
            moments = [x.put(measure_style(f[:own])) for x, f in zip(moments, features, strict=True)]
        with torch.autocast(device.type, torch.bfloat16, cache_enabled=False):
            painted = self.decoder(features, carry)
        painted = painted.float()
        seen = [self.teacher(rgb, STYLE_TAPS) for rgb in list_views(painted)]
        found = self._encode_painted(painted, seen)
        errors = torch.stack([_relative_error(x, y) for x, y in zip(found, asked, strict=True)], 1)
        off = (painted - content)[:same]
        sameness = off.abs().mean() + 2 * off.square().mean()
        seen = [{tap: f[same:] for tap, f in view.items()} for view in seen]
        likeness, distance, by_tap = self._compare(seen, content[same:], target, strength[same:], same, partial)
        distance = distance.clamp_max(MAX_CONTENT)
        loss = _measure_defects(painted).mean() + self.arguments.identity * sameness
        loss = loss + self.consistency * errors.clamp_max(MAX_ERROR).mean()
        loss = loss + self.style_weight * (likeness.clamp_max(MAX_STYLE) + self.arguments.content * distance).mean()
        self.optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        norm = nn.utils.clip_grad_norm_(self.decoder.parameters(), 1.0, foreach=True)
        for parameter in self.decoder.parameters():  # one bad crop must not spoil the run
            assert parameter.grad is not None
            parameter.grad.copy_(torch.where(norm.isfinite(), parameter.grad, 0.0))
        self.optimizer.step()
        figures = {
            "dB": _psnr(painted[:same].detach(), content[:same]).mean()[None],
            "asked": errors.detach()[same:].clamp_max(MAX_ERROR).mean(0),
            "style": by_tap[:-partial].clamp_max(MAX_STYLE).mean((0, 1)),
            "views": by_tap[:-partial].clamp_max(MAX_STYLE).mean((0, 2)),
            "content": distance.detach()[:-partial].mean()[None],
            "skipped": 1.0 - norm.isfinite().float()[None],
        }
        for name, value in figures.items():
            if name in self.running:
                self.running[name].lerp_(torch.where(norm.isfinite(), value, self.running[name]), 0.02)
            else:
                self.running[name] = value.clone()

    def _encode_painted(self, painted: Tensor, seen: Sequence[dict[str, Tensor]]) -> list[Tensor]:
        """Return slim's features of a painted picture at each level: those that the teacher saw, if that is slim."""
        if isinstance(self.teacher, SlimTeacher):
            return [seen[round(math.log2(1 / level.view))][level.tap] for level in LEVELS]
        return encode(self.trunk, painted)

    def draw(self, photos: int, paintings: int, zoom: tuple[float, float] = (-0.7, 1.0)) -> Tensor:
        """Draw crops of photos and of paintings."""
        return self.pictures.crop(self.pictures.draw(photos, paintings), self.arguments.size, zoom=zoom)

    def _compare(
        self,
        seen: Sequence[dict[str, Tensor]],
        content: Tensor,
        target: Statistics,
        strength: Tensor,
        same: int,
        partial: int,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return the style's distance (B,), the content's (B,), and the Gram matrices' (B, views, taps)."""
        with torch.no_grad():
            original = self.teacher(content, STYLE_TAPS)
            here = self.measure_views(content[-partial:])
        total, distance = (torch.zeros(len(content), device=self.device) for _ in range(2))
        gaps: list[Tensor] = []
        for view, found in enumerate(seen):
            for tap, name in enumerate(STYLE_TAPS):
                wanted = []
                for there, own in zip(target[view][tap], here[view][tap], strict=True):
                    part = strength[-partial:].view(-1, *[1] * (own.dim() - 1))
                    wanted.append(torch.cat([there[same:-partial], torch.lerp(own, there[-partial:], part)]))
                gram, mean, spread = wanted
                ours = self._measure_style(found, name)
                norm = gram.flatten(1).norm(dim=1)
                gap = (ours[0] - gram).square().sum((1, 2)).add(1e-12).sqrt() / norm
                off = (ours[1] - mean).square().sum(1) + (ours[2] - spread).square().sum(1)
                energy = mean.square().sum(1) + spread.square().sum(1)
                total = total + (gap + MOMENTS_WEIGHT * off / energy) / len(STYLE_TAPS) / len(VIEWS)
                gaps.append(gap.detach())
            if view == 0:
                for name, weight in CONTENT_TAPS.items():
                    f, photo = self.teacher.scale(found, name), self.teacher.scale(original, name)
                    variance = (photo - photo.mean(1, keepdim=True)).square().sum((1, 2))
                    variance = torch.maximum(variance, 0.05 * photo.square().sum((1, 2)))
                    distance = distance + weight * (f - photo).square().sum((1, 2)) / variance
        return total, distance, torch.stack(gaps, 1).view(-1, len(VIEWS), len(STYLE_TAPS))

    def measure_views(self, rgb: Tensor, dtype: torch.dtype = torch.float32) -> Statistics:
        """Measure the style of pictures in all views."""
        return [
            [tuple(part.to(dtype) for part in self._measure_style(found, tap)) for tap in STYLE_TAPS]
            for found in (self.teacher(view, STYLE_TAPS) for view in list_views(rgb))
        ]

    def _measure_style(self, found: dict[str, Tensor], tap: str) -> tuple[Tensor, Tensor, Tensor]:
        f = self.teacher.scale(found, tap)
        return mean_outer(f), f.mean(1), f.var(1, unbiased=False).add(1e-8).sqrt()

    @torch.no_grad()
    def paint(self, content: Tensor, style: Tensor, strength: float = 1.0) -> Tensor:
        """Paint pictures (B, 3, H, W) with the averaged decoder."""
        moments = [measure_style(f) for f in encode(self.trunk, style)]
        part = torch.full((len(content),), strength, device=self.device)
        with torch.autocast(self.device.type, torch.bfloat16):
            features = encode(self.trunk, content)
            painted: Tensor = self.average(features, lambda number, f: transport(f, moments[number], part))
        return painted.float().clamp(0, 1)

    @torch.no_grad()
    def _measure(self) -> str:
        """Judge held-out photographs in the style of held-out paintings, in three views, at the size of training."""
        photos, paintings = self.held_out.counts
        count = min(16 if self.is_cuda else 4, photos)
        number = torch.arange(count, device=self.device)
        content = self.held_out.crop_middle(number, self.arguments.size)
        style = self.held_out.crop_middle(photos + number % paintings, self.arguments.size)
        painted = self.paint(content, style)
        views = [view.mean() for view in self._judge_views(painted, style)]
        same, own = (_psnr(self.paint(content, content, part), content).mean() for part in (0.0, 1.0))
        _write_sheet([content, style, painted, self.paint(content, style, 0.5)], self.arguments.run / "sheet.jpg")
        return f"held out: views {_format_row(torch.stack(views))}, own style {own:.1f} dB, unchanged {same:.1f} dB"

    def _judge_views(self, painted: Tensor, style: Tensor) -> list[Tensor]:
        ours, theirs = self.measure_views(painted), self.measure_views(style)
        return [
            torch.stack([_relative_norm(x[0], y[0]) for x, y in zip(view, wanted, strict=True)])
            for view, wanted in zip(ours, theirs, strict=True)
        ]

    @torch.no_grad()
    def _judge(self) -> str:
        """Judge the pairs of `--judge`, at 512 px."""
        photo, *paintings = self.arguments.judge
        content = self._read(photo)
        lines = []
        for painting in paintings:
            style = self._read(painting)
            painted = self.paint(content, style)
            views = torch.stack([view.mean() for view in self._judge_views(painted, style)])
            wanted, found = (self.teacher.scale(self.teacher(x, ["relu4_1"]), "relu4_1") for x in (content, painted))
            distance = (found - wanted).norm() / (wanted - wanted.mean(1, keepdim=True)).norm()
            lines.append(f"{painting.stem} views {_format_row(views)} all {views.mean():.3f} content {distance:.3f}")
            _write_sheet([painted], self.arguments.run / f"{painting.stem}.png")
        return "; ".join(lines)

    def _read(self, file: Path) -> Tensor:
        picture = Image.open(file).convert("RGB")
        picture.thumbnail((512, 512), Image.Resampling.LANCZOS)
        rgb = torch.from_numpy(np.asarray(picture).copy()).permute(2, 0, 1)[None]
        return rgb.to(self.device).float() / 255

    def _keep(self) -> None:
        """Write the checkpoint and the decoder as it is; judge it."""
        self.save()
        tensors = {name: tensor.half().cpu().contiguous() for name, tensor in self.average.state_dict().items()}
        save_file(tensors, self.arguments.run / "decoder.safetensors", metadata={"step": str(self.step)})
        self.say(self._measure())
        if self.arguments.judge:
            self.say(self._judge())


def _place(module: Module, device: torch.device) -> Module:
    return module.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


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


def _write_sheet(rows: list[Tensor], file: Path) -> None:
    sheet = torch.cat([torch.cat(list(row[:8].clamp(0, 1)), 2) for row in rows], 1)
    Image.fromarray((255 * sheet).round().byte().permute(1, 2, 0).cpu().numpy()).save(file, quality=92)


if __name__ == "__main__":
    main()
