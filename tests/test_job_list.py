"""What a batch is to paint, and how it is called: patterns, folders, pairs, job lists, names."""

import json
import os
import unicodedata
from pathlib import Path

import pytest
import tomli_w
from conftest import make_picture
from hypothesis import given
from hypothesis import strategies as st

from impasto.batch.commissions import Commission
from impasto.batch.inputs import InputCollector, make_pairs
from impasto.batch.job_list import read_job_list
from impasto.batch.naming import DEFAULT_TEMPLATE, make_distinct_names, name_outputs
from impasto.errors import UsageError
from impasto.images.write import write_image
from impasto.settings.model import Settings

INSCRIPTION = '{"recipe": 1}'


def paint_file(path: Path, inscription: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return write_image(make_picture(20, 16), path, embedded_text=inscription)


def find(folder: Path, *names: str, output: str = "out") -> tuple[list[str], list[str]]:
    """What the names mean, from the folder, and the notes."""
    listing = InputCollector(folder / output)
    found = listing.collect([str(folder / name) for name in names], "PHOTO")
    assert all(path.is_absolute() for path in found)
    return [path.relative_to(folder).as_posix() for path in found], listing.list_notes()


# Which pictures are meant


def test_files_folders_and_patterns_each_once_in_order(tmp_path):
    for name in ("b.png", "a.jpg", "deep/er/c.webp", "deep/d.tif", ".hidden/e.png", "deep/.f.png"):
        paint_file(tmp_path / name)
    assert find(tmp_path, "*.*")[0] == ["a.jpg", "b.png"]
    assert find(tmp_path, "b.png", "*.*")[0] == ["b.png", "a.jpg"]
    assert find(tmp_path, "deep")[0] == ["deep/d.tif", "deep/er/c.webp"]
    assert find(tmp_path, "**/*.webp")[0] == ["deep/er/c.webp"]


@pytest.mark.parametrize("name", ["photo [1].jpg", "Grüße aus Köln.jpg", "日本 の*.jpg", "-rf.jpg", "a;b,c.jpg"])
def test_names_that_look_like_patterns_or_anything_else(tmp_path, name):
    paint_file(tmp_path / name)
    paint_file(tmp_path / "other.jpg")
    assert find(tmp_path, name) == ([name], [])


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("gone.jpg", "there is no such file or folder"),
        ("*.webp", "there is no picture; quote patterns"),
        ("empty", "there is no picture; quote patterns"),
    ],
)
def test_what_means_nothing_is_an_error(tmp_path, name, said):
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match=said) as refused:
        find(tmp_path, name)
    assert f"PHOTO {tmp_path / name}" in str(refused.value)


def test_other_files_are_left_out_of_patterns_with_a_note_but_taken_by_name(tmp_path):
    paint_file(tmp_path / "a.jpg")
    (tmp_path / "notes.txt").write_text("no picture")
    found, notes = find(tmp_path, "*")
    assert found == ["a.jpg"]
    assert len(notes) == 1
    assert "notes.txt is left out" in notes[0]
    assert find(tmp_path, "notes.txt") == (["notes.txt"], [])


def test_what_was_painted_into_an_output_folder_inside_the_input_is_no_input(tmp_path):
    paint_file(tmp_path / "a.jpg")
    paint_file(tmp_path / "out" / "a_b.png", INSCRIPTION)
    paint_file(tmp_path / "out" / "deep" / "a_c.png", INSCRIPTION)
    found, notes = find(tmp_path, ".")
    assert found == ["a.jpg"]
    assert notes == ["2 pictures in the output folder, painted by impasto, are not painted again as photos"]
    # where the output folder is the input folder itself, its photos are still photos
    paint_file(tmp_path / "a_b.png", INSCRIPTION)
    assert find(tmp_path, "*.*", output=".")[0] == ["a.jpg"]
    # and elsewhere a painted picture may be a photo
    assert find(tmp_path, "a_b.png", "out/a_b.png", output="other")[0] == ["a_b.png", "out/a_b.png"]


def test_only_painted_pictures_is_said(tmp_path):
    paint_file(tmp_path / "out" / "a_b.png", INSCRIPTION)
    with pytest.raises(UsageError, match="no picture but pictures that impasto painted into the output folder"):
        find(tmp_path, "out")


