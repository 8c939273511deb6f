"""The benchmark of print size: its pieces run, and what it says of them is true."""

import sys
from pathlib import Path

import pytest
import torch
from conftest import make_picture

from impasto.images.read import read_image
from impasto.images.write import write_image

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

import print_poster  # noqa: E402
import print_size  # noqa: E402
from kills import kill_and_resume  # noqa: E402


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path]:
    for seed, name in enumerate(("photo.png", "painting.png"), start=1):
        write_image(make_picture(64, 48, seed), tmp_path / name)
    return [tmp_path / "photo.png", tmp_path / "painting.png"]


@pytest.mark.skipif(sys.platform != "linux", reason="the peak of memory is read from /proc")
@pytest.mark.slow
def test_a_piece_tells_what_it_took_or_why_not(pictures: list[Path]) -> None:
    photo, painting = map(str, pictures)
    settings = {"network": "slim", "views": "1", "size": 64, "start_size": 64, "steps": 4}
    found = print_size.run("paint", photo=photo, painting=painting, settings=settings, strategy={"tile_size": 32})
    assert found["megapixels"] == 64 * 48 / 1e6
    assert found["steps"] == 4
    assert found["strategy"] == "in tiles of 32 pixels"
    assert found["bytes_in_all"] >= found["bytes"] > found["base_bytes"] > 0
    refused = print_size.run("paint", photo=photo, painting=painting, settings={**settings, "memory": "50MB"})
    assert "allow more `memory`" in refused["refused"]
    assert refused["needed"] > refused["limit"]


def test_the_figures_are_those_of_the_pieces() -> None:
    def took(megapixels: float, taken: int, **more: object) -> dict[str, object]:
        return {"megapixels": megapixels, "bytes": taken, "base_bytes": 0, "step_seconds": megapixels, **more}

    results = {
        "memory/slim/1": took(1, 300_000_000),
        "memory/slim/4": took(4, 600_000_000),
        "memory/reference/1": took(1, 10**9),
        "memory/reference/4": {"died": "can't allocate memory"},
        "time/whole/4": took(4, 1),
        "time/tiles_1024/4": {**took(4, 1), "step_seconds": 6.0},
        "limits/1GiB/4": {"refused": "takes at least 2 GiB", "limit": 2**30},
        "limits/2GiB/4": took(4, 1, bytes_in_all=2**31 + 1, limit=2**31),
    }
    found = print_size.summarise(results)
    assert found["bytes_per_pixel_slim"] == [100.0]
    assert found["bytes_per_pixel_reference"] == []
    assert found["tiled_over_time/tiles_1024/4"] == 1.5
    assert found["limits_kept"] == {"limits/1GiB/4": "takes at least 2 GiB", "limits/2GiB/4": False}


def test_crops_show_where_tiles_meet(tmp_path: Path) -> None:
    assert print_poster.find_side("100 x 75, in tiles of 1536 pixels, 3 steps of history: about 1 GiB") == 1536
    assert print_poster.find_side("100 x 75, whole: about 1 GiB") == 0
    write_image(make_picture(1500, 1200), tmp_path / "poster.png")
    said = print_poster.cut(tmp_path / "poster.png", 500)
    assert len(said) == 4
    middle = read_image(tmp_path / "poster_middle.png").rgb
    assert middle.shape == (1, 3, 1024, 1024)
    whole = read_image(tmp_path / "poster.png").rgb
    left, top = map(int, said[0].partition(": ")[2].partition(";")[0].split(", "))
    assert torch.equal(middle, whole[..., top : top + 1024, left : left + 1024])


@pytest.mark.slow
def test_killed_runs_are_counted(pictures: list[Path]) -> None:
    options = ["--network=slim", "--size=48", "--start-size=24", "--steps=5", "--later-steps=80", "--precision=float32"]
    photo, painting = pictures
    count = kill_and_resume(photo, painting, options, 1)
    assert count.kills >= 1
    assert count.same == count.runs >= 1
