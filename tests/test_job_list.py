"""Inputs of a batch: patterns, folders, pairs and job lists; names of its pictures."""

import json
import os
import unicodedata
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from conftest import make_picture
from hypothesis import given
from hypothesis import strategies as st

from impasto.batch.inputs import InputCollector, make_pairs
from impasto.batch.items import BatchItem, make_item
from impasto.batch.job_list import read_job_list
from impasto.batch.naming import DEFAULT_TEMPLATE, make_distinct_names, name_outputs
from impasto.errors import UsageError
from impasto.images.write import write_image
from impasto.settings.model import Settings

RECIPE_TEXT = '{"recipe": 1}'


def write_picture(path: Path, embedded_text: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return write_image(make_picture(20, 16), path, embedded_text=embedded_text)


def collect(folder: Path, *names: str, output: str = "out", option: str = "PHOTO") -> tuple[list[str], list[str]]:
    """The pictures that the names stand for, relative to the folder, and the notes."""
    inputs = InputCollector(folder / output)
    found = inputs.collect([str(folder / name) for name in names], option)
    assert all(path.is_absolute() for path in found)
    return [path.relative_to(folder).as_posix() for path in found], inputs.list_notes()


# Inputs


def test_files_folders_and_patterns_come_once_in_order(tmp_path):
    for name in ("b.png", "a.jpg", "deep/er/c.webp", "deep/d.tif", ".hidden/e.png", "deep/.f.png"):
        write_picture(tmp_path / name)
    assert collect(tmp_path, "*.*")[0] == ["a.jpg", "b.png"]
    assert collect(tmp_path, "b.png", "*.*")[0] == ["b.png", "a.jpg"]
    assert collect(tmp_path, "deep")[0] == ["deep/d.tif", "deep/er/c.webp"]
    assert collect(tmp_path, "**/*.webp")[0] == ["deep/er/c.webp"]


@pytest.mark.parametrize("name", ["photo [1].jpg", "Grüße aus Köln.jpg", "日本 の*.jpg", "-rf.jpg", "a;b,c.jpg"])
def test_odd_file_names_are_found(tmp_path, name):
    write_picture(tmp_path / name)
    write_picture(tmp_path / "other.jpg")
    assert collect(tmp_path, name) == ([name], [])


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("gone.jpg", "does not exist: check the name and the folder"),
        ("*.webp", "there is no picture; quote patterns"),
        ("empty", "there is no picture; quote patterns"),
    ],
)
def test_a_name_without_picture_raises(tmp_path, name, said):
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match=said) as refused:
        collect(tmp_path, name)
    assert f"PHOTO {tmp_path / name}" in str(refused.value)


def test_folder_of_other_files_raises_with_the_reason(tmp_path):
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw/a.cr3").write_bytes(b"\0\0\0\x18ftypcrx ")
    with pytest.raises(UsageError, match=r"there is no picture.*\nleft out: a\.cr3, a camera's raw file"):
        collect(tmp_path, "raw")


def test_patterns_leave_out_other_files_with_a_note(tmp_path):
    write_picture(tmp_path / "a.jpg")
    (tmp_path / "notes.txt").write_text("no picture")
    found, notes = collect(tmp_path, "*")
    assert found == ["a.jpg"]
    assert len(notes) == 1
    assert notes[0].startswith("left out: notes.txt, of a suffix that no picture has; name such a file alone")
    assert collect(tmp_path, "notes.txt") == (["notes.txt"], [])


def test_painted_pictures_in_the_output_folder_are_left_out(tmp_path):
    write_picture(tmp_path / "a.jpg")
    write_picture(tmp_path / "out" / "a_b.png", RECIPE_TEXT)
    write_picture(tmp_path / "out" / "deep" / "a_c.png", RECIPE_TEXT)
    (tmp_path / "out" / "report.csv").touch()
    found, notes = collect(tmp_path, ".")
    assert found == ["a.jpg"]
    assert notes == ["2 pictures painted by impasto are not painted again; name such a file alone to paint it"]
    # also if the output folder is the input folder itself
    write_picture(tmp_path / "a_b.png", RECIPE_TEXT)
    assert collect(tmp_path, "*.*", output=".")[0] == ["a.jpg"]
    # and beside the photos, but not where they are named, or paintings
    found, notes = collect(tmp_path, ".", output="other")
    assert found == ["a.jpg"]
    (tmp_path / "out" / "a_b.png").unlink()
    (tmp_path / "out" / "deep" / "a_c.png").unlink()
    found, notes = collect(tmp_path, ".", output="other")
    assert notes == ["1 picture painted by impasto is not painted again; name such a file alone to paint it"]
    assert collect(tmp_path, ".", output="other", option="`style`")[0] == ["a.jpg", "a_b.png"]
    write_picture(tmp_path / "out" / "a_b.png", RECIPE_TEXT)
    assert collect(tmp_path, "a_b.png", "out/a_b.png", output="other")[0] == ["a_b.png", "out/a_b.png"]


