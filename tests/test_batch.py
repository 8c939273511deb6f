"""Batches on this machine: all come out, each once and as if painted alone, whatever fails, dies or is interrupted."""

import csv
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pytest
import torch
from conftest import SPELT_OUT, make_picture
from PIL import Image

from impasto import read_recipe
from impasto.api import paint
from impasto.api import start as begin
from impasto.batch.commissions import Commission
from impasto.batch.items import BatchItem, find_finished, resolve_items
from impasto.batch.report import GENERATOR_TAG, ReportRow, check_report, write_report
from impasto.cli.app import main
from impasto.errors import PictureError
from impasto.images.write import write_image
from impasto.runs.job import Job
from impasto.settings.model import Settings
from impasto.workers.clerk import ResultWriter
from impasto.workers.messages import Task, TaskFailed, TaskFinished
from impasto.workers.worker import Worker

LONG = 300  # steps of a picture that is to be interrupted


@dataclass
class Place:
    """A folder with photos, paintings and a network, and the options that paint cheaply."""

    folder: Path
    network: Path

    def picture(self, name: str, seed: int = 1) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return write_image(make_picture(48, 40, seed), path)

    @property
    def values(self) -> dict[str, Any]:
        return {**SPELT_OUT, "network": str(self.network)}

    def settings(self, **chosen: Any) -> Settings:
        return Settings(**{**self.values, **chosen})

    def options(self, **chosen: Any) -> list[str]:
        words, values = [], {**self.values, **chosen}
        idle = {"pooling_gain"} | ({"learning_rate"} if values["optimizer"] == "lbfgs" else set())  # refused beside it
        for name, value in values.items():
            if name in idle:
                continue
            flag = name.replace("_", "-")
            if isinstance(value, bool):
                words.append(f"--{'' if value else 'no-'}{flag}")
            elif value != ():
                text = (
                    ",".join(f"{key}:{weight}" for key, weight in value.items()) if isinstance(value, dict) else value
                )
                words += [f"--{flag}", str(text)]
        return words

    def names(self, folder: str = "out") -> set[str]:
        return {
            path.relative_to(self.folder / folder).as_posix()
            for path in (self.folder / folder).rglob("*")
            if path.is_file() and not re.search(r"/\.impasto|/report", path.as_posix())
        }

    def rows(self, folder: str = "out") -> dict[str, dict[str, str]]:
        with (self.folder / folder / "report.csv").open(newline="", encoding="utf-8") as file:
            return {row["output"]: row for row in csv.DictReader(file)}


@pytest.fixture
def place(tmp_path: Path, weights_file: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.chdir(tmp_path)
    return Place(tmp_path, weights_file)


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path))


# From end to end


