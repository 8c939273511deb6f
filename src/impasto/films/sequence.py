"""The frames of a film painted one after the other, pass after pass, each from the pictures around it."""

import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeAlias

import torch
from torch import Tensor
from typing_extensions import override

from impasto.fast.canvas import FastPainter, paint_fast_canvas
from impasto.fast.transfer import LevelMaps
from impasto.films.film_inputs import FilmInputs
from impasto.films.film_options import FilmOptions
from impasto.films.frame_masks import FrameMask
from impasto.films.prefetch import FrameSource, PreparedFrame, prefetch_frames
from impasto.films.work_folder import WorkFolder
from impasto.images.guard import FACES_NOTE
from impasto.images.image import Image
from impasto.painting.initial_canvas import recolor_photo
from impasto.painting.objective import TemporalTarget
from impasto.painting.painter import Painter, Step
from impasto.painting.prepare import Prepared
from impasto.painting.warm_start import WarmStart, WarmStartPainter
from impasto.settings.model import Settings

CARRIED_SETTINGS: dict[str, Any] = {"init": "the last picture", "init_blur": 0.0, "init_noise": 0.0}
SCALE_SMOOTHING = 0.8  # weight of the earlier frames' L-BFGS scale
MAX_FRAMES_AT_ONCE, MAX_PIXELS_AT_ONCE = 8, 512 * 512  # in one pass, each with a thread of its own; of such a frame
SHOT_FRAMES, SHOT_SAMPLES = 200, 5  # from the start of a shot, that its maps in one pass are chosen from
ONE_PASS_TEMPORAL_SHARE = 0.2  # held more firmly, moving strokes would be blurred by warping them again and again
NEIGHBOR_BLEND = 0.5  # weight of the neighbor's picture at the start of a frame in a later pass


@dataclass(frozen=True)
class FrameStep(Step):
    """A step of a film's frame: `frame` of `frames`, in pass `pass_number` over the film, all from 1.

    `step`, `scale` and `seconds` are those of the frame, `progress` is that of the whole film.
    """

    frame: int
    frames: int
    pass_number: int
    passes: int

    @property
    @override
    def stage(self) -> str:
        pass_number = f", pass {self.pass_number}/{self.passes}" if self.passes > 1 else ""
        return f"frame {self.frame}/{self.frames}{pass_number}, {self.width} x {self.height}"


FrameSink: TypeAlias = Callable[[int, int, Tensor, Image], None]  # pass, frame from 0, picture (1, 3, H, W), photo


class FramePainter:
    """Makes the Painter of each frame. `masks` are the paintings' masks on the canvas, by name."""

    def __init__(self, prepared: Prepared, settings: Settings, masks: Mapping[str, FrameMask]) -> None:
        self.prepared: Prepared = replace(prepared, settings=settings, notes=())
        self.masks: Mapping[str, FrameMask] = masks
        self._fast: FastPainter | None = None

    def paint_first(self, frame: int, photo: Image, canvas: Tensor | None) -> Painter:
        """Paint a frame, counted from 0, like a single picture; from `canvas` if it is given."""
        prepared = self._prepare_frame(frame)
        prepared = replace(prepared, paint_fast=paint_fast_canvas)
        if canvas is not None:
            settings = prepared.settings.model_copy(update=CARRIED_SETTINGS)
            prepared = replace(prepared, settings=settings, initial_picture=canvas)
        return Painter(prepared, photo)

    def make_pass(self, frame: int, photo: Image) -> Callable[[LevelMaps], Tensor]:
        """Return `paint(maps)`, which gives the frame (1, 3, H, W) and may run in any thread.

        An empty `maps` is filled by the shot's first frame; later frames reuse it.
        """
        if self._fast is None:
            self._fast = FastPainter(self.prepared, self.prepared.plan_schedule((photo.width, photo.height)))
        return partial(self._fast.paint, photo, self._prepare_frame(frame).paintings)

    def recolor(self, frame: int, photo: Image) -> Tensor:
        """Return a photo (1, 3, H, W) in the colors of the frame's paintings: what is new begins nearer to them."""
        return recolor_photo(photo, self._prepare_frame(frame).paintings).clamp(0, 1)

    def paint_next(self, frame: int, photo: Image, warm_start: WarmStart, steps: int) -> WarmStartPainter:
        """Paint a frame from a warm start, in at most `steps` steps."""
        targets = [self._place_target(target) for target in warm_start.temporal_targets]
        warm_start = replace(warm_start, temporal_targets=targets)
        return WarmStartPainter(self._prepare_frame(frame), photo, warm_start, steps)

    def _place_target(self, target: TemporalTarget) -> TemporalTarget:
        """Move a target to the device, in the memory layout of the canvas."""
        device = self.prepared.device
        picture = target.picture.to(device).contiguous(memory_format=torch.channels_last)
        return TemporalTarget(picture, target.weights.to(device))

    def _prepare_frame(self, frame: int) -> Prepared:
        """Give each painting its mask in a frame; paintings with the same mask blend there."""
        prepared = self.prepared
        if not self.masks:
            return prepared
        masks = {name: mask(frame).to(prepared.device) for name, mask in self.masks.items()}
        pairs = zip(prepared.paintings, prepared.settings.mask, strict=True)
        return replace(prepared, paintings=[replace(painting, region=masks.get(name)) for painting, name in pairs])


