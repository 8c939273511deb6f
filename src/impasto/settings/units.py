"""Amounts of memory and time, as people write and read them."""

GIB = 2**30
UNITS: dict[str, int] = {"": 1, "b": 1} | {
    letter + suffix: base**power
    for power, letter in enumerate("kmgt", start=1)
    for suffix, base in (("", 1024), ("ib", 1024), ("b", 1000))
}


def parse_bytes(text: str) -> int | None:
    """Read `4GiB`, `500 MB` or a number of bytes; `auto` is None.

    Raises ValueError for anything else.

    Example: parse_bytes("4GiB") == 4 * 2**30
    """
    plain = text.strip().lower()
    if plain == "auto":
        return None
    number = plain.rstrip("bgikmt ")
    unit = plain.removeprefix(number).strip()
    try:
        amount = float(number) * UNITS[unit]
    except (ValueError, KeyError):
        raise ValueError(f"{text!r} is no amount of memory: write it as 4GiB or 500MB, or auto") from None
    if not 1 <= amount < 2**60:
        raise ValueError(f"{text!r} is no amount of memory that a program could use: write it as 4GiB or 500MB")
    return round(amount)


def check_bytes(text: str) -> str:
    """Return an amount of memory as it is; raises ValueError where it is none."""
    parse_bytes(text)
    return text


def format_bytes(count: float) -> str:
    """Say a number of bytes: `3.1 GiB`."""
    return f"{count / GIB:.1f} GiB" if count >= 0.95 * GIB else f"{count / 2**20:.0f} MiB"


def format_seconds(seconds: float) -> str:
    """Say a time: `40 s`, `12 min`, `3.5 h`."""
    if seconds < 100:
        return f"{max(1, seconds):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def format_count(number: int, thing: str) -> str:
    """Say how many there are of a thing: `1 step`, `2 steps`."""
    return f"{number} {thing}{'' if number == 1 else 's'}"
