"""Painted films: frames, times and sound are kept, the paint moves with the scene, interrupted films are continued."""

import itertools
import json
import signal
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import SPELT_OUT, make_picture
from film_clips import list_packets, make_pan, make_still, write_clip
from torch import Tensor

import impasto
from impasto.errors import PictureError, UsageError
from impasto.films import work_folder
from impasto.films.film_job import fingerprint_frames, read_film_recipe
from impasto.films.flow import estimate_motion, warp
from impasto.films.image_sequence import open_reader
from impasto.films.reader import FilmReader
from impasto.images.read import read_image
from impasto.images.sizes import resize
from impasto.images.write import write_image

CHEAP = {"size": 64, "start_size": 64, "steps": 8, "frame_steps": 5, "optimizer": "lbfgs"}


@pytest.fixture
def inputs(tmp_path: Path, weights_file: Path) -> dict[str, Any]:
    """A painting and what is to be spelt out, and the current folder's files."""
    painting = write_image(make_picture(60, 60, 7), tmp_path / "painting.png")
    return {"paintings": painting, **SPELT_OUT, "network": str(weights_file), **CHEAP}


def paint(source: Path, output: Path, inputs: dict[str, Any], **chosen: Any) -> list[impasto.FrameStep]:
    return list(impasto.film(source, output=output, **{**inputs, **chosen}))


def read(path: Path) -> list[Tensor]:
    return [frame.image.rgb for frame in open_reader(path, 25)]


def test_frames_times_and_sound_are_kept(tmp_path: Path, inputs: dict[str, Any]) -> None:
    ticks = [0, 512, 2048, 2560, 5120, 5632]
    source = write_clip(tmp_path / "a.mp4", make_pan(6, 96, 64), ticks=ticks, sound="aac")
    steps = paint(source, tmp_path / "b.mp4", inputs)
    frames = list(FilmReader(tmp_path / "b.mp4"))
    assert [frame.time * 12800 for frame in frames] == ticks
    assert frames[0].image.rgb.shape == (1, 3, 42, 64)
    before, after = (list_packets(path, "audio") for path in (source, tmp_path / "b.mp4"))
    assert [data for _, data in after] == [data for _, data in before]
    assert {step.frame for step in steps} == {1, 2, 3, 4, 5, 6}
    assert sum(step.frame == 1 for step in steps) == 8
    assert max(sum(step.frame == frame for step in steps) for frame in range(2, 7)) <= 5
    assert sorted(it.name for it in tmp_path.iterdir()) == ["a.mp4", "b.mp4", "painting.png"]
    recipe = read_film_recipe(tmp_path / "b.mp4")
    assert recipe is not None
    assert (recipe.photo.name, recipe.settings.steps, recipe.film.frame_steps) == ("a.mp4", 8, 5)
    assert recipe.result is not None
    assert recipe.result.step == 6


def test_a_part_of_a_film_keeps_its_sound(tmp_path: Path, inputs: dict[str, Any]) -> None:
    source = write_clip(tmp_path / "a.mp4", make_pan(12), sound="aac")
    paint(source, tmp_path / "b.mp4", inputs, start="0.08", end="10f", every=2, frame_steps=1, steps=1)
    frames = list(FilmReader(tmp_path / "b.mp4"))
    assert [frame.time for frame in frames] == [0, Fraction(2, 25), Fraction(4, 25), Fraction(6, 25)]
    assert sum(frame.duration for frame in frames) == Fraction(8, 25)
    times = [float(time) for time, _ in list_packets(tmp_path / "b.mp4", "audio")]
    assert 0 <= min(times) <= 0.07
    assert max(times) < 0.33


@pytest.mark.parametrize("noise", [0.0, 0.01])
def test_a_still_clip_stays_still(tmp_path: Path, inputs: dict[str, Any], noise: float) -> None:
    source = write_clip(tmp_path / "a.mkv", make_still(6, noise=noise), codec="ffv1")
    paint(source, tmp_path / "b.mkv", inputs, codec="lossless", size=64)
    frames = read(tmp_path / "b.mkv")
    assert len(frames) == 6
    moved = [float((after - before).abs().mean()) for before, after in itertools.pairwise(frames)]
    assert max(moved) < 0.01 if noise else max(moved) == 0


