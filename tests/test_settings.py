"""Settings: presets fill, explicit values win, and everything can be written down and read back."""

from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from impasto.errors import UsageError
from impasto.network.registry import REGISTRY
from impasto.network.vgg import VGG19_DEPTHS, plan_layers
from impasto.settings.changes import merge_settings
from impasto.settings.model import Settings
from impasto.settings.parsing import build_settings, parse_settings
from impasto.settings.presets import ON_SLIM, PRESETS
from impasto.settings.types import NETWORK_NAMES, Preset, format_weights, parse_weights

TAPS = [layer for layer in plan_layers(VGG19_DEPTHS) if not layer.startswith("pool")]
tap_weights = st.dictionaries(st.sampled_from(TAPS), st.floats(0, allow_infinity=False), min_size=1).filter(
    lambda weights: any(weights.values())
)


def refusal(**values: object) -> str:
    with pytest.raises(ValidationError) as refused:
        Settings(**values)
    (fault,) = refused.value.errors()
    return f"{fault['loc'][0] if fault['loc'] else ''}: {fault['msg']}"


# Presets


def test_gatys2015_is_the_papers() -> None:
    settings = Settings(preset="gatys2015")
    assert settings.content_taps == {"conv4_2": 1.0}
    assert settings.style_taps == {f"conv{block}_1": 0.2 for block in range(1, 6)}
    assert (settings.content_loss, settings.style_loss, settings.tv_weight) == ("sum", {"gatys": 1.0}, 0)
    assert settings.content_weight / settings.style_weight in (1e-3, 1e-4)  # the two ratios that the paper names
    assert (settings.pooling, settings.pooling_gain, settings.padding) == ("average", False, "zero")
    assert (settings.init, settings.optimizer, settings.ema_decay) == ("noise", "lbfgs", 0)
    assert settings.start_size >= settings.size  # one scale


def test_given_values_win_over_the_preset() -> None:
    preset = Settings(preset="gatys2015")
    changed = Settings(init="photo", preset="gatys2015", style_weight=5)
    assert (changed.init, changed.style_weight) == ("photo", 5)
    assert changed.model_dump(exclude={"init", "style_weight"}) == preset.model_dump(exclude={"init", "style_weight"})


def test_the_default_preset_changes_nothing() -> None:
    assert Settings(preset="default") == Settings()


def test_preset_values_do_not_count_as_given() -> None:
    settings = Settings(preset="gatys2015", init="noise", size=99)
    assert settings.model_fields_set == {"preset", "init", "size"}
    again = Settings(**settings.model_dump(exclude_unset=True))
    assert again == settings
    assert Settings(**{**settings.model_dump(exclude_unset=True), "preset": "default"}) == Settings(
        init="noise", size=99
    )


@pytest.mark.parametrize("preset", PRESETS)
def test_preset_values_hold(preset: str) -> None:
    settings = Settings(preset=preset, **({} if "network" in PRESETS[preset] else {"network": "vgg19"}))
    for name, value in PRESETS[preset].items():
        assert getattr(settings, name) == value


@pytest.mark.parametrize("preset", ["monet", ["gatys2015"], None])
def test_an_unknown_preset_is_refused(preset: object) -> None:
    assert refusal(preset=preset).startswith("preset: Input should be 'default', 'instant', 'draft'")


# Taps


@given(tap_weights)
def test_taps_are_read_as_they_are_written(taps: dict[str, float]) -> None:
    assert parse_weights(format_weights(taps)) == taps


def test_taps_are_parsed_as_people_write_them() -> None:
    assert parse_weights("relu4_2:1, relu3_1:0.5 ,conv1_1") == {"relu4_2": 1, "relu3_1": 0.5, "conv1_1": 1}
    assert format_weights({"relu4_2": 1.0, "relu3_1": 0.5}) == "relu4_2:1,relu3_1:0.5"
    assert Settings(style_taps="relu1_1:2,relu2_1").style_taps == {"relu1_1": 2, "relu2_1": 1}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("relu4_2:much", "'much' is not a weight; write it as relu4_2:1,relu3_1:0.5"),
        ("relu4_2:1:2", "'1:2' is not a weight"),
        ("relu4_2,relu4_2:3", "'relu4_2' is named twice"),
        ("relu9_1", "String should match pattern"),
        ("pool1", "String should match pattern"),
        ("", "String should match pattern"),
        ("relu1_1,", "String should match pattern"),
        ("relu4_2:-1", "greater than or equal to 0"),
        ("relu4_2:nan", "finite number"),
        ("relu4_2:inf", "finite number"),
        ({}, "at least 1 item"),
    ],
)
@pytest.mark.parametrize("field", ["content_taps", "style_taps"])
def test_wrong_taps_are_refused(field: str, text: object, message: str) -> None:
    found = refusal(**{field: text})
    assert found.startswith(field)
    assert message in found


