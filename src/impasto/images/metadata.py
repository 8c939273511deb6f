"""A text inside a picture's file: the property `recipe` of an XMP packet."""

import os
import sys
from pathlib import Path
from xml.etree import ElementTree
from xml.sax.saxutils import quoteattr

from PIL import Image as PilImage
from PIL import UnidentifiedImageError

from impasto.errors import PictureError, UsageError
from impasto.images.formats import WRITE_FORMATS
from impasto.images.opening import limit_pillow, open_file

MAX_TEXT_BYTES = 1 << 20
MAX_JPEG_TEXT_BYTES = 64_000  # there XMP is one segment, of 65,533 bytes with all that is around the text
MAX_PACKET_BYTES = 8 << 20  # a text of MAX_TEXT_BYTES may be longer in XML, and other programs add to the packet
TEXT_FORMATS = tuple(dict.fromkeys(WRITE_FORMATS.values()))

XMP_TAG = 700  # in TIFF
PNG_XMP = "XML:com.adobe.xmp"  # the keyword of the iTXt chunk
XMP_NAMESPACE = "urn:impasto:"
XMP_PROPERTY = f"{{{XMP_NAMESPACE}}}recipe"
RDF_NAMESPACE = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"


def check_text_length(path: str | os.PathLike[str], length: int) -> None:
    """Raise UsageError where a text of `length` bytes does not fit into a picture of the format of `path`."""
    form = WRITE_FORMATS.get(Path(path).suffix.lower())
    limit = MAX_JPEG_TEXT_BYTES if form == "JPEG" else MAX_TEXT_BYTES
    if length > limit:
        other = "end the name in .png, .webp or .tif, or " if form == "JPEG" else ""
        raise UsageError(f"{path} can't hold a recipe of {length:,} bytes, more than {limit:,}: {other}leave it out")


def pack_xmp(text: str) -> bytes:
    """Put a text into an XMP packet of its own. Source: Adobe's XMP specification, part 1."""
    # The attribute's quotes and line ends are escaped, as XML would make spaces of them.
    value = quoteattr(text, {"\n": "&#10;", "\r": "&#13;", "\t": "&#9;"})
    return (
        '<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?>'
        f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="{RDF_NAMESPACE}">'
        f'<rdf:Description rdf:about="" xmlns:impasto="{XMP_NAMESPACE}" impasto:recipe={value}/>'
        '</rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
    ).encode("ascii", "xmlcharrefreplace")


def unpack_xmp(packet: bytes) -> str | None:
    """Take the text out of an XMP packet, or None if it holds none; raises ValueError where it is damaged."""
    if XMP_NAMESPACE.encode() not in packet:
        return None
    if len(packet) > MAX_PACKET_BYTES:
        raise ValueError(f"it holds {len(packet):,} bytes of text, which no recipe of impasto has")
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
    """Read the text in a PNG, JPEG, WebP or TIFF file; None where there is none. No pixel is decoded.

    Raises PictureError where the file is missing, no such picture, cut short before the text, or holds more than 1 MiB.
    """
    path = Path(path)
    with open_file(path) as file, limit_pillow(sys.maxsize):
        try:
            info = PilImage.open(file, formats=TEXT_FORMATS).info
            # libvips writes a PNG's packet as plain text, which is Latin-1 to Pillow.
            return unpack_xmp(info.get("xmp") or info.get(PNG_XMP, "").encode("latin-1"))
        except UnidentifiedImageError:
            raise PictureError(
                f"{path} can't be read: it is no PNG, JPEG, WebP or TIFF, or damaged at its start"
            ) from None
        except Exception as error:  # given damaged bytes, a decoder raises anything
            raise PictureError(f"{path} can't be read: {error}") from None
