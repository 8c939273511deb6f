"""Names of files that every disk takes: portable to Windows, not too long, and numbered where one is taken."""

import hashlib
import itertools
import os
import re
from pathlib import Path

IS_WINDOWS = os.name == "nt"
MAX_NAME_BYTES = 200  # file systems end at 255, and checkpoints and previews have longer names
DIGEST_DIGITS = 8
MAX_SUFFIX_LETTERS = 6  # with the dot: .jpeg, .tiff; after more, it is a sentence with a dot in it
FORBIDDEN_ON_WINDOWS = re.compile(r'[<>:"/\\|?*\x00-\x1f]|[. ]$')
DEVICES_OF_WINDOWS = re.compile(r"(con|prn|aux|nul|com\d|lpt\d) *(\.|$)", re.IGNORECASE)


def make_portable(name: str) -> str:
    """Replace by _ what Windows does not allow in a file's name: some characters, and the names of devices."""
    name = FORBIDDEN_ON_WINDOWS.sub("_", name)
    return f"_{name}" if DEVICES_OF_WINDOWS.match(name) else name


def make_file_name(name: str) -> str:
    """Make a name portable; if it is too long for disks, cut it and add digits that tell it from others cut alike."""
    name = make_portable(name)
    if len(os.fsencode(name)) <= MAX_NAME_BYTES:
        return name
    suffix = Path(name).suffix if len(Path(name).suffix) <= MAX_SUFFIX_LETTERS else ""
    digits = hashlib.sha256(os.fsencode(name)).hexdigest()[:DIGEST_DIGITS]
    kept = os.fsencode(name.removesuffix(suffix))[: MAX_NAME_BYTES - len(suffix) - DIGEST_DIGITS - 1]
    return f"{kept.decode(errors='ignore')}-{digits}{suffix}"


def find_free_path(path: Path) -> Path:
    """Return a path that is not taken: photo.png, photo_2.png, photo_3.png, ...

    Example: find_free_path(Path("photo.png"))
    """
    numbered = (path.with_name(f"{path.stem}_{number}{path.suffix}") for number in itertools.count(2))
    return next(each for each in itertools.chain([path], numbered) if not os.path.lexists(each))
