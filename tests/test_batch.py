"""Batches on this machine: every picture is painted once, as if painted alone, whatever fails or is interrupted."""

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pytest
import torch
from batch_folder import (
    BatchFolder,
    assert_same_pictures,
    batch_words,
    find_workers,
    is_running,
    needs_proc,
    read_pixels,
    start_batch,
    wait_for,
)
from conftest import make_picture

from impasto import read_recipe
from impasto.api import paint, start
from impasto.batch.items import BatchItem, make_item
from impasto.batch.report import GENERATOR_TAG, check_report, write_report
from impasto.batch.resolve import find_finished, resolve_items
from impasto.cli.app import main
from impasto.errors import PictureError
from impasto.images.write import write_image
from impasto.runs.job import Job
from impasto.settings.model import Settings
from impasto.settings.units import USABLE_MEMORY_SHARE
from impasto.workers.messages import Task, TaskFailed, TaskFinished, TaskResult
from impasto.workers.worker import Worker


@pytest.fixture
def batch(tmp_path: Path, weights_file: Path, monkeypatch: pytest.MonkeyPatch) -> BatchFolder:
    monkeypatch.chdir(tmp_path)
    return BatchFolder(tmp_path, weights_file)


# From end to end


@pytest.mark.usefixtures("without_processes")
def test_a_folder_with_odd_names_and_a_broken_photo(batch, capsys):
    for seed, name in enumerate(["ein Foto ü.jpg", "a.jpg", "a.png", "2023/b.jpg", "2024/b.jpg", "<b>&.jpg"], start=1):
        batch.write_picture(f"photos/{name}", seed)
    (batch.folder / "photos" / "broken.jpg").write_text("no picture")
    batch.write_picture("Die Welle.jpg", 9)
    words = ["batch", "photos", "--style", "Die Welle.jpg", "-o", "photos/painted", *batch.options()]
    assert main(words) == 1
    made = {"ein Foto ü", "a.jpg", "a.png", "2023_b", "2024_b", "_b_&"}
    assert batch.picture_names("photos/painted") == {f"{name}_Die Welle.png" for name in made}
    shown = capsys.readouterr()
    assert "impasto: 1 of 7 pictures failed:\n  broken_Die Welle.png  " in shown.err
    assert "broken.jpg is not a picture" in shown.err
    assert "photos/painted: 7 pictures: 6 painted, 1 failed; see photos/painted/report.html" in shown.out

    rows = batch.rows("photos/painted")
    assert {name: row["status"] for name, row in rows.items()} == {
        **{f"{name}_Die Welle.png": "painted" for name in made},
        "broken_Die Welle.png": "failed",
    }
    row = rows["ein Foto ü_Die Welle.png"]
    recipe = read_recipe(batch.folder / "photos/painted/ein Foto ü_Die Welle.png")
    assert row["photo"] == str(batch.folder / "photos/ein Foto ü.jpg")
    assert float(row["total"]) == pytest.approx(recipe.result.losses["total"], rel=1e-5)
    assert (row["width"], row["height"], row["attempts"]) == ("40", "33", "1")
    gallery = read_gallery(batch.folder / "photos/painted")
    assert set(gallery.pictures) == batch.picture_names("photos/painted")

    # once more: painted pictures are not photos, and only the broken photo is tried again
    before = {
        name: (batch.folder / "photos/painted" / name).stat().st_mtime_ns
        for name in batch.picture_names("photos/painted")
    }
    assert main(words) == 1
    shown = capsys.readouterr()
    assert "6 pictures painted by impasto are not painted again; name such a file alone to paint it" in shown.err
    assert "7 pictures: 6 there already, 1 failed" in shown.out
    assert before == {
        name: (batch.folder / "photos/painted" / name).stat().st_mtime_ns
        for name in batch.picture_names("photos/painted")
    }
    assert batch.rows("photos/painted")["ein Foto ü_Die Welle.png"]["seconds"] == row["seconds"]


