"""What a person reads of a failed step, and what Ctrl-C ends."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from ml_assets.commands.outcome import sentence_of
from ml_assets.commands.runner import Runner
from ml_assets.orchestration.resources import Workspace, key, result, stage_asset
from ml_assets.state import interrupts


class Unavailable(RuntimeError):
    """An error whose message was written for people."""


def _unavailable() -> None:
    try:
        raise ConnectionRefusedError(111, "Connection refused")
    except ConnectionRefusedError as error:
        raise Unavailable("the server does not answer: is it running?") from error


def _plain() -> None:
    raise ValueError("no column 'mail'")


def _described() -> None:
    raise dg.Failure("nothing could be collected")


@pytest.mark.parametrize(
    ("raise_it", "sentence"),
    [
        (_unavailable, "the server does not answer: is it running?"),
        (_plain, "no column 'mail'"),
        (_described, "nothing could be collected"),
    ],
)
def test_the_sentence_is_what_was_raised_and_not_its_cause(raise_it: Callable[[], None], sentence: str) -> None:
    @dg.asset
    def made() -> None:
        raise_it()

    result = dg.materialize([made], raise_on_error=False)
    (failure,) = result.get_step_failure_events()
    assert sentence_of(failure.step_failure_data) == sentence


def test_ctrl_c_ends_the_whole_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ML_ASSETS_HOME", str(tmp_path))
    ran = []

    def asset(noun: str, deps: tuple[str, ...] = ()) -> dg.AssetsDefinition:
        @stage_asset("p", "training", noun, deps=deps, version="1")
        def made(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
            """An asset of the test."""
            ran.append(noun)
            if noun == "left":
                os.kill(os.getpid(), signal.SIGINT)
            return result(noun)

        return made

    graph = [asset("root"), asset("left"), asset("after_root", ("root",))]
    with dg.instance_for_test() as instance:
        runner = Runner("p", dg.Definitions(assets=graph, executor=dg.in_process_executor), instance, {}, {})
        with pytest.raises(KeyboardInterrupt):
            runner.run()
        assert "left" in ran
        assert "after_root" not in ran
        assert instance.get_latest_materialization_event(key("p", "left")) is None


@pytest.mark.parametrize(
    ("raised", "sentence"),
    [
        (KeyError("x"), "KeyError: 'x': a mistake in the program, its traceback stands on the run's page in Dagster"),
        (TypeError("y"), "TypeError: y: a mistake in the program, its traceback stands on the run's page in Dagster"),
    ],
)
def test_a_mistake_in_the_program_is_no_sentence_for_people(raised: Exception, sentence: str) -> None:
    @dg.asset
    def made() -> None:
        raise raised

    result = dg.materialize([made], raise_on_error=False)
    (failure,) = result.get_step_failure_events()
    assert sentence_of(failure.step_failure_data) == sentence


# ---- wherever Ctrl-C comes ----


def swallow() -> None:
    """As libraries do that end well."""
    try:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(1)
    except KeyboardInterrupt:
        pass


def turn() -> None:
    """As libraries do that wrap what they catch."""
    try:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(1)
    except KeyboardInterrupt as error:
        raise RuntimeError("the solver failed") from error


def drop() -> None:
    """Where nothing can be raised."""

    class Going:
        def __del__(self) -> None:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.1)

    Going()


def ignore() -> None:
    """As Dagster does between two steps."""
    before = signal.signal(signal.SIGINT, lambda *_: None)
    os.kill(os.getpid(), signal.SIGINT)
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("swallowed", [swallow, turn, drop, ignore])
def test_an_interrupt_that_somebody_swallows_ends_the_block(
    swallowed: Callable[[], None], capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(KeyboardInterrupt), interrupts.heard():
        swallowed()
    assert "Traceback" not in capfd.readouterr().err


def test_work_that_swallows_an_interrupt_is_interrupted_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interrupts, "AGAIN_SECONDS", 0.2)

    def work() -> None:
        swallow()
        threading.Event().wait(60)

    with pytest.raises(KeyboardInterrupt), interrupts.heard():
        work()


def test_what_was_not_interrupted_is_left_alone() -> None:
    with interrupts.heard(), interrupts.heard():
        interrupts.check()
    with pytest.raises(ValueError, match="mine"), interrupts.heard():
        raise ValueError("mine")
    interrupts.check()
    assert signal.set_wakeup_fd(-1) == -1, "what was there before is there again"


def slow_graph(ran: list[str]) -> dg.Definitions:
    def asset(noun: str, deps: tuple[str, ...] = ()) -> dg.AssetsDefinition:
        @stage_asset("p", "training", noun, deps=deps, version="1")
        def made(context: dg.AssetExecutionContext, workspace: Workspace) -> dg.MaterializeResult[Any]:
            """An asset of the test."""
            workspace.store("p")
            ran.append(noun)
            return result(noun)

        return made

    def check(noun: str) -> dg.AssetChecksDefinition:
        @dg.asset_check(asset=key("p", noun), name=f"good_{noun}", blocking=True)
        def good(workspace: Workspace) -> dg.AssetCheckResult:
            workspace.store("p")
            return dg.AssetCheckResult(passed=True)

        return good

    graph = [asset("a"), asset("b"), asset("c", ("a",)), asset("d", ("b", "c"))]
    checks = [check(noun) for noun in "abcd"]
    return dg.Definitions(
        assets=graph, asset_checks=checks, resources={"workspace": Workspace()}, executor=dg.in_process_executor
    )


@pytest.mark.parametrize("seed", range(2))
def test_ctrl_c_ends_the_run_at_whatever_moment_it_comes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    """Between steps, in a step, in a check, while an event is stored, while the run is told: at moments drawn from a seed."""
    monkeypatch.setenv("ML_ASSETS_HOME", str(tmp_path))
    draw, ran = random.Random(seed), list[str]()
    warnings.simplefilter("ignore")  # of files that an interrupted library left open
    lasts = 0.0
    for _ in range(2):
        with dg.instance_for_test() as instance:
            runner = Runner("p", slow_graph(ran), instance, {}, {})
            began = time.monotonic()
            assert runner.run().materialized == ["p/a", "p/b", "p/c", "p/d"]
            lasts = time.monotonic() - began  # of the second one: nothing is imported any more
    swallowed = []
    for _ in range(8):
        with dg.instance_for_test() as instance:
            ran.clear()
            runner, pressed, ended = Runner("p", slow_graph(ran), instance, {}, {}), threading.Event(), threading.Event()
            wait = draw.uniform(0, lasts)

            def press(wait: float = wait, pressed: threading.Event = pressed, ended: threading.Event = ended) -> None:
                if not ended.wait(wait):
                    pressed.set()
                    os.kill(os.getpid(), signal.SIGINT)

            finger, interrupted = threading.Thread(target=press), False
            try:
                with interrupts.heard():
                    finger.start()
                    try:
                        runner.run()
                    finally:
                        ended.set()
                        finger.join()
            except KeyboardInterrupt:
                interrupted = True
            if pressed.is_set() and not interrupted:
                swallowed.append(wait)
            assert runner.run().succeeded, "what is made stays, and the next run goes on"
    assert swallowed == []


PROJECT = """
type: ml_assets.project.MLProject
attributes:
  collection:
    modality: text
    sources: [{type: table, name: mails, path: "%s"}]
  labeling: {task: {type: single_choice, classes: [good, bad]}}
