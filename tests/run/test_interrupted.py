"""What a person reads of a failed step, and what Ctrl-C ends."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import dagster as dg
import pytest

from ml_assets.resources import key, result, stage_asset
from ml_assets.run import Runner, _sentence


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
    assert _sentence(failure.step_failure_data) == sentence


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