def test_a_folder_with_all_kinds_of_names_and_a_broken_photo(place, capsys):
    for seed, name in enumerate(["ein Foto ü.jpg", "a.jpg", "a.png", "2023/b.jpg", "2024/b.jpg", "<b>&.jpg"], start=1):
        place.picture(f"photos/{name}", seed)
    (place.folder / "photos" / "broken.jpg").write_text("no picture")
    place.picture("Die Welle.jpg", 9)
    words = ["batch", "photos", "--style", "Die Welle.jpg", "-o", "photos/painted", "--workers", "2", *place.options()]
    assert main(words) == 1
    made = {"ein Foto ü", "a.jpg", "a.png", "2023_b", "2024_b", "<b>&"}
    assert place.names("photos/painted") == {f"{name}_Die Welle.png" for name in made}
    shown = capsys.readouterr()
    assert "impasto: 1 of 7 pictures failed:\n  broken_Die Welle.png  " in shown.err
    assert "broken.jpg is not a picture" in shown.err
    assert "photos/painted: 7 pictures: 6 painted, 1 failed; see photos/painted/report.html" in shown.out

    rows = place.rows("photos/painted")
    assert {name: row["state"] for name, row in rows.items()} == {
        **{f"{name}_Die Welle.png": "painted" for name in made},
        "broken_Die Welle.png": "failed",
    }
    row = rows["ein Foto ü_Die Welle.png"]
    recipe = read_recipe(place.folder / "photos/painted/ein Foto ü_Die Welle.png")
    assert row["photo"] == str(place.folder / "photos/ein Foto ü.jpg")
    assert float(row["total"]) == pytest.approx(recipe.result.losses["total"], rel=1e-5)
    assert (row["width"], row["height"], row["tries"]) == ("40", "33", "1")
    gallery = read_gallery(place.folder / "photos/painted")
    assert set(gallery.pictures) == place.names("photos/painted")

    # once more: what it has painted is no photo, and nothing is painted again but the broken one
    before = {
        name: (place.folder / "photos/painted" / name).stat().st_mtime_ns for name in place.names("photos/painted")
    }
    assert main(words) == 1
    shown = capsys.readouterr()
    assert "6 pictures in the output folder, painted by impasto, are not painted again as photos" in shown.err
    assert "7 pictures: 6 there already, 1 failed" in shown.out
    assert before == {
        name: (place.folder / "photos/painted" / name).stat().st_mtime_ns for name in place.names("photos/painted")
    }
    assert place.rows("photos/painted")["ein Foto ü_Die Welle.png"]["seconds"] == row["seconds"]


def test_pictures_are_those_that_are_painted_alone(place, capsys):
    place.picture("a.jpg", 1)
    place.picture("b.jpg", 2)
    place.picture("style.jpg", 3)
    (place.folder / "jobs.csv").write_text(
        "photo,paintings,seed,init,output\n"
        "a.jpg,style.jpg,,,\na.jpg,style.jpg,7,noise,noise/a.tif\nb.jpg,style.jpg;a.jpg,,,\ngone.jpg,style.jpg,,,\n"
    )
    assert main(["batch", "--jobs", "jobs.csv", "-o", "out", "-q", "--threads", "1", *place.options()]) == 1
    shown = capsys.readouterr()
    assert sorted(shown.out.splitlines()) == ["out/a_style.png", "out/b_style+a.png", "out/noise/a.tif"]
    assert "gone.jpg can't be read: No such file or directory" in shown.err
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for name, arguments in {
            "a_style.png": ("a.jpg", "style.jpg", place.settings()),
            "noise/a.tif": ("a.jpg", "style.jpg", place.settings(seed=7, init="noise")),
            "b_style+a.png": ("b.jpg", ["style.jpg", "a.jpg"], place.settings()),
        }.items():
            alone = paint(arguments[0], arguments[1], settings=arguments[2])
            assert np.array_equal(pixels(place.folder / "out" / name), np.asarray(alone)), name
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["*.webp", "--style", "a.jpg"], 2, "PHOTO *.webp: there is no picture"),
        (["a.jpg", "--style", "gone.jpg"], 2, "--style gone.jpg: there is no such file or folder"),
        (["a.jpg"], 2, "--style PAINTING is missing"),
        (["--style", "a.jpg"], 2, "PHOTO is missing"),
        (["a.jpg", "--style", "a.jpg", "b.jpg", "--pairs", "zip"], 2, "there are 1 photos and 2 paintings"),
        (["a.jpg", "--style", "b.jpg", "--jobs", "empty.csv"], 2, "--jobs takes the place of PHOTO and --style"),
        (["--jobs", "empty.csv"], 2, "--jobs empty.csv: holds no jobs"),
        (["a.jpg", "--style", "b.jpg", "--name", "{foto}.png"], 2, "there is no {foto}"),
        (["a.jpg", "--style", "b.jpg", "--memory", "much"], 2, "--memory much: takes an amount"),
        (["a.jpg", "--style", "b.jpg", "--address", "auto"], 2, "--address is for --engine ray"),
        (["a.jpg", "--style", "b.jpg", "--size", "1"], 2, "--size: takes a whole number, 16 to 32768; not '1'"),
        (["a.jpg", "--style", "b.jpg", "-o", "a.jpg"], 1, "a.jpg"),
    ],
)
def test_wrong_usage_is_said_before_anything_is_made(place, capsys, words, code, said):
    place.picture("a.jpg")
    place.picture("b.jpg")
    (place.folder / "empty.csv").touch()
    before = set(place.folder.iterdir())
    assert main(["batch", *words, *([] if "-o" in words else ["-o", "out"])]) == code
    assert said in capsys.readouterr().err
    assert set(place.folder.iterdir()) == before