def test_pairs():
    photos, paintings = [Path("1"), Path("2")], [Path("a"), Path("b")]
    assert make_pairs(photos, paintings, "product") == [(photo, it) for photo in photos for it in paintings]
    assert make_pairs(photos, paintings, "zip") == [(photos[0], paintings[0]), (photos[1], paintings[1])]
    with pytest.raises(UsageError, match="there are 2 photos and 1 paintings"):
        make_pairs(photos, paintings[:1], "zip")


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


def test_all_three_kinds_of_lists_say_the_same(tmp_path):
    table = tmp_path / "jobs.csv"
    table.write_text(CSV, encoding="utf-8-sig")  # as spreadsheets write it
    lists = [write_list(tmp_path / "jobs.toml", ROWS), write_list(tmp_path / "jobs.jsonl", ROWS), table]
    read = [
        [(it.photo, it.paintings, it.settings, it.bits, it.quality, it.output) for it in read_job_list(path, {})]
        for path in lists
    ]
    assert read[0] == read[1] == read[2]
    first, second, third = read[0]
    assert first == (tmp_path / "a.jpg", (tmp_path / "b.jpg",), Settings(size=64), 8, 95, None)
    assert second[1:] == ((tmp_path / "b.jpg", tmp_path / "c.jpg"), Settings(style_blend=(1, 3)), 16, 95, "x/y.tif")
    assert third[0] == Path("/elsewhere/a.jpg")
    assert third[2].style_taps == {"relu1_1": 1.0, "relu2_1": 0.5}
    assert third[4] == 80


def test_rows_win_over_the_command_line(tmp_path):
    path = write_list(
        tmp_path / "jobs.jsonl", [{"photo": "a", "painting": "b", "size": 64}, {"photo": "a", "painting": "b"}]
    )
    first, second = read_job_list(path, {"size": "32", "seed": "3"}, quality=50)
    assert (first.settings.size, first.settings.seed, first.quality) == (64, 3, 50)
    assert second.settings.size == 32


def test_files_named_in_settings_are_looked_for_from_the_list(tmp_path):
    (tmp_path / "net.safetensors").touch()
    rows = [
        {"photo": "a", "painting": "b", "init": "start.png", "network": "net.safetensors"},
        {"photo": "a", "painting": "b"},
    ]
    first, second = read_job_list(write_list(tmp_path / "jobs.jsonl", rows), {"init": "noise"})
    assert first.settings.init == str(tmp_path / "start.png")
    assert first.settings.network == str(tmp_path / "net.safetensors")
    assert (second.settings.init, second.settings.network) == ("noise", "slim")


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("jobs.txt", "", "takes a list in .csv, .toml, .jsonl"),
        ("jobs.csv", "", "holds no jobs"),
        ("jobs.csv", "photo,painting\n\n", "holds no jobs"),
        ("jobs.toml", "", "holds no jobs"),
        ("jobs.jsonl", "\n", "holds no jobs"),
        ("jobs.csv", "photo,painting,sise\na,b,3\n", "line 2: there is no column and no setting 'sise'"),
        ("jobs.csv", "photo,painting,photo\na,b,c\n", "two columns 'photo'"),
        ("jobs.csv", "photo,painting\na,b,c\n", "line 2: has 3 cells for 2 columns"),
        ("jobs.csv", "photo,painting\na,\n", "line 2: paintings: Field required"),
        (
            "jobs.csv",
            "photo,painting,size\na,b,64\na,b,big\n",
            "line 3: --size: takes a whole number, 16 to 32768; not 'big'",
        ),
        ("jobs.csv", "photo,painting,bits\na,b,9\n", "line 2: bits: "),
        ("jobs.csv", 'photo,painting\na,"b\n', "is no CSV"),
        ("jobs.toml", "[[job]\n", "is no TOML"),
        ("jobs.toml", "jobs = 3", "takes a [[job]] for each picture"),
        ("jobs.jsonl", '{"photo": "a", "painting": "b"}\n{', "line 2: is no JSON"),
        ("jobs.jsonl", "[1]", "line 1: takes an object"),
        ("jobs.jsonl", '{"photo": "a", "painting": "b", "paintings": ["c"]}', "has painting and paintings"),
        ("jobs.jsonl", '{"photo": "a", "painting": 3}', "line 1: paintings: Input should be a valid string"),
        ("jobs.jsonl", '{"photo": "a", "painting": "b", "output": "../c.png"}', "no place inside the output folder"),
        ("jobs.jsonl", '{"photo": "a", "painting": "b", "output": "c.gif"}', "end the name in .png"),
        ("jobs.jsonl", b"\xff\xfe", "is not text in UTF-8"),
    ],
)
def test_what_is_wrong_in_a_list_is_said_with_its_place(tmp_path, name, text, said):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UsageError) as refused:
        read_job_list(path, {})
    assert said in str(refused.value)
    assert name in str(refused.value)


