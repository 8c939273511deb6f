"""The command line: what it passes on, what it prints where, its exit codes, and what an interrupt leaves behind."""

import io
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import safetensors.torch
import torch
from conftest import make_picture
from PIL import Image

from impasto.cli.app import main
from impasto.cli.arguments import find_free_name
from impasto.cli.manual import render_help, write_manual
from impasto.errors import DivergedError, PictureError, UsageError
from impasto.images.write import write_image
from impasto.network.vgg import VGG19_DEPTHS, plan_layers
from impasto.settings.dependencies import DEPENDENCIES
from impasto.settings.model import Settings
from impasto.settings.parsing import build_settings
from impasto.terminal.console import format_flag, format_flags
from impasto.terminal.progress import ProgressDisplay

ROOT = Path(__file__).parent.parent


def step(number: int, *, scale: int = 1, scales: int = 2, width: int = 64, seconds: float = 1.0) -> Any:
    losses = {"content": 0.5, "style": 0.25, "tv": 0.0, "total": 0.75}
    height = width * 3 // 4
    progress = number / 4
    return SimpleNamespace(
        scale=scale,
        scales=scales,
        step=number,
        width=width,
        height=height,
        losses=losses,
        seconds=seconds,
        progress=progress,
        stage=f"scale {scale}/{scales}, {width} x {height}",
    )


@dataclass
class FakeApi:
    """Replaces impasto.api, and is its run too: tests decide what happens at each step."""

    jobs: list[Any] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    total_steps: int = 4
    on_start: Callable[[], None] = lambda: None
    on_step: Callable[[int], None] = lambda _: None
    on_write: Callable[[], None] = lambda: None
    last_step: Any = None
    resume_path: Path | None = None

    def start_job(self, job: Any, fetch_progress: Callable[[int, int], None]) -> "FakeApi":
        self.jobs.append(job)
        self.done = 0
        fetch_progress(1, 2)
        self.on_start()
        return self

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        if self.done == self.total_steps:
            raise StopIteration
        self.done += 1
        try:
            self.on_step(self.done)
        except BaseException:
            self.done -= 1
            raise
        self.last_step = step(
            self.done, scale=1 + (self.done > 2), width=64 if self.done <= 2 else 128, seconds=self.done
        )
        return self.last_step

    def begin(self) -> list[str]:
        return ["128 x 96, painted whole"]

    def describe_result(self) -> str:
        step = self.last_step
        return f"{step.width} x {step.height}, {step.seconds:.1f} s{'' if self.is_finished else ', unfinished'}"

    def save_checkpoint(self) -> bool:
        return False

    def write_result(self) -> Path | None:
        if not self.done:
            return None
        self.on_write()
        Path(self.job.output).write_text("a picture")
        return Path(self.job.output)

    @property
    def is_finished(self) -> bool:
        return self.done == self.total_steps

    @property
    def job(self) -> Any:
        return self.jobs[-1]


@pytest.fixture
def fake_api(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FakeApi]:
    fake_api = FakeApi()
    module = ModuleType("impasto.runs.start")
    module.Job, module.start_job = SimpleNamespace, fake_api.start_job  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "impasto.runs.start", module)
    monkeypatch.chdir(tmp_path)
    handlers = [
        (number, signal.signal(number, signal.default_int_handler)) for number in (signal.SIGINT, signal.SIGTERM)
    ]
    yield fake_api
    for number, handler in handlers:
        signal.signal(number, handler)


def interrupt() -> None:
    signal.raise_signal(signal.SIGINT)


def fail(error: BaseException) -> None:
    raise error


# Help


def test_help_imports_no_large_package() -> None:
    look = "[n for n in ('torch', 'numpy', 'pyvips', 'safetensors') if n in sys.modules]"
    help_pages = "main(['--help']); main(['paint', '--help-all'])"
    code = f"import sys; from impasto.cli.app import main; {help_pages}; sys.exit(str({look}))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert found.stderr.strip() == "[]"
    assert found.stdout.count("--style-weight") == 2


