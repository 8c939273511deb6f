"""From what was measured to figures: medians over the rounds, and the ratios between both sides."""

from collections.abc import Mapping
from statistics import median
from typing import Any

from pieces import Figures

Results = dict[str, list[Figures]]  # by task, one for each round

# Of two tasks' figures: over, under.
RATIOS: dict[str, tuple[tuple[str, str], tuple[str, str]]] = {
    "step_ratio": (("reference_step", "seconds"), ("impasto_step", "seconds")),
    "step_ratio_float32": (("reference_step", "seconds"), ("impasto_step_float32", "seconds")),
    "step_ratio_1024": (("reference_step_1024", "seconds"), ("impasto_step_1024", "seconds")),
    **{
        f"time_to_loss_ratio{goal}{precision}": (
            ("reference_curve", "seconds"),
            (f"impasto_curve{precision}", f"seconds_to_loss{goal}"),
        )
        for goal in ("", "_raw")
        for precision in ("", "_float32")
    },
    "bound_ratio": (("impasto_step", "seconds"), ("bound", "seconds")),
    "bound_ratio_1024": (("impasto_step_1024", "seconds"), ("bound_1024", "seconds")),
    "memory_ratio": (("impasto_step_1024", "peak_bytes"), ("reference_step_1024", "peak_bytes")),
    "memory_ratio_full_history": (
        ("impasto_step_1024", "peak_bytes"),
        ("reference_step_1024", "peak_bytes_full_history"),
    ),
    **{
        f"{name}_picture_in_reference_steps": ((f"{name}_picture", "seconds"), ("reference_step", "seconds"))
        for name in ("default", "draft", "fine")
    },
    "default_1024_over_512": (("default_picture_1024", "seconds"), ("default_picture", "seconds")),
    "peer_over_default": (("peer", "seconds"), ("default_picture", "seconds")),
    "per_megapixel_2048_over_512": (
        ("impasto_step_2048", "seconds_per_megapixel"),
        ("impasto_step", "seconds_per_megapixel"),
    ),
}

# When impasto has reached the reference's loss: of the picture as it would be saved, with values in [0, 1], and of the
# canvas as it is, whose values may be outside and match a style that no picture can.
GOALS = {"seconds_to_loss": "loss", "seconds_to_loss_raw": "loss_raw"}

CURVES = {  # in a plot
    "reference": "reference_curve",
    "impasto": "impasto_curve",
    "impasto, float32": "impasto_curve_float32",
}


def summarise(results: Results) -> dict[str, Any]:
    """Return the ratios, the medians over the rounds by task, the curves of the first round, and all rounds."""
    if "reference_curve" in results:
        reference = results["reference_curve"][0]
        for figures in results.get("impasto_curve", []) + results.get("impasto_curve_float32", []):
            for name, loss in GOALS.items():
                figures[name] = reach(figures["curve"], loss, reference[loss])
    medians = {name: take_medians(rounds) for name, rounds in results.items()}
    curves = {label: results[name][0]["curve"] for label, name in CURVES.items() if name in results}
    ratios = {name: divide(medians, *pair) for name, pair in RATIOS.items()}
    startup = medians.get("startup", {}).get("seconds_over_torch")
    return {**ratios, "startup_over_torch_s": startup, "medians": medians, "curves": curves, "rounds": results}


def reach(curve: Mapping[str, list[float]], loss: str, goal: float) -> float | None:
    """Return the seconds at which a curve's `loss` is first at `goal` or below."""
    times = (seconds for seconds, value in zip(curve["seconds"], curve[loss], strict=True) if value <= goal)
    return next(times, None)


def take_medians(rounds: list[Figures]) -> dict[str, float]:
    """Return the median of each figure that is a number in every round."""
    return {
        name: median(figures[name] for figures in rounds)
        for name in rounds[0]
        if all(isinstance(figures[name], int | float) for figures in rounds)
    }


def divide(medians: Mapping[str, Mapping[str, float]], over: tuple[str, str], under: tuple[str, str]) -> float | None:
    """Return one figure over another; None where one was not measured, or the loss not reached."""
    above, below = (medians.get(task, {}).get(figure) for task, figure in (over, under))
    return above / below if above is not None and below is not None else None
