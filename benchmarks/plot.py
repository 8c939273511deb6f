"""Draw loss against time for both sides, from the figures that speed.py wrote.

    python benchmarks/plot.py FIGURES.json OUT.svg

Needs matplotlib: pip install impasto[benchmarks].
"""

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

STYLES = {"reference": "0.4", "impasto": "C0", "impasto, float32": "C1"}


def main() -> None:
    """Read the arguments, draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("figures", type=Path, metavar="FIGURES.json")
    parser.add_argument("out", type=Path, metavar="OUT.svg")
    arguments = parser.parse_args()
    draw(json.loads(arguments.figures.read_text()), arguments.out)


def draw(figures: Mapping[str, Any], path: Path) -> None:
    """Draw the curves of `figures`; the format is the suffix's: .svg, .png."""
    import matplotlib

    matplotlib.use("agg")
    matplotlib.rcParams["svg.hashsalt"] = "impasto"  # the same figures make the same file
    from matplotlib import pyplot, ticker

    plot, axes = pyplot.subplots(figsize=(8, 4.5), layout="constrained")
    for name, curve in figures["curves"].items():
        axes.loglog(curve["seconds"], curve["loss"], color=STYLES[name], label=f"{name}, as saved")
        axes.loglog(curve["seconds"], curve["loss_raw"], "--", color=STYLES[name], label=f"{name}, the canvas")
    axes.xaxis.set_minor_formatter(ticker.LogFormatter(labelOnlyBase=False))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter("{x:g}")
    axes.set_xlabel("seconds")
    axes.set_ylabel("loss, by the reference's float32 code")
    axes.legend()
    plot.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
    pyplot.close(plot)


if __name__ == "__main__":
    main()