@pytest.mark.slow
def test_the_paint_moves_with_the_scene(tmp_path: Path, inputs: dict[str, Any]) -> None:
    scene = make_pan(6, step=3)
    source = write_clip(tmp_path / "a.mkv", scene, codec="ffv1", pixels="bgr0")
    apart = []
    for frame in (0, 1):  # painted each on its own, from noise of its own: what there is to be held together
        write_clip(tmp_path / f"one{frame}.mkv", scene[frame : frame + 1], codec="ffv1", pixels="bgr0")
        paint(
            tmp_path / f"one{frame}.mkv", tmp_path / f"p{frame}.mkv", inputs,
            codec="lossless", steps=25, init="noise", seed=frame,
        )  # fmt: skip
        apart += read(tmp_path / f"p{frame}.mkv")
    paint(source, tmp_path / "b.mkv", inputs, codec="lossless", steps=25, init="noise")
    together = read(tmp_path / "b.mkv")
    motion = estimate_motion(scene[1], scene[0])

    def error(before: Tensor, after: Tensor) -> float:
        return float(((warp(before, motion.flow) - after).square() * motion.trust).mean())

    assert max(error(a, b) for a, b in itertools.pairwise(together)) < 0.25 * error(*apart)
    shifted = [float((a[..., 3:] - b[..., :-3]).square().mean()) for a, b in itertools.pairwise(together)]
    stayed = [float((a - b).square().mean()) for a, b in itertools.pairwise(together)]
    assert all(with_it < 0.3 * where_it_was for with_it, where_it_was in zip(shifted, stayed, strict=True))


def test_what_comes_into_view_begins_in_the_paintings_colors(tmp_path: Path, inputs: dict[str, Any]) -> None:
    painting = make_picture(60, 60, 7) * torch.tensor([0.2, 0.3, 0.9]).view(1, 3, 1, 1)
    inputs["paintings"] = write_image(painting, tmp_path / "blue.png")
    source = write_clip(tmp_path / "a.mkv", make_pan(3, step=8), codec="ffv1", pixels="bgr0")
    far = []
    for start in ("warped", "photo"):
        paint(source, tmp_path / f"{start}.mkv", inputs, codec="lossless", frame_init=start, frame_steps=1)
        new = read(tmp_path / f"{start}.mkv")[2][..., -8:].mean((0, 2, 3))
        far.append(float((new - painting.mean((0, 2, 3))).norm()))
    assert far[0] < 0.5 * far[1]


def test_the_temporal_loss_steadies_frames(tmp_path: Path, inputs: dict[str, Any]) -> None:
    scene = make_still(3, noise=0.03)
    source = write_clip(tmp_path / "a.mkv", scene, codec="ffv1", pixels="bgr0")
    moved = []
    for weight in (0, 1000):
        paint(source, tmp_path / f"{weight}.mkv", inputs, codec="lossless", temporal_weight=weight, optimizer="adam")
        frames = read(tmp_path / f"{weight}.mkv")
        moved.append(float((frames[2] - frames[1]).square().mean()))
    assert moved[1] < 0.8 * moved[0]


@pytest.mark.slow
def test_a_shot_begins_by_the_cuts_option(tmp_path: Path, inputs: dict[str, Any]) -> None:
    shots = [*make_still(4, noise=0.01), *[1 - frame for frame in make_still(4, noise=0.01, seed=2)]]
    source = write_clip(tmp_path / "a.mp4", shots)
    counts, first = {}, {}
    for cuts in ("fresh", "carry", "none"):
        steps = paint(source, tmp_path / f"{cuts}.png", inputs, cuts=cuts)
        counts[cuts] = [sum(step.frame == frame for step in steps) for frame in range(1, 9)]
        first[cuts] = read(tmp_path / f"{cuts}.png")[4]
    assert counts["fresh"][0] == counts["fresh"][4] == counts["carry"][4] == 8
    assert counts["none"][4] <= 5
    alone = write_clip(tmp_path / "shot.mp4", shots[4:])
    paint(alone, tmp_path / "shot.png", inputs)
    assert float((read(tmp_path / "shot.png")[0] - first["fresh"]).abs().mean()) < 0.02
    assert not torch.equal(first["fresh"], first["carry"])


