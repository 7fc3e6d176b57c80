"""Definitions that every asset uses: its key, its code version, when it runs, and the workspace that it writes to."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import dagster as dg
from filelock import Timeout
from pydantic import BaseModel

from ml_assets.state import interrupts
from ml_assets.state.clock import now
from ml_assets.state.digests import content_id
from ml_assets.state.home import home
from ml_assets.state.lock import project_lock
from ml_assets.state.names import named
from ml_assets.state.progress import log_line
from ml_assets.store import ProjectStore

LOCK_NOTICE_SECONDS = 30.0


class Workspace(dg.ConfigurableResource[Any]):
    """Gives a run the tables and folders of its project, and holds the project's lock, so that no two runs write at once."""

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Iterator["Workspace"]:
        """Wait for the project's lock, with a log message every 30 seconds, and hold it during the run."""
        project = _project_of(context)
        if project is None:  # a resource made by hand, outside a run
            yield self
            return
        lock = project_lock(project)
        while True:
            try:
                lock.acquire(timeout=LOCK_NOTICE_SECONDS)
                break
            except Timeout:
                if context.log:
                    context.log.info(f"waiting: another run of {project} is writing")
        try:
            yield self
        finally:
            lock.release()

    def store(self, project: str) -> ProjectStore:
        """The tables of the project. Raises `KeyboardInterrupt` if Ctrl-C was pressed before."""
        interrupts.check()
        return ProjectStore(project)

    def folder(self, kind: str, project: str) -> Any:
        """The folder `<home>/<kind>/<project>` (`Path`). Raises `UnknownProject`."""
        return home() / kind / named(project)

    @property
    def home(self) -> Any:
        """The folder of all local state (`Path`)."""
        return home()


def _project_of(context: dg.InitResourceContext) -> str | None:
    run = context.run
    if run is None:
        return None
    # the assets that the run writes determine the lock; a tag can be set to anything by the user who starts the run
    keys = list(run.asset_selection or ()) + [check.asset_key for check in run.asset_check_selection or ()]
    return keys[0].path[0] if keys else run.tags.get("ml_assets/project")


def key(project: str, noun: str) -> dg.AssetKey:
    """The asset key `[<project>, <noun>]`."""
    return dg.AssetKey([project, noun])


def stage_asset(
    project: str,
    stage: str,
    noun: str,
    *,
    deps: Sequence[str] = (),
    optional: Sequence[str] = (),
    kinds: Sequence[str] = (),
    version: str = "1",
    settings: Sequence[BaseModel] = (),
    **more: Any,
) -> Callable[[Callable[..., Any]], dg.AssetsDefinition]:
    """Decorator for an asset of a stage; its code version changes with `version` and the settings that it depends on.

    `optional` are inputs that it uses if they exist: it runs after them, and again when they change, but one that is missing
    or failed does not block it.
    """
    digest = content_id(*(s.model_dump_json() for s in settings))[:8]
    made: Callable[[Callable[..., Any]], dg.AssetsDefinition] = dg.asset(
        key=key(project, noun),
        deps=[key(project, d) for d in (*deps, *optional)],
        group_name=project,
        kinds=set(kinds),
        tags={"stage": stage},
        code_version=f"{version}-{digest}",
        metadata={OPTIONAL: list(optional)} if optional else None,
        **more,
    )
    return made


OPTIONAL = "ml_assets/optional"
"""Metadata key of an asset: the names of its inputs that may be missing."""


def needed(spec: dg.AssetSpec) -> list[dg.AssetKey]:
    """The keys of the asset's inputs that are not optional."""
    without = spec.metadata.get(OPTIONAL, [])
    names = list((without.value if isinstance(without, dg.JsonMetadataValue) else without) or ())
    return [dep.asset_key for dep in spec.deps if dep.asset_key.path[-1] not in names]


def log_to(context: dg.AssetExecutionContext) -> Callable[[str], None]:
    """Make a function that logs a line to the Dagster run and to the terminal of a command that follows the run."""

    def log(line: str) -> None:
        context.log.info(line)
        log_line(line)

    return log


RETRY_SECONDS = 300


def request(context: dg.SensorEvaluationContext, project: str, news: str) -> dg.RunRequest | dg.SkipReason:
    """Request a run for new data (`news` describes it); repeated at most every five minutes, in case that run failed."""
    waiting = [dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.NOT_STARTED, dg.DagsterRunStatus.STARTING]
    filters = dg.RunsFilter(tags={"dagster/sensor_name": context.sensor_name}, statuses=waiting)
    if context.instance.get_runs(filters=filters, limit=1):
        return dg.SkipReason("the run that was asked for has not started yet")
    try:
        project_lock(project).acquire(timeout=0).lock.release()
    except Timeout:
        return dg.SkipReason("another run of the project is writing")
    run_key = content_id(news, str(int(now().timestamp()) // RETRY_SECONDS))
    return dg.RunRequest(run_key=run_key, tags={"ml_assets/project": project, "ml_assets/news": news[:200]})


def changed(*, or_missing: bool = True, optional: Sequence[dg.AssetKey] = ()) -> dg.AutomationCondition[Any]:
    """Automation condition that runs an asset once for each new data version of its inputs, never for an unchanged one.

    It waits until all inputs exist, except for those that are `optional`.
    """
    condition = dg.AutomationCondition
    new = condition.any_deps_match(condition.data_version_changed()).since(
        condition.newly_requested() | condition.newly_updated()
    )
    start = (new | condition.missing()) if or_missing else new
    missing = condition.any_deps_match(condition.missing() & ~condition.will_be_requested())
    if optional:
        missing = missing.ignore(dg.AssetSelection.assets(*optional))
    return (start & ~missing & ~condition.any_deps_in_progress() & ~condition.in_progress()).with_label("on_changed_data")


def result(version: str, /, **metadata: Any) -> dg.MaterializeResult[Any]:
    """Make a materialization with this data version; underscores in the names of its metadata become spaces."""
    return dg.MaterializeResult(
        data_version=dg.DataVersion(version), metadata={k.replace("_", " "): v for k, v in metadata.items()}
    )
