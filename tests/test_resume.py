"""Runs that end before they are finished, by kill -9 too, and `impasto resume`: nothing is lost, nothing is broken."""

import json
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import SPELT_OUT, format_option, make_picture

import impasto
from impasto import CheckpointError, Job, PictureError, Run, Settings, UsageError
from impasto.cli.app import main
from impasto.images.read import read_image
from impasto.images.write import to_pil, write_image
from impasto.painting.checkpoint_file import read_checkpoint, write_checkpoint
from impasto.recipes.recipe import identify_recipe
from impasto.runs.checkpoints import (
    MIN_CHECKPOINT_INTERVAL_SECONDS,
    CheckpointWriter,
    Throttle,
    choose_checkpoint_path,
    load_step,
)

QUICK: dict[str, Any] = {**SPELT_OUT, "size": 48, "start_size": 24, "steps": 4, "later_steps": 5, "optimizer": "lbfgs"}


class Scene:
    """A folder with what a painting needs, and the command line's words for it."""

    def __init__(self, folder: Path, network: Path) -> None:
        self.folder, self.output = folder, folder / "out.png"
        self.photo, self.painting, self.mask = (folder / name for name in ("photo.png", "painting.png", "mask.png"))
        write_image(make_picture(48, 36, 1), self.photo)
        write_image(make_picture(40, 40, 2), self.painting)
        write_image(make_picture(48, 36, 3).mean(1, keepdim=True).expand(1, 3, -1, -1), self.mask)
        self.network = network

    def job(self, **chosen: Any) -> Job:
        settings = Settings(**{**QUICK, "network": str(self.network), **chosen.pop("settings", {})})
        wanted = {
            "photo": self.photo,
            "paintings": (self.painting,),
            "output": self.output,
            "checkpoint": str(self.kept),
        }
        return Job(**{**wanted, **chosen}, settings=settings)

    @property
    def kept(self) -> Path:
        return self.folder / "out.png.checkpoint"

    def leave(self, steps: int, **chosen: Any) -> Run:
        """Paint so many steps and keep them."""
        run = impasto.start_job(self.job(**chosen))
        for _ in range(steps):
            next(run)
        assert run.save_checkpoint()
        return run

    def finish(self, **chosen: Any) -> bytes:
        """Paint all of it, without a break."""
        run = impasto.start_job(self.job(output=self.folder / "whole.png", checkpoint="none", **chosen))
        for _ in run:
            pass
        return run.write().read_bytes()


@pytest.fixture
def scene(tmp_path: Path, weights_file: Path) -> Scene:
    return Scene(tmp_path, weights_file)


def assert_same(path: Path, wanted: bytes) -> None:
    """A file has the pixels of another, and was painted from the same recipe to the same losses."""
    whole = path.with_name("wanted.png")
    whole.write_bytes(wanted)
    assert torch.equal(read_image(path).rgb, read_image(whole).rgb)
    one, other = (impasto.read_recipe(it) for it in (path, whole))
    assert identify_recipe(one) == identify_recipe(other)
    assert one.result == other.result


def go_on(path: Path, **chosen: Any) -> bytes:
    run = impasto.resume(path, **chosen)
    for _ in run:
        pass
    return run.write().read_bytes()


# From Python


def test_resumed_it_is_the_same_file(scene: Scene) -> None:
    settings = {"preserve_mask": str(scene.mask)}
    scene.leave(6, settings=settings)
    assert go_on(scene.kept) == scene.finish(settings=settings)
    assert not scene.kept.exists()