@pytest.mark.slow
def test_more_passes_bring_frames_closer(tmp_path: Path, inputs: dict[str, Any]) -> None:
    source = write_clip(tmp_path / "a.mkv", make_pan(5, step=3), codec="ffv1", pixels="bgr0")
    errors = []
    for passes in (1, 3):
        steps = paint(source, tmp_path / f"{passes}.mkv", inputs, passes=passes, codec="lossless", temporal_weight=5)
        assert {step.pass_number for step in steps} == set(range(1, passes + 1))
        frames = read(tmp_path / f"{passes}.mkv")
        errors.append(sum(float((a[..., 3:] - b[..., :-3]).square().mean()) for a, b in itertools.pairwise(frames)))
    assert errors[1] < errors[0]
    assert [step.frame for step in steps if step.pass_number == 2] == sorted(
        (step.frame for step in steps if step.pass_number == 2), reverse=True
    )


@pytest.mark.parametrize("color", ["keep", "match", "only"])
def test_colors_do_not_pump(tmp_path: Path, inputs: dict[str, Any], color: str) -> None:
    darker = [frame * (1 - 0.5 * (index % 2)) for index, frame in enumerate(make_still(4))]  # a lamp that flickers
    source = write_clip(tmp_path / "a.mkv", darker, codec="ffv1", pixels="bgr0")
    paint(source, tmp_path / "b", inputs, color=color, cuts="none")
    frames = read(tmp_path / "b")
    assert len(frames) == 4
    means = torch.stack([frame.mean((2, 3))[0] for frame in frames])
    original = torch.stack([frame.mean((2, 3))[0] for frame in darker])
    assert float((means[0] - means[2]).abs().max()) < 0.06  # the same photo, the same colors
    assert float((means[1] - means[0]).abs().max()) < 1.2 * float((original[1] - original[0]).abs().max())


# In and out


def test_sizes_follow_fit_and_paintings_come_in_folders(tmp_path: Path, inputs: dict[str, Any]) -> None:
    source = write_clip(tmp_path / "a.mp4", make_pan(2, 96, 64))
    (tmp_path / "paintings").mkdir()
    for seed in (1, 2):
        write_image(make_picture(60, 60, seed), tmp_path / "paintings" / f"{seed}.png")
    inputs["paintings"] = tmp_path / "paintings"
    for rule, size in (("shortest", (96, 64)), ("area", (78, 52)), ("shrink", (64, 42)), ("height", (96, 64))):
        paint(source, tmp_path / f"{rule}.mkv", inputs, fit=rule, frame_steps=1, steps=1)
        assert next(iter(FilmReader(tmp_path / f"{rule}.mkv"))).image.rgb.shape[2:] == size[::-1]


@pytest.mark.parametrize("name", ["b.gif", "b.webp", "b.png", "b", "b_%02d.jpg", "b.mkv", "b.mov"])
def test_all_formats_are_written(tmp_path: Path, inputs: dict[str, Any], name: str) -> None:
    source = write_clip(tmp_path / "a.mp4", make_pan(3), sound="aac")
    run = impasto.film(source, output=tmp_path / name, **{**inputs, "frame_steps": 1, "steps": 1})
    for _ in run:
        pass
    frames = list(open_reader(tmp_path / name, 25))
    assert len(frames) == 3
    shown = frames[-1].time + frames[-1].duration - frames[0].time  # .mkv begins with its sound, which is earlier
    assert float(shown) == pytest.approx(0.12, abs=0.002)
    lost = any("left out" in note for note in run.notes)
    assert lost == (not name.endswith((".mkv", ".mov")))


