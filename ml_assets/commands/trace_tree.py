"""Formats the trace of a prediction as a tree for the terminal."""

from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.tree import Tree

if TYPE_CHECKING:
    from ml_assets.monitoring.trace import Neighbour, Trace

EXCERPT = 90


def tree(trace: "Trace") -> Tree:
    """Make a tree: the prediction at the root; below it, its input, its model with its origin, and the nearest samples."""
    p = trace.prediction
    root = Tree(f"prediction [bold]{_show(p['id'])}[/]: [bold green]{_show(p['label'])}[/] ({p['confidence']:.3f})")
    root.add(f"at {_show(p['at'])}, asked by {_show(p['client'])}")
    root.add(f"input {_show(p['sample_id'])}: {_excerpt(p['text'])}")
    model = root.add(f"model [bold]{_show(p['model'])}[/]" + ("" if trace.model else " (not in the table of models)"))
    if trace.model:
        model.add(f"MLflow run {_show(trace.run_id)}")
        model.add(f"weights {_show(trace.model['weights'])}, code {_show(trace.model['code'])}")
        model.add(f"dataset {_show(trace.dataset)}, feature set {_show(trace.model['feature_set'])}")
    if trace.deployment:
        served = model.add(f"deployment {_show(trace.deployment['id'])}, live since {_show(trace.deployment['live_at'])}")
        served.add(f"bento {_show(trace.bento)}")
    near = root.add(f"nearest training samples: {len(trace.neighbours)}")
    for neighbour in trace.neighbours:
        _add(near, neighbour)
    return root


def _add(branch: Tree, neighbour: "Neighbour") -> None:
    line = f"{neighbour.similarity:.3f} [green]{_show(neighbour.label)}[/] {_show(neighbour.sample_id)}"
    sample = branch.add(f"{line}: {_excerpt(neighbour.text)}")
    sample.add(f"source {_show(neighbour.source)}, {_show(neighbour.origin)}")
    for a in neighbour.annotations:
        sample.add(f"{_show(a.labeler)} ({_show(a.labeler_kind)}): [green]{_show(a.value)}[/] at {_show(a.at)}, {_show(a.id)}")


def _show(value: Any) -> str:
    return "unknown" if value is None else escape(str(value))


def _excerpt(text: str | None) -> str:
    if text is None:
        return "unknown"
    line = " ".join(text.split())
    return escape(line if len(line) <= EXCERPT else line[:EXCERPT] + " …")
