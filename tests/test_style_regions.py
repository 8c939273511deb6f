"""Which part of the canvas takes its style from where: planted answers, recipes, and what is refused by name."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import SPELT_OUT, format_option, make_network, make_picture, make_settings
from torch import Tensor

import impasto
from impasto import PictureError, RecipeError, Settings, UsageError, read_recipe
from impasto.cli.app import main
from impasto.images.read import read_image
from impasto.images.write import write_image
from impasto.painting.objective import Objective, list_taps
from impasto.painting.style_regions import make_regions
from impasto.painting.styles import StyleInput, capture_style

RED, GREEN, BLUE = (0.9, 0.1, 0.1), (0.1, 0.7, 0.2), (0.1, 0.2, 0.9)
PLAIN: dict[str, Any] = {
    **SPELT_OUT,
    "size": 48,
    "start_size": 48,
    "content_weight": 0.0,
    "style_taps": {"relu1_1": 1.0},
    "steps": 120,
    "network": "slim",
    "style_loss": "wasserstein",
}
QUICK: dict[str, Any] = {**PLAIN, "steps": 2}
HALVES = (slice(0, 20), slice(28, 48))  # columns that are left and right, away from the border between


def plain(color: tuple[float, ...], width: int = 48, height: int = 36, seed: int = 1) -> Tensor:
    grain = torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(seed)) - 0.5
    return (torch.tensor(color).view(1, 3, 1, 1) + 0.1 * grain).clamp(0, 1)


def halves(left: Tensor, right: Tensor) -> Tensor:
    return torch.cat([left[..., :24], right[..., 24:]], 3)


def grey(value: float) -> Tensor:
    return torch.full((1, 3, 36, 48), value)


@pytest.fixture(autouse=True)
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a photo, two plain paintings, one of both halves, and masks."""
    monkeypatch.chdir(tmp_path)
    pictures = {
        "photo.png": halves(plain((0.3, 0.3, 0.3)), plain((0.7, 0.7, 0.7))),
        "red.png": plain(RED, seed=2),
        "blue.png": plain(BLUE, seed=3),
        "both.png": halves(plain(RED, seed=4), plain(BLUE, seed=5)),
        "left.png": halves(grey(1.0), grey(0.0)),
        "right.png": halves(grey(0.0), grey(1.0)),
        "black.png": grey(0.0),
        "white.png": grey(1.0),
        "tall.png": grey(1.0).mT,
        "labels.png": halves(grey(0.0), grey(1.0)),
        "swapped.png": halves(grey(1.0), grey(0.0)),
        "other.png": halves(grey(0.0), plain(GREEN)),
    }
    for name, rgb in pictures.items():
        write_image(rgb, name)
    return tmp_path


def paint(*paintings: str, **chosen: Any) -> Tensor:
    """Paint the photo (1, 3, 36, 48)."""
    spelt = {**PLAIN, **chosen}
    if spelt["optimizer"] == "lbfgs":
        del spelt["learning_rate"]
    return read_image(impasto.paint("photo.png", list(paintings), **spelt)).rgb


def is_colored(rgb: Tensor, half: int, color: tuple[float, ...]) -> bool:
    found = rgb[..., HALVES[half]].mean((0, 2, 3))
    return float((found - torch.tensor(color)).abs().max()) < 0.2


# Planted answers


@pytest.mark.parametrize("propagation", ["simple", "inside", "all"])
@pytest.mark.parametrize("masks", [["left.png", "right.png"], ["left.png", "rest"], ["rest", "right.png"]])
def test_each_painting_is_painted_with_in_its_place(masks: list[str], propagation: str) -> None:
    rgb = paint("red.png", "blue.png", mask=masks, mask_propagation=propagation)
    assert is_colored(rgb, 0, RED)
    assert is_colored(rgb, 1, BLUE)


def test_a_part_of_a_painting_is_used_alone() -> None:
    whole, part = paint("both.png"), paint("both.png", style_mask="right.png")
    assert is_colored(part, 0, BLUE)
    assert is_colored(part, 1, BLUE)
    assert not is_colored(whole, 0, BLUE)


