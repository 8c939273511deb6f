"""Film files read with PyAV: upright frames with their times."""

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch
from av.video.reformatter import Colorspace
from typing_extensions import override

from impasto.errors import PictureError
from impasto.films.frames import Frame, FrameReader
from impasto.images.image import Image
from impasto.images.opening import explain_missing

MIN_HD_ROWS = 720  # films that do not name their color space are BT.709 from this height on, BT.601 below
MIN_READABLE_SHARE = Fraction(19, 20)  # of the duration in the header; a shorter film is cut short
UNSPECIFIED_COLORSPACE = 2  # AVCOL_SPC_UNSPECIFIED
HDR_TRANSFERS = ("16", "18")  # AVCOL_TRC_SMPTE2084 and AVCOL_TRC_ARIB_STD_B67


class FilmReader(FrameReader):
    """A film file. `notes` says whether it is cut short.

    Errors: PictureError if it does not exist, is no film, is damaged at its start, or has no moving picture.
    """

    def __init__(self, path: Path) -> None:
        with open_film(path) as container:
            stream = find_video_stream(container, path)
            super().__init__(path, Fraction(stream.time_base or Fraction(1, 90000)))
            self.rate: Fraction = Fraction(stream.average_rate or stream.guessed_rate or 25)
            self.aspect: Fraction = Fraction(stream.sample_aspect_ratio or 1) or Fraction(1)
            self.expected_frames: int = stream.frames
            self.expected_seconds: Fraction = Fraction(container.duration or 0, av.time_base)
            self.sound_path: Path | None = path if list_sound_streams(container) else None
            self.start_time: Fraction = Fraction(container.start_time or 0, av.time_base)
            if str(stream.codec_context.color_trc) in HDR_TRANSFERS:
                self.notes.append(f"{path} has a high dynamic range: it is painted without conversion and looks pale")

    @override
    def __iter__(self) -> Iterator[Frame]:
        last: Frame | None = None
        count = 0
        with open_film(self.path) as container:
            stream = find_video_stream(container, self.path)
            stream.thread_type = "AUTO"
            try:
                for decoded in container.decode(stream):
                    frame = self._convert_frame(decoded, count)
                    count += 1
                    if last:
                        gap = frame.time - last.time
                        yield replace(last, duration=gap) if gap > 0 else last
                    last = frame
            except av.error.FFmpegError as error:
                self._note_truncation(count, str(error.strerror or error))
            else:
                # Fewer frames alone prove nothing: an edit list may skip some.
                is_short = last and last.time + last.duration < self.expected_seconds * MIN_READABLE_SHARE
                if is_short and count < self.expected_frames:
                    self._note_truncation(count, f"it should have {self.expected_frames}")
        if last is None:
            raise PictureError(f"{self.path} is damaged, no frame of it can be read: get the film again")
        yield last

    def _note_truncation(self, count: int, reason: str) -> None:
        note = f"{self.path} is damaged or cut short ({reason}): only {count} frames can be read"
        if note not in self.notes:
            self.notes.append(note)

    def _convert_frame(self, decoded: Any, index: int) -> Frame:
        quarters = round(decoded.rotation / 90)  # counterclockwise
        time = decoded.pts * self.clock if decoded.pts is not None else index / self.rate
        duration = decoded.duration * self.clock if decoded.duration else 1 / self.rate
        aspect = 1 / self.aspect if quarters % 2 else self.aspect
        return Frame(_convert_pixels(decoded, quarters), Fraction(time), Fraction(duration), aspect)


def _convert_pixels(decoded: Any, quarters: int) -> Image:
    components = decoded.format.components
    is_deep = max(component.bits for component in components) > 8
    has_alpha = any(component.is_alpha for component in components)
    layout = ("rgba64le" if is_deep else "rgba") if has_alpha else ("rgb48le" if is_deep else "rgb24")
    space = {}
    if int(decoded.colorspace) == UNSPECIFIED_COLORSPACE and not decoded.format.is_rgb:
        space["src_colorspace"] = Colorspace.ITU709 if decoded.height >= MIN_HD_ROWS else Colorspace.ITU601
    pixels = decoded.to_ndarray(format=layout, **space)  # (H, W, 3 or 4)
    upright = np.ascontiguousarray(np.rot90(pixels, quarters)).astype(np.float32)
    values = torch.from_numpy(upright).permute(2, 0, 1)[None] / (65535 if is_deep else 255)
    is_transparent = has_alpha and float(values[:, 3:].min()) < 1
    return Image(values[:, :3].contiguous(), values[:, 3:].contiguous() if is_transparent else None)


def open_film(path: Path) -> Any:
    """Open a film for reading. Raises PictureError, which says what is wrong with it."""
    try:
        if path.is_file() and path.stat().st_size == 0:
            raise PictureError(f"{path} is empty (0 bytes): get the film again")
        return av.open(path, metadata_errors="replace")
    except FileNotFoundError:
        raise PictureError(explain_missing(path)) from None
    except PermissionError:
        raise PictureError(f"{path} can't be opened, permission denied: make it readable for you") from None
    except (av.error.FFmpegError, OSError) as error:
        raise PictureError(
            f"{path} is not a film, or is damaged or cut short ({error.strerror or error}): get the film again"
        ) from None


def list_sound_streams(container: Any) -> list[Any]:
    """List the sound and subtitle streams of an open film."""
    streams = [stream for stream in container.streams if stream.type in ("audio", "subtitle")]
    return [stream for stream in streams if getattr(stream, "codec_context", None) is not None]


def find_video_stream(container: Any, path: Path) -> Any:
    """Find the moving picture, not an audio file's cover. Raises PictureError if there is none."""
    cover = av.stream.Disposition.attached_pic
    for stream in container.streams.video:
        if not stream.disposition & cover and stream.codec_context is not None:
            return stream
    found = ", ".join(stream.type for stream in container.streams) or "nothing"
    raise PictureError(f"{path} has no moving picture, only {found}: name a film")
