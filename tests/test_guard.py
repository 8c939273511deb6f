"""`guard`: faces and what a mask says stay readable, in tiles too, and nowhere where nobody asked for it."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from conftest import make_network, make_picture, make_settings
from film_clips import make_still, write_clip
from skimage import data
from torch import Tensor

import impasto
from impasto.cli.app import main
from impasto.errors import UsageError
from impasto.films.prefetch import prefetch_frames
from impasto.images.guard import FACES_NOTE, find_faces, find_guard_map, load_detector
from impasto.images.image import Image
from impasto.images.read import read_image
from impasto.images.sizes import resize_clamped
from impasto.images.write import write_image
from impasto.painting.objective import MAX_GUARD, Objective
from impasto.painting.style_regions import StyleRegion
from impasto.painting.styles import StyleInput, capture_style
from impasto.painting.tiled_objective import TiledObjective, cut_tiles_for
from impasto.settings.model import Settings

DOUBLE = torch.float64
QUICK = {"network": "slim", "size": 48, "start_size": 48, "steps": 2, "views": "1"}


def portrait() -> Image:
    """A photo of 512 pixels with one face, near the middle of its upper half."""
    return Image(torch.from_numpy(data.astronaut().copy()).permute(2, 0, 1)[None].float() / 255)


def test_a_face_is_found_where_it_is() -> None:
    faces = find_faces(portrait())
    assert faces is not None
    height, width = faces.shape[2:]
    assert float(faces[..., round(0.25 * height), round(0.44 * width)]) == 1
    assert float(faces[..., -height // 3 :, :].max()) == 0
    assert 0.01 < float(faces.mean()) < 0.2


@pytest.mark.parametrize(
    "rgb",
    [
        torch.full((1, 3, 300, 200), 0.5),
        make_picture(120, 90),
        torch.zeros(1, 3, 16, 900),
        *(torch.zeros(1, 3, *sides) for sides in [(1, 1), (1, 40), (40, 1)]),
    ],
)
def test_no_face_is_found_where_there_is_none(rgb: Tensor) -> None:
    assert find_faces(Image(rgb)) is None


def test_a_found_face_is_said() -> None:
    guard_map, notes = find_guard_map(Settings(), portrait())
    assert guard_map is not None
    assert notes == ["Faces were found, and are kept readable: `guard` 0 paints them as all the rest."]
    assert find_guard_map(Settings(guard=0), portrait()) == (None, [])


def test_missing_dlib_is_said_and_refused_only_where_another_guard_is_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("impasto.images.guard.find_spec", lambda _name: None)
    monkeypatch.setitem(sys.modules, "dlib", None)
    load_detector.cache_clear()
    for settings in (Settings(), Settings(guard=0.5)):  # a recipe has all settings, as if given
        guard_map, (note,) = find_guard_map(settings, portrait())
        assert guard_map is None
        assert note.endswith("is not installed (pip install '.[faces]' in a clone).")
    with pytest.raises(UsageError, match=r"`guard`: dlib.* not installed: pip install '\.\[faces\]' in a clone"):
        find_guard_map(Settings(guard=0.7), portrait())


def measure(photo: Image, canvas: Tensor, settings: Settings, tile_size: int = 0) -> tuple[dict[str, float], Tensor]:
    network, painting = make_network(DOUBLE), StyleInput(make_picture(56, 48, 3, DOUBLE))
    regions = [StyleRegion(capture_style(network, painting, [*settings.style_taps, *settings.content_taps]))]
    tiles = cut_tiles_for(network, settings, photo.width, photo.height, tile_size) if tile_size else []
    made = (
        TiledObjective(network, settings, photo, regions, tiles)
        if tiles
        else Objective(network, settings, photo, regions)
    )
    canvas = canvas.clone().requires_grad_()
    losses = made.backward(canvas)
    assert canvas.grad is not None
    return losses, canvas.grad


@pytest.mark.parametrize("has_alpha", [False, True])
def test_guarded_tiles_equal_the_whole(*, has_alpha: bool) -> None:
    alpha = make_picture(77, 61, 5, DOUBLE)[:, :1] if has_alpha else None
    photo = Image(make_picture(77, 61, 1, DOUBLE), alpha, guard_map=make_picture(19, 15, 4, DOUBLE)[:, :1])
    canvas, settings = make_picture(77, 61, 2, DOUBLE), make_settings(guard=0.7, content_weight=1.0)
    (whole, gradient), (tiled, pieced) = measure(photo, canvas, settings), measure(photo, canvas, settings, 32)
    assert tiled == pytest.approx(whole, rel=1e-12)
    torch.testing.assert_close(pieced, gradient, rtol=1e-9, atol=1e-14)


def test_content_counts_more_where_guarded() -> None:
    rgb, canvas = make_picture(40, 40, 1, DOUBLE), make_picture(40, 40, 2, DOUBLE)
    settings = make_settings(guard=0.5, content_weight=1.0)
    plain, _ = measure(Image(rgb), canvas, settings)
    everywhere, _ = measure(Image(rgb, guard_map=torch.ones(1, 1, 8, 8, dtype=DOUBLE)), canvas, settings)
    assert everywhere["content"] == pytest.approx((1 + MAX_GUARD / 2) * plain["content"])
    assert everywhere["style"] == plain["style"]
    off, _ = measure(Image(rgb, guard_map=torch.ones(1, 1, 8, 8)), canvas, make_settings(guard=0.0, content_weight=1.0))
    assert off == plain


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_image(make_picture(64, 48), "photo.png")
    write_image(make_picture(64, 48, 2), "painting.png")
    left = torch.zeros(1, 3, 48, 64)
    left[..., :32] = 1
    write_image(left, "left.png")
    return tmp_path


def test_mask_keeps_its_side_nearer_to_the_photo(folder: Path) -> None:
    assert folder
    photo = read_image("photo.png").resized(64, 48).rgb
    chosen = {**QUICK, "size": 64, "start_size": 64, "init": "noise", "steps": 20, "content_weight": 0.3}

    def far(**guard: object) -> tuple[float, float]:
        run = impasto.start("photo.png", "painting.png", **chosen, **guard)
        for _ in run:
            pass
        distance = (run.painter.picture() - photo).square().mean((0, 1, 2))
        return float(distance[:32].mean()), float(distance[32:].mean())

    plain, guarded = far(guard=0), far(guard=1, guard_mask="left.png")
    assert guarded[0] / guarded[1] < 0.95 * plain[0] / plain[1]


def test_wrong_guards_are_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert folder
    for words, said in (
        (["--guard", "2"], "--guard takes a number, 0 to 1; not '2'"),
        (["--guard-mask", "gone.png"], "--guard-mask gone.png does not exist"),
        (["--guard-mask", "painting.png"], "--guard-mask painting.png has colors"),
        (["--guard-mask", "left.png", "--guard", "0"], "--guard-mask has no effect with --guard 0"),
    ):
        assert main(["photo.png", "painting.png", *words]) in (1, 2)
        assert said in capsys.readouterr().err
    with pytest.raises(UsageError, match="`guard` has no effect without a photo"):
        impasto.texture("painting.png", guard=0.5)


def test_regions_writes_the_faces_to_edit(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_image(portrait().rgb, "portrait.png")
    assert main(["regions", "portrait.png", "painting.png", "-o", "found", "-n", "2"]) == 0
    assert "portrait_guard.png: the faces that are kept readable" in capsys.readouterr().out
    assert read_image(folder / "found" / "portrait_guard.png").width == 512


def test_a_face_that_is_missed_in_a_frame_is_carried_there_from_the_last() -> None:
    scene, missed = make_picture(64, 48), 1
    found = torch.zeros(1, 1, 24, 32)
    found[..., 8:16, 4:12] = 1
    frames = [replace(Image(scene), guard_map=None if number == missed else found) for number in range(3)]
    neighbors = {0: [], 1: [0], 2: []}  # 2 begins a shot
    maps = [
        frame.photo.guard_map for frame in prefetch_frames(frames.__getitem__, range(3), neighbors, carries_guard=True)
    ]
    assert maps[1] is not None
    torch.testing.assert_close(maps[1], resize_clamped(found, 64, 48))
    assert maps[2] is found


def test_each_frame_of_a_film_keeps_its_faces(tmp_path: Path) -> None:
    photo = portrait().resized(256, 256).rgb
    frames = [photo[..., :128, shift : shift + 160] for shift in (0, 20, 40)]
    write_clip(tmp_path / "film.mp4", frames)
    write_image(make_picture(64, 48, 2), tmp_path / "painting.png")

    def paint(**guard: object) -> tuple[list[str], list[Tensor]]:
        output = tmp_path / "frames" / f"{guard['guard']}_%d.png"
        run = impasto.film(
            tmp_path / "film.mp4",
            tmp_path / "painting.png",
            output=output,
            size=160,
            preset="instant",
            **guard,
        )
        for _ in run:
            pass
        return run.notes, [read_image(output.parent / (output.name % number)).rgb for number in (1, 2, 3)]

    (said, kept), (unsaid, lost) = paint(guard=1), paint(guard=0)
    assert FACES_NOTE in said
    assert FACES_NOTE not in unsaid
    for frame, ours, other in zip(frames, kept, lost, strict=True):
        faces = find_faces(Image(frame))
        assert faces is not None
        seen = (resize_clamped(faces, 160, 128) > 0).float()
        far = [float(((picture - frame).square() * seen).sum()) for picture in (ours, other)]
        assert far[0] < 0.8 * far[1]


def test_a_moving_guard_mask_counts_in_frames_that_repeat(folder: Path) -> None:
    write_clip(folder / "film.mkv", make_still(2), codec="ffv1", pixels="bgr0")
    for number in (1, 2):
        half = torch.zeros(1, 3, 48, 64)
        half[..., 32 * (number - 1) : 32 * number] = 1
        write_image(half, f"mask_{number}.png")
    run = impasto.film(
        "film.mkv", "painting.png", output="f/%d.png", size=64, preset="instant", guard=1, guard_mask="mask_%d.png"
    )
    for _ in run:
        pass
    photo = read_image("photo.png").rgb
    left, right = (
        [float((read_image(f"f/{number}.png").rgb - photo).square()[..., side].mean()) for number in (1, 2)]
        for side in (slice(32), slice(32, None))
    )
    assert left[0] < 0.8 * left[1]
    assert right[1] < 0.8 * right[0]


def test_a_film_asks_for_dlib_before_it_begins(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_clip(folder / "film.mp4", make_still(2))
    monkeypatch.setattr("impasto.images.guard.find_spec", lambda _name: None)
    monkeypatch.setitem(sys.modules, "dlib", None)
    load_detector.cache_clear()
    with pytest.raises(UsageError, match="not installed"):
        impasto.film("film.mp4", "painting.png", output="painted.mp4", guard=0.7, size=64)
    assert not list(folder.glob("*.impasto*"))
    assert (
        "Faces, if there are any" in impasto.film("film.mp4", "painting.png", output="painted.mp4", size=64).notes[-1]
    )


def test_a_guard_mask_is_for_all_frames_of_a_film(folder: Path) -> None:
    write_clip(folder / "film.mp4", make_still(2))

    def far(**guard: object) -> float:
        run = impasto.film("film.mp4", "painting.png", output="frames/%d.png", overwrite=True, size=64, **guard)
        for _ in run:
            pass
        frame = read_image("photo.png").rgb
        return float((read_image("frames/2.png").rgb - frame).square()[..., :32].mean())

    assert far(guard=1, guard_mask="left.png", frame_steps=6) < 0.97 * far(guard=0, frame_steps=6)
