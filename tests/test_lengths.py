"""Lengths of paintings: read as they are written, relative or in pixels."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from impasto.settings.lengths import AUTO, PIXEL_RANGE, RELATIVE_RANGE, Length, format_lengths, parse_lengths

lengths = st.one_of(
    st.just(AUTO),
    st.floats(*RELATIVE_RANGE).map(Length),
    st.floats(*PIXEL_RANGE).map(lambda value: Length(value, in_pixels=True)),
)


@given(st.lists(lengths, min_size=1, max_size=4))
def test_lengths_are_read_as_they_are_written(some: list[Length]) -> None:
    assert parse_lengths(format_lengths(tuple(some))) == tuple(some)
    assert parse_lengths(some) == tuple(some)


def test_lengths_as_a_person_writes_them() -> None:
    assert parse_lengths("1, 400px,0.5") == (Length(1), Length(400, in_pixels=True), Length(0.5))
    assert parse_lengths(2) == (Length(2),)
    assert parse_lengths(("16px", 0.05)) == (Length(16, in_pixels=True), Length(0.05))
    assert format_lengths((Length(1), Length(400, in_pixels=True))) == "1,400px"


@pytest.mark.parametrize("wrong", [0, "0.01", 11, "400", "15px", "40000px", "px", "", "1,", "nan", "1;2", None, ()])
def test_what_is_no_length_is_refused_with_both_ways_to_write_one(wrong: object) -> None:
    with pytest.raises(
        ValueError, match=r"relative to the canvas, 0.05 to 10, or in pixels, 16px to 32768px, .*; not "
    ):
        parse_lengths(wrong)


def test_relative_lengths_go_with_the_canvas() -> None:
    assert [Length(0.5).to_pixels(longer, 512) for longer in (128, 256, 512)] == [64, 128, 256]


def test_pixels_are_those_of_the_finished_picture_and_shrink_with_its_coarser_scales() -> None:
    length = Length(400, in_pixels=True)
    assert [length.to_pixels(longer, 800) for longer in (200, 400, 800)] == [100, 200, 400]
    assert length.to_pixels(4000, 4000) == 400
