"""Recipes: written and read without loss, strangers' ones refused, files found by digest, differences in words."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import tomli_w

from impasto.errors import PictureError, RecipeError, UsageError
from impasto.network import registry
from impasto.recipes.files import check_recipe_file, read_recipe, write_recipe
from impasto.recipes.locate import LocatedFiles, fingerprint_file, locate_files
from impasto.recipes.recipe import Environment, FileRef, Recipe, RecipeResult, parse_recipe, plain_name
from impasto.recipes.text import describe_recipe, format_command, list_differences
from impasto.settings.model import Settings

ENVIRONMENT = Environment(
    impasto="0.1.0",
    torch="2.13.0",
    python="3.12.1",
    platform="Linux x86_64",
    device="cpu (AVX2)",
    precision="float32",
    threads=2,
)
RESULT = RecipeResult(
    width=64, height=48, bits=16, quality=90, step=3, steps=3, losses={"content": 0.1, "total": 1 / 3}
)


def ingredient(name: str, digit: str) -> FileRef:
    return FileRef(name=name, bytes=10, sha256=digit * 64)


def make_recipe(**chosen: Any) -> Recipe:
    parts: dict[str, Any] = {
        "photo": ingredient("photo.jpg", "1"),
        "paintings": (ingredient("night.jpg", "2"), ingredient("wave.jpg", "3")),
        "network": FileRef(name="slim", sha256=registry.get_digest("slim")),
        "settings": Settings(network="slim", size=64, style_blend=(2, 1), style_taps="relu1_1:0.1234567890123"),
        "given": ("size", "style_blend", "style_taps"),
        "overridden": {"size": 32},
        "result": RESULT,
        "painted_with": ENVIRONMENT,
    }
    return Recipe(**{**parts, **chosen})


def planted(**changes: Any) -> dict[str, Any]:
    """A recipe's plain data; `photo__name=x` changes what is deeper."""
    data = make_recipe().to_dict()
    for place, value in changes.items():
        *path, last = place.split("__")
        inner = data
        for key in path:
            inner = inner[key]
        inner[last] = value
    return data


def refusal(data: Any) -> str:
    with pytest.raises(RecipeError) as refused:
        parse_recipe(data, "a.png")
    assert str(refused.value).isprintable()
    assert "a.png holds " in str(refused.value)
    return str(refused.value)


# Written and read


@pytest.mark.parametrize("suffix", [".toml", ".json"])
@pytest.mark.parametrize("recipe", [make_recipe(), make_recipe(photo=FileRef(), result=None, overridden={})])
def test_a_recipe_file_gives_back_what_was_written(tmp_path, suffix, recipe):
    path = write_recipe(recipe, tmp_path / f"recipe{suffix}")
    again = read_recipe(path)
    assert again == recipe
    assert again.settings.style_taps == {"relu1_1": 0.1234567890123}


def test_recipe_files_are_replaced_only_when_told(tmp_path):
    path = tmp_path / "recipe.toml"
    path.write_text("dear")
    with pytest.raises(PictureError, match=r"recipe\.toml already exists"):
        write_recipe(make_recipe(), path)
    with pytest.raises(PictureError, match=r"recipe\.toml already exists"):
        check_recipe_file(path)
    with pytest.raises(UsageError, match=r"recipe\.toml is also the input"):
        check_recipe_file(path, inputs=[path], overwrite=True)
    with pytest.raises(UsageError, match=r"recipe\.yaml is no name for a recipe file: end it in \.toml or \.json"):
        check_recipe_file(tmp_path / "recipe.yaml")
    assert path.read_text() == "dear"
    assert read_recipe(write_recipe(make_recipe(), path, overwrite=True)) == make_recipe()


def test_a_setting_that_a_recipe_does_not_know_has_its_default():
    data = planted()
    del data["settings"]["ema_decay"]
    assert parse_recipe(data, "a.png") == make_recipe()


def test_names_have_no_folders_and_can_be_printed():
    assert plain_name("/home/me/[red] Müller 画.jpg") == "[red] Müller 画.jpg"
    assert plain_name(b"\xff\x1b[2Ja\nb:c\\d".decode(errors="surrogateescape")) == "__[2Ja_b_c_d"
    assert "secret" not in weigh_name("secret/folder/photo.jpg")


