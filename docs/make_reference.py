"""Writes `docs/reference.md` and the graph in the README from the code; a test fails where they differ.

python docs/make_reference.py
"""

import inspect
import re
import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import dagster as dg
from pydantic import BaseModel

from ml_assets import settings
from ml_assets.collection.sources import SOURCES
from ml_assets.commands.run import STAGES
from ml_assets.definitions import shared
from ml_assets.modalities import MODALITIES
from ml_assets.monitoring.monitors import MONITORS
from ml_assets.project import MLProject
from ml_assets.registry import Plugin, Registry
from ml_assets.registry import Settings as Options
from ml_assets.store import schemas
from ml_assets.tasks import TASKS
from ml_assets.training.architectures import ARCHITECTURES

DOCS = Path(__file__).resolve().parent
EXAMPLE = "newsgroups"
REGISTRIES: dict[str, Registry[Any]] = {
    "modality": MODALITIES,
    "source": SOURCES,
    "task": TASKS,
    "architecture": ARCHITECTURES,
    "monitor": MONITORS,
}
OUTSIDE = (
    'files[("files, tables")] --> samples',
    'pushes[("pushed to the endpoint")] --> samples & annotations',
    'label_tasks --> people(["people in Label Studio"]) --> annotations',
    'deployment --> live(["the endpoint"]) --> inference_log',
    "uncertain_predictions -.-> samples",
)
"""What lies around the assets, as Mermaid."""
HEAD = """\
# Reference

Made from the code by `python docs/make_reference.py`. The [how-to pages](how-to/collection.md) tell how the parts are used.

- [The YAML of a project](#the-yaml-of-a-project): [plug-ins](#plug-ins)
- [Commands](#commands)
- [Assets](#assets): [jobs, sensors, schedules](#jobs-sensors-schedules)
- [Tables](#tables)
- [Endpoint](#endpoint)
"""


def reference() -> str:
    """The whole page."""
    parts = [HEAD, *project_yaml(), *plugins(), *commands(), *assets(), *tables(), *endpoint()]
    return "\n".join(parts).rstrip() + "\n"


def project_yaml() -> Iterator[str]:
    """The stages of a `defs.yaml` with their fields."""
    yield "## The YAML of a project\n"
    yield f"`ml_assets/defs/<project>/defs.yaml`: `type: {settings.COMPONENT}`, and under `attributes` the seven stages."
    yield "An option that is not listed is refused with its line and, in most places, the choices.\n"
    for stage, field in settings.ProjectSettings.model_fields.items():
        yield from _settings(stage, field.annotation, field.description or "")


def plugins() -> Iterator[str]:
    """What can be chosen by a `type`."""
    yield "## Plug-ins\n"
    yield "Chosen by name (`modality: text`) or, with options, as a mapping (`architecture: {type: mlp, hidden: 128}`).\n"
    for kind, registry in REGISTRIES.items():
        for name, plugin in registry.classes.items():
            yield f"### {kind} `{name}`\n"
            yield _text(plugin.__doc__) + "\n"
            yield from _fields(plugin) if plugin.model_fields else ["No options.\n"]


def commands() -> Iterator[str]:
    """The commands with their arguments and options, as `--help` tells them."""
    from typer.main import get_command

    from ml_assets.cli import app

    yield "## Commands\n"
    yield "Each has `--help`. What prints JSON prints it on standard output, logs go to standard error.\n"
    for words, command in _leaves(get_command(app), "ml-assets"):
        yield f"### `{' '.join([words, *_usage(command.params)])}`\n"
        yield _text(command.help) + "\n"
        shown = [p for p in command.params if p.name != "help"]
        if shown:
            yield "| | | default |\n|---|---|---|"
        for p in shown:
            name = p.name.upper() if p.param_type_name == "argument" else ", ".join([*p.opts, *p.secondary_opts])
            default = "needed" if p.required else "" if p.default in (None, False) else f"`{p.default}`"
            yield f"| `{name}` | {_cell(p.help)} | {default} |"
        yield ""


def assets() -> Iterator[str]:
    """The assets of a project by stage, with what they are made from and their checks; jobs, sensors and schedules."""
    defs = _definitions()
    graph = defs.resolve_asset_graph()
    yield "## Assets\n"
    yield "The key of each is `<project>/<name>`; its description in the Dagster UI is the text here.\n"
    for stage in STAGES:
        yield f"### {stage}\n"
        for spec in (s for s in _specs(defs) if s.tags["stage"] == stage):
            made_from = ", ".join(f"`{dep.asset_key.path[-1]}`" for dep in spec.deps) or "the sources"
            yield f"**`{spec.key.path[-1]}`** ← {made_from}. {_text(spec.description)}\n"
            for check in sorted(k for k in graph.asset_check_keys if k.asset_key == spec.key):
                told = graph.get_check_spec(check)
                what = "blocks what follows" if told.blocking else "warns"
                yield f"- check `{check.name}` ({what}): {_text(told.description)}"
            yield ""
    yield "### Jobs, sensors, schedules\n"
    for kind, found in (("job", defs.jobs), ("sensor", defs.sensors), ("schedule", defs.schedules)):
        for each in found or ():
            yield f"- {kind} `{each.name.replace(EXAMPLE, '<project>')}`: {_does(each, graph)}"
    yield ""


