"""Settings that do something only beside certain values of another one; where they would not, they are refused."""

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from impasto.settings.weights_text import format_weights, parse_weights


class Dependency(NamedTuple):
    """What a setting needs: one of the `choices` of the setting `of`, or none of those `but`, or else a weight above 0.

    Where `instead` is above 0 it needs nothing else.
    """

    setting: str
    values: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()
    unless: str = ""


_NEEDS_ADAM, _NEEDS_LBFGS = Dependency("optimizer", ("adam",)), Dependency("optimizer", ("lbfgs",))
_NEEDS_NOISE = Dependency("init", ("noise",), unless="init_noise")
DEPENDENCIES: dict[str, Dependency] = {
    "init_noise": Dependency("init", excluded=("noise",)),
    "init_blur": Dependency("init", excluded=("noise", "gray")),
    "noise": _NEEDS_NOISE,
    "noise_strength": _NEEDS_NOISE,
    "color_space": Dependency("color", ("keep", "only")),
    "color_match": Dependency("color", ("match",)),
    "color_strength": Dependency("color", ("keep", "match", "only")),
    "gram_shift": Dependency("style_loss", ("gram", "sum", "mean")),
    "tv_loss": Dependency("tv_weight"),
    "tv_exponent": Dependency("tv_weight"),
    "pooling_gain": Dependency("pooling", ("average", "l2")),
    "learning_rate": _NEEDS_ADAM,
    "adam_beta1": _NEEDS_ADAM,
    "adam_beta2": _NEEDS_ADAM,
    "adam_epsilon": _NEEDS_ADAM,
    "lbfgs_history": _NEEDS_LBFGS,
    "lbfgs_max_step": _NEEDS_LBFGS,
    "lbfgs_range": _NEEDS_LBFGS,
    "lbfgs_preconditioner": _NEEDS_LBFGS,
}


def has_no_effect(name: str, values: Mapping[str, Any]) -> bool:
    """Would a setting do nothing beside these values, which may not be checked yet?"""
    if name not in DEPENDENCIES:
        return False
    of, choices, but, instead = DEPENDENCIES[name]
    try:
        if instead and float(values[instead]) > 0:
            return False
        if but:
            return values[of] in but
        if not choices:
            return float(values[of]) == 0
        chosen = parse_weights(values[of])
    except (TypeError, ValueError):
        return False  # it is refused for itself
    return isinstance(chosen, Mapping) and not any(chosen.get(choice) for choice in choices)


def check_dependencies(values: Mapping[str, Any], defaults: Mapping[str, Any], asked: Collection[str] = ()) -> None:
    """Raise ValueError for a setting that is asked for, or not at its default, and does nothing beside the others."""
    for name, (of, choices, but, instead) in DEPENDENCIES.items():
        if (name in asked or values[name] != defaults[name]) and has_no_effect(name, values):
            choose = f"another {_flag(of)}" if but else f"{_flag(of)} {' or '.join(choices) or 'over 0'}"
            raise ValueError(
                f"{_format_option(name, values[name])} does nothing with {_format_option(of, values[of])}: leave "
                f"it out, or choose {choose}"
                f"{f', or {_flag(instead)} over 0' if instead else ''}"
            )


WEIGHTS = ("content_weight", "style_weight")  # which `balance` stands for
CONFLICTS = (  # ways to say the same thing, of which there can be only one
    (WEIGHTS, ("balance",)),
    (("mask", "style_mask"), ("labels", "style_labels"), ("regions",)),
)


def drop_conflicting(values: Mapping[str, Any], asked: Collection[str]) -> dict[str, Any]:
    """Leave out what was said in another way than what is asked for now."""
    gone = set()
    for ways in CONFLICTS:
        taken = [way for way in ways if any(name in asked for name in way)]
        gone |= {name for way in ways if taken and way not in taken for name in way}
    return {name: value for name, value in values.items() if name not in gone}


def check_balance(values: Mapping[str, Any], usual: Mapping[str, Any], asked: Collection[str] = ()) -> None:
    """Raise ValueError where the balance and a weight are both asked for, or not what they are usually."""
    balance, *weights = (name in asked or values[name] != usual[name] for name in ("balance", *WEIGHTS))
    if balance and any(weights):
        name = WEIGHTS[weights.index(True)]
        raise ValueError(
            f"{_format_option('balance', values['balance'])} and {_format_option(name, values[name])} "
            "contradict each other: the balance "
            "turns the preset's own weights, leave one of the two out"
        )


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _format_option(name: str, value: Any) -> str:
    """Write a setting as an option with its value."""
    if isinstance(value, bool):
        return _flag(name if value else f"no-{name}")
    if isinstance(value, Mapping):
        return f"{_flag(name)} {format_weights(value)}"
    return f"{_flag(name)} {value:g}" if isinstance(value, float) else f"{_flag(name)} {value}"
