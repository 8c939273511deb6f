"""Painting the frames of a film one after the other, through an easel that it is given."""

from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from impasto.films.film_options import FilmOptions
from impasto.films.prefetch import FramePrefetcher, FrameSource, PreparedFrame
from impasto.films.work_folder import WorkFolder
from impasto.images.image import Image
from impasto.painting.objective import TemporalTarget
from impasto.painting.painter import Painter, Step
from impasto.painting.warm_start import WarmStart, WarmStartPainter

SCALE_SMOOTHING = 0.8  # how much of L-BFGS's scale is that of the frames before
NEIGHBOR_BLEND = 0.5  # share of the neighbour's picture in what a frame begins with, where it is gone over again


@dataclass(frozen=True)
class FrameStep(Step):
    """A step of a film's frame: `frame` of `frames`, in pass `pass_number` over the film, all from 1.

    `step`, `scale` and `seconds` are those of the frame, `progress` is that of the whole film.
    """

    frame: int
    frames: int
    pass_number: int
    passes: int


class Easel(Protocol):
    """What paints a frame."""

    def paint_first(self, frame: int, photo: Image, canvas: Tensor | None) -> Painter:
        """Paint a frame, counted from 0, as a single picture is painted, from `canvas` where it is given."""

    def paint_next(self, frame: int, photo: Image, beginning: WarmStart, steps: int) -> WarmStartPainter:
        """Go on from `beginning`."""


class FrameSink(Protocol):
    """Who is shown each frame as soon as it is painted."""

    def show_frame(self, turn: int, frame: int, picture: Tensor, photo: Image) -> None:
        """Show a picture (1, 3, H, W) of a frame, counted from 0."""


