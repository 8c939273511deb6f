"""Amounts of memory and time, as people write and read them, and how much of the memory is used."""

from pydantic import ByteSize, TypeAdapter, ValidationError

GIB = 2**30
MAX_BYTES = 2**60
USABLE_MEMORY_SHARE = 0.93  # of the memory that may be used: estimates are a little off

_BYTES = TypeAdapter(ByteSize)


def parse_bytes(text: str) -> int | None:
    """Read an amount of memory: `4GiB` is 4 * 1024^3 bytes, `4GB` and `4G` are 4 * 1000^3; None for `auto`.

    Raises ValueError for anything else.
    """
    if text.strip().lower() == "auto":
        return None
    try:
        count = int(_BYTES.validate_python(text))
    except ValidationError:
        count = 0
    if not 1 <= count < MAX_BYTES:
        raise ValueError(f"takes an amount of memory, such as 4GiB or 500MB, or auto; not {text!r}")
    return count


def check_bytes(text: str) -> str:
    """Return an amount of memory unchanged. Raises ValueError where it is none."""
    parse_bytes(text)
    return text


def format_bytes(count: float) -> str:
    """Write a number of bytes: `3.1 GiB`."""
    if count >= 0.95 * GIB:
        return f"{count / GIB:.1f} GiB"
    return f"{count / 2**20:.0f} MiB" if count >= 2**20 else f"{count / 2**10:.0f} KiB"


def format_seconds(seconds: float) -> str:
    """Write a time: `40 s`, `12 min`, `3.5 h`."""
    if seconds < 100:
        return f"{max(1, seconds):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def format_count(number: int, noun: str) -> str:
    """Write a number of things: `1 step`, `2 steps`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