# The model


@given(content_taps=tap_weights, style_taps=tap_weights, blend=st.lists(st.floats(0, 9), max_size=3))
def test_settings_round_trip_as_json_and_as_a_dictionary(
    content_taps: dict[str, float], style_taps: dict[str, float], blend: list[float]
) -> None:
    settings = Settings(
        preset="gatys2015", content_taps=content_taps, style_taps=style_taps, style_blend=blend, size=99
    )
    assert Settings.model_validate_json(settings.model_dump_json()) == settings
    assert Settings(**settings.model_dump()) == settings


@pytest.mark.parametrize(
    ("preset", "chosen", "dropped"),
    [
        ("anishathalye", {"optimizer": "lbfgs"}, ("learning_rate", "adam_beta2", "adam_epsilon")),
        (
            "neural-style",
            {"optimizer": "adam"},
            ("lbfgs_history", "lbfgs_max_step", "lbfgs_range", "lbfgs_preconditioner"),
        ),
        ("neural-style-pt", {"tv_weight": "0.0"}, ("tv_loss", "tv_exponent")),
        ("gatys2015", {"pooling": "max"}, ("pooling_gain",)),
    ],
)
def test_preset_values_without_effect_are_dropped(
    preset: str, chosen: dict[str, object], dropped: tuple[str, ...]
) -> None:
    settings = parse_settings({"preset": preset, **chosen})
    for name in dropped:
        assert name in PRESETS[preset]
        assert getattr(settings, name) == Settings.model_fields[name].default
    assert Settings(**settings.model_dump()) == settings


@pytest.mark.parametrize("preset", ON_SLIM)
def test_presets_have_weights_of_their_own_on_slim(preset: str) -> None:
    settings = Settings(preset=preset, network="slim")
    for name, value in {**PRESETS[preset], **ON_SLIM[preset], "network": "slim"}.items():
        assert getattr(settings, name) == value
    given = Settings(preset=preset, network="slim", style_weight=3, content_taps="relu3_1")
    assert (given.style_weight, given.content_taps) == (3, {"relu3_1": 1})
    formulas = (
        "content_loss",
        "style_loss",
        "tv_loss",
        "tv_exponent",
        "pooling",
        "pooling_ceil_mode",
        "padding",
        "init",
    )
    assert not {*formulas} & {*ON_SLIM[preset]}


def test_every_preset_can_be_named() -> None:
    assert set(get_args(Preset)) == set(PRESETS)


def test_settings_are_frozen() -> None:
    settings = Settings()
    with pytest.raises(ValidationError, match="frozen"):
        settings.size = 3  # type: ignore[misc]


def test_an_unknown_setting_is_refused() -> None:
    assert refusal(sice=3) == "sice: Extra inputs are not permitted"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("size", 15),
        ("seed", -1),
        ("seed", 2**63),
        ("style_weight", -1),
        ("content_weight", float("nan")),
        ("tv_weight", float("inf")),
        ("scale_step", 1),
        ("steps", 0),
        ("learning_rate", 0),
        ("ema_decay", 1),
        ("style_blend", (1, -1)),
        ("optimizer", "sgd"),
        ("fit", "largest"),
        ("content_loss", "mse"),
        ("tv_loss", "l1"),
        ("tv_exponent", 0.9),
        ("gram_shift", float("nan")),
        ("normalize_gradients", "maybe"),
        ("pooling_ceil_mode", "ceil"),
        ("input_scaling", "1"),
        ("clamp", "box"),
        ("adam_beta1", 1),
        ("adam_beta2", -0.1),
        ("adam_epsilon", 0),
        ("lbfgs_history", 0),
        ("lbfgs_max_step", -1),
        ("lbfgs_range", 0),
        ("min_improvement", 1),
        ("precision", "float16"),
        ("color", "yes"),
        ("color_space", "hsv"),
        ("color_match", "mean"),
        ("color_strength", 1.5),
    ],
)
def test_wrong_values_are_refused_by_name(field: str, value: object) -> None:
    assert refusal(**{field: value}).startswith(f"{field}: Input should be")


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_has_help_and_a_group(name: str) -> None:
    field = Settings.model_fields[name]
    assert field.description
    assert isinstance(field.json_schema_extra, dict)
    assert field.json_schema_extra["group"] in (
        "Picture",
        "Beginning",
        "Content and style",
        "Where",
        "Color",
        "Network",
        "Optimizing",
    )
    assert not field.is_required()