def test_a_list_that_is_not_there(tmp_path):
    with pytest.raises(UsageError, match="can't be read, No such file"):
        read_job_list(tmp_path / "gone.csv", {})


# Names


def commission(photo: str, *paintings: str, output: str | None = None, **settings: object) -> Commission:
    where = f"row {photo}"
    return Commission(Path(photo), tuple(map(Path, paintings)), Settings(**settings), output=output, source=where)  # type: ignore[arg-type]


def test_plain_names_come_from_the_template():
    wanted = [commission("/p/one.jpg", "/s/a.jpg"), commission("/p/two.jpg", "/s/a.jpg", "/s/b.jpg", size=64)]
    assert name_outputs(wanted) == ["one_a.png", "two_a+b.png"]
    assert name_outputs(wanted, "{painting}/{number:03}-{photo}-{size}.tif") == [
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
        (["/p/A.jpg", "/p/a.png"], ["A.jpg", "a.png"]),  # some disks don't tell A from a
        (["/p/é.jpg", "/p/e\u0301.png"], ["é.jpg", "e\u0301.png"]),  # nor these
    ],
)
def test_photos_of_one_name_are_told_apart(photos, words):
    assert list(make_distinct_names(map(Path, photos)).values()) == words


def test_what_is_the_same_all_the_same_is_numbered():
    wanted = [commission("a.jpg", "b.jpg", seed=seed) for seed in (1, 2, 3)]
    assert name_outputs(wanted) == ["a_b.png", "a_b_2.png", "a_b_3.png"]
    assert name_outputs(wanted, "{photo}_{seed}.png") == ["a_1.png", "a_2.png", "a_3.png"]
    # a number never takes another's name
    wanted = [
        commission("a.jpg", "b.jpg"),
        commission("a.jpg", "b.jpg"),
        commission("c.jpg", "d.jpg", output="a_b_2.png"),
    ]
    assert name_outputs(wanted) == ["a_b.png", "a_b_3.png", "a_b_2.png"]
    # joined words may be the same although the words are not
    assert name_outputs([commission("a_b.jpg", "c.jpg"), commission("a.jpg", "b_c.jpg")]) == [
        "a_b_c.png",
        "a_b_c_2.png",
    ]


def test_a_name_given_twice_is_refused():
    with pytest.raises(UsageError, match=r"row b: X\.png is the output of row a too"):
        name_outputs([commission("a", "c", output="x.png"), commission("b", "c", output="X.png")])


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("{photo}", "end the name in .png"),
        ("{photo}.gif", "end the name in .png"),
        ("{foto}.png", "there is no {foto}"),
        ("{photo.parent}.png", "there is no {photo.parent}"),
        ("{}.png", "there is no {}"),
        ("{photo.png", "is no template"),
        ("{size:q}.png", "is no template"),
        ("../{photo}.png", "no place inside the output folder"),
        ("/tmp/{photo}.png", "no place inside the output folder"),
    ],
)
def test_templates_that_name_nothing_good(template, said):
    with pytest.raises(UsageError) as refused:
        name_outputs([commission("a", "b")], template)
    assert said in str(refused.value)


def test_long_names_are_cut_and_stay_apart():
    wanted = [commission(f"/p/{'ü' * 110}{end}.jpg", f"/s/{'x' * 150}.jpg") for end in "ab"]
    names = name_outputs(wanted)
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
def test_names_are_injective_and_the_same_every_time(pairs, template):
    wanted = [commission(photo, painting) for photo, painting in pairs]
    names = name_outputs(wanted, template)
    folded = {unicodedata.normalize("NFC", name).casefold() for name in names}
    assert len(folded) == len(pairs)
    assert names == name_outputs(wanted, template)
