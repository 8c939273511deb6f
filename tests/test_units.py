"""Amounts of memory and time."""

import pytest

from impasto.settings.units import format_bytes, format_count, format_seconds, parse_bytes


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("4GiB", 4 * 2**30),
        ("4 gib", 4 * 2**30),
        ("4G", 4 * 10**9),
        ("4GB", 4 * 10**9),
        ("500MB", 500_000_000),
        ("1.5k", 1500),
        ("100", 100),
        ("100 b", 100),
        ("2TiB", 2**41),
        ("auto", None),
        (" AUTO ", None),
    ],
)
def test_parse_bytes(text: str, wanted: int | None) -> None:
    assert parse_bytes(text) == wanted


@pytest.mark.parametrize("text", ["", "much", "-1GiB", "0", "0.5", "nan", "inf", "4 apples", "1e30", "GiB", "4GiB4"])
def test_parse_bytes_refuses_other_text(text: str) -> None:
    with pytest.raises(ValueError, match="takes an amount of memory"):
        parse_bytes(text)


def test_formatting_amounts() -> None:
    assert [format_bytes(it) for it in (0, 2**10, 2**20, 972 * 2**20, 973 * 2**20, 11 * 2**30)] == [
        "0 KiB",
        "1 KiB",
        "1 MiB",
        "972 MiB",
        "1.0 GiB",
        "11.0 GiB",
    ]
    assert [format_seconds(it) for it in (0.2, 99, 100, 600, 7200)] == ["1 s", "99 s", "2 min", "10 min", "2.0 h"]
    assert [format_count(it, "step") for it in (0, 1, 2)] == ["0 steps", "1 step", "2 steps"]
