"""The command line `ml-assets`: its commands print text or, with `--json`, one JSON object; logs go to standard error."""

import gc
import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ml_assets.commands.plain import plain
from ml_assets.errors import InvalidValue, MLAssetsError
from ml_assets.orchestration import examples
from ml_assets.state import interrupts
from ml_assets.state.private import keep_private
from ml_assets.state.surroundings import spare_loopback

app = typer.Typer(
    help="From raw text, images and sounds to a model in production that stays right: every step a Dagster asset.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
keys_app = typer.Typer(help="API keys of the endpoint.", no_args_is_help=True)
app.add_typer(keys_app, name="keys")

console = Console(stderr=True)
INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells use it."""
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")]
Project = Annotated[str, typer.Argument(help="Name of the project: its folder in ml_assets/defs/.", show_default=False)]


def main() -> None:
    """The entry point: an expected error is printed as one sentence on standard error, with exit code 1.

    Any other error is a bug in the program and keeps its traceback.
    """
    interrupts.unignore()
    spare_loopback()
    gc.set_threshold(50_000, 20, 20)  # imports are most of a command's time, and nothing of them is garbage
    try:
        if not {"-h", "--help"} & set(sys.argv[1:]):
            keep_private()
        app()
    except Exception as error:
        if not _expected(error):
            raise
        console.print(f"[red]error:[/red] {escape(plain(str(error)))}", highlight=False, soft_wrap=True)
        sys.exit(1)


def _expected(error: Exception) -> bool:
    """Whether only the error's message is printed: errors of our own, of the operating system, and of databases."""
    return isinstance(error, MLAssetsError | OSError) or type(error).__module__.partition(".")[0] == "sqlalchemy"


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        print(f"ml-assets {version('ml_assets')}")
        raise typer.Exit


@app.callback()
def every_command(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and end.")
    ] = False,
) -> None:
    """From raw text, images and sounds to a model in production that stays right: every step a Dagster asset."""


@app.command()
def demo(
    example: Annotated[str, typer.Option(help=f"What it runs on: {', '.join(examples.NAMES)}.")] = "newsgroups",
    once: Annotated[
        bool, typer.Option("--once", help="End when the loop has run, instead of staying up until Ctrl-C.")
    ] = False,
) -> None:
    """Start everything and run the whole loop on real text, such as 20 Newsgroups: six classes, 400 labels."""
    from ml_assets.demo.show import show

    show(example, once, Console())


@app.command()
def up(
    detach: Annotated[
        bool, typer.Option("--detach", "-d", help="Return when all servers are ready; `down` ends them.")
    ] = False,
) -> None:
    """Start the servers and watch them until Ctrl-C."""
    from ml_assets.commands.up import start, stay

    start(console)
    if not detach:
        stay(console)


@app.command()
def down() -> None:
    """End all servers of this home."""
    from ml_assets.services import supervisor

    supervisor.down()
    console.print("all servers are down")


@app.command()
def status(as_json: Json = False) -> None:
    """Show the state of the servers and of each project."""
    from ml_assets.commands import status as standing

    found = standing.collect()
    if as_json:
        _print_json(found)
    else:
        standing.show(found, Console())


@app.command()
def new(name: Annotated[str, typer.Argument(help="Name of the new project: a-z, 0-9 and _.", show_default=False)]) -> None:
    """Make a new project: a YAML file with every stage, to fill in."""
    from ml_assets.commands.new import scaffold

    path = scaffold(name)
    console.print(f"made {path}\nfill it in, then: ml-assets run {name}", highlight=False, soft_wrap=True)
    console.print("where Dagster is up already, press Reload definitions in its UI: its sensors begin then", highlight=False)


@app.command()
def invite(
    project: Project,
    email: Annotated[
        str | None,
        typer.Argument(help="Make the account for this e-mail address, and print its password once.", show_default=False),
    ] = None,
    as_json: Json = False,
) -> None:
    """Invite an annotator to Label Studio: prints the link at which people make their accounts."""
    from ml_assets.commands.invite import invite as make

    made = make(project, email)
    _print_json(made.as_json()) if as_json else print(made.sentences())