def test_folders_and_transparency_are_kept(tmp_path: Path, inputs: dict[str, Any]) -> None:
    alpha = torch.ones(1, 1, 48, 64)
    alpha[..., :20] = 0
    (tmp_path / "a").mkdir()
    for index, frame in enumerate(make_pan(3)):
        write_image(frame, tmp_path / "a" / f"{index}.png", alpha=alpha if index else None)
    paint(tmp_path / "a", tmp_path / "b", inputs)
    painted = [read_image(path) for path in sorted((tmp_path / "b").iterdir())]
    assert [picture.alpha is not None for picture in painted] == [False, True, True]
    for picture in painted[1:]:
        assert picture.alpha is not None
        assert torch.equal(picture.alpha, alpha)
    with pytest.raises(UsageError, match="can't hold the transparency"):
        paint(tmp_path / "a", tmp_path / "b.mp4", inputs)


def test_a_transparent_frame_is_not_painted(tmp_path: Path, inputs: dict[str, Any]) -> None:
    (tmp_path / "a").mkdir()
    for index, frame in enumerate(make_still(3)):
        hidden = torch.zeros(1, 1, 48, 64) if index == 1 else None
        write_image(frame, tmp_path / "a" / f"{index}.png", alpha=hidden)
    paint(tmp_path / "a", tmp_path / "b", inputs)
    assert len(read(tmp_path / "b")) == 3


def test_inputs_and_existing_files_are_kept(tmp_path: Path, inputs: dict[str, Any]) -> None:
    source = write_clip(tmp_path / "a.mp4", make_pan(2))
    before = source.read_bytes()
    with pytest.raises(UsageError, match="also the input"):
        paint(source, source, inputs, overwrite=True)
    (tmp_path / "b.mp4").write_text("mine")
    with pytest.raises(PictureError, match="already exists"):
        paint(source, tmp_path / "b.mp4", inputs)
    (tmp_path / "f").mkdir()
    write_image(make_picture(8, 8), tmp_path / "f" / "frame_000002.png")
    with pytest.raises(PictureError, match=r"frame_000002\.png already exists"):
        paint(source, tmp_path / "f", inputs)
    with pytest.raises(UsageError, match="folder of the frames"):
        paint(tmp_path / "f" / "frame_%06d.png", tmp_path / "f" / "%d.png", inputs, overwrite=True)
    assert source.read_bytes() == before
    assert (tmp_path / "b.mp4").read_text() == "mine"
    assert not list(tmp_path.glob("*.film"))


@pytest.mark.parametrize(
    ("chosen", "said"),
    [
        ({"output": "b.avi"}, "does not say what to write"),
        ({"start": "soon"}, "`start` must be a time"),
        ({"every": 0}, "every"),
        ({"size": 16, "style_taps": {"relu5_1": 1.0}, "start_size": 16}, "deepest tap"),
        ({"no_such_setting": 1}, "no_such_setting"),
    ],
)
def test_wrong_options_raise(tmp_path: Path, inputs: dict[str, Any], chosen: dict[str, Any], said: str) -> None:
    source = write_clip(tmp_path / "a.mp4", make_pan(2))
    output = tmp_path / chosen.pop("output", "b.mp4")
    with pytest.raises(UsageError, match=said):
        paint(source, output, inputs, **chosen)
    assert not list(tmp_path.glob("*.film"))


# Ended and gone on with


def leave(run: impasto.FilmRun, frame: int, whole: bool) -> None:
    """Go away in the middle of a frame, writing what there is, or as if the power had failed."""
    for step in run:
        if step.frame == frame and step.step == 2:
            break
    if whole:
        assert run.write_result() == run.output
    else:
        run.close()