def test_a_folder_with_only_painted_pictures_raises(tmp_path):
    write_picture(tmp_path / "out" / "a_b.png", RECIPE_TEXT)
    with pytest.raises(UsageError, match="no picture, except those that impasto painted;"):
        collect(tmp_path, "out")


def test_pairs_are_a_product_or_a_zip():
    photos, paintings = [Path("1"), Path("2")], [Path("a"), Path("b")]
    assert make_pairs(photos, paintings, "product") == [(photo, painting) for photo in photos for painting in paintings]
    assert make_pairs(photos, paintings, "zip") == [(photos[0], paintings[0]), (photos[1], paintings[1])]
    with pytest.raises(UsageError, match="there are 2 photos and 1 paintings") as refused:
        make_pairs(photos, paintings[:1], "zip")
    assert refused.value.setting == "pairs"


# Job lists

ROWS = [
    {"photo": "a.jpg", "painting": "b.jpg", "size": 64},
    {"photo": "ä ö.jpg", "paintings": ["b.jpg", "c.jpg"], "style_blend": [1, 3], "output": "x/y.tif", "bits": 16},
    {"photo": "/elsewhere/a.jpg", "painting": "b.jpg", "style_taps": "relu1_1:1,relu2_1:0.5", "quality": 80},
]
CSV = """photo,paintings,size,style_blend,style-taps,output,bits,quality
a.jpg,b.jpg,64,,,,,
ä ö.jpg,b.jpg; c.jpg,,"1,3",,x/y.tif,16,

/elsewhere/a.jpg,b.jpg,,,"relu1_1:1,relu2_1:0.5",,,80
"""


def write_list(path: Path, rows: list[dict[str, object]]) -> Path:
    if path.suffix == ".toml":
        path.write_text(tomli_w.dumps({"job": rows}), encoding="utf-8")
    else:
        path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return path


def test_lists_of_all_formats_are_equal(tmp_path):
    table = tmp_path / "jobs.csv"
    table.write_text(CSV, encoding="utf-8-sig")  # as spreadsheets write it
    lists = [write_list(tmp_path / "jobs.toml", ROWS), write_list(tmp_path / "jobs.jsonl", ROWS), table]
    read = [
        [
            (each.photo, each.job.paintings, each.job.settings, each.job.bits, each.job.quality, each.name)
            for each in read_job_list(path, {})
        ]
        for path in lists
    ]
    assert read[0] == read[1] == read[2]
    first, second, third = read[0]
    assert first == (tmp_path / "a.jpg", (tmp_path / "b.jpg",), Settings(size=64), 8, 95, "")
    assert second[1:] == ((tmp_path / "b.jpg", tmp_path / "c.jpg"), Settings(style_blend=(1, 3)), 16, 95, "x/y.tif")
    assert third[0] == Path("/elsewhere/a.jpg")
    assert third[2].style_taps == {"relu1_1": 1.0, "relu2_1": 0.5}
    assert third[4] == 80


def test_rows_override_the_command_line(tmp_path):
    path = write_list(
        tmp_path / "jobs.jsonl", [{"photo": "a", "painting": "b", "size": 64}, {"photo": "a", "painting": "b"}]
    )
    first, second = read_job_list(path, {"size": "32", "seed": "3"}, quality=50)
    assert (first.job.settings.size, first.job.settings.seed, first.job.quality) == (64, 3, 50)
    assert second.job.settings.size == 32