@pytest.mark.slow
def test_pictures_equal_those_painted_alone(batch, capsys):
    batch.write_picture("a.jpg", 1)
    batch.write_picture("b.jpg", 2)
    batch.write_picture("style.jpg", 3)
    (batch.folder / "jobs.csv").write_text(
        "photo,paintings,seed,init,output\n"
        "a.jpg,style.jpg,,,\na.jpg,style.jpg,7,noise,noise/a.tif\nb.jpg,style.jpg;a.jpg,,,\ngone.jpg,style.jpg,,,\n"
    )
    assert main(["batch", "--jobs", "jobs.csv", "-o", "out", "-q", "--threads", "1", *batch.options()]) == 1
    shown = capsys.readouterr()
    assert sorted(shown.out.splitlines()) == ["out/a_style.png", "out/b_style+a.png", "out/noise/a.tif"]
    assert "gone.jpg does not exist: check the name and the folder" in shown.err
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for name, arguments in {
            "a_style.png": ("a.jpg", "style.jpg", batch.settings()),
            "noise/a.tif": ("a.jpg", "style.jpg", batch.settings(seed=7, init="noise")),
            "b_style+a.png": ("b.jpg", ["style.jpg", "a.jpg"], batch.settings()),
        }.items():
            alone = paint(arguments[0], arguments[1], settings=arguments[2])
            assert np.array_equal(read_pixels(batch.folder / "out" / name), np.asarray(alone)), name
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["*.webp", "--style", "a.jpg"], 2, "PHOTO *.webp: there is no picture"),
        (["a.jpg", "--style", "gone.jpg"], 2, "--style gone.jpg does not exist: check the name"),
        (["a.jpg"], 2, "paintings are missing: paintings follow --style"),
        (["--style", "a.jpg"], 2, "PHOTO is missing"),
        (["a.jpg", "--style", "a.jpg", "b.jpg", "--pairs", "zip"], 2, "there are 1 photos and 2 paintings"),
        (["a.jpg", "--style", "b.jpg", "--jobs", "empty.csv"], 2, "--jobs takes the place of PHOTO and --style"),
        (["--jobs", "empty.csv"], 2, "--jobs empty.csv: has no jobs"),
        (["a.jpg", "--style", "b.jpg", "--name", "{foto}.png"], 2, "there is no {foto}"),
        (["a.jpg", "--style", "b.jpg", "--memory", "much"], 2, "--memory takes an amount of memory, such as 4GiB"),
        (["a.jpg", "--style", "b.jpg", "--memory", "0.5"], 2, "--memory takes an amount of memory, such as 4GiB"),
        (["a.jpg", "--style", "b.jpg", "--address", "auto"], 2, "--address is for --engine ray"),
        (["a.jpg", "--style", "b.jpg", "--size", "1"], 2, "--size takes a whole number, 16 to 32768; not '1'"),
        (["a.jpg", "--style", "b.jpg", "-o", "a.jpg"], 1, "a.jpg"),
    ],
)
def test_wrong_usage_is_reported_before_anything_is_made(batch, capsys, words, code, said):
    batch.write_picture("a.jpg")
    batch.write_picture("b.jpg")
    (batch.folder / "empty.csv").touch()
    before = set(batch.folder.iterdir())
    assert main(["batch", *words, *([] if "-o" in words else ["-o", "out"])]) == code
    assert said in capsys.readouterr().err
    assert set(batch.folder.iterdir()) == before