@pytest.mark.slow
@pytest.mark.parametrize("chosen", [{}, {"passes": 3}, {"color": "keep"}, {"optimizer": "adam"}])
def test_resuming_equals_running_through(tmp_path: Path, inputs: dict[str, Any], chosen: dict[str, Any]) -> None:
    source = write_clip(tmp_path / "a.mp4", make_pan(6), sound="aac")
    chosen = {**chosen, "codec": "lossless"}
    paint(source, tmp_path / "whole.mp4", inputs, **chosen)
    run = impasto.film(source, output=tmp_path / "b.mp4", **{**inputs, **chosen})
    leave(run, 4, whole=True)
    assert len(read(tmp_path / "b.mp4")) == 3 if not chosen.get("passes") else 6
    assert list_packets(tmp_path / "b.mp4", "audio")
    leave(impasto.resume_film(tmp_path / "b.mp4"), 5, whole=False)
    for _ in impasto.resume_film(tmp_path / "b.mp4.film"):
        pass
    for one, other in zip(read(tmp_path / "whole.mp4"), read(tmp_path / "b.mp4"), strict=True):
        assert torch.equal(one, other)
    assert list_packets(tmp_path / "whole.mp4", "audio") == list_packets(tmp_path / "b.mp4", "audio")
    assert not list(tmp_path.glob("*.film"))


def test_a_changed_or_damaged_film_is_not_resumed(tmp_path: Path, inputs: dict[str, Any]) -> None:
    source = write_clip(tmp_path / "a.mp4", make_pan(4))
    with pytest.raises(UsageError, match="no film was begun"):
        impasto.resume_film(tmp_path / "b.mp4")
    run = impasto.film(source, output=tmp_path / "b.mp4", **inputs)
    next(run)
    with pytest.raises(PictureError, match="another program is painting"):
        impasto.resume_film(tmp_path / "b.mp4")
    leave(run, 3, whole=False)
    with pytest.raises(PictureError, match="begun already: impasto resume"):
        impasto.film(source, output=tmp_path / "b.mp4", **inputs)
    (tmp_path / "b.mp4").write_text("mine")  # has come there meanwhile
    with pytest.raises(PictureError, match="already exists"):
        list(impasto.resume_film(tmp_path / "b.mp4"))
    (tmp_path / "b.mp4").unlink()
    write_clip(source, make_pan(4, seed=8))
    with pytest.raises(PictureError, match=r"a\.mp4 has changed"):
        impasto.resume_film(tmp_path / "b.mp4")
    (tmp_path / "b.mp4.film" / "film.json").write_text("{")
    with pytest.raises(PictureError, match="damaged"):
        impasto.resume_film(tmp_path / "b.mp4")
    paint(source, tmp_path / "b.mp4", inputs, overwrite=True)
    assert len(read(tmp_path / "b.mp4")) == 4


@pytest.mark.slow
@pytest.mark.parametrize("steps", [1, 5])  # into a frame: while the picture before it is written, and later
def test_killed_at_any_moment_it_becomes_the_same_film(tmp_path: Path, inputs: dict[str, Any], steps: int) -> None:
    source = write_clip(tmp_path / "a.mp4", make_pan(6))
    paint(source, tmp_path / "whole.mp4", inputs, codec="lossless", frame_tolerance=0)
    job = {**inputs, "codec": "lossless", "frame_tolerance": 0, "paintings": str(inputs["paintings"])}
    program = (
        "import json, os, signal, sys, impasto\nsource, output, job = sys.argv[1:]\n"
        "for step in impasto.film(source, output=output, **json.loads(job)):\n"
        f"    if (step.frame, step.step) == (5, {steps}): os.kill(os.getpid(), signal.SIGKILL)"
    )
    words = [sys.executable, "-c", program, str(source), str(tmp_path / "b.mp4"), json.dumps(job)]
    assert subprocess.run(words, check=False).returncode == -signal.SIGKILL
    folder = tmp_path / "b.mp4.film"
    assert len(read(folder / "so_far.mp4")) >= 2
    log = folder / "log.jsonl"
    log.write_bytes(log.read_bytes()[:-7])  # as if it had been writing then
    for _ in impasto.resume_film(tmp_path / "b.mp4"):
        pass
    for one, other in zip(read(tmp_path / "whole.mp4"), read(tmp_path / "b.mp4"), strict=True):
        assert torch.equal(one, other)


