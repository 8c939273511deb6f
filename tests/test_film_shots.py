"""A film whose shots are painted in parallel equals the film painted shot by shot."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import torch
from batch_folder import BatchFolder, find_workers, needs_proc, wait_for
from conftest import SPELT_OUT, make_picture
from film_clips import make_pan, write_clip

import impasto
from impasto.cli.app import main
from impasto.images.read import read_image
from impasto.images.write import write_image
from impasto.workers.messages import Event, Task, TaskFailed
from impasto.workers.worker import Worker

SHOTS, FRAMES = 4, 4
CHEAP = {"size": 48, "start_size": 48, "steps": 12, "optimizer": "lbfgs"}


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four unrelated scenes of four frames each, and a painting next to the clip."""
    folder = tmp_path_factory.mktemp("clip")
    write_image(make_picture(60, 60, 7), folder / "painting.png")
    scenes = [
        frame * 0.5 + 0.5 * (seed % 2) for seed in range(SHOTS) for frame in make_pan(FRAMES, 64, 48, seed=10 + seed)
    ]
    return write_clip(folder / "film.mp4", scenes)


def options(weights_file: Path, **chosen: object) -> list[str]:
    return [*BatchFolder(Path(), weights_file).options(**{**CHEAP, **chosen}), "--frame-steps", "6"]


def read(folder: Path) -> torch.Tensor:
    names = sorted(folder.glob("*.png"))
    assert len(names) == SHOTS * FRAMES
    return torch.cat([read_image(name).rgb for name in names])


@pytest.fixture(scope="module")
def sequential(clip: Path, weights_file: Path) -> torch.Tensor:
    """The frames of the film painted shot by shot."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    settings = {**SPELT_OUT, **CHEAP, "network": str(weights_file), "frame_steps": 6}
    painting = clip.with_name("painting.png")
    assert len({step.frame for step in impasto.film(clip, painting, output=clip.with_name("alone"), **settings)}) == 16
    torch.set_num_threads(threads)
    return read(clip.with_name("alone"))


@pytest.mark.slow
def test_shots_in_parallel_equal_the_film(clip, weights_file, sequential, tmp_path, capsys):
    output = tmp_path / "painted"
    words = ["film", str(clip), str(clip.with_name("painting.png")), "-o", str(output), "--threads", "1"]
    assert main([*words, "--workers", "2", *options(weights_file)]) == 0
    assert torch.equal(read(output), sequential)
    said = capsys.readouterr().err
    for first in (1, 5, 9, 13):
        assert f"frames {first} to {first + 3}: " in said
    assert not output.with_name("painted.film").exists()


@needs_proc
@pytest.mark.slow
def test_the_film_continues_after_kills(clip, weights_file, sequential, tmp_path):
    output, folder = tmp_path / "painted", tmp_path / "painted.film"
    words = [
        "film",
        str(clip),
        str(clip.with_name("painting.png")),
        "-o",
        str(output),
        "--threads",
        "1",
        "--workers",
        "2",
    ]
    command = [sys.executable, "-m", "impasto", *words, *options(weights_file)]
    driver = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    wait_for(lambda: [*folder.glob("pass1/*.png")])
    os.kill(find_workers(driver.pid)[0], signal.SIGKILL)
    wait_for(lambda: len([*folder.glob("pass1/*.png")]) >= 6)
    driver.kill()
    driver.communicate(timeout=60)
    if folder.exists():  # and the film was not finished just before
        logs = [log.read_bytes() for log in folder.glob("shot*.jsonl")]
        done = [json.loads(line) for log in logs for line in log[: log.rfind(b"\n") + 1].splitlines()]
        assert len({line["frame"] for line in done}) == len(done)  # none was painted twice
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        assert main(["resume", str(folder)]) == 0
        torch.set_num_threads(threads)
    assert torch.equal(read(output), sequential)


def run_first_task(tasks: Sequence[Task], *_: object) -> Iterator[Event]:
    for task in tasks:
        if task.number:
            yield TaskFailed(task.number, reason="the disk is full")
        else:
            yield from Worker().paint(task, lambda: False)


@pytest.mark.slow
def test_film_so_far_is_written_if_a_shot_fails(clip, weights_file, sequential, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("impasto.workers.film_shots.run_tasks", run_first_task)
    words = [
        "film",
        str(clip),
        str(clip.with_name("painting.png")),
        "-o",
        "painted",
        "--workers",
        "1",
        "--threads",
        "1",
    ]
    assert main([*words, *options(weights_file)]) == 1
    out, err = capsys.readouterr()
    assert out == "painted: unfinished, 4 of 16 frames\n"
    assert "impasto: impasto resume painted.film continues it\n" in err
    assert err.endswith(
        "frames 5 to 8: the disk is full\nframes 9 to 12: the disk is full\nframes 13 to 16: the disk is full\n"
    )
    frames = torch.cat([read_image(name).rgb for name in sorted((tmp_path / "painted").glob("*.png"))])
    assert torch.equal(frames, sequential[:FRAMES])


@pytest.mark.parametrize("option", [["--threads", "2"], ["--memory", "2GiB"]])
def test_shares_without_workers_are_refused(option: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["film", "film.mp4", "painting.png", *option]) == 2
    assert f"{option[0]} is for shots that are painted at the same time: give --workers" in capsys.readouterr().err