def test_files_in_settings_are_relative_to_the_list(tmp_path):
    (tmp_path / "net.safetensors").touch()
    rows = [
        {"photo": "a", "painting": "b", "init": "start.png", "network": "net.safetensors"},
        {"photo": "a", "painting": "b"},
    ]
    first, second = read_job_list(write_list(tmp_path / "jobs.jsonl", rows), {"init": "noise"})
    assert first.job.settings.init == str(tmp_path / "start.png")
    assert first.job.settings.network == str(tmp_path / "net.safetensors")
    assert (second.job.settings.init, second.job.settings.network) == ("noise", "vgg19")


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("jobs.txt", "", "takes a list in .csv, .toml, .jsonl"),
        ("jobs.csv", "", "has no jobs"),
        ("jobs.csv", "photo,painting\n\n", "has no jobs"),
        ("jobs.toml", "", "has no jobs"),
        ("jobs.jsonl", "\n", "has no jobs"),
        ("jobs.csv", "photo,painting,sise\na,b,3\n", "line 2: there is no column and no setting 'sise'"),
        ("jobs.csv", f"photo,painting,{500 * 'x'}\na,b,3\n", f"no setting '{40 * 'x'}'; columns"),
        ("jobs.csv", "photo;painti\0\0\na;b;c\n", "is not text, or damaged"),
        ("jobs.csv", "photo,painting,photo\na,b,c\n", "two columns 'photo'"),
        ("jobs.csv", "photo,painting\na,b,c\n", "line 2: has 3 cells for 2 columns"),
        ("jobs.csv", "photo,painting\na,\n", "line 2: paintings: Field required"),
        (
            "jobs.csv",
            "photo,painting,size\na,b,64\na,b,big\n",
            "takes a whole number, 16 to 32768; not 'big'",
        ),
        ("jobs.csv", "photo,painting,bits\na,b,9\n", "line 2: bits: "),
        ("jobs.csv", 'photo,painting\na,"b\n', "is not CSV"),
        ("jobs.toml", "[[job]\n", "is not TOML"),
        ("jobs.toml", "jobs = 3", "takes a [[job]] for each picture"),
        ("jobs.jsonl", '{"photo": "a", "painting": "b"}\n{', "line 2: is not JSON"),
        ("jobs.jsonl", "[1]", "line 1: takes an object"),
        ("jobs.jsonl", '{"photo": "a", "painting": "b", "paintings": ["c"]}', "has painting and paintings"),
        ("jobs.jsonl", '{"photo": "a", "painting": 3}', "line 1: paintings: Input should be a valid string"),
        ("jobs.jsonl", '{"photo": "a", "painting": "b", "output": "../c.png"}', "no place inside the output folder"),
        ("jobs.jsonl", '{"photo": "a", "painting": "b", "output": "c.gif"}', "end the name in .png"),
        ("jobs.jsonl", b"\xfc", "is not text in UTF-8"),
    ],
)
def test_faults_in_a_list_are_named_with_their_place(tmp_path, name, text, said):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UsageError) as refused:
        read_job_list(path, {})
    assert said in str(refused.value)
    assert name in str(refused.value)


def test_a_missing_list_raises(tmp_path):
    with pytest.raises(UsageError, match=r"gone\.csv does not exist: check the name and the folder"):
        read_job_list(tmp_path / "gone.csv", {})


# Names


def item(photo: str, *paintings: str, name: str = "", **settings: Any) -> BatchItem:
    return make_item(Path(photo), tuple(map(Path, paintings)), Settings(**settings), name=name, source=f"row {photo}")


def test_names_come_from_the_template():
    items = [item("/p/one.jpg", "/s/a.jpg"), item("/p/two.jpg", "/s/a.jpg", "/s/b.jpg", size=64)]
    assert name_outputs(items) == ["one_a.png", "two_a+b.png"]
    assert name_outputs(items, "{painting}/{number:03}-{photo}-{size}.tif") == [
        "a/001-one-512.tif",
        "a+b/002-two-64.tif",
    ]


@pytest.mark.parametrize(
    ("photos", "words"),
    [
        (["/p/a.jpg", "/p/a.png", "/p/b.jpg"], ["a.jpg", "a.png", "b"]),
        (["/2023/a.jpg", "/2024/a.jpg"], ["2023_a", "2024_a"]),
        (["/2023/x/a.jpg", "/2024/x/a.jpg"], ["2023_x_a", "2024_x_a"]),
        (["/2023/a.jpg", "/2024/a.jpg", "/2024/a.png"], ["2023_a", "2024_a.jpg", "2024_a.png"]),
        (["/a.jpg", "/2024/a.jpg"], ["a", "2024_a"]),
        (["/p/A.jpg", "/p/a.png"], ["A.jpg", "a.png"]),  # equal for some disks
        (["/p/é.jpg", "/p/e\u0301.png"], ["é.jpg", "e\u0301.png"]),  # these too
    ],
)
def test_photos_with_one_name_get_distinct_names(photos, words):
    assert list(make_distinct_names(map(Path, photos)).values()) == words


