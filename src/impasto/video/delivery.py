"""Where a film goes: one file, an animation or a picture for each frame; and what of it can be seen meanwhile."""

from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from impasto.errors import PictureError, UsageError
from impasto.painting.style import Source
from impasto.pictures import animations, files
from impasto.pictures.color import after_painting
from impasto.pictures.files import Picture
from impasto.pictures.targets import FORMATS as PICTURE_FORMATS
from impasto.pictures.targets import check_place, check_target, written_whole
from impasto.settings import Settings
from impasto.video import writing
from impasto.video.clips import Timeline
from impasto.video.folders import NUMBER, name_frame
from impasto.video.masks import Mask
from impasto.video.options import FilmOptions
from impasto.video.scout import Photos
from impasto.video.storage import Storage

Kind = Literal["film", "animation", "pictures"]


def kind_of(output: Path) -> Kind:
    """Tell by its name what a film is written as. Raises UsageError where nothing can be."""
    suffix = output.suffix.lower()
    if NUMBER.search(output.name):
        if suffix in PICTURE_FORMATS:
            return "pictures"
    elif suffix in writing.FORMATS:
        return "film"
    elif suffix in animations.SUFFIXES:
        return "animation"
    elif not suffix or output.is_dir():
        return "pictures"
    raise UsageError(
        f"{output} does not say what to write: end it in {', '.join([*writing.FORMATS, *animations.SUFFIXES])}, or "
        "name a folder, or a pattern such as frame_%04d.png"
    )


def folder_for(frames: Path) -> Path:
    """Name the folder of a folder or pattern of frames."""
    return (frames.parent if NUMBER.search(frames.name) or set("*?[") & set(frames.name) else frames).resolve()


def check_output(output: Path, inputs: Iterable[Path], frames: int | None, overwrite: bool, transparent: bool) -> None:
    """Raise now what writing the film would raise in the end; `frames` is None where they are not counted yet."""
    kind, inputs = kind_of(output), [*inputs]
    if kind == "film" and transparent:
        raise UsageError(
            f"{output} can't hold transparency, which the frames have: end it in .webp, .gif or .png, or name a folder"
        )
    if kind != "pictures":
        check_place(output, inputs=inputs, overwrite=overwrite)
        return
    folder = folder_for(output)
    if folder.exists() and not folder.is_dir():
        raise PictureError(f"{folder} is a file: choose another name for the folder of frames")
    if not folder.is_dir():
        check_place(folder)
        return
    for index in range(frames or 1):
        check_target(name_frame(output, index), inputs=inputs, overwrite=overwrite, alpha=transparent)


