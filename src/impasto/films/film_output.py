"""Where a film is written: a film file, an animation, or an image per frame; and previews while it is painted."""

import shutil
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import torch
from torch import Tensor

from impasto.errors import PictureError, UsageError
from impasto.films.encoder import FilmEncoder
from impasto.films.film_inputs import FilmInputs
from impasto.films.film_job import FilmJob
from impasto.films.film_options import FilmOptions
from impasto.films.frame_masks import FrameMask
from impasto.films.frames import Timeline
from impasto.films.image_sequence import FRAME_NUMBER, find_frame_folder, name_frame_file
from impasto.films.prefetch import FrameSource
from impasto.films.work_folder import WorkFolder
from impasto.images.animation import write_animation
from impasto.images.color import recolor_result
from impasto.images.image import Image
from impasto.images.output import atomic_write, check_output, check_writable
from impasto.images.write import write_image

PALETTE_FRAMES = 16  # frames, at most, from which a GIF's palette is made


def check_film_output(job: FilmJob, frames: int | None, has_transparency: bool) -> None:
    """Raise now what writing the film would raise at the end; `frames` is None before they are counted."""
    output, inputs, overwrite = job.output, job.list_inputs(), job.overwrite
    if job.output_kind == "film" and has_transparency:
        raise UsageError(
            f"{output} can't hold the transparency of the frames: end it in .webp, .gif or .png, or name a folder",
            setting="output",
        )
    folder = find_frame_folder(output)
    if job.output_kind != "images":
        check_writable(output, inputs=inputs, overwrite=overwrite)
    elif not folder.exists():
        check_writable(folder)
    elif not folder.is_dir():
        raise PictureError(f"{folder} is a file: choose another name for the folder of frames")
    else:
        for index in range(frames or 1):
            check_output(name_frame_file(output, index), inputs=inputs, overwrite=overwrite, alpha=has_transparency)


