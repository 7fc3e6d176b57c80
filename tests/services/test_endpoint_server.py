"""The endpoint's worker processes, with a small application in the place of the real one."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from installation import free_port, wait_until, workers_of

from ml_assets.services import endpoint_server

APPLICATION = """
import os, pathlib
async def application(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        broken = pathlib.Path(__file__).with_name("broken").exists()
        await send({"type": "lifespan.startup.failed" if broken else "lifespan.startup.complete"})
        if broken:
            return
        await receive()
        pathlib.Path(__file__).with_name(f"ended-{os.getpid()}").touch()
        await send({"type": "lifespan.shutdown.complete"})
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": str(os.getpid()).encode()})
"""
START = """
import sys
from uvicorn import Config
from ml_assets.services import endpoint_server
endpoint_server.SILENT_SECONDS = float(sys.argv[2])
config = Config("small:application", port=int(sys.argv[1]), workers=2, log_level="warning")
workers = endpoint_server.Workers(config, [config.bind_socket()])
if __name__ == "__main__":
    workers.run()
    sys.exit(0 if workers.served else 1)
"""

Start = Callable[..., tuple[subprocess.Popen[bytes], str]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts two workers; whatever is left of them is ended."""
    (tmp_path / "small.py").write_text(APPLICATION)
    started = []

    def begin(silent_seconds: str = "60") -> tuple[subprocess.Popen[bytes], str]:
        number = free_port()
        path = os.pathsep.join([str(tmp_path), str(Path(endpoint_server.__file__).parents[2])])
        environment = os.environ | {"PYTHONPATH": path}
        process = subprocess.Popen(
            [sys.executable, "-c", START, str(number), silent_seconds], env=environment, start_new_session=True
        )
        started.append(process)
        return process, f"http://127.0.0.1:{number}"

    yield begin
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def workers(process: subprocess.Popen[bytes]) -> set[int]:
    """The processes that serve."""
    return {worker.pid for worker in workers_of(process.pid)}


def answering(address: str) -> bool:
    try:
        return httpx.get(address, trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


def test_a_dead_worker_is_replaced_and_one_that_cannot_start_does_not_end_the_others(start: Start, tmp_path: Path) -> None:
    process, address = start()
    wait_until(lambda: answering(address) and len(workers(process)) == 2, 60)
    first = workers(process)
    os.kill(min(first), signal.SIGKILL)
    looks: list[set[int]] = []

    def both_are_back() -> bool:
        looks.append(workers(process))
        return len(looks[-1]) == 2 and min(first) not in looks[-1]

    wait_until(both_are_back, 60)

    (tmp_path / "broken").touch()
    survivor, seen = max(first), looks[-1]
    os.kill(min(seen - {survivor}), signal.SIGKILL)
    while len(seen) < 5:  # one that fails to start is replaced by another
        wait_until(lambda known=frozenset(seen): workers(process) - known, 60)
        seen |= workers(process)
        assert answering(address)
    assert survivor in workers(process)

    (tmp_path / "broken").unlink()
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0
    assert (tmp_path / f"ended-{survivor}").exists(), "each worker ends in good order"


def test_where_no_worker_ever_served_it_ends_and_says_so(start: Start, tmp_path: Path) -> None:
    (tmp_path / "broken").touch()
    process, _ = start()
    assert process.wait(60) == 1


def test_a_worker_that_hangs_is_replaced(start: Start) -> None:
    process, address = start("1")
    wait_until(lambda: answering(address) and len(workers(process)) == 2, 60)
    hangs = min(workers(process))
    os.kill(hangs, signal.SIGSTOP)
    wait_until(lambda: hangs not in workers(process) and len(workers(process)) == 2, 60)


def test_it_names_a_bento_and_listens_on_this_machine_unless_told() -> None:
    given = endpoint_server._arguments(["letters:1", "--workers", "3", "--port", "81"])
    assert (given.bento, given.host, given.workers, given.port) == ("letters:1", "127.0.0.1", 3, 81)
