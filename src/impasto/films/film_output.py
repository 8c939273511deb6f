"""Where a film goes: one file, an animation or a picture for each frame; and what of it can be seen meanwhile."""

from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from impasto.errors import PictureError, UsageError
from impasto.films import encoder
from impasto.films.film_options import FilmOptions
from impasto.films.frame_masks import FrameMask
from impasto.films.frames import Timeline
from impasto.films.image_sequence import FRAME_NUMBER, name_frame_file
from impasto.films.prefetch import FrameSource
from impasto.films.work_folder import WorkFolder
from impasto.images import animation
from impasto.images.color import recolor_result
from impasto.images.image import Image
from impasto.images.output import FORMATS as PICTURE_FORMATS
from impasto.images.output import atomic_write, check_output, check_writable
from impasto.images.write import write_image
from impasto.painting.styles import StyleInput
from impasto.settings.model import Settings

OutputKind = Literal["film", "animation", "pictures"]


def choose_output_kind(output: Path) -> OutputKind:
    """Tell by its name what a film is written as. Raises UsageError where nothing can be."""
    suffix = output.suffix.lower()
    if FRAME_NUMBER.search(output.name):
        if suffix in PICTURE_FORMATS:
            return "pictures"
    elif suffix in encoder.FILM_FORMATS:
        return "film"
    elif suffix in animation.ANIMATION_SUFFIXES:
        return "animation"
    elif not suffix or output.is_dir():
        return "pictures"
    raise UsageError(
        f"{output} does not say what to write: end it in "
        f"{', '.join([*encoder.FILM_FORMATS, *animation.ANIMATION_SUFFIXES])}, or "
        "name a folder, or a pattern such as frame_%04d.png"
    )


def find_frame_folder(frames: Path) -> Path:
    """Name the folder of a folder or pattern of frames."""
    return (frames.parent if FRAME_NUMBER.search(frames.name) or set("*?[") & set(frames.name) else frames).resolve()


def check_film_output(
    output: Path, inputs: Iterable[Path], frames: int | None, overwrite: bool, transparent: bool
) -> None:
    """Raise now what writing the film would raise in the end; `frames` is None where they are not counted yet."""
    kind, inputs = choose_output_kind(output), [*inputs]
    if kind == "film" and transparent:
        raise UsageError(
            f"{output} can't hold transparency, which the frames have: end it in .webp, .gif or .png, or name a folder"
        )
    if kind != "pictures":
        check_writable(output, inputs=inputs, overwrite=overwrite)
        return
    folder = find_frame_folder(output)
    if folder.exists() and not folder.is_dir():
        raise PictureError(f"{folder} is a file: choose another name for the folder of frames")
    if not folder.is_dir():
        check_writable(folder)
        return
    for index in range(frames or 1):
        check_output(name_frame_file(output, index), inputs=inputs, overwrite=overwrite, alpha=transparent)