def test_colon_without_weight_is_refused() -> None:
    with pytest.raises(ValueError, match="'' is not a weight"):
        parse_weights("relu4_1:,relu5_1:0.5")


# Settings that need each other


@pytest.mark.parametrize(
    ("values", "setting", "message"),
    [
        ({"learning_rate": 0.1}, "learning_rate", "no effect with `optimizer` lbfgs: .* choose `optimizer` adam"),
        ({"optimizer": "adam", "lbfgs_history": 9}, "lbfgs_history", "with `optimizer` adam: .* `optimizer` lbfgs"),
        ({"optimizer": "adam", "lbfgs_preconditioner": False}, "lbfgs_preconditioner", "has no effect"),
        ({"pooling_gain": False}, "pooling_gain", "with `pooling` max: .* `pooling` average or l2"),
        (
            {"tv_weight": 0, "tv_loss": "sum"},
            "tv_loss",
            "with `tv_weight` 0: .* choose `tv_weight` above 0",
        ),
        ({"tv_weight": "0", "tv_exponent": 1}, "tv_exponent", "has no effect"),
        (
            {"style_loss": "wasserstein", "gram_shift": -1},
            "gram_shift",
            "with `style_loss` wasserstein:1: .* gram or gatys or gram_mean",
        ),
        ({"style_loss": {"gram": 0, "histogram": 1}, "gram_shift": -1}, "gram_shift", "has no effect"),
        ({"color_match": "pca"}, "color_match", "with `color` none"),
        ({"color": "keep", "color_match": "pca"}, "color_match", "with `color` keep: .* `color` match"),
        ({"color": "only", "color_match": "histogram"}, "color_match", "has no effect"),
        ({"color": "match", "color_space": "luv"}, "color_space", "keep or only"),
        ({"color_space": "yuv"}, "color_space", "has no effect"),
        ({"color_strength": 0.5}, "color_strength", "keep or match or only"),
        (
            {"views": "1", "coarse_taps": "relu2_1"},
            "coarse_taps",
            "with `views` 1: .* choose several `views`",
        ),
        ({"views": "1,0", "coarse_taps": "relu2_1"}, "coarse_taps", "with `views` 1,0"),
        ({"large_view_network": "same", "large_view_size": 500}, "large_view_size", "another `large_view_network`"),
        ({"noise": "normal"}, "noise", "with `init` recolored: .* `init` noise, or `init_noise` above 0"),
        ({"mask_propagation": "all"}, "mask_propagation", "`mask`, or `style_mask`, or `labels`, or `regions`"),
        ({"labels": "a.png"}, "labels", "with `style_labels` empty: leave it out, or choose `style_labels`"),
        ({"mask": "a.png", "regions": 2}, "regions", "`mask` and `regions` both say"),
        ({"labels": "a", "style_labels": "b", "style_mask": "c"}, "labels", "`style_mask` and `labels` both say"),
    ],
)
def test_settings_without_effect_are_refused(values: dict[str, object], setting: str, message: str) -> None:
    for build in (lambda: parse_settings(values), lambda: merge_settings(None, values)):
        with pytest.raises(UsageError, match=message) as refused:
            build()
        assert refused.value.setting == setting
    with pytest.raises(UsageError):
        merge_settings(Settings(**values), {})


