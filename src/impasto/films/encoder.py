"""Film files written with PyAV: H.264 or lossless frames, each at its time; sound and subtitles are copied."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import av
import numpy as np
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc
from torch import Tensor

from impasto.errors import PictureError, UsageError
from impasto.films.film_options import Codec
from impasto.films.reader import list_sound_streams, open_film

FILM_FORMATS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska"}
MIN_TICK_SECONDS = Fraction(1, 1_000_000)  # containers can't keep a finer clock exactly


class FilmEncoder:
    """A film file to which frames are added in order; `close` finishes it. The format follows from the suffix.

    A `live` film can be played up to its last frame but one at any time, even if the program is killed.

    Errors: UsageError if the format can't hold what is copied; PictureError if the disk refuses.
    """

    def __init__(
        self,
        path: Path,
        width: int,
        height: int,
        *,
        clock: Fraction,
        rate: Fraction,
        codec: Codec = "h264",
        quality: int = 85,
        live: bool = False,
        comment: str = "",
    ) -> None:
        self.path: Path = path
        self.clock: Fraction = max(clock, MIN_TICK_SECONDS)
        self.codec = codec
        self.format: str = FILM_FORMATS[path.suffix.lower()]
        options = {}
        if live:
            options = {"flush_packets": "1", "movflags": "frag_every_frame+empty_moov+default_base_moof"}
        elif self.format in ("mp4", "mov"):
            options = {"movflags": "faststart+use_metadata_tags"}
        with _write_errors(path):
            self.container: Any = av.open(str(path), "w", format=self.format, options=options)
        if comment:
            self.container.metadata["comment"] = comment
        self.stream: Any = self._add_video_stream(width, height, rate, quality, live)
        self._ticks: dict[int, int] = {}  # durations of frames in the encoder, by presentation time
        self._source: Any = None  # of the sound
        self._sound: Iterator[tuple[Fraction, Any]] = iter(())
        self._next_sound: tuple[Fraction, Any] | None = None
        self._last_time = -1

    def copy_sound(self, source: Path, begin: Fraction | None, end: Fraction | None, shift: Fraction) -> None:
        """Copy the sound and subtitles of `source` from `begin` to `end`, if given; its time `shift` becomes 0."""
        with _write_errors(self.path):
            self._source = open_film(source)
            streams = {stream.index: self._copy_stream(stream) for stream in list_sound_streams(self._source)}
            self._sound = _read_packets(self._source, streams, begin, end, shift)

    def add_frame(self, rgb: Tensor, time: Fraction, duration: Fraction) -> None:
        """Add a frame (1, 3, H, W) in [0, 1]; times are in seconds."""
        pixels = (rgb[0].permute(1, 2, 0).clamp(0, 1) * 255).round().byte().contiguous().numpy()
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
        if self.codec == "h264":
            frame = frame.reformat(
                format="yuv420p",
                dst_colorspace=Colorspace.ITU709,
                src_color_range=ColorRange.JPEG,
                dst_color_range=ColorRange.MPEG,
                dst_color_primaries=ColorPrimaries.BT709,
                dst_color_trc=ColorTrc.BT709,
            )
        elif self.stream.codec_context.name == "ffv1":
            frame = frame.reformat(format="bgr0")
        frame.time_base = self.clock
        frame.pts = self._last_time = max(round(time / self.clock), self._last_time + 1)
        self._ticks[frame.pts] = max(1, round(duration / self.clock))
        self._encode(frame)

    def close(self) -> None:
        """Write the frames still in the encoder, and the end of the file."""
        self._encode(None)
        with _write_errors(self.path):
            self._mux_sound(None)
            self.container.close()
        if self._source:
            self._source.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        if kind is None:
            self.close()
            return
        with suppress(Exception):
            self.container.close()
        if self._source:
            self._source.close()

    def _add_video_stream(self, width: int, height: int, rate: Fraction, quality: int, live: bool) -> Any:
        name = "libx264" if self.codec == "h264" else "ffv1" if self.format == "matroska" else "libx264rgb"
        stream = self.container.add_stream(name, rate=rate.limit_denominator(100_000))
        stream.width, stream.height = width, height
        stream.pix_fmt = {"libx264": "yuv420p", "ffv1": "bgr0", "libx264rgb": "rgb24"}[name]
        stream.time_base = stream.codec_context.time_base = self.clock
        if name == "libx264":
            stream.codec_context.colorspace = Colorspace.ITU709.value
            stream.codec_context.color_primaries = ColorPrimaries.BT709.value
            stream.codec_context.color_trc = ColorTrc.BT709.value
            stream.codec_context.color_range = ColorRange.MPEG.value
        stream.options = {
            "libx264": {"crf": f"{42 - 0.3 * quality:.1f}"},
            "libx264rgb": {"qp": "0"},
            "ffv1": {"level": "3", "slicecrc": "1"},
        }[name]
        if live and name != "ffv1":
            stream.options = {**stream.options, "tune": "zerolatency", "preset": "veryfast"}
        return stream

    def _encode(self, frame: Any) -> None:
        with _write_errors(self.path):
            for packet in self.stream.encode(frame):
                packet.duration = self._ticks.pop(packet.pts, packet.duration)
                if packet.dts is not None:
                    self._mux_sound(packet.dts * packet.time_base)
                self.container.mux_one(packet)

    def _mux_sound(self, time: Fraction | None) -> None:
        """Write the sound up to a time, all that is left if it is None."""
        while following := self._next_sound or next(self._sound, None):
            self._next_sound = following
            if time is not None and following[0] > time:
                return
            self._next_sound = None
            self.container.mux_one(following[1])

    def _copy_stream(self, stream: Any) -> Any:
        added = self.container.add_stream_from_template(stream)
        added.metadata.update({name: text for name, text in stream.metadata.items() if name in ("language", "title")})
        return added


def _read_packets(
    source: Any, streams: Mapping[int, Any], begin: Fraction | None, end: Fraction | None, shift: Fraction
) -> Iterator[tuple[Fraction, Any]]:
    """Yield the packets that go to the streams, in their order, with their new times."""
    if not streams:
        return
    with suppress(av.error.FFmpegError):  # a damaged file ends at the damage
        for packet in source.demux([source.streams[index] for index in streams]):
            if packet.dts is None or packet.pts is None:
                continue
            time = packet.pts * packet.time_base
            if (begin is not None and time < begin) or (end is not None and time >= end):
                continue
            ticks = round(shift / packet.time_base)
            packet.pts, packet.dts = packet.pts - ticks, packet.dts - ticks
            packet.stream = streams[packet.stream.index]
            yield time - shift, packet


def check_sound_fits(source: Path, target: Path) -> None:
    """Raise UsageError if the format of `target` can't hold the sound or subtitles of `source`."""
    with open_film(source) as container, av.open(os.devnull, "w", format=FILM_FORMATS[target.suffix.lower()]) as probe:
        supported = probe.supported_codecs
        refused = [
            f"{stream.type} ({name})"
            for stream in list_sound_streams(container)
            if (name := stream.codec_context.codec.canonical_name) not in supported
        ]
    if refused:
        raise UsageError(
            f"{target} can't hold the {' and '.join(refused)} of {source}: end its name in .mkv, or leave them out by "
            "turning `sound` off",
            setting="sound",
        )


def read_film_comment(path: Path) -> str | None:
    """Return the comment in a film file."""
    with open_film(path) as container:
        return next((text for name, text in container.metadata.items() if name.lower() == "comment"), None)


@contextmanager
def _write_errors(path: Path) -> Iterator[None]:
    """Turn PyAV's errors while writing into PictureError."""
    try:
        yield
    except (av.error.FFmpegError, OSError) as error:
        reason = getattr(error, "strerror", None) or error
        raise PictureError(
            f"{path} can't be written, {reason}: free some disk space, or choose another place"
        ) from error
