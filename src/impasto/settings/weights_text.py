"""Weights by name, as a person writes them."""

from collections.abc import Mapping
from typing import Any


def parse_weights(value: Any) -> Any:
    """Read `relu4_2:1,relu3_1:0.5` as {"relu4_2": 1.0, "relu3_1": 0.5}; a name without a weight counts 1."""
    if not isinstance(value, str):
        return value
    weights: dict[str, float] = {}
    for item in value.split(","):
        name, colon, weight = item.strip().partition(":")
        if name in weights:
            raise ValueError(f"{name!r} is named twice")
        try:
            weights[name] = float(weight) if colon else 1.0
        except ValueError:
            raise ValueError(f"{weight!r} is not a weight; write it as relu4_2:1,relu3_1:0.5") from None
    return weights


def format_weights(weights: Mapping[str, float]) -> str:
    """Write {"relu4_2": 1.0} as `relu4_2:1`, every digit that `parse_weights` needs to read the same weights."""
    return ",".join(f"{name}:{repr(float(weight)).removesuffix('.0')}" for name, weight in weights.items())


def check_weights(weights: dict[str, float]) -> dict[str, float]:
    """Refuse weights that are all 0."""
    if weights and not any(weights.values()):
        raise ValueError(f"{format_weights(weights)} leaves nothing: give at least one a weight above 0")
    return weights