def test_a_place_takes_a_part() -> None:
    rgb = paint("both.png", "both.png", mask=["left.png", "rest"], style_mask=["right.png", "left.png"])
    assert is_colored(rgb, 0, BLUE)
    assert is_colored(rgb, 1, RED)


def test_uncovered_canvas_has_no_style() -> None:
    rgb, photo = paint("red.png", mask="left.png", optimizer="lbfgs", steps=60), read_image("photo.png").rgb
    assert is_colored(rgb, 0, RED)
    assert torch.equal(rgb[..., HALVES[1]], photo[..., HALVES[1]])


def test_preserve_mask_keeps_the_photo_with_soft_edges() -> None:
    mask = grey(0.0)
    mask[..., :20], mask[..., 20:28] = 1.0, 0.5
    write_image(mask, "soft.png")
    photo = read_image("photo.png").rgb
    for color in ("none", "only", "keep"):
        rgb = paint("red.png", preserve_mask="soft.png", init="noise", color=color, optimizer="lbfgs", steps=10)
        assert torch.equal(rgb[..., :20], photo[..., :20])
    rgb = paint("red.png", preserve_mask="soft.png")
    assert is_colored(rgb, 1, RED)
    blended = rgb[..., 21:27].mean((0, 2, 3))
    assert 0.1 < float(blended[0] - blended[2]) < 0.6  # half of the red


def test_labels_lead_to_the_same_colour() -> None:
    straight = paint("both.png", labels="labels.png", style_labels="labels.png")
    crossed = paint("both.png", labels="labels.png", style_labels="swapped.png")
    assert is_colored(straight, 0, RED)
    assert is_colored(straight, 1, BLUE)
    assert is_colored(crossed, 0, BLUE)
    assert is_colored(crossed, 1, RED)


def test_labels_of_several_paintings_blend_by_their_weights() -> None:
    chosen = {"labels": "labels.png", "style_labels": ["labels.png", "swapped.png"]}
    rgb = paint("both.png", "both.png", style_blend=(1, 0), **chosen)
    assert is_colored(rgb, 0, RED)
    rgb = paint("both.png", "both.png", style_blend=(0, 1), **chosen)
    assert is_colored(rgb, 0, BLUE)


def test_similar_regions_are_matched() -> None:
    pytest.importorskip("skimage")
    write_image(halves(plain((0.1, 0.0, 0.0)), plain((1.0, 0.6, 0.6))), "reds.png")
    rgb = paint("reds.png", regions=2)
    assert is_colored(rgb, 0, (0.1, 0.0, 0.0))
    assert is_colored(rgb, 1, (1.0, 0.6, 0.6))


def test_colours_are_matched_region_by_region() -> None:
    photo = halves(plain(GREEN), plain(RED))
    write_image(photo, "photo.png", overwrite=True)
    rgb = paint("blue.png", "blue.png", mask=["left.png", "rest"], color="match")
    assert is_colored(rgb, 0, GREEN)
    assert is_colored(rgb, 1, RED)


def test_painting_without_weight_still_occupies_its_mask() -> None:
    chosen = {"mask": ["left.png", "rest"], "style_blend": (0, 1), "optimizer": "lbfgs", "steps": 60}
    rgb = paint("red.png", "blue.png", **chosen)
    assert torch.equal(rgb[..., HALVES[0]], read_image("photo.png").rgb[..., HALVES[0]])
    assert is_colored(rgb, 1, BLUE)


def test_transparency_and_masks_leave_out_together() -> None:
    alpha = torch.ones(1, 1, 36, 48)
    alpha[..., 36:] = 0
    write_image(read_image("photo.png").rgb, "photo.png", alpha=alpha, overwrite=True)
    frame = torch.ones(1, 1, 36, 48)
    frame[..., :24] = 0
    write_image(read_image("both.png").rgb, "both.png", alpha=frame, overwrite=True)  # the red half is a frame
    picture = impasto.paint("photo.png", ["red.png", "both.png"], mask=["left.png", "rest"], **PLAIN)
    rgb = read_image(picture).rgb
    assert is_colored(rgb, 0, RED)
    assert float(rgb[..., 28:36].mean((0, 2, 3))[2]) > 0.7
    assert torch.equal(rgb[..., 36:], read_image("photo.png").rgb[..., 36:])