def tables() -> Iterator[str]:
    """The tables with their columns and the comment that stands above each schema."""
    source = inspect.getsource(schemas)
    yield "## Tables\n"
    yield "Lance tables, one folder of them per project: `<store>/<project>/<table>.lance`. The first column is the key. "
    yield '`ml_assets.store.ProjectStore("<project>").table("<table>").read()` reads one as a `pyarrow.Table`.\n'
    yield "| table | columns | |\n|---|---|---|"
    for name, schema in schemas.SCHEMAS.items():
        above = re.search(rf'((?:^    # .*\n)*)^    "{name}": _(?:schema|of)\(', source, re.MULTILINE)
        comment = " ".join(line.strip(" #") for line in above[1].splitlines()) if above else ""
        yield f"| `{name}` | {_columns(schema)} | {_cell(comment if ' ' in comment else '')} |"
    yield f"| `embeddings/<encoder>` | {_columns(schemas.embedding_schema(1))} | one vector per sample |\n"


def endpoint() -> Iterator[str]:
    """The routes, and the shapes of what is sent and answered."""
    from ml_assets.deployment import schemas
    from ml_assets.deployment.endpoint import create_app

    documented = {(m, r.path): r for r in schemas.routes(schemas.Described("{project}")) for m in r.methods}
    yield "## Endpoint\n"
    yield "Errors have the shape `Problem`. BentoML adds `GET /livez` and `GET /readyz`.\n"
    yield "| | | sent | answered |\n|---|---|---|---|"
    shapes: dict[str, type[BaseModel]] = {}
    for route in create_app().router.routes:
        method = next(iter(set(getattr(route, "methods", None) or ()) - {"HEAD"}), "")
        if type(route).__name__ != "Route" or "rest" in route.path:
            continue
        told = documented.get((method, route.path))
        sent = told.body_field.field_info.annotation if told and told.body_field else None
        answer = told.response_model if told else None
        cells = []
        for shape in (sent, answer):
            # a project's own shapes are subclasses with its classes filled in
            base = shape and next(c for c in shape.__mro__ if c.__module__ == schemas.__name__ and hasattr(schemas, c.__name__))
            shapes |= _nested(base) if base else {}
            cells.append(f"`{base.__name__}`" if base else "")
        path = route.path.replace("{project}", "<project>")
        yield f"| `{method} {path}` | {_text(route.endpoint.__doc__)} | {cells[0]} | {cells[1]} |"
    yield ""
    for name, shape in (shapes | {"Problem": schemas.Problem}).items():
        yield f"**`{name}`**: {_text(shape.__doc__)}\n"
        for field, info in shape.model_fields.items():
            nothing = " or nothing" if info.is_required() and type(None) in get_args(info.annotation) else ""
            optional = "" if info.is_required() else ", optional"
            yield f"- `{field}`: {_type(info.annotation)}{_bounds(info)}{nothing}{optional}"
        yield ""


def graph() -> str:
    """The assets by stage as a Mermaid flow chart."""
    specs = _specs(_definitions())
    lines = ["flowchart LR"]
    for stage in STAGES:
        nodes = [f"    {spec.key.path[-1]}" for spec in specs if spec.tags["stage"] == stage]
        lines += [f"  subgraph {stage}_stage [{stage}]", *nodes, "  end"]
    lines += [f"  {d.asset_key.path[-1]} --> {spec.key.path[-1]}" for spec in specs for d in spec.deps]
    return "\n".join([*lines, *(f"  {line}" for line in OUTSIDE)]) + "\n"


def with_graph(readme: str) -> str:
    """The README with the graph as it is now."""
    return re.sub(r"(?<=^```mermaid\n).*?(?=^```$)", lambda _: graph(), readme, count=1, flags=re.DOTALL | re.MULTILINE)


def _definitions() -> dg.Definitions:
    project = settings.read(DOCS.parent / "ml_assets" / "defs" / EXAMPLE / "defs.yaml")
    return dg.Definitions.merge(MLProject(EXAMPLE, project).build_defs(), shared())


def _specs(defs: dg.Definitions) -> list[dg.AssetSpec]:
    return [spec for each in defs.assets or () if isinstance(each, dg.AssetsDefinition) for spec in each.specs]


def _settings(place: str, model: Any, about: str) -> Iterator[str]:
    yield f"### `{place}`\n"
    yield _text(about) + "\n"
    yield from _fields(model, place)
    for name, field in model.model_fields.items():
        if _is_settings(field.annotation):
            yield from _settings(f"{place}.{name}", field.annotation, field.description or "")


