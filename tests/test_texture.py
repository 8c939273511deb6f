"""Textures: settings of their own, both sides of a size, and pictures that tile and can be painted again."""

from pathlib import Path

import pytest
import torch
from conftest import build_painter, make_network, make_picture, make_settings

import impasto
from impasto.cli.app import main
from impasto.errors import RecipeError, UsageError
from impasto.images.folders import list_pictures
from impasto.images.read import read_image
from impasto.images.write import write_image
from impasto.painting.styles import StyleInput
from impasto.recipes.files import read_recipe
from impasto.recipes.text import describe_recipe, format_command
from impasto.runs import inputs
from impasto.runs.inputs import read_paintings
from impasto.settings.model import Settings
from impasto.settings.texture import TEXTURE_DEFAULTS, check_texture, merge_texture_size, parse_texture_size
from impasto.terminal.console import format_flags

TAPS = {"style_taps": "relu1_1:1,relu2_1:1,relu3_1:1"}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder with two paintings in a folder, and a photo beside it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "monets").mkdir()
    for seed, name in enumerate(("monets/a.png", "monets/b.png", "photo.png"), start=1):
        write_image(make_picture(64, 48, seed), name)
    return tmp_path


@pytest.fixture
def quick(weights_file: Path) -> dict[str, object]:
    """Settings that paint at once."""
    cheap = {
        "size": 32,
        "views": "1",
        "steps": 4,
        "later_steps": 2,
        "precision": "float32",
        "device": "cpu",
    }
    return {**TAPS, **cheap, "network": str(weights_file)}


def as_options(settings: dict[str, object]) -> list[str]:
    return [word for name, value in settings.items() for word in ("--" + name.replace("_", "-"), str(value))]


# Sizes


@pytest.mark.parametrize(
    ("size", "read"),
    [
        ("1024x512", {"size": 1024, "aspect": "2:1"}),
        ("333 X 1000", {"size": 1000, "aspect": "333:1000"}),
        ((64, 64), {"size": 64, "aspect": "1:1"}),
        (["32", "16"], {"size": 32, "aspect": "2:1"}),
        ("512", {"size": "512"}),
        (512, {"size": 512}),
        ("huge", {"size": "huge"}),  # for Settings to refuse
    ],
)
def test_a_size_is_one_side_or_both(size: object, read: dict[str, object]) -> None:
    assert parse_texture_size(size) == read


@pytest.mark.parametrize("size", ["0x16", (0, 16), (16,), (1, 2, 3), ("a", "b"), (-16, 16)])
def test_a_malformed_size_raises(size: object) -> None:
    with pytest.raises(UsageError, match="one side in pixels, or both, such as 1024x512; not ") as refused:
        parse_texture_size(size)
    assert refused.value.setting == "size"


@pytest.mark.parametrize("name", ["aspect", "fit"])
def test_both_sides_exclude_aspect_and_fit(name: str) -> None:
    with pytest.raises(UsageError, match=f"`size` 32x16 says both sides: leave `{name}` out") as refused:
        merge_texture_size({"size": "32x16", name: "longest"})
    assert refused.value.setting == name


# Settings


@pytest.mark.parametrize(
    ("name", "value"),
    [("content_weight", 1), ("color", "keep"), ("init", "photo"), ("fit", "shrink"), ("regions", 2)],
)
def test_settings_that_need_a_photo_are_refused(name: str, value: object) -> None:
    with pytest.raises(UsageError, match="needs a photo") as refused:
        check_texture(Settings(**{**TEXTURE_DEFAULTS, name: value}))
    assert refused.value.setting == name


@pytest.mark.parametrize("name", ["content_taps", "content_loss", "color_match"])
def test_given_settings_of_the_photo_are_refused(name: str) -> None:
    with pytest.raises(UsageError, match="has no effect without a photo") as refused:
        check_texture(Settings(**TEXTURE_DEFAULTS), [name])
    assert refused.value.setting == name


