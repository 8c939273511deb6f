"""Films in one pass: nothing flickers of itself, shots have maps of their own, and an interrupt changes nothing."""

import itertools
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import make_picture
from film_clips import make_pan, make_still, write_clip
from torch import Tensor

import impasto
from impasto.films import sequence
from impasto.films.flow import estimate_motion
from impasto.films.image_sequence import open_reader
from impasto.images.write import write_image

ONE_PASS = {"preset": "instant", "size": 64}


@pytest.fixture
def painting(tmp_path: Path) -> Path:
    return write_image(make_picture(60, 60, 7), tmp_path / "painting.png")


def paint(source: Path, output: Path, painting: Path, **chosen: Any) -> list[Tensor]:
    steps = list(impasto.film(source, painting, output=output, **{**ONE_PASS, **chosen}))
    assert [step.frame for step in steps] == sorted({step.frame for step in steps})
    return read(output)


def read(path: Path) -> list[Tensor]:
    return [frame.image.rgb for frame in open_reader(path, 25)]


def test_a_still_stays_still_and_is_the_picture(tmp_path: Path, painting: Path) -> None:
    source = write_clip(tmp_path / "a.mkv", make_still(4), codec="ffv1", pixels="bgr0")
    frames = paint(source, tmp_path / "b.mkv", painting, codec="lossless")
    assert all(torch.equal(frame, frames[0]) for frame in frames)
    photo = write_image(read(source)[0], tmp_path / "photo.png")
    picture = impasto.paint_fast(photo, painting, size=64)
    assert (255 * frames[0][0]).round().byte().permute(1, 2, 0).numpy().tobytes() == picture.tobytes()


def test_frames_of_a_shot_have_the_same_maps(tmp_path: Path, painting: Path) -> None:
    """What stands still, far from what changes, is painted alike, where single pictures would differ."""
    frames = make_still(3, 320, 48)
    for number, frame in enumerate(frames):
        frame[..., 290:] = 0.4 * number  # the whole has other moments in each frame
    source = write_clip(tmp_path / "a.mkv", frames, codec="ffv1", pixels="bgr0")
    chosen = {"size": 320, "codec": "lossless", "cuts": "none"}
    together = paint(source, tmp_path / "b.mkv", painting, **chosen)
    first, last = (
        paint(source, tmp_path / f"{at}.mkv", painting, **chosen, start=f"{at}f", end=f"{at}f")[0] for at in (1, 3)
    )
    still, changed = (float((b - a)[..., :24].abs().mean()) for a, b in ((together[0], together[2]), (first, last)))
    assert still < 0.1 * changed


def test_the_frame_painted_last_is_shown(tmp_path: Path, painting: Path) -> None:
    source = write_clip(tmp_path / "a.mkv", make_still(2), codec="ffv1", pixels="bgr0")
    run = impasto.film(source, painting, output=tmp_path / "b.mkv", codec="lossless", **ONE_PASS)
    next(run)
    shown = run.picture()
    run.close()
    assert shown.size == (64, 48)


def test_a_cut_begins_a_shot(tmp_path: Path, painting: Path) -> None:
    clips = [*make_pan(3), *make_pan(3, seed=9)]
    clips[3:] = [1 - 0.5 * frame for frame in clips[3:]]
    source = write_clip(tmp_path / "a.mkv", clips, codec="ffv1", pixels="bgr0")
    whole = paint(source, tmp_path / "b.mkv", painting, codec="lossless")
    second = paint(source, tmp_path / "c.mkv", painting, codec="lossless", start="4f")
    assert all(torch.equal(one, other) for one, other in zip(whole[3:], second, strict=True))


def test_resuming_equals_running_through(tmp_path: Path, painting: Path) -> None:
    source = write_clip(tmp_path / "a.mkv", make_pan(5), codec="ffv1", pixels="bgr0")
    whole = paint(source, tmp_path / "b.mkv", painting, codec="lossless")
    run = impasto.film(source, painting, output=tmp_path / "c.mkv", codec="lossless", **ONE_PASS)
    list(itertools.islice(run, 3))
    run.close()
    for _ in impasto.resume_film(tmp_path / "c.mkv"):
        pass
    assert all(torch.equal(one, other) for one, other in zip(whole, read(tmp_path / "c.mkv"), strict=True))


