"""Teach slim by VGG-19: how `slim.safetensors` was made.

    python training/train_slim.py --photos DIR --paintings DIR --teacher FILE --run DIR [--seconds 400 | --steps 20000]

The student learns, through an affine head at each tap, VGG-19's features of photographs, of paintings, and of
*canvases*: pictures being painted with the student itself. An optimizer finds a small network's blind spots and fills a
canvas with noise that VGG-19 would have punished; trained on its own canvases the student learns to see that noise.

The run can be stopped at any moment, and the same command goes on from its last checkpoint. RUN/slim.safetensors is the
result, RUN/log.txt tells how it went. On a GPU the same command takes large batches; on a CPU, small ones.
"""

import argparse
import random
import time
from collections.abc import Iterator

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from canvases import CanvasPool
from data import HELD_OUT_EVERY, Pictures, list_pictures
from evaluate import format_errors, measure_errors
from export import assemble, fit_guesses, normalize_channels
from kernels import check_kernels
from run import Training, add_run_arguments
from student import Student, compare_features, sample_positions
from teacher import BLOCK_WIDTHS, CONV_TAPS, RELU_TAPS, STYLE_TAPS, TAPS, Teacher

WEIGHTS = {**dict.fromkeys(STYLE_TAPS, 1.0), "relu4_2": 0.3, **dict.fromkeys(CONV_TAPS, 0.1)}
GRAM_WEIGHT = 0.25
CONV_TAPS_EVERY = 3  # steps
# The first taps are compared at every so many rows and columns, beginning anywhere.
EVERY = {"relu1_1": 8, "relu2_1": 4, "relu3_1": 2, "relu4_2": 2} | {
    "conv1_1": 16,
    "conv2_1": 8,
    "conv3_1": 4,
    "conv4_1": 2,
    "conv4_2": 2,
}
RENEW_EVERY = 16  # steps; canvases that are done
REFRESH_EVERY = 128  # steps; what the student sees of all canvases' photos and paintings
FIT_PICTURES = 960