def test_the_output_names_its_checkpoint(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(scene.folder)
    scene.leave(3, photo=Path("photo.png"), output=Path("out.png"))
    monkeypatch.chdir(scene.folder.parent)
    assert go_on(scene.output) == scene.finish()


def test_a_texture_goes_on_too(scene: Scene) -> None:
    settings = {"init": "noise", "content_weight": 0.0, "padding": "circular", "aspect": "3:2"}
    scene.leave(5, photo=None, settings=settings)
    assert go_on(scene.kept) == scene.finish(photo=None, settings=settings)


def test_it_can_be_left_more_than_once(scene: Scene) -> None:
    scene.leave(2)
    for _ in range(3):
        run = impasto.resume(scene.kept)
        assert run.last_step
        begun = run.last_step.step
        next(run)
        assert run.last_step.step == begun + 1
        assert run.save_checkpoint()
    assert go_on(scene.kept) == scene.finish()


def test_after_the_last_step_only_the_writing_is_left(scene: Scene) -> None:
    run = scene.leave(1)
    for _ in run:
        pass
    assert run.save_checkpoint()
    again = impasto.resume(scene.kept)
    assert [*again] == []
    assert again.write().read_bytes() == scene.finish()


def test_what_an_unfinished_run_has_left_is_replaced_and_nothing_else(scene: Scene) -> None:
    run = scene.leave(3, save_every=2, recipe_file=scene.folder / "recipe.toml")
    run.write()
    assert scene.output.exists()
    assert (scene.folder / "out.preview.png").exists()
    run = impasto.resume(scene.kept)
    for _ in run:
        pass
    other = make_picture(30, 20, 9)
    write_image(other, scene.output, overwrite=True)  # somebody else's, meanwhile
    with pytest.raises(PictureError, match="already exists"):
        run.write()
    assert scene.kept.exists()
    with pytest.raises(PictureError, match="already exists"):
        impasto.resume(scene.kept)
    assert go_on(scene.kept, overwrite=True) == scene.finish(save_every=2, recipe_file=scene.folder / "whole.toml")


def test_two_runs_of_one_checkpoint_do_not_take_it_from_each_other(scene: Scene) -> None:
    other = impasto.start_job(scene.job(output=scene.folder / "other.png"))
    next(other)
    scene.leave(3)
    kept = scene.kept.read_bytes()
    assert not other.save_checkpoint()
    assert "another run's" in other.notes[-1]
    for _ in other:
        pass
    other.write()
    assert scene.kept.read_bytes() == kept
    assert go_on(scene.kept) == scene.finish()


def test_a_checkpoint_is_not_the_output(scene: Scene) -> None:
    with pytest.raises(UsageError, match="where the picture goes"):
        next(impasto.start_job(scene.job(checkpoint=str(scene.output))))


def test_killed_between_writing_the_picture_and_removing_the_checkpoint_it_goes_on(scene: Scene) -> None:
    scene.leave(3)
    finished = scene.finish()
    scene.output.write_bytes(finished)
    assert go_on(scene.kept) == finished
    assert not scene.kept.exists()


@pytest.mark.parametrize("which", ["photo", "painting", "mask", "network"])
@pytest.mark.parametrize("gone", [False, True])
def test_what_has_changed_is_named(scene: Scene, which: str, gone: bool) -> None:
    network = scene.folder / "network.safetensors"
    network.write_bytes(scene.network.read_bytes())
    scene.leave(3, settings={"preserve_mask": str(scene.mask), "network": str(network)})
    file = {"photo": scene.photo, "painting": scene.painting, "mask": scene.mask, "network": network}[which]
    if gone:
        file.unlink()
    else:
        data = bytearray(file.read_bytes())
        data[len(data) // 2] ^= 1
        file.write_bytes(data)
    said = "can't be read" if gone else "has changed since .* its sha256 is [0-9a-f]{64}, it was [0-9a-f]{64}"
    with pytest.raises(CheckpointError, match=rf"{file.name}\S* {said}|{file.name}, which .* {said}"):
        impasto.resume(scene.kept)


def test_another_recipe_is_refused(scene: Scene) -> None:
    scene.leave(3)
    checkpoint = read_checkpoint(scene.kept)
    job = scene.job(settings={"style_weight": 7.0})
    tampered = {**checkpoint.texts, "job": job.model_dump_json()}
    write_checkpoint(scene.kept, type(checkpoint)(checkpoint.tensors, checkpoint.numbers, tampered))
    with pytest.raises(CheckpointError, match=r"another recipe .*style_weight: 1 in it, 7 now"):
        impasto.resume(scene.kept)


def test_a_batchs_checkpoint_is_told_from_a_pictures(scene: Scene) -> None:
    scene.leave(3)
    checkpoint = read_checkpoint(scene.kept)
    write_checkpoint(scene.kept, type(checkpoint)(checkpoint.tensors, checkpoint.numbers, {}))
    with pytest.raises(CheckpointError, match="batch"):
        impasto.resume(scene.kept)


def test_painting_again_finds_the_checkpoint_and_says_what_to_do(scene: Scene) -> None:
    scene.leave(3)
    with pytest.raises(CheckpointError, match=r"impasto resume \S+out\.png\.checkpoint goes on with it"):
        next(impasto.start_job(scene.job()))
    next(impasto.start_job(scene.job(overwrite=True)))


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_checkpoint_never_replaces_a_foreign_file(scene: Scene, overwrite: bool) -> None:
    scene.kept.write_text("a thesis")
    with pytest.raises(CheckpointError, match="is no checkpoint"):
        next(impasto.start_job(scene.job(overwrite=overwrite)))
    with pytest.raises(CheckpointError, match="is no checkpoint"):
        choose_checkpoint_path(str(scene.photo), 1, scene.output, inputs=[scene.photo], overwrite=True)
    assert scene.kept.read_text() == "a thesis"


def test_paint_takes_a_checkpoint_where_it_can_be_resumed(scene: Scene) -> None:
    chosen = {**QUICK, "network": str(scene.network)}
    picture = impasto.paint(scene.photo, scene.painting, output=scene.output, checkpoint=scene.kept, **chosen)
    assert picture.size == (48, 36)
    assert scene.output.exists()
    assert not scene.kept.exists()
    for arguments in ({}, {"output": scene.folder / "b.png"}):
        photo = scene.photo if not arguments else to_pil(make_picture(48, 36))
        with pytest.raises(UsageError, match="takes an output, and a photo and paintings that are files"):
            impasto.paint(photo, scene.painting, checkpoint=scene.kept, **arguments, **chosen)


# When it is kept


def test_short_runs_are_not_kept_unless_asked(scene: Scene) -> None:
    output = scene.output
    assert choose_checkpoint_path("auto", 599, output, inputs=[], overwrite=False) is None
    assert choose_checkpoint_path("auto", 600, output, inputs=[], overwrite=False) == scene.kept
    assert choose_checkpoint_path("none", 6000, output, inputs=[], overwrite=False) is None
    assert choose_checkpoint_path(str(scene.kept), 1, output, inputs=[], overwrite=False) == scene.kept
    run = impasto.start_job(scene.job(checkpoint="auto"))
    next(run)
    assert run.checkpoint_writer is None
    assert not run.save_checkpoint()


def test_it_is_kept_at_each_scale_and_every_few_minutes(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[int] = []
    run = impasto.start_job(scene.job())
    write = CheckpointWriter.write
    monkeypatch.setattr(
        CheckpointWriter, "write", lambda self, capture, step: kept.append(step.step) or write(self, capture, step)
    )
    now = time.monotonic
    monkeypatch.setattr(
        "impasto.runs.checkpoints.time.monotonic",
        lambda: now() + MIN_CHECKPOINT_INTERVAL_SECONDS * (run.last_step is not None and run.last_step.step > 6),
    )
    for _ in run:
        pass
    assert kept == [5, 7]  # the first of the second scale; after some minutes; never the last


def test_a_disk_that_refuses_is_no_reason_to_stop(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    run = scene.leave(3)
    before = scene.kept.read_bytes()

    def refuse(*_: Any) -> None:
        raise PictureError("the disk is full")

    monkeypatch.setattr("impasto.runs.checkpoints.write_checkpoint", refuse)
    assert not run.save_checkpoint()
    assert run.notes[-1] == ("The checkpoint was not written: the disk is full. The painting goes on; step 3 is kept.")
    assert [step.step for step in run] == [4, 5, 6, 7, 8, 9]
    assert scene.kept.read_bytes() == before


@pytest.mark.parametrize(
    ("seconds", "cost", "is_due"), [(0.9, 0.0, False), (1.1, 0.0, True), (9.0, 0.1, False), (11.0, 0.1, True)]
)
def test_throttle_waits_for_interval_and_share(
    seconds: float, cost: float, is_due: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr("impasto.runs.checkpoints.time.monotonic", lambda: now)
    throttle = Throttle(0.01, 1.0)
    with throttle.measure():
        now += cost
    now += seconds
    assert throttle.is_due == is_due


# For real, in other processes

PAINT = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job ignores it
from impasto.runs import checkpoints
checkpoints.MIN_CHECKPOINT_INTERVAL_SECONDS, checkpoints.MAX_CHECKPOINT_SHARE = 0.0, float("inf")
from impasto.cli.app import main
sys.exit(main())
"""


def words(scene: Scene, *more: str) -> list[str]:
    chosen = {**QUICK, "network": str(scene.network)}
    given: list[str] = []
    for name, value in chosen.items():
        flag = f"--{name.replace('_', '-')}"
        if flag in more or value == () or value == Settings.model_fields[name].default:
            continue
        words = format_option(value)
        given += [flag, words]
    return [str(scene.photo), str(scene.painting), *given, *more]


def begin(scene: Scene, *given: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", PAINT, *given],
        cwd=scene.folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for(path: Path, painting: "subprocess.Popen[str]") -> None:
    while not path.exists() and painting.poll() is None:
        time.sleep(0.01)
    assert painting.poll() is None, painting.communicate()


LONG = {"later_steps": 300}
STEPS = ("--later-steps", "300")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, weights_file: Path) -> bytes:
    """A picture of so many steps, painted without a break."""
    return Scene(tmp_path_factory.mktemp("whole"), weights_file).finish(settings=LONG)


@pytest.mark.slow
def test_killed_at_any_moment_it_becomes_the_same_picture(scene: Scene, whole: bytes) -> None:
    """A kill leaves a whole checkpoint, the finished picture, or, between writing one and removing the other, both."""
    chance, killed = random.Random(5), 0
    painting = begin(scene, *words(scene, *STEPS, "-o", "out.png", "--checkpoint", "out.png.checkpoint"))
    wait_for(scene.kept, painting)
    for longest in (0.0, 0.3, 0.3, 0.3):
        time.sleep(chance.uniform(0, longest))
        painting.kill()
        painting.communicate()
        killed += painting.returncode == -signal.SIGKILL
        if scene.output.exists():
            assert_same(scene.output, whole)
        if not scene.kept.exists():
            break
        assert read_checkpoint(scene.kept).texts["job"]
        written = scene.kept.stat().st_mtime_ns
        painting = begin(scene, "resume", "out.png")
        while time_written(scene.kept) == written and painting.poll() is None:
            time.sleep(0.01)
    else:
        out, err = painting.communicate(timeout=120)
        assert painting.returncode == 0, err
        assert re.search(r"out\.png: 48 x 36, \S+ s\n", out)
    assert killed
    assert_same(scene.output, whole)
    assert sorted(it.name for it in scene.folder.iterdir() if "out" in it.name) == ["out.png"]


def time_written(path: Path) -> int | None:
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return None


@pytest.mark.slow
def test_stopped_it_is_kept_and_goes_on(scene: Scene, whole: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    painting = begin(scene, *words(scene, *STEPS, "-o", "out.png", "--checkpoint", "out.png.checkpoint"))
    wait_for(scene.kept, painting)
    first = scene.kept.stat().st_mtime_ns
    while scene.kept.stat().st_mtime_ns == first and painting.poll() is None:
        time.sleep(0.01)  # during the first step, which wrote it, an interrupt ends the run at once
    painting.send_signal(signal.SIGINT)
    out, err = painting.communicate(timeout=60)
    assert painting.returncode == 130, err
    assert ", unfinished: scale " in out
    assert err.splitlines()[0].startswith("48 x 36, painted whole")
    assert err.splitlines()[1].startswith(f"saved to {scene.kept} every few minutes")
    assert err.splitlines()[-1] == f"impasto: interrupted; impasto resume {scene.kept.name} continues it"
    left = impasto.read_recipe(scene.output).result
    assert left
    assert load_step(read_checkpoint(scene.kept)).step == left.step
    assert main(["resume", str(scene.kept)]) == 0
    said = capsys.readouterr()
    begun = f"continuing {scene.output} after step {left.step}, {left.width} x {left.height}"
    assert said.err.splitlines()[0] == begun
    assert said.out.startswith(f"{scene.output}: 48 x 36")
    assert_same(scene.output, whole)


SLOW = PAINT.replace(
    "from impasto.cli.app import main",
    """
import time
from impasto.painting.objective import Objective
from impasto.cli.app import main
look, looks = Objective.backward, []
def backward(self, canvas):
    looks.append(1)
    if len(looks) == 30:
        open("asleep", "w").close()
        time.sleep(100)
    return look(self, canvas)
Objective.backward = backward
""",
)


@pytest.mark.slow
def test_a_second_interrupt_does_not_wait_for_the_step(scene: Scene, whole: bytes) -> None:
    given = words(scene, *STEPS, "-o", "out.png", "--checkpoint", "out.png.checkpoint")
    painting = subprocess.Popen(
        [sys.executable, "-c", SLOW, *given],
        cwd=scene.folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_for(scene.folder / "asleep", painting)
    kept = load_step(read_checkpoint(scene.kept)).step
    painting.send_signal(signal.SIGINT)
    time.sleep(0.2)
    assert painting.poll() is None
    started = time.monotonic()
    painting.send_signal(signal.SIGINT)
    out, err = painting.communicate(timeout=60)
    assert time.monotonic() - started < 10
    assert painting.returncode == 130, err
    assert "unfinished" in out
    assert f"impasto resume {scene.kept.name} continues it" in err
    assert load_step(read_checkpoint(scene.kept)).step == kept
    go_on(scene.kept)
    assert_same(scene.output, whole)


@pytest.mark.skipif(sys.platform != "linux", reason="disks are mounted otherwise elsewhere")
@pytest.mark.slow
def test_on_a_full_disk_the_finished_picture_is_kept_to_be_written(scene: Scene) -> None:
    """The picture can't be written where it should; its checkpoint, elsewhere, has all of it."""
    disk = scene.folder / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4k", "impasto", str(disk)], check=False)
    if mounted.returncode:
        pytest.skip("a small disk can't be mounted here")
    try:
        painting = begin(scene, *words(scene, "-o", "disk/out.png", "--checkpoint", "out.png.checkpoint"))
        out, err = painting.communicate(timeout=60)
        assert painting.returncode == 1
        assert "No space left on device" in err
        assert f"impasto resume {scene.kept.name} continues it" in err
        assert out == ""
        assert not list(disk.iterdir())
        subprocess.run(["mount", "-o", "remount,size=4m", str(disk)], check=True)
        go_on(scene.kept)
        assert_same(disk / "out.png", scene.finish())
    finally:
        subprocess.run(["umount", str(disk)], check=True)


# The command


@pytest.mark.parametrize(
    ("name", "data", "code", "said"),
    [
        ("nowhere.png", None, 1, "does not exist"),
        ("a.checkpoint", b"", 1, "cut short"),
        ("a.checkpoint", b"\xff" * 100, 1, "is no checkpoint, or is damaged"),
        ("photo.png", None, 2, "is no unfinished picture or film"),
    ],
)
def test_what_can_t_be_resumed_is_said(
    scene: Scene,
    name: str,
    data: bytes | None,
    code: int,
    said: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(scene.folder)
    if data is not None:
        Path(name).write_bytes(data)
    assert main(["resume", name]) == code
    shown = capsys.readouterr().err
    assert said in shown
    assert name in shown


def test_an_unfinished_picture_without_checkpoint_is_said(scene: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    scene.leave(3).write()
    scene.kept.unlink()
    assert main(["resume", str(scene.output)]) == 1
    assert f"impasto rerun {scene.output} paints it anew" in capsys.readouterr().err


@pytest.mark.parametrize("name", [".", "/", "photo.png"])
def test_what_can_t_be_resumed_is_said_to_programs_too(scene: Scene, name: str) -> None:
    with pytest.raises(UsageError, match="name a checkpoint"):
        impasto.resume(scene.folder / name if name == "photo.png" else name)


def test_a_truncated_checkpoint_is_said(scene: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    scene.leave(3)
    scene.kept.write_bytes(scene.kept.read_bytes()[:-100])
    assert main(["resume", str(scene.kept)]) == 1
    assert "cut short" in capsys.readouterr().err


def test_any_painting_command_can_be_planned(scene: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    as_given = [*words(scene), "-o", "painted.png", "--bits=16", "--overwrite", "--checkpoint=none", "--quiet"]
    assert main(["plan", "paint", *as_given]) == 0
    assert capsys.readouterr().out.startswith("48 x 36 pixels, 2 scales, 9 steps\n")


def test_the_plan_is_said_before_anything_is_painted(scene: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", *words(scene)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "48 x 36 pixels, 2 scales, 9 steps"
    assert [line.split()[0] for line in lines[3:7]] == ["whole", "recomputing", "tiled", "chosen"]
    assert "are free" in lines[-1]
    assert main(["plan", *words(scene, "--json", "--memory", "20GiB")]) == 0
    assert '"fits": true' in capsys.readouterr().out
    assert main(["plan", *words(scene, "--memory", "100MB")]) == 1
    shown = capsys.readouterr().out
    assert "\nsmallest " in shown
    assert "95 MiB may be used: nothing fits, it takes at least " in shown
    assert main([*words(scene, "--memory", "100MB", "-o", "out.png")]) == 2
    assert "allow more --memory" in capsys.readouterr().err
    assert main(["plan", *words(scene, "--memory", "much")]) == 2
    assert "--memory" in capsys.readouterr().err


def test_a_plan_says_what_will_be_said(scene: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", *words(scene, "--style-size", "auto")]) == 0
    assert "--style-size auto" in capsys.readouterr().err
    assert main(["plan", *words(scene, "--style-size", "auto", "--json")]) == 0
    assert any("auto" in note for note in json.loads(capsys.readouterr().out)["notes"])


def test_larger_pictures_are_read_where_they_are_meant(scene: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    for option, code in (("1000", 1), ("1728", 0)):
        assert main(["plan", *words(scene, "--max-pixels", option)]) == code
    said = capsys.readouterr().err
    assert "photo.png has more than 1,000 pixels" in said
    assert "--max-pixels" in said
