"""Made clips for the tests of films: moving patterns in any container, with sound, turned, cut short."""

import struct
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import torch
from conftest import make_picture
from torch import Tensor
from torch.nn.functional import interpolate

TICK = Fraction(1, 12800)


def make_pan(frames: int, width: int = 64, height: int = 48, step: int = 2, seed: int = 3) -> list[Tensor]:
    """A textured scene that goes by: each frame is the one before, `step` pixels to the left."""
    chance = torch.Generator().manual_seed(seed)
    wide = width + step * frames
    coarse = interpolate(torch.rand(1, 3, 8, wide // 6, generator=chance), (height, wide), mode="bicubic")
    fine = interpolate(torch.rand(1, 1, height // 3, wide // 3, generator=chance), (height, wide), mode="bicubic")
    scene = (0.6 * coarse + 0.4 * fine).clamp(0, 1)
    return [scene[..., step * frame : step * frame + width].clone() for frame in range(frames)]


def make_still(frames: int, width: int = 64, height: int = 48, noise: float = 0.0, seed: int = 1) -> list[Tensor]:
    """The same picture again and again, with a camera's noise."""
    chance = torch.Generator().manual_seed(seed)
    picture = make_picture(width, height, seed)
    return [(picture + noise * torch.randn(picture.shape, generator=chance)).clamp(0, 1) for _ in range(frames)]


def write_clip(
    path: Path,
    frames: Sequence[Tensor],
    *,
    ticks: Sequence[int] = (),
    codec: str = "libx264",
    pixels: str = "yuv420p",
    sound: str = "",
    options: dict[str, str] | None = None,
    container_options: dict[str, str] | None = None,
    aspect: Fraction | None = None,
) -> Path:
    """Write frames at `ticks` of 1/12800 s, 25 a second if not given, and as much of a tone as they last."""
    ticks = list(ticks) or [512 * index for index in range(len(frames))]
    with av.open(str(path), "w", options=container_options or {}) as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = frames[0].shape[3], frames[0].shape[2], pixels
        stream.time_base = stream.codec_context.time_base = TICK
        stream.options = options or ({"qp": "0"} if codec == "libx264" else {})
        if aspect:
            stream.codec_context.sample_aspect_ratio = aspect
        heard = container.add_stream(sound, rate=16000) if sound else None
        if heard:
            heard.layout = "mono"
        for frame, tick in zip(frames, ticks, strict=True):
            whole = np.ascontiguousarray((frame[0].permute(1, 2, 0) * 255).round().byte().numpy())
            picture = av.VideoFrame.from_ndarray(whole, format="rgb24").reformat(format=pixels)
            picture.pts, picture.time_base = tick, TICK
            for packet in stream.encode(picture):
                packet.duration = packet.duration or 512
                container.mux(packet)
        for packet in stream.encode(None):
            container.mux(packet)
        if heard:
            add_tone(container, heard, (ticks[-1] + 512) * TICK)
    return path


def add_tone(container: av.container.OutputContainer, stream: av.AudioStream, seconds: Fraction) -> None:
    count = 0
    while count < seconds * 16000:
        times = np.arange(count, count + 1024) / 16000
        wave = (0.3 * np.sin(2 * np.pi * 440 * times)).astype(np.float32)[None]
        frame = av.AudioFrame.from_ndarray(wave, format="fltp", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = 16000, count, Fraction(1, 16000)
        container.mux(stream.encode(frame))
        count += 1024
    container.mux(stream.encode(None))


def turn_clip(path: Path) -> Path:
    """Write into an mp4 that it is to be shown a quarter turned clockwise, as a telephone does."""
    data = bytearray(path.read_bytes())
    header = data.find(b"tkhd")
    matrix = header + 4 + 4 + 36  # version and flags, then what comes before the matrix in version 0
    assert data[header + 4] == 0
    one = 1 << 16
    data[matrix : matrix + 36] = struct.pack(">9i", 0, one, 0, -one, 0, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
    return path


def list_packets(path: Path, kind: str) -> list[tuple[Fraction, bytes]]:
    """List the packets of all streams of a kind, with their times."""
    with av.open(str(path)) as container:
        streams = [stream for stream in container.streams if stream.type == kind]
        return [
            (packet.pts * packet.time_base, bytes(packet))
            for packet in container.demux(streams)
            if packet.pts is not None and packet.size
        ]
