"""Contact sheets: all combinations of values, each cell kept with its recipe, with its settings below it."""

import itertools
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from batch_folder import wait_for
from conftest import SPELT_OUT, make_picture
from hypothesis import given
from hypothesis import strategies as st
from numpy.lib.stride_tricks import sliding_window_view
from PIL import Image, ImageFont

from impasto import read_recipe
from impasto.cli.app import main
from impasto.cli.sheet import count_columns, name_cell
from impasto.errors import UsageError
from impasto.images.contact_sheet import MAX_CELL_PIXELS, SheetCell, _wrap_text, compose_sheet
from impasto.images.write import write_image
from impasto.settings.variations import parse_variations

RED, GREEN = (255, 0, 0), (0, 128, 0)


# Variations


def test_variations_combine_all_values_last_one_first():
    choices = parse_variations(["style_weight=0.3,1", "--preset=default,gatys2015"], {})
    assert choices == [
        {"style_weight": "0.3", "preset": "default"},
        {"style_weight": "0.3", "preset": "gatys2015"},
        {"style_weight": "1", "preset": "default"},
        {"style_weight": "1", "preset": "gatys2015"},
    ]


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("style_taps=relu1_1:1,relu2_1:0.5;relu4_1", ["relu1_1:1,relu2_1:0.5", "relu4_1"]),
        ("style-taps=relu1_1,relu2_1;", ["relu1_1,relu2_1"]),
        ("style_taps = relu1_1 , relu2_1", ["relu1_1", "relu2_1"]),
    ],
)
def test_semicolons_separate_values_with_commas(text, values):
    assert parse_variations([text], {}) == [{"style_taps": value} for value in values]


@pytest.mark.parametrize(
    ("texts", "given", "said"),
    [
        (["style_weight"], {}, "`vary` style_weight: takes a setting and its values, such as style_weight=0.3,1,3"),
        (["style_weight= ,"], {}, "takes a setting and its values"),
        (["stile_weight=1"], {}, "there is no setting 'stile_weight'; did you mean style_weight?"),
        (["zzz=1"], {}, "there are preset, size, fit, max_pixels, seed"),
        (["size=64", "size=32"], {}, "size is varied twice"),
        (["size=64"], {"size": "32"}, "`size` is given as well; leave one of them out"),
        (["seed=" + ",".join("1" * 101)], {}, "101 = 101 pictures are too many for a sheet: vary less, 100 at most"),
        (["seed=" + "1," * 11, "steps=" + "1," * 10], {}, "11 x 10 = 110 pictures"),
    ],
)
def test_bad_variations_raise(texts, given, said):
    with pytest.raises(UsageError) as refused:
        parse_variations(texts, given)
    assert refused.value.setting == "vary"
    assert said in str(refused.value)
    assert refused.value.setting == "vary"


