"""Which frames of a film are selected, where it is cut, folders and patterns of frames, animations."""

import itertools
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import pytest
import torch
from conftest import make_picture
from film_clips import make_still, write_clip

from impasto.errors import PictureError, UsageError
from impasto.films.frames import (
    Frame,
    FrameReader,
    FrameSelection,
    choose_frame_size,
    find_cuts,
    parse_time_point,
    scan,
)
from impasto.films.image_sequence import (
    AnimationReader,
    ImageSequence,
    list_frame_files,
    name_frame_file,
    open_reader,
)
from impasto.films.reader import FilmReader
from impasto.images import animation
from impasto.images.image import Image
from impasto.images.write import write_image


class MadeReader(FrameReader):
    """Frames in memory, at times in seconds."""

    def __init__(self, times: list[str], frames: list[torch.Tensor] | None = None) -> None:
        super().__init__(Path("made"), Fraction(1, 100))
        self.times = [Fraction(time) for time in times]
        self.frames = frames or [torch.zeros(1, 3, 6, 8)] * len(times)

    def __iter__(self) -> Iterator[Frame]:
        for time, rgb in zip(self.times, self.frames, strict=True):
            yield Frame(Image(rgb), time, Fraction(1, 10))


TENTHS = MadeReader([f"0.{tenth}" for tenth in range(10)])


def list_selected(**points: str) -> list[float]:
    selection = FrameSelection(**{name: parse_time_point(text, name) for name, text in points.items()})
    return [float(frame.time) for frame in selection.apply(TENTHS)]


def test_start_and_end_are_times_or_frames() -> None:
    assert list_selected() == [tenth / 10 for tenth in range(10)]
    assert list_selected(start="0.3", end="0.6") == [0.3, 0.4, 0.5]
    assert list_selected(start="3f", end="4f") == [0.2, 0.3]
    assert list_selected(start="0:00.75") == [0.8, 0.9]
    assert parse_time_point("1:02:03.5", "start").seconds == Fraction("3723.5")


@pytest.mark.parametrize("text", ["soon", "-1", "0f", "1:2:3:4", "12s", "nan", "1e3"])
def test_wrong_time_points_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"must be a time|counted from 1f") as caught:
        parse_time_point(text, "start")
    assert caught.value.setting == "start"


def test_every_third_frame_lasts_three_times_as_long() -> None:
    frames = list(FrameSelection(every=3).apply(TENTHS))
    assert [float(frame.time) for frame in frames] == [0, 0.3, 0.6, 0.9]
    assert [float(frame.duration) for frame in frames] == pytest.approx([0.3, 0.3, 0.3, 0.1])
    assert sum(frame.duration for frame in FrameSelection(every=4).apply(TENTHS)) == 1


def test_selecting_no_frames_raises() -> None:
    with pytest.raises(PictureError, match="no frames between `start` and `end`"):
        scan(TENTHS, FrameSelection(start=parse_time_point("5", "start")))


def test_frames_of_different_sizes_raise() -> None:
    made = MadeReader(["0", "0.1"], [torch.zeros(1, 3, 6, 8), torch.zeros(1, 3, 6, 9)])
    with pytest.raises(PictureError, match="9 x 6, but the frames before it are 8 x 6"):
        scan(made, FrameSelection())


def test_cuts_are_told_from_fast_motion() -> None:
    assert list(find_cuts([0, 0.01, 0.01, 0.3, 0.01, 0.01])) == [3]
    assert list(find_cuts([0, 0.2, 0.2, 0.25, 0.2, 0.2])) == []  # fast all the while
    assert list(find_cuts([0, 0, 0.02, 0, 0])) == []  # small
    assert list(find_cuts([0, 0.3])) == [1]


def test_cuts_of_a_film_are_found(tmp_path: Path) -> None:
    shots = [*make_still(6, noise=0.02), *[1 - frame for frame in make_still(5, seed=2)], *make_still(4, seed=9)]
    timeline = scan(FilmReader(write_clip(tmp_path / "a.mp4", shots)), FrameSelection())
    assert timeline.cuts == (6, 11)
    assert (timeline.width, timeline.height, len(timeline.times)) == (64, 48, 15)
    assert timeline.colors.shape == (1, 3, 4 * 48, 4 * 64)