def test_a_film_continues_after_a_full_disk(
    tmp_path: Path, inputs: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write_clip(tmp_path / "a.mp4", make_pan(5))
    paint(source, tmp_path / "whole.mp4", inputs, codec="lossless")
    write = work_folder.write_image

    def fill(rgb: Tensor, path: Path, **options: Any) -> Path:
        if path.name == "000003.png":
            raise PictureError(f"{path} can't be written, no space left on device: make room")
        return write(rgb, path, **options)

    with monkeypatch.context() as full:
        full.setattr(work_folder, "write_image", fill)
        run = impasto.film(source, output=tmp_path / "b.mp4", **inputs, codec="lossless")
        with pytest.raises(PictureError, match="no space left"):
            list(run)
        assert run.painted_frames == 2
        run.close()
    for _ in impasto.resume_film(tmp_path / "b.mp4"):
        pass
    for one, other in zip(read(tmp_path / "whole.mp4"), read(tmp_path / "b.mp4"), strict=True):
        assert torch.equal(one, other)


def test_previews_are_written_on_request(tmp_path: Path, inputs: dict[str, Any]) -> None:
    source = write_clip(tmp_path / "a.mp4", make_pan(4))
    job = impasto.FilmJob(
        source=source,
        paintings=(inputs["paintings"],),
        output=tmp_path / "b.mp4",
        settings=impasto.Settings(**{name: it for name, it in inputs.items() if name in impasto.Settings.model_fields}),
        save_every=3,
    )
    run = impasto.start_film(job)
    for step in run:
        assert (tmp_path / "b.preview.png").exists() or step.frame <= 4
    assert read_image(tmp_path / "b.preview.png").rgb.shape == (1, 3, 48, 64)
    assert run.picture().size == (64, 48)


def test_the_first_frame_is_painted_like_a_picture(tmp_path: Path, inputs: dict[str, Any]) -> None:
    frame = write_image(make_pan(1)[0], tmp_path / "frame.png")
    (tmp_path / "a").mkdir()
    write_image(read_image(frame).rgb, tmp_path / "a" / "1.png")
    paint(tmp_path / "a", tmp_path / "b", inputs)
    settings = {name: it for name, it in inputs.items() if name in impasto.Settings.model_fields}
    picture = impasto.paint(frame, inputs["paintings"], **settings)
    painted = read_image(tmp_path / "b" / "frame_000001.png").rgb
    assert float((painted - resize(read_image(picture).rgb, 64, 48)).abs().max()) < 1.01 / 255


# Masks


@pytest.mark.slow
@pytest.mark.parametrize("passes", [1, 3])
def test_a_painting_follows_its_moving_mask(tmp_path: Path, inputs: dict[str, Any], passes: int) -> None:
    write_image(torch.tensor([1.0, 0, 0]).view(1, 3, 1, 1).expand(1, 3, 60, 60).contiguous(), tmp_path / "red.png")
    write_image(torch.tensor([0, 0, 1.0]).view(1, 3, 1, 1).expand(1, 3, 60, 60).contiguous(), tmp_path / "blue.png")
    masks = []
    for frame in range(4):
        mask = torch.zeros(1, 3, 48, 64)
        mask[..., 8 * frame : 8 * frame + 32] = 1
        masks.append(mask)
    (tmp_path / "masks").mkdir()
    for frame, mask in enumerate(masks):
        write_image(mask, tmp_path / "masks" / f"{frame}.png")
    source = write_clip(tmp_path / "a.mkv", make_still(4), codec="ffv1")
    chosen = {
        **inputs,
        "paintings": [tmp_path / "red.png", tmp_path / "blue.png"],
        "mask": (str(tmp_path / "masks"), "rest"),
        "content_weight": 0.001,
        "network": "slim",
        "steps": 25,
        "frame_steps": 25,
        "passes": passes,
        "frame_tolerance": 0,
        "temporal_weight": 0,
        "codec": "lossless",
    }
    list(impasto.film(source, output=tmp_path / "b.mkv", **chosen))
    for frame, mask in zip(read(tmp_path / "b.mkv"), masks, strict=True):
        redness = frame[:, 0] - frame[:, 2]
        assert float(redness[mask[:, 0] > 0.5].mean()) > float(redness[mask[:, 0] < 0.5].mean()) + 0.05


def test_preserved_areas_do_not_change(tmp_path: Path, inputs: dict[str, Any]) -> None:
    scene = make_pan(3)
    source = write_clip(tmp_path / "a.mkv", scene, codec="ffv1", pixels="bgr0")
    keep = torch.zeros(1, 3, 48, 64)
    keep[..., 32:] = 1
    write_clip(tmp_path / "keep.mkv", [keep] * 3, codec="ffv1", pixels="bgr0")
    write_image(keep, tmp_path / "keep.png")
    for mask in ("keep.mkv", "keep.png"):
        paint(source, tmp_path / f"{mask}.mkv", inputs, preserve_mask=str(tmp_path / mask), codec="lossless")
        for painted, photo in zip(read(tmp_path / f"{mask}.mkv"), scene, strict=True):
            assert float((painted - photo)[..., 34:].abs().max()) < 0.01
            assert float((painted - photo)[..., :30].abs().mean()) > 0.003


def test_the_recipe_names_masks_with_their_digests(tmp_path: Path, inputs: dict[str, Any]) -> None:
    source = write_clip(tmp_path / "a.mkv", make_still(2), codec="ffv1")
    (tmp_path / "masks").mkdir()
    for frame in range(2):
        write_image(torch.ones(1, 3, 48, 64), tmp_path / "masks" / f"{frame}.png")
    keep = torch.ones(1, 3, 48, 64)
    keep[..., :32] = 0
    write_image(keep, tmp_path / "keep.png")
    chosen = {"mask": (str(tmp_path / "masks" / "%d.png"),), "preserve_mask": str(tmp_path / "keep.png")}
    paint(source, tmp_path / "b.mkv", inputs, **chosen)
    recipe = read_film_recipe(tmp_path / "b.mkv")
    assert recipe is not None
    assert (recipe.settings.mask, recipe.settings.preserve_mask) == (("%d.png",), "keep.png")
    assert {"mask", "preserve_mask"} <= {*recipe.given}
    assert recipe.files["mask"] == (fingerprint_frames(tmp_path / "masks" / "%d.png"),)
    assert recipe.files["preserve_mask"] == (fingerprint_frames(tmp_path / "keep.png"),)


@pytest.mark.parametrize(
    ("chosen", "said"),
    [
        ({"mask": "short.mkv"}, "`mask` .* has 2 frames, but 4 frames are painted"),
        ({"mask": "wide.mkv"}, "64 x 20 pixels, but the film is 64 x 48"),
        ({"mask": "none.mkv"}, "`mask` .*none.mkv does not exist"),
        ({"regions": 3}, "`regions` can't be followed"),
    ],
)
def test_masks_that_do_not_fit_raise(tmp_path: Path, inputs: dict[str, Any], chosen: dict[str, Any], said: str) -> None:
    source = write_clip(tmp_path / "a.mp4", make_pan(4))
    write_clip(tmp_path / "short.mkv", make_still(2))
    write_clip(tmp_path / "wide.mkv", make_still(4, 64, 20))
    if "mask" in chosen:
        chosen = {"mask": (str(tmp_path / chosen["mask"]),)}
    with pytest.raises((UsageError, PictureError), match=said):
        paint(source, tmp_path / "b.mp4", inputs, **chosen)
    assert not list(tmp_path.glob("*.film"))