# How strongly


@pytest.mark.parametrize("strength", [1.0, 3.0])
def test_pixel_gradient_is_independent_of_region_size(strength: float) -> None:
    tile = make_picture(8, 8, 2, torch.float64)
    canvas = tile.repeat(1, 1, 4, 24)  # 192 x 32, the same everywhere
    network = make_network(torch.float64, padding="replicate")
    settings = make_settings(content_weight=0.0, style_taps={"relu1_1": 1.0}, style_loss="gram")
    painting = StyleInput(make_picture(48, 36, 3, torch.float64))
    style = capture_style(network, painting, list_taps(settings))
    few, many = (torch.zeros(1, 1, 32, 192, dtype=torch.float64) for _ in range(2))
    few[..., 64:80], many[..., 88:184] = 1, 1
    sources = [StyleInput(painting.rgb, weight=1.0, region=few), StyleInput(painting.rgb, weight=strength, region=many)]
    regions = make_regions(network, settings, StyleInput(canvas), sources, [style, style], [{}, {}])
    canvas = canvas.requires_grad_()
    Objective(network, settings, StyleInput(canvas.detach()), regions).backward(canvas)
    assert canvas.grad is not None
    small, large = canvas.grad[..., 68:76], canvas.grad[..., 100:108]
    assert float(small.abs().max()) > 0
    torch.testing.assert_close(strength * small, large)


# Recipes


WAYS: dict[str, dict[str, Any]] = {
    "mask": {
        "mask": ["masks/left.png", "rest"],
        "style_mask": ["all", "masks/right.png"],
        "preserve_mask": "masks/k.png",
    },
    "labels": {"labels": "masks/labels.png", "style_labels": ["masks/labels.png", "masks/swapped.png"]},
}


@pytest.fixture
def masks(scene: Path) -> Path:
    """The masks moved to a folder of their own."""
    (scene / "masks").mkdir()
    for name in ("left", "right", "labels", "swapped"):
        (scene / f"{name}.png").rename(scene / "masks" / f"{name}.png")
    kept = grey(0.0)
    kept[..., :6, :] = 1
    write_image(kept, "masks/k.png")
    return scene / "masks"


@pytest.mark.parametrize("way", WAYS)
def test_pictures_with_masks_are_painted_again(masks: Path, way: str, capsys: pytest.CaptureFixture[str]) -> None:
    impasto.paint("photo.png", ["red.png", "blue.png"], output="a.png", **QUICK, **WAYS[way])
    recipe = read_recipe("a.png")
    assert "masks" not in recipe.to_json()
    assert set(recipe.files) == set(WAYS[way])
    named = [Path(file.name) for its in recipe.files.values() for file in its if file.name]
    assert recipe.settings.list_files() == named
    assert main(["rerun", "a.png", "-q", "-o", "b.png"]) == 1
    assert "its sha256 is" in capsys.readouterr().err
    assert main(["rerun", "a.png", "-q", "-o", "b.png", "--search", "masks"]) == 0
    assert Path("a.png").read_bytes() == Path("b.png").read_bytes()
    (masks / "left.png").rename(masks / "moved.png")
    impasto.rerun("a.png", output="c.png", search=["masks"])
    assert torch.equal(read_image("a.png").rgb, read_image("c.png").rgb)
    assert main(["recipe", "a.png"]) == 0
    assert f"{way} 1" in capsys.readouterr().out.replace("labels  ", "labels 1")


def test_a_changed_mask_is_refused_and_named(masks: Path) -> None:
    impasto.paint("photo.png", ["red.png", "blue.png"], output="a.png", **QUICK, **WAYS["mask"])
    (masks / "swapped.png").unlink()  # the same picture
    write_image(grey(0.5), masks / "left.png", overwrite=True)
    with pytest.raises(RecipeError, match=r"left\.png is not the mask 1 of the recipe"):
        impasto.rerun("a.png", search=["masks"])
    again = impasto.rerun("a.png", search=["masks"], mask=["rest", "masks/right.png"])
    assert again.size == (48, 36)