@pytest.mark.slow
def test_a_picture_too_large_for_the_memory_is_tiled(batch, capsys):
    batch.write_picture("a.jpg", 1)
    batch.write_picture("style.jpg", 2)
    options = batch.options(size=1000, start_size=1000, steps=2)
    plan = ["plan", "a.jpg", "style.jpg", "--json", *options]
    planned = subprocess.run([sys.executable, "-m", "impasto", *plan], capture_output=True, text=True, check=True)
    ways = json.loads(planned.stdout)["ways"]  # as a fresh process takes it on this machine, and so a worker
    enough = (ways["whole"]["bytes"] + ways["tiled"]["bytes"]) / 2 / USABLE_MEMORY_SHARE
    words = ["batch", "a.jpg", "--style", "style.jpg", "-o", "out", "--memory", f"{enough / 2**20:.0f}MiB", *options]
    assert main(words) == 0
    said = capsys.readouterr().err
    assert "in tiles of" in said
    assert "may be used, whole it would take" in said


# Pictures that exist already


def resolve(
    batch: BatchFolder, names: Sequence[str], *items: BatchItem, overwrite: bool = False
) -> Sequence[BatchItem]:
    resolve_items(items, names, batch.folder / "out", overwrite=overwrite)
    return items


def item(batch: BatchFolder, photo: str = "a.jpg", bits: Any = 8, **settings: Any) -> BatchItem:
    return make_item(batch.folder / photo, (batch.folder / "style.jpg",), batch.settings(**settings), bits=bits)


@pytest.fixture
def painted(batch: BatchFolder) -> Path:
    """A finished picture, out/a_style.png."""
    batch.write_picture("a.jpg", 1)
    batch.write_picture("style.jpg", 2)
    (batch.folder / "out").mkdir()
    paint("a.jpg", "style.jpg", output="out/a_style.png", settings=batch.settings())
    return batch.folder / "out/a_style.png"


def test_finished_pictures_are_found_by_recipe_not_name(batch, painted):
    assert resolve(batch, ["a_style.png"], item(batch))[0].status == "kept"
    moved = painted.rename(batch.folder / "out" / "another name.png")
    (batch.folder / "a.jpg").rename(batch.folder / "renamed.jpg")
    (found,) = resolve(batch, ["renamed_style.png"], item(batch, "renamed.jpg"))
    assert found.status == "kept"
    assert found.job.output == moved


@pytest.mark.usefixtures("painted")
def test_other_settings_files_formats_or_bits_are_another_picture(batch):
    batch.write_picture("b.jpg", 5)
    for other in (item(batch, steps=6), item(batch, "b.jpg"), item(batch, bits=16)):
        assert resolve(batch, ["x.png"], other)[0].status == "waiting"
    assert resolve(batch, ["x.tif"], item(batch))[0].status == "waiting"
    # the content of a photo counts, not its name
    shutil.copy(batch.folder / "b.jpg", batch.folder / "a.jpg")
    assert resolve(batch, ["x.png"], item(batch))[0].status == "waiting"


@pytest.mark.usefixtures("painted")
def test_a_picture_belongs_to_one_item_only(batch):
    shutil.copy(batch.folder / "a.jpg", batch.folder / "copy.jpg")
    two = resolve(batch, ["copy_style.png", "a_style.png"], item(batch, "copy.jpg"), item(batch))
    assert [each.status for each in two] == ["waiting", "kept"]  # the item of that name
    assert len({each.key for each in two}) == 2


def test_an_unfinished_picture_is_not_kept(batch, painted):
    run = start("a.jpg", "style.jpg", settings=batch.settings(steps=9))
    next(run)
    painted.unlink()
    run.write(painted)
    (found,) = resolve(batch, ["a_style.png"], item(batch, steps=9))
    assert found.status == "failed"
    assert "already exists and is another picture (unfinished, or written otherwise)" in found.reason


