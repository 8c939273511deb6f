"""16-bit colour as PNG and TIFF, which Pillow can't write."""

import errno
import os
import struct
import zlib
from collections.abc import Sequence
from typing import BinaryIO

import numpy as np

from impasto.images.metadata import TEXT_KEY, XMP_TAG, pack_xmp
from impasto.images.raster import BAND_ROWS, Raster

MAX_TIFF_BYTES = 2**32  # its offsets have 32 bits
BYTE, SHORT, LONG, UNDEFINED = (1, "B"), (3, "H"), (4, "I"), (7, "B")  # TIFF's types: number, struct format


def write_png16(file: BinaryIO, raster: Raster, profile: bytes, embedded_text: str = "") -> None:
    """Write a PNG of 16 bits with an ICC profile, band by band. Source: PNG specification."""
    colour = 2 if raster.channels == 3 else 6
    file.write(b"\x89PNG\r\n\x1a\n")
    _write_chunk(file, b"IHDR", struct.pack(">IIBBBBB", raster.width, raster.height, 16, colour, 0, 0, 0))
    _write_chunk(file, b"iCCP", b"sRGB\0\0" + zlib.compress(profile))
    if embedded_text:
        _write_chunk(file, b"iTXt", TEXT_KEY.encode() + b"\0" * 5 + embedded_text.encode())  # plain, of no language
    compressor = zlib.compressobj()
    last = np.zeros((1, raster.width * raster.channels * 2), np.uint8)  # above the first row: nothing
    for _, rows in raster.iterate_bands():
        big_endian = rows.astype(">u2").view(np.uint8).reshape(len(rows), -1)
        above = np.vstack([last, big_endian[:-1]])
        lines = np.insert(big_endian - above, 0, 2, axis=1)  # filter 2: each byte less the one above it
        last = big_endian[-1:]
        if data := compressor.compress(lines.tobytes()):
            _write_chunk(file, b"IDAT", data)
    _write_chunk(file, b"IDAT", compressor.flush())
    _write_chunk(file, b"IEND", b"")


def _write_chunk(file: BinaryIO, kind: bytes, data: bytes) -> None:
    file.write(struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)))


def write_tiff16(file: BinaryIO, raster: Raster, profile: bytes, embedded_text: str = "") -> None:
    """Write a deflated TIFF of 16 bits with an ICC profile, band by band. Source: TIFF 6.0.

    The directory follows the pixels, as only then is known where they lie.
    Raises OSError where the file would pass TIFF's end at 4 GiB.
    """
    channels = raster.channels
    file.write(b"II*\0" + struct.pack("<I", 0))
    offsets, lengths = list[int](), list[int]()
    for _, rows in raster.iterate_bands():
        differences = rows.astype("<u2")
        differences[:, 1:] -= rows[:, :-1]  # predictor 2: each pixel less the one to its left
        strip = zlib.compress(differences.tobytes())
        offsets.append(file.tell())
        lengths.append(len(strip))
        file.write(strip + b"\0" * (len(strip) % 2))  # a directory begins on an even byte
        _check_tiff_size(file.tell())
    entries: dict[int, tuple[tuple[int, str], Sequence[int]]] = {
        256: (LONG, [raster.width]),
        257: (LONG, [raster.height]),
        258: (SHORT, [16] * channels),
        259: (SHORT, [8]),  # compression: deflate
        262: (SHORT, [2]),  # photometric: RGB
        273: (LONG, offsets),
        277: (SHORT, [channels]),
        278: (LONG, [BAND_ROWS]),
        279: (LONG, lengths),
        317: (SHORT, [2]),
        **({338: (SHORT, [2])} if channels == 4 else {}),  # extra sample: alpha, not multiplied in
        **({XMP_TAG: (BYTE, pack_xmp(embedded_text))} if embedded_text else {}),
        34675: (UNDEFINED, profile),
    }
    place = file.tell()
    directory = _pack_directory(entries, place)
    _check_tiff_size(place + len(directory))
    file.write(directory)
    file.seek(4)
    file.write(struct.pack("<I", place))
    file.seek(0, os.SEEK_END)


def _check_tiff_size(place: int) -> None:
    if place >= MAX_TIFF_BYTES:
        raise OSError(errno.EFBIG, "a TIFF ends at 4 GiB and this picture needs more")


def _pack_directory(entries: dict[int, tuple[tuple[int, str], Sequence[int]]], place: int) -> bytes:
    """Pack a directory that lies at a byte of the file, and after it the values that don't fit in their entries."""
    head, tail = struct.pack("<H", len(entries)), b""
    for tag, ((kind, form), values) in entries.items():
        packed = struct.pack(f"<{len(values)}{form}", *values).ljust(4, b"\0")
        if len(packed) > 4:
            tail_at = place + 2 + 12 * len(entries) + 4 + len(tail)
            tail += packed + b"\0" * (len(packed) % 2)
            packed = struct.pack("<I", tail_at)
        head += struct.pack("<HHI", tag, kind, len(values)) + packed
    return head + struct.pack("<I", 0) + tail
