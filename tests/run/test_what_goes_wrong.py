"""What goes wrong is never taken for done: checks that raise, names with underscores, runs that cannot even start."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import dagster as dg
import psutil
import pytest
from dagster._core.events import EngineEventData  # there is no public way to say what the process of a run says

from ml_assets.commands.outcome import Outcome
from ml_assets.commands.runner import Runner
from ml_assets.orchestration.dead_runs import boot_id, fail_runs_of_dead_processes
from ml_assets.orchestration.resources import key, result, stage_asset
from ml_assets.state import processes

World = dict[str, Any]


@pytest.fixture
def world() -> World:
    return {"raises": "", "project": "p", "ran": [], "resource": "", "blocking": True}


class Place(dg.ConfigurableResource[Any]):
    """A resource that may not be there."""

    problem: str = ""

    def setup_for_execution(self, context: dg.InitResourceContext) -> None:
        if self.problem:
            raise OSError(self.problem)


def graph(world: World) -> dg.Definitions:
    """first → second → third, with a check of the second; other stands beside them."""

    def asset(noun: str, *deps: str) -> dg.AssetsDefinition:
        @stage_asset(world["project"], "training", noun, deps=deps)
        def made(place: Place) -> dg.MaterializeResult[Any]:
            """An asset of the test."""
            world["ran"].append(noun)
            if world["raises"] == noun:
                raise ValueError(f"{noun} cannot be made")
            return result(world.get(noun, "1"))

        return made

    @dg.asset_check(asset=key(world["project"], "second"), blocking=world["blocking"])
    def sound() -> dg.AssetCheckResult:
        if world["raises"] == "check":
            raise FileNotFoundError("the model's folder is gone")
        return dg.AssetCheckResult(passed=True)

    assets = [asset("first"), asset("second", "first"), asset("third", "second"), asset("other")]
    resources = {"place": Place(problem=world["resource"])}
    return dg.Definitions(assets=assets, asset_checks=[sound], resources=resources, executor=dg.in_process_executor)


@pytest.fixture
def run(instance: dg.DagsterInstance, world: World) -> Callable[..., Outcome]:
    """Run with new definitions each time, as a new process would."""

    def go(**more: Any) -> Outcome:
        world["ran"].clear()
        return Runner(world["project"], graph(world), instance, {}, {}).run(**more)

    return go


def test_a_blocking_check_that_raises_has_not_passed(run: Callable[..., Outcome], world: World) -> None:
    world["raises"] = "check"
    found = run()
    assert found.failed_checks == {"p/second:sound": "the model's folder is gone"}
    assert (found.failed, found.blocked) == ({}, ["p/third"])
    assert "third" not in world["ran"]
    again = run()
    assert (again.succeeded, again.blocked) == (False, ["p/third"])
    assert world["ran"] == ["second"], "it is asked again: perhaps what was missing is there now"
    world["raises"] = ""
    mended = run()
    assert (mended.succeeded, world["ran"]) == (True, ["second", "third"])
    assert run().materialized == []


def test_a_check_that_only_warns_warns_when_it_raises(run: Callable[..., Outcome], world: World) -> None:
    world["raises"], world["blocking"] = "check", False
    found = run()
    assert (found.succeeded, found.warnings) == (True, {"p/second:sound": "the model's folder is gone"})
    assert found.materialized[-1] == "p/third"
    assert run().materialized == []


@pytest.mark.parametrize("project", ["a__b", "a_", "p_1", "a__second"])
def test_underscores_in_a_name_hide_no_failure(run: Callable[..., Outcome], world: World, project: str) -> None:
    world["project"], world["raises"] = project, "second"
    found = run()
    assert found.failed == {f"{project}/second": "second cannot be made"}
    assert found.blocked == [f"{project}/third"]
    world["raises"] = "check"
    assert run().failed_checks == {f"{project}/second:sound": "the model's folder is gone"}


def test_a_run_that_cannot_start_has_failed(run: Callable[..., Outcome], world: World) -> None:
    world["resource"] = "the disk is full"
    found = run()
    assert world["ran"] == []
    assert not found.succeeded
    assert set(found.failed) == {"p/first", "p/other"}
    assert all("the disk is full" in sentence for sentence in found.failed.values())
    assert found.blocked == ["p/second", "p/third"]
    world["resource"] = ""
    assert run().succeeded


def test_one_that_fails_does_not_stop_those_beside_it(run: Callable[..., Outcome], world: World) -> None:
    world["raises"] = "first"
    found = run()
    assert (sorted(world["ran"]), found.materialized) == (["first", "other"], ["p/other"])
    assert found.blocked == ["p/second", "p/third"]


def stuck(instance: dg.DagsterInstance, pid: int, project: str = "p", boot: str | None = None) -> str:
    job = dg.define_asset_job("job").resolve(
        asset_graph=graph({"project": "p", "blocking": True, "resource": ""}).resolve_asset_graph()
    )
    tags = {"ml_assets/project": project, "ml_assets/pid": str(pid), "ml_assets/boot": boot or boot_id()}
    return str(instance.create_run_for_job(job, tags=tags).run_id)


def test_only_runs_of_dead_processes_are_failed(instance: dg.DagsterInstance) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    alive = stuck(instance, os.getpid())
    other = stuck(instance, dead.pid, project="q")
    before = stuck(instance, os.getpid(), boot="123")
    gone = stuck(instance, dead.pid)
    assert set(fail_runs_of_dead_processes(instance, "p")) == {gone, before}
    status = {run.run_id: run.status for run in instance.get_runs()}
    assert status[alive] == status[other] == dg.DagsterRunStatus.NOT_STARTED
    assert status[gone] == status[before] == dg.DagsterRunStatus.FAILURE


def test_a_run_that_dagster_launched_is_failed_too_when_its_process_died(instance: dg.DagsterInstance) -> None:
    """After a power cut nobody else does it, and the queue starts no other run of the project as long as one goes on."""
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    launched = {}
    for pid in (dead.pid, os.getpid(), None):
        run = instance.create_run_for_job(dg.define_asset_job("job").resolve(
            asset_graph=graph({"project": "p", "blocking": True, "resource": ""}).resolve_asset_graph()
        ), tags={"ml_assets/project": "p"})  # fmt: skip
        if pid is not None:  # as the process of a run says when it begins
            instance.report_engine_event(f"Started process for run (pid: {pid}).", run, EngineEventData.in_process(pid))
        launched[pid] = run.run_id
    assert fail_runs_of_dead_processes(instance, "p") == [launched[dead.pid]]
    assert instance.get_run_by_id(launched[dead.pid]).status == dg.DagsterRunStatus.FAILURE


def test_another_process_that_got_the_number_does_not_keep_a_run_alive(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The system gives numbers out again: a process that is younger than the run did not start it."""
    run = stuck(instance, os.getpid())
    assert fail_runs_of_dead_processes(instance, "p") == []
    monkeypatch.setattr(processes, "began", lambda process: time.time() + 60)
    assert fail_runs_of_dead_processes(instance, "p") == [run]


def test_a_process_that_nobody_waited_for_is_dead(instance: dg.DagsterInstance) -> None:
    zombie = subprocess.Popen([sys.executable, "-c", ""], stdout=subprocess.PIPE)
    assert zombie.stdout is not None
    run = stuck(instance, zombie.pid)
    zombie.stdout.read()  # closed when it ends
    deadline = time.monotonic() + 10
    while psutil.Process(zombie.pid).status() != psutil.STATUS_ZOMBIE and time.monotonic() < deadline:
        pass
    assert fail_runs_of_dead_processes(instance, "p") == [run]
    zombie.wait()
