"""A text inside a picture's file, under the key `impasto`: PNG's iTXt, elsewhere a property in an XMP packet.

Read from the file's structure alone: no pixel is decoded, and whatever else the file holds is stepped over.
"""

import os
import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO
from xml.etree import ElementTree
from xml.sax.saxutils import quoteattr

from impasto.errors import PictureError, UsageError
from impasto.images.output import FORMATS, check_regular_file

TEXT_KEY = "impasto"
MAX_TEXT_BYTES = 1 << 20  # bytes, of a text or of what an XMP packet holds beside it
MAX_JPEG_TEXT_BYTES = 64_000  # XMP is one segment there, of 65,533 bytes with all that is around the text

XMP_TAG = 700  # in TIFF
XMP_NAMESPACE = "urn:impasto:"
XMP_PROPERTY = f"{{{XMP_NAMESPACE}}}recipe"
RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
JPEG_XMP = b"http://ns.adobe.com/xap/1.0/\0"


def check_text_length(path: str | os.PathLike[str], length: int) -> None:
    """Raise UsageError where a text of `length` bytes does not fit into a picture of the format of `path`."""
    form = FORMATS.get(Path(path).suffix.lower())
    limit = MAX_JPEG_TEXT_BYTES if form == "JPEG" else MAX_TEXT_BYTES
    if length > limit:
        other = "end the name in .png, .webp or .tif, or " if form == "JPEG" else ""
        raise UsageError(f"{path} can't hold a recipe of {length:,} bytes, more than {limit:,}: {other}leave it out")


def pack_xmp(text: str) -> bytes:
    """Put a text into an XMP packet of its own. Source: Adobe's XMP specification, part 1."""
    # The attribute's quotes and line ends are escaped, as XML would make spaces of them.
    value = quoteattr(text, {"\n": "&#10;", "\r": "&#13;", "\t": "&#9;"})
    return (
        '<?xpacket begin="\N{BYTE ORDER MARK}" id="W5M0MpCehiHzreSzNTczkc9d"?>'
        f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="{RDF}">'
        f'<rdf:Description rdf:about="" xmlns:impasto="{XMP_NAMESPACE}" impasto:recipe={value}/>'
        '</rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
    ).encode()


def unpack_xmp(packet: bytes) -> str | None:
    """Take the text out of an XMP packet, or None if it holds none; raises ValueError where it is damaged."""
    if XMP_NAMESPACE.encode() not in packet:
        return None
    text = packet.decode().strip("\0")
    if "<!" in text:  # no packet has declarations, and entities can make gigabytes of a line
        raise ValueError("its XMP packet holds declarations")
    try:
        for element in ElementTree.fromstring(text).iter():
            found = element.text if element.tag == XMP_PROPERTY else element.get(XMP_PROPERTY)
            if found is not None:
                return found
    except ElementTree.ParseError as error:
        raise ValueError(f"its XMP packet is damaged: {error}") from None
    return None


def read_embedded_text(path: str | os.PathLike[str]) -> str | None:
    """Read the text in a PNG, JPEG, WebP or TIFF file; None where there is none.

    Raises PictureError where there is no such picture, it is cut short before the text, or holds more than 1 MiB there.
    """
    path = Path(path)
    try:
        check_regular_file(path)
        with path.open("rb") as file:
            return _read(file)
    except FileNotFoundError:
        raise PictureError(f"{path} does not exist: check the name and the folder") from None
    except IsADirectoryError:
        raise PictureError(f"{path} is a folder: name a picture inside it") from None
    except OSError as error:
        raise PictureError(f"{path} can't be opened: {error.strerror or error}") from error
    except (EOFError, ValueError) as error:
        raise PictureError(f"{path} can't be read: {error}") from None


def _read(file: BinaryIO) -> str | None:
    head = file.read(12)
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        file.seek(8)
        return _find_in_png(file)
    if head.startswith(b"\xff\xd8"):
        file.seek(2)
        return next(filter(None, map(unpack_xmp, _jpeg_packets(file))), None)
    if head.startswith(b"RIFF") and head.endswith(b"WEBP"):
        return next(filter(None, map(unpack_xmp, _webp_packets(file))), None)
    if head[:4] in (b"II*\0", b"MM\0*"):
        file.seek(4)
        return next(filter(None, map(unpack_xmp, _tiff_packets(file, "<" if head[:1] == b"I" else ">"))), None)
    raise ValueError("it is no PNG, JPEG, WebP or TIFF, or damaged at its start")


def _find_in_png(file: BinaryIO) -> str | None:
    keyword, kind = TEXT_KEY.encode() + b"\0", b""
    while kind != b"IEND":
        length, kind = struct.unpack(">I4s", _take(file, 8))
        begin = file.tell()
        if kind == b"iTXt" and file.read(len(keyword)) == keyword:
            # not compressed, method 0; a language and a translated keyword, both empty as we write it; the text
            found = re.fullmatch(rb"\0\0[^\0]*\0[^\0]*\0(.*)", _take(file, length - len(keyword)), re.DOTALL)
            if not found:
                raise ValueError("its text was written anew by another program, in a way that is not read here")
            return found[1].decode()
        file.seek(begin + length + 4)  # 4: the checksum
    return None


def _jpeg_packets(file: BinaryIO) -> Iterator[bytes]:
    while True:
        mark, kind, length = struct.unpack(">BBH", _take(file, 4))
        if mark != 0xFF:
            raise ValueError("it is damaged before its pixels")
        if kind == 0xDA:  # the pixels begin
            return
        data = _take(file, length - 2)
        if kind == 0xE1 and data.startswith(JPEG_XMP):
            yield data.removeprefix(JPEG_XMP)


def _webp_packets(file: BinaryIO) -> Iterator[bytes]:
    while head := file.read(8):
        kind, length = struct.unpack("<4sI", head.ljust(8, b"\0"))
        if kind == b"XMP ":
            yield _take(file, length)
            return
        file.seek(length + length % 2, os.SEEK_CUR)


def _tiff_packets(file: BinaryIO, order: str) -> Iterator[bytes]:
    file.seek(*struct.unpack(order + "I", _take(file, 4)))
    (count,) = struct.unpack(order + "H", _take(file, 2))
    for tag, _, length, offset in struct.iter_unpack(order + "HHII", _take(file, 12 * count)):
        if tag == XMP_TAG:
            file.seek(offset)
            yield _take(file, length)


def _take(file: BinaryIO, length: int) -> bytes:
    """Read exactly so many bytes, and never more than a text may have."""
    if not 0 <= length <= MAX_TEXT_BYTES:
        raise ValueError(
            f"it holds {length:,} bytes of text, which no recipe of impasto has (at most {MAX_TEXT_BYTES:,})"
        )
    data = file.read(length)
    if len(data) < length:
        raise EOFError("it is cut short")
    return data
