"""The pages of a TIFF file: which one is the picture, and its tags."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from PIL import Image as PilImage
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from impasto.errors import PictureError
from impasto.images.formats import CAMERA_RAW

BIG_TIFF_VERSION = 43
# Tags: https://www.loc.gov/preservation/digital/formats/content/tiff_tags.shtml
NEW_SUBFILE_TYPE, SUBFILE_TYPE, WIDTH, HEIGHT, BITS_PER_SAMPLE, PHOTOMETRIC = 254, 255, 256, 257, 258, 262
PLANAR_CONFIGURATION, SUB_DIRECTORIES, SAMPLE_FORMAT, ICC_PROFILE, DNG_VERSION = 284, 330, 339, 34675, 50706
RAW_PHOTOMETRICS = (32803, 34892)  # the values of single sensor cells, and linear raw


@dataclass(frozen=True)
class Page:
    """A page of a TIFF file: its number from 0 on, where its directory lies, and its tags; `count` pages in all."""

    number: int
    offset: int
    tags: ImageFileDirectory_v2
    count: int = 1

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return int(self.tags[WIDTH]), int(self.tags[HEIGHT])

    @property
    def has_16_bits(self) -> bool:
        """Does it hold whole numbers of 16 bits?"""
        return set(self.tags.get(BITS_PER_SAMPLE, ())) == {16} and set(self.tags.get(SAMPLE_FORMAT, (1,))) == {1}

    def check_kind(self, path: Path) -> None:
        """Raise PictureError for numbers that libvips can't read, or reads wrongly."""
        bits, is_planar = max(self.tags.get(BITS_PER_SAMPLE, (1,))), self.tags.get(PLANAR_CONFIGURATION) == 2
        if bits > 32 or (bits == 16 and is_planar and not self.has_16_bits):
            kind = f"a TIFF of {bits}-bit numbers{' in planes' if is_planar else ''}, a kind that is not read"
            raise PictureError(f"{path} is {kind}: save it with 8 bits, or with 16 as whole numbers")

    @property
    def is_reduced(self) -> bool:
        """Is it a smaller copy of another picture?"""
        return bool(self.tags.get(NEW_SUBFILE_TYPE, 0) & 1) or self.tags.get(SUBFILE_TYPE) == 2

    @property
    def is_raw(self) -> bool:
        """Is it a camera's raw picture, or the preview of one, which lies in a sub-directory?"""
        is_preview = self.is_reduced and SUB_DIRECTORIES in self.tags
        return DNG_VERSION in self.tags or self.tags.get(PHOTOMETRIC) in RAW_PHOTOMETRICS or is_preview

    def read_exif(self, file: BinaryIO) -> PilImage.Exif:
        """Return its tags together with those of EXIF, which lie elsewhere in the file."""
        exif = PilImage.Exif()
        exif.endian, exif.bigtiff = self.tags._endian, self.tags._bigtiff
        exif.load_from_fp(file, self.offset)
        return exif


def choose_page(file: BinaryIO, path: Path) -> Page:
    """Choose the first page that is not a reduced copy of another.

    Raises PictureError for a camera's raw file; anything where the file is damaged.
    """
    pages = list(_list_pages(file))
    if any(page.is_raw for page in pages):
        raise PictureError(f"{path} is {CAMERA_RAW}")
    full = [page for page in pages if not page.is_reduced] or pages
    return replace(full[0], count=len(full))


def _list_pages(file: BinaryIO) -> Iterator[Page]:
    file.seek(0)
    header = file.read(8)
    header += file.read(8) if header[2] == BIG_TIFF_VERSION else b""
    offset, seen = ImageFileDirectory_v2(header).next, set[int]()
    while offset and offset not in seen:  # damaged files go in circles
        tags = ImageFileDirectory_v2(header)
        file.seek(offset)
        tags.load(file)
        yield Page(len(seen), offset, tags)
        seen.add(offset)
        offset = tags.next
