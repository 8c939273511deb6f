"""The formats of pictures: those read and written, their suffixes, and others that people take for them."""

import importlib.util
from itertools import chain

from impasto.errors import describe_install
from impasto.settings.model import Settings

MAX_PIXELS: int = Settings.model_fields["max_pixels"].default

# What is read, as Pillow calls it, and the suffixes that say so. What a file is called does not matter to reading it.
READ_SUFFIXES: dict[str, tuple[str, ...]] = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "PNG": (".png", ".apng"),
    "WEBP": (".webp",),
    "TIFF": (".tif", ".tiff"),
    "AVIF": (".avif", ".avifs"),
    "HEIF": (".heic", ".heif", ".hif"),
    "BMP": (".bmp", ".dib"),
    "GIF": (".gif",),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm"),
    "JPEG2000": (".jp2", ".j2k", ".jpf", ".jpx", ".j2c", ".jpc"),
}
PILLOW_FORMATS = tuple(form for form in READ_SUFFIXES if form != "HEIF")
IMAGE_SUFFIXES: tuple[str, ...] = tuple(chain.from_iterable(READ_SUFFIXES.values()))
WRITE_FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP", ".tif": "TIFF", ".tiff": "TIFF"}
DEFAULT_QUALITY = 95  # of 1 to 100, for JPEG and WebP
ANIMATION_FORMATS = {".gif": "GIF", ".webp": "WEBP", ".png": "PNG", ".apng": "PNG"}  # that are written
READ_ANIMATIONS = ("GIF", "WEBP", "PNG", "AVIF")

RAW_SUFFIXES = (
    *(".dng", ".nef", ".nrw", ".arw", ".srf", ".sr2", ".cr2", ".cr3", ".crw", ".orf", ".rw2", ".rwl", ".raw", ".raf"),
    *(".pef", ".srw", ".3fr", ".fff", ".iiq", ".erf", ".mef", ".mos", ".mrw", ".kdc", ".dcr", ".x3f", ".gpr"),
)
CAMERA_RAW = (
    "a camera's raw file: develop it first, in the camera's own program, darktable or RawTherapee, and give the JPEG, "
    "PNG or TIFF that comes out"
)
WEB_PAGE = "a web page, not a picture: save the picture itself"
FILM = "a film, not a picture: `impasto film` paints it, and a frame of it saved as a picture can be a painting"
SAVE_AS = "open it in a program that shows it, and save it as PNG, JPEG or TIFF"
# How files begin that people take for pictures, and what they are: (position, bytes, what to say).
FOREIGN_STARTS = (
    *((0, start, CAMERA_RAW) for start in (b"FUJIFILMCCD-RAW", b"IIRO", b"IIRS", b"MMOR", b"IIU\0", b"FOVb", b"\0MRM")),
    *((at, start, CAMERA_RAW) for at, start in ((4, b"ftypcrx "), (6, b"HEAPCCDR"), (8, b"CR\2"))),
    (0, b"8BPS", f"a Photoshop file: {SAVE_AS}"),
    (0, b"%PDF", f"a PDF file: {SAVE_AS}"),
    (0, b"%!PS", f"a PostScript file: {SAVE_AS}"),
    (0, b"<svg", f"a drawing in SVG: {SAVE_AS}"),
    (0, b"\xff\x0a", f"a JPEG XL picture: {SAVE_AS}"),
    (4, b"JXL \r\n", f"a JPEG XL picture: {SAVE_AS}"),
    (0, b"\x76\x2f\x31\x01", f"an OpenEXR picture: {SAVE_AS}"),
    (0, b"#?RADIANCE", f"a picture in Radiance HDR: {SAVE_AS}"),
    (0, b"gimp xcf", f"a GIMP file: {SAVE_AS}"),
    (0, b"<?xml", f"a drawing in SVG, or another text in XML: {SAVE_AS}"),
    (0, b"\0\0\1\0", f"an icon: {SAVE_AS}"),
    (0, b"DDS ", f"a game's texture in DDS: {SAVE_AS}"),
    *((0, start, WEB_PAGE) for start in (b"<!DOCTYPE", b"<!doctype", b"<html", b"<HTML")),
    (0, b"PK\3\4", "an archive or an office document, not a picture: take the picture out of it"),
    *((4, b"ftyp" + brand, FILM) for brand in (b"iso", b"mp4", b"qt  ", b"M4V", b"3gp", b"avc1", b"dash", b"mmp4")),
    (0, b"\x1a\x45\xdf\xa3", FILM),  # Matroska and WebM
    (8, b"AVI LIST", FILM),
)
HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
PICTURE_BRANDS = (*HEIF_BRANDS, b"avif", b"avis", b"crx ")  # of files that otherwise begin as films do
NO_HEIF = (
    f"a HEIC picture, as phones take them, and the package that reads it is missing: {describe_install('heic')}, or "
    "save it as JPEG"
)
TENSORS = (
    "a style file or a network's weights, not a picture: give the picture itself. A style file takes the place of a "
    "painting alone, in `impasto fast` and with `preset` instant"
)
HEAD_BYTES = 64  # of a file, that tell what it is


def is_heif(head: bytes) -> bool:
    """Tell whether a file that begins with `head` is HEIC or HEIF, other than AVIF."""
    brands = head[8 : int.from_bytes(head[:4], "big")]
    return head[4:8] == b"ftyp" and head[8:12] in HEIF_BRANDS and b"avif" not in brands


def is_tiff(head: bytes) -> bool:
    """Tell whether a file that begins with `head` is TIFF or BigTIFF."""
    return head[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def is_safetensors(head: bytes) -> bool:
    """Tell whether a file that begins with `head` is one of tensors: the length of a header in JSON, and that."""
    return head[8:9] == b"{" and head[4:8] == bytes(4)


def describe_foreign(head: bytes, suffix: str) -> str:
    """Say what a file is, and what to do, that can't be read although it holds a picture; "" for others.

    `head` is how it begins. Raw files of most cameras are TIFF files, and only their suffix tells.
    """
    if is_heif(head) and not importlib.util.find_spec("pillow_heif"):
        return NO_HEIF
    if is_safetensors(head):
        return TENSORS
    is_raw = suffix.lower() in RAW_SUFFIXES and is_tiff(head)
    found = (what for at, start, what in FOREIGN_STARTS if head.startswith(start, at))
    return CAMERA_RAW if is_raw else next(found, "")
