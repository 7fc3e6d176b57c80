"""Charts of drift and of accuracy in production as PNG, for the metadata of assets."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from ml_assets.charts import INK, PALETTE, REST, WARNING, as_png, legend_below, new_figure, plot_style
from ml_assets.monitoring.profiles import Profile

if TYPE_CHECKING:
    from matplotlib.axes import Axes

REFERENCE, TRAFFIC, CALM = REST, PALETTE[0], PALETTE[0]
BINS = 24
TAIL = 0.01
"""Share of the numbers at either end that a histogram leaves out: one huge value would put all others into one bin."""
SHOWN = 10
"""Maximum number of categories that are shown."""
HALF = 8
"""Font size of the titles of two charts side by side."""


def drift_chart(measured: pa.Table, reference: Profile, traffic: Profile) -> bytes:
    """PNG chart: each column's distance from the reference with its threshold, and the distributions of the worst column.

    Args:
        measured: Result of `drift.measure`; at least one row.
        reference: The profile of the held-out predictions.
        traffic: The profile of the window.
    """
    findings = sorted(measured.to_pylist(), key=lambda f: f["score"] / f["threshold"])
    names = [f["column"] for f in findings]
    with plot_style():
        figure = new_figure(0.9 + 0.3 * max(len(findings), 6), width=8.8)
        left, right = figure.subplots(1, 2, width_ratios=[1, 1.1])
        colours = [WARNING if f["drifted"] else CALM for f in findings]
        left.barh(names, [f["score"] for f in findings], height=0.6, color=colours)
        for i, f in enumerate(findings):
            left.plot([f["threshold"]] * 2, [i - 0.4, i + 0.4], color=INK, linewidth=1.6)
        left.set_xlim(0, max(0.3, *(1.1 * max(f["score"], f["threshold"]) for f in findings)))
        left.grid(axis="y", visible=False)
        left.set_title("distance from held-out data (line: warns from here on)", fontsize=HALF)
        _distributions(right, findings[-1]["column"], reference, traffic)
        return as_png(figure)


def accuracy_chart(rows: pa.Table) -> bytes:
    """PNG chart: accuracy by day with its 95 % interval, one line per model, from at least one row of table `live_accuracy`."""
    everything = sorted(rows.to_pylist(), key=lambda r: (r["model"], r["day"]))
    models = list(dict.fromkeys(r["model"] for r in everything))
    days = sorted({date.fromisoformat(r["day"]) for r in everything})
    with plot_style():
        figure = new_figure(2.8, width=7.2)
        axes = figure.add_subplot()
        for i, model in enumerate(models):
            # models that answered on the same day stand beside each other
            aside = 0.12 * (i - (len(models) - 1) / 2)
            _line(axes, [r for r in everything if r["model"] == model], days[0], aside, above=bool(i % 2))
        shown = days[:: max(1, len(days) // 10)]
        axes.set_xticks([(d - days[0]).days for d in shown], [f"{d:%d %b}" for d in shown])
        axes.set_xlim(-0.5, (days[-1] - days[0]).days + 0.5)
        axes.set_ylim(max(-0.08, min(r["low"] for r in everything) - 0.1), 1.06)
        axes.grid(axis="x", visible=False)
        axes.set_title("accuracy by feedback, with 95 % interval")
        legend_below(figure)
        return as_png(figure)


def _line(axes: "Axes", own: Sequence[Mapping[str, Any]], first: date, aside: float, above: bool) -> None:
    """Draw the accuracy of one model; the number of answers is written above or below each interval."""
    x = [(date.fromisoformat(r["day"]) - first).days + aside for r in own]
    y = [r["accuracy"] for r in own]
    spread = [[a - r["low"] for a, r in zip(y, own, strict=True)], [r["high"] - a for a, r in zip(y, own, strict=True)]]
    axes.errorbar(x, y, yerr=spread, fmt="o-", capsize=3, markersize=4, linewidth=1.2, label=own[0]["model"])
    for at, r in zip(x, own, strict=True):
        place, gap = ((at, r["high"]), 4) if above else ((at, r["low"]), -9)
        axes.annotate(f"n={r['feedback']}", place, xytext=(0, gap), textcoords="offset points", ha="center", fontsize=7)


def _distributions(axes: "Axes", column: str, reference: Profile, traffic: Profile) -> None:
    """Draw the distribution of a column's values in both profiles beside each other."""
    numbers = reference.is_number(column) and traffic.is_number(column)
    if numbers:
        (a, b), (c, d) = reference.range(column, TAIL), traffic.range(column, TAIL)
        low, high = min(a, c), max(b, d)
        edges = np.linspace(low, high if high > low else low + 1, BINS + 1)
        for each, colour, name in ((reference, REFERENCE, "held-out data"), (traffic, TRAFFIC, "traffic")):
            shares = each.shares(column, edges.tolist())
            axes.stairs(shares, edges, fill=True, alpha=0.35, color=colour)
            axes.stairs(shares, edges, color=colour, linewidth=1.4, label=name)
    else:
        before, now = reference.categories(column), traffic.categories(column)
        a, b = max(1, sum(before.values())), max(1, sum(now.values()))
        names = sorted({*before, *now}, key=lambda n: before.get(n, 0) / a + now.get(n, 0) / b)[-SHOWN:]
        place = np.arange(len(names))
        axes.barh(place + 0.19, [before.get(n, 0) / a for n in names], 0.36, color=REFERENCE, label="held-out data")
        axes.barh(place - 0.19, [now.get(n, 0) / b for n in names], 0.36, color=TRAFFIC, label="traffic")
        axes.set_yticks(place, names)
    axes.grid(axis="x" if numbers else "y", visible=False)
    axes.set_title(f"{column}: share of rows", fontsize=HALF)
    axes.legend()