def test_a_picture_that_does_not_fit_whole_is_painted_in_tiles(place, capsys):
    place.picture("a.jpg", 1)
    place.picture("style.jpg", 2)
    size = {"size": 1200, "start_size": 1200, "steps": 2}
    words = ["batch", "a.jpg", "--style", "style.jpg", "-o", "out", "--memory", "700MB", *place.options(**size)]
    assert main(words) == 0
    said = capsys.readouterr().err
    assert "in tiles of" in said
    assert "may be used, whole it would take" in said


# What is there already


def stock(place: Place, names: Sequence[str], commissions: Sequence[Commission], **options: bool) -> list[BatchItem]:
    return resolve_items(commissions, names, place.folder / "out", **{"overwrite": False, **options})


def wish(place: Place, photo: str = "a.jpg", **settings: Any) -> Commission:
    return Commission(place.folder / photo, (place.folder / "style.jpg",), place.settings(**settings))


@pytest.fixture
def painted(place: Place) -> Path:
    """A picture that is finished, in out/a_style.png."""
    place.picture("a.jpg", 1)
    place.picture("style.jpg", 2)
    (place.folder / "out").mkdir()
    paint("a.jpg", "style.jpg", output="out/a_style.png", settings=place.settings())
    return place.folder / "out/a_style.png"


def test_finished_ones_are_known_by_their_recipes_not_their_names(place, painted):
    assert stock(place, ["a_style.png"], [wish(place)])[0].finished
    moved = painted.rename(place.folder / "out" / "another name.png")
    (place.folder / "a.jpg").rename(place.folder / "renamed.jpg")
    standing = stock(place, ["renamed_style.png"], [wish(place, "renamed.jpg")])[0]
    assert standing.finished
    assert standing.output == moved


@pytest.mark.usefixtures("painted")
def test_settings_files_formats_and_bits_make_another_picture(place):
    place.picture("b.jpg", 5)
    others = [
        wish(place, steps=6),
        wish(place, "b.jpg"),
        Commission(place.folder / "a.jpg", (place.folder / "style.jpg",), place.settings(), bits=16),
    ]
    for other in others:
        assert stock(place, ["x.png"], [other])[0].job
    assert stock(place, ["x.tif"], [wish(place)])[0].job
    # what a photo is called is not what it is
    shutil.copy(place.folder / "b.jpg", place.folder / "a.jpg")
    assert not stock(place, ["x.png"], [wish(place)])[0].finished


@pytest.mark.usefixtures("painted")
def test_a_picture_counts_for_one_commission_alone(place):
    shutil.copy(place.folder / "a.jpg", place.folder / "copy.jpg")
    twice = stock(place, ["copy_style.png", "a_style.png"], [wish(place, "copy.jpg"), wish(place)])
    assert [bool(it.finished) for it in twice] == [False, True]  # its own name first
    assert len({it.key for it in twice}) == 2


def test_an_unfinished_picture_is_not_finished(place, painted):
    run = begin("a.jpg", "style.jpg", settings=place.settings(steps=9))
    next(run)
    painted.unlink()
    run.write(painted)
    standing = stock(place, ["a_style.png"], [wish(place, steps=9)])[0]
    assert not standing.finished
    assert "already exists and is another picture (unfinished, or written otherwise)" in standing.reason