class Delivery:
    """Shows frames as they are painted, and writes the film in the end, or what there is of it."""

    def __init__(
        self,
        output: Path,
        timeline: Timeline,
        settings: Settings,
        options: FilmOptions,
        storage: Storage,
        photos: Photos,
        *,
        clock: Fraction,
        sound: Path | None,
        origin: Fraction,
        overwrite: bool,
        save_every: int = 0,
        keep: Mask | None = None,
    ) -> None:
        self.output, self.timeline, self.settings, self.options = output, timeline, settings, options
        self.storage, self.photos = storage, photos
        self.clock, self.sound, self.origin = clock, sound, origin
        self.overwrite, self.save_every, self.keep = overwrite, save_every, keep
        self.kind = kind_of(output)
        self.inscription = ""
        self._live: writing.FilmWriter | None = None
        self._shown = -1  # the last frame of the live film
        self._needs_photo = settings.color in ("keep", "only") or timeline.transparent or keep is not None

    @property
    def preview(self) -> Path:
        """Where the previews go."""
        name = NUMBER.sub("", self.output.stem).strip("_-. ") or "film"
        return self.output.with_name(f"{name}.preview.png")

    def show(self, turn: int, frame: int, picture: Tensor, photo: Source) -> None:
        """Take a painted frame: add it to the film that can be played meanwhile, or write it where it belongs."""
        rgb, alpha = self._finish(frame, picture, photo if self.keep is None else self.photos(frame))
        if self.kind == "pictures" and turn == self.options.passes:
            self._make_folder()
            self._write_picture(frame, rgb, alpha)
        elif self.kind == "film" and turn % 2:
            self._show_live(frame, rgb)
        if self.save_every and (frame + 1) % self.save_every == 0:
            files.write(rgb, self.preview, alpha=alpha, overwrite=True)

    def write(self, frames: int) -> None:
        """Write the film's first `frames` frames to its place."""
        self.stop()
        if self.kind == "film":
            self._write_film(frames)
        elif self.kind == "animation":
            times = [*self.timeline.times[:frames], self._end(frames)]
            animations.write(
                self.list_visible(frames),
                times,
                self.output,
                palette_from=[self.visible(frame)[0] for frame in range(0, frames, -(-frames // 16))],
                quality=self.options.quality,
                inscription=self.inscription,
                overwrite=self.overwrite,
            )
        else:
            self._make_folder()
            for frame, (rgb, alpha) in enumerate(self.list_visible(frames)):
                if self.options.passes > 1 or not name_frame(self.output, frame).exists():
                    self._write_picture(frame, rgb, alpha)

    def stop(self) -> None:
        """End the film that can be played meanwhile."""
        if self._live:
            self._live.close()
        self._live, self._shown = None, -1

    def visible(self, frame: int) -> tuple[Tensor, Tensor | None]:
        """Return a frame as it is shown, (1, 3, H, W), and its alpha."""
        turn = self.storage.latest(frame)
        assert turn is not None
        picture = self.storage.picture(turn, frame)
        return self._finish(frame, picture, self.photos(frame)) if self._needs_photo else (picture, None)

    def list_visible(self, frames: int) -> Iterator[tuple[Tensor, Tensor | None]]:
        """Yield the first `frames` frames as they are shown."""
        return (self.visible(frame) for frame in range(frames))

    def _finish(self, frame: int, picture: Tensor, photo: Source) -> tuple[Tensor, Tensor | None]:
        rgb = after_painting(picture, Picture(photo.rgb, photo.alpha, None), self.settings)
        return rgb if self.keep is None else torch.lerp(rgb, photo.rgb, self.keep(frame)), photo.alpha

    def _show_live(self, frame: int, rgb: Tensor) -> None:
        if self._live is None or frame != self._shown + 1:
            self.stop()
            self._live = self._open(self.storage.so_far, live=True, size=rgb.shape)
            for earlier in range(frame):  # painted before the program was ended, or gone over in another turn
                self._add(self._live, earlier, self.visible(earlier)[0])
        self._add(self._live, frame, rgb)
        self._shown = frame

    def _write_film(self, frames: int) -> None:
        first = self.visible(0)[0]
        # PyAV opens its file by name: it is written beside the place, and copied nowhere but renamed.
        part = self.storage.folder / f"whole{self.output.suffix.lower()}"
        try:
            with self._open(part, live=False, size=first.shape) as film:
                if self.sound:
                    begin = self.origin if self.options.start else None
                    whole = frames == len(self.timeline.times) and not self.options.end
                    film.pass_on(self.sound, begin, None if whole else self._end(frames), self.origin)
                for frame, (rgb, _) in enumerate(self.list_visible(frames)):
                    self._add(film, frame, rgb)
            take_place(part, self.output, self.overwrite)
        finally:
            part.unlink(missing_ok=True)

    def _open(self, path: Path, *, live: bool, size: tuple[int, ...]) -> writing.FilmWriter:
        return writing.FilmWriter(
            path,
            size[3],
            size[2],
            form="mp4" if live else writing.FORMATS[self.output.suffix.lower()],
            clock=self.clock,
            rate=writing.choose_rate(self.timeline.durations),
            codec=self.options.codec,
            quality=self.options.quality,
            live=live,
            comment="" if live else self.inscription,
        )

    def _add(self, film: writing.FilmWriter, frame: int, rgb: Tensor) -> None:
        film.add(rgb, self.timeline.times[frame] - self.origin, self.timeline.durations[frame])

    def _end(self, frames: int) -> Fraction:
        return self.timeline.times[frames - 1] + self.timeline.durations[frames - 1]

    def _make_folder(self) -> None:
        folder = folder_for(self.output)
        try:
            folder.mkdir(exist_ok=True)
        except OSError as error:
            raise PictureError(f"{folder} can't be made: {error.strerror or error}") from None

    def _write_picture(self, frame: int, rgb: Tensor, alpha: Tensor | None) -> None:
        # A picture of this name is the user's, who allowed it, or this film's own of an earlier start.
        files.write(rgb, name_frame(self.output, frame), alpha=alpha, quality=self.options.quality, overwrite=True)


def take_place(part: Path, output: Path, overwrite: bool) -> None:
    """Give a finished file its name; across file systems by copying it whole."""
    with part.open("rb") as file, written_whole(output, overwrite=overwrite) as target:
        while piece := file.read(1 << 22):
            target.write(piece)