def test_frames_painted_at_once_are_those_one_by_one(
    tmp_path: Path, painting: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    request.addfinalizer(partial(torch.set_num_threads, torch.get_num_threads()))
    torch.set_num_threads(3)
    source = write_clip(tmp_path / "a.mkv", make_pan(7), codec="ffv1", pixels="bgr0")
    at_once = paint(source, tmp_path / "b.mkv", painting, codec="lossless")
    assert torch.get_num_threads() == 3
    monkeypatch.setattr(sequence, "MAX_FRAMES_AT_ONCE", 1)
    alone = paint(source, tmp_path / "c.mkv", painting, codec="lossless")
    assert len(at_once) == 7
    assert max(float((one - other).abs().max()) for one, other in zip(at_once, alone, strict=True)) < 2.5 / 255


def test_a_film_that_fades_in_has_its_shots_maps(tmp_path: Path, painting: Path) -> None:
    last = make_still(1, 96, 72)[0]
    source = write_clip(tmp_path / "a.mkv", [last * part / 6 for part in range(7)], codec="ffv1", pixels="bgr0")
    chosen = {"size": 96, "codec": "lossless", "cuts": "none"}
    together = paint(source, tmp_path / "b.mkv", painting, **chosen)
    alone = paint(source, tmp_path / "c.mkv", painting, **chosen, start="6f")
    assert float((together[5] - alone[0]).abs().mean()) < 0.05


def test_options_of_motion_are_left_out_of_one_pass_with_a_note(tmp_path: Path, painting: Path) -> None:
    source = write_clip(tmp_path / "a.mkv", make_pan(2), codec="ffv1", pixels="bgr0")
    chosen = {**ONE_PASS, "style_weight": 3, "passes": 3, "codec": "lossless"}
    run = impasto.film(source, painting, output=tmp_path / "b.mkv", **chosen)
    said = " ".join(run.notes)
    assert all(f"One pass has no use for `{name}`: left out." in said for name in ("passes", "style_weight"))
    assert len(list(run)) == 2


@pytest.mark.parametrize("make", [make_still, make_pan])
def test_a_camera_s_noise_does_not_flicker(tmp_path: Path, painting: Path, make: Any) -> None:
    """The last picture is held, carried along the motion; without it, strokes change from frame to frame."""
    chance = torch.Generator().manual_seed(0)
    frames = [frame + 0.02 * torch.randn(frame.shape, generator=chance) for frame in make(8, 96, 72)]
    source = write_clip(tmp_path / "a.mkv", [frame.clamp(0, 1) for frame in frames], codec="ffv1", pixels="bgr0")
    held, free = (
        paint(source, tmp_path / f"{weight}.mkv", painting, size=96, codec="lossless", temporal_weight=weight)
        for weight in (20, 0)
    )
    motion = estimate_motion(frames[-1], frames[-2])
    flicker, alone = (float(((each[-1] - motion.carry(each[-2])) * motion.trust).abs().mean()) for each in (held, free))
    assert flicker < 0.5 * alone


def test_what_changes_is_not_held(tmp_path: Path, painting: Path) -> None:
    frames = make_still(3, 96, 72)
    frames[2] = frames[2].clone()
    frames[2][..., 20:50, 30:60] = 1 - frames[2][..., 20:50, 30:60]
    source = write_clip(tmp_path / "a.mkv", frames, codec="ffv1", pixels="bgr0")
    chosen = {"size": 96, "codec": "lossless", "cuts": "none"}
    held, free = (
        paint(source, tmp_path / f"{weight}.mkv", painting, **chosen, temporal_weight=weight) for weight in (20, 0)
    )
    changed = (held[2] - free[2])[..., 24:46, 34:56].abs().mean()
    assert float(changed) < 0.25 * float((held[2] - held[1])[..., 24:46, 34:56].abs().mean())
