"""Options of other programs: each has a row on their page, and every option named in a row exists here."""

import re
import shlex
from pathlib import Path

import pytest

from impasto.cli.app import app
from impasto.cli.manual import render_help
from impasto.settings.model import Settings
from impasto.settings.parsing import parse_settings

PAGE = (Path(__file__).parent.parent / "docs" / "reference" / "other-programs.md").read_text(encoding="utf-8")
ARGUMENTS = {"PHOTO", "PAINTING"}
COMING = {"film", "resume", "studio", "batch", "plan", "regions"}  # named already, each checked once it is there

# All that the programs' own parsers take.
OPTIONS = {
    "From neural-style-tf": """
        --verbose --img_name --style_imgs --style_imgs_weights --content_img --style_imgs_dir --content_img_dir
        --init_img_type --max_size --content_weight --style_weight --tv_weight --temporal_weight
        --content_loss_function --content_layers --style_layers --content_layer_weights --style_layer_weights
        --original_colors --color_convert_type --color_convert_time --style_mask --style_mask_imgs --noise_ratio --seed
        --model_weights --pooling_type --device --img_output_dir --optimizer --learning_rate --max_iterations
        --print_iterations --video --start_frame --end_frame --first_frame_type --init_frame_type --video_input_dir
        --video_output_dir --content_frame_frmt --backward_optical_flow_frmt --forward_optical_flow_frmt
        --content_weights_frmt --prev_frame_indices --first_frame_iterations --frame_iterations
    """,
    "From neural-style-pt": """
        -style_image -style_blend_weights -content_image -image_size -gpu -content_weight -style_weight
        -normalize_weights -normalize_gradients -tv_weight -num_iterations -init -init_image -optimizer -learning_rate
        -lbfgs_num_correction -print_iter -save_iter -output_image -style_scale -original_colors -pooling -model_file
        -disable_check -backend -cudnn_autotune -seed -content_layers -style_layers -multidevice_strategy
    """,
    "From style-transfer-pytorch": """
        content styles --output --style-weights --devices --random-seed --content-weight --tv-weight --optimizer
        --min-scale --end-scale --iterations --initial-iterations --save-every --step-size --avg-decay --init
        --style-scale-fac --style-size --pooling --proof --web --host --port --browser
    """,
}


def find_rows(heading: str) -> list[list[str]]:
    """List the rows of the table below a heading, without its head."""
    section = PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    rows = [line.strip("|").split("|") for line in section.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in row] for row in rows[1:]]


ROWS = [(heading, row) for heading in (*OPTIONS, "What the field has") for row in find_rows(heading)]


@pytest.mark.parametrize("heading", OPTIONS)
def test_every_option_of_the_program_has_one_row(heading: str) -> None:
    rows = find_rows(heading)
    assert [row[0].strip("`") for row in rows] == OPTIONS[heading].split()


@pytest.mark.parametrize("row", [pytest.param(row, id=f"{heading}: {row[0]}") for heading, row in ROWS])
def test_rows_name_existing_options_or_a_reason(row: list[str]) -> None:
    theirs, ours, why = row
    assert theirs
    if ours == "no":
        assert len(why) > 10
        return
    named = re.findall(r"`([^`]+)`", ours)
    assert named
    assert re.sub(r"`[^`]+`|, ", "", ours) == ""
    for words in map(shlex.split, named):
        check(words)


def check(words: list[str]) -> None:
    """Assert that an option, with its value if it stands there, an argument or a command is one of ours."""
    if words[0] != "impasto":
        if words[0] in ARGUMENTS:
            return
        page: list[str] = []
    else:
        page = [word for word in words[1:] if not word.startswith("-")]
        if page[0] not in app:
            assert page[0] in COMING
            return
        words = words[1 + len(page) :]
    known = set(re.findall(r"(?<!\S)--?[a-z][a-z0-9-]*", render_help(page)))
    if not words:
        return
    assert words[0] in known, words
    if len(words) == 2:
        name = words[0].lstrip("-").replace("-", "_")
        beside = {"pooling": "average"} if name == "pooling_gain" else {}
        if name.startswith("noise"):
            beside = {"init": "noise"}
        if name.startswith("color_"):
            beside = {"color": "match" if name == "color_match" else "keep"}
        if name in Settings.model_fields:
            parse_settings({**beside, name: words[1]})
        else:
            assert words[1] in render_help(page)


def test_rows_with_unknown_options_are_found() -> None:
    for words in (["--style-scale"], ["--init", ""], ["impasto", "sheet", "--vari"]):
        with pytest.raises((AssertionError, ValueError)):
            check(words)
    with pytest.raises(AssertionError):
        check(["impasto", "paintt"])