def weigh_name(path: str) -> str:
    return FileRef(name=plain_name(path), bytes=1, sha256="0" * 64).model_dump_json()


# Strangers' recipes


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"photo__name": "../../etc/passwd"}, "photo.name: is no plain file name"),
        ({"photo__name": "/etc/passwd"}, "photo.name: is no plain file name"),
        ({"photo__name": "C:\\secret.jpg"}, "photo.name: is no plain file name"),
        ({"photo__name": ".."}, "photo.name: is no plain file name"),
        ({"photo__name": "\x1b[2J.jpg"}, "photo.name: is no plain file name"),
        ({"photo__name": "a" * 256}, "photo.name: String should have at most 255"),
        ({"photo__sha256": "f" * 63}, "photo.sha256: String should match"),
        ({"photo__sha256": None}, "a name and its sha256 belong together"),
        ({"photo__path": "/etc"}, "photo.path: Extra inputs are not permitted"),
        ({"photo": "photo.jpg"}, "photo: Input should be a valid dictionary"),
        ({"paintings": []}, "paintings: "),
        ({"settings__init": "/etc/passwd"}, "the setting init names another file"),
        ({"settings__network": "/etc/passwd"}, "the setting network names another file"),
        ({"settings__device": "\x1b[2J"}, "the setting device holds characters that can't be printed"),
        ({"settings__size": 5}, "settings.size: Input should be greater than or equal to 16"),
        ({"settings__size": "a lot"}, "settings.size: "),
        ({"settings__size": 10**400}, "settings.size: "),
        ({"settings__steps": [[[]]]}, "settings.steps: "),
        ({"settings__\x1b[2Jsize": 5}, "settings.?[2Jsize: Extra inputs are not permitted"),
        ({"settings__preset": "monet"}, "settings.preset: "),
        ({"settings": None}, "settings: "),
        ({"given": ["sice"]}, "there is no setting 'sice'"),
        ({"overridden": {"sice": 3}}, "there is no setting 'sice'"),
        ({"result__losses": {"total": "x"}}, "result.losses.total: "),
        ({"result__losses": {"total": float("nan")}}, "result.losses.total: "),
        ({"painted_with__threads": -1}, "painted_with.threads: "),
        ({"run": "rm"}, "run: Extra inputs are not permitted"),
        ({"recipe": 2}, "it takes a newer impasto"),
        ({"recipe": "1"}, "it takes a newer impasto"),
    ],
)
def test_hostile_recipes_are_refused(changes, said):
    assert said in refusal(planted(**changes))


@pytest.mark.parametrize("data", [None, [], "recipe", 5, {}, {"size": 3}])
def test_what_is_no_recipe_is_refused(data):
    assert refusal(data) == "a.png holds no recipe of impasto"


def test_the_writers_version_is_named_where_it_is_another_one():
    said = refusal(planted(settings__hue=1, painted_with__impasto="9.9"))
    assert "settings.hue: Extra inputs are not permitted" in said
    assert "It was written by impasto 9.9, this is " in said


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.json", "", "damaged or cut short"),
        ("a.json", make_recipe().to_json()[:-5], "damaged or cut short"),
        ("a.json", "[" * 200_000, "damaged or cut short"),
        ("a.json", '{"recipe":' * 100_000, "damaged or cut short"),
        ("a.json", '{"recipe": NaN}', "damaged or cut short"),
        ("a.toml", "recipe = ", "damaged or cut short"),
        ("a.toml", "recipe = " + "[" * 100_000, "damaged or cut short"),
        ("a.toml", "recipe = " + "9" * 5000, "damaged or cut short"),
        ("a.json", " " * (1 << 20) + "{}", "longer than any recipe"),
        ("a.toml", "x = 1", "holds no recipe of impasto"),
    ],
)
def test_damaged_and_huge_files_are_refused(tmp_path, name, text, said):
    (tmp_path / name).write_text(text)
    with pytest.raises(RecipeError, match=said):
        read_recipe(tmp_path / name)


def test_deep_values_are_refused_or_kept(tmp_path):
    deep: Any = 1
    for _ in range(150):
        deep = [deep]
    (tmp_path / "a.json").write_text(json.dumps(planted(overridden={"size": deep})))
    (tmp_path / "a.toml").write_text(tomli_w.dumps(planted(overridden={"size": deep})))
    for name in ("a.json", "a.toml"):
        assert read_recipe(tmp_path / name).overridden == {"size": deep}


