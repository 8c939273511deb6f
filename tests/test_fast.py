"""The fast path: exact in tiles, true to its masks and strength, and a command, a preset and a function."""

from pathlib import Path

import pytest
import torch
from conftest import make_picture
from torch import Tensor

import impasto
from impasto.cli.app import main
from impasto.errors import UsageError
from impasto.fast import transfer, transport
from impasto.fast.canvas import FastPainter, load_fast_network, paint_fast_canvas
from impasto.fast.decoder import LEVELS, load_decoder
from impasto.fast.transfer import StylePart, list_targets, measure_levels, transfer_style
from impasto.fast.transport import RIDGE, StyleTarget, add_ridge, carry, find_map, measure_features
from impasto.images.collection import find_painting
from impasto.images.image import Image
from impasto.images.read import read_image
from impasto.images.write import to_pil, write_image
from impasto.painting.prepare import prepare
from impasto.painting.styles import Style, StyleInput, blend_styles
from impasto.settings.model import Settings
from impasto.settings.parsing import list_unused_in_one_pass

DOUBLE, CPU = torch.float64, torch.device("cpu")
NETWORK, DECODER = load_fast_network(CPU, DOUBLE), load_decoder(CPU, DOUBLE)
FINEST = LEVELS[-1].name
INSTANT = Settings(preset="instant", size=64)
PHOTO = make_picture(150, 131).to(DOUBLE)
PAINTING, OTHER = (StyleInput(make_picture(120, 96, seed).to(DOUBLE).flip(1)) for seed in (7, 8))


def measure(painting: StyleInput) -> Style:
    return measure_levels(NETWORK, painting)


def make_part(style: Style, mask: Tensor | None = None) -> StylePart:
    return StylePart(list_targets(style), mask)


def paint(*parts: StylePart, strength: float = 1.0, photo: Tensor = PHOTO) -> Tensor:
    return transfer_style(NETWORK, DECODER, photo, parts, strength)


def test_the_map_carries_features_to_the_paintings_moments() -> None:
    torch.manual_seed(0)
    features = torch.randn(1, 6, 30, 40, dtype=DOUBLE).relu().contiguous(memory_format=torch.channels_last)
    style = StyleTarget(measure_features(torch.randn(1, 6, 20, 20, dtype=DOUBLE).abs() * 2))
    matrix, offset, amount = find_map(measure_features(features), style, 1.0)
    carry(features, [(None, matrix, offset)])
    carried = measure_features(features)
    torch.testing.assert_close(carried.mean, style.mean)
    gap = (carried.covariance - style.moments.covariance).abs().max() / style.moments.covariance.abs().max()
    assert gap < 10 * RIDGE
    assert amount > 0.5


def test_the_map_to_its_own_moments_changes_nothing() -> None:
    moments = measure_features(PHOTO)
    matrix, offset, amount = find_map(moments, StyleTarget(moments), 1.0)
    torch.testing.assert_close(matrix, torch.eye(3, dtype=DOUBLE), atol=1e-6, rtol=0)
    assert offset.abs().max() < 1e-6
    assert amount < 1e-6


def test_the_map_is_the_optimal_one() -> None:
    """It is symmetric and positive, which of all maps to given moments only the optimal one is."""
    style = StyleTarget(measure_features(PAINTING.rgb))
    content = measure_features(PHOTO)
    matrix, _, _ = find_map(content, style, 1.0)
    torch.testing.assert_close(matrix, matrix.T)
    assert torch.linalg.eigvalsh(matrix).min() > 0
    wanted = add_ridge(style.moments.covariance, style.ridge)
    torch.testing.assert_close(matrix @ add_ridge(content.covariance, style.ridge) @ matrix, wanted)


