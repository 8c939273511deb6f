"""Films written with PyAV: H.264 or lossless, each frame at its time, sound and subtitles passed on untouched."""

from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
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
from impasto.films.reader import open_film

FILM_FORMATS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska"}
COPIED_STREAM_TYPES = ("audio", "subtitle")
MIN_CLOCK_SECONDS = Fraction(1, 1_000_000)  # a clock that ticks faster is no longer kept exactly


class FilmEncoder:
    """A film file that frames are added to, in order; `close` finishes it.

    `live`: every frame but the last can be played as soon as it is added, whatever becomes of the program.

    Errors: UsageError where the format can't hold what is to be passed on; PictureError where the disk refuses.
    """

    def __init__(
        self,
        path: Path,
        width: int,
        height: int,
        *,
        form: str,
        clock: Fraction,
        rate: Fraction,
        codec: Codec = "h264",
        quality: int = 85,
        live: bool = False,
        comment: str = "",
    ) -> None:
        self.path, self.clock = path, max(clock, MIN_CLOCK_SECONDS)
        options = {"flush_packets": "1", "movflags": "frag_every_frame+empty_moov+default_base_moof"} if live else {}
        if form in ("mp4", "mov") and not live:
            options = {"movflags": "faststart+use_metadata_tags"}
        with _write_errors(path):
            self.container: Any = av.open(str(path), "w", format=form, options=options)
        self.form, self.codec = form, codec
        if comment:
            self.container.metadata["comment"] = comment
        self.stream = self._add_video_stream(width, height, rate, quality, live)
        self._durations: dict[int, int] = {}  # how long the frame of each time lasts, in ticks
        self._sound: _SoundCopier | None = None
        self._last_pts = -1

    def copy_sound(self, source: Path, begin: Fraction | None, end: Fraction | None, shift: Fraction) -> None:
        """Pass on the sound and subtitles of `source` from `begin` to `end`, if given; its `shift` becomes 0."""
        with _write_errors(self.path):
            self._sound = _SoundCopier(self.container, source, begin, end, shift)

    def add_frame(self, rgb: Tensor, time: Fraction, duration: Fraction) -> None:
        """Add a frame (1, 3, H, W) in [0, 1] that is shown at `time`, in seconds."""
        whole = (rgb[0].permute(1, 2, 0).clamp(0, 1) * 255).round().byte().contiguous().numpy()
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(whole), format="rgb24")
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
        frame.time_base, frame.pts = self.clock, max(round(time / self.clock), self._last_pts + 1)
        self._last_pts = frame.pts
        self._durations[frame.pts] = max(1, round(duration / self.clock))
        with _write_errors(self.path):
            for packet in self.stream.encode(frame):
                self._mux(packet)

    def close(self) -> None:
        """Write what is still on its way, and the end of the file."""
        with _write_errors(self.path):
            for packet in self.stream.encode(None):
                self._mux(packet)
            if self._sound:
                for packet in self._sound.packets_until(None):
                    self.container.mux_one(packet)
            self.container.close()
        if self._sound:
            self._sound.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        if kind is None:
            self.close()
            return
        with suppress(Exception):
            self.container.close()
        if self._sound:
            self._sound.close()

    def _add_video_stream(self, width: int, height: int, rate: Fraction, quality: int, live: bool) -> Any:
        name = "libx264" if self.codec == "h264" else "ffv1" if self.form == "matroska" else "libx264rgb"
        rate = rate.limit_denominator(100_000)
        stream = self.container.add_stream(name, rate=rate)
        stream.width, stream.height = width, height
        stream.pix_fmt = {"libx264": "yuv420p", "ffv1": "bgr0", "libx264rgb": "rgb24"}[name]
        stream.time_base = stream.codec_context.time_base = self.clock
        if name == "libx264":
            stream.codec_context.colorspace = Colorspace.ITU709.value
            stream.codec_context.color_primaries = ColorPrimaries.BT709.value
            stream.codec_context.color_trc = ColorTrc.BT709.value
            stream.codec_context.color_range = ColorRange.MPEG.value
            stream.options = {"crf": f"{42 - 0.3 * quality:.1f}"}
        elif name == "libx264rgb":
            stream.options = {"qp": "0"}
        else:
            stream.options = {"level": "3", "slicecrc": "1"}
        if live and name != "ffv1":
            stream.options = {**stream.options, "tune": "zerolatency", "preset": "veryfast"}
        return stream

    def _mux(self, packet: Any) -> None:
        packet.duration = self._durations.pop(packet.pts, packet.duration)
        if self._sound and packet.dts is not None:
            for passed in self._sound.packets_until(packet.dts * packet.time_base):
                self.container.mux_one(passed)
        self.container.mux_one(packet)


