"""impasto from Python: pictures in, a picture out, and errors that name what was wrong."""

import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import SPELT_OUT, make_picture
from PIL import Image
from skimage.color import rgb2lab

import impasto
from impasto import Job, PictureError, Settings, UsageError
from impasto.images.write import to_pil

# Small and quick; the network, a file, is added by the tests.
QUICK: dict[str, Any] = {**SPELT_OUT, "size": 32, "start_size": 32, "steps": 2}


class Scene:
    """A folder with a photo, two paintings and a network, and the settings to paint them quickly."""

    def __init__(self, folder: Path, network: Path) -> None:
        self.photo, self.painting, self.other = (folder / f"{name}.png" for name in ("photo", "painting", "other"))
        self.output = folder / "out.png"
        self.cut_out = folder / "cut-out.png"
        for path, seed in ((self.photo, 1), (self.painting, 2), (self.other, 3)):
            to_pil(make_picture(48, 36, seed)).save(path)
        alpha = torch.ones(1, 1, 36, 48)
        alpha[..., :12] = 0
        to_pil(make_picture(48, 36, 1), alpha).save(self.cut_out)
        self.quick = {**QUICK, "network": str(network)}

    def job(self, **chosen: Any) -> Job:
        settings = Settings(**{**self.quick, **chosen.pop("settings", {})})
        return Job(
            **{"photo": self.photo, "paintings": (self.painting,), "output": self.output, **chosen}, settings=settings
        )


@pytest.fixture
def scene(tmp_path: Path, weights_file: Path) -> Scene:
    return Scene(tmp_path, weights_file)


def drain(run: impasto.Run) -> impasto.Run:
    for _ in run:
        pass
    return run


def pixels(image: Image.Image) -> torch.Tensor:
    return torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8).view(image.height, image.width, -1)


# paint


def test_it_paints_with_the_embedded_network(scene: Scene) -> None:
    chosen = {**scene.quick, "network": "slim", "size": 64, "start_size": 64}
    picture = impasto.paint(scene.photo, scene.painting, **chosen)
    assert (picture.mode, picture.size) == ("RGB", (64, 48))
    begun = Image.open(scene.photo).resize((64, 48), Image.Resampling.BICUBIC)
    difference = (pixels(picture).float() - pixels(begun).float()).abs()
    assert 1 < float(difference.mean()) < 30  # two small steps from the photo


@pytest.mark.parametrize(
    "padding", ["replicate-first", "replicate"]
)  # the second shows the network nothing but flatness
@pytest.mark.slow
def test_a_flat_photo_takes_on_the_style(scene: Scene, padding: str) -> None:
    photo = Image.new("RGB", (64, 48), (128, 128, 128))
    chosen = {"network": "slim", "size": 64, "start_size": 64, "steps": 30, "range_weight": 30}
    run = impasto.start(photo, scene.painting, padding=padding, **chosen)
    losses = [step.losses["style"] for step in run]
    assert losses[-1] < 0.8 * losses[0]


def test_paths_and_images_paint_the_same(scene: Scene) -> None:
    by_path = impasto.paint(str(scene.photo), [str(scene.painting)], **scene.quick)
    by_image = impasto.paint(Image.open(scene.photo), (Image.open(scene.painting),), **scene.quick)
    assert by_path.size == (32, 24)
    assert torch.equal(pixels(by_path), pixels(by_image))


def test_the_output_is_written_and_returned(scene: Scene) -> None:
    picture = impasto.paint(scene.photo, scene.painting, output=scene.output, **scene.quick)
    with Image.open(scene.output) as written:
        assert written.format == "PNG"
        assert torch.equal(pixels(written), pixels(picture))
        assert written.info["icc_profile"]


def test_an_output_that_is_there_is_kept_unless_it_may_be_overwritten(scene: Scene) -> None:
    scene.output.write_text("dear")
    with pytest.raises(PictureError, match=r"out\.png already exists"):
        impasto.paint(scene.photo, scene.painting, output=scene.output, **scene.quick)
    assert scene.output.read_text() == "dear"
    impasto.paint(scene.photo, scene.painting, output=scene.output, overwrite=True, **scene.quick)
    with Image.open(scene.output) as written:
        assert written.size == (32, 24)


