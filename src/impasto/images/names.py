"""Names of files that every disk takes, numbered where one is taken; paths as other systems and addresses have them."""

import hashlib
import itertools
import os
import re
from pathlib import Path
from urllib.parse import unquote

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


def parse_file_address(text: str) -> str | None:
    """Return the path in an address of a file, such as a file manager copies, or None.

    Example: parse_file_address("file:///home/me/my%20photo.jpg") == "/home/me/my photo.jpg"
    """
    found = re.fullmatch(r"file:(?://(?:localhost)?)?(/[^/].*)", text, re.DOTALL)
    path = unquote(found[1]) if found else None
    return path.lstrip("/") if path and re.match(r"/[A-Za-z]:", path) else path


def explain_windows_path(path: str) -> str:
    """Say, on another system than Windows, what to write in place of a path of Windows; "" for other paths."""
    found = re.match(r"([A-Za-z]):(.*)", path, re.DOTALL)
    if IS_WINDOWS or not (found or path.startswith("\\\\")) or (found and re.search(r'[<>:"|?*]', found[2])):
        return ""
    if not found:
        return "it is a path of Windows to another machine: name the folder where this system has it"
    if "\\" not in path and "/" not in path:
        return "if it is a path of Windows, the shell has removed its backslashes: write / in their place"
    folders = found[2].replace("\\", "/").lstrip("/")
    return f"it is a path of Windows, and this is another system: in WSL it is /mnt/{found[1].lower()}/{folders}"


def find_free_path(path: Path) -> Path:
    """Return a path that is not taken: photo.png, photo_2.png, photo_3.png, ...

    Example: find_free_path(Path("photo.png"))
    """
    numbered = (path.with_name(f"{path.stem}_{number}{path.suffix}") for number in itertools.count(2))
    return next(each for each in itertools.chain([path], numbered) if not os.path.lexists(each))
