"""Films read with PyAV: upright frames with their times, sound and subtitles as they are."""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch
from av.video.reformatter import Colorspace

from impasto.errors import PictureError
from impasto.films.frames import Frame

MIN_HD_ROWS = 720  # rows from which a film that does not name its colours is taken for BT.709
MIN_READABLE_SHARE = Fraction(19, 20)  # of the time that a film's head promises: what has less is cut short
UNSPECIFIED_COLORSPACE = 2  # AVCOL_SPC_UNSPECIFIED


class FilmReader:
    """A film file, read frame by frame from its beginning each time.

    Errors: PictureError where there is no such file, or it is no film, damaged at its start, or has no moving picture.
    `notes` says where it was cut short.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.notes: list[str] = []
        with open_film(path) as container:
            stream = find_video_stream(container, path)
            self.clock = Fraction(stream.time_base or Fraction(1, 90000))
            self.rate = Fraction(stream.average_rate or stream.guessed_rate or 25)
            self.aspect = Fraction(stream.sample_aspect_ratio or 1) or Fraction(1)
            self.expected = stream.frames, Fraction(container.duration or 0, av.time_base)
            self.start_time = Fraction(container.start_time or 0, av.time_base)  # of the first of its streams
            if str(stream.codec_context.color_trc) in ("16", "18"):
                self.notes.append(f"{path} is in high dynamic range: it is painted as it is kept, which looks pale")

    @property
    def sound_path(self) -> Path | None:
        """The file itself."""
        return self.path

    def __iter__(self) -> Iterator[Frame]:
        """Yield all frames, upright, in the order in which they are shown."""
        kept: Frame | None = None
        count = 0
        with open_film(self.path) as container:
            stream = find_video_stream(container, self.path)
            stream.thread_type = "AUTO"
            try:
                for decoded in container.decode(stream):
                    frame = self._convert(decoded, count)
                    count += 1
                    if kept:
                        yield _extend_until(kept, frame)
                    kept = frame
            except av.error.FFmpegError as error:
                self._note_truncation(count, str(error.strerror or error))
            else:
                # Fewer frames alone say nothing: an edit list may leave some out.
                frames, seconds = self.expected
                if kept and count < frames and kept.time + kept.duration < seconds * MIN_READABLE_SHARE:
                    self._note_truncation(count, f"{frames} were promised")
        if kept is None:
            raise PictureError(f"{self.path} is damaged, no frame of it can be read: get the film again")
        yield kept

    def _note_truncation(self, count: int, reason: str) -> None:
        note = f"{self.path} is damaged or cut short ({reason}): {count} frames of it can be read"
        if note not in self.notes:
            self.notes.append(note)

    def _convert(self, decoded: Any, count: int) -> Frame:
        components = decoded.format.components
        deep = max(it.bits for it in components) > 8
        transparent = any(it.is_alpha for it in components)
        layout = ("rgba64le" if deep else "rgba") if transparent else ("rgb48le" if deep else "rgb24")
        space = {}
        if int(decoded.colorspace) == UNSPECIFIED_COLORSPACE and not decoded.format.is_rgb:
            space["src_colorspace"] = Colorspace.ITU709 if decoded.height >= MIN_HD_ROWS else Colorspace.ITU601
        pixels = decoded.to_ndarray(format=layout, **space)  # (H, W, 3 or 4)
        quarters = round(decoded.rotation / 90)  # anticlockwise
        upright = np.ascontiguousarray(np.rot90(pixels, quarters))
        values = torch.from_numpy(upright.astype(np.float32)).permute(2, 0, 1)[None] / (65535 if deep else 255)
        alpha = values[:, 3:].contiguous() if transparent and float(values[:, 3:].min()) < 1 else None
        time = decoded.pts * self.clock if decoded.pts is not None else count / self.rate
        duration = decoded.duration * self.clock if decoded.duration else 1 / self.rate
        aspect = 1 / self.aspect if quarters % 2 else self.aspect
        return Frame(values[:, :3].contiguous(), alpha, Fraction(time), Fraction(duration), aspect)


def open_film(path: Path) -> Any:
    """Open a film to be read. Raises PictureError that says what is wrong with it."""
    try:
        if path.is_file() and path.stat().st_size == 0:
            raise PictureError(f"{path} is empty (0 bytes): get the film again")
        return av.open(path)
    except FileNotFoundError:
        raise PictureError(f"{path} does not exist: check the name and the folder") from None
    except PermissionError:
        raise PictureError(f"{path} can't be opened, permission denied: make it readable for you") from None
    except (av.error.FFmpegError, OSError) as error:
        raise PictureError(
            f"{path} is no film, or damaged or cut short ({error.strerror or error}): get the film again"
        ) from None


def find_video_stream(container: Any, path: Path) -> Any:
    """Find the stream that is the moving picture, and not the cover of a record. Raises PictureError without one."""
    cover = av.stream.Disposition.attached_pic
    for stream in container.streams.video:
        if not stream.disposition & cover and stream.codec_context is not None:
            return stream
    raise PictureError(f"{path} has no moving picture, only {_list_streams(container)}: name a film")


def _list_streams(container: Any) -> str:
    return ", ".join(stream.type for stream in container.streams) or "nothing"


def _extend_until(frame: Frame, following: Frame) -> Frame:
    duration = following.time - frame.time
    return Frame(frame.rgb, frame.alpha, frame.time, duration if duration > 0 else frame.duration, frame.aspect)