def test_other_files_are_not_overwritten_unless_asked(batch, painted):
    (clash,) = resolve(batch, ["a_style.png"], item(batch, size=48))
    assert clash.status == "failed"
    assert "already exists and is another picture (size: 40 there, 48 wanted): choose another" in clash.reason
    (batch.folder / "out/foreign.png").write_bytes(b"mine")
    (clash,) = resolve(batch, ["foreign.png"], item(batch, size=48))
    assert "foreign.png already exists and can't be read: it is no PNG" in clash.reason
    (allowed,) = resolve(batch, ["foreign.png"], item(batch, size=48), overwrite=True)
    assert allowed.status == "waiting"
    assert allowed.job.overwrite
    # never a photo, though
    (inside,) = resolve(batch, ["a_style.png"], item(batch, str(painted)), overwrite=True)
    assert "is also the input" in inside.reason


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        (None, "carries no recipe: it was not painted by impasto, or"),
        ({"coarse_content_taps": "relu2_1"}, "settings.coarse_content_taps: Extra inputs are not permitted"),
    ],
)
def test_why_a_picture_is_not_known_is_said(batch, painted, settings, reason):
    recipe = read_recipe(painted).to_dict()
    text = json.dumps({**recipe, "settings": {**recipe["settings"], **settings}}) if settings else ""
    write_image(make_picture(40, 30, 0), batch.folder / "out/other.png", embedded_text=text)
    (clash,) = resolve(batch, ["other.png"], item(batch, size=48))
    assert "other.png already exists and " in clash.reason
    assert reason in clash.reason
    assert clash.reason.endswith("choose another --output or --name, or allow it with --overwrite")


def test_damaged_files_and_files_without_recipe_are_not_found(batch, painted):
    (batch.folder / "out/noise.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    (batch.folder / "out/.impasto").mkdir()
    shutil.copy(painted, batch.folder / "out/.impasto/hidden.png")
    batch.write_picture("out/photo.png")
    assert [list(pictures) for pictures in find_finished(batch.folder / "out").values()] == [[painted]]


# Interrupts and kills


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, weights_file: Path) -> BatchFolder:
    """Four photos and their pictures, painted without interruption."""
    batch = BatchFolder(tmp_path_factory.mktemp("undisturbed"), weights_file)
    batch.paint_alone(4)
    return batch


@pytest.fixture
def disturbed(batch: BatchFolder, undisturbed: BatchFolder) -> BatchFolder:
    """The same photos, not painted yet."""
    shutil.copytree(undisturbed.folder / "photos", batch.folder / "photos")
    shutil.copy(undisturbed.folder / "style.jpg", batch.folder)
    return batch


@needs_proc
@pytest.mark.slow
def test_another_worker_continues_after_a_kill(disturbed, undisturbed):
    driver = start_batch(disturbed, "--workers", "2", "--threads", "1")
    wait_for(disturbed.picture_names)
    os.kill(find_workers(driver.pid)[0], signal.SIGKILL)
    said = driver.communicate()[1]
    assert driver.returncode == 0, said
    assert "the worker was lost (its process was ended by SIGKILL); another one goes on with it" in said
    assert_same_pictures(disturbed, undisturbed)
    assert sorted(row["attempts"] for row in disturbed.rows().values()) == ["1", "1", "1", "2"]


def test_one_pass_is_painted_within_a_memory_limit(batch):
    job = Job(
        photo=batch.write_picture("photo.png"),
        paintings=(batch.write_picture("style.png", 9),),
        output=batch.folder / "out.png",
        settings=Settings(preset="instant", size=64),
        checkpoint="none",
    )
    task = Task(0, job, 0, 1, batch.folder / "out.checkpoint", {}, batch.folder, memory_limit=2**31)
    threads = torch.get_num_threads()
    try:
        *_, fits = Worker().paint(task, lambda: False)
        *_, refused = Worker().paint(replace(task, memory_limit=2**20, is_retry=False), lambda: False)
    finally:
        torch.set_num_threads(threads)
    assert isinstance(fits, TaskFinished)
    assert isinstance(refused, TaskFailed)


