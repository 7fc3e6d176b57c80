"""Charts of evaluation results as PNG."""

from collections.abc import Collection, Mapping, Sequence

from ml_assets.charts import INK, as_png, legend_below, new_figure, plot_style
from ml_assets.tasks import Metric, SingleLabelTask, Task


def comparison(metrics: Mapping[str, Metric], name: str) -> bytes:
    """PNG chart: the metric of each model as a point with its 95 % interval, from top to bottom in the given order."""
    with plot_style():
        figure = new_figure(1.0 + 0.4 * len(metrics))
        axes = figure.add_subplot()
        values = [metric.value for metric in metrics.values()]
        reach = [[m.value - m.low for m in metrics.values()], [m.high - m.value for m in metrics.values()]]
        axes.errorbar(values, range(len(metrics)), xerr=reach, fmt="o", capsize=3)
        axes.set_yticks(range(len(metrics)), list(metrics))
        axes.invert_yaxis()
        axes.set_ylim(len(metrics) - 0.5, -0.5)
        axes.set_title(f"{name} on test samples, with 95 % intervals")
        return as_png(figure)


def mistakes(targets: Sequence[str], predicted: Sequence[str], classes: Sequence[str], task: Task) -> bytes:
    """PNG chart: the confusion matrix if each value is one class; else precision and recall of each class."""
    if isinstance(task, SingleLabelTask):
        return confusion_matrix(targets, predicted, classes)
    return class_figures([task.classes_in(v) for v in targets], [task.classes_in(v) for v in predicted], classes)


def class_figures(targets: Sequence[Collection[str]], predicted: Sequence[Collection[str]], classes: Sequence[str]) -> bytes:
    """PNG chart: precision and recall of each class, over the samples in which it is predicted or present."""
    found = {}
    for name in classes:
        said, true = ({i for i, names in enumerate(each) if name in names} for each in (predicted, targets))
        found[f"{name} ({len(true)})"] = (len(said & true) / max(len(said), 1), len(said & true) / max(len(true), 1))
    with plot_style():
        figure = new_figure(1.4 + 0.34 * len(classes))
        axes = figure.add_subplot()
        for row, name in enumerate(("precision", "recall")):
            places = [i - 0.19 + 0.38 * row for i in range(len(found))]
            axes.barh(places, [values[row] for values in found.values()], height=0.36, label=name)
        axes.set_yticks(range(len(found)), list(found))
        axes.invert_yaxis()
        axes.set_xlim(0, 1)
        axes.grid(False, axis="y")
        axes.set_title("samples in which each class occurs")
        legend_below(figure)
        return as_png(figure)


def confusion_matrix(targets: Sequence[str], predicted: Sequence[str], classes: Sequence[str]) -> bytes:
    """PNG chart: the confusion matrix, coloured by the share of each true class, with counts."""
    import numpy as np

    index = {name: i for i, name in enumerate(classes)}
    counts = np.zeros((len(classes), len(classes)), int)
    for target, guess in zip(targets, predicted, strict=True):
        if guess in index:
            counts[index[target], index[guess]] += 1
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    with plot_style():
        size = 2.2 + 0.55 * len(classes)
        figure = new_figure(size, size + 1.2)
        axes = figure.add_subplot()
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        axes.set_xticks(range(len(classes)), classes, rotation=45, ha="right")
        axes.set_yticks(range(len(classes)), classes)
        axes.set_xlabel("predicted")
        axes.set_ylabel("true")
        axes.grid(False)
        for (row, column), count in np.ndenumerate(counts):
            axes.text(
                column,
                row,
                str(count),
                ha="center",
                va="center",
                fontsize=8,
                color="white" if shares[row, column] > 0.5 else INK,
            )
        return as_png(figure)
