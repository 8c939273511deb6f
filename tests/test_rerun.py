"""Pictures carry their recipes, and are painted again from them: from Python and on the command line."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import SPELT_OUT, format_option, make_picture

import impasto
from impasto import Job, PictureError, RecipeError, Settings, UsageError, read_recipe
from impasto.cli.app import main
from impasto.images.metadata import read_embedded_text
from impasto.images.read import read_image
from impasto.images.write import to_pil, write_image

FORMS = [("a.png", 8), ("a.png", 16), ("a.tif", 8), ("a.tif", 16), ("a.jpg", 8), ("a.webp", 8)]
QUICK: dict[str, Any] = {**SPELT_OUT, "size": 32, "start_size": 16, "steps": 2, "later_steps": 2}


class Scene:
    """The current folder, with a photo and two paintings; what is painted there uses a tiny network of its own."""

    def __init__(self, folder: Path, network: Path) -> None:
        self.folder = folder
        self.network = Path(shutil.copy(network, folder / "tiny.safetensors"))
        for seed, name in enumerate(("photo.png", "painting.png", "other.png"), start=1):
            write_image(make_picture(48, 36, seed), name)
        self.quick = {**QUICK, "network": "tiny.safetensors"}

    def paint(self, output: str = "a.png", bits: int = 8, **chosen: Any) -> Path:
        own = {name: chosen.pop(name) for name in ("recipe", "recipe_file", "quality") if name in chosen}
        settings = Settings(**{**self.quick, **chosen})
        job = Job(photo="photo.png", paintings=("painting.png",), output=output, bits=bits, settings=settings, **own)
        run = impasto.start_job(job)
        for _ in run:
            pass
        return run.write()

    def words(self, **chosen: Any) -> list[str]:
        """The options of a quick painting."""
        options = Settings(**{**self.quick, **chosen}).model_dump(mode="json", include={*self.quick, *chosen})
        given = {name: value for name, value in options.items() if value not in ([], True)}
        return [
            word
            for name, value in given.items()
            for word in (
                f"--{name.replace('_', '-')}",
                format_option(value),
            )
        ]


@pytest.fixture
def scene(tmp_path: Path, weights_file: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    monkeypatch.chdir(tmp_path)
    return Scene(tmp_path, weights_file)


# What a picture carries


def test_an_output_tells_how_it_was_painted(scene):
    recipe = read_recipe(scene.paint(style_weight=3))
    assert recipe.settings == Settings(**{**scene.quick, "style_weight": 3})
    assert (recipe.photo.name, recipe.paintings[0].name, recipe.network.name) == (
        "photo.png",
        "painting.png",
        "tiny.safetensors",
    )
    assert recipe.painted_with.torch == torch.__version__
    assert recipe.painted_with.precision == "float32"
    assert (recipe.result.width, recipe.result.height) == (32, 24)
    run = impasto.start("photo.png", "painting.png", **{**scene.quick, "style_weight": 3})
    assert recipe.result.losses == [step.losses for step in run][-1]
    assert (recipe.result.step, recipe.result.steps) == (4, 4)
    assert "style_weight" in recipe.given
    assert "scale_step" in recipe.given
    assert "layout" not in recipe.given


@pytest.mark.parametrize(("name", "bits"), FORMS)
def test_every_format_is_painted_again_bit_for_bit(scene, name, bits):
    first = scene.paint(name, bits, quality=70, init="noise", seed=7)
    again = first.with_stem("again")
    assert main(["rerun", name, "-o", again.name, "-q"]) == 0
    assert again.read_bytes() == first.read_bytes()  # the recipe too
    impasto.rerun(name, output=again, overwrite=True)
    assert again.read_bytes() == first.read_bytes()


def test_no_path_is_written_down(scene, tmp_path):
    inside = tmp_path / "private"
    inside.mkdir()
    for name in ("photo.png", "tiny.safetensors", "other.png"):
        shutil.copy(name, inside / name)
    chosen = {**scene.quick, "network": str(inside / "tiny.safetensors"), "init": str(inside / "other.png")}
    impasto.paint(inside / "photo.png", inside / "photo.png", output="a.png", **chosen)
    text = read_embedded_text("a.png")
    assert "private" not in text
    assert str(tmp_path) not in text
    assert read_recipe("a.png").settings.init == "other.png"


@pytest.mark.parametrize(("name", "bits"), FORMS)
def test_recipe_none_leaves_nothing(scene, name, bits):
    path = scene.paint(name, bits, recipe="none")
    assert b"impasto" not in path.read_bytes()
    assert b"photo.png" not in path.read_bytes()
    with pytest.raises(RecipeError, match=f"{name} carries no recipe: .*`recipe` none"):
        read_recipe(path)


def test_recipe_none_from_python_and_on_the_command_line(scene):
    impasto.paint("photo.png", "painting.png", output="a.png", recipe="none", **scene.quick)
    run = impasto.start("photo.png", "painting.png", **scene.quick)
    next(run)
    run.write("b.png", recipe="none")
    run.write("c.png")
    assert main(["photo.png", "painting.png", *scene.words(), "--recipe", "none", "-o", "d.png", "-q"]) == 0
    for name in ("a.png", "b.png", "d.png"):
        assert read_embedded_text(name) is None
    assert read_recipe("c.png").result.step == 1


def test_a_recipe_is_embedded_or_not_and_nothing_else(scene):
    run = impasto.start("photo.png", "painting.png", **scene.quick)
    next(run)
    for attempt in (
        lambda: impasto.paint("photo.png", "painting.png", recipe="xmp", **scene.quick),
        lambda: impasto.rerun("a.png", recipe="xmp"),
        lambda: run.write("a.png", recipe="xmp"),
    ):
        with pytest.raises(UsageError, match="`recipe` takes embed or none; not 'xmp'"):
            attempt()


def test_a_preview_says_how_far_it_is(scene):
    job = Job(
        photo="photo.png",
        paintings=("painting.png",),
        output="a.png",
        settings=Settings(**scene.quick),
        save_every=3,
    )
    for _ in impasto.start_job(job):
        pass
    assert read_recipe("a.preview.png").result.step == 3


def test_a_recipe_too_long_for_a_jpeg_is_refused_before_painting(scene, monkeypatch):
    monkeypatch.setattr(impasto.Run, "__next__", lambda _: pytest.fail("painted in vain"))
    monkeypatch.setattr("impasto.images.metadata.MAX_JPEG_TEXT_BYTES", 3000)
    job = Job(photo="photo.png", paintings=("painting.png",), output="a.jpg", settings=Settings(**scene.quick))
    with pytest.raises(UsageError, match=r"a\.jpg can't hold a recipe of"):
        impasto.start_job(job)
    with pytest.raises(UsageError, match=r"a\.jpg can't hold a recipe of"):
        impasto.paint("photo.png", "painting.png", output="a.jpg", **scene.quick)
    assert impasto.start_job(job.model_copy(update={"recipe": "none"})).total_steps == 4


# Recipe files


@pytest.mark.parametrize("name", ["recipe.toml", "recipe.json"])
def test_a_recipe_file_is_written_beside_and_painted_from(scene, name):
    words = ["photo.png", "painting.png", *scene.words(), "-o", "a.png", "--recipe-file", name, "-q"]
    assert main(words) == 0
    assert read_recipe(name) == read_recipe("a.png")
    assert main(["rerun", name, "-q"]) == 0
    assert Path("recipe_rerun.png").read_bytes() == Path("a.png").read_bytes()


def test_a_recipe_file_that_exists_is_kept(scene, capsys):
    Path("recipe.toml").write_text("dear")
    words = ["photo.png", "painting.png", *scene.words(), "-o", "a.png", "-q", "--recipe-file"]
    for name, code, said in (
        ("recipe.toml", 1, "recipe.toml already exists"),
        ("a.yaml", 2, "end it in .toml or .json"),
    ):
        assert main([*words, name]) == code
        assert said in capsys.readouterr().err
    with pytest.raises(PictureError, match=r"recipe\.toml already exists"):
        scene.paint(recipe_file="recipe.toml")
    assert Path("recipe.toml").read_text() == "dear"
    assert not Path("a.png").exists()


# Painted again


def test_a_changed_photo_is_refused(scene, capsys):
    scene.paint()
    photo = Path("photo.png")
    photo.write_bytes(photo.read_bytes()[:-1] + b"\x83")
    assert main(["rerun", "a.png"]) == 1
    said = capsys.readouterr().err
    assert f"{photo.absolute()} is not the photo of the recipe, or has changed: " in said
    assert read_recipe("a.png").photo.sha256 in said
    assert not Path("a_rerun.png").exists()


def test_inputs_that_moved_are_found_in_the_folders_named(scene, capsys):
    first = scene.paint().read_bytes()
    store = scene.folder / "store" / "deep"
    store.mkdir(parents=True)
    Path("photo.png").rename(store / "holiday.png")
    Path("tiny.safetensors").rename(store / "net.safetensors")
    assert main(["rerun", "a.png"]) == 1
    assert "name its folder with --search" in capsys.readouterr().err
    assert main(["rerun", "a.png", "-q", "--search", "store", "--search", "."]) == 0
    again = read_recipe("a_rerun.png")
    assert again.photo.name == "holiday.png"
    assert again.settings.network == "net.safetensors"
    assert torch.equal(read_image("a_rerun.png").rgb, read_image("a.png").rgb)
    assert Path("a.png").read_bytes() == first
    assert main(["rerun", "a.png", "--search", "nowhere"]) == 2


def test_the_folder_of_the_picture_is_looked_into(scene, tmp_path, monkeypatch):
    scene.paint()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert main(["rerun", "../a.png", "-q"]) == 0
    assert Path("a_rerun.png").read_bytes() == Path("../a.png").read_bytes()


def test_options_replace_settings_and_are_written_down(scene):
    scene.paint(init="other.png")
    assert main(["rerun", "a.png", "-q", "--size", "40", "--init", "painting", "-o", "b.png"]) == 0
    second = read_recipe("b.png")
    assert (second.settings.size, second.result.width) == (40, 40)
    assert second.overridden == {"size": 32, "init": "other.png"}
    assert second.settings.model_copy(update={"size": 32, "init": "other.png"}) == read_recipe("a.png").settings
    impasto.rerun("b.png", output="c.png", size=32, seed=3)
    third = read_recipe("c.png")
    assert third.overridden == {"init": "other.png", "seed": 0}  # size is what it was


def test_another_preset_replaces_what_was_not_given(scene):
    plain = {name: scene.quick[name] for name in ("size", "network", "precision", "steps", "device")}
    impasto.paint("photo.png", "painting.png", output="a.png", **{**plain, "steps": 1, "later_steps": 1})
    impasto.rerun("a.png", output="b.png", preset="gatys2015")
    second = read_recipe("b.png")
    assert second.settings.pooling == "average"
    assert (second.settings.steps, second.settings.size) == (1, 32)
    assert set(second.given) == {*plain, "later_steps", "preset"}


def test_the_larger_picture_begins_as_the_small_one_was(scene):
    """The first scale of a ladder up from the same size is the small picture itself."""
    scene.paint(size=24, start_size=24, steps=3)
    job = Job(
        photo="photo.png",
        paintings=("painting.png",),
        output="large.png",
        settings=Settings(**{**scene.quick, "size": 48, "start_size": 24, "steps": 3}),
    )
    run = impasto.start_job(job)
    small = [run.picture() for step in run if step.scale == 1][-1]
    assert torch.equal(read_image(small).rgb, read_image("a.png").rgb)


def test_nothing_is_overwritten_unless_told(scene, capsys):
    before = scene.paint().read_bytes()
    assert main(["rerun", "a.png", "-o", "a.png"]) == 1
    assert "a.png already exists" in capsys.readouterr().err
    assert main(["rerun", "a.png", "-o", "photo.png", "--overwrite"]) == 2
    assert "photo.png is also the input" in capsys.readouterr().err
    for name in ("a_rerun.png", "a_rerun_2.png"):
        assert main(["rerun", "a.png", "-q"]) == 0
        assert capsys.readouterr().out == f"{name}\n"
    assert main(["rerun", "a.png", "-o", "a.png", "--overwrite", "-q", "--seed", "9"]) == 0
    assert Path("a.png").read_bytes() != before


def test_an_unfinished_picture_is_painted_to_the_end(scene, capsys):
    run = impasto.start("photo.png", "painting.png", **scene.quick)
    next(run)
    run.write("a.png")
    assert main(["rerun", "a.png"]) == 0
    assert "a.png was left at step 1 of 4: it is painted to the end now" in capsys.readouterr().err
    assert read_recipe("a_rerun.png").result.step == 4


def test_another_workshop_is_said(scene, capsys):
    scene.paint()
    recipe = read_recipe("a.png")
    older = recipe.painted_with.model_copy(update={"torch": "1.0.0"})
    impasto.write_recipe(recipe.model_copy(update={"painted_with": older}), "older.json")
    assert main(["rerun", "older.json"]) == 0
    said = f"painted first with torch 1.0.0, here {torch.__version__}: the picture may come out a little different"
    assert said in capsys.readouterr().err


def test_images_in_memory_have_no_digest_and_are_said_so(scene):
    run = impasto.start(to_pil(make_picture(48, 36)), "painting.png", **scene.quick)
    next(run)
    run.write("a.png")
    with pytest.raises(RecipeError, match="The photo was an image in memory, not a file"):
        impasto.rerun("a.png")


def test_a_file_named_like_a_word_is_found_as_a_file(scene):
    shutil.copy("other.png", "noise")
    shutil.copy("tiny.safetensors", "slim.safetensors")
    scene.paint(init="./noise", network="slim.safetensors")
    assert main(["rerun", "a.png", "-q"]) == 0
    assert Path("a_rerun.png").read_bytes() == Path("a.png").read_bytes()


# recipe and diff


def test_recipe_prints_for_people_and_machines(scene, capsys):
    scene.paint()
    assert main(["recipe", "a.png"]) == 0
    assert "photo.png" in capsys.readouterr().out
    assert main(["recipe", "a.png", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == read_recipe("a.png").to_dict()


def test_diff_says_what_differs_and_exits_with_it(scene, capsys):
    scene.paint()
    scene.paint("b.png", style_weight=4)
    shutil.copy("a.png", "copy.png")
    assert main(["diff", "a.png", "copy.png"]) == 0
    assert capsys.readouterr().out == "a.png and copy.png have the same recipe\n"
    assert main(["diff", "a.png", "b.png"]) == 1
    first, second, *said = capsys.readouterr().out.splitlines()
    assert (first, second, said[0]) == ("A is a.png", "B is b.png", "style_weight: 1 in A, 4 in B")
    assert all(re.match(r"\w+ loss: ", line) for line in said[1:])
    assert main(["diff", "a.png", "photo.png"]) == 2
    assert "photo.png carries no recipe" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["recipe"], 2, "SOURCE"),
        (["recipe", "gone.png"], 1, "gone.png does not exist"),
        (["recipe", "photo.png"], 1, "photo.png carries no recipe"),
        (["recipe", "tiny.safetensors"], 1, "it is no PNG, JPEG, WebP or TIFF"),
        (["rerun", "photo.png"], 1, "photo.png carries no recipe"),
        (["rerun", "a.png", "--size", "5"], 2, "--size takes a whole number, 16 to 32768; not '5'"),
        (["rerun", "a.png", "--recipe", "x"], 2, 'Choose from: "embed", "none"'),
        (["rerun", "a.png", "-o", "b.gif"], 2, "b.gif has the suffix .gif"),
        (["rerun", "a.png", "-o", "no/b.png"], 1, "the folder no does not exist"),
        (["rerun", "a.png", "--bits", "16", "-o", "b.jpg"], 2, "b.jpg can't hold 16 bits"),
        (["diff", "a.png"], 2, "B"),
        (["diff", "a.png", "gone.png"], 2, "gone.png does not exist"),
        (["rerunn", "a.png"], 1, "rerunn"),
    ],
)
def test_wrong_usage_is_named(scene, capsys, words, code, said):
    scene.paint()
    assert main(words) == code
    shown = capsys.readouterr()
    assert said in shown.err
    assert shown.err.startswith("impasto: ")
    assert "Traceback" not in shown.err
    assert shown.out == ""


def test_sixteen_bits_are_left_where_the_new_format_has_eight(scene):
    scene.paint("a.tif", 16)
    assert main(["rerun", "a.tif", "-q", "-o", "b.jpg"]) == 0
    assert main(["rerun", "a.tif", "-q", "-o", "c.png"]) == 0
    assert Path("c.png").read_bytes()[24] == 16  # the bit depth in a PNG's header
