"""Runs the stale assets of a project level by level, in this process, on the installation's Dagster instance.

Dagster's own staleness is one level deep and ignores data outside of Dagster. Here the probe of each root reports new data,
stale assets run, and then staleness is evaluated again: an asset whose inputs came out unchanged does not run.
"""

import os
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import dagster as dg
import yaml
from filelock import FileLock, Timeout

from ml_assets.commands.outcome import Outcome, Step, message_of, sentence_of, was_interrupted
from ml_assets.errors import MLAssetsError
from ml_assets.orchestration import examples
from ml_assets.orchestration.dead_runs import boot_id, fail_runs_of_dead_processes
from ml_assets.orchestration.resources import needed
from ml_assets.orchestration.stage import Probe
from ml_assets.state import interrupts
from ml_assets.state.home import home
from ml_assets.state.lock import project_lock

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
"""Run configuration that keeps Dagster's log off the terminal; it is in Dagster's UI."""


class InstanceError(MLAssetsError, RuntimeError):
    """`dagster.yaml` cannot be used; the message contains the first line of Dagster's own."""


class Busy(MLAssetsError, RuntimeError):
    """Another run of the project holds its lock."""


class Runner:
    """Runs the assets of one project.

    Args:
        project: The project's name.
        definitions: Its definitions, with resources.
        instance: The Dagster instance that records the runs.
        probes: For each asset (by name) that is made from data outside of Dagster, a function that reports new data.
        partitions: For each partitioned asset (by name), a function that lists the partitions that must run.
        on_start: Called before each batch with its assets and the reason why they run.
        on_step: Called after each asset that was made.
    """

    def __init__(
        self,
        project: str,
        definitions: dg.Definitions,
        instance: dg.DagsterInstance,
        probes: Mapping[str, Probe],
        partitions: Mapping[str, Callable[[], list[str]]],
        on_start: Callable[[Sequence[str], str], None] = lambda assets, why: None,
        on_step: Callable[[Step], None] = lambda step: None,
    ):
        self.project, self.instance, self.probes, self.partitions = project, instance, probes, partitions
        self.on_start, self.on_step = on_start, on_step
        self.job = definitions.resolve_implicit_global_asset_job_def()
        self.specs = {spec.key: spec for spec in definitions.resolve_all_asset_specs()}
        graph = definitions.resolve_asset_graph()
        self.blocking = {check for check in graph.asset_check_keys if graph.get_check_spec(check).blocking}
        made = [each for each in graph.assets_defs if each.is_executable]
        self.steps = {each.op.name: key for each in made for key in [*each.check_keys, *each.keys]}

    def run(self, stages: Sequence[str] = (), only: Collection[str] = (), wait_seconds: float = 0) -> Outcome:
        """Run the stale assets, by default of the whole project, or only those of the stages or with the names in `only`.

        Raises `Busy` if another run holds the project's lock for longer than `wait_seconds`, `KeyboardInterrupt` on Ctrl-C.
        """
        started = time.monotonic()
        try:
            with interrupts.heard(), project_lock(self.project).acquire(timeout=wait_seconds):
                outcome = self._run(
                    [
                        key
                        for key, spec in self.specs.items()
                        if (not stages or spec.tags.get("stage") in stages) and (not only or key.path[-1] in only)
                    ]
                )
        except Timeout as error:
            raise Busy(f"another run of {self.project} is writing: wait for it, or see it in the Dagster UI") from error
        outcome.seconds = time.monotonic() - started
        return outcome

    def _run(self, chosen: list[dg.AssetKey]) -> Outcome:
        fail_runs_of_dead_processes(self.instance, self.project)
        outcome, done = Outcome(), set[dg.AssetKey]()
        before, unevaluated = self._checks_from_before()
        bad = {check.asset_key for check in before}
        while True:
            interrupts.check()
            blocked = {key for key in chosen if self._needed(key) & bad}
            waiting = [key for key in chosen if key not in done and key not in blocked]
            reasons = {key: why for key in waiting if (why := self._stale(key) or unevaluated.get(key))}
            ready = [key for key in reasons if not self._ancestors(key) & set(reasons)]
            if not ready:
                break
            done |= set(ready)
            bad = (bad - set(ready)) | self._execute(ready, reasons, outcome)
        outcome.blocked = sorted(_name(key) for key in blocked)
        for check, why in before.items():  # reported again as long as it blocks something
            if (
                check.asset_key in bad
                and check.asset_key not in done
                and any(check.asset_key in self._needed(k) for k in blocked)
            ):
                outcome.failed_checks[f"{_name(check.asset_key)}:{check.name}"] = why
        touched = set(outcome.materialized) | set(outcome.failed) | set(outcome.blocked)
        outcome.up_to_date = sorted(_name(key) for key in chosen if _name(key) not in touched)
        return outcome

    def _execute(self, keys: list[dg.AssetKey], reasons: Mapping[dg.AssetKey, str], outcome: Outcome) -> set[dg.AssetKey]:
        """Run the assets with their checks in one Dagster run (one per partition); return those that block others."""
        bad: set[dg.AssetKey] = set()
        plain = [key for key in keys if key.path[-1] not in self.partitions]
        batches: list[tuple[list[dg.AssetKey], str | None]] = [(plain, None)] if plain else []
        for key in keys:
            if key.path[-1] in self.partitions:
                batches += [([key], day) for day in self.partitions[key.path[-1]]()]
        for batch, partition in batches:
            self.on_start([_name(key) for key in batch], "; ".join(dict.fromkeys(reasons[key] for key in batch)))
            result = self.job.execute_in_process(
                instance=self.instance,
                asset_selection=batch,
                partition_key=partition,
                run_config=QUIET,
                tags={"ml_assets/project": self.project, "ml_assets/pid": str(os.getpid()), "ml_assets/boot": boot_id()},
                raise_on_error=False,
            )
            interrupts.check()
            bad |= self._record(result, batch, outcome)
            if any(was_interrupted(event.step_failure_data) for event in result.get_step_failure_events()):
                raise KeyboardInterrupt  # Dagster turns it into a failed step: the next ones would still run
        return bad

    def _record(self, result: Any, batch: list[dg.AssetKey], outcome: Outcome) -> set[dg.AssetKey]:
        """Add the results of a Dagster run to the outcome; return the assets that failed or whose blocking check failed."""
        bad: set[dg.AssetKey] = set()
        seconds = {s.step_key: (s.end_time or 0) - (s.start_time or 0) for s in self.instance.get_run_step_stats(result.run_id)}
        there = set()
        for event in result.get_asset_materialization_events():
            made = event.step_materialization_data.materialization
            there.add(made.asset_key)
            outcome.materialized.append(_name(made.asset_key))
            values = {label: entry.value for label, entry in made.metadata.items()}
            stage = self.specs[made.asset_key].tags.get("stage", "")
            self.on_step(Step(_name(made.asset_key), stage, seconds.get(event.step_key, 0.0), values))
        raised = {self.steps[e.step_key]: sentence_of(e.step_failure_data) for e in result.get_step_failure_events()}
        for key in batch:
            if key not in there:  # without an error of its own, the run failed before this asset
                bad.add(key)
                outcome.failed[_name(key)] = raised.get(key) or _run_failure(result)
        wrong = {c.asset_check_key: c.description or "failed" for c in result.get_asset_check_evaluations() if not c.passed}
        # the step of a blocking check fails too when the check does; one that raised has no evaluation
        for check, why in ({c: why for c, why in raised.items() if isinstance(c, dg.AssetCheckKey)} | wrong).items():
            name = f"{_name(check.asset_key)}:{check.name}"
            if check in self.blocking:
                outcome.failed_checks[name] = why
                bad.add(check.asset_key)
            else:
                outcome.warnings[name] = why
        return bad

    def _ancestors(self, key: dg.AssetKey) -> set[dg.AssetKey]:
        """All direct and indirect inputs of the asset."""
        return self._reached(key, lambda spec: [dep.asset_key for dep in spec.deps])

    def _needed(self, key: dg.AssetKey) -> set[dg.AssetKey]:
        """All direct and indirect inputs of the asset, except optional ones."""
        return self._reached(key, needed)

    def _reached(self, key: dg.AssetKey, parents: Callable[[dg.AssetSpec], list[dg.AssetKey]]) -> set[dg.AssetKey]:
        found: set[dg.AssetKey] = set()
        waiting = parents(self.specs[key])
        while waiting:
            parent = waiting.pop()
            if parent not in found and parent in self.specs:
                found.add(parent)
                waiting += parents(self.specs[parent])
        return found

    def _checks_from_before(self) -> tuple[dict[dg.AssetCheckKey, str], dict[dg.AssetKey, str]]:
        """The blocking checks that failed in their last evaluation, and the assets with an unevaluated one; with reasons."""
        bad: dict[dg.AssetCheckKey, str] = {}
        unevaluated: dict[dg.AssetKey, str] = {}
        for check in self.blocking:
            record = self.instance.get_latest_asset_check_evaluation_record(check)
            evaluation = (
                record and record.event and record.event.dagster_event and record.event.dagster_event.event_specific_data
            )
            if record is None or evaluation is None:
                continue
            passed = getattr(evaluation, "passed", None)
            if passed is None:  # it was only planned: it raised, or its run was killed
                run = self.instance.get_run_by_id(record.run_id)
                if run is None or run.is_finished:
                    unevaluated[check.asset_key] = f"its check {check.name} was not evaluated"
            elif not passed:
                bad[check] = getattr(evaluation, "description", None) or "failed"
        return bad, unevaluated

    def _stale(self, key: dg.AssetKey) -> str | None:
        """Why the asset is stale and must run; None if it is up to date."""
        noun = key.path[-1]
        if noun in self.partitions:
            days = self.partitions[noun]()
            return f"new data of {', '.join(days)}" if days else None
        record = self._latest(key)
        if record is None:
            return "never made"
        if record.tags.get("dagster/code_version") != self.specs[key].code_version:
            return "its code or settings changed"
        for dep in self.specs[key].deps:
            parent = self._latest(dep.asset_key)
            if parent is None:
                continue
            if dep.asset_key.path[-1] in self.partitions:
                changed = parent.at > record.at
            else:
                seen = record.tags.get(f"dagster/input_data_version/{dep.asset_key.to_user_string()}")
                changed = seen != parent.tags.get("dagster/data_version")
            if changed:
                return f"{dep.asset_key.path[-1]} changed"
        return self._news(noun) if noun in self.probes else None

    def _news(self, noun: str) -> str | None:
        """The result of the asset's probe; if that fails, its error message, so that the asset runs and fails by itself."""
        try:
            return self.probes[noun]()
        except (MLAssetsError, OSError, RuntimeError, ValueError) as error:
            return str(error)

    def _latest(self, key: dg.AssetKey) -> "_Made | None":
        entry = self.instance.get_latest_materialization_event(key)
        if entry is None or entry.asset_materialization is None:
            return None
        return _Made(dict(entry.asset_materialization.tags or {}), entry.timestamp)