@pytest.mark.parametrize("given", [{"content_taps": "relu3_1"}, {"content_weight": 2}])
def test_python_and_the_command_line_refuse_alike(
    folder: Path, given: dict[str, object], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(UsageError) as refused:
        impasto.texture("monets/a.png", **given)
    assert main(["texture", "monets/a.png", *as_options(given)]) == 2
    assert format_flags(str(refused.value)) in capsys.readouterr().err
    assert not list(folder.glob("*texture*"))


def test_texture_defaults_override_every_preset() -> None:
    settings = Settings(preset="gatys2015", **TEXTURE_DEFAULTS)
    assert (settings.content_weight, settings.noise, settings.padding) == (0, "painting", "circular")
    assert settings.style_loss == {"gatys": 1.0}


@pytest.mark.usefixtures("folder")
def test_an_aspect_beside_a_photo_is_refused() -> None:
    with pytest.raises(UsageError, match="`aspect` 2:1 has no effect with a photo"):
        impasto.paint("photo.png", "monets/a.png", aspect="2:1")


# Painting


def paint(**chosen: object) -> torch.Tensor:
    painter = build_painter(
        make_network(padding="circular"),
        make_settings(**{**TEXTURE_DEFAULTS, "size": 32, "start_size": 32, **chosen}),
        None,
        [StyleInput(make_picture(48, 40, 2))],
    )
    for step in painter:
        assert "content" not in step.losses
    return painter.picture()


def test_a_texture_has_its_aspect_at_every_scale() -> None:
    assert paint(aspect="2:1", start_size=16).shape == (1, 3, 16, 32)


@pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
def test_rolling_the_initial_canvas_rolls_the_texture(optimizer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that no place in it is a border: by whole cells of the deepest tap, and over two scales."""
    from impasto.painting import painter

    chosen = {"size": 64, "start_size": 32, "optimizer": optimizer, "tv_weight": 0.1, "steps": 3, "later_steps": 3}
    if optimizer == "lbfgs":
        chosen["lbfgs_preconditioner"] = True
    here, begin = paint(**chosen), painter.make_initial_canvas
    monkeypatch.setattr(painter, "make_initial_canvas", lambda *given: begin(*given).roll((8, 12), (2, 3)))
    torch.testing.assert_close(paint(**chosen), here.roll((16, 24), (2, 3)), rtol=0, atol=2e-3)


def test_sides_that_would_not_tile_are_refused_with_those_that_do() -> None:
    with pytest.raises(UsageError, match=r"a side of 30 pixels would not tile.*multiple of 4, such as 28 or 32"):
        paint(size=30)
    with pytest.raises(UsageError, match=r"a side of 15 pixels would not tile"):
        paint(aspect="32:15")
    assert paint(size=30, padding="zero").shape == (1, 3, 30, 30)


def test_a_tiling_photo_gets_whole_cells() -> None:
    settings = make_settings(size=40, start_size=40, padding="circular", steps=1)
    photo, painting = StyleInput(make_picture(80, 55)), StyleInput(make_picture(40, 40, 2))
    painter = build_painter(make_network(padding="circular"), settings, photo, [painting])
    assert list(painter.schedule.sizes) == [(40, 28)]
    with pytest.raises(UsageError, match=r"a side of 41 pixels would not tile"):
        build_painter(make_network(padding="circular"), settings.model_copy(update={"size": 41}), photo, [painting])


# Recipes


@pytest.mark.usefixtures("folder")
def test_a_texture_is_rerun_from_its_recipe(quick: dict[str, object], capsys: pytest.CaptureFixture[str]) -> None:
    words = ["texture", "monets/a.png", *as_options({**quick, "size": "32x16"}), "-o", "first.png", "-q"]
    assert main(words) == 0
    recipe = read_recipe("first.png")
    assert recipe.photo is None
    assert [role for role, _ in recipe.iterate_files()] == ["painting", "network"]
    assert not set(TEXTURE_DEFAULTS) & set(recipe.given)
    assert format_command(recipe).startswith("impasto texture a.png --size 32 --aspect 2:1")
    assert not [line for line in describe_recipe(recipe) if line.startswith("photo")]

    again = ["rerun", "first.png", "--search", "monets", "--search", str(Path(str(quick["network"])).parent)]
    assert main([*again, "-o", "second.png", "-q"]) == 0
    assert main(["diff", "first.png", "second.png"]) == 0
    assert torch.equal(read_image("first.png").rgb, read_image("second.png").rgb)
    assert main([*again, "--size", "64", "-o", "large.png", "-q"]) == 0
    assert read_image("large.png").rgb.shape == (1, 3, 32, 64)
    assert main([*again, "--preset", "gatys2015", "-o", "other.png", "-q", *as_options(TAPS)]) == 0
    other = read_recipe("other.png")
    assert (other.settings.content_weight, other.settings.padding) == (0, "circular")
    capsys.readouterr()
    assert main([*again, "--content-weight", "3", "-o", "wrong.png"]) == 2
    assert "--content-weight needs a photo" in capsys.readouterr().err


@pytest.mark.usefixtures("folder")
def test_a_folder_of_paintings_is_listed_in_the_recipe(quick: dict[str, object]) -> None:
    write_image(make_picture(40, 40, 9), "one.png")
    chosen = {**quick, "style_blend": (3, 1)}
    folded = impasto.texture(["monets", "one.png"], output="folded.png", **chosen)
    spelt = impasto.texture(["monets/a.png", "monets/b.png", "one.png"], **{**chosen, "style_blend": (1.5, 1.5, 1)})
    assert folded.tobytes() == spelt.tobytes()
    recipe = read_recipe("folded.png")
    assert [painting.name for painting in recipe.paintings] == ["a.png", "b.png", "one.png"]
    assert recipe.settings.style_blend == (1.5, 1.5, 1)
    again = impasto.rerun("folded.png", search=["monets", Path(str(quick["network"])).parent])
    assert again.tobytes() == folded.tobytes()


def test_many_paintings_are_stored_at_their_painted_size(
    folder: Path, quick: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(7):
        write_image(make_picture(200, 100, number), folder / "monets" / f"{number}.png")
    settings = Settings(**{**TEXTURE_DEFAULTS, **quick, "style_size": 0.5})
    kept = [picture.rgb.shape[2:] for picture in read_paintings(list_pictures("monets")[0], settings, None)]
    assert kept == [(8, 16)] * 7 + [(12, 16)] * 2  # in the order of their names
    quick["noise"] = "uniform"
    few = impasto.texture("monets", **quick)
    monkeypatch.setattr(inputs, "MAX_FULL_SIZE_PAINTINGS", 100)
    many = impasto.texture("monets", **quick)
    assert few.tobytes() == many.tobytes()  # at one scale, the same reduction at another time


def test_an_unreadable_picture_in_a_folder_is_named(folder: Path, quick: dict[str, object]) -> None:
    (folder / "monets" / "c.jpg").write_text("no picture")
    with pytest.raises(impasto.PictureError, match=r"monets/c\.jpg is not a picture"):
        impasto.texture("monets", **quick)


@pytest.mark.usefixtures("folder")
def test_a_picture_in_a_folder_is_not_overwritten(quick: dict[str, object]) -> None:
    with pytest.raises(UsageError, match=r"monets/a\.png is also the input monets/a\.png"):
        impasto.texture("monets", output="monets/a.png", overwrite=True, **quick)


def test_a_texture_recipe_needs_only_its_paintings(folder: Path, quick: dict[str, object]) -> None:
    impasto.texture("monets/b.png", output="b.png", **quick)
    (folder / "monets" / "b.png").unlink()
    with pytest.raises(RecipeError) as missing:
        impasto.rerun("b.png", search=[Path(str(quick["network"])).parent])
    assert "The painting b.png" in str(missing.value) or "b.png is not the painting" in str(missing.value)
    assert "photo " not in str(missing.value)