@pytest.mark.usefixtures("masks")
def test_masks_differ_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    for name, mask in (("a.png", "left"), ("b.png", "right")):
        impasto.paint("photo.png", ["red.png", "blue.png"], output=name, mask=[f"masks/{mask}.png", "rest"], **QUICK)
    assert main(["diff", "a.png", "b.png"]) == 1
    assert "mask 1: left.png (sha256" in capsys.readouterr().out


@pytest.mark.usefixtures("masks")
def test_recipe_with_paths_or_other_files_raises() -> None:
    impasto.paint("photo.png", ["red.png", "blue.png"], output="a.png", **QUICK, **WAYS["mask"])
    data = json.loads(read_recipe("a.png").to_json())
    for change in (
        {"mask": ["/etc/passwd", "rest"]},
        {"mask": ["left.png", "/etc/passwd"]},
        {"mask": ["left.png"]},
        {"mask": ["left.png", "rest", "rest"]},
        {"preserve_mask": "other.png"},
    ):
        Path("a.json").write_text(json.dumps({**data, "settings": {**data["settings"], **change}}))
        with pytest.raises(RecipeError, match=r"names another file"):
            read_recipe("a.json")
    Path("a.json").write_text(json.dumps({**data, "files": {**data["files"], "network": []}}))
    with pytest.raises(RecipeError, match="there is no setting 'network' that names files"):
        read_recipe("a.json")


# On the command line


def words(**chosen: str) -> list[str]:
    own = {name: value for name, value in QUICK.items() if value not in ((), True)}
    options = Settings(**own).model_dump(mode="json", include=set(own))
    return [
        word
        for name, value in {**options, **chosen}.items()
        for word in (
            f"--{name.replace('_', '-')}",
            format_option(value),
        )
    ]