def runner(project: str, **callbacks: Any) -> Runner:
    """Make the runner of a declared project, on the installation's Dagster instance. Raises `ProjectError`, `InstanceError`."""
    from ml_assets.definitions import shared
    from ml_assets.project import MLProject
    from ml_assets.services import dagster_home

    made, definitions = MLProject.declared(project)
    examples.use(project)
    dagster_home.prepare_dagster_home()
    os.environ.update(dagster_home.environment())
    whole = dg.Definitions.merge(definitions, shared())
    try:
        with FileLock(home() / "dagster.lock"):  # of two first runs at once, one makes the database
            instance = dg.DagsterInstance.get()
    except (yaml.YAMLError, TypeError, dg.DagsterError) as error:  # what Dagster makes of a file that is people's own
        first_line = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise InstanceError(f"{os.environ['DAGSTER_HOME']}/dagster.yaml cannot be used: {first_line}") from error
    probes = {noun: probe for stage in made.stages for noun, probe in stage.probes.items()}
    partitions = {noun: find for stage in made.stages for noun, find in stage.partitions.items()}
    return Runner(project, whole, instance, probes, partitions, **callbacks)


@dataclass(frozen=True)
class _Made:
    tags: dict[str, str]
    at: float


def _name(key: dg.AssetKey) -> str:
    return key.to_user_string()


def _run_failure(result: Any) -> str:
    """The error of a run that failed without a failed step, for example because it could not start."""
    errors = [e.event_specific_data.error for e in result.all_events if e.event_type == dg.DagsterEventType.RUN_FAILURE]
    return message_of(errors[-1] if errors else None)
