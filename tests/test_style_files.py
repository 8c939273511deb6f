"""Style files: as good as the painting where one pass paints, refused elsewhere, and harmless from a stranger."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from conftest import make_picture
from film_clips import make_still, write_clip
from PIL import Image as PilImage

import impasto
from impasto.cli.app import main
from impasto.errors import PictureError, UsageError
from impasto.fast.style_file import FACTS, MAX_BYTES, read_style_file
from impasto.films.image_sequence import open_reader
from impasto.images.collection import find_painting
from impasto.images.write import write_image
from impasto.network.registry import SLIM_SHA256

SIZE, EXACT = 96, {"size": 96, "precision": "float32"}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_image(make_picture(96, 80), "photo.png")
    write_image(make_picture(90, 80, 7).flip(1), "painting.png")
    write_image(make_picture(80, 90, 8), "another.png")
    impasto.save_style("painting.png", "style.safetensors", size=SIZE)
    return tmp_path


def measure_difference(one: PilImage.Image, other: PilImage.Image) -> float:
    return float(np.abs(np.asarray(one, float) - np.asarray(other, float)).mean())


@pytest.mark.parametrize("name", ["starry_night", "the_scream", "the_gray_tree"])
def test_a_style_file_paints_as_the_painting_does(folder: Path, name: str) -> None:
    photo = find_painting("the_bedroom")
    assert photo
    impasto.save_style(name, folder / "s.safetensors", size=128)
    ours, theirs = (impasto.paint_fast(photo, it, size=128, precision="float32") for it in ("s.safetensors", name))
    assert measure_difference(ours, theirs) < 1
    assert (folder / "s.safetensors").stat().st_size < MAX_BYTES


def test_blends_and_masks_take_a_style_file(folder: Path) -> None:
    sides = torch.zeros(1, 3, 80, 96)
    sides[..., :48] = 1
    write_image(sides, folder / "left.png")
    for chosen in ({"style_blend": (2, 1)}, {"mask": ("left.png", "rest")}):
        ours, theirs = (
            impasto.paint_fast("photo.png", [it, "another.png"], **EXACT, **chosen)
            for it in ("style.safetensors", "painting.png")
        )
        assert measure_difference(ours, theirs) < 1


def test_transparent_and_bordered_paintings_are_measured_as_painted(folder: Path) -> None:
    bordered = torch.ones(1, 3, 120, 130)
    bordered[..., 20:100, 20:110] = make_picture(90, 80, 7)
    write_image(bordered, "bordered.png")
    write_image(make_picture(90, 80, 7), "clear.png", alpha=torch.linspace(0, 1, 90).expand(1, 1, 80, 90))
    for name in ("bordered.png", "clear.png"):
        impasto.save_style(name, folder / "s.safetensors", size=SIZE, overwrite=True)
        ours, theirs = (impasto.paint_fast("photo.png", it, **EXACT) for it in ("s.safetensors", name))
        assert measure_difference(ours, theirs) < 1


def test_a_film_takes_a_style_file(folder: Path) -> None:
    source = write_clip(folder / "a.mkv", make_still(2), codec="ffv1", pixels="bgr0")
    impasto.save_style("painting.png", "small.safetensors", size=64)
    chosen = {"preset": "instant", "size": 64, "precision": "float32", "codec": "lossless"}
    for name in ("small.safetensors", "painting.png"):
        for _ in impasto.film(source, name, output=f"{name}.mkv", **chosen):
            pass
    ours, theirs = (
        next(iter(open_reader(folder / f"{name}.mkv", 25))).image.rgb for name in ("small.safetensors", "painting.png")
    )
    assert float((ours - theirs).abs().mean()) < 1 / 255


def test_a_recipe_finds_its_style_file_again(folder: Path) -> None:
    picture = impasto.paint_fast("photo.png", "style.safetensors", size=SIZE, output="a.png")
    recipe = impasto.read_recipe("a.png")
    assert recipe.paintings[0].name == "style.safetensors"
    (folder / "style.safetensors").rename(folder / "renamed.safetensors")
    assert impasto.rerun("a.png").tobytes() == picture.tobytes()
    impasto.save_style("another.png", "renamed.safetensors", size=SIZE, overwrite=True)
    with pytest.raises(impasto.RecipeError, match=r"style\.safetensors"):
        impasto.rerun("a.png")


@pytest.mark.usefixtures("without_processes")
def test_a_batch_takes_style_files(folder: Path) -> None:
    words = ["batch", "photo.png", "--style", "style.safetensors", "painting.png", "--preset", "instant"]
    assert main([*words, "--size", "96", "-o", "out", "-q"]) == 0
    assert {path.name for path in (folder / "out").glob("*.png")} == {"photo_style.png", "photo_painting.png"}


@pytest.mark.parametrize(
    ("chosen", "setting"),
    [
        ({"preset": "default"}, "preset"),
        ({"preset": "draft", "init": "fast"}, "preset"),
        ({"style_size": 0.5}, "style_size"),
        ({"style_size": "auto"}, "style_size"),
        ({"style_mask": "all.png"}, "style_mask"),
        ({"labels": "a.png", "style_labels": "b.png"}, "style_labels"),
        ({"regions": 2}, "regions"),
        ({"trim": "none"}, "trim"),
        ({"color": "match"}, "color"),
        ({"init_noise": 0.5, "noise": "painting"}, "noise"),
    ],
)
def test_what_needs_the_painting_itself_is_refused(folder: Path, chosen: dict[str, Any], setting: str) -> None:
    assert folder
    with pytest.raises(UsageError, match=r"painting") as caught:
        impasto.start("photo.png", "style.safetensors", **{"preset": "instant", "size": SIZE, **chosen})
    assert caught.value.setting == setting


def test_steering_to_what_needs_the_painting_is_refused(folder: Path) -> None:
    assert folder
    run = impasto.start("photo.png", "style.safetensors", preset="instant", size=SIZE)
    with pytest.raises(UsageError):
        run.steer(style_size=0.5)


def test_another_size_and_the_credit_are_told(folder: Path) -> None:
    impasto.save_style("starry_night", folder / "s.safetensors", size=64)
    notes = impasto.start("photo.png", "s.safetensors", preset="instant", size=SIZE).notes
    assert any("Vincent van Gogh" in note for note in notes)
    assert any("64 pixels" in note and "96" in note for note in notes)
    notes = impasto.start("photo.png", "style.safetensors", preset="instant", size=SIZE).notes
    assert notes == []


def test_a_style_file_is_no_picture(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert folder
    assert main(["fast", "style.safetensors", "painting.png", "-o", "a.png"]) == 1
    assert "style file" in capsys.readouterr().err
    assert main(["style", "style.safetensors"]) == 1
    assert "style file" in capsys.readouterr().err


def test_the_command_writes_and_never_replaces(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["style", "painting.png", "--credit", "by me", "--size", "64"]) == 0
    assert "painting.safetensors" in capsys.readouterr().out
    assert read_style_file(folder / "painting.safetensors").credit == "by me"
    assert main(["style", "painting.png", "-o", "style.safetensors"]) == 1
    assert main(["style", "painting.png", "-o", "style.safetensors", "--overwrite", "-q"]) == 0
    assert main(["style", "painting.png", "-o", "style.png"]) == 2
    assert main(["style", "painting.png", "--size", "20"]) == 2
    assert main(["style", "painting.png", "--credit", "two\nlines"]) == 2
    assert main(["style", "painting.png", "-o", "-"]) == 2


def damage(path: Path, about: dict[str, Any] | None = None, **changed: Any) -> None:
    """Write a style file again with other tensors, by their names without the level, or None, and other facts."""
    data = path.read_bytes()
    tensors = safetensors.torch.load(data)
    facts = json.loads(json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])["__metadata__"][FACTS])
    for name in list(tensors):
        change = changed.get(name.split()[-1], "same")
        if change is None:
            del tensors[name]
        elif change != "same":
            tensors[name] = change(tensors[name])
    safetensors.torch.save_file(tensors, path, {FACTS: json.dumps({**facts, **(about or {})})})


@pytest.mark.parametrize(
    "changes",
    [
        {"mean": None},
        {"thumbnail": None},
        {"root": lambda x: x[:-1].clone()},
        {"root": lambda x: x.float()},
        {"root": lambda x: torch.full_like(x, float("nan"))},
        {"mean": lambda x: torch.full_like(x, float("inf"))},
        {"mean": lambda x: torch.full_like(x, 60000.0)},
        {"thumbnail": lambda x: x.repeat(1, 1, 3, 3)},
        {"thumbnail": lambda x: x[:, :1].clone()},
        {"thumbnail": lambda x: x.half()},
        {"about": {"size": "0"}},
        {"about": {"size": "many"}},
        {"about": {"size": 1e300}},
        {"about": {"credit": "a\x1b[2J"}},
        {"about": {"credit": "a" * 1000}},
        {"about": {"network": "0" * 64}},
        {"about": {"format": 2}},
    ],
)
def test_a_damaged_style_file_is_refused(folder: Path, changes: dict[str, Any]) -> None:
    damage(folder / "style.safetensors", **changes)
    with pytest.raises(PictureError, match="save it anew"):
        read_style_file(folder / "style.safetensors")


def test_other_files_of_that_suffix_are_refused(folder: Path, weights_file: Path) -> None:
    (folder / "large.safetensors").write_bytes(bytes(MAX_BYTES + 1))
    (folder / "empty.safetensors").write_bytes(b"")
    for path in (weights_file, *(folder / f"{name}.safetensors" for name in ("large", "empty", "missing"))):
        with pytest.raises(PictureError, match=path.name):
            impasto.paint_fast("photo.png", path, size=SIZE)


@pytest.mark.parametrize("value", [0.0, -10000.0, 10000.0])
def test_extreme_statistics_are_refused_or_paint(folder: Path, value: float) -> None:
    damage(
        folder / "style.safetensors",
        mean=lambda x: torch.full_like(x, value),
        root=lambda x: torch.full_like(x, value).cumsum(0).clamp(-10000, 10000),
    )
    try:
        read_style_file(folder / "style.safetensors")
    except PictureError:
        return
    assert impasto.paint_fast("photo.png", "style.safetensors", size=SIZE).size == (96, 80)


def test_saved_files_name_the_network_and_are_the_same_each_time(folder: Path) -> None:
    impasto.save_style("painting.png", "again.safetensors", size=SIZE)
    assert (folder / "again.safetensors").read_bytes() == (folder / "style.safetensors").read_bytes()
    assert SLIM_SHA256.encode() in (folder / "again.safetensors").read_bytes()