def test_a_picture_written_by_a_lost_worker_is_kept(batch):
    job = Job(
        photo=batch.write_picture("photo.png"),
        paintings=(batch.write_picture("style.png", 9),),
        output=batch.folder / "out.png",
        settings=batch.settings(size=48, steps=3),
        quality=95,
        checkpoint="none",
    )
    task = Task(0, job, 0, 1, batch.folder / "out.checkpoint", {}, batch.folder)
    threads = torch.get_num_threads()
    try:
        *_, first = Worker().paint(task, lambda: False)  # after its progress, on a busy machine
        written = job.output.stat()
        (kept,) = Worker().paint(replace(task, is_retry=True), lambda: False)
        assert isinstance(first, TaskFinished)
        assert isinstance(kept, TaskFinished)
        assert kept.result.losses == first.result.losses
        assert job.output.stat().st_mtime_ns == written.st_mtime_ns
        (refused,) = Worker().paint(task, lambda: False)
        assert isinstance(refused, TaskFailed)
        assert "already exists" in refused.reason
        job.output.write_bytes(job.photo.read_bytes())  # another file
        *_, refused = Worker().paint(replace(task, is_retry=True), lambda: False)
        assert isinstance(refused, TaskFailed)
        assert "already exists" in refused.reason
        assert job.output.read_bytes() == job.photo.read_bytes()
    finally:
        torch.set_num_threads(threads)


@needs_proc
@pytest.mark.slow
@pytest.mark.usefixtures("without_processes")
def test_the_same_command_continues_after_the_driver_is_killed(disturbed, undisturbed):
    driver = start_batch(disturbed, "--workers", "2", "--threads", "1", "--checkpoint-every", "0.1")
    checkpoints = disturbed.folder / "out/.impasto"
    wait_for(lambda: disturbed.picture_names() and len([*checkpoints.glob("*.checkpoint")]) == 2)
    workers = find_workers(driver.pid)
    assert len(workers) == 2
    driver.kill()
    driver.communicate(timeout=60)
    wait_for(lambda: not any(map(is_running, workers)), 10)
    finished = {name: (disturbed.folder / "out" / name).stat().st_mtime_ns for name in disturbed.picture_names()}
    assert 0 < len(finished) < 4
    assert main([*batch_words(disturbed), "--threads", "1"]) == 0
    assert_same_pictures(disturbed, undisturbed)
    for name, time_written in finished.items():
        assert (disturbed.folder / "out" / name).stat().st_mtime_ns == time_written
    rows = disturbed.rows().values()
    assert [row["status"] for row in rows].count("kept") == len(finished)
    assert sum(int(row["resumed_at"] or 0) > 0 for row in rows) >= 1
    assert not [*checkpoints.glob("*.checkpoint")]


@needs_proc
@pytest.mark.slow
@pytest.mark.usefixtures("without_processes")
@pytest.mark.parametrize("signals", [[signal.SIGINT], [signal.SIGTERM], [signal.SIGINT, signal.SIGINT]])
def test_interrupts_keep_finished_pictures(disturbed, undisturbed, signals, capsys):
    driver = start_batch(disturbed, "--workers", "2", "--threads", "1")
    wait_for(lambda: find_workers(driver.pid))
    assert main(batch_words(disturbed)) == 1  # while the folder is another's
    assert "Another impasto batch is painting into out" in capsys.readouterr().err
    wait_for(disturbed.picture_names)
    for number in signals:
        driver.send_signal(number)
    said = driver.communicate(timeout=60)[1]
    assert driver.returncode == 130
    assert "impasto: interrupted; the same command goes on from here" in said
    assert "Traceback" not in said
    assert not find_workers(driver.pid)
    finished = disturbed.picture_names()
    assert finished < undisturbed.picture_names()
    rows = disturbed.rows()
    assert {name for name, row in rows.items() if row["status"] == "painted"} == finished
    assert {row["status"] for row in rows.values()} == {"painted", "waiting"}
    if len(signals) == 1:  # begun pictures continue where they were stopped
        assert main([*batch_words(disturbed), "--threads", "1"]) == 0
        assert_same_pictures(disturbed, undisturbed)
        assert sum(int(row["resumed_at"] or 0) > 0 for row in disturbed.rows().values()) >= 1