def test_masks_are_listed_with_commas_or_one_by_one(capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copy("left.png", "left,half.png")
    for number, masks in enumerate((["left.png,rest"], ["left.png", "rest"], ["left,half.png", "rest"])):
        given = [word for mask in masks for word in ("--mask", mask)]
        assert main(["photo.png", "red.png", "blue.png", *words(), *given, "-q", "-o", f"{number}.png"]) == 0
    pictures = [read_image(f"{number}.png").rgb for number in range(3)]
    assert torch.equal(pictures[0], pictures[1])
    assert torch.equal(pictures[0], pictures[2])
    assert capsys.readouterr().err == ""


def test_an_output_never_replaces_a_mask(capsys: pytest.CaptureFixture[str]) -> None:
    before = Path("left.png").read_bytes()
    given = ["photo.png", "red.png", "--mask", "left.png", "--overwrite", "-q"]
    assert main([*given, *words(), "-o", "left.png"]) == 2
    assert main(["sheet", *given, "--vary", "size=32,48", "-o", "left.png"]) == 2
    assert capsys.readouterr().err.count("left.png is also the input left.png") == 2
    with pytest.raises(UsageError, match="is also the input left"):
        impasto.paint("photo.png", "red.png", output="left.png", overwrite=True, mask="left.png", **QUICK)
    assert Path("left.png").read_bytes() == before


@pytest.mark.usefixtures("without_processes")
def test_masks_are_varied_on_a_sheet() -> None:
    vary = ["--vary", "mask=left.png,rest;rest,left.png"]
    options = [word for word in words() if word]
    assert main(["sheet", "photo.png", "red.png", "blue.png", *vary, *options, "-q", "-o", "sheet.png"]) == 0
    first, second = sorted(Path("sheet_cells").iterdir())
    assert read_recipe(first).settings.mask == ("left.png", "rest")
    assert read_recipe(second).settings.mask == ("rest", "left.png")


# What is refused


@pytest.mark.parametrize(
    ("chosen", "said"),
    [
        ({"mask": "left.png"}, "`mask` has 1 file for 2 paintings: give one for each, or rest for what the others"),
        ({"mask": ["left.png"] * 3}, "`mask` has 3 files for 2 paintings"),
        ({"mask": ["rest", "rest"]}, "`mask` rest,rest: rest is what other masks leave, and there is none"),
        ({"mask": ["white.png", "rest"]}, "`mask` white.png,rest: the other masks leave nothing for rest"),
        ({"mask": ["black.png", "rest"]}, "`mask` black.png is black all over"),
        ({"mask": ["tall.png", "rest"]}, "`mask` tall.png is 36 x 48 pixels, but the photo is 48 x 36"),
        ({"mask": ["red.png", "rest"]}, "`mask` red.png has colors"),
        ({"mask": ["left.png", "rest"], "preserve_mask": "left.png"}, "white only where nothing is painted"),
        ({"style_mask": "left.png"}, "`style_mask` has 1 file for 2 paintings: give one for each, or all for"),
        ({"style_mask": ["all", "tall.png"]}, "`style_mask` tall.png is 36 x 48 pixels, but the painting 2 is 48 x 36"),
        ({"style_mask": ["black.png", "all"]}, "`style_mask` black.png is black all over"),
        (
            {"preserve_mask": "white.png"},
            "`preserve_mask` white.png keeps all of the photo: there is nothing left to paint",
        ),
        ({"preserve_mask": "black.png"}, "`preserve_mask` black.png is black all over"),
        ({"labels": "labels.png", "style_labels": "labels.png"}, "`style_labels` has 1 file for 2 paintings"),
        ({"labels": "other.png", "style_labels": ["labels.png"] * 2}, "`labels` other.png has the color #"),
        ({"labels": "red.png,x"}, "`labels` has no effect with `style_labels` empty"),
        ({"style_labels": "red.png"}, "`style_labels` has no effect with `labels` empty"),
        ({"regions": 2, "mask": ["left.png", "rest"]}, "`mask` and `regions` both say"),
        ({"labels": "l.png", "style_labels": "l.png", "style_mask": "m.png"}, "`style_mask` and `labels` both say"),
        ({"regions": 1}, "`regions`: 1 is the whole picture"),
        ({"regions": 99}, "`regions` takes a whole number, 0 to 16; not 99"),
        ({"mask_propagation": "inside"}, "`mask_propagation` has no effect with `mask` empty"),
        ({"mask_propagation": "outside"}, "`mask_propagation` takes one of simple, inside, all; not 'outside'"),
        ({"mask": ["left.png", ""]}, "`mask` takes files with commas between them; not 'left.png,'"),
    ],
)
def test_invalid_masks_raise_with_their_setting(chosen: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError) as refused:
        impasto.start("photo.png", ["red.png", "blue.png"], **{**QUICK, **chosen})
    assert said in str(refused.value)
    if said.startswith("`"):
        assert f"`{refused.value.setting}`" in said


def test_a_missing_mask_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(PictureError, match=r"`mask` gone\.png does not exist"):
        impasto.start("photo.png", "red.png", **{**QUICK, "mask": "gone.png"})
    assert main(["photo.png", "red.png", *words(), "--mask", "gone.png", "-q"]) == 1
    assert "--mask gone.png does not exist" in capsys.readouterr().err


def test_unused_label_colors_are_noted() -> None:
    write_image(halves(plain(GREEN), grey(0.0)), "black_right.png")
    chosen = {**QUICK, "labels": "black.png", "style_labels": "black_right.png"}
    run = impasto.start("photo.png", "both.png", **chosen)
    assert any("black_right.png: #" in note and "no part of the photo has it" in note for note in run.notes)


def test_style_mask_on_transparent_pixels_raises() -> None:
    alpha = torch.ones(1, 1, 36, 48)
    alpha[..., :24] = 0
    write_image(read_image("both.png").rgb, "both.png", alpha=alpha, overwrite=True)
    with pytest.raises(UsageError, match=r"`style_mask` left\.png is white only where painting 1 is transparent"):
        impasto.start("photo.png", "both.png", **{**QUICK, "style_mask": "left.png"})
    chosen = {"labels": "labels.png", "style_labels": "labels.png"}
    with pytest.raises(UsageError, match=r"the part in #000000 is transparent in painting 1"):
        impasto.start("photo.png", "both.png", **{**QUICK, **chosen})