@app.command()
def run(
    project: Project,
    stages: Annotated[
        list[str] | None, typer.Argument(help="Stages to run; all of them by default.", show_default=False)
    ] = None,
    wait: Annotated[float, typer.Option(help="Seconds to wait while another run of the project is writing.", min=0)] = 60,
    log: Annotated[
        bool, typer.Option("--follow", help="Print the log of the steps too: each trial, how the losses move, what is pushed.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Run the stale assets, level by level; assets whose inputs did not change do not run."""
    try:
        with interrupts.heard():
            from ml_assets.commands.run import follow  # takes seconds, in which people may press Ctrl-C

            outcome = follow(project, console, stages or [], wait_seconds=wait, log=log)
            if as_json:
                _print_json(outcome.as_json())
    except KeyboardInterrupt:
        console.print("  interrupted: what is made stays, and the next run goes on from there", highlight=False)
        raise typer.Exit(INTERRUPTED) from None
    if not outcome.succeeded:
        raise typer.Exit(1)


@app.command()
def predict(
    project: Project,
    samples: Annotated[
        list[str] | None,
        typer.Argument(
            help="Texts, or files with pictures or sounds; without any, lines of standard input.", show_default=False
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Request predictions from the endpoint, as an application would."""
    from ml_assets import settings
    from ml_assets.commands.predict import content, table
    from ml_assets.commands.predict import predict as ask
    from ml_assets.store.records import is_text

    asked = samples or [line.rstrip("\n") for line in sys.stdin if line.strip()]
    if not asked:
        raise InvalidValue("there is nothing to predict: give texts or files, or lines on standard input")
    if bad := next((text for text in asked if not is_text(text)), None):
        raise InvalidValue(f"{bad[:40]!r} is not UTF-8 text")
    files = settings.load(project).collection.modality.column == "media"
    answer = ask(project, [content(path) for path in asked] if files else asked)
    _print_json(answer) if as_json else Console().print(table("file" if files else "text", asked, answer))


@app.command()
def rejects(
    project: Project,
    every: Annotated[bool, typer.Option("--all", help="Each of them, and not only the reasons.")] = False,
    as_json: Json = False,
) -> None:
    """List rejected records, labels and answers in Label Studio, with the reasons."""
    from ml_assets.commands import rejects as set_aside

    found = set_aside.collect(project)
    if as_json:
        _print_json(found)
    else:
        set_aside.show(found, every, Console())


@app.command()
def trace(
    prediction_id: Annotated[str, typer.Argument(help="The id that came with the prediction.", show_default=False)],
    as_json: Json = False,
) -> None:
    """Trace a prediction back to its model, run, dataset, annotations, annotators and raw items."""
    from ml_assets.commands.trace import find

    found = find(prediction_id)
    if as_json:
        _print_json(found.as_json())
    else:
        from ml_assets.commands.trace_tree import tree

        Console().print(tree(found))


@keys_app.command("add")
def add_key(
    project: Project,
    scope: Annotated[list[str], typer.Option(help="What it may do: predict, collect, label, feedback. Repeat for several.")],
    name: Annotated[str, typer.Option(help="Who uses it; logs and labels carry this name.")] = "application",
    speaks_for: Annotated[
        list[str] | None,
        typer.Option(
            help="Another labeler in whose name it may push labels, such as the address of a person whose answers it carries: "
            "they count as that person's own. Repeat for several.",
            show_default=False,
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Make an API key and print it, only this once."""
    from ml_assets import settings
    from ml_assets.deployment import keys
    from ml_assets.state.clock import now

    settings.load(project)
    secret = keys.add(project, scope, name, now(), speaks_for=speaks_for or ())
    _print_json({"key": secret}) if as_json else print(secret)


@keys_app.command("list")
def list_keys(
    project: Annotated[str | None, typer.Argument(help="Only of this project.")] = None, as_json: Json = False
) -> None:
    """List the API keys, without their secrets."""
    from ml_assets import settings
    from ml_assets.deployment import keys

    found = keys.list_keys(project)
    if project and not found:
        settings.load(project)  # keys of a deleted project are shown; a name that was never a project is an error
    if as_json:
        names = ("id", "project", "name", "scopes", "speaks_for")
        _print_json([{name: getattr(k, name) for name in names} | {"scopes": sorted(k.scopes)} for k in found])
        return
    table = Table("id", "project", "name", "scopes", "speaks for")
    for k in found:
        table.add_row(k.id, k.project, escape(k.name), ", ".join(sorted(k.scopes)), escape(", ".join(k.speaks_for)))
    Console().print(table)


@keys_app.command("revoke")
def revoke_key(key_id: Annotated[str, typer.Argument(help="Its id, as `keys list` shows it.", show_default=False)]) -> None:
    """Revoke an API key with immediate effect."""
    from ml_assets.deployment import keys

    gone = keys.revoke(key_id)
    console.print(f"revoked {gone.id} ({escape(gone.name)}, {gone.project})")


def _print_json(value: Any) -> None:
    print(json.dumps(value, ensure_ascii=False, default=lambda v: str(v) if isinstance(v, Path) else v.isoformat()))


if __name__ == "__main__":
    main()
