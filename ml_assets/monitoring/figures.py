"""Charts for the metadata of assets, as Markdown with the picture inside: nothing to serve, nothing to lose."""

import base64
import io
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from ml_assets.monitoring.profiles import Profile

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

REFERENCE, TRAFFIC, WARNING, CALM = "#8a8f98", "#2563eb", "#c2410c", "#2563eb"
BINS = 24
TAIL = 0.01
"""Share of the numbers at either end that a histogram leaves out: one huge value would squeeze all others into one bin."""
SHOWN = 10
"""Categories that are shown; the others are left out."""


def markdown(png: bytes, caption: str) -> str:
    """The picture as a Markdown image with a data URI."""
    return f"![{caption}](data:image/png;base64,{base64.b64encode(png).decode()})"


def drift_chart(measured: pa.Table, reference: Profile, traffic: Profile) -> bytes:
    """PNG: each column's distance from the reference beside its threshold, and the distributions of the worst column.

    Args:
        measured: What `drift.measure` returns; at least one row.
        reference: The profile of the held-out predictions.
        traffic: The profile of the window.
    """
    findings = sorted(measured.to_pylist(), key=lambda f: f["score"] / f["threshold"])
    figure = _figure(8.4, 0.9 + 0.3 * max(len(findings), 6))
    left, right = figure.subplots(1, 2, width_ratios=[1, 1.1])
    names = [f["column"] for f in findings]
    left.barh(names, [f["score"] for f in findings], height=0.6, color=[WARNING if f["drifted"] else CALM for f in findings])
    for i, f in enumerate(findings):
        left.plot([f["threshold"]] * 2, [i - 0.4, i + 0.4], color="black", linewidth=1.6)
    left.set_xlim(0, max(0.3, *(1.1 * max(f["score"], f["threshold"]) for f in findings)))
    left.set_title("distance from held-out data (line: warns from here on)", fontsize=8.5, loc="left")
    _distributions(right, findings[-1]["column"], reference, traffic)
    return _png(figure)


def accuracy_chart(rows: pa.Table) -> bytes:
    """PNG: accuracy by day with its 95 % interval, one line per model. Takes rows of table `live_accuracy`, at least one."""
    from datetime import date

    figure = _figure(7.2, 2.8)
    axes: Axes = figure.subplots()
    everything = sorted(rows.to_pylist(), key=lambda r: (r["model"], r["day"]))
    models = list(dict.fromkeys(r["model"] for r in everything))
    days = sorted({date.fromisoformat(r["day"]) for r in everything})
    for i, model in enumerate(models):
        own = [r for r in everything if r["model"] == model]
        # models that answered on the same day stand beside each other
        x = [(date.fromisoformat(r["day"]) - days[0]).days + 0.12 * (i - (len(models) - 1) / 2) for r in own]
        y = [r["accuracy"] for r in own]
        spread = [[a - r["low"] for a, r in zip(y, own, strict=True)], [r["high"] - a for a, r in zip(y, own, strict=True)]]
        axes.errorbar(x, y, yerr=spread, fmt="o-", capsize=3, markersize=4, linewidth=1.2, label=model)
        for xi, r in zip(x, own, strict=True):
            axes.annotate(
                f"n={r['feedback']}",
                (xi, r["high"] if i % 2 else r["low"]),
                xytext=(0, 4 if i % 2 else -9),
                textcoords="offset points",
                ha="center",
                fontsize=7,
            )
    shown = days[:: max(1, len(days) // 10)]
    axes.set_xticks([(d - days[0]).days for d in shown], [f"{d:%d %b}" for d in shown])
    axes.set_xlim(-0.5, (days[-1] - days[0]).days + 0.5)
    low = min(r["low"] for r in everything)
    axes.set_ylim(max(-0.08, low - 0.1), 1.06)
    axes.set_title("accuracy by feedback, with 95 % interval", fontsize=9, loc="left")
    axes.legend(fontsize=8, frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return _png(figure)


def _distributions(axes: "Axes", column: str, reference: Profile, traffic: Profile) -> None:
    if reference.is_number(column) and traffic.is_number(column):
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
    axes.set_title(f"{column}: share of rows", fontsize=8.5, loc="left")
    axes.legend(fontsize=8, frameon=False)


def _figure(width: float, height: float) -> "Figure":
    """A figure of its own, outside pyplot: no display, no state that is shared between threads."""
    import matplotlib
    from matplotlib.figure import Figure

    matplotlib.rcParams["text.parse_math"] = False  # a `$` in a class or a column is a `$`
    return Figure(figsize=(width, height), dpi=110, layout="constrained")


def _png(figure: "Figure") -> bytes:
    for axes in figure.axes:
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
        axes.tick_params(labelsize=8)
    out = io.BytesIO()
    options: dict[str, Any] = {"format": "png"}
    figure.savefig(out, **options)
    return out.getvalue()
