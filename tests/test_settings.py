"""Settings: presets fill, explicit values win, and everything can be written down and read back."""

import itertools
import re
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from impasto.network.registry import REGISTRY
from impasto.network.vgg import VGG19_DEPTHS, plan_layers
from impasto.settings.model import Settings
from impasto.settings.presets import ON_SLIM, PRESETS
from impasto.settings.types import NETWORK_NAMES, Preset
from impasto.settings.weights_text import format_weights, parse_weights

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
    assert (settings.content_loss, settings.style_loss, settings.tv_weight) == ("sum", {"sum": 1.0}, 0)
    assert settings.content_weight / settings.style_weight in (1e-3, 1e-4)  # the two ratios that the paper names
    assert (settings.pooling, settings.pooling_gain, settings.padding) == ("average", False, "zero")
    assert (settings.init, settings.optimizer, settings.average) == ("noise", "lbfgs", 0)
    assert settings.start_size >= settings.size  # one scale


def test_what_is_given_wins_over_the_preset_wherever_it_stands() -> None:
    preset = Settings(preset="gatys2015")
    changed = Settings(init="photo", preset="gatys2015", style_weight=5)
    assert (changed.init, changed.style_weight) == ("photo", 5)
    assert changed.model_dump(exclude={"init", "style_weight"}) == preset.model_dump(exclude={"init", "style_weight"})


def test_the_default_preset_changes_nothing() -> None:
    assert Settings(preset="default") == Settings()


def test_what_only_the_preset_has_set_does_not_count_as_given() -> None:
    settings = Settings(preset="gatys2015", init="noise", size=99)
    assert settings.model_fields_set == {"preset", "init", "size"}
    again = Settings(**settings.model_dump(exclude_unset=True))
    assert again == settings
    assert Settings(**{**settings.model_dump(exclude_unset=True), "preset": "default"}) == Settings(
        init="noise", size=99
    )


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_names_only_settings_and_its_values_hold(preset: str) -> None:
    settings = Settings(preset=preset, network="vgg19")
    for name, value in PRESETS[preset].items():
        assert getattr(settings, name) == value


@pytest.mark.parametrize("preset", ["monet", ["gatys2015"], None])
def test_an_unknown_preset_is_refused(preset: object) -> None:
    assert refusal(preset=preset).startswith("preset: Input should be 'default', 'draft', 'fine'")


# Taps


@given(tap_weights)
def test_taps_are_read_as_they_are_written(taps: dict[str, float]) -> None:
    assert parse_weights(format_weights(taps)) == taps


def test_taps_as_a_person_writes_them() -> None:
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
def test_what_a_preset_says_of_something_that_was_chosen_otherwise_is_left_out(
    preset: str, chosen: dict[str, object], dropped: tuple[str, ...]
) -> None:
    settings = Settings(preset=preset, **chosen)
    for name in dropped:
        assert name in PRESETS[preset]
        assert getattr(settings, name) == Settings.model_fields[name].default
    assert Settings(**settings.model_dump()) == settings


@pytest.mark.parametrize("preset", ON_SLIM)
def test_on_the_embedded_network_a_preset_has_weights_for_that(preset: str) -> None:
    for settings in (Settings(preset=preset), Settings(preset=preset, network="slim")):
        for name, value in {**PRESETS[preset], **ON_SLIM[preset]}.items():
            assert getattr(settings, name) == value
    given = Settings(preset=preset, style_weight=3, content_taps="relu3_1")
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
        ("average", 1),
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
        ("limits", "box"),
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
def test_what_makes_no_sense_is_refused_by_name(field: str, value: object) -> None:
    assert refusal(**{field: value}).startswith(f"{field}: Input should be")


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_says_what_it_does_and_where_it_belongs(name: str) -> None:
    field = Settings.model_fields[name]
    assert field.description
    assert isinstance(field.json_schema_extra, dict)
    assert field.json_schema_extra["group"] in (
        "Picture",
        "Beginning",
        "Content and style",
        "Where",
        "Colour",
        "Network",
        "Optimising",
    )
    assert not field.is_required()


def test_a_colon_wants_a_weight() -> None:
    with pytest.raises(ValueError, match="'' is not a weight"):
        parse_weights("relu4_1:,relu5_1:0.5")


