"""16-bit colour as PNG and TIFF, which Pillow can't write."""

import errno
import struct
import zlib
from collections.abc import Sequence
from itertools import accumulate
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from impasto.pictures.inscriptions import KEY, XMP_TAG, pack_xmp

ROWS = 64  # that are compressed at once
TIFF_END = 2**32  # its offsets have 32 bits
BYTE, SHORT, LONG, UNDEFINED = (1, "B"), (3, "H"), (4, "I"), (7, "B")  # TIFF's types: number, struct format


def write_png(file: BinaryIO, pixels: NDArray[np.uint16], profile: bytes, inscription: str = "") -> None:
    """Write (H, W, 3 or 4) as a PNG with an ICC profile; the fourth channel is alpha. Source: PNG specification."""
    height, width, channels = pixels.shape
    big_endian = pixels.astype(">u2").view(np.uint8).reshape(height, -1)
    above = np.vstack([np.zeros_like(big_endian[:1]), big_endian[:-1]])
    lines = np.insert(big_endian - above, 0, 2, axis=1)  # filter 2: each byte less the one above it
    colour = 2 if channels == 3 else 6

    file.write(b"\x89PNG\r\n\x1a\n")
    _write_chunk(file, b"IHDR", struct.pack(">IIBBBBB", width, height, 16, colour, 0, 0, 0))
    _write_chunk(file, b"iCCP", b"sRGB\0\0" + zlib.compress(profile))
    if inscription:
        _write_chunk(file, b"iTXt", KEY.encode() + b"\0" * 5 + inscription.encode())  # plain, of no language
    compressor = zlib.compressobj()
    for top in range(0, height, ROWS):
        if data := compressor.compress(lines[top : top + ROWS].tobytes()):
            _write_chunk(file, b"IDAT", data)
    _write_chunk(file, b"IDAT", compressor.flush())
    _write_chunk(file, b"IEND", b"")


def _write_chunk(file: BinaryIO, kind: bytes, data: bytes) -> None:
    file.write(struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)))


def write_tiff(file: BinaryIO, pixels: NDArray[np.uint16], profile: bytes, inscription: str = "") -> None:
    """Write (H, W, 3 or 4) as a deflated TIFF with an ICC profile; the fourth channel is alpha. Source: TIFF 6.0.

    Raises OSError where the file would pass TIFF's end at 4 GiB.
    """
    height, width, channels = pixels.shape
    differences = pixels.astype("<u2")
    differences[:, 1:] -= pixels[:, :-1]  # predictor 2: each pixel less the one to its left
    strips = [zlib.compress(differences[top : top + ROWS].tobytes()) for top in range(0, height, ROWS)]
    entries: dict[int, tuple[tuple[int, str], Sequence[int]]] = {
        256: (LONG, [width]),
        257: (LONG, [height]),
        258: (SHORT, [16] * channels),
        259: (SHORT, [8]),  # compression: deflate
        262: (SHORT, [2]),  # photometric: RGB
        273: (LONG, [0] * len(strips)),  # where the strips lie: known once the directory's length is
        277: (SHORT, [channels]),
        278: (LONG, [ROWS]),
        279: (LONG, [len(strip) for strip in strips]),
        317: (SHORT, [2]),
        **({338: (SHORT, [2])} if channels == 4 else {}),  # extra sample: alpha, not multiplied in
        **({XMP_TAG: (BYTE, pack_xmp(inscription))} if inscription else {}),
        34675: (UNDEFINED, profile),
    }
    first = 8 + len(_directory(entries))
    offsets = list(accumulate((len(strip) for strip in strips), initial=first))
    if offsets.pop() >= TIFF_END:
        raise OSError(errno.EFBIG, "a TIFF ends at 4 GiB and this picture needs more")
    entries[273] = (LONG, offsets)
    file.write(b"II*\0" + struct.pack("<I", 8) + _directory(entries))
    file.writelines(strips)


def _directory(entries: dict[int, tuple[tuple[int, str], Sequence[int]]]) -> bytes:
    """Pack a directory that lies at byte 8, and after it the values that don't fit in their entries."""
    head, tail = struct.pack("<H", len(entries)), b""
    for tag, ((kind, form), values) in entries.items():
        packed = struct.pack(f"<{len(values)}{form}", *values).ljust(4, b"\0")
        if len(packed) > 4:
            tail_at = 8 + 2 + 12 * len(entries) + 4 + len(tail)
            tail += packed + b"\0" * (len(packed) % 2)
            packed = struct.pack("<I", tail_at)
        head += struct.pack("<HHI", tag, kind, len(values)) + packed
    return head + struct.pack("<I", 0) + tail