@pytest.mark.parametrize("page", [[], ["paint"]], ids=["impasto", "paint"])
def test_help_shows_every_setting_with_range_and_default(page: list[str]) -> None:
    words = re.sub(r"[\s│]+", "", render_help(page))
    for name, knob in Settings.model_fields.items():
        assert format_flag(name) in words
        text = words.replace(f"--no-{format_flag(name)[2:]}", "", 1)  # it is in the column on the left
        assert re.sub(r"\s", "", format_flags(str(knob.description))) in text
        if isinstance(knob.default, bool):
            assert f"--no-{format_flag(name)[2:]}" in words
        elif isinstance(knob.default, (int, str)) and knob.default != "":
            assert f"[default:{knob.default}]" in words
    for said in ("[16to32768]", "[over1.05to4]", "[0tobelow1]", "[0ormore]", "[each0ormore]", "[choices:adam,lbfgs]"):
        assert said in words


def test_manual_is_up_to_date() -> None:
    written = (ROOT / "docs" / "reference" / "cli.md").read_text(encoding="utf-8")
    assert written == write_manual(), "run: python -m impasto.cli.manual > docs/reference/cli.md"


def test_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert re.fullmatch(r"impasto \d+\.\d+\.\d+\n", capsys.readouterr().out)


# What is passed on


LISTED: dict[str, tuple[Any, ...]] = {
    "style_blend": (3, 1),
    "views": (1, 0.5),
    "mask": ("sky.png", "rest"),
    "style_mask": ("all", "sea.png"),
    "style_labels": ("one.png", "other.png"),
}
# What each setting is beside that does something only there.
IDLE = {
    name: {needs.setting: needs.values[0] if needs.values else "photo" if needs.excluded else "0.5"}
    for name, (needs, *_) in DEPENDENCIES.items()
    if "labels" not in name and name != "guard_mask"  # which do nothing by default
    if name not in ("coarse_taps", "content_colors", "large_view_size")  # whose condition is met by default
}
BESIDE: dict[str, dict[str, Any]] = {
    **IDLE,
    "labels": {"style_labels": "b.png"},
    "style_labels": {"labels": "a.png"},
    "mask_propagation": {"mask": "a.png"},
}


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_is_an_option(fake_api: FakeApi, name: str) -> None:
    default = {**Settings().model_dump(mode="json"), **LISTED, "labels": "a.png"}[name]
    if isinstance(default, bool):
        cases: dict[Any, list[str]] = {True: [format_flag(name)], False: ["--no-" + format_flag(name)[2:]]}
    else:
        cases = {default: [format_flag(name), ",".join(map(str, default)) if name in LISTED else str(default)]}
    paintings = ["one.jpg", "two.jpg"] if name in LISTED else ["one.jpg"]
    beside = BESIDE.get(name, {})
    for value, words in cases.items():
        also = [word for other, chosen in beside.items() for word in (format_flag(other), chosen)]
        assert main(["photo.jpg", *paintings, *words, *also]) == 0
        assert fake_api.job.settings == Settings(**{name: value}, **beside)
        assert fake_api.job.settings.model_fields_set >= {name}


