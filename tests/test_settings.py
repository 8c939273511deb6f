"""Settings: presets fill, explicit values win, and everything can be written down and read back."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from impasto.perception.network import VGG19_DEPTHS, plan_layers
from impasto.settings import PRESETS, Settings, parse_weights, write_weights

TAPS = [layer for layer in plan_layers(VGG19_DEPTHS) if not layer.startswith("pool")]
tap_weights = st.dictionaries(st.sampled_from(TAPS), st.floats(0, allow_infinity=False), min_size=1)


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
    settings = Settings(preset=preset)
    for name, value in PRESETS[preset].items():
        assert getattr(settings, name) == value


@pytest.mark.parametrize("preset", ["monet", ["gatys2015"], None])
def test_an_unknown_preset_is_refused(preset: object) -> None:
    assert refusal(preset=preset).startswith("preset: Input should be 'default' or 'gatys2015'")


# Taps


@given(tap_weights)
def test_taps_are_read_as_they_are_written(taps: dict[str, float]) -> None:
    assert parse_weights(write_weights(taps)) == taps


def test_taps_as_a_person_writes_them() -> None:
    assert parse_weights("relu4_2:1, relu3_1:0.5 ,conv1_1") == {"relu4_2": 1, "relu3_1": 0.5, "conv1_1": 1}
    assert write_weights({"relu4_2": 1.0, "relu3_1": 0.5}) == "relu4_2:1,relu3_1:0.5"
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
        ("style_size", 0),
        ("style_weight", -1),
        ("content_weight", float("nan")),
        ("tv_weight", float("inf")),
        ("scale_step", 1),
        ("steps", 0),
        ("learning_rate", 0),
        ("average", 1),
        ("style_blend", (1, -1)),
        ("optimizer", "sgd"),
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


# Colour


@pytest.mark.parametrize(
    ("values", "message"),
    [
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
def test_colour_settings_that_contradict_each_other_are_refused(values: dict[str, object], message: str) -> None:
    assert re.search(message, refusal(**values))


@pytest.mark.parametrize(
    "values",
    [
        {"color": "keep", "color_space": "ycbcr", "color_strength": 0},
        {"color": "match", "color_match": "histogram", "color_strength": 0.3},
        {"color": "only", "color_space": "luv"},
        {"preset": "gatys2015", "color": "match", "color_match": "cholesky"},
    ],
)
def test_colour_settings_that_go_together_round_trip(values: dict[str, object]) -> None:
    settings = Settings(**values)
    assert settings.model_fields_set == set(values)
    assert Settings(**settings.model_dump()) == settings