def test_keywords_win_over_settings_and_the_rest_is_kept(scene: Scene) -> None:
    settings = Settings(**{**scene.quick, "seed": 5, "init": "noise", "style_taps": "relu1_1:0.1234567890123"})
    run = impasto.start(scene.photo, scene.painting, settings=settings, size=40, start_size=40)
    assert run.total_steps == 2
    drained = drain(run).picture()
    assert drained.size == (40, 30)
    whole = Settings(**{**settings.model_dump(), "size": 40, "start_size": 40})
    assert torch.equal(pixels(drained), pixels(impasto.paint(scene.photo, scene.painting, settings=whole)))


def test_a_preset_can_be_chosen_beside_plain_settings(scene: Scene) -> None:
    settings = Settings(size=32, network=scene.quick["network"], precision="float32")
    picture = impasto.paint(scene.photo, scene.painting, settings=settings, preset="gatys2015", steps=3)
    whole = Settings(preset="gatys2015", steps=3, **settings.model_dump(include={"size", "network", "precision"}))
    assert torch.equal(pixels(picture), pixels(impasto.paint(scene.photo, scene.painting, settings=whole)))


def test_another_preset_replaces_what_the_first_has_set(scene: Scene) -> None:
    plain = {name: scene.quick[name] for name in ("size", "network", "precision", "steps", "start_size", "device")}
    first = Settings(preset="gatys2015", **plain)
    losses = next(impasto.start(scene.photo, scene.painting, settings=first, preset="default")).losses
    assert losses == next(impasto.start(scene.photo, scene.painting, **plain)).losses
    assert losses != next(impasto.start(scene.photo, scene.painting, settings=first)).losses


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"pooling": "max"}, {"pooling": "average"}),
        ({"pooling": "average", "pooling_gain": True}, {"pooling": "average", "pooling_gain": False}),
        ({"padding": "zero"}, {"padding": "reflect"}),
        ({"precision": "float32"}, {"precision": "bfloat16"}),
        ({"layout": "impasto"}, {"layout": "gatys"}),
    ],
    ids=["pooling", "gain", "padding", "precision", "layout"],
)
def test_the_networks_settings_reach_the_network(scene: Scene, one: dict[str, Any], other: dict[str, Any]) -> None:
    first, second = (impasto.start(scene.photo, scene.painting, **{**scene.quick, **chosen}) for chosen in (one, other))
    assert next(first).losses["style"] != pytest.approx(next(second).losses["style"], rel=1e-5)


def test_paintings_blend_by_their_shares(scene: Scene) -> None:
    def paint(*paintings: Path, **chosen: Any) -> torch.Tensor:
        return pixels(impasto.paint(scene.photo, paintings, **{**scene.quick, "steps": 6, **chosen}))

    first, second = paint(scene.painting), paint(scene.other)
    both = paint(scene.painting, scene.other)
    assert not torch.equal(both, first)
    assert not torch.equal(both, second)
    assert torch.equal(paint(scene.painting, scene.other, style_blend=(1, 1)), both)
    assert torch.equal(paint(scene.painting, scene.other, style_blend=(0, 2)), second)


def test_a_beginning_can_be_a_file(scene: Scene) -> None:
    begun = scene.photo.with_name("begun.png")
    Image.new("RGB", (70, 70), (51, 102, 204)).save(begun)
    picture = impasto.paint(scene.photo, scene.painting, **{**scene.quick, "init": str(begun), "steps": 1})
    assert picture.getextrema() == ((51, 51), (102, 102), (204, 204))


def test_a_beginning_that_is_cut_out_has_its_mean_colour_around(scene: Scene) -> None:
    begun = scene.photo.with_name("begun.png")
    sheet = Image.new("RGBA", (32, 24), (255, 0, 0, 0))
    sheet.paste((51, 102, 204, 255), (0, 0, 8, 24))
    sheet.save(begun)
    picture = impasto.paint(scene.photo, scene.painting, **{**scene.quick, "init": str(begun), "steps": 1})
    assert picture.getextrema() == ((51, 51), (102, 102), (204, 204))
    Image.new("RGBA", (32, 24)).save(begun)
    with pytest.raises(UsageError, match=r"`init` .*begun\.png: the picture is wholly transparent"):
        impasto.start(scene.photo, scene.painting, **{**scene.quick, "init": str(begun)})


