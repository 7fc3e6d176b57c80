"""Draws charts of the dataset as PNG, for the metadata of assets."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from ml_assets.charts import INK, PALETTE, REST, SOFT, as_png, legend_below, new_figure, plot_style
from ml_assets.visualization.overview import Overview

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_BARS = 40
DAYS, FEWEST_DAYS = 30, 7
_SPLITS = ("train", "test", "validation")


def charts_of(counts: Overview) -> dict[str, bytes]:
    """Draw the three charts of a dataset; returns each as PNG by its title."""
    return {
        "labels per class": class_counts(counts.classes),
        "samples per source": source_counts({source.name: source.samples for source in counts.sources}),
        "labels over time": labels_over_time(counts.days),
    }


def split_colours(splits: Sequence[str] | Mapping[str, Any]) -> dict[str, str]:
    """The colour of each split: a fixed one for train, test and validation, grey for others."""
    return {name: PALETTE[_SPLITS.index(name)] if name in _SPLITS else REST for name in splits}


def class_counts(classes: Mapping[str, Mapping[str, int]]) -> bytes:
    """Draw a bar chart (PNG) of the labelled samples per class, stacked by split, in the given order.

    Args:
        classes: Class → split → samples, as in `Overview.classes`.
    """
    shown = _first(classes, lambda name: sum(classes[name].values()))
    totals = {name: _summed([classes[c] for c in names]) for name, names in shown.items()}
    found = {split: None for counts in totals.values() for split in counts}
    splits = [*(s for s in _SPLITS if s in found), *sorted(set(found) - set(_SPLITS))]
    return _bars("Labelled samples per class", totals, splits, split_colours(splits))


def source_counts(samples: Mapping[str, int]) -> bytes:
    """Draw a bar chart (PNG) of the samples per source, in the given order."""
    shown = _first(samples, samples.__getitem__)
    totals = {name: {"samples": sum(samples[s] for s in names)} for name, names in shown.items()}
    return _bars("Samples per source", totals, ["samples"], {"samples": PALETTE[0]})


def labels_over_time(days: Mapping[date, Mapping[str, int]]) -> bytes:
    """Draw a bar chart (PNG) of the annotations per day, stacked by labeler, over the 30 days up to the newest.

    Args:
        days: Day → labeler → annotations, as in `Overview.days`. The seven busiest labelers are shown by name.
    """
    totals = _summed(days.values())
    names = sorted(totals, key=lambda name: (-totals[name], name))
    named, rest = names[: len(PALETTE) - 1], names[len(PALETTE) - 1 :]
    span = _span(days)
    with plot_style():
        figure = new_figure(2.6)
        axes = figure.add_subplot()
        axes.set_title("Annotations per day")
        axes.grid(axis="x", visible=False)
        below = [0] * len(span)
        series = [(name, [name], PALETTE[i]) for i, name in enumerate(named)]
        series += [(f"{len(rest)} others", rest, REST)] if rest else []
        for name, members, colour in series:
            heights = [sum(days.get(day, {}).get(member, 0) for member in members) for day in span]
            axes.bar(range(len(span)), heights, bottom=below, width=0.8, color=colour, label=_short(name))
            below = [a + b for a, b in zip(below, heights, strict=True)]
        _whole_numbers(axes.yaxis)
        if span:
            ticks = range(len(span) - 1, -1, -7)
            axes.set_xticks(list(ticks), [f"{span[i].day} {span[i]:%b}" for i in ticks])
            axes.set_xlim(-0.6, len(span) - 0.4)
        return _finished(figure, axes, len(series))


def _span(days: Iterable[date]) -> list[date]:
    """List every day from the first to the newest, at least `FEWEST_DAYS` and at most `DAYS` up to the newest."""
    if not (found := sorted(days)):
        return []
    length = min(max((found[-1] - found[0]).days + 1, FEWEST_DAYS), DAYS)
    return [found[-1] - timedelta(days=length - 1 - i) for i in range(length)]


def _bars(title: str, totals: dict[str, dict[str, int]], series: list[str], colours: dict[str, str]) -> bytes:
    with plot_style():
        figure = new_figure(0.9 + 0.27 * max(len(totals), 1) + (0.25 if len(series) > 1 else 0))
        axes = figure.add_subplot()
        axes.set_title(title)
        axes.grid(axis="y", visible=False)
        axes.spines["bottom"].set_visible(False)
        left = [0] * len(totals)
        for name in series:
            widths = [counts.get(name, 0) for counts in totals.values()]
            axes.barh(range(len(totals)), widths, left=left, height=0.68, color=colours[name], label=_short(name))
            left = [a + b for a, b in zip(left, widths, strict=True)]
        for i, total in enumerate(left):
            axes.annotate(
                f"{total:,}", (total, i), xytext=(4, 0), textcoords="offset points", va="center", color=SOFT, fontsize=8
            )
        axes.set_yticks(range(len(totals)), [_short(name) for name in totals])
        axes.tick_params(axis="y", labelcolor=INK)
        axes.set_ylim(max(len(totals), 1) - 0.4, -0.6)
        axes.set_xlim(0, max([*left, 1]) * 1.08)
        _whole_numbers(axes.xaxis)
        return _finished(figure, axes, len(series) if totals else 0)


def _whole_numbers(axis: Any) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    axis.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 5, 10], integer=True, min_n_ticks=1))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))


def _finished(figure: "Figure", axes: "Axes", series: int) -> bytes:
    """Add a legend if there are several series, or a note if there is nothing to draw; return the chart as PNG."""
    if series > 1:
        legend_below(figure)
    if series == 0:
        axes.axis("off")
        axes.text(0, 0.5, "None yet", transform=axes.transAxes, color=SOFT)
    return as_png(figure)


def _first(names: Mapping[str, Any], size: Callable[[str], int]) -> dict[str, list[str]]:
    """Group the names for the bars: one name each; if there are more than `MAX_BARS`, the smallest are in one group."""
    if len(names) <= MAX_BARS:
        return {name: [name] for name in names}
    largest = set(sorted(names, key=lambda name: (-size(name), name))[: MAX_BARS - 1])
    others = [name for name in names if name not in largest]
    return {**{name: [name] for name in names if name in largest}, f"{len(others)} others": others}


def _summed(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total: dict[str, int] = {}
    for one in counts:
        for name, count in one.items():
            total[name] = total.get(name, 0) + count
    return total


def _short(name: str) -> str:
    """Shorten a name to one line of 32 characters, without a leading underscore, which would hide it in a legend."""
    line = " ".join(name.split()) or "(empty)"
    line = line if len(line) <= 32 else line[:31] + "…"
    return f"\u200b{line}" if line.startswith("_") else line