def test_files_that_are_no_text_or_not_there_are_named(tmp_path):
    (tmp_path / "a.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(RecipeError, match=r"a\.toml is not text"):
        read_recipe(tmp_path / "a.toml")
    with pytest.raises(RecipeError, match=r"gone\.json can't be read: No such file"):
        read_recipe(tmp_path / "gone.json")


# Found by digest


class SourceFolder:
    """A folder with the files of a recipe, and its recipe."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("photo.jpg", "one.jpg", "other.jpg", "tiny.safetensors", "begun.png"):
            (folder / name).write_bytes(f"this is {name:<20}".encode())
        self.recipe = make_recipe(
            photo=fingerprint_file(folder / "photo.jpg"),
            paintings=(
                fingerprint_file(folder / "one.jpg"),
                fingerprint_file(folder / "other.jpg"),
                fingerprint_file(folder / "one.jpg"),
            ),
            network=fingerprint_file(folder / "tiny.safetensors"),
            files={"init": (fingerprint_file(folder / "begun.png"),)},
            settings=Settings(network="tiny.safetensors", init="begun.png", size=64, preset="gatys2015"),
            given=("preset", "size", "init", "network"),
        )

    def find(self, *beside: Path, **chosen: Any) -> LocatedFiles:
        return locate_files(self.recipe, folders=beside or [self.folder], **chosen)


@pytest.fixture
def sources(tmp_path: Path) -> SourceFolder:
    (tmp_path / "sources").mkdir()
    return SourceFolder(tmp_path / "sources")


def test_files_are_found_by_name(sources):
    found = sources.find()
    assert found.photo == sources.folder / "photo.jpg"
    assert [path.name for path in found.paintings] == ["one.jpg", "other.jpg", "one.jpg"]
    assert found.values["init"] == str(sources.folder / "begun.png")
    assert found.values["network"] == str(sources.folder / "tiny.safetensors")
    assert Settings(**found.values).pooling == "average"


def test_files_are_found_by_digest_where_they_are_called_otherwise(sources, tmp_path):
    for number, name in enumerate(("photo.jpg", "one.jpg", "begun.png")):
        (sources.folder / name).rename(sources.folder / f"{number}.moved")
    (sources.folder / "one.jpg").write_text("another file of that name")
    found = sources.find(tmp_path, sources.folder)
    assert (found.photo.name, found.paintings[0].name) == ("0.moved", "1.moved")
    assert found.values["init"] == str(sources.folder / "2.moved")


def test_folders_to_search_are_looked_through_and_others_not(sources, tmp_path):
    deep = tmp_path / "a" / "b"
    deep.mkdir(parents=True)
    (sources.folder / "photo.jpg").rename(deep / "holiday.jpg")
    assert sources.find(search=[tmp_path / "a"]).photo == deep / "holiday.jpg"
    with pytest.raises(
        RecipeError, match=r"The photo photo\.jpg is not in .*sources: name .* \(its sha256 is [0-9a-f]{64}\)"
    ):
        sources.find()
    with pytest.raises(UsageError, match=r"`search` .*nowhere: there is no such folder"):
        sources.find(search=[tmp_path / "nowhere"])


@pytest.mark.parametrize("name", ["photo.jpg", "other.jpg", "tiny.safetensors", "begun.png"])
def test_a_file_with_one_byte_changed_is_refused(sources, name):
    path = sources.folder / name
    before = fingerprint_file(path).sha256
    data = bytearray(path.read_bytes())
    data[3] ^= 1
    path.write_bytes(data)
    with pytest.raises(RecipeError) as refused:
        sources.find()
    assert f"{path} is not the " in str(refused.value)
    assert f"its sha256 is {fingerprint_file(path).sha256}, the recipe's {before}" in str(refused.value)


def test_all_that_is_missing_is_said_at_once(sources):
    for path in sources.folder.iterdir():
        path.unlink()
    with pytest.raises(RecipeError) as refused:
        sources.find()
    said = str(refused.value).splitlines()
    assert [line.split()[1] for line in said] == ["photo", "painting", "painting", "painting", "init", "network"]


def test_what_is_replaced_is_not_looked_for(sources):
    (sources.folder / "begun.png").unlink()
    (sources.folder / "tiny.safetensors").unlink()
    assert sources.find(replaced={"init", "network"}).photo.name == "photo.jpg"


def test_another_preset_leaves_only_what_was_given(sources):
    assert set(sources.find(replaced={"preset"}).values) == {"preset", "size", "init", "network"}


def test_a_recipe_opens_nothing_that_is_not_named(sources, tmp_path):
    """Pipes and links to elsewhere in a searched folder are passed by, and no folder is left."""
    os.mkfifo(sources.folder / "pipe")
    (sources.folder / "loop").symlink_to(sources.folder, target_is_directory=True)
    outside = tmp_path / "outside"
    outside.mkdir()
    shutil.move(sources.folder / "photo.jpg", outside / "photo.jpg")
    (sources.folder / "out").symlink_to(outside, target_is_directory=True)
    with pytest.raises(RecipeError, match=r"The photo photo\.jpg"):
        sources.find(search=[sources.folder])


def test_a_registered_network_must_be_the_same():
    for name, said in (("slim", "The network slim is another one here: its sha256 is"), ("vgg99", "is not known here")):
        network = FileRef(name=name, sha256="0" * 64)
        recipe = make_recipe(network=network, settings=Settings(network=name))
        with pytest.raises(RecipeError, match=said):
            locate_files(recipe, folders=[])


def test_an_image_in_memory_cant_be_found_again():
    with pytest.raises(RecipeError, match="The photo was an image in memory"):
        locate_files(make_recipe(photo=FileRef()), folders=[])


# In words


def test_no_difference_is_nothing_to_say():
    assert list(list_differences(make_recipe(), make_recipe())) == []


def test_a_files_name_is_no_difference():
    renamed = make_recipe(photo=ingredient("elsewhere.jpg", "1"))
    assert list(list_differences(make_recipe(), renamed)) == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"photo": ingredient("photo.jpg", "9")},
            ["photo: photo.jpg (sha256 111111111111) in A, photo.jpg (sha256 999999999999) in B"],
        ),
        (
            {"paintings": (ingredient("night.jpg", "2"),)},
            ["painting 2: wave.jpg (sha256 333333333333) in A, none in B"],
        ),
        (
            {
                "settings": Settings(
                    network="slim", size=128, style_blend=(2, 1), style_taps="relu1_1:0.5", normalize_gradients=True
                )
            },
            [
                "size: 64 in A, 128 in B",
                "style_taps: relu1_1:0.1234567890123 in A, relu1_1:0.5 in B",
                "normalize_gradients: no in A, yes in B",
            ],
        ),
        (
            {"painted_with": ENVIRONMENT.model_copy(update={"torch": "2.14.0", "threads": 8})},
            ["PyTorch: 2.13.0 in A, 2.14.0 in B", "threads: 2 in A, 8 in B"],
        ),
        (
            {"result": RESULT.model_copy(update={"step": 2, "losses": {"total": 0.5}})},
            [
                "painted: to step 3 of 3 in A, to step 2 of 3 in B",
                "content loss: 0.1 in A, none in B",
                "total loss: 0.333333333 in A, 0.5 in B",
            ],
        ),
    ],
)
def test_differences_are_said_with_both_values(changes, said):
    assert list(list_differences(make_recipe(), make_recipe(**changes))) == said


def test_a_recipe_in_words_has_every_setting_and_digest():
    words = "\n".join(describe_recipe(make_recipe()))
    for name in Settings.model_fields:
        assert f"  {name} " in words
    for it in (*make_recipe().paintings, make_recipe().photo, make_recipe().network):
        assert it.sha256 in words
    assert "64 x 48, 16 bits, step 3 of 3" in words
    assert "before it was size 32" in words


def test_the_command_is_one_that_paints_it():
    settings = Settings(network="slim", size=64, style_blend=(2, 1), pooling="l2", pooling_gain=False)
    recipe = make_recipe(settings=settings, given=("size", "style_blend", "pooling", "pooling_gain"))
    wanted = "impasto photo.jpg night.jpg wave.jpg --size 64 --style-blend 2,1 --pooling l2 --no-pooling-gain"
    assert format_command(recipe) == wanted
