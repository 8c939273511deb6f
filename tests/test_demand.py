"""What reading takes: large JPEG files are decoded smaller, and memory is refused before it is taken."""

import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image as PilImage

import impasto
from impasto.errors import UsageError
from impasto.images import demand
from impasto.images.demand import ReadingDemand
from impasto.images.read import read_image
from impasto.painting.model_cache import ModelCache
from impasto.runs.inputs import read_paintings, read_photo
from impasto.settings.model import Settings
from impasto.settings.units import USABLE_MEMORY_SHARE

ORIENTATION = 0x112


@pytest.fixture(autouse=True)
def few_pixels_are_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demand, "LARGE_PIXELS", 10_000)


def write_photo(path: Path, size: tuple[int, int] = (800, 600), *, orientation: int = 1) -> Path:
    """Write a smooth picture: reducing it loses little."""
    small = PilImage.effect_noise((8, 6), 200).convert("RGB")
    exif = PilImage.Exif()
    exif[ORIENTATION] = orientation
    small.resize(size, PilImage.Resampling.BICUBIC).save(path, quality=95, exif=exif)
    return path


@pytest.mark.parametrize(
    ("side", "rule", "expected"),
    [
        (40, "longest", (100, 75)),
        (100, "longest", (200, 150)),
        (101, "longest", (400, 300)),
        (100, "shortest", (400, 300)),
        (300, "longest", (800, 600)),
        (0, "longest", (800, 600)),
    ],
)
def test_large_jpeg_is_decoded_at_twice_its_need(side, rule, expected, tmp_path):
    image = read_image(write_photo(tmp_path / "a.jpg"), demand=ReadingDemand(side=side, rule=rule))
    assert (image.width, image.height) == expected


def test_reduced_photo_is_like_the_whole(tmp_path):
    path = write_photo(tmp_path / "a.jpg", orientation=6)
    whole, reduced = read_image(path), read_image(path, demand=ReadingDemand(side=100))
    assert (reduced.width, reduced.height) == (150, 200)
    assert torch.allclose(whole.resized(75, 100).rgb, reduced.resized(75, 100).rgb, atol=0.02)


@pytest.mark.parametrize(("name", "size"), [("a.png", (800, 600)), ("a.jpg", (100, 80))], ids=["PNG", "small JPEG"])
def test_other_pictures_are_read_whole(name, size, tmp_path):
    image = read_image(write_photo(tmp_path / name, size), demand=ReadingDemand(side=16))
    assert (image.width, image.height) == size


def test_picture_with_masks_is_read_whole(tmp_path):
    path = write_photo(tmp_path / "a.jpg")
    sizes = [read_photo(path, Settings(size=64, **given)).width for given in ({}, {"preserve_mask": "a.png"})]
    paintings = [read_paintings([path], Settings(size=64, **given), None) for given in ({}, {"style_mask": ("all",)})]
    assert sizes == [200, 800] == [painting.width for (painting,) in paintings]


def test_painting_is_kept_for_each_size_needed(tmp_path):
    path, cache = write_photo(tmp_path / "a.jpg"), ModelCache()
    widths = [read_paintings([path], Settings(size=size), None, cache.read_painting)[0].width for size in (64, 150, 64)]
    assert widths == [200, 400, 200]


def test_reading_beyond_the_memory_is_refused_with_its_need(tmp_path):
    path = write_photo(tmp_path / "a.png")
    need = (100_000_000 + demand.DECODED_BYTES * 800 * 600) / USABLE_MEMORY_SHARE
    with pytest.raises(UsageError, match=r"^`memory`: .*a\.png, 800 x 600 pixels, takes \d+ MiB") as refused:
        read_image(path, demand=ReadingDemand(memory_bytes=int(need) - 1, used_bytes=100_000_000))
    assert refused.value.setting == "memory"
    assert read_image(path, demand=ReadingDemand(memory_bytes=int(need) + 1, used_bytes=100_000_000)).width == 800


def test_memory_is_checked_before_a_job_reads(tmp_path):
    path = write_photo(tmp_path / "a.png", (1200, 900))
    with pytest.raises(UsageError, match=r"`memory`: 20 MiB may be used, but reading"):
        impasto.start(path, path, size=64, memory="20MiB", network="slim")


def test_a_picture_that_the_caller_opened_is_left_as_it_is(tmp_path: Path) -> None:
    with PilImage.open(write_photo(tmp_path / "photo.jpg")) as opened:
        assert read_image(opened, demand=ReadingDemand(side=100)).width == opened.width == 800


def test_progressive_jpeg_counts_its_whole_size(tmp_path):
    write_photo(tmp_path / "a.jpg")
    with PilImage.open(tmp_path / "a.jpg") as opened:
        opened.save(tmp_path / "progressive.jpg", progressive=True)
    names = ("a.jpg", "progressive.jpg")
    taken = [read_image(tmp_path / name, demand=ReadingDemand(side=40)).reading_bytes for name in names]
    assert taken[1] - taken[0] == demand.PROGRESSIVE_BYTES * 800 * 600


def test_plan_includes_what_reading_takes(tmp_path):
    path = write_photo(tmp_path / "a.png", (80, 60))
    run = impasto.start(path, path, size=64, memory="40GiB", network="slim", views=(1.0,))
    run.reading_bytes = 30 * 2**30
    assert run.plan.chosen.bytes == 30 * 2**30


def test_copies_of_a_painting_are_held_once_each_with_its_own_path(tmp_path: Path) -> None:
    frames = [PilImage.new("RGB", (20, 20), color) for color in ("red", "blue")]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    shutil.copyfile(tmp_path / "a.gif", tmp_path / "b.gif")
    cache = ModelCache()
    first, second = (cache.read_painting(tmp_path / name, ReadingDemand()) for name in ("a.gif", "b.gif"))
    assert first.rgb is second.rgb
    assert second.path == tmp_path / "b.gif"
    assert str(tmp_path / "b.gif") in second.notes[0]