@pytest.mark.parametrize("name", IDLE)
def test_an_ineffective_option_raises_even_at_its_default(
    fake_api: FakeApi, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    contrary = {"init_noise": ["--init", "noise"], "init_blur": ["--init", "gray"]}.get(name, [])
    if name.startswith("lbfgs"):
        contrary = ["--optimizer", "adam"]
    if name.startswith("tv"):
        contrary = ["--tv-weight", "0"]
    if name == "gram_shift":
        contrary = ["--style-loss", "wasserstein"]
    default = Settings().model_dump(mode="json")[name]
    words = [format_flag(name)] if isinstance(default, bool) else [format_flag(name), str(default)]
    assert main(["photo.jpg", "painting.jpg", *words, *contrary]) == 2
    assert re.search(
        rf"{format_flag(name)}.* has no effect with --[\w-]+ .*: leave it out, or choose ", capsys.readouterr().err
    )
    assert not fake_api.jobs


def test_given_options_override_the_preset(fake_api: FakeApi) -> None:
    assert main(["a.jpg", "b.jpg", "--preset", "gatys2015", "--pooling", "max", "--steps=7"]) == 0
    assert fake_api.job.settings == build_settings({"preset": "gatys2015", "pooling": "max", "steps": 7})
    assert fake_api.job.settings.optimizer == "lbfgs"


def test_lists_take_commas_or_repeated_options(fake_api: FakeApi) -> None:
    commas = ["--style-blend", "2,1", "--content-taps", "relu4_2:1,relu3_1:0.5"]
    repeated = ["--style-blend", "2", "--style-blend=1", "--content-taps", "relu4_2", "--content-taps", "relu3_1:0.5"]
    for words in (commas, repeated):
        assert main(["a.jpg", "b.jpg", "c.jpg", *words]) == 0
        assert fake_api.job.settings.style_blend == (2, 1)
        assert fake_api.job.settings.content_taps == {"relu4_2": 1, "relu3_1": 0.5}


def test_without_a_command_it_paints(fake_api: FakeApi) -> None:
    words = ["a.jpg", "--seed", "3", "b.jpg", "c.jpg", "-o", "out.tif", "--bits", "16", "--save-every", "9"]
    assert main(words) == main(["paint", *words, "--overwrite"]) == 0
    short, long = fake_api.jobs
    assert vars(short) | {"overwrite": True} == vars(long)
    assert (long.photo, long.paintings, long.output) == (Path("a.jpg"), (Path("b.jpg"), Path("c.jpg")), Path("out.tif"))
    assert (long.bits, long.quality, long.save_every, long.settings.seed) == (16, 95, 9, 3)


def test_a_photo_may_be_named_like_a_command(fake_api: FakeApi) -> None:
    assert main(["./paint", "networks"]) == 0
    assert fake_api.job.photo == Path("paint")
    assert fake_api.job.paintings == (Path("networks"),)


# Where the picture goes


def test_the_default_output_name_is_free(fake_api: FakeApi) -> None:
    for expected in ("photo_night.png", "photo_night_2.png", "photo_night_3.png"):
        assert main(["in/photo.jpg", "art/night.webp", "art/other.jpg"]) == 0
        assert fake_api.job.output == Path(expected)
    assert find_free_name("photo_night") == Path("photo_night_4.png")


def test_an_existing_output_is_replaced_only_with_overwrite(
    fake_api: FakeApi, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "out.png").write_text("precious")
    assert main(["a.jpg", "b.jpg", "-o", "out.png"]) == 1
    assert "out.png already exists: choose another name, move it away, or allow it" in capsys.readouterr().err
    assert (tmp_path / "out.png").read_text() == "precious"
    assert main(["a.jpg", "b.jpg", "-o", "out.png", "--overwrite"]) == 0
    assert fake_api.job.overwrite


@pytest.mark.parametrize(
    ("output", "code", "said"),
    [
        ("made.png", 1, "folder"),
        ("no/such.png", 1, "folder no"),
        ("out.bmp", 2, ".bmp"),
        ("in.png", 2, "also the input"),
    ],
)
def test_a_wrong_output_raises_before_torch_is_imported(
    fake_api: FakeApi, capsys: pytest.CaptureFixture[str], output: str, code: int, said: str
) -> None:
    Path("made.png").mkdir()
    Path("in.png").touch()
    assert main(["in.png", "b.jpg", "-o", output, "--overwrite"]) == code
    assert said in capsys.readouterr().err
    assert not fake_api.jobs


# What is printed


def test_the_last_line_names_the_picture(fake_api: FakeApi, capsys: pytest.CaptureFixture[str]) -> None:
    fake_api.notes.append("step 2: the loss exploded")
    assert main(["a.jpg", "b.jpg", "-o", "[red].png"]) == 0
    shown = capsys.readouterr()
    assert shown.out == "[red].png: 128 x 96, 4.0 s\n"
    assert shown.err.splitlines() == [
        "fetching vgg19, 0 MB",
        "128 x 96, painted whole",
        "step 2: the loss exploded",
        "scale 1/2, 64 x 48, 50%, step 2, content 0.5, style 0.25, total 0.75, 2.0 s",
        "scale 2/2, 128 x 96, 100%, step 4, content 0.5, style 0.25, total 0.75, 4.0 s",
    ]


def test_quiet_prints_the_path_alone(fake_api: FakeApi, capsys: pytest.CaptureFixture[str]) -> None:
    fake_api.notes.append("a note")
    assert main(["a.jpg", "b.jpg", "-q"]) == 0
    assert capsys.readouterr() == ("a_b.png\n", "")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_shows_a_bar(fake_api: FakeApi, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.delenv("NO_COLOR", raising=False)
    fake_api.notes.append("see [red]x.png[/red]")
    assert main(["a.jpg", "b.jpg"]) == 0
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", terminal.getvalue())
    assert "see [red]x.png[/red]" in shown
    assert re.search(
        r"scale 2/2, 128 x 96 .* 100% step 4, content 0.5, style 0.25, total 0.75, 4.0 s 00:00 left", shown
    )


def test_time_left_is_right_across_scales(monkeypatch: pytest.MonkeyPatch) -> None:
    # One second per step at 64 px, four at 128 px and sixteen at 256 px; three steps each.
    clock, found, display = 0.0, [], ProgressDisplay(quiet=True)
    monkeypatch.setattr(display._progress, "get_time", lambda: clock)
    for number in range(9):
        clock += 4 ** (number // 3)
        display.update(clock / 63, "")
        found.append(display.seconds_left)
    assert found[0] is None
    assert found[1:] == pytest.approx([61, 60, 56, 52, 48, 32, 16, 0], abs=1)


@pytest.mark.parametrize("quiet", [True, False])
def test_a_closed_stderr_is_no_failure(quiet: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    class Closed(io.StringIO):
        def write(self, _: str) -> int:
            raise BrokenPipeError

    monkeypatch.setattr(sys, "stderr", Closed())
    with ProgressDisplay(quiet) as display:
        display.update(0.5, "scale 1/2")
        display.note("a note")


# Wrong usage


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["a.jpg"], "PAINTING is missing"),
        (["plan"], "PHOTO is missing"),
        (
            ["a.jpg", "b.jpg", "--size", "20cm"],
            "20cm printed at 300 dots per inch are --size 2362, at 150 --size 1181\n",
        ),
        (["a.jpg", "b.jpg", "--size", "30x40"], "in pixels: write --size 40; on paper it has a unit, such as 30x40cm"),
        (
            ["a.jpg", "b.jpg", "--size", "16 x 12in"],
            "16in printed at 300 dots per inch are --size 4800, at 150 --size 2400. The picture has the photo's shape: "
            "where that is not 16x12, crop the photo first",
        ),
        (["a.jpg", "b.jpg", "--steps", "20cm"], "not '20cm'\n"),
        (["network"], "did you mean the command networks?"),
        (["networks", "lst"], "lst"),
        (["a.jpg", "b.jpg", "--sise", "5"], "Did you mean --size?"),
        (["a.jpg", "b.jpg", "--sise=5"], "Unknown option: --sise. Did you mean --size?"),
        (["a.jpg", "b.jpg", "--keep-mask=m.png"], "Did you mean --mask or --style-mask or --preserve-mask?"),
        (["a.jpg", "b.jpg", "--wxyz"], "Unknown option: --wxyz.\n"),
        (["a.jpg", "b.jpg", "--size"], "--size needs a value"),
        (["a.jpg", "b.jpg", "--init", "random"], "--init: there is no file random: did you mean noise?"),
        (["a.jpg", "b.jpg", "--style-blend", "1", "2"], "2 paintings: give one for each, with commas between them"),
        (["a.jpg", "b.jpg", "--size", "15"], "--size takes a whole number, 16 to 32768; not '15'"),
        (["a.jpg", "b.jpg", "--size", "big"], "--size takes a whole number, 16 to 32768; not 'big'"),
        (["a.jpg", "b.jpg", "--seed", str(2**63)], f"--seed takes a whole number, 0 to {2**63 - 1}; not '{2**63}'"),
        (["a.jpg", "b.jpg", "--style-weight", "-1"], "--style-weight takes a number, 0 or more; not '-1'"),
        (["a.jpg", "b.jpg", "--content-weight", "nan"], "--content-weight takes a number"),
        (["a.jpg", "b.jpg", "--style-blend", "1,x"], "--style-blend takes numbers with commas between them"),
        (["a.jpg", "b.jpg", "--optimizer", "adams"], 'Did you mean "adam"?'),
        (["texture", "b.jpg", "--aspect", "wide"], "--aspect takes two whole numbers, such as 3:2; not 'wide'"),
        (["a.jpg", "b.jpg", "--dpi", "300"], "--size 20cm tells how many that is"),
        (["a.jpg", "b.jpg", "--preset", "x"], 'Choose from: "default", "instant", "draft", '),
        (
            ["a.jpg", "b.jpg", "--content-taps", "relu9_9"],
            "--content-taps takes names with weights, such as relu4_2:1",
        ),
        (["a.jpg", "b.jpg", "--style-taps", "relu1_1:x"], "--style-taps: 'x' is not a weight"),
        (["a.jpg", "b.jpg", "--size", "5", "--steps", "0"], "--steps takes a whole number, 1 to 1000000; not '0'"),
        (["a.jpg", "b.jpg", "--color", "kept"], 'Choose from: "none", "keep", "match", "only"'),
        (["a.jpg", "b.jpg", "--color-space", "hsv"], 'Choose from: "lab", "luv", "yuv", "ycbcr"'),
        (["a.jpg", "b.jpg", "--color-strength", "2"], "--color-strength takes a number, 0 to 1; not '2'"),
        (
            ["a.jpg", "b.jpg", "--color", "keep", "--color-match", "pca"],
            "--color-match has no effect with --color keep: leave it out, or choose --color match",
        ),
        (["a.jpg", "b.jpg", "--quality", "101"], "--quality"),
        (["a.jpg", "b.jpg", "--bits", "12"], "Choose from: 8, 16"),
        (["a.jpg", "b.jpg", "--size", "64", "--size", "65"], "--size specified multiple times"),
    ],
)
def test_wrong_usage_names_the_option(
    fake_api: FakeApi, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    assert main(words) == 2
    shown = capsys.readouterr()
    assert said in shown.err
    assert shown.err.startswith("impasto: ")
    assert shown.out == ""
    assert not fake_api.jobs


def test_a_name_in_brackets_is_a_file(fake_api: FakeApi, tmp_path: Path) -> None:
    assert main(["[0].jpg", "[1].jpg", '["a"]', "-o", str(tmp_path / "out.png")]) == 0
    (job,) = fake_api.jobs
    assert [path.name for path in (job.photo, *job.paintings)] == ["[0].jpg", "[1].jpg", '["a"]']


def test_a_file_whose_name_begins_with_a_dash(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("-dash.jpg").touch()
    assert main(["-dash.jpg", "b.jpg"]) == 2
    assert "the file is named by ./-dash.jpg" in capsys.readouterr().err


# What fails


def test_a_mistyped_command_is_suggested(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plann", "a.jpg", "b.jpg"]) == 1
    shown = capsys.readouterr().err
    assert shown == "impasto: plann does not exist: check the name and the folder\ndid you mean the command plan?\n"


@pytest.mark.parametrize(
    ("written", "hint"),
    [
        ("'photo.jpg'", "its quotation marks are taken as a part of the name, so leave one pair out"),
        (
            r"C:\Users\me\photo.jpg",
            "it is a path of Windows, and this is another system: in WSL it is /mnt/c/Users/me/",
        ),
        ("d:/photo.jpg", "it is a path of Windows, and this is another system: in WSL it is /mnt/d/photo.jpg"),
        (r"\\server\share\photo.jpg", "it is a path of Windows to another machine: name the folder where"),
        ("C:Usersmephoto.jpg", "if it is a path of Windows, the shell has removed its backslashes: write / in their"),
        (r"photos\starry_night.jpg", "folders are separated by / here: write photos/starry_night.jpg"),
        (r"My\ photos", "within quotation marks a space needs no backslash before it"),
        ("My", 'if "My photos" is meant, put it in quotation marks, as it has spaces'),
        ("foto.jpg", "did you mean photo.jpg?"),
        ("photo.png", "did you mean photo.jpg?"),
        ("elsewhere/photo.jpg", "there is no folder elsewhere"),
        ("painting.webp", "check the name and the folder"),
        ("nothere.jpg", "check the name and the folder"),
        ("*.png", "if it is a pattern, impasto batch '*.png' paints what it stands for"),
        ("0.5", "if it is a number for the option before it, put a comma between the numbers"),
        ("starry_night,the_scream", "to name several files, put spaces between them, not commas"),
    ],
)
def test_a_file_that_is_missing_is_guessed(
    written: str, hint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if sys.platform == "win32" and ("Windows" in hint or "\\" in written):
        pytest.skip("a path of Windows is at home here")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photo.jpg").touch()
    (tmp_path / "notes.jpg").touch()
    (tmp_path / "My photos").mkdir()
    assert main(["plan", written, "starry_night"]) == 1
    assert f"{written} does not exist: {hint}" in capsys.readouterr().err


@pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege there")
def test_a_link_to_nothing_is_called_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photo.png").symlink_to("gone.png")
    assert main(["plan", "photo.png", "starry_night"]) == 1
    assert "photo.png is a link to gone.png, which does not exist: mend the link" in capsys.readouterr().err


@pytest.mark.skipif(sys.platform == "win32", reason="a path of Windows is at home here")
@pytest.mark.parametrize(
    "words",
    [
        ["resume", r"C:\me\a.png"],
        ["film", r"C:\me\a.mp4", "starry_night"],
        ["batch", "--jobs", r"C:\me\a.csv", "-o", "out"],
        ["batch", "--jobs", "jobs.csv", "-o", "out"],
        ["batch", "a.png", "--style", "starry_night", "-o", r"C:\me\out"],
        ["regions", "a.png", "starry_night", "-o", r"C:\me\out"],
        ["a.png", "starry_night", "--network", r"C:\me\a.pth"],
    ],
)
def test_path_of_windows_is_explained_by_every_command(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_image(make_picture(32, 32), tmp_path / "a.png")
    (tmp_path / "jobs.csv").write_text("photo,painting\nC:\\me\\a.png,starry_night\n")
    assert main(words) in (1, 2)
    assert "it is a path of Windows, and this is another system: in WSL it is /mnt/c/me/" in capsys.readouterr().err
    assert not [path for path in tmp_path.iterdir() if ":" in path.name]


@pytest.mark.parametrize("command", ["plan", "film"])
def test_address_is_told_as_it_was_given(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "https://example.org/a.mp4", "starry_night"]) == 1
    assert "impasto: https://example.org/a.mp4 is an address: save what is there" in capsys.readouterr().err


def test_an_address_without_its_beginning_is_known(capsys: pytest.CaptureFixture[str]) -> None:
    for written in ("www.example.net/photo.jpg", "example.org/photo.jpg"):
        assert main(["plan", written, "starry_night"]) == 1
        assert f"{written} is an address: save what is there, and name that file" in capsys.readouterr().err


def test_an_output_that_is_a_folder_is_called_one(
    fake_api: FakeApi, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["a.jpg", "b.jpg", "-o", str(tmp_path)]) == 1
    assert f"{tmp_path} is a folder: name a file inside it, such as" in capsys.readouterr().err
    assert not fake_api.jobs


def test_options_of_another_program_are_translated(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--content_img", "a.png", "--style_imgs=b.png", "--max_size", "512", "--content_weight", "5", "--video"]
    assert main([*words, "--print_iterations", "50", "--style_mask", "m.png"]) == 2
    assert capsys.readouterr().err.splitlines()[:-1] == [
        "impasto: --style_imgs of neural-style-tf is PAINTING here: paths, and folders",
        "--content_img of neural-style-tf is PHOTO here: a path",
        "--max_size of neural-style-tf is --size, --fit shrink here: without --fit shrink smaller photos are enlarged",
        "--content_weight of neural-style-tf is --content-weight here: the same number with --preset neural-style-tf; "
        "without it the losses are others",
        "--style_mask of neural-style-tf is --mask here: the masks are switch enough",
        "--print_iterations of neural-style-tf is not needed here: every step is shown, on one line",
        "--video of neural-style-tf is impasto film here",
        "--preset neural-style-tf paints with its formulas, weights and steps",
    ]
    assert main([*words, "--style_mask", "--style_mask_imgs", "m.png", "--tv_weight", "1e-3"]) == 2
    shown = capsys.readouterr().err
    assert "--style_mask of neural-style-tf is --mask here" in shown  # it is a switch there, and misses a value here
    assert "--tv-exponent 1 here: 0.001 there is 0.255 here" in shown
    assert main(["a.png", "b.png", "-image_size", "512"]) == 2
    assert "-image_size of neural-style-pt is --size here\n--preset neural-style-pt" in capsys.readouterr().err
    assert main(["a.png", "b.png", "--style-size", "2", "--end-scale=512", "--nonsense"]) == 2
    assert "--style-size" not in (shown := capsys.readouterr().err)
    assert "--end-scale of style-transfer-pytorch is --size, --fit area here" in shown


def test_another_programs_option_of_another_command_is_translated(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["a.png", "b.png", "--temporal_weight", "200"]) == 2
    assert "--temporal_weight of neural-style-tf is impasto film --temporal-weight here" in capsys.readouterr().err
    assert main(["film", "a.mp4", "b.png", "--temporal_weight", "200", "--nonsense"]) == 2
    assert "neural-style-tf" not in capsys.readouterr().err


def test_help_is_a_word_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["help"]) == 0
    short = capsys.readouterr().out
    assert main(["--help"]) == 0
    assert short == capsys.readouterr().out
    assert main(["help", "plan"]) == 0
    assert "impasto plan" in capsys.readouterr().out


def test_a_mistyped_painting_is_suggested(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", str(Path(__file__).parents[1] / "examples" / "cut_paper.jpg"), "Stary-Night"]) == 1
    assert "Stary-Night does not exist: did you mean starry_night, a painting that comes" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (PictureError("a.jpg: no such file"), 1, "impasto: a.jpg: no such file\n"),
        (UsageError("--style-blend: 2 weights for 1 painting"), 2, "--style-blend: 2 weights for 1 painting"),
        (MemoryError(), 1, "not enough memory; a smaller --size"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), 1, "not enough memory; a smaller --size"),
        (RuntimeError("DefaultCPUAllocator: not enough memory"), 1, "not enough memory; a smaller --size"),
        (KeyError("x"), 1, "this is a bug in impasto: KeyError: 'x'; IMPASTO_TRACEBACK=1 shows where"),
        (KeyboardInterrupt(), 130, "impasto: interrupted"),
    ],
)
def test_failures_before_the_first_step_exit_with_their_code(
    fake_api: FakeApi, capsys: pytest.CaptureFixture[str], tmp_path: Path, error: BaseException, code: int, said: str
) -> None:
    fake_api.on_start = interrupt if isinstance(error, KeyboardInterrupt) else lambda: fail(error)
    assert main(["a.jpg", "b.jpg", "-q"]) == code
    shown = capsys.readouterr()
    assert said in shown.err
    assert "Traceback" not in shown.err
    assert shown.out == ""
    assert not list(tmp_path.iterdir())


def test_a_traceback_is_printed_on_request(
    fake_api: FakeApi, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IMPASTO_TRACEBACK", "1")
    fake_api.on_start = lambda: fail(KeyError("x"))
    assert main(["a.jpg", "b.jpg"]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_a_diverged_run_writes_its_last_good_picture(fake_api: FakeApi, capsys: pytest.CaptureFixture[str]) -> None:
    fake_api.on_step = lambda number: fail(DivergedError("the loss is infinite")) if number == 4 else None
    assert main(["a.jpg", "b.jpg"]) == 1
    shown = capsys.readouterr()
    assert shown.out == "a_b.png: 128 x 96, 3.0 s, unfinished\n"
    assert shown.err.endswith("impasto: the loss is infinite\n")
    assert Path("a_b.png").exists()


# Interrupts


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_finishes_the_step_and_writes_the_picture(
    fake_api: FakeApi, capsys: pytest.CaptureFixture[str], number: signal.Signals
) -> None:
    fake_api.on_step = lambda at: signal.raise_signal(number) if at == 2 else None
    assert main(["a.jpg", "b.jpg"]) == 130
    shown = capsys.readouterr()
    assert shown.out == "a_b.png: 64 x 48, 2.0 s, unfinished\n"
    assert shown.err.endswith("impasto: interrupted\n")
    assert Path("a_b.png").exists()


def test_a_third_interrupt_does_not_stop_the_writing(fake_api: FakeApi, capsys: pytest.CaptureFixture[str]) -> None:
    def impatient(at: int) -> None:
        if at == 3:
            interrupt()
            interrupt()
            pytest.fail("the second interrupt was not heard")

    fake_api.on_step, fake_api.on_write = impatient, interrupt
    assert main(["a.jpg", "b.jpg", "-q"]) == 130
    assert capsys.readouterr() == ("a_b.png\n", "impasto: interrupted\n")
    assert Path("a_b.png").read_text() == "a picture"


def test_an_interrupt_after_the_last_step_changes_nothing(fake_api: FakeApi) -> None:
    fake_api.on_step = lambda at: interrupt() if at == 4 else None
    fake_api.on_write = interrupt
    assert main(["a.jpg", "b.jpg"]) == 0


# Networks


def test_networks_are_listed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("IMPASTO_CACHE", str(tmp_path))
    assert main(["networks", "list"]) == 0
    shown = capsys.readouterr().out
    assert re.search(r"^slim .*licence: MIT$", shown, re.MULTILINE)
    assert re.search(r"^vgg19-torchvision +not fetched, 575 MB to fetch", shown, re.MULTILINE)
    assert str(tmp_path) in shown


def test_verifying_a_missing_named_network_fails(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("IMPASTO_CACHE", str(tmp_path))
    assert main(["networks", "verify", "vgg19-torchvision"]) == 1
    assert capsys.readouterr().out == "vgg19-torchvision: not fetched\n"


@pytest.mark.parametrize("command", ["fetch", "verify"])
def test_an_unknown_network_is_wrong_usage(capsys: pytest.CaptureFixture[str], command: str) -> None:
    assert main(["networks", command, "vgg99"]) == 2
    assert "there are slim, vgg19" in capsys.readouterr().err


def test_fetch_prints_a_path(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fetch(name: str, progress: Callable[[int, int], None]) -> Path:
        progress(1, 80_000_000)
        progress(2, 80_000_000)
        return tmp_path / name

    monkeypatch.setattr("impasto.network.registry.fetch_network", fetch)
    assert main(["networks", "fetch", "vgg19"]) == 0
    assert capsys.readouterr() == (f"vgg19: {tmp_path / 'vgg19'}\n", "fetching vgg19, 80 MB\n")
    assert main(["networks", "fetch", "vgg19", "-q"]) == 0
    assert capsys.readouterr() == (f"{tmp_path / 'vgg19'}\n", "")


# For real: a tiny network with chance weights, in another process


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    chance = torch.Generator().manual_seed(0)
    weights, channels = {}, 3
    for layer in plan_layers(VGG19_DEPTHS):
        if layer.startswith("conv"):
            weights[f"{layer}.weight"] = torch.randn(4, channels, 3, 3, generator=chance) * (2 / channels / 9) ** 0.5
            weights[f"{layer}.bias"] = torch.zeros(4)
            channels = 4
    safetensors.torch.save_file(weights, folder / "tiny.safetensors", metadata={"layout": "impasto"})
    for name in ("photo", "painting"):
        Image.effect_noise((80, 60), 90).resize((160, 120)).convert("RGB").save(folder / f"{name}.png")
    return folder


PAINT = "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a background job ignores it
PAINT += "from impasto.cli.app import main; sys.exit(main())"

SCALES = ("--size", "64", "--start-size", "32", "--scale-step", "1.414")


def start_program(folder: Path, *words: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", PAINT, "photo.png", "painting.png", "--network", "tiny.safetensors", *words]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_the_script_catches_an_interrupt_while_importing() -> None:
    code = "import sys; from importlib.metadata import entry_points; "
    code += "(script,) = entry_points(group='console_scripts', name='impasto'); script.load(); "
    code += "sys.exit(str([script.value, 'impasto.cli.app' in sys.modules]))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert found.stderr.strip() == "['impasto.__main__:main', False]"


@pytest.mark.slow
def test_the_program_paints(folder: Path) -> None:
    words = [*SCALES, "--steps", "3", "--later-steps", "2", "-o", "[red].png"]
    painting = start_program(folder, *words)
    out, err = painting.communicate(timeout=60)
    assert painting.returncode == 0, err
    assert re.fullmatch(r"\[red\]\.png: 64 x 48, \d+\.\d s\n", out)
    assert re.search(r"^scale 1/3, 32 x 24, 20%, step 3, content \S+, style \S+, total \S+, ", err, re.MULTILINE)
    with Image.open(folder / "[red].png") as picture:
        assert picture.size == (64, 48)


@pytest.mark.slow
def test_the_program_is_terminated(folder: Path) -> None:
    """Ctrl-C: tests/test_resume.py."""
    painting = start_program(folder, *SCALES, "--steps", "999999", "--save-every", "1", "-o", "long.png")
    preview = folder / "long.preview.png"
    while not preview.exists() and painting.poll() is None:
        time.sleep(0.05)
    painting.send_signal(signal.SIGTERM)
    out, err = painting.communicate(timeout=60)
    assert painting.returncode == 130, err
    assert re.fullmatch(r"long\.png: 32 x 24, \S+ s, unfinished: scale 1 of 3, step \d+ of \d+\n", out)
    assert "Traceback" not in err
    kept = "long.png.checkpoint"  # as it is planned to take so long
    assert f"impasto resume {kept} continues it" in err
    assert {path.name for path in folder.glob("*long*")} == {"long.png", preview.name, kept}
    with Image.open(folder / "long.png") as picture:
        assert picture.size == (32, 24)
