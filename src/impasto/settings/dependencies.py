"""Which settings have an effect only with certain values of others, and which contradict each other."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any, NamedTuple

from impasto.errors import UsageError
from impasto.settings.model import Settings
from impasto.settings.types import format_weights


class Condition(NamedTuple):
    """A setting that is one of `values`, or none of `excluded`; or, without both, above 0 or not empty.

    With `several`, something in it after the first must be above 0.
    """

    setting: str
    values: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()
    several: bool = False

    def is_met(self, settings: Settings) -> bool:
        """Is it met?"""
        value = getattr(settings, self.setting)
        if self.excluded:
            return value not in self.excluded
        if self.several:
            return any(value[1:])
        if isinstance(value, Mapping):
            return any(value.get(name) for name in self.values)
        return value in self.values if self.values else bool(value)

    def describe(self) -> str:
        """Say how to meet it."""
        if self.excluded:
            return f"another `{self.setting}`"
        if self.several:
            return f"several `{self.setting}`"
        default = Settings.model_fields[self.setting].default
        words = " or ".join(self.values) or ("above 0" if isinstance(default, float) else "")
        return f"`{self.setting}` {words}".rstrip()


_NEEDS_ADAM, _NEEDS_LBFGS = (Condition("optimizer", ("adam",)),), (Condition("optimizer", ("lbfgs",)),)
_NEEDS_NOISE = (Condition("init", ("noise",)), Condition("init_noise"))
# Each of these settings has an effect where one of its conditions is met.
DEPENDENCIES: dict[str, tuple[Condition, ...]] = {
    "init_noise": (Condition("init", excluded=("noise",)),),
    "init_blur": (Condition("init", excluded=("noise", "gray")),),
    "fast_strength": (Condition("init", ("fast",)),),
    "noise": _NEEDS_NOISE,
    "noise_strength": _NEEDS_NOISE,
    "coarse_taps": (Condition("views", several=True),),
    "content_colors": (Condition("views", several=True),),
    "large_view_size": (Condition("large_view_network", excluded=("same",)),),
    "guard_mask": (Condition("guard"),),
    "labels": (Condition("style_labels"),),
    "style_labels": (Condition("labels"),),
    "mask_propagation": tuple(map(Condition, ("mask", "style_mask", "labels", "regions"))),
    "color_space": (Condition("color", ("keep", "only")),),
    "color_match": (Condition("color", ("match",)),),
    "color_strength": (Condition("color", ("keep", "match", "only")),),
    "gram_shift": (Condition("style_loss", ("gram", "gatys", "gram_mean")),),
    "tv_loss": (Condition("tv_weight"),),
    "tv_exponent": (Condition("tv_weight"),),
    "pooling_gain": (Condition("pooling", ("average", "l2")),),
    "learning_rate": _NEEDS_ADAM,
    "adam_beta1": _NEEDS_ADAM,
    "adam_beta2": _NEEDS_ADAM,
    "adam_epsilon": _NEEDS_ADAM,
    "lbfgs_history": _NEEDS_LBFGS,
    "lbfgs_max_step": _NEEDS_LBFGS,
    "lbfgs_range": _NEEDS_LBFGS,
    "lbfgs_preconditioner": _NEEDS_LBFGS,
}
# A run may be steered from or to a `content_weight` of 0, and how many scales there are depends on the photo: these
# settings are not refused where they have no effect, but noted.
CONTENT_SETTINGS = ("content_taps", "coarse_taps", "content_loss", "content_colors", "structure_weight")
GUARD_SETTINGS = ("guard", "guard_mask")
LATER_SCALE_SETTINGS = ("later_steps", "final_steps", "scale_step")
# Ways to say which part of the canvas takes its style from where: there can be only one.
REGION_SETTINGS = (("mask", "style_mask"), ("labels", "style_labels"), ("regions",))
# One pass has its own network, and takes no steps: of these groups it uses a few settings alone.
STEP_GROUPS = ("Content and style", "Network", "Optimizing")
USED_IN_ONE_PASS = {"style_size", "style_blend", "device", "precision", "memory", "start_size", "steps"}


def list_ineffective(settings: Settings, given: Collection[str]) -> list[str]:
    """List the settings among those `given` that have no effect with the values of the others.

    Example: list_ineffective(Settings(optimizer="lbfgs"), ["learning_rate"]) == ["learning_rate"]
    """
    return [
        name
        for name, conditions in DEPENDENCIES.items()
        if name in given
        and getattr(settings, name) not in ("", ())  # without a file there is nothing to have an effect
        and not any(condition.is_met(settings) for condition in conditions)
    ]


def check_settings(settings: Settings, given: Collection[str]) -> None:
    """Raise UsageError for settings that contradict each other, or that are `given` and have no effect."""
    ways = [next(name for name in way if getattr(settings, name)) for way in _list_region_ways(settings)]
    if len(ways) > 1:
        raise UsageError(
            f"`{ways[0]}` and `{ways[1]}` both say which part takes its style from where: leave one out",
            setting=ways[1],
        )
    for name in list_ineffective(settings, given):
        conditions = DEPENDENCIES[name]
        other = conditions[0].setting
        raise UsageError(
            f"`{name}` has no effect with `{other}` {_format_value(getattr(settings, other))}: leave it out, or choose "
            f"{', or '.join(condition.describe() for condition in conditions)}",
            setting=name,
        )


def drop_conflicting(base: Mapping[str, Any], given: Iterable[str]) -> dict[str, Any]:
    """Drop earlier settings that conflict with those given now."""
    given = set(given)
    ways = [way for way in REGION_SETTINGS if given & {*way}]
    gone = {name for way in REGION_SETTINGS if ways and way not in ways for name in way}
    return {name: value for name, value in base.items() if name not in gone}


def note_without_effect(settings: Settings, given: Collection[str], scales: int) -> list[str]:
    """Say which of the settings `given` have no effect on a picture of so many scales."""
    reasons: dict[str, str] = {}
    if not settings.content_weight:
        guards = () if settings.init == "fast" else GUARD_SETTINGS  # which the one pass heeds whatever the weights
        reasons = dict.fromkeys((*CONTENT_SETTINGS, *guards), " with `content_weight` 0")
    if scales == 1:
        reasons |= dict.fromkeys(LATER_SCALE_SETTINGS, ": the picture is painted at one scale")
    return [f"`{name}` has no effect{why}." for name, why in reasons.items() if name in given]


def note_unused(names: Collection[str]) -> list[str]:
    """Say that settings were given which one pass does not use."""
    listed = ", ".join(f"`{name}`" for name in names)
    return [f"One pass has no use for {listed}: left out. Other presets paint in steps."] if names else []


def _list_region_ways(settings: Settings) -> list[tuple[str, ...]]:
    return [way for way in REGION_SETTINGS if any(getattr(settings, name) for name in way)]


def _format_value(value: Any) -> str:
    """Write a setting's value as a person does."""
    if isinstance(value, Mapping):
        return format_weights(value)
    if value and isinstance(value, tuple):
        return ",".join(map(_format_value, value))
    return f"{value:g}" if isinstance(value, int | float) else str(value or "empty")


def check_one_pass(settings: Settings) -> None:
    """Raise UsageError where the settings ask for more than one pass."""
    if not settings.is_one_pass:
        named = next((name for name in ("init", "steps", "start_size") if name in settings.model_fields_set), "preset")
        raise UsageError(
            f"`{named}`: one pass has the preset instant, and takes no steps. Leave it out, or paint in steps.",
            setting=named,
        )