@pytest.mark.parametrize("has_masks", [False, True])
def test_tiles_are_the_whole(monkeypatch: pytest.MonkeyPatch, has_masks: bool) -> None:
    photo, paintings = PHOTO[..., :75, :110], [StyleInput(it.rgb[..., :75, :75]) for it in (PAINTING, OTHER)]
    left = torch.zeros_like(photo[:, :1])
    left[..., :50] = 1
    parts = [make_part(measure(paintings[0]), left if has_masks else None)]
    parts += [make_part(measure(paintings[1]), 1 - left)] if has_masks else []
    whole = paint(*parts, photo=photo)
    monkeypatch.setattr(transfer, "TILE_SIDE", 48)
    assert float((paint(*parts, photo=photo) - whole).abs().max()) < 1e-10
    for painting, part in zip(paintings, parts, strict=False):
        for name, tiled in measure(painting).items():
            torch.testing.assert_close(tiled.outer, part.targets[name].moments.outer, rtol=1e-10, atol=1e-12)


def test_a_mask_of_all_is_no_mask_and_nothing_is_the_photo() -> None:
    style = measure(PAINTING)
    everywhere = torch.ones_like(PHOTO[:, :1])
    assert float((paint(make_part(style, everywhere)) - paint(make_part(style))).abs().max()) < 1e-8
    unchanged = paint(make_part(style), strength=0.0)
    assert float((paint(make_part(style, 0.0 * everywhere)) - unchanged).abs().max()) < 1e-8


def psnr(rgb: Tensor, other: Tensor) -> float:
    return float(-10 * (rgb - other).square().mean().log10())


def read_painting(name: str) -> Tensor:
    file = find_painting(name)
    assert file is not None
    return read_image(file).resized(160, 128).rgb.to(DOUBLE)


def test_strength_goes_from_the_photo_to_the_style() -> None:
    photo, painting = (read_painting(name) for name in ("the_bedroom", "starry_night"))
    levels = measure(StyleInput(painting))
    style, target = make_part(levels), levels[FINEST]
    pictures = [paint(style, strength=strength, photo=photo) for strength in (0.0, 0.25, 0.5, 0.75, 1.0)]
    assert psnr(pictures[0], photo) > 24
    changes = [float((picture - pictures[0]).square().mean()) for picture in pictures]
    assert changes == sorted(changes)
    assert len(set(changes)) == len(changes)
    gaps = [float((measure(StyleInput(picture))[FINEST].mean - target.mean).norm()) for picture in pictures]
    assert gaps[-1] < 0.5 * gaps[0]


def test_a_blend_with_all_weight_on_one_painting_is_that_painting() -> None:
    one, other = measure(PAINTING), measure(OTHER)
    blended = blend_styles([one, other], [1.0, 0.0])
    assert float((paint(make_part(blended)) - paint(make_part(one))).abs().max()) == 0
    half = blend_styles([one, other], [3.0, 3.0])[FINEST]
    torch.testing.assert_close(half.total, (one[FINEST].total + other[FINEST].total) / 2)


def test_what_a_paintings_mask_leaves_out_does_not_count() -> None:
    torn = PAINTING.rgb.clone()
    torn[..., 64:] = 0.9
    mask = torch.zeros_like(torn[:, :1])
    mask[..., :32] = 1
    first, second = (measure(StyleInput(rgb, mask=mask)) for rgb in (PAINTING.rgb, torn))
    torch.testing.assert_close(first[FINEST].outer, second[FINEST].outer)  # relu1_1 sees two pixels far
    assert len(first) == len(LEVELS)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write_image(make_picture(96, 80), tmp_path / "photo.png")
    write_image(make_picture(80, 80, 7).flip(1), tmp_path / "painting.png")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_command_preset_and_function_paint_the_same(folder: Path) -> None:
    assert main(["fast", "photo.png", "painting.png", "--size", "96", "-o", "a.png", "-q"]) == 0
    assert main(["photo.png", "painting.png", "--preset", "instant", "--size", "96", "-o", "b.png", "-q"]) == 0
    assert (folder / "a.png").read_bytes() == (folder / "b.png").read_bytes()
    picture = impasto.paint_fast("photo.png", "painting.png", size=96)
    assert picture.size == (96, 80)
    again = impasto.rerun("a.png")
    assert again.tobytes() == picture.tobytes()
    assert impasto.read_recipe("a.png").settings.preset == "instant"