class FilmOutput:
    """Shows frames as they are painted, and writes the film in the end, or what there is of it."""

    def __init__(
        self,
        output: Path,
        timeline: Timeline,
        settings: Settings,
        options: FilmOptions,
        storage: WorkFolder,
        photos: FrameSource,
        *,
        clock: Fraction,
        sound: Path | None,
        origin: Fraction,
        overwrite: bool,
        save_every: int = 0,
        keep: FrameMask | None = None,
    ) -> None:
        self.output, self.timeline, self.settings, self.options = output, timeline, settings, options
        self.work_folder, self.photos = storage, photos
        self.clock, self.sound, self.origin = clock, sound, origin
        self.overwrite, self.save_every, self.preserve_mask = overwrite, save_every, keep
        self.kind = choose_output_kind(output)
        self.inscription = ""
        self._live: encoder.FilmEncoder | None = None
        self._shown = -1  # the last frame of the live film
        self._needs_photo = settings.color in ("keep", "only") or timeline.has_transparency or keep is not None

    @property
    def preview_path(self) -> Path:
        """Where the previews go."""
        name = FRAME_NUMBER.sub("", self.output.stem).strip("_-. ") or "film"
        return self.output.with_name(f"{name}.preview.png")

    def show_frame(self, turn: int, frame: int, picture: Tensor, photo: StyleInput) -> None:
        """Take a painted frame: add it to the film that can be played meanwhile, or write it where it belongs."""
        rgb, alpha = self._apply_color(frame, picture, photo if self.preserve_mask is None else self.photos(frame))
        if self.kind == "pictures" and turn == self.options.passes:
            self._create_folder()
            self._write_picture(frame, rgb, alpha)
        elif self.kind == "film" and turn % 2:
            self._show_live(frame, rgb)
        if self.save_every and (frame + 1) % self.save_every == 0:
            write_image(rgb, self.preview_path, alpha=alpha, overwrite=True)

    def write(self, frames: int) -> None:
        """Write the film's first `frames` frames to its place."""
        self.close_live_film()
        if self.kind == "film":
            self._write_film(frames)
        elif self.kind == "animation":
            times = [*self.timeline.times[:frames], self._end_time(frames)]
            animation.write_animation(
                self.render_frames(frames),
                times,
                self.output,
                palette_samples=[self.render_frame(frame)[0] for frame in range(0, frames, -(-frames // 16))],
                quality=self.options.quality,
                embedded_text=self.inscription,
                overwrite=self.overwrite,
            )
        else:
            self._create_folder()
            for frame, (rgb, alpha) in enumerate(self.render_frames(frames)):
                if self.options.passes > 1 or not name_frame_file(self.output, frame).exists():
                    self._write_picture(frame, rgb, alpha)

    def close_live_film(self) -> None:
        """End the film that can be played meanwhile."""
        if self._live:
            self._live.close()
        self._live, self._shown = None, -1

    def render_frame(self, frame: int) -> tuple[Tensor, Tensor | None]:
        """Return a frame as it is shown, (1, 3, H, W), and its alpha."""
        turn = self.work_folder.latest_pass(frame)
        assert turn is not None
        picture = self.work_folder.read_picture(turn, frame)
        return self._apply_color(frame, picture, self.photos(frame)) if self._needs_photo else (picture, None)

    def render_frames(self, frames: int) -> Iterator[tuple[Tensor, Tensor | None]]:
        """Yield the first `frames` frames as they are shown."""
        return (self.render_frame(frame) for frame in range(frames))

    def _apply_color(self, frame: int, picture: Tensor, photo: StyleInput) -> tuple[Tensor, Tensor | None]:
        rgb = recolor_result(picture, Image(photo.rgb, photo.alpha), self.settings)
        return rgb if self.preserve_mask is None else torch.lerp(rgb, photo.rgb, self.preserve_mask(frame)), photo.alpha

    def _show_live(self, frame: int, rgb: Tensor) -> None:
        if self._live is None or frame != self._shown + 1:
            self.close_live_film()
            self._live = self._open_encoder(self.work_folder.live_film_path, live=True, size=rgb.shape)
            for earlier in range(frame):  # painted before the program was ended, or gone over in another turn
                self._add_frame(self._live, earlier, self.render_frame(earlier)[0])
        self._add_frame(self._live, frame, rgb)
        self._shown = frame

    def _write_film(self, frames: int) -> None:
        first = self.render_frame(0)[0]
        # PyAV opens its file by name: it is written beside the place, and copied nowhere but renamed.
        part = self.work_folder.folder / f"whole{self.output.suffix.lower()}"
        try:
            with self._open_encoder(part, live=False, size=first.shape) as film:
                if self.sound:
                    begin = self.origin if self.options.start else None
                    whole = frames == len(self.timeline.times) and not self.options.end
                    film.copy_sound(self.sound, begin, None if whole else self._end_time(frames), self.origin)
                for frame, (rgb, _) in enumerate(self.render_frames(frames)):
                    self._add_frame(film, frame, rgb)
            move_into_place(part, self.output, self.overwrite)
        finally:
            part.unlink(missing_ok=True)

    def _open_encoder(self, path: Path, *, live: bool, size: tuple[int, ...]) -> encoder.FilmEncoder:
        return encoder.FilmEncoder(
            path,
            size[3],
            size[2],
            form="mp4" if live else encoder.FILM_FORMATS[self.output.suffix.lower()],
            clock=self.clock,
            rate=encoder.mean_frame_rate(self.timeline.durations),
            codec=self.options.codec,
            quality=self.options.quality,
            live=live,
            comment="" if live else self.inscription,
        )

    def _add_frame(self, film: encoder.FilmEncoder, frame: int, rgb: Tensor) -> None:
        film.add_frame(rgb, self.timeline.times[frame] - self.origin, self.timeline.durations[frame])

    def _end_time(self, frames: int) -> Fraction:
        return self.timeline.times[frames - 1] + self.timeline.durations[frames - 1]

    def _create_folder(self) -> None:
        folder = find_frame_folder(self.output)
        try:
            folder.mkdir(exist_ok=True)
        except OSError as error:
            raise PictureError(f"{folder} can't be made: {error.strerror or error}") from None

    def _write_picture(self, frame: int, rgb: Tensor, alpha: Tensor | None) -> None:
        # A picture of this name is the user's, who allowed it, or this film's own of an earlier start.
        write_image(rgb, name_frame_file(self.output, frame), alpha=alpha, quality=self.options.quality, overwrite=True)


def move_into_place(part: Path, output: Path, overwrite: bool) -> None:
    """Give a finished file its name; across file systems by copying it whole."""
    with part.open("rb") as file, atomic_write(output, overwrite=overwrite) as target:
        while piece := file.read(1 << 22):
            target.write(piece)