@pytest.mark.parametrize("which", ["photo", "painting"])
def test_what_is_wholly_transparent_is_named(scene: Scene, tmp_path: Path, which: str) -> None:
    nothing = tmp_path / "nothing.png"
    Image.new("RGBA", (32, 32), (200, 100, 50, 0)).save(nothing)
    given = {"photo": scene.photo, "painting": scene.painting, which: nothing}
    with pytest.raises(UsageError, match=rf"The {which} .*nothing\.png is wholly transparent: there is nothing to see"):
        impasto.paint(given["photo"], given["painting"], **scene.quick)
    images = {name: Image.open(path) for name, path in given.items()}
    with pytest.raises(UsageError, match=rf"The {which}( 1)? is wholly transparent"):
        impasto.paint(images["photo"], images["painting"], **scene.quick)


def test_a_run_without_a_photo_is_a_textures(scene: Scene) -> None:
    chosen = {name: scene.quick[name] for name in ("network", "size", "start_size", "style_taps", "steps")}
    run = impasto.start(None, scene.painting, **chosen)
    for step in run:
        assert set(step.losses) >= {"style", "total"}
    assert run.picture().size == (32, 32)
    assert run.recipe().photo is None


def test_the_callers_own_chance_is_left_alone(scene: Scene) -> None:
    torch.manual_seed(11)
    expected = torch.rand(1)
    torch.manual_seed(11)
    impasto.paint(scene.photo, scene.painting, **{**scene.quick, "init": "noise", "seed": 4})
    assert torch.equal(torch.rand(1), expected)


# start


def test_a_run_is_an_iterator_with_a_picture_on_request(scene: Scene) -> None:
    to_pil((make_picture(48, 36, 2) > 0.5).float()).save(scene.painting)  # with the contrast that paintings have
    run = impasto.start(scene.photo, scene.painting, **{**scene.quick, "start_size": 16, "later_steps": 1})
    assert run.total_steps == 3
    with pytest.raises(UsageError, match="Nothing is painted yet"):
        run.picture()
    steps, sizes = [], []
    for step in run:
        steps.append(step)
        sizes.append(run.picture().size)
    assert [type(step) for step in steps] == [impasto.Step] * 3
    assert [step.step for step in steps] == [1, 2, 3]
    assert sizes == [(16, 12), (16, 12), (32, 24)]
    assert run.notes == []


def test_a_run_writes_where_it_is_told(scene: Scene) -> None:
    run = impasto.start(scene.photo, scene.painting, **scene.quick)
    next(run)
    with pytest.raises(UsageError, match="say where the picture must go"):
        run.write()
    assert run.write(scene.output) == scene.output
    with Image.open(scene.output) as written:
        assert torch.equal(pixels(written), pixels(run.picture()))
    with pytest.raises(PictureError, match="already exists"):
        run.write(scene.output)


# Jobs