@given(st.lists(st.integers(1, 100), min_size=1, max_size=3).filter(lambda counts: np.prod(counts) <= 100))
def test_sheets_have_at_most_ten_rows_and_columns(counts):
    names = ("seed", "steps", "size")[: len(counts)]
    texts = [
        f"{name}={','.join(str(value) for value in range(count))}" for name, count in zip(names, counts, strict=True)
    ]
    choices = parse_variations(texts, {})
    columns = count_columns(choices)
    rows = -(-len(choices) // columns)
    assert len(choices) == np.prod(counts)
    assert max(rows, columns) <= 10
    if counts[-1] <= 10 and len(choices) // counts[-1] <= 10:
        assert columns == counts[-1]  # a column for each value


def test_names_of_cells_are_plain_and_list_settings():
    choice = {"style_taps": "relu1_1:1,relu2_1:0.5", "init": "../a b/ü.png"}
    assert name_cell(3, choice) == "03_style_taps=relu1_1-1-relu2_1-0.5_init=..-a-b-.png.png"
    assert len(name_cell(3, {"init": "x" * 999})) < 120


# The sheet


def find(sheet: Image.Image, color: tuple[int, int, int]) -> tuple[int, int, int, int]:
    """The box of a color: left, top, right, bottom."""
    rows, columns = np.nonzero((np.asarray(sheet) == color).all(axis=-1))
    return columns.min(), rows.min(), columns.max() + 1, rows.max() + 1


def test_pictures_are_side_by_side_with_text_below():
    cells = [
        SheetCell(Image.new("RGB", (60, 40), RED), ["a = 1"]),
        SheetCell(Image.new("RGB", (60, 40), GREEN), ["a = 2"]),
    ]
    sheet = compose_sheet(cells, 2)
    red, green = find(sheet, RED), find(sheet, GREEN)
    assert (red[2] - red[0], red[3] - red[1]) == (green[2] - green[0], green[3] - green[1]) == (60, 40)
    assert (red[1], red[2] < green[0]) == (green[1], True)
    for box in (red, green):
        under = np.asarray(sheet)[box[3] :, box[0] : box[2]]
        assert (under.min(axis=-1) < 100).any()
    assert (np.asarray(sheet)[:, : red[0]] == 255).all()


def test_a_missing_picture_leaves_its_place_empty():
    cells = [SheetCell(None, ["first", "second"]), SheetCell(Image.new("RGB", (50, 70), RED), ["third"])]
    sheet = compose_sheet(cells, 1)
    assert find(sheet, RED)[1] > 70
    assert compose_sheet([SheetCell(None, ["nothing"])], 1).size[0] > 0


def test_large_pictures_shrink_and_transparent_ones_show_paper():
    assert compose_sheet([SheetCell(Image.new("RGB", (3000, 1000), RED), ["x"])], 1).width < MAX_CELL_PIXELS * 1.2
    clear = Image.new("RGBA", (60, 40), (*RED, 0))
    assert (np.asarray(compose_sheet([SheetCell(clear, [""])], 1)) == 255).all()


@given(st.text(st.sampled_from("abc_=1:, "), min_size=1, max_size=80))
def test_long_lines_are_wrapped_without_loss(text):
    font = ImageFont.load_default(12)
    lines = _wrap_text(text, font, 60)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")
    assert max(font.getlength(line) for line in lines) <= 60


# On the command line


@pytest.fixture
def command(tmp_path: Path, weights_file: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The words of a quick sheet, in a folder with its files."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(weights_file, "tiny.safetensors")
    for seed, name in enumerate(("photo.png", "painting.png"), start=1):
        write_image(make_picture(48, 36, seed), name)
    names = ("content_taps", "style_taps", "precision", "optimizer")
    chosen: dict[str, Any] = {name: SPELT_OUT[name] for name in names} | {"network": "tiny.safetensors", "steps": 2}
    words = ["sheet", "photo.png", "painting.png"]
    for name, value in chosen.items():
        text = ",".join(f"{tap}:{weight}" for tap, weight in value.items()) if isinstance(value, dict) else str(value)
        words += [f"--{name.replace('_', '-')}", text]
    return words


VARY = ["--vary", "style_weight=0.3,1,3", "--vary", "pooling=max,average"]


@pytest.mark.usefixtures("without_processes")
def test_a_sheet_shows_its_cells(command, capsys):
    assert main([*command, "--size", "32", *VARY]) == 0
    shown = capsys.readouterr()
    assert shown.out.startswith("photo_painting_sheet.png: 6 pictures on ")
    assert set(re.findall(r"^\d/6 (.*?):", shown.err, re.MULTILINE)) == {
        f"style_weight = {weight}, pooling = {pooling}"
        for weight in ("0.3", "1", "3")
        for pooling in ("max", "average")
    }
    cells = sorted(Path("photo_painting_sheet_cells").iterdir())
    pairs = itertools.product((0.3, 1, 3), ("max", "average"))
    assert len(cells) == 6
    for cell, (weight, pooling) in zip(cells, pairs, strict=True):
        settings = read_recipe(cell).settings
        assert (settings.style_weight, settings.pooling, settings.size) == (weight, pooling, 32)
    with Image.open("photo_painting_sheet.png") as sheet:
        assert sheet.width > 2 * 32
        assert sheet.height > 3 * 24
        rows = sliding_window_view(np.asarray(sheet), 32, axis=1)  # (H, W - 31, 3, 32)
    for cell in cells:  # each is on the sheet unchanged
        with Image.open(cell) as picture:
            top = np.asarray(picture)[0].T
        assert (rows == top).all(axis=(2, 3)).any()


@pytest.mark.usefixtures("without_processes")
def test_a_cell_can_be_painted_larger(command):
    assert main([*command, "--vary", "style_weight=1,3", "--size", "32", "-q", "-o", "tries.png"]) == 0
    assert main(["rerun", "tries_cells/02_style_weight=3.png", "--size", "64", "-o", "large.png", "-q"]) == 0
    recipe = read_recipe("large.png")
    assert (recipe.settings.style_weight, recipe.result.width) == (3, 64)
    assert recipe.overridden == {"size": 32}


@pytest.mark.usefixtures("without_processes")
def test_cells_have_256_pixels_by_default(command, capsys):
    assert main([*command, "--vary", "seed=0"]) == 0
    assert capsys.readouterr().out.startswith("photo_painting_sheet.png: 1 picture on ")
    assert read_recipe("photo_painting_sheet_cells/01_seed=0.png").result.width == 256


@pytest.mark.usefixtures("without_processes")
def test_an_overwritten_sheet_keeps_finished_cells(command):
    words = [*command, "--size", "32", "--vary", "seed=1,2", "-q", "-o", "a.png"]
    assert main(words) == 0
    first, second = sorted(Path("a_cells").iterdir())
    written = first.stat().st_mtime_ns
    second.unlink()
    assert main([*words, "--overwrite"]) == 0
    assert first.stat().st_mtime_ns == written
    assert second.exists()


@pytest.mark.usefixtures("without_processes")
def test_sizes_can_be_varied(command):
    assert main([*command, "--vary", "size=32,48", "-q", "-o", "a.png"]) == 0
    assert [read_recipe(cell).result.width for cell in sorted(Path("a_cells").iterdir())] == [32, 48]


@pytest.mark.usefixtures("without_processes")
def test_files_are_overwritten_only_if_asked(command, capsys):
    words = [*command, "--size", "32", "--vary", "seed=1", "-q", "-o", "a.png"]
    Path("a_cells").mkdir()
    Path("a_cells/dear.txt").write_text("dear")
    assert main(words) == 1
    assert "a_cells, for the single pictures, already exists" in capsys.readouterr().err
    assert main([*words, "--overwrite"]) == 0
    assert main(words) == 1
    assert "a.png already exists" in capsys.readouterr().err
    assert Path("a_cells/dear.txt").read_text() == "dear"


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ([], 2, "--vary"),
        (["--vary", "style_weight=1,x"], 2, "takes a number, 0 or more; not 'x'"),
        (["--vary", "preset=default,monet"], 2, "takes one of default, instant, draft, fine, film, gatys2015, "),
        (["--vary", "sice=1"], 2, "did you mean size?"),
        (["--vary", "seed=1", "-o", "no/a.png"], 1, "the folder no does not exist"),
        (["--vary", "seed=1", "-o", "photo.png", "--overwrite"], 2, "photo.png is also the input"),
        (["--vary", "style_blend=1,2;3,4"], 2, "has 2 weights for 1 painting"),
        (["--vary", "init=gone.png,photo"], 1, "gone.png does not exist"),
    ],
)
def test_wrong_usage_leaves_no_files(command, capsys, words, code, said):
    before = set(Path().iterdir())
    assert main([*command, "--size", "32", *words]) == code
    shown = capsys.readouterr()
    assert said in shown.err
    assert "Traceback" not in shown.err
    assert shown.out == ""
    assert set(Path().iterdir()) == before


@pytest.mark.usefixtures("without_processes")
def test_a_cell_that_cant_be_painted_stays_empty(command, capsys):
    assert main([*command, "--size", "32", "--vary", "style_size=0.05,1", "-o", "a.png"]) == 1
    shown = capsys.readouterr()
    assert "style_size = 0.05: failed" in shown.err
    assert "1 of 2 pictures failed:\n  style_size = 0.05  A painting would be 2 x 2 pixels" in shown.err
    assert shown.out.startswith("a.png: 2 pictures on ")
    assert [path.name for path in Path("a_cells").iterdir()] == ["02_style_size=1.png"]


@pytest.mark.slow
def test_an_interrupt_keeps_finished_cells(command):
    command[command.index("--steps") + 1] = "300"
    words = [*command, "--size", "32", *VARY, "-o", "a.png", "-q", "--workers", "1"]
    process = subprocess.Popen(
        [sys.executable, "-m", "impasto", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    wait_for(lambda: [*Path().glob("a_cells/*.png")])
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 130
    cells = len([*Path().glob("a_cells/*")])
    assert 1 <= cells < 6
    assert errors == f"impasto: interrupted; {cells} of 6 pictures are painted\n"
    assert output == "a.png\n"
    assert Path("a.png").exists()