def test_steps_may_go_on_from_the_pass() -> None:
    chosen = {"network": "slim", "size": 96, "start_size": 96, "views": "1", "steps": 3}
    first = {}
    for init in ("fast", "photo"):
        run = impasto.start(find_painting("the_great_wave"), "starry_night", init=init, **chosen)
        first[init] = [step.losses["style"] for step in run]
    assert first["fast"][0] < first["photo"][0]


def test_preserved_and_transparent_parts_stay(folder: Path) -> None:
    mask = torch.zeros(1, 3, 80, 96)
    mask[..., :48] = 1
    write_image(mask, folder / "left.png")
    picture = impasto.paint_fast("photo.png", "painting.png", size=96, preserve_mask="left.png")
    plain = impasto.paint_fast("photo.png", "painting.png", size=96)
    assert picture.crop((0, 0, 40, 80)).tobytes() == read(folder / "photo.png").crop((0, 0, 40, 80)).tobytes()
    assert plain.crop((0, 0, 40, 80)).tobytes() != picture.crop((0, 0, 40, 80)).tobytes()


def read(path: Path):  # type: ignore[no-untyped-def]
    from PIL import Image as PilImage

    return PilImage.open(path).convert("RGB")


def test_strength_without_the_pass_and_a_texture_are_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert folder
    assert main(["photo.png", "painting.png", "--fast-strength", "0.5", "-o", "a.png"]) == 2
    assert "--init fast" in capsys.readouterr().err
    with pytest.raises(UsageError) as caught:
        impasto.texture("painting.png", size=64, init="fast")
    assert caught.value.setting == "init"


def test_at_strength_0_and_where_no_painting_goes_it_is_the_photo(folder: Path) -> None:
    photo = read(folder / "photo.png")
    assert impasto.paint_fast("photo.png", "painting.png", size=96, fast_strength=0).tobytes() == photo.tobytes()
    mask = torch.zeros(1, 3, 80, 96)
    mask[..., :40] = 1
    write_image(mask, folder / "left.png")
    picture = impasto.paint_fast("photo.png", "painting.png", size=96, mask="left.png")
    assert picture.crop((60, 0, 96, 80)).tobytes() == photo.crop((60, 0, 96, 80)).tobytes()


def test_a_gray_painting_makes_a_gray_picture(folder: Path) -> None:
    write_image(make_picture(80, 80, 7).mean(1, keepdim=True).expand(1, 3, 80, 80), folder / "gray.png")
    red, green, blue = impasto.paint_fast("photo.png", "gray.png", size=96).split()
    assert red.tobytes() == green.tobytes() == blue.tobytes()


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_flat_photo_stays_nearly_flat(folder: Path, precision: str) -> None:
    write_image(torch.full((1, 3, 160, 160), 0.9), folder / "white.png")
    channels = impasto.paint_fast("white.png", "starry_night", size=160, precision=precision).split()
    assert all(max(values) - min(values) < 16 for values in (channel.tobytes() for channel in channels))


def test_noise_and_blur_act_on_what_one_pass_painted(folder: Path) -> None:
    assert folder
    chosen = {"size": 96, "seed": 1}
    plain = impasto.paint_fast("photo.png", "painting.png", **chosen)
    assert impasto.paint_fast("photo.png", "painting.png", **chosen, init_noise=0.5) != plain
    assert impasto.paint_fast("photo.png", "painting.png", **chosen, init_blur=0.05) != plain


@pytest.mark.parametrize(
    ("chosen", "setting"),
    [
        ({"style_size": 0.2}, "style_size"),
        ({"style_size": 0.2, "style_taps": "relu1_1:1", "content_taps": "relu1_1:1"}, "style_size"),
        ({"preset": "fine"}, "preset"),
        ({"init": "noise"}, "init"),
        ({"steps": 3}, "steps"),
    ],
)
def test_what_is_no_single_pass_is_refused(folder: Path, chosen: dict[str, object], setting: str) -> None:
    assert folder
    with pytest.raises(UsageError) as caught:
        impasto.paint_fast("photo.png", "painting.png", size=96, **chosen)
    assert caught.value.setting == setting