def test_a_finished_picture_whose_folder_has_gone_is_kept_elsewhere(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    (tmp_path / "gone").mkdir()
    run = drain(impasto.start_job(scene.job(output=tmp_path / "gone" / "picture.png")))
    (tmp_path / "gone").rmdir()
    with pytest.raises(PictureError, match=r"gone.picture.png can't be written.*; the picture is kept in ") as refused:
        run.write_result()
    kept = Path(str(refused.value).rpartition(" is kept in ")[2])
    assert kept.is_relative_to(tmp_path)
    with Image.open(kept) as picture:
        assert torch.equal(pixels(picture), pixels(run.picture()))


def test_a_job_survives_pickle_and_json(scene: Scene) -> None:
    job = scene.job(settings={"style_taps": "relu1_1:0.1234567890123"}, bits=16, save_every=3, overwrite=True)
    assert pickle.loads(pickle.dumps(job)) == job
    assert Job.model_validate_json(job.model_dump_json()) == job


def test_a_job_is_painted_like_its_pictures(scene: Scene) -> None:
    run = drain(impasto.start_job(scene.job()))
    assert run.write() == scene.output
    expected = impasto.paint(scene.photo, scene.painting, **scene.quick)
    with Image.open(scene.output) as written:
        assert torch.equal(pixels(written), pixels(expected))
    with pytest.raises(PictureError, match="already exists"):
        run.write()


def test_a_job_is_written_with_its_bits_and_again_where_it_may(scene: Scene) -> None:
    run = drain(impasto.start_job(scene.job(bits=16, overwrite=True)))
    for _ in range(2):
        run.write()
    assert scene.output.read_bytes()[24] == 16  # the bit depth in a PNG's header


def test_previews_are_written_now_and_then_but_not_at_the_end(scene: Scene) -> None:
    preview = scene.output.with_name("out.preview.png")
    run = impasto.start_job(scene.job(save_every=2, settings={"steps": 6}))
    written: list[bool] = []
    for step in run:
        written.append(preview.exists())
        if preview.exists():
            with Image.open(preview) as picture:
                same = torch.equal(pixels(picture), pixels(run.picture()))
            assert same == (step.step in (2, 4))
            preview.unlink()
    assert written == [False, True, False, True, False, False]
    assert not scene.output.exists()


def test_a_preview_replaces_no_file_of_before_unless_it_may(scene: Scene) -> None:
    job = scene.job(save_every=1)
    assert job.preview_path == scene.output.with_name("out.preview.png")
    job.preview_path.write_text("dear")
    with pytest.raises(PictureError, match=r"out\.preview\.png already exists"):
        impasto.start_job(job)
    assert next(impasto.start_job(scene.job())).step == 1  # without previews it is in nobody's way
    assert job.preview_path.read_text() == "dear"
    drain(impasto.start_job(scene.job(save_every=1, overwrite=True)))
    with Image.open(job.preview_path) as written:
        assert written.size == (32, 24)


def test_preview_replaces_no_file_of_others_and_painting_goes_on(scene: Scene) -> None:
    job = scene.job(save_every=1)
    run = impasto.start_job(job)
    job.preview_path.write_text("dear")
    next(run)
    next(run)
    assert [note for note in run.notes if "out.preview.png already exists" in note] == run.notes[-1:]
    assert job.preview_path.read_text() == "dear"
    assert run.write() == scene.output  # the step was painted


@pytest.mark.parametrize("number", [0, 1, 2], ids=["photo", "painting", "init"])
def test_a_preview_never_replaces_an_input(scene: Scene, number: int) -> None:
    places = [scene.photo, scene.painting, scene.other]
    places[number] = places[number].rename(scene.output.with_name("out.preview.png"))
    job = scene.job(
        photo=places[0], paintings=(places[1],), save_every=1, overwrite=True, settings={"init": str(places[2])}
    )
    with pytest.raises(UsageError, match=r"out\.preview\.png is also the input"):
        impasto.start_job(job)


def test_without_save_every_there_are_no_previews(scene: Scene) -> None:
    before = set(scene.output.parent.iterdir())
    drain(impasto.start_job(scene.job()))
    assert set(scene.output.parent.iterdir()) == before


def test_a_job_needs_a_painting() -> None:
    with pytest.raises(ValueError, match="at least 1 item"):
        Job(photo="a.png", paintings=(), output="b.png")


# Transparency


def test_a_cut_out_photo_gives_a_cut_out_picture(scene: Scene) -> None:
    picture = impasto.paint(scene.cut_out, scene.painting, output=scene.output, **scene.quick)
    assert (picture.mode, picture.size) == ("RGBA", (32, 24))
    alpha = pixels(picture)[..., 3]
    assert int(alpha[:, :6].max()) == 0
    assert int(alpha[:, 10:].min()) == 255
    with Image.open(scene.output) as written:
        assert (written.mode, written.size) == ("RGBA", (32, 24))
        assert torch.equal(pixels(written), pixels(picture))


def test_transparency_that_the_output_cant_hold_is_said_before_painting(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(impasto.Run, "__next__", lambda _: pytest.fail("painted in vain"))
    output = scene.output.with_suffix(".jpg")
    with pytest.raises(UsageError, match=r"out\.jpg can't hold transparency"):
        impasto.paint(scene.cut_out, scene.painting, output=output, **scene.quick)
    with pytest.raises(UsageError, match=r"out\.jpg can't hold transparency"):
        impasto.start_job(scene.job(photo=scene.cut_out, output=output))


# Colours

COLORFUL = {
    "network": "slim",
    "size": 64,
    "start_size": 32,
    "steps": 50,
    "later_steps": 50,
    "optimizer": "lbfgs",
    "style_loss": "wasserstein",
    "style_weight": 30.0,
    "range_weight": 300.0,
}
METHODS = [
    *({"color": "keep", "color_space": space} for space in ("lab", "luv", "yuv", "ycbcr")),
    *({"color": "match", "color_match": method} for method in ("symmetric", "cholesky", "pca", "histogram")),
]


def paint_blue_on_orange(folder: Path, **chosen: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Paint an orange photo after a blue painting; return the chroma (a*, b*) of photo and picture, (H, W, 2) each."""
    grain = make_picture(64, 48, 1), make_picture(64, 48, 2)
    tints = (torch.tensor(tint).view(1, 3, 1, 1) for tint in ((0.9, 0.55, 0.25), (0.2, 0.4, 0.9)))
    photo, painting = (to_pil(0.5 * tint + 0.5 * tint * it) for tint, it in zip(tints, grain, strict=True))
    photo.save(folder / "orange.png")
    painting.save(folder / "blue.png")
    settings = {**QUICK, **COLORFUL, **chosen}
    picture = impasto.paint(folder / "orange.png", folder / "blue.png", **settings)
    return tuple(torch.from_numpy(rgb2lab(it))[..., 1:] for it in (photo, picture))  # type: ignore[return-value]


@pytest.fixture(scope="module")
def painted_blue(tmp_path_factory: pytest.TempPathFactory) -> float:
    """How far the chroma of a picture painted without regard for the photo's colours is from the photo's."""
    photo, picture = paint_blue_on_orange(tmp_path_factory.mktemp("blue"))
    return float((picture - photo).norm(dim=-1).mean())


@pytest.mark.parametrize("chosen", METHODS, ids=lambda chosen: "-".join(chosen.values()))
def test_the_photos_colours_are_kept_or_matched(tmp_path: Path, painted_blue: float, chosen: dict[str, str]) -> None:
    photo, picture = paint_blue_on_orange(tmp_path, **chosen)
    assert float((picture - photo).norm(dim=-1).mean()) < painted_blue / 8
    assert painted_blue > 20


@pytest.mark.parametrize("space", ["lab", "luv", "yuv", "ycbcr"])
def test_the_painted_colours_alone_are_taken(tmp_path: Path, painted_blue: float, space: str) -> None:
    photo, picture = paint_blue_on_orange(tmp_path, color="only", color_space=space)
    assert float((picture - photo).norm(dim=-1).mean()) > painted_blue / 2


@pytest.mark.parametrize("mode", ["keep", "only"])
def test_colours_after_painting_leave_the_steps_alone(scene: Scene, mode: str) -> None:
    plain, colored = (impasto.start(scene.photo, scene.painting, **scene.quick, color=it) for it in ("none", mode))
    for one, other in zip(plain, colored, strict=True):
        assert one.losses == other.losses
    assert not torch.equal(pixels(plain.picture()), pixels(colored.picture()))


def test_colours_matched_before_painting_change_what_is_painted(scene: Scene) -> None:
    plain, colored = (impasto.start(scene.photo, scene.painting, **scene.quick, color=it) for it in ("none", "match"))
    assert next(plain).losses["style"] != pytest.approx(next(colored).losses["style"], rel=1e-3)
    assert torch.equal(pixels(plain.picture()), pixels(colored.picture()))  # the photo itself, so far


@pytest.mark.parametrize("mode", ["keep", "match", "only"])
def test_no_strength_is_no_colour(scene: Scene, mode: str) -> None:
    picture = impasto.paint(scene.photo, scene.painting, **scene.quick, color=mode, color_strength=0)
    plain = impasto.paint(scene.photo, scene.painting, **scene.quick)
    photo = Image.open(scene.photo)
    assert torch.equal(pixels(picture), pixels(plain)) == (mode != "only")
    difference = pixels(picture).float() - pixels(photo.resize((32, 24), Image.Resampling.BICUBIC)).float()
    assert (float(difference.abs().max()) <= 1) == (mode == "only")


@pytest.mark.parametrize("mode", ["keep", "match", "only"])
def test_what_is_shown_is_what_is_written_in_the_same_colours(scene: Scene, mode: str) -> None:
    run = impasto.start_job(scene.job(photo=scene.cut_out, save_every=1, settings={"color": mode}))
    for step in run:
        place = scene.job().preview_path if step.step < run.total_steps else run.write()
        with Image.open(place) as written:
            assert torch.equal(pixels(written), pixels(run.picture()))
            assert written.mode == "RGBA"


def test_every_painting_of_a_blend_is_matched(scene: Scene) -> None:
    def style(**chosen: Any) -> float:
        settings = {**scene.quick, "color": "match", **chosen}
        return next(impasto.start(scene.photo, [scene.painting, scene.other], **settings)).losses["style"]

    def alone(painting: Path) -> float:
        return next(impasto.start(scene.photo, painting, **scene.quick, color="match")).losses["style"]

    assert style(style_blend=(1, 0)) == pytest.approx(alone(scene.painting))
    assert style(style_blend=(0, 1)) == pytest.approx(alone(scene.other))


# Errors


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ({"style_blend": (1, 2, 3)}, "has 3 weights for 1 painting: give one for each"),
        ({"style_blend": (0,)}, "at least one painting needs a weight above 0"),
        ({"size": 3}, "`size` takes a whole number, 16 to 32768; not 3"),
        ({"sice": 64}, "There is no setting `sice`"),
        ({"size": 3, "steps": 0}, "`steps` takes a whole number, 1 to 1000000; not 0"),
        ({"style_taps": "relu9_1"}, "`style_taps` takes names with weights"),
        ({"style_taps": "relu1_1,conv1_3"}, "no tap 'conv1_3'"),
        ({"content_taps": "relu2_4"}, "no tap 'relu2_4'"),
        ({"device": "bogus"}, "there is no such device here"),
        ({"color": "match", "color_space": "luv"}, "`color_space` has no effect with `color` match"),
        ({"color_strength": -1}, "`color_strength` takes a number, 0 to 1; not -1"),
        ({"network": "nowhere.pth"}, "There is no network and no file 'nowhere.pth'"),
        ({"size": 16, "start_size": 16, "content_taps": "relu5_1"}, "The picture would be 16 x 12 pixels"),
    ],
)
def test_wrong_settings_are_named(scene: Scene, chosen: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        impasto.start(scene.photo, scene.painting, **{**scene.quick, **chosen})


@pytest.mark.parametrize("missing", ["photo", "painting", "init"])
def test_a_missing_file_is_named(scene: Scene, missing: str) -> None:
    where = {
        "photo": scene.photo,
        "painting": scene.painting,
        "init": "photo",
        missing: scene.photo.with_name("gone.png"),
    }
    with pytest.raises(PictureError, match=r"gone\.png does not exist"):
        impasto.start(where["photo"], where["painting"], **{**scene.quick, "init": str(where["init"])})


def test_no_painting_at_all_is_refused(scene: Scene) -> None:
    with pytest.raises(UsageError, match="at least one painting"):
        impasto.start(scene.photo, [])


@pytest.mark.parametrize("number", [1, 2], ids=["photo", "second painting"])
def test_an_output_that_is_an_input_is_refused(scene: Scene, number: int) -> None:
    inputs = [scene.painting, scene.photo, scene.other]
    with pytest.raises(UsageError, match=f"{inputs[number].name} is also the input"):
        impasto.paint(
            scene.photo,
            [scene.painting, scene.other],
            output=inputs[number],
            overwrite=True,
            **scene.quick,
        )
    job = scene.job(paintings=(scene.painting, scene.other), output=inputs[number], overwrite=True)
    with pytest.raises(UsageError, match=f"{inputs[number].name} is also the input"):
        impasto.start_job(job)


def test_an_output_that_is_the_beginning_is_refused(scene: Scene) -> None:
    chosen = {**scene.quick, "init": str(scene.other)}
    with pytest.raises(UsageError, match=r"other\.png is also the input"):
        impasto.paint(scene.photo, scene.painting, output=scene.other, overwrite=True, **chosen)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nowhere/out.png", "the folder .*nowhere does not exist"),
        ("out.gif", r"the suffix \.gif"),
        ("out", "no suffix"),
    ],
)
def test_an_output_that_cant_be_written_is_named_before_painting(scene: Scene, name: str, message: str) -> None:
    output = scene.output.parent / name
    with pytest.raises((PictureError, UsageError), match=message):
        impasto.paint(scene.photo, scene.painting, output=output, **scene.quick)
    with pytest.raises((PictureError, UsageError), match=message):
        impasto.start_job(scene.job(output=output))


def test_what_the_outputs_format_cant_hold_is_said_before_painting(scene: Scene) -> None:
    with pytest.raises(UsageError, match=r"out\.jpg can't hold 16 bits"):
        impasto.start_job(scene.job(output=scene.output.with_suffix(".jpg"), bits=16))
    wide = scene.job(output=scene.output.with_suffix(".webp"), settings={"size": 20_000})
    with pytest.raises(UsageError, match=r"out\.webp can't be 20000 pixels long"):
        impasto.start_job(wide)


def test_every_public_name_is_there() -> None:
    for name in impasto.__all__:
        assert getattr(impasto, name).__name__ == name


def test_nothing_to_paint_is_refused(scene: Scene) -> None:
    with pytest.raises(impasto.UsageError, match="`content_weight` and `style_weight` are both 0"):
        impasto.start(scene.photo, scene.painting, **{**scene.quick, "content_weight": 0, "style_weight": 0})