def test_equal_names_are_numbered():
    items = [item("a.jpg", "b.jpg", seed=seed) for seed in (1, 2, 3)]
    assert name_outputs(items) == ["a_b.png", "a_b_2.png", "a_b_3.png"]
    assert name_outputs(items, "{photo}_{seed}.png") == ["a_1.png", "a_2.png", "a_3.png"]
    # a number never makes a name that another has
    items = [
        item("a.jpg", "b.jpg"),
        item("a.jpg", "b.jpg"),
        item("c.jpg", "d.jpg", name="a_b_2.png"),
    ]
    assert name_outputs(items) == ["a_b.png", "a_b_3.png", "a_b_2.png"]
    # joined words may be equal although the words are not
    assert name_outputs([item("a_b.jpg", "c.jpg"), item("a.jpg", "b_c.jpg")]) == [
        "a_b_c.png",
        "a_b_c_2.png",
    ]


def test_a_name_given_twice_raises():
    with pytest.raises(UsageError, match=r"row b: X\.png is the output of row a too"):
        name_outputs([item("a", "c", name="x.png"), item("b", "c", name="X.png")])


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("{photo}", "end the name in .png"),
        ("{photo}.gif", "end the name in .png"),
        ("{foto}.png", "there is no {foto}"),
        ("{photo.parent}.png", "there is no {photo.parent}"),
        ("{}.png", "there is no {}"),
        ("{photo.png", "is not a template"),
        ("{size:q}.png", "is not a template"),
        ("../{photo}.png", "no place inside the output folder"),
        ("/tmp/{photo}.png", "no place inside the output folder"),
    ],
)
def test_bad_templates_raise(template, said):
    with pytest.raises(UsageError) as refused:
        name_outputs([item("a", "b")], template)
    assert refused.value.setting == "name"
    assert said in str(refused.value)


def test_long_names_are_cut_and_stay_distinct():
    items = [item(f"/p/{'ü' * 110}{end}.jpg", f"/s/{'x' * 150}.jpg") for end in "ab"]
    names = name_outputs(items)
    assert len(set(names)) == 2
    assert all(len(os.fsencode(name)) <= 200 and name.endswith(".png") for name in names)


words = st.text("aAbB_é2", min_size=1, max_size=3)
paths = st.builds(
    lambda folder, stem, suffix: f"/{folder}/{stem}{suffix}", words, words, st.sampled_from([".jpg", ".png", ""])
)


@given(
    st.lists(st.tuples(paths, paths), max_size=8),
    st.sampled_from([DEFAULT_TEMPLATE, "{photo}.png", "{painting}/{photo}.jpg"]),
)
def test_names_are_distinct_and_the_same_every_time(pairs, template):
    items = [item(photo, painting) for photo, painting in pairs]
    names = name_outputs(items, template)
    folded = {unicodedata.normalize("NFC", name).casefold() for name in names}
    assert len(folded) == len(pairs)
    assert names == name_outputs(items, template)


@pytest.mark.parametrize("delimiter", [";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_csv_of_spreadsheets_with_decimal_commas(tmp_path, delimiter, encoding):
    rows = ["photo;paintings;style_weight;style_size;size", 'ä.png;"b.png;c.png";1,5;0.5,400px;64']
    text = "\r\n".join(row.replace(";", delimiter) if delimiter != ";" else row for row in rows)
    (tmp_path / "jobs.csv").write_bytes(text.replace(f"b.png{delimiter}c", "b.png;c").encode(encoding))
    (item,) = read_job_list(tmp_path / "jobs.csv", {})
    assert item.job.photo == tmp_path / "ä.png"
    assert [path.name for path in item.job.paintings] == ["b.png", "c.png"]
    assert item.job.settings == Settings(style_weight=1.5, style_size="0.5,400px", size=64)


def test_rows_may_name_files_in_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    listed = tmp_path / "jobs.csv"
    listed.write_text("photo,painting,preserve_mask\n~/a.png,~/b.png,~/c.png\n")
    (item,) = read_job_list(listed, {})
    home = tmp_path / "home"
    assert (item.photo, item.job.paintings) == (home / "a.png", (home / "b.png",))
    assert item.job.settings.preserve_mask == str(home / "c.png")


def test_long_wrong_value_is_shown_in_part(tmp_path):
    (tmp_path / "jobs.csv").write_text(f"photo,painting,size\na,b,{'x' * 5000}\n")
    with pytest.raises(UsageError, match="not 'xxx") as refused:
        read_job_list(tmp_path / "jobs.csv", {})
    assert len(str(refused.value)) < 400