class _SoundCopier:
    """The packets of a film that are passed on, in their order, a little ahead of the pictures."""

    def __init__(
        self, target: Any, source: Path, begin: Fraction | None, end: Fraction | None, shift: Fraction
    ) -> None:
        self.begin, self.end, self.shift = begin, end, shift
        self.container = open_film(source)
        self.streams = {it.index: self._add(target, it) for it in list_copied_streams(self.container)}
        self.packets = self._read()
        self.waiting: deque[tuple[Fraction, Any]] = deque()

    def _add(self, target: Any, stream: Any) -> Any:
        added = target.add_stream_from_template(stream)
        added.metadata.update({name: text for name, text in stream.metadata.items() if name in ("language", "title")})
        return added

    def _read(self) -> Iterator[tuple[Fraction, Any]]:
        if not self.streams:
            return
        with suppress(av.error.FFmpegError):  # what is cut short ends there
            chosen = [self.container.streams[index] for index in self.streams]
            for packet in self.container.demux(chosen):
                if packet.dts is None or packet.pts is None:
                    continue
                time = packet.pts * packet.time_base
                if (self.begin is not None and time < self.begin) or (self.end is not None and time >= self.end):
                    continue
                ticks = round(self.shift / packet.time_base)
                packet.pts, packet.dts = packet.pts - ticks, packet.dts - ticks
                packet.stream = self.streams[packet.stream.index]
                yield time - self.shift, packet

    def packets_until(self, time: Fraction | None) -> Iterator[Any]:
        """Yield the packets up to a time, all that are left if it is None."""
        while True:
            if not self.waiting:
                following = next(self.packets, None)
                if following is None:
                    return
                self.waiting.append(following)
            if time is not None and self.waiting[0][0] > time:
                return
            yield self.waiting.popleft()[1]

    def close(self) -> None:
        """Close the film that they come from."""
        self.container.close()


def list_copied_streams(container: Any) -> list[Any]:
    """List the streams of an open film that are passed on."""
    return [
        it
        for it in container.streams
        if it.type in COPIED_STREAM_TYPES and getattr(it, "codec_context", None) is not None
    ]


def check_sound_fits(source: Path, target: Path) -> None:
    """Raise UsageError where the format of `target` can't hold the sound or subtitles of `source`."""
    form = FILM_FORMATS[target.suffix.lower()]
    refused = []
    with open_film(source) as container, av.open("/dev/null", "w", format=form) as probe:
        held = probe.supported_codecs
        for stream in list_copied_streams(container):
            name = stream.codec_context.codec.canonical_name
            if name not in held:
                refused.append(f"{stream.type} ({name})")
    if refused:
        raise UsageError(
            f"{target} can't hold the {' and '.join(refused)} of {source}: end its name in .mkv, or leave them out "
            "with --no-sound"
        )


def has_sound(source: Path) -> bool:
    """Tell whether a film has sound or subtitles to pass on."""
    with open_film(source) as container:
        return bool(list_copied_streams(container))


def read_film_comment(path: Path) -> str | None:
    """Return the comment inside a film's file."""
    with open_film(path) as container:
        return next((text for name, text in container.metadata.items() if name.lower() == "comment"), None)


class _write_errors:  # noqa: N801
    """Turn PyAV's errors while writing into ours."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, av.error.FFmpegError | OSError):
            reason = getattr(error, "strerror", None) or error
            raise PictureError(f"{self.path} can't be written, {reason}: make room, or choose another place") from error


def mean_frame_rate(durations: Sequence[Fraction]) -> Fraction:
    """Give the mean number of frames a second."""
    return len(durations) / sum(durations, Fraction(0))