def main() -> None:
    """Read the arguments, train, export."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_run_arguments(parser, rate=3e-3)
    parser.add_argument("--widths", type=_read_numbers, default=(24, 48, 96, 192, 320))
    parser.add_argument("--batch", type=_read_numbers, help="canvases, photos, paintings; GPU: 40,44,36, CPU: 4,3,3")
    parser.add_argument("--size", type=int, default=256, help="side of the crops in pixels")
    parser.add_argument("--pool", type=int, default=96, help="canvases on their way")
    parser.add_argument("--fit", type=int, default=FIT_PICTURES, help="crops that the mixes are fitted on")
    arguments = parser.parse_args()
    if arguments.batch is None:
        arguments.batch = (40, 44, 36) if arguments.device.type == "cuda" else (4, 3, 3)
    torch.backends.cudnn.benchmark = True
    Run(arguments).train()


def _read_numbers(text: str) -> tuple[int, ...]:
    return tuple(map(int, text.split(",")))


class Run(Training):
    """Student, average, optimizer, and the canvases, which begin anew where a run goes on."""

    kept = ("student", "average", "optimizer")

    def __init__(self, arguments: argparse.Namespace) -> None:
        super().__init__(arguments)
        folders = {"photos": arguments.photos, "paintings": arguments.paintings}
        split = {kind: list_pictures(folder, HELD_OUT_EVERY[kind]) for kind, folder in folders.items()}
        self.pictures = Pictures([files for files, _ in split.values()], self.device)
        self.held_out = {kind: Pictures([files], self.device) for kind, (_, files) in split.items()}
        self.say(f"{self.pictures.counts} pictures; {check_kernels(self.device)}")
        is_gpu = self.device.type == "cuda"
        self.teacher = Teacher(arguments.teacher, self.device, torch.bfloat16 if is_gpu else torch.float32)
        torch.manual_seed(0)
        self.teacher.fit_scales([self._draw_real(8, 6, disturb=False) for _ in range(8)])
        self.student, self.average = (self._make_student() for _ in range(2))
        self.average.requires_grad_(False)
        self.optimizer = torch.optim.AdamW(
            self.student.parameters(), lr=arguments.rate, weight_decay=1e-4, betas=(0.9, 0.99), fused=True
        )
        self.resume()
        torch.manual_seed(self.step)
        random.seed(self.step)
        self.pool = CanvasPool(self.student, self.pictures, arguments.pool, arguments.size)

    def _make_student(self) -> Student:
        student = Student(self.arguments.widths, TAPS, BLOCK_WIDTHS).to(self.device)
        return student.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]

    def train(self) -> None:
        """Train to the end, with a checkpoint now and then, and export."""
        begun, before = time.perf_counter(), self.seconds
        saved = logged = begun
        logged_step = self.step
        running: Tensor | None = None
        while self.progress < 1:
            for group in self.optimizer.param_groups:
                group["lr"] = self.rate
            row = self._train_step()
            running = row if running is None else running.lerp(row, 0.02)
            self.follow(self.average, self.student)
            if self.step % RENEW_EVERY == 0:
                self.pool.renew(refresh_all=self.step % REFRESH_EVERY == 0)
            now = time.perf_counter()
            self.seconds = before + now - begun
            if self.step % RENEW_EVERY == 0 and now - logged > 10:
                pace = (now - logged) / (self.step - logged_step)
                self.say(f"step {self.step}, {self.seconds:.0f} s, {pace * 1e3:.0f} ms/step: {_format_rows(running)}")
                logged, logged_step = now, self.step
            if now - saved > self.arguments.save_every:
                self.save()
                saved = now
        self.save()
        self._export()

    def _train_step(self) -> Tensor:
        """One step for the student and one for each canvas of the batch; returns errors (real or canvas, 2, taps)."""
        canvases, photos, paintings = self.arguments.batch
        which = torch.randperm(self.pool.count, device=self.device)[:canvases]
        painted = self.pool.pixels[which].requires_grad_()
        real = self._draw_real(photos, paintings)
        with_convs = self.step % CONV_TAPS_EVERY == 0
        taps = TAPS if with_convs else RELU_TAPS
        loss, rows = torch.zeros((), device=self.device), []
        with torch.autocast(self.device.type, torch.bfloat16):
            with torch.no_grad():
                wanted = self.teacher(torch.cat([painted.detach(), real]), taps)
            # Two graphs, so that the canvases' own step goes back through the canvases alone.
            seen = [self.student.trunk(rgb, taps, torch.bfloat16) for rgb in (painted, real)]
            for tap in taps:
                every = EVERY.get(tap, 1)
                at = (random.randrange(every), random.randrange(every))
                guess = self.student.heads[tap](torch.cat([sample_positions(f[tap], every, at) for f in seen]))
                squared, gram = compare_features(guess, self.teacher.scale(wanted, tap, every, at))
                weight = WEIGHTS[tap] * (CONV_TAPS_EVERY if tap in CONV_TAPS else 1)
                loss = loss + weight * (squared.mean() + GRAM_WEIGHT * gram.mean())
                if tap in RELU_TAPS:
                    rows.append(torch.stack([squared, gram]).detach())
        (gradient,) = torch.autograd.grad(self.pool.measure_loss(which, painted, seen[0]), painted, retain_graph=True)
        self.optimizer.zero_grad(set_to_none=True)
        heads = "heads." if with_convs else "heads.relu"
        learning = [p for name, p in self.student.named_parameters() if name.startswith(("trunk.", heads))]
        torch.autograd.backward(loss, inputs=learning)
        nn.utils.clip_grad_norm_(self.student.parameters(), 1.0, foreach=True)
        self.optimizer.step()
        self.pool.advance(which, gradient.float())
        self.step += 1
        errors = torch.stack(rows, -1)  # (2, B, taps)
        return torch.stack([errors[:, canvases:].mean(1), errors[:, :canvases].mean(1)])

    def _draw_real(self, photos: int, paintings: int, *, disturb: bool = True) -> Tensor:
        return self.pictures.crop(self.pictures.draw(photos, paintings), self.arguments.size, disturb=disturb)

    def _export(self) -> None:
        """Write RUN/slim.safetensors, the network, and RUN/guesses.safetensors, for evaluate.py, from the average."""
        trunk = self.average.trunk.float()
        count = max(1, self.arguments.fit // 64)
        normalize_channels(trunk, (self._draw_real(8, 8, disturb=False) for _ in range(count)))
        guesses = fit_guesses(trunk, self.teacher, self._draw_for_fit())
        metadata = {"layout": "impasto", "step": str(self.step)}
        save_file(dict(assemble(trunk, guesses)), self.arguments.run / "slim.safetensors", metadata=metadata)
        kept = {f"{tap}.weight": guess.weight.half() for tap, guess in guesses.items()}
        kept |= {f"{tap}.scale": self.teacher.scales[tap].cpu() for tap in guesses}
        save_file(kept, self.arguments.run / "guesses.safetensors")
        for kind, pictures in self.held_out.items():
            errors = measure_errors(trunk, self.teacher, guesses, pictures, self.arguments.size)
            self.say(format_errors(kind, sum(pictures.counts), errors))

    def _draw_for_fit(self) -> Iterator[Tensor]:
        """Batches of eight: three parts photographs, three parts paintings, two parts canvases."""
        for number in range(max(8, self.arguments.fit // 8)):
            kind = number % 8
            if kind < 6:
                yield self._draw_real(8 * (kind < 3), 8 * (kind >= 3), disturb=kind % 3 == 0)
            else:
                yield self.pool.pixels[torch.randperm(self.pool.count, device=self.device)[:8]].clamp(0, 1)


def _format_rows(rows: Tensor) -> str:
    kinds = zip(("real", "canvas"), rows.tolist(), strict=True)
    return "; ".join(f"{kind} {' '.join(f'{a:.3f}/{b:.3f}' for a, b in zip(*row, strict=True))}" for kind, row in kinds)


if __name__ == "__main__":
    main()