def test_checkpoints_of_failed_pictures_are_kept(batch, monkeypatch):
    def fail(tasks: Sequence[Task], *_: object) -> Iterator[TaskFailed]:
        for task in tasks:
            task.checkpoint.write_text("")
            yield TaskFailed(task.number, reason="three workers were lost")

    batch.write_picture("a.jpg")
    checkpoints = batch.folder / "out/.impasto"
    checkpoints.mkdir(parents=True)
    (checkpoints / "earlier.checkpoint").write_text("")
    monkeypatch.setattr("impasto.batch.batch_run.run_tasks", fail)
    assert main(["batch", "a.jpg", "--style", "a.jpg", "-o", "out", *batch.options()]) == 1
    (kept,) = checkpoints.glob("*.checkpoint")
    assert kept.stem != "earlier"


# The report


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


def report_item(output: Path, photo: str = "a", painting: str = "b", **fields: Any) -> BatchItem:
    settings = Settings(**fields.pop("settings", {}))
    item = make_item(Path(photo), (Path(painting),), settings)
    item.job = item.job.model_copy(update={"output": output})
    return replace(item, label=output.name, **fields)


def test_reports_show_any_name(tmp_path):
    name = '<script>"x"&\'#?%41.png'
    painted = report_item(
        tmp_path / name,
        "/p/<i>.jpg",
        "/s/a;b.jpg",
        settings={"init": "<u>"},
        status="painted",
        result=TaskResult(4, 3, {"total": 1.5}, 1.5),
    )
    failed = report_item(tmp_path / "b.png", "/p/\udcff.jpg", "/s/\n.jpg", status="failed", reason="a <b> & c")
    write_report([painted, failed], tmp_path)
    gallery = read_gallery(tmp_path)
    assert gallery.pictures == [name]
    assert "<i>.jpg" in gallery.text
    assert "init <u>" in gallery.text
    assert "4 x 3, 1.5 s, total 1.5" in gallery.text
    assert "a <b> & c" in gallery.text
    with (tmp_path / "report.csv").open(newline="", errors="surrogateescape") as file:
        rows = list(csv.DictReader(file))
    assert [row["output"] for row in rows] == [name, "b.png"]
    assert rows[1]["photo"] == "/p/\udcff.jpg"
    assert rows[1]["paintings"] == "/s/\n.jpg"
    check_report(tmp_path, 2)  # a report may be replaced


def test_a_large_gallery_has_pages(tmp_path):
    items = [report_item(tmp_path / f"{number}.png", status="kept") for number in range(700)]
    write_report(items, tmp_path)
    pages = [read_gallery(tmp_path, name).pictures for name in ("report.html", "report_2.html", "report_3.html")]
    assert [name for page in pages for name in page] == [f"{number}.png" for number in range(700)]
    links = re.findall(r'href="(report\w*\.html)"', (tmp_path / "report_2.html").read_text())
    assert links == ["report.html", "report_3.html"]


@pytest.mark.parametrize("name", ["report.csv", "report.html", "report_2.html"])
def test_other_files_with_a_reports_name_are_kept(batch, capsys, name, monkeypatch):
    monkeypatch.setattr("impasto.batch.report.PICTURES_PER_PAGE", 1)
    batch.write_picture("b.jpg", 5)
    batch.write_picture("a.jpg")
    (batch.folder / "out").mkdir()
    (batch.folder / "out" / name).write_text("mine,all mine")
    with pytest.raises(PictureError, match="is not a report of impasto"):
        check_report(batch.folder / "out", 2)
    assert main(["batch", "a.jpg", "b.jpg", "--style", "a.jpg", "-o", "out"]) == 1
    assert "is not a report of impasto" in capsys.readouterr().err
    assert (batch.folder / "out" / name).read_text() == "mine,all mine"
    assert GENERATOR_TAG not in "mine"
