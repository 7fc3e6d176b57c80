"""The runner on small graphs: what is stale runs, level by level; what failed holds up the rest."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from ml_assets.commands.outcome import Outcome
from ml_assets.commands.runner import Busy, Runner
from ml_assets.orchestration.dead_runs import boot_id, fail_runs_of_dead_processes
from ml_assets.orchestration.resources import key, result, stage_asset

World = dict[str, Any]


@pytest.fixture
def world() -> World:
    """What the assets of the graph say when they run, and which of them ran."""
    return {
        "root": "1",
        "middle": "1",
        "leaf": "1",
        "version": "1",
        "check": True,
        "ran": [],
        "fail": "",
        "news": None,
        "days": [],
    }


def graph(world: World) -> dg.Definitions:
    """root → middle → leaf, and daily, which is partitioned."""

    def asset(noun: str, deps: tuple[str, ...] = (), version: str = "1", **more: Any) -> dg.AssetsDefinition:
        @stage_asset("p", "training" if noun == "leaf" else "collection", noun, deps=deps, version=version, **more)
        def made(context: dg.AssetExecutionContext) -> dg.MaterializeResult[Any]:
            """An asset of the test."""
            world["ran"].append(noun if not context.has_partition_key else f"{noun} {context.partition_key}")
            if world["fail"] == noun:
                raise ValueError(f"{noun} cannot be made")
            return result(world.get(noun, "1"))

        return made

    @dg.asset_check(asset=key("p", "middle"), blocking=True)
    def good(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
        return dg.AssetCheckResult(passed=world["check"], description="the middle is bad")

    days = dg.DailyPartitionsDefinition(start_date="2026-01-01")
    assets = [
        asset("root"),
        asset("middle", ("root",), version=world["version"]),
        asset("leaf", ("middle",)),
        asset("daily", ("root",), partitions_def=days),
    ]
    return dg.Definitions(assets=assets, asset_checks=[good], executor=dg.in_process_executor)


@pytest.fixture
def run(instance: dg.DagsterInstance, world: World) -> Callable[..., Outcome]:
    """Run with new definitions each time, as a new process would."""

    def go(**more: Any) -> Outcome:
        world["ran"].clear()
        runner = Runner("p", graph(world), instance, {"root": lambda: world["news"]}, {"daily": lambda: world["days"]})
        return runner.run(**more)

    return go


def test_everything_runs_once_and_then_nothing(run: Callable[..., Outcome], instance: dg.DagsterInstance, world: World) -> None:
    first = run()
    assert world["ran"] == ["root", "middle", "leaf"]
    assert first.materialized == ["p/root", "p/middle", "p/leaf"]
    assert first.succeeded
    before = len(instance.get_runs())
    again = run()
    assert world["ran"] == []
    assert again.materialized == []
    assert again.up_to_date == ["p/daily", "p/leaf", "p/middle", "p/root"]
    assert len(instance.get_runs()) == before


def test_an_unchanged_version_stops_the_run_there(run: Callable[..., Outcome], world: World) -> None:
    run()
    world["news"] = "something"
    run()
    assert world["ran"] == ["root"]
    world["root"] = "2"
    run()
    assert world["ran"] == ["root", "middle"]  # the middle came out as it was
    world["root"], world["middle"] = "3", "2"
    run()
    assert world["ran"] == ["root", "middle", "leaf"]


def test_new_code_runs_again(run: Callable[..., Outcome], world: World) -> None:
    run()
    world["version"] = "2"
    run()
    assert world["ran"] == ["middle"]


def test_only_the_chosen_stage_runs(run: Callable[..., Outcome], world: World) -> None:
    run(stages=["collection"])
    assert world["ran"] == ["root", "middle"]
    run(only=["leaf"])
    assert world["ran"] == ["leaf"]


def test_partitions_run_as_they_are_named(run: Callable[..., Outcome], world: World) -> None:
    world["days"] = ["2026-01-02", "2026-01-03"]
    assert "p/daily" in run().materialized
    assert [name for name in world["ran"] if "daily" in name] == ["daily 2026-01-02", "daily 2026-01-03"]


def test_a_failure_is_one_sentence_and_holds_up_what_follows(run: Callable[..., Outcome], world: World) -> None:
    world["fail"] = "middle"
    outcome = run()
    assert outcome.failed == {"p/middle": "middle cannot be made"}
    assert outcome.blocked == ["p/leaf"]
    assert not outcome.succeeded
    world["fail"] = ""
    assert run().materialized == ["p/middle", "p/leaf"]


def test_a_failed_blocking_check_holds_up_also_later_runs(
    run: Callable[..., Outcome], instance: dg.DagsterInstance, world: World
) -> None:
    world["check"] = False
    first = run()
    assert first.failed == {}
    assert first.failed_checks == {"p/middle:good": "the middle is bad"}
    assert first.blocked == ["p/leaf"]
    before = len(instance.get_runs())
    again = run()
    assert (world["ran"], again.blocked, again.failed_checks) == ([], ["p/leaf"], {"p/middle:good": "the middle is bad"})
    assert not again.succeeded
    assert len(instance.get_runs()) == before
    world["check"], world["root"], world["news"] = True, "2", "something"
    assert run().materialized == ["p/root", "p/middle", "p/leaf"]


def test_only_one_process_runs_a_project(run: Callable[..., Outcome], tmp_path: Path) -> None:
    code = (
        "from ml_assets.state.lock import project_lock\n"
        "with project_lock('p').acquire():\n"
        "    print('held', flush=True)\n"
        "    input()\n"
    )
    other = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert other.stdin is not None
    assert other.stdout is not None
    try:
        assert other.stdout.readline() == "held\n"
        with pytest.raises(Busy, match="another run of p is writing"):
            run()
    finally:
        other.communicate("\n", timeout=30)
    assert run().succeeded


def test_runs_of_dead_processes_are_marked_failed(instance: dg.DagsterInstance) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    tags = {"ml_assets/project": "p", "ml_assets/pid": str(dead.pid), "ml_assets/boot": boot_id()}
    stuck = instance.create_run_for_job(dg.define_asset_job("job").resolve(asset_graph=graph({"version": "1"}).resolve_asset_graph()), tags=tags)  # fmt: skip # noqa: E501
    assert fail_runs_of_dead_processes(instance, "p") == [stuck.run_id]
    found = instance.get_run_by_id(stuck.run_id)
    assert found is not None
    assert found.status == dg.DagsterRunStatus.FAILURE
    assert fail_runs_of_dead_processes(instance, "p") == []


def test_what_an_asset_can_do_without_comes_before_it_but_does_not_hold_it_up(instance: dg.DagsterInstance) -> None:
    said, ran = {"page": "1", "model": "1", "judged": "1"}, list[str]()

    def asset(noun: str, deps: tuple[str, ...] = (), optional: tuple[str, ...] = ()) -> dg.AssetsDefinition:
        @stage_asset("p", "training", noun, deps=deps, optional=optional)
        def made() -> dg.MaterializeResult[Any]:
            """An asset of the test."""
            ran.append(noun)
            if said[noun] == "fail":
                raise ValueError(f"{noun} cannot be made")
            return result(said[noun])

        return made

    @dg.asset_check(asset=key("p", "model"), blocking=True)
    def good() -> dg.AssetCheckResult:
        return dg.AssetCheckResult(passed=said["model"] != "bad", description="the model is bad")

    assets = [asset("data"), asset("page", ("data",), ("judged",)), asset("model", ("data",)), asset("judged", ("model",))]
    definitions = dg.Definitions(assets=assets, asset_checks=[good], executor=dg.in_process_executor)

    def run(**changes: str) -> list[str]:
        said.update(changes)
        ran.clear()
        Runner("p", definitions, instance, {"model": lambda: "news" if changes.get("model") else None}, {}).run()
        return ran.copy()

    said["data"] = "1"
    assert run(model="bad") == ["data", "model", "page"]
    assert run() == []
    assert run(model="2") == ["model", "judged", "page"]
    assert run() == []
    assert run(model="3", judged="fail") == ["model", "judged"]
    assert run(judged="2") == ["judged", "page"]
    assert run() == []
