"""Changes to files, drawn from a seed: the same number always makes the same file."""

import random
import re
import struct
import zlib

BYTES = (0, 1, 2, 3, 127, 128, 254, 255)
INTEGERS = (0, 1, 2, 255, 256, 0x7FFF, 0x8000, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
WORDS = (
    b"-1",
    b"0",
    b"1e999",
    b"NaN",
    b"99999999999999999999",
    b'""',
    b"null",
    b"[]",
    b"{}",
    b"\xff\xfe",
    b"../..",
    b"\0",
)
HEAD_BYTES = 256  # where most of what matters is
PNG_START = b"\x89PNG\r\n\x1a\n"


def mutate(data: bytes, other: bytes, number: int) -> bytes:
    """Change a file in a few places; `other` is one of the same kind, to splice in."""
    chance = random.Random(number)
    for _ in range(chance.choice((1, 1, 2, 3, 6, 12))):
        data = chance.choice(CHANGES)(data, other, chance)
    return _repair_png(data) if data.startswith(PNG_START) and chance.random() < 0.7 else data


def _place(data: bytes, chance: random.Random) -> int:
    return chance.randrange(max(1, min(len(data), HEAD_BYTES if chance.random() < 0.6 else len(data))))


def _set_byte(data: bytes, _: bytes, chance: random.Random) -> bytes:
    at = _place(data, chance)
    return data[:at] + bytes([chance.choice((*BYTES, chance.randrange(256)))]) + data[at + 1 :]


def _flip_bit(data: bytes, _: bytes, chance: random.Random) -> bytes:
    at = _place(data, chance)
    return data[:at] + bytes([byte ^ 1 << chance.randrange(8) for byte in data[at : at + 1]]) + data[at + 1 :]


def _set_integer(data: bytes, _: bytes, chance: random.Random) -> bytes:
    at, form = _place(data, chance), chance.choice("<>") + chance.choice("HIQ")
    packed = struct.pack(form, chance.choice(INTEGERS) & (2 ** (8 * struct.calcsize(form)) - 1))
    return data[:at] + packed + data[at + len(packed) :]


def _delete(data: bytes, _: bytes, chance: random.Random) -> bytes:
    at = _place(data, chance)
    return data[:at] + data[at + chance.choice((1, 2, 4, 16, 100)) :]


def _repeat(data: bytes, _: bytes, chance: random.Random) -> bytes:
    at, length = _place(data, chance), chance.choice((1, 4, 12, 64, 300))
    return data[: at + length] + data[at : at + length] * chance.choice((1, 1, 2, 50)) + data[at + length :]


def _blank(data: bytes, _: bytes, chance: random.Random) -> bytes:
    at, length = _place(data, chance), chance.choice((4, 16, 100))
    return data[:at] + bytes([chance.choice(BYTES)]) * length + data[at + length :]


def _cut(data: bytes, _: bytes, chance: random.Random) -> bytes:
    return data[: chance.randrange(len(data) + 1)]


def _splice(data: bytes, other: bytes, chance: random.Random) -> bytes:
    return data[: _place(data, chance)] + other[_place(other, chance) :]


def _replace_word(data: bytes, _: bytes, chance: random.Random) -> bytes:
    words = list(re.finditer(rb"[\w.]+", data))
    if not words:
        return data
    word = chance.choice(words)
    return data[: word.start()] + chance.choice(WORDS) + data[word.end() :]


CHANGES = (_set_byte, _flip_bit, _set_integer, _delete, _repeat, _blank, _cut, _splice, _replace_word)


def _repair_png(data: bytes) -> bytes:
    """Make the checksums right, without which a changed PNG is refused at once."""
    at, made = len(PNG_START), [PNG_START]
    while at + 12 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        body = data[at + 4 : at + 8 + length]
        made += [data[at : at + 4], body, struct.pack(">I", zlib.crc32(body))]
        at += 12 + length
    return b"".join(made)
