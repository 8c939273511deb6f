"""Flow: exact on a known motion, trusted where it is right; warped pictures stay crisp."""

import math

import pytest
import torch
from conftest import make_picture
from film_clips import make_pan

from impasto.films.flow import Motion, estimate_motion, flow_confidence, restore_detail, warp


def test_a_warp_by_whole_pixels_is_exact() -> None:
    picture = make_picture(40, 30)
    flow = torch.tensor([3.0, -2.0]).view(1, 2, 1, 1).expand(1, 2, 30, 40)
    warped = warp(picture, flow)
    torch.testing.assert_close(warped[..., 2:, :-3], picture[..., :-2, 3:], rtol=0, atol=1e-6)


def test_a_warp_between_pixels_follows_a_wave() -> None:
    across = torch.arange(64.0)
    wave = (0.5 + 0.4 * torch.sin(across * 2 * math.pi / 8)).expand(1, 3, 20, 64)
    shifted = 0.5 + 0.4 * torch.sin((across + 0.5) * 2 * math.pi / 8)
    flow = torch.tensor([0.5, 0.0]).view(1, 2, 1, 1).expand(1, 2, 20, 64)
    warped = warp(wave, flow)[0, 0, 10]
    assert float((warped - shifted)[8:-8].abs().max()) < 0.01


@pytest.mark.parametrize("step", [1, 3])
def test_a_known_motion_is_found_and_trusted(step: int) -> None:
    frames = make_pan(2, 96, 64, step)
    motion = estimate_motion(frames[1], frames[0])
    inner = motion.flow[..., 12:-12, 12:-12]
    assert float((inner[:, 0] - step).abs().mean()) < 0.1
    assert float(inner[:, 1].abs().mean()) < 0.1
    assert float(motion.trust[..., 12:-12, 12:-12].mean()) > 0.9
    carried = motion.carry(frames[0])
    assert float((carried - frames[1])[..., 12:-12, 12:-12].square().mean()) < 2e-4


def test_equal_frames_have_no_motion() -> None:
    frame = make_picture(64, 48)
    motion = estimate_motion(frame, frame.clone())
    assert not motion.flow.any()
    assert torch.equal(motion.trust, torch.ones(1, 1, 48, 64))
    assert torch.equal(motion.carry(frame), frame)


def test_uncovered_areas_are_not_trusted() -> None:
    scene, patch = make_picture(128, 96, 1), make_picture(40, 40, 2).flip(1)
    here, there = scene.clone(), scene.clone()
    here[..., 28:68, 60:100], there[..., 28:68, 44:84] = patch, patch
    motion = estimate_motion(here, there)
    assert float(motion.trust.min()) >= 0
    assert float(motion.trust.max()) <= 1
    uncovered = motion.trust[..., 32:64, 46:58]  # scene that the patch has left
    assert float(uncovered.mean()) < 0.5
    assert float(motion.trust[..., :16, :].mean()) > 0.9
    assert float(motion.trust[..., 38:58, 72:90].mean()) > 0.8
    assert float(motion.flow[:, 0, 38:58, 72:90].mean()) == pytest.approx(-16, abs=1)


def test_trust_falls_softly() -> None:
    flow = torch.zeros(1, 2, 20, 30)
    back = torch.zeros(1, 2, 20, 30)
    back[:, 0] = torch.linspace(0, 2, 30)
    trust = flow_confidence(flow, back)
    assert ((trust > 0.1) & (trust < 0.9)).any()
    assert (trust.diff(dim=3) <= 1e-6).all()


def test_flow_out_of_the_frame_is_not_trusted() -> None:
    flow = torch.zeros(1, 2, 20, 30)
    flow[:, 0] = 5
    trust = flow_confidence(flow, -flow)
    assert float(trust[..., -4:].max()) == 0
    assert float(trust[..., :24].min()) > 0.99


def test_new_areas_at_the_border_are_not_carried() -> None:
    frames = make_pan(2, 96, 64, 3)
    motion = estimate_motion(frames[1], frames[0])
    assert float(torch.maximum(motion.trust, motion.likeness)[..., -2:].max()) < 0.05
    assert float(motion.likeness[..., :-6].mean()) > 0.9


def test_carried_strokes_keep_their_energy() -> None:
    chance = torch.Generator().manual_seed(0)
    picture = (0.5 + 0.1 * torch.randn(1, 3, 64, 64, generator=chance)).clamp(0, 1)
    flow = torch.full((1, 2, 64, 64), 0.5)
    blurred = warp(picture, flow)
    restored = Motion(flow, torch.ones(1, 1, 64, 64), torch.ones(1, 1, 64, 64)).carry(picture)
    assert float(blurred.var()) < 0.8 * float(picture.var())
    assert float(restored.var()) > 0.85 * float(picture.var())
    assert float(restore_detail(picture, picture).sub(picture).abs().max()) < 1e-5


def test_tiny_frames_have_a_motion() -> None:
    motion = estimate_motion(make_picture(7, 5, 1), make_picture(7, 5, 2))
    assert motion.flow.shape == (1, 2, 5, 7)
    assert torch.isfinite(motion.flow).all()
