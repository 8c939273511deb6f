"""Settings that do something only beside certain values of another one; where they would not, they are refused."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from impasto.weighed import parse_weights, write_weights


class Companion(NamedTuple):
    """What a setting needs: one of the `choices` of the setting `of`, or a weight above 0 where there are none."""

    of: str
    choices: tuple[str, ...] = ()


_ADAM, _LBFGS = Companion("optimizer", ("adam",)), Companion("optimizer", ("lbfgs",))
COMPANIONS: dict[str, Companion] = {
    "color_space": Companion("color", ("keep", "only")),
    "color_match": Companion("color", ("match",)),
    "color_strength": Companion("color", ("keep", "match", "only")),
    "gram_shift": Companion("style_loss", ("gram", "sum", "mean")),
    "tv_loss": Companion("tv_weight"),
    "tv_exponent": Companion("tv_weight"),
    "pooling_gain": Companion("pooling", ("average", "l2")),
    "learning_rate": _ADAM,
    "adam_beta1": _ADAM,
    "adam_beta2": _ADAM,
    "adam_epsilon": _ADAM,
    "lbfgs_history": _LBFGS,
    "lbfgs_longest": _LBFGS,
    "lbfgs_range": _LBFGS,
    "lbfgs_low_first": _LBFGS,
}


def is_idle(name: str, values: Mapping[str, Any]) -> bool:
    """Would a setting do nothing beside these values, which may not be checked yet?"""
    if name not in COMPANIONS:
        return False
    of, choices = COMPANIONS[name]
    try:
        if not choices:
            return float(values[of]) == 0
        chosen = parse_weights(values[of])
    except (TypeError, ValueError):
        return False  # it is refused for itself
    return isinstance(chosen, Mapping) and not any(chosen.get(choice) for choice in choices)


def check_companions(values: Mapping[str, Any], defaults: Mapping[str, Any]) -> None:
    """Raise ValueError for a setting that is not at its default and does nothing beside the others."""
    for name, (of, choices) in COMPANIONS.items():
        if values[name] != defaults[name] and is_idle(name, values):
            raise ValueError(
                f"{_say(name, values[name])} does nothing with {_say(of, values[of])}: leave it out, or choose "
                f"{_flag(of)} {' or '.join(choices) or 'over 0'}"
            )


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _say(name: str, value: Any) -> str:
    """Write a setting as an option with its value."""
    if isinstance(value, bool):
        return _flag(name if value else f"no-{name}")
    if isinstance(value, Mapping):
        return f"{_flag(name)} {write_weights(value)}"
    return f"{_flag(name)} {value:g}" if isinstance(value, float) else f"{_flag(name)} {value}"