def test_a_texture_at_once_is_refused(folder: Path) -> None:
    assert folder
    with pytest.raises(UsageError) as caught:
        impasto.texture("painting.png", size=64, preset="instant")
    assert caught.value.setting == "preset"


UNUSED = {
    "content_weight": 3.0, "style_weight": 3.0, "gram_shift": 1.0, "tv_weight": 5.0, "tv_loss": "sum",
    "tv_exponent": 1.5, "range_weight": 9.0, "content_taps": {"relu1_1": 1.0}, "style_taps": {"relu1_1": 1.0},
    "structure_weight": 3.0, "coarse_taps": {"relu1_1": 1.0}, "content_colors": "photo",
    "content_loss": "sum", "views": (1.0, 1.0), "style_loss": {"gram": 1.0}, "normalize_gradients": True,
    "large_view_network": "slim", "large_view_size": 20, "pooling": "average", "pooling_gain": False,
    "pooling_ceil_mode": True, "input_scaling": "255", "padding": "zero", "optimizer": "adam", "scale_step": 3.0,
    "later_steps": 3, "final_steps": 3, "learning_rate": 1.0, "adam_beta1": 0.5, "adam_beta2": 0.5,
    "adam_epsilon": 1.0, "lbfgs_history": 2, "lbfgs_max_step": 0.1, "lbfgs_range": 255.0,
    "lbfgs_preconditioner": False, "clamp": "never", "min_improvement": 0.5, "ema_decay": 0.5,
    "mask_propagation": "inside",
}  # fmt: skip


@pytest.mark.parametrize("name", UNUSED)
def test_settings_that_one_pass_ignores_change_nothing(name: str) -> None:
    photo, painting = Image(make_picture(64, 48)), Image(make_picture(64, 64, 2))
    pictures = []
    for settings in (INSTANT, INSTANT.model_copy(update={name: UNUSED[name]})):
        prepared = prepare(settings, photo, [painting])
        pictures.append(paint_fast_canvas(prepared, prepared.plan_schedule((64, 48)), photo))
    assert torch.equal(*pictures)


def test_a_paintings_roots_are_taken_once_for_all_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    photo, calls, take = Image(make_picture(64, 48)), [], transport.take_power
    prepared = prepare(INSTANT, photo, [Image(make_picture(64, 64, 2)), Image(make_picture(64, 64, 3))])
    painter = FastPainter(prepared, prepared.plan_schedule((64, 48)))
    monkeypatch.setattr(transport, "take_power", lambda *given: calls.append(given) or take(*given))
    counts = []
    for _ in range(2):
        painter.paint(photo)
        counts.append(len(calls))
        calls.clear()
    assert counts == [2 * len(LEVELS), len(LEVELS)]


@pytest.mark.parametrize("fit", ["longest", "shrink"])
def test_strokes_in_pixels_are_those_of_the_finished_picture(fit: str) -> None:
    photo, painting = to_pil(make_picture(256, 192)), to_pil(make_picture(200, 200, 2))
    chosen = {"network": "slim", "init": "fast", "size": 256, "start_size": 64, "steps": 1, "guard": 0.0}
    by_share, in_pixels = (
        impasto.start(photo, painting, **chosen, fit=fit, style_size=size) for size in ("0.75", "192px")
    )
    for run in (by_share, in_pixels):
        next(run)
    assert by_share.picture().tobytes() == in_pixels.picture().tobytes()


def test_all_other_settings_count_in_one_pass() -> None:
    assert list_unused_in_one_pass() == UNUSED.keys() | {"network", "layout"}  # which are of files


def test_settings_that_one_pass_ignores_are_left_out_with_a_note(folder: Path) -> None:
    assert folder
    run = impasto.start(
        "photo.png", "painting.png", preset="instant", size=64, style_weight=3, optimizer="adam", network="vgg19"
    )
    assert "One pass has no use for `network`, `optimizer`, `style_weight`: left out." in " ".join(run.notes)
    assert set(run.recipe().given) == {"preset", "size"}
    assert run.settings.network == "slim"
    assert not any("no use" in note for note in impasto.start("photo.png", "painting.png", preset="instant").notes)