def test_frame_sizes_are_even_for_codecs() -> None:
    assert choose_frame_size(640, 359, 321, even=True) == (320, 180)
    assert choose_frame_size(640, 359, 321, even=False) == (321, 180)
    assert choose_frame_size(1000, 3, 64, even=True) == (64, 2)
    assert choose_frame_size(640, 360, 90, even=False, rule="shortest") == (160, 90)
    assert choose_frame_size(640, 360, 2000, even=False, rule="shrink") == (640, 360)


# Folders and patterns


def write_frames(folder: Path, names: list[str]) -> list[Path]:
    folder.mkdir(exist_ok=True)
    return [write_image(make_picture(16, 12, seed), folder / name) for seed, name in enumerate(names)]


def test_frame_files_are_sorted_by_number(tmp_path: Path) -> None:
    folder = tmp_path / "a [folder]"
    written = write_frames(folder, ["f1.png", "f2.png", "f10.png"])
    (folder / "notes.txt").write_text("no frame")
    for path in (folder, folder / "f%d.png", folder / "f*.png"):
        assert list_frame_files(path) == written
    write_frames(folder, ["fx.png"])
    assert list_frame_files(folder / "f%04d.png") == written
    reader = open_reader(folder / "f%d.png", 10)
    assert isinstance(reader, ImageSequence)
    assert [frame.time for frame in reader] == [0, Fraction(1, 10), Fraction(1, 5)]


def test_a_path_without_frames_raises(tmp_path: Path) -> None:
    with pytest.raises(PictureError, match="holds no pictures"):
        list_frame_files(tmp_path)
    with pytest.raises(PictureError, match=r"no file .*frame_%04d\.png"):
        list_frame_files(tmp_path / "frame_%04d.png")
    path = write_image(make_picture(16, 12), tmp_path / "one.png")
    with pytest.raises(UsageError, match="a single picture, not a film: name a film, or paint it with `impasto paint`"):
        open_reader(path, 25)


def test_frame_files_are_named(tmp_path: Path) -> None:
    assert name_frame_file(tmp_path / "f_%03d.png", 0).name == "f_001.png"
    assert name_frame_file(tmp_path / "%d.jpg", 11).name == "12.jpg"
    assert name_frame_file(tmp_path / "out", 4) == tmp_path / "out" / "frame_000005.png"


# Animations


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png"])
@pytest.mark.parametrize("transparent", [False, True])
def test_an_animation_reads_as_it_was_written(tmp_path: Path, suffix: str, transparent: bool) -> None:
    frames = [torch.rand(1, 3, 4, 5).repeat_interleave(6, 2).repeat_interleave(6, 3) for _ in range(4)]
    alpha = torch.ones(1, 1, 24, 30)
    alpha[..., :10] = 0
    times = [Fraction(time) for time in ("0", "0.1", "0.35", "0.4", "0.6")]
    path = tmp_path / f"a{suffix}"
    animation.write_animation(
        iter([(frame, alpha if transparent else None) for frame in frames]),
        times,
        path,
        palette_samples=frames,
        quality=100,
        embedded_text='{"a": 1}',
    )
    reader = open_reader(path, 25)
    assert isinstance(reader, AnimationReader)
    read = list(reader)
    assert [frame.time for frame in read] == times[:-1]
    assert [frame.duration for frame in read] == [after - before for before, after in itertools.pairwise(times)]
    for frame, original in zip(read, frames, strict=True):
        assert float((frame.image.rgb - original)[..., 12:].abs().mean()) < (0.03 if suffix == ".gif" else 0.003)
        assert (frame.image.alpha is not None) == transparent
        if frame.image.alpha is not None:
            assert torch.equal(frame.image.alpha, alpha)


def test_a_damaged_animation_raises(tmp_path: Path) -> None:
    path = tmp_path / "a.gif"
    path.write_bytes(b"GIF89a")
    with pytest.raises(PictureError, match="no animation, or damaged"):
        list(open_reader(path, 25))