"""


def test_the_command_ends_with_130_and_one_line(tmp_path: Path) -> None:
    (tmp_path / "defs" / "mails").mkdir(parents=True)
    (tmp_path / "mails.csv").write_text("text\n" + "".join(f"mail number {n}\n" for n in range(20_000)))
    (tmp_path / "defs" / "mails" / "defs.yaml").write_text(PROJECT % (tmp_path / "mails.csv"))
    environment = {**os.environ, "ML_ASSETS_HOME": str(tmp_path / "home"), "ML_ASSETS_DEFS": str(tmp_path / "defs")}
    command = [
        sys.executable,
        "-c",
        "print('up', flush=True); import ml_assets.cli as c; c.main()",
        "run",
        "mails",
        "collection",
    ]
    draw = random.Random(5)
    for _ in range(3):
        done = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert done.stdout is not None
        done.stdout.readline()
        try:
            _, said = done.communicate(timeout=draw.uniform(2, 8))
        except subprocess.TimeoutExpired:
            done.send_signal(signal.SIGINT)
            _, said = done.communicate(timeout=60)
            if " up to date" in said:  # it had done all that it was asked for, and was only leaving
                continue
            assert done.returncode == 130, said
            assert "Traceback" not in said
            assert [line.strip() for line in said.splitlines() if "interrupted" in line] == [
                "interrupted: what is made stays, and the next run goes on from there"
            ]
        else:
            assert done.returncode == 0
    assert subprocess.run(command, env=environment, capture_output=True, timeout=120).returncode == 0
