"""The figures of speed.py as tables for a person."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table


def show(figures: Mapping[str, Any]) -> None:
    """Print machine, medians and ratios."""
    console = Console(width=130, highlight=False)
    about = {**figures["machine"], "pictures": " and ".join(figures["pictures"])}
    for name, value in about.items():
        console.print(f"{name:12} {value}", markup=False)
    console.print(list_medians(figures), list_ratios(figures))


def list_medians(figures: Mapping[str, Any]) -> Table:
    """Lay out what was measured of each task: the median over the rounds, and how far the rounds lie apart."""
    size = figures["size"]
    table = Table(title=f"Medians at {size} px; _1024 is {2 * size} px, _2048 {4 * size} px")
    for column in (
        "task",
        "seconds",
        "least to most",
        "loss as saved",
        "of the canvas",
        "style_all",
        "content",
        "peak MB",
    ):
        table.add_column(column, justify="left" if column == "task" else "right")
    for task, median in figures["medians"].items():
        seconds = [each["seconds"] for each in figures["rounds"][task]]
        table.add_row(
            task,
            _write(median["seconds"]),
            f"{min(seconds):.3g} to {max(seconds):.3g}",
            *(_write(median.get(name)) for name in ("loss", "loss_raw", "style_all", "content")),
            _write(median["peak_bytes"] / 1e6 if "peak_bytes" in median else None),
        )
    return table


def list_ratios(figures: Mapping[str, Any]) -> Table:
    """Lay out the ratios, explained in speed.py's --help."""
    table = Table("ratio", "value", title="Ratios")
    for name, value in figures.items():
        if isinstance(value, float):
            table.add_row(name, _write(value))
    return table


def _write(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"