@pytest.mark.parametrize(
    "values",
    [
        {"color": "keep", "color_space": "ycbcr", "color_strength": 0},
        {"color": "match", "color_match": "histogram", "color_strength": 0.3},
        {"color": "only", "color_space": "luv"},
        {"preset": "gatys2015", "color": "match", "color_match": "cholesky"},
        {"preset": "style-transfer-pytorch", "learning_rate": 0.1, "adam_beta1": 0.5},
        {"style_loss": "gram_mean:0.5,histogram", "gram_shift": -1},
        {"mask": "a.png", "style_mask": "b.png", "mask_propagation": "all"},
    ],
)
def test_settings_that_go_together_round_trip(values: dict[str, object]) -> None:
    settings = parse_settings(values)
    assert settings.model_fields_set == set(values)
    assert merge_settings(None, settings.model_dump()) == merge_settings(settings, {}) == settings


# Settings given over earlier ones


@pytest.mark.parametrize("name", ["color_match", "init_noise", "learning_rate"])
def test_text_without_effect_is_refused_even_at_its_default(name: str) -> None:
    default = Settings.model_fields[name].default
    others = {"init": "noise"} if name == "init_noise" else {}
    assert merge_settings(None, {name: default, **others})
    with pytest.raises(UsageError, match="has no effect") as refused:
        parse_settings({name: default, **others})
    assert refused.value.setting == name


def test_earlier_settings_without_effect_are_dropped() -> None:
    before = Settings(color="match", color_match="pca", init_noise=0.3, noise="normal").model_dump()
    after = build_settings({"color": "none", "init": "noise"}, before)
    assert (after.color_match, after.init_noise, after.noise) == ("symmetric", 0, "normal")
    assert build_settings({"color": "match"}, before) == Settings(**before)


def test_earlier_regions_give_way_to_masks() -> None:
    after = build_settings({"mask": "a.png"}, {"regions": 3, "size": 99})
    assert (after.regions, after.mask, after.size) == (0, ("a.png",), 99)


def test_one_region_is_refused() -> None:
    assert "regions: Value error, 1 is the whole picture" in refusal(regions=1)


@pytest.mark.parametrize("init", ["", "  "])
def test_empty_init_is_refused(init: str) -> None:
    assert (
        f"takes recolored, photo, fast, noise, painting, gray or the name of a picture file; not {init!r}"
        in refusal(init=init)
    )


@pytest.mark.parametrize("name", ["content_taps", "style_taps", "style_loss"])
def test_weights_that_are_all_zero_are_refused(name: str) -> None:
    names = ("gram", "gatys") if name == "style_loss" else ("relu1_1", "relu2_1")
    weights = dict.fromkeys(names, 0.0)
    assert f"{names[0]}:0,{names[1]}:0 leaves nothing: give at least one a weight above 0" in refusal(**{name: weights})
    assert Settings(**{name: {**weights, names[1]: 1e-9}})


@pytest.mark.parametrize("aspect", ["", "2", "0:1", "1:0", "2:1:1", "a:b", "100000:1", "-1:1"])
def test_an_aspect_is_two_whole_numbers(aspect: str) -> None:
    assert refusal(aspect=aspect).startswith("aspect: String should match pattern")


# Files


def test_map_files_moves_only_files() -> None:
    settings = Settings(init="noise", mask="sky.png,rest", labels="", network="my.safetensors")
    moved = settings.map_files(lambda file: f"to/{file}")
    assert (moved.init, moved.mask, moved.labels) == ("noise", ("to/sky.png", "rest"), "")
    assert moved.list_files() == [Path("to/sky.png"), Path("to/my.safetensors")]
    assert moved.model_fields_set == settings.model_fields_set
    assert settings.map_files(lambda file: f"to/{file}", among=["network"]).mask == settings.mask


@pytest.mark.parametrize(
    ("written", "device"), [("0", "cuda:0"), ("1", "cuda:1"), ("GPU", "gpu"), ("CUDA", "cuda"), ("cuda:1", "cuda:1")]
)
def test_devices_are_read_as_people_write_them(written: str, device: str) -> None:
    assert Settings(device=written).device == device


def test_known_networks_are_no_files() -> None:
    assert set(REGISTRY) == set(NETWORK_NAMES)
    assert all(Settings(network=name).list_files() == [] for name in NETWORK_NAMES)