def _fields(model: type[BaseModel], place: str = "") -> Iterator[str]:
    yield "| option | type | default | |\n|---|---|---|---|"
    for name, field in model.model_fields.items():
        value = field.get_default(call_default_factory=True)
        default = "needed" if field.is_required() else _default(value)
        kind = (
            f"[`{place}.{name}`](#{place.replace('.', '')}{name})"
            if _is_settings(field.annotation)
            else _type(field.annotation)
        )
        yield f"| `{name}` | {kind}{_bounds(field)} | {default} | {_cell(field.description)} |"
    yield ""


def _is_settings(kind: Any) -> bool:
    return inspect.isclass(kind) and issubclass(kind, Options) and not issubclass(kind, Plugin)


def _type(kind: Any) -> str:
    """A type as people say it."""
    origin, parts = get_origin(kind), get_args(kind)
    if origin is typing.Annotated:
        return _type(parts[0])
    if origin is Literal:
        return " or ".join(f"`{p}`" for p in parts)
    if origin in (types.UnionType, typing.Union):
        return " or ".join(_type(p) for p in parts if p is not type(None))
    if origin in (tuple, list):
        return f"list of {_type(parts[0])}"
    if origin is dict:
        return f"mapping of {_type(parts[1])}"
    if inspect.isclass(kind) and issubclass(kind, Plugin):
        names = next(r.classes for r in REGISTRIES.values() if all(issubclass(c, kind) for c in r.classes.values()))
        return " or ".join(f"`{n}`" for n in names)
    words = {str: "text", int: "whole number", float: "number", bool: "true or false", type(None): "nothing"}
    return words.get(kind) or (f"`{kind.__name__}`" if inspect.isclass(kind) and issubclass(kind, BaseModel) else
                               "time" if getattr(kind, "__name__", "") == "datetime" else "any value")  # fmt: skip


def _bounds(field: Any) -> str:
    signs = {"ge": "from {}", "gt": "above {}", "le": "to {}", "lt": "below {}", "min_length": "at least {} long",
             "max_length": "at most {} long", "pattern": "`{}`"}  # fmt: skip
    found = [text.format(v if isinstance(v, str) else f"{v:,}") for m in field.metadata for a, text in signs.items()
             if (v := getattr(m, a, None)) is not None]  # fmt: skip
    return "".join(f", {text}" for text in found)


def _default(value: Any) -> str:
    if isinstance(value, Plugin):
        return f"`{value.type}`"
    if isinstance(value, tuple | list):
        return "`[" + ", ".join(v.type if isinstance(v, Plugin) else str(v) for v in value) + "]`"
    if isinstance(value, BaseModel):
        return ""
    return (
        "" if value in (None, "") else f"`{str(value).lower()}`" if isinstance(value, bool) else f"`{value!r}`".replace("'", "")
    )


def _does(thing: Any, graph: Any) -> str:
    """What a job, sensor or schedule does."""
    if isinstance(thing, dg.AutomationConditionSensorDefinition):
        automatic = sorted(k.path[-1] for k in graph.get_all_asset_keys() if graph.get(k).automation_condition)
        return f"asks for {', '.join(f'`{name}`' for name in automatic)} when the content of what it is made from has changed."
    if isinstance(thing, dg.SensorDefinition):
        chosen = [spec.key.path[-1] for spec in _specs(_definitions()) if spec.key in thing.asset_selection.resolve(graph)]
        return f"asks for {', '.join(f'`{name}`' for name in chosen)}, in one run."
    if isinstance(thing, dg.ScheduleDefinition):
        return f"runs the job of that name; by default at `{thing.cron_schedule}` (UTC)."
    return _text(thing.description)


def _usage(params: list[Any]) -> Iterator[str]:
    """The arguments and the options without which a command does not work."""
    for p in params:
        if p.param_type_name == "argument":
            name = f"{p.name.upper()}{'…' if p.nargs == -1 else ''}"
            yield name if p.required else f"[{name}]"
        elif p.required:
            yield f"{p.opts[0]} …"


def _leaves(command: Any, words: str) -> Iterator[tuple[str, Any]]:
    for name, sub in command.commands.items():
        yield from _leaves(sub, f"{words} {name}") if hasattr(sub, "commands") else [(f"{words} {name}", sub)]


def _nested(shape: type[BaseModel]) -> dict[str, type[BaseModel]]:
    """The shape and those inside it, by name."""
    found: dict[str, type[BaseModel]] = {shape.__name__: shape}
    waiting = [f.annotation for f in shape.model_fields.values()]
    while waiting:
        kind = waiting.pop(0)
        if inspect.isclass(kind) and issubclass(kind, BaseModel):
            found |= _nested(kind)
        waiting += get_args(kind)
    return found


def _columns(schema: Any) -> str:
    return ", ".join(f"`{field.name}`" for field in schema)


def _text(text: str | None) -> str:
    return " ".join((text or "").split())


def _cell(text: str | None) -> str:
    return _text(text).replace("|", "\\|")


if __name__ == "__main__":
    (DOCS / "reference.md").write_text(reference(), encoding="utf-8")
    readme = DOCS.parent / "README.md"
    readme.write_text(with_graph(readme.read_text(encoding="utf-8")), encoding="utf-8")