# Settings that need each other


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"learning_rate": 0.1}, "--learning-rate 0.1 does nothing with --optimizer lbfgs: .* --optimizer adam"),
        ({"optimizer": "adam", "lbfgs_history": 9}, "--lbfgs-history 9 does nothing with --optimizer adam: .* lbfgs"),
        (
            {"optimizer": "adam", "lbfgs_preconditioner": False},
            "--no-lbfgs-preconditioner does nothing with --optimizer adam",
        ),
        ({"pooling_gain": False}, "--no-pooling-gain does nothing with --pooling max: .* --pooling average or l2"),
        ({"tv_weight": 0, "tv_loss": "sum"}, "--tv-loss sum does nothing with --tv-weight 0: .* --tv-weight over 0"),
        ({"tv_weight": "0", "tv_exponent": 1}, "--tv-exponent 1 does nothing with --tv-weight 0"),
        (
            {"style_loss": "wasserstein", "gram_shift": -1},
            "--gram-shift -1 .* --style-loss wasserstein:1: .* gram or sum",
        ),
        ({"style_loss": {"gram": 0, "histogram": 1}, "gram_shift": -1}, "--gram-shift -1 does nothing"),
        ({"color_match": "pca"}, "--color-match pca does nothing with --color none: leave it out, or choose "),
        ({"color": "keep", "color_match": "pca"}, "--color-match pca does nothing with --color keep: .* --color match"),
        ({"color": "only", "color_match": "histogram"}, "histogram does nothing with --color only"),
        (
            {"color": "match", "color_space": "luv"},
            "--color-space luv does nothing with --color match: .* keep or only",
        ),
        ({"color_space": "yuv"}, "--color-space yuv does nothing with --color none"),
        ({"color_strength": 0.5}, "--color-strength 0.5 does nothing with --color none: .* keep or match or only"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(values: dict[str, object], message: str) -> None:
    assert re.search(message, refusal(**values))


@pytest.mark.parametrize(
    "values",
    [
        {"color": "keep", "color_space": "ycbcr", "color_strength": 0},
        {"color": "match", "color_match": "histogram", "color_strength": 0.3},
        {"color": "only", "color_space": "luv"},
        {"preset": "gatys2015", "color": "match", "color_match": "cholesky"},
        {"preset": "style-transfer-pytorch", "learning_rate": 0.1, "adam_beta1": 0.5},
        {"style_loss": "mean:0.5,histogram", "gram_shift": -1},
    ],
)
def test_settings_that_go_together_round_trip(values: dict[str, object]) -> None:
    settings = Settings(**values)
    assert settings.model_fields_set == set(values)
    assert Settings(**settings.model_dump()) == settings


# One above the other: what is asked for now, and what was before


def over(before: dict[str, object], strict: bool = True, **asked: object) -> Settings:
    return Settings.model_validate({**before, **asked}, context={"asked": asked, "strict": strict})


@pytest.mark.parametrize("name", ["color_match", "init_noise", "learning_rate"])
def test_what_does_nothing_is_refused_where_it_is_asked_for_at_its_default(name: str) -> None:
    default = Settings.model_fields[name].default
    leader = {"init": "noise"} if name == "init_noise" else {}
    assert Settings(**{name: default}, **leader)
    assert over({}, strict=False, **{name: default}, **leader)
    with pytest.raises(ValidationError, match="does nothing with"):
        over({}, **{name: default}, **leader)


def test_what_was_before_gives_way_where_it_would_do_nothing_any_more() -> None:
    before = Settings(color="match", color_match="pca", init_noise=0.3, noise="normal").model_dump()
    after = over(before, color="none", init="noise")
    assert (after.color_match, after.init_noise, after.noise) == ("symmetric", 0, "normal")
    assert over(before, color="match") == Settings(**before)


def test_the_balance_and_the_weights_take_each_others_place() -> None:
    before = Settings(style_weight=3, content_weight=2).model_dump()
    turned = over(before, balance=70)
    assert (turned.style_weight, turned.content_weight, turned.balance) == (1, 0.138, 70)
    again = over(turned.model_dump(), style_weight=5)
    assert (again.style_weight, again.content_weight, again.balance) == (5, 0.138, 50)
    assert over({"preset": "gatys2015"}, balance=50).weights == Settings(preset="gatys2015").weights


@pytest.mark.parametrize("weight", ["content_weight", "style_weight"])
def test_the_balance_beside_a_weight_is_refused(weight: str) -> None:
    said = f"--balance 70 and --{weight.replace('_', '-')} 7 contradict each other"
    assert said in refusal(balance=70, **{weight: 7})
    assert said in refusal(preset="gatys2015", balance=70, **{weight: 7})
    with pytest.raises(ValidationError, match="--balance 50 and"):
        over({}, balance=50, **{weight: 1})


def test_the_balance_turns_the_presets_weights_evenly_and_leaves_them_in_the_middle() -> None:
    assert Settings(balance=50).weights == (0.138, 1)
    ratios = [style / content for content, style in (Settings(balance=at).weights for at in range(0, 101, 10))]
    steps = [above / below for below, above in itertools.pairwise(ratios)]
    assert min(steps) > 1.5
    assert max(steps) == pytest.approx(min(steps))


@pytest.mark.parametrize("init", ["", "  "])
def test_an_empty_beginning_is_refused(init: str) -> None:
    assert f"takes noise, photo, painting, gray or the name of a picture file; not {init!r}" in refusal(init=init)


@pytest.mark.parametrize("name", ["content_taps", "style_taps", "style_loss"])
def test_weights_that_are_all_0_are_refused(name: str) -> None:
    names = ("gram", "sum") if name == "style_loss" else ("relu1_1", "relu2_1")
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


def test_known_networks_are_no_files() -> None:
    assert set(REGISTRY) == set(NETWORK_NAMES)
    assert all(Settings(network=name).list_files() == [] for name in NETWORK_NAMES)