def test_what_stands_in_the_way_is_kept_and_said_unless_asked(place, painted):
    standing = stock(place, ["a_style.png"], [wish(place, size=48)])[0]
    assert not standing.job
    assert (
        "a_style.png already exists and is another picture (size: 40 there, 48 wanted): choose another"
        in standing.reason
    )
    (place.folder / "out/foreign.png").write_bytes(b"mine")
    standing = stock(place, ["foreign.png"], [wish(place, size=48)])[0]
    assert "already exists and was not painted by impasto" in standing.reason
    assert stock(place, ["foreign.png"], [wish(place, size=48)], overwrite=True)[0].job.overwrite
    # never a photo, though
    inside = Commission(painted, (place.folder / "style.jpg",), place.settings())
    assert "is also the input" in stock(place, ["a_style.png"], [inside], overwrite=True)[0].reason


def test_files_without_recipes_and_damaged_ones_are_no_stock(place, painted):
    (place.folder / "out/noise.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    (place.folder / "out/.impasto").mkdir()
    shutil.copy(painted, place.folder / "out/.impasto/hidden.png")
    place.picture("out/photo.png")
    assert [list(places) for places in find_finished(place.folder / "out").values()] == [[painted]]


# Interrupted in every way


def start(place: Place, *words: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "impasto", "batch", "photos", "--style", "style.jpg", "-o", "out"]
    return subprocess.Popen(
        [*command, *place.options(steps=LONG), *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=place.folder,
    )


def succeed(driver: subprocess.Popen[str]) -> str:
    """Wait for its end, and return what it said on stdout."""
    answer, said = driver.communicate(timeout=120)
    assert driver.returncode == 0, said
    return answer


def wait_for(what: Callable[[], Any], seconds: float = 60) -> Any:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := what():
            return found
        time.sleep(0.02)
    raise AssertionError("it did not happen")


def children(process: int) -> list[int]:
    """The worker processes of a driver."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == process and b"spawn_main" in (folder / "cmdline").read_bytes():
                found.append(int(folder.name))
        except OSError:
            continue
    return found


def lives(process: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, weights_file: Path) -> Place:
    """Four photos and what comes of them when nothing happens."""
    place = Place(tmp_path_factory.mktemp("undisturbed"), weights_file)
    for number in range(4):
        place.picture(f"photos/{number}.png", number + 1)
    place.picture("style.jpg", 9)
    succeed(start(place, "--workers", "2"))
    return place


@pytest.fixture
def disturbed(place: Place, undisturbed: Place) -> Place:
    """The same photos, not painted yet."""
    shutil.copytree(undisturbed.folder / "photos", place.folder / "photos")
    shutil.copy(undisturbed.folder / "style.jpg", place.folder)
    return place


def assert_same_pictures(place: Place, undisturbed: Place) -> None:
    names = undisturbed.names()
    assert place.names() == names
    for name in names:
        assert np.array_equal(pixels(place.folder / "out" / name), pixels(undisturbed.folder / "out" / name)), name


needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds processes in /proc")


@needs_proc
def test_a_worker_that_is_killed_has_its_picture_painted_by_another(disturbed, undisturbed):
    driver = start(disturbed, "--workers", "2")
    wait_for(disturbed.names)
    os.kill(children(driver.pid)[0], signal.SIGKILL)
    said = driver.communicate()[1]
    assert driver.returncode == 0, said
    assert "the worker was lost (its process was ended by SIGKILL); another one goes on with it" in said
    assert_same_pictures(disturbed, undisturbed)
    assert sorted(row["tries"] for row in disturbed.rows().values()) == ["1", "1", "1", "2"]


def test_a_picture_that_a_lost_worker_has_written_is_kept(tmp_path, weights_file):
    place = Place(tmp_path, weights_file)
    job = Job(
        photo=place.picture("photo.png"),
        paintings=(place.picture("style.png", 9),),
        output=tmp_path / "out.png",
        settings=place.settings(size=48, steps=3),
        checkpoint="none",
    )
    task = Task(0, job, 0, 1, tmp_path / "out.checkpoint", {}, tmp_path)
    threads = torch.get_num_threads()
    try:
        (first,) = Worker().paint(task, lambda: False)
        written = job.output.stat()
        (kept,) = Worker().paint(replace(task, is_retry=True), lambda: False)
        assert isinstance(first, TaskFinished)
        assert isinstance(kept, TaskFinished)
        assert kept.losses == first.losses
        assert job.output.stat().st_mtime_ns == written.st_mtime_ns
        (refused,) = Worker().paint(task, lambda: False)
        assert "already exists" in refused.reason
        job.output.write_bytes(job.photo.read_bytes())  # another's
        *_, refused = Worker().paint(replace(task, is_retry=True), lambda: False)
        assert "already exists" in refused.reason
        assert job.output.read_bytes() == job.photo.read_bytes()
    finally:
        torch.set_num_threads(threads)


@needs_proc
def test_a_driver_that_is_killed_takes_its_workers_along_and_the_same_command_goes_on(disturbed, undisturbed):
    driver = start(disturbed, "--workers", "2", "--checkpoint-every", "0.1")
    checkpoints = disturbed.folder / "out/.impasto"
    wait_for(lambda: disturbed.names() and len([*checkpoints.glob("*.checkpoint")]) == 2)
    workers = children(driver.pid)
    assert len(workers) == 2
    driver.kill()
    driver.communicate(timeout=60)
    wait_for(lambda: not any(map(lives, workers)), 10)
    finished = {name: (disturbed.folder / "out" / name).stat().st_mtime_ns for name in disturbed.names()}
    assert 0 < len(finished) < 4
    succeed(start(disturbed, "--workers", "2"))
    assert_same_pictures(disturbed, undisturbed)
    for name, time_written in finished.items():
        assert (disturbed.folder / "out" / name).stat().st_mtime_ns == time_written
    rows = disturbed.rows().values()
    assert [row["state"] for row in rows].count("kept") == len(finished)
    assert sum(int(row["resumed_at"] or 0) > 0 for row in rows) >= 1
    assert not [*checkpoints.glob("*.checkpoint")]


@needs_proc
@pytest.mark.parametrize("times", [1, 2])
def test_interrupts_keep_what_is_finished(disturbed, undisturbed, times):
    driver = start(disturbed, "--workers", "2")
    wait_for(disturbed.names)
    for _ in range(times):
        driver.send_signal(signal.SIGINT)
    said = driver.communicate(timeout=60)[1]
    assert driver.returncode == 130
    assert "impasto: interrupted; the same command goes on from here" in said
    assert "Traceback" not in said
    assert not children(driver.pid)
    finished = disturbed.names()
    assert finished < undisturbed.names()
    rows = disturbed.rows()
    assert {name for name, row in rows.items() if row["state"] == "painted"} == finished
    assert {row["state"] for row in rows.values()} == {"painted", "waiting"}
    if times == 1:  # and what had been begun goes on from where it was stopped
        succeed(start(disturbed, "--workers", "2"))
        assert_same_pictures(disturbed, undisturbed)
        assert sum(int(row["resumed_at"] or 0) > 0 for row in disturbed.rows().values()) >= 1


@needs_proc
def test_two_batches_into_one_folder(disturbed, capsys):
    driver = start(disturbed, "--workers", "2")
    wait_for(lambda: (disturbed.folder / "out/.impasto/lock").exists() and children(driver.pid))
    assert main(["batch", "photos", "--style", "style.jpg", "-o", "out", *disturbed.options()]) == 1
    assert "Another impasto batch is painting into out" in capsys.readouterr().err
    driver.send_signal(signal.SIGTERM)
    driver.communicate()
    assert driver.returncode == 130


# What was sent back, and the report


def make_task(place: Place) -> Task:
    job = Job(photo="a", paintings=("b",), output=place.folder / "out.png")
    return Task(0, job, 1, 1, place.folder / "checkpoint", {}, place.folder / "token")


def test_what_workers_send_is_written_and_a_disk_that_refuses_is_a_failure(place):
    heard: list[Any] = []
    clerk = ResultWriter([make_task(place)], heard.append)
    (place.folder / "checkpoint").touch()
    clerk.on_event(TaskFinished(0, data=b"picture"))
    assert (place.folder / "out.png").read_bytes() == b"picture"
    assert not (place.folder / "checkpoint").exists()
    clerk.on_event(TaskFinished(0, data=b"another"))
    assert isinstance(heard[0], TaskFinished)
    assert isinstance(heard[1], TaskFailed)
    assert "already exists" in heard[1].reason
    assert (place.folder / "out.png").read_bytes() == b"picture"


class Gallery(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.pictures: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in ("html", "head", "meta", "title", "style", "body", "main", "figure", "figcaption") or tag in (
            *("a", "img", "small", "h1", "p", "b"),
        )
        if tag == "img":
            self.pictures.append(unquote(dict(attrs)["src"] or ""))

    def handle_data(self, data: str) -> None:
        self.text += data


def read_gallery(folder: Path, name: str = "report.html") -> Gallery:
    gallery = Gallery()
    gallery.feed((folder / name).read_text(encoding="utf-8"))
    return gallery


def test_reports_hold_any_name(tmp_path):
    name = '<script>"x"&\'#?%41.png'
    line = ReportRow(tmp_path / name, Path("/p/<i>.jpg"), [Path("/s/a;b.jpg")], {"init": "<u>"}, "painted", 4, 3, 1.5)
    failed = ReportRow(
        tmp_path / "b.png", Path("/p/\udcff.jpg"), [Path("/s/\n.jpg")], state="failed", reason="a <b> & c"
    )
    write_report([line, failed], tmp_path)
    gallery = read_gallery(tmp_path)
    assert gallery.pictures == [name]
    assert "<i>.jpg" in gallery.text
    assert "init <u>" in gallery.text
    assert "a <b> & c" in gallery.text
    with (tmp_path / "report.csv").open(newline="", errors="surrogateescape") as file:
        rows = list(csv.DictReader(file))
    assert [row["output"] for row in rows] == [name, "b.png"]
    assert rows[1]["photo"] == "/p/\udcff.jpg"
    assert rows[1]["paintings"] == "/s/\n.jpg"
    check_report(tmp_path)  # its own may be replaced


def test_a_large_gallery_has_pages(tmp_path):
    lines = [ReportRow(tmp_path / f"{number}.png", Path("a"), [Path("b")], state="kept") for number in range(700)]
    write_report(lines, tmp_path)
    pages = [read_gallery(tmp_path, name).pictures for name in ("report.html", "report_2.html", "report_3.html")]
    assert [name for page in pages for name in page] == [f"{number}.png" for number in range(700)]
    links = re.findall(r'href="(report\w*\.html)"', (tmp_path / "report_2.html").read_text())
    assert links == ["report.html", "report_3.html"]


@pytest.mark.parametrize("name", ["report.csv", "report.html"])
def test_files_that_are_no_reports_are_kept(place, capsys, name):
    place.picture("a.jpg")
    (place.folder / "out").mkdir()
    (place.folder / "out" / name).write_text("mine,all mine")
    with pytest.raises(PictureError, match="not a report of impasto's"):
        check_report(place.folder / "out")
    assert main(["batch", "a.jpg", "--style", "a.jpg", "-o", "out"]) == 1
    assert "is not a report of impasto's" in capsys.readouterr().err
    assert (place.folder / "out" / name).read_text() == "mine,all mine"
    assert GENERATOR_TAG not in "mine"