class FilmSequence:
    """An iterator of FrameSteps over all frames and turns; what is done already is left out.

    `cuts` are the frames, counted from 0, that begin a shot; `only` those to paint, whole shots. With `repeating`, a
    frame that is the one before again keeps its picture.
    """

    def __init__(
        self,
        easel: Easel,
        photos: FrameSource,
        frames: int,
        size: tuple[int, int],
        cuts: Sequence[int],
        options: FilmOptions,
        storage: WorkFolder,
        audience: FrameSink,
        repeating: bool = True,
        only: range | None = None,
    ) -> None:
        self.frame_painter, self.photos, self.frames, self.options = easel, photos, frames, options
        self.work_folder, self.sink = storage, audience
        self.width, self.height = size
        self.can_repeat, self.frame_range = repeating, range(frames) if only is None else only
        self.shot_starts = sorted({0, *cuts})
        self.notes: list[str] = []
        self.painter: Painter | None = None
        self._kept: Future[None] | None = None
        self._recent: dict[tuple[int, int], Tensor] = {}  # pictures, by turn and frame
        self._record: tuple[int, int, dict[str, Any]] = (0, 0, {})  # the last one: turn, frame, what is known of it
        self._iterator: Generator[FrameStep] = self._paint()

    def __iter__(self) -> Iterator[FrameStep]:
        return self

    def __next__(self) -> FrameStep:
        return next(self._iterator)

    def close(self) -> None:
        """Finish what is being written, and stop."""
        self._iterator.close()

    def _paint(self) -> Generator[FrameStep]:
        with ThreadPoolExecutor(1, "impasto-keep") as keeper:
            try:
                for turn in range(1, self.options.passes + 1):
                    order = [*self.frame_range] if turn % 2 else [*reversed(self.frame_range)]
                    left = [frame for frame in order if not self.work_folder.is_done(turn, frame)]
                    with FramePrefetcher(self.photos, left, self._list_neighbors(turn)) as scout:
                        for ready in scout:
                            yield from self._paint_frame(turn, ready, keeper)
            finally:
                self._wait_for_store()

    def list_shots(self) -> list[range]:
        """List the frames of each part of the film that can be painted without the others."""
        starts = self.shot_starts if self.options.cuts == "fresh" else [0]
        return [range(*self._find_shot(start)) for start in starts] if len(starts) > 1 else [range(self.frames)]

    def _list_neighbors(self, turn: int) -> dict[int, list[int]]:
        """List the frames to which each frame's motion is wanted, in the order of their weight."""
        back = self.options.look_back if self.options.temporal_weight else (1,)
        found = {}
        for frame in self.frame_range:
            start, end = self._find_shot(frame)
            others = [frame - far for far in sorted({1, *back})] if turn == 1 else [frame - 1, frame + 1]
            found[frame] = [other for other in others if start <= other < end]
        return found

    def _find_shot(self, frame: int) -> tuple[int, int]:
        start = max(it for it in self.shot_starts if it <= frame)
        return start, min((it for it in self.shot_starts if it > frame), default=self.frames)

    def _paint_frame(self, turn: int, ready: PreparedFrame, keeper: ThreadPoolExecutor) -> Iterator[FrameStep]:
        frame = ready.number
        seen = ready.photo.alpha is None or bool(ready.photo.alpha.any())
        if not seen or (turn == 1 and ready.is_repeat and self.can_repeat):
            picture = self._read_picture(turn, frame - 1) if seen else ready.photo.rgb
            record = {**self._recall_record(turn, frame), "steps": 0, "seconds": 0.0}
        else:
            painter = self._make_painter(turn, ready)
            self.painter, told, totals = painter, len(painter.notes), []
            for step in painter:
                totals.append(step.losses["total"])
                yield self._make_frame_step(step, turn, frame)
                if isinstance(painter, WarmStartPainter) and self._has_converged(totals, painter):
                    break
            self.notes += [f"frame {frame + 1}: {note}" for note in painter.notes[told:]]
            picture = painter.picture()
            record = {"steps": len(totals), "total": totals[-1], "seconds": round(step.seconds, 3)}
            record |= self._make_record(painter, turn, frame)
        picture = (picture.clamp(0, 1) * 255).round() / 255  # as it will be read
        self._recent[turn, frame], self._record = picture, (turn, frame, record)
        for old in [
            key for key in self._recent if key[0] == turn and abs(key[1] - frame) > max(self.options.look_back)
        ]:
            del self._recent[old]
        self._wait_for_store()
        self._kept = keeper.submit(self._store_frame, turn, ready, picture, record)

    def _make_frame_step(self, step: Step, turn: int, frame: int) -> FrameStep:
        passes = self.options.passes
        frames_before = (turn - 1) * self.frames + (frame if turn % 2 else self.frames - 1 - frame)
        progress = (frames_before + step.progress) / (passes * self.frames)
        return FrameStep(
            **{**vars(step), "progress": progress},
            frame=frame + 1,
            frames=self.frames,
            pass_number=turn,
            passes=passes,
        )

    def _store_frame(self, turn: int, ready: PreparedFrame, picture: Tensor, record: dict[str, Any]) -> None:
        self.work_folder.store_frame(turn, ready.number, picture, record)
        self.sink.show_frame(turn, ready.number, picture, ready.photo)

    def _wait_for_store(self) -> None:
        """Wait until the last picture is kept, and learn whether it could be."""
        kept, self._kept = self._kept, None
        if kept:
            kept.result()

    def _has_converged(self, totals: list[float], painter: WarmStartPainter) -> bool:
        """Tell whether two steps together were worth less than two are to be; a first one without a scale is none."""
        few = 2 if painter.warm_start.lbfgs_scale else 4
        return len(totals) > few and totals[-3] - totals[-1] < 2 * self.options.frame_tolerance * abs(totals[-1])

    def _make_painter(self, turn: int, ready: PreparedFrame) -> Painter:
        frame, photo = ready.number, ready.photo
        if turn == 1 and frame in self.shot_starts:
            carry = self.options.cuts == "carry" and frame > 0
            return self.frame_painter.paint_first(frame, photo, self._read_picture(turn, frame - 1) if carry else None)
        canvas, pulls = self._start_first_pass(ready) if turn == 1 else self._start_later_pass(turn, ready)
        known = self._recall_record(turn, frame)
        beginning = WarmStart(canvas, pulls, known.get("scale"), known.get("grey"))
        return self.frame_painter.paint_next(frame, photo, beginning, self.options.frame_steps)

    def _start_first_pass(self, ready: PreparedFrame) -> tuple[Tensor, list[TemporalTarget]]:
        """Begin with the picture before where it can be carried here, with the photo elsewhere."""
        pulls, left = [], torch.ones_like(ready.photo.rgb[:, :1])
        canvas = ready.photo.rgb
        for other, motion in ready.motions.items():
            last = self._read_picture(1, other)
            carried = motion.carry(last)
            if other == ready.number - 1 and self.options.frame_init == "warped":
                canvas = torch.lerp(canvas, carried, torch.maximum(motion.trust, motion.likeness))
            elif other == ready.number - 1 and self.options.frame_init == "previous":
                canvas = last
            if ready.number - other in self.options.look_back and self.options.temporal_weight:
                weights = torch.minimum(motion.trust, left)  # the closest first
                left = left - weights
                pulls.append(TemporalTarget(carried, weights * self.options.temporal_weight))
        return canvas, pulls

    def _start_later_pass(self, turn: int, ready: PreparedFrame) -> tuple[Tensor, list[TemporalTarget]]:
        """Begin with the frame's own picture, blended with the neighbour's that was gone over just now."""
        canvas, pulls = self._read_picture(turn - 1, ready.number), []
        newer = ready.number - 1 if turn % 2 else ready.number + 1
        for other, motion in ready.motions.items():
            carried = motion.carry(self._read_picture(turn if other == newer else turn - 1, other))
            if other == newer:
                canvas = torch.lerp(canvas, carried, NEIGHBOR_BLEND * motion.trust)
            pulls.append(TemporalTarget(carried, motion.trust * self.options.temporal_weight))
        return canvas, pulls if self.options.temporal_weight else []

    def _read_picture(self, turn: int, frame: int) -> Tensor:
        """Return a picture that was painted before."""
        known = self._recent.get((turn, frame))
        return self.work_folder.read_picture(turn, frame) if known is None else known

    def _recall_record(self, turn: int, frame: int) -> dict[str, Any]:
        """Return what is known from the frame of its shot that was painted before this one."""
        before = frame - 1 if turn % 2 else frame + 1
        start, end = self._find_shot(frame)
        if not start <= before < end and self.options.cuts == "fresh":
            return {}
        if self._record[:2] == (turn, before):
            return self._record[2]
        return self.work_folder.get_record(turn, before) if self.work_folder.is_done(turn, before) else {}

    def _make_record(self, painter: Painter, turn: int, frame: int) -> dict[str, Any]:
        """Return what is to be known at the next frame."""
        if not isinstance(painter, WarmStartPainter):
            return {}
        before, scale = self._recall_record(turn, frame).get("scale"), painter.lbfgs_scale
        if before and scale:
            scale = before**SCALE_SMOOTHING * scale ** (1 - SCALE_SMOOTHING)
        return {"scale": scale, "grey": painter.gray_loss}