class FilmOutput:
    """Shows frames as they are painted, and writes the film, or its first frames, on request.

    With `overwrite` it may replace the file at its path. `origin` is the time at which the written film begins.
    """

    def __init__(self, inputs: FilmInputs, work_folder: WorkFolder) -> None:
        self.job: FilmJob = inputs.job
        self.options: FilmOptions = inputs.options
        self.timeline: Timeline = inputs.timeline
        self.path: Path = self.job.output
        self.overwrite: bool = self.job.overwrite
        self.kind = self.job.output_kind
        self.clock: Fraction = inputs.reader.clock
        self.work_folder: WorkFolder = work_folder
        self.photos: FrameSource = inputs.open_photos(1)
        self.preserve_mask: FrameMask | None = inputs.open_preserve_mask()
        self.embedded_text = ""
        self.sound: Path | None = inputs.reader.sound_path if self.kind == "film" and self.options.sound else None
        first = self.timeline.times[0]
        self.origin: Fraction = min(first, inputs.reader.start_time) if self.sound and not self.options.start else first
        self._live: FilmEncoder | None = None
        self._last_live_frame = -1
        changes_frames = self.job.settings.color in ("keep", "only") or self.preserve_mask is not None
        self._needs_photo = changes_frames or self.timeline.has_transparency

    def show_frame(self, pass_number: int, frame: int, picture: Tensor, photo: Image) -> None:
        """Add a painted frame to the live film, or write its file."""
        rgb, alpha = self._finish_frame(frame, picture, photo if self.preserve_mask is None else self.photos(frame))
        if self.kind == "images" and pass_number == self.options.passes:
            self._write_frame_file(frame, rgb, alpha)
        elif self.kind == "film" and pass_number % 2:
            self._add_live_frame(frame, rgb)
        if (every := self.job.save_every) and (frame + 1) % every == 0:
            name = FRAME_NUMBER.sub("", self.path.stem).strip("_-. ") or "film"
            write_image(rgb, self.path.with_name(f"{name}.preview.png"), alpha=alpha, overwrite=True)

    def write_film(self, frames: int) -> None:
        """Write the film's first `frames` frames to its output."""
        self.close_live_film()
        if self.kind == "film":
            self._write_film_file(frames)
        elif self.kind == "animation":
            times = [*self.timeline.times[:frames], self.timeline.get_end_time(frames)]
            write_animation(
                self._render_frames(frames),
                times,
                self.path,
                palette_samples=[
                    self._render_frame(frame)[0] for frame in range(0, frames, -(-frames // PALETTE_FRAMES))
                ],
                quality=self.options.quality,
                embedded_text=self.embedded_text,
                overwrite=self.overwrite,
            )
        else:
            for frame, (rgb, alpha) in enumerate(self._render_frames(frames)):
                if self.options.passes > 1 or not name_frame_file(self.path, frame).exists():
                    self._write_frame_file(frame, rgb, alpha)

    def close_live_film(self) -> None:
        """Finish the live film."""
        if self._live:
            self._live.close()
        self._live, self._last_live_frame = None, -1

    def _render_frames(self, frames: int) -> Iterator[tuple[Tensor, Tensor | None]]:
        return (self._render_frame(frame) for frame in range(frames))

    def _render_frame(self, frame: int) -> tuple[Tensor, Tensor | None]:
        """Return a frame (1, 3, H, W) as it is written, and its alpha."""
        pass_number = self.work_folder.get_latest_pass(frame)
        assert pass_number is not None
        picture = self.work_folder.read_picture(pass_number, frame)
        return self._finish_frame(frame, picture, self.photos(frame)) if self._needs_photo else (picture, None)

    def _finish_frame(self, frame: int, picture: Tensor, photo: Image) -> tuple[Tensor, Tensor | None]:
        rgb = recolor_result(picture, photo, self.job.settings)
        if self.preserve_mask is not None:
            rgb = torch.lerp(rgb, photo.rgb, self.preserve_mask(frame))
        return rgb, photo.alpha

    def _add_live_frame(self, frame: int, rgb: Tensor) -> None:
        if self._live is None or frame != self._last_live_frame + 1:
            self.close_live_film()
            self._live = self._open_encoder(self.work_folder.live_film_path, rgb, live=True)
            for earlier in range(frame):  # frames of an interrupted run or an earlier pass
                self._encode_frame(self._live, earlier, self._render_frame(earlier)[0])
        self._encode_frame(self._live, frame, rgb)
        self._last_live_frame = frame

    def _write_film_file(self, frames: int) -> None:
        # PyAV opens a file by its name, so the film is written next to the output and then moved there.
        part = self.work_folder.folder / f"whole{self.path.suffix.lower()}"
        try:
            with self._open_encoder(part, self._render_frame(0)[0], live=False) as film:
                if self.sound:
                    begin = self.origin if self.options.start else None
                    is_whole = frames == len(self.timeline.times) and not self.options.end
                    end = None if is_whole else self.timeline.get_end_time(frames)
                    film.copy_sound(self.sound, begin, end, self.origin)
                for frame, (rgb, _) in enumerate(self._render_frames(frames)):
                    self._encode_frame(film, frame, rgb)
            with part.open("rb") as file, atomic_write(self.path, overwrite=self.overwrite) as target:
                shutil.copyfileobj(file, target)
        finally:
            part.unlink(missing_ok=True)

    def _open_encoder(self, path: Path, rgb: Tensor, *, live: bool) -> FilmEncoder:
        durations = self.timeline.durations
        return FilmEncoder(
            path,
            rgb.shape[3],
            rgb.shape[2],
            clock=self.clock,
            rate=len(durations) / sum(durations, Fraction(0)),
            codec=self.options.codec,
            quality=self.options.quality,
            live=live,
            comment="" if live else self.embedded_text,
        )

    def _encode_frame(self, film: FilmEncoder, frame: int, rgb: Tensor) -> None:
        film.add_frame(rgb, self.timeline.times[frame] - self.origin, self.timeline.durations[frame])

    def _write_frame_file(self, frame: int, rgb: Tensor, alpha: Tensor | None) -> None:
        folder, path = find_frame_folder(self.path), name_frame_file(self.path, frame)
        try:
            folder.mkdir(exist_ok=True)
        except OSError as error:
            raise PictureError(f"{folder} can't be created: {error.strerror or error}") from None
        # The user has allowed to replace a file of this name, or it is this film's own from an earlier start.
        write_image(rgb, path, alpha=alpha, quality=self.options.quality, overwrite=True)