class FilmSequence:
    """An iterator of FrameSteps over all frames and passes, except those that are done already.

    `sink` receives each frame as soon as it is painted. `frame_range` are the frames to paint, which must be whole
    shots; None for all.
    """

    def __init__(
        self,
        inputs: FilmInputs,
        prepared: Prepared,
        work_folder: WorkFolder,
        sink: FrameSink | None = None,
        frame_range: range | None = None,
    ) -> None:
        self.options: FilmOptions = inputs.options
        self.work_folder: WorkFolder = work_folder
        self.sink: FrameSink | None = sink
        self.frame_painter: FramePainter = FramePainter(prepared, inputs.frame_settings, inputs.open_painting_masks())
        self.photos: FrameSource = inputs.open_visible_photos(1 + max(inputs.options.look_back))
        self.width: int
        self.height: int
        self.width, self.height = inputs.size
        self.frames: int = len(inputs.timeline.times)
        self.frame_range: range = range(self.frames) if frame_range is None else frame_range
        self.shot_starts: list[int] = [0] if self.options.cuts == "none" else [0, *inputs.timeline.cuts]
        self.notes: list[str] = []
        self._is_one_pass = inputs.frame_settings.is_one_pass
        self._finds_faces = inputs.finds_faces
        self._open_photos: Callable[[int], FrameSource] = inputs.open_visible_photos
        self._maps: tuple[int, LevelMaps] = (-1, [])  # of the shot that begins at a frame
        self._passes: dict[int, Future[tuple[Tensor, float]]] = {}  # by frame: its picture, and the seconds it took
        self.painter: Painter | None = None
        self.picture: Tensor | None = None  # (1, 3, H, W), the last that was painted in one pass
        self._pending: Future[None] | None = None  # the last picture, while it is stored
        self._recent: dict[tuple[int, int], Tensor] = {}  # pictures by pass and frame
        self._last_record: tuple[int, int, dict[str, Any]] = (0, 0, {})  # pass, frame, record
        self._iterator: Generator[FrameStep] = self._paint()

    def __iter__(self) -> Iterator[FrameStep]:
        return self

    def __next__(self) -> FrameStep:
        try:
            return next(self._iterator)
        except StopIteration:
            raise
        except (Exception, KeyboardInterrupt):
            self._iterator = self._paint()  # the next call continues after the last whole frame
            raise

    def close(self) -> None:
        """Wait for the last picture to be stored, and stop."""
        self._iterator.close()

    def list_shots(self) -> list[range]:
        """List the parts of the film that can be painted independently."""
        if self.options.cuts != "fresh":
            return [range(self.frames)]
        return [self._find_shot(start) for start in self.shot_starts]

    def _paint(self) -> Generator[FrameStep]:
        with ThreadPoolExecutor(1, "impasto-store") as store:
            try:
                for pass_number in range(1, self.options.passes + 1):
                    order = self.frame_range if pass_number % 2 else self.frame_range[::-1]
                    left = [frame for frame in order if not self.work_folder.is_done(pass_number, frame)]
                    with closing(self._prefetch(pass_number, left)) as frames:
                        ahead = self._paint_ahead(frames) if self._is_one_pass else frames
                        for prepared in ahead:
                            picture, record = yield from self._paint_frame(pass_number, prepared)
                            self._remember(pass_number, prepared.number, picture, record)
                            self._wait_for_store()
                            self._pending = store.submit(self._store, pass_number, prepared, picture, record)
            finally:
                self._wait_for_store()

    def _prefetch(self, pass_number: int, frames: Sequence[int]) -> Generator[PreparedFrame]:
        neighbors = self._list_neighbors(pass_number)
        return prefetch_frames(self.photos, frames, neighbors, carries_guard=self._finds_faces)

    def _list_neighbors(self, pass_number: int) -> dict[int, list[int]]:
        """List, for each frame, the frames to which its motion is wanted, in the order of their weight."""
        is_held, neighbors = self.options.temporal_weight > 0, {}
        back = set() if self._is_one_pass and not is_held else {1}
        if is_held and not self._is_one_pass:
            back |= {*self.options.look_back}
        for frame in self.frame_range:
            shot = self._find_shot(frame)
            others = [frame - far for far in sorted(back)] if pass_number == 1 else [frame - 1, frame + 1]
            neighbors[frame] = [other for other in others if other in shot]
        return neighbors

    def _find_shot(self, frame: int) -> range:
        start = max(it for it in self.shot_starts if it <= frame)
        return range(start, min((it for it in self.shot_starts if it > frame), default=self.frames))

    def _paint_frame(
        self, pass_number: int, prepared: PreparedFrame
    ) -> Generator[FrameStep, None, tuple[Tensor, dict[str, Any]]]:
        """Paint a frame; return its picture as it will be read again, in 8 bits, and its record."""
        frame, photo = prepared.number, prepared.photo
        if self._finds_faces and photo.guard_map is not None and FACES_NOTE not in self.notes:
            self.notes.append(FACES_NOTE)
        is_visible = photo.is_visible()
        has_masks = self.frame_painter.masks or self.frame_painter.prepared.settings.guard_mask
        can_repeat = pass_number == 1 and not has_masks
        if not is_visible or (can_repeat and prepared.is_repeat):
            picture = self._read_picture(pass_number, frame - 1) if is_visible else photo.rgb
            record = {**self._recall_record(pass_number, frame), "steps": 0, "seconds": 0.0}
        elif self._is_one_pass:
            painted, seconds = self._passes.pop(frame).result()
            self.picture = picture = self._hold(prepared, painted)
            step = Step(1, 1, 1, self.width, self.height, {}, seconds, 1.0, ())
            yield self._make_frame_step(step, pass_number, frame)
            record = {"steps": 1, "seconds": round(seconds, 3)}
        else:
            self.painter = painter = self._make_painter(pass_number, prepared)
            totals: list[float] = []
            for step in painter:
                totals.append(step.losses["total"])
                self.notes += [f"frame {frame + 1}: {note}" for note in step.notes]
                yield self._make_frame_step(step, pass_number, frame)
                if isinstance(painter, WarmStartPainter) and self._has_converged(totals, painter):
                    break
            picture = painter.picture()
            record = {"steps": len(totals), "total": totals[-1], "seconds": round(step.seconds, 3)}
            record |= self._measure_start(painter, pass_number, frame)
        return (picture.clamp(0, 1) * 255).round() / 255, record

    def _hold(self, prepared: PreparedFrame, picture: Tensor) -> Tensor:
        """Return the x that minimizes (x - picture)^2 + weight c (x - w)^2, where w is the last picture, warped.

        c is the trust in the motion, less where the colors differ.
        """
        weight = self.options.temporal_weight * ONE_PASS_TEMPORAL_SHARE
        for other, motion in prepared.motions.items():
            held = weight * torch.minimum(motion.trust, motion.likeness)
            picture = torch.lerp(picture, motion.move(self._read_picture(1, other)), held / (1 + held))
        return picture

    def _paint_ahead(self, frames: Iterator[PreparedFrame]) -> Generator[PreparedFrame]:
        """Yield frames in their order, each when those after it are being painted in one pass.

        Small frames are painted several at once, with one thread each: that is faster than one by one with all threads.
        """
        threads, waiting = torch.get_num_threads(), deque[PreparedFrame]()
        is_small = self.width * self.height <= MAX_PIXELS_AT_ONCE and self.frame_painter.prepared.device.type == "cpu"
        count = min(threads, MAX_FRAMES_AT_ONCE) if is_small else 1
        try:
            with ThreadPoolExecutor(count, "impasto-pass", torch.set_num_threads, (threads // count,)) as pool:
                for frame in frames:
                    if frame.photo.is_visible():
                        paint = self.frame_painter.make_pass(frame.number, frame.photo)
                        self._passes[frame.number] = pool.submit(_time, paint, self._find_maps(frame.number))
                    waiting.append(frame)
                    if len(waiting) > count:
                        yield waiting.popleft()
                yield from waiting
        finally:
            torch.set_num_threads(threads)  # for threads that begin later

    def _find_maps(self, frame: int) -> LevelMaps:
        """Return the maps of a frame's shot: with the same ones, its frames do not flicker."""
        shot = self._find_shot(frame)
        if self._maps[0] != shot.start:
            self._maps = (shot.start, [])
            self.frame_painter.make_pass(*self._find_liveliest(shot))(self._maps[1])
        return self._maps[1]

    def _find_liveliest(self, shot: range) -> tuple[int, Image]:
        """Return the frame with the largest variance of a few near the shot's beginning: it may fade in from black."""
        photos, near = self._open_photos(1), shot[:SHOT_FRAMES]
        best: tuple[float, int, Image] | None = None
        for number in sorted({near[(len(near) - 1) * part // (SHOT_SAMPLES - 1)] for part in range(SHOT_SAMPLES)}):
            photo = photos(number)
            variance = float(photo.rgb.float().var())
            if best is None or variance > best[0]:
                best = (variance, number, photo)
        assert best is not None
        return best[1:]

    def _make_frame_step(self, step: Step, pass_number: int, frame: int) -> FrameStep:
        frames, passes = self.frames, self.options.passes
        frames_before = (pass_number - 1) * frames + (frame if pass_number % 2 else frames - 1 - frame)
        values = {**vars(step), "progress": (frames_before + step.progress) / (passes * frames)}
        return FrameStep(**values, frame=frame + 1, frames=frames, pass_number=pass_number, passes=passes)

    def _remember(self, pass_number: int, frame: int, picture: Tensor, record: dict[str, Any]) -> None:
        """Keep the picture as long as later frames of this pass need it, and the record."""
        self._recent[pass_number, frame], self._last_record = picture, (pass_number, frame, record)
        reach = max(self.options.look_back)
        for key in [key for key in self._recent if key[0] == pass_number and abs(key[1] - frame) > reach]:
            del self._recent[key]

    def _store(self, pass_number: int, prepared: PreparedFrame, picture: Tensor, record: dict[str, Any]) -> None:
        self.work_folder.store_frame(pass_number, prepared.number, picture, record)
        if self.sink:
            self.sink(pass_number, prepared.number, picture, prepared.photo)

    def _wait_for_store(self) -> None:
        """Wait until the last picture is stored. Raises what went wrong there."""
        pending, self._pending = self._pending, None
        if pending:
            pending.result()

    def _has_converged(self, totals: list[float], painter: WarmStartPainter) -> bool:
        """Tell whether the last two steps gained too little; without a scale the first steps gain nothing."""
        if len(totals) <= (2 if painter.warm_start.lbfgs_scale else 4):
            return False
        return totals[-3] - totals[-1] < 2 * self.options.frame_tolerance * abs(totals[-1])

    def _make_painter(self, pass_number: int, prepared: PreparedFrame) -> Painter:
        frame, photo = prepared.number, prepared.photo
        if pass_number == 1 and frame in self.shot_starts:
            is_carried = self.options.cuts == "carry" and frame > 0
            canvas = self._read_picture(pass_number, frame - 1) if is_carried else None
            return self.frame_painter.paint_first(frame, photo, canvas)
        if pass_number == 1:
            canvas, targets = self._start_in_first_pass(prepared)
        else:
            canvas, targets = self._start_in_later_pass(pass_number, prepared)
        last = self._recall_record(pass_number, frame)
        warm_start = WarmStart(canvas, targets, last.get("lbfgs_scale"))
        return self.frame_painter.paint_next(frame, photo, warm_start, self.options.frame_steps)

    def _start_in_first_pass(self, prepared: PreparedFrame) -> tuple[Tensor, list[TemporalTarget]]:
        """Start as `frame_init` says; what is new to a warped picture is the recolored photo."""
        options, canvas = self.options, prepared.photo.rgb
        targets, uncovered = [], torch.ones_like(canvas[:, :1])
        for other, motion in prepared.motions.items():
            picture = self._read_picture(1, other)
            carried = motion.carry(picture)
            if other == prepared.number - 1 and options.frame_init == "warped":
                known = torch.maximum(motion.trust, motion.likeness)
                new = self.frame_painter.recolor(prepared.number, prepared.photo) if known.min() < 1 else canvas
                canvas = torch.lerp(new, carried, known)
            elif other == prepared.number - 1 and options.frame_init == "previous":
                canvas = picture
            if prepared.number - other in options.look_back and options.temporal_weight:
                weights = torch.minimum(motion.trust, uncovered)  # the nearest frame first
                uncovered = uncovered - weights
                targets.append(TemporalTarget(carried, weights * options.temporal_weight))
        return canvas, targets

    def _start_in_later_pass(self, pass_number: int, prepared: PreparedFrame) -> tuple[Tensor, list[TemporalTarget]]:
        """Start from the frame's own picture, blended with that of the neighbor painted last."""
        canvas, targets = self._read_picture(pass_number - 1, prepared.number), []
        newer = _find_previous(pass_number, prepared.number)
        for other, motion in prepared.motions.items():
            carried = motion.carry(self._read_picture(pass_number if other == newer else pass_number - 1, other))
            if other == newer:
                canvas = torch.lerp(canvas, carried, NEIGHBOR_BLEND * motion.trust)
            targets.append(TemporalTarget(carried, motion.trust * self.options.temporal_weight))
        return canvas, targets if self.options.temporal_weight else []

    def _read_picture(self, pass_number: int, frame: int) -> Tensor:
        picture = self._recent.get((pass_number, frame))
        return self.work_folder.read_picture(pass_number, frame) if picture is None else picture

    def _recall_record(self, pass_number: int, frame: int) -> dict[str, Any]:
        """Return the record of the frame painted before this one in its shot, {} if there is none."""
        previous = _find_previous(pass_number, frame)
        if previous not in self._find_shot(frame) and self.options.cuts == "fresh":
            return {}
        if self._last_record[:2] == (pass_number, previous):
            return self._last_record[2]
        is_done = self.work_folder.is_done(pass_number, previous)
        return self.work_folder.get_record(pass_number, previous) if is_done else {}

    def _measure_start(self, painter: Painter, pass_number: int, frame: int) -> dict[str, Any]:
        """Return what the next frame's WarmStart needs."""
        if not isinstance(painter, WarmStartPainter):
            return {}
        before, scale = self._recall_record(pass_number, frame).get("lbfgs_scale"), painter.lbfgs_scale
        if before and scale:
            scale = before**SCALE_SMOOTHING * scale ** (1 - SCALE_SMOOTHING)
        return {"lbfgs_scale": scale}


def _find_previous(pass_number: int, frame: int) -> int:
    """Return the frame painted before this one: odd passes go forward, even ones backward."""
    return frame - 1 if pass_number % 2 else frame + 1


def _time(paint: Callable[[LevelMaps], Tensor], maps: LevelMaps) -> tuple[Tensor, float]:
    """Paint a picture; return it in float32 on the CPU, and the seconds it took."""
    started = time.perf_counter()
    return paint(maps).float().cpu(), time.perf_counter() - started
