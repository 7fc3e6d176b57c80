"""Runs the endpoint: a supervising process, and worker processes that serve the BentoML service over one socket.

    python -m ml_assets.services.endpoint_server [BENTO] [--host HOST] [--port PORT] [--workers N]

`bentoml serve` would start a process manager that runs any program for anybody who reaches its TCP port. Here uvicorn's own
supervisor watches the workers; it reacts to signals only.
"""

import argparse
import logging
import os
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from uvicorn import Config
from uvicorn.supervisors.multiprocess import Multiprocess, Process

from ml_assets.network.http_limits import KEEP_ALIVE_SECONDS, LimitedProtocol, raise_file_limit
from ml_assets.state.home import port
from ml_assets.state.private import keep_private

BENTO, WORKERS = "ML_ASSETS_BENTO", "ML_ASSETS_ENDPOINT_WORKERS"
METRICS = "PROMETHEUS_MULTIPROC_DIR"
SERVICE = Path(__file__).resolve().parents[2] / "bento"
GRACE_SECONDS = 10
SILENT_SECONDS = 60
"""A worker that does not answer the supervisor for so long is replaced; loading a model can block it for seconds."""


def main() -> None:
    """Serve the endpoint until SIGTERM; the exit code is 1 if no worker ever served."""
    keep_private()
    given = _arguments(sys.argv[1:])
    if given.bento:
        os.environ[BENTO] = given.bento
    metrics = tempfile.mkdtemp(prefix="ml-assets-metrics-")  # mode 0700
    os.environ[METRICS] = metrics
    os.environ.setdefault("BENTOML_DO_NOT_TRACK", "true")
    config = Config(
        "ml_assets.services.endpoint_server:application",
        factory=True,
        host=given.host,
        port=given.port,
        workers=given.workers,
        http=LimitedProtocol,
        ws="none",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    _log()
    socket = config.bind_socket()
    workers = Workers(config, [socket])
    try:
        workers.run()
    finally:
        socket.close()
        shutil.rmtree(metrics, ignore_errors=True)
    sys.exit(0 if workers.served else 1)


class Workers(Multiprocess):
    """Supervisor of the worker processes, which replaces one that ended or does not respond.

    uvicorn's own supervisor ends all of them when a new one fails to start, and ignores signals while it waits for an answer.
    """

    def __init__(self, config: Config, sockets: list[Any]):
        super().__init__(config, sockets)
        self.served = False
        self.heard: dict[Process, float] = {}
        self.asked: set[Process] = set()

    def keep_subprocess_alive(self) -> None:
        """Replace workers that ended or do not respond; stop if one failed before any has served, so that the error is seen."""
        for index, worker in enumerate(self.processes):
            if self.should_exit.is_set() or (worker.process.is_alive() and not self._silent(worker)):
                continue
            worker.kill()
            worker.join()
            self.heard.pop(worker, None)
            self.asked.discard(worker)
            logging.getLogger(__name__).error("worker %s ended with code %s", worker.pid, worker.exitcode)
            if not self.served and (worker.exitcode or 0) > 0:
                self.should_exit.set()
                return
            self.processes[index] = Process(self.config, self.sockets)
            self.processes[index].start()

    def _silent(self, worker: Process) -> bool:
        now = time.monotonic()
        self.heard.setdefault(worker, now)
        while worker.parent_conn.poll(0):
            self.served |= bool(worker.parent_conn.recv())
            self.heard[worker] = now
            self.asked.discard(worker)
        if worker not in self.asked:
            worker.parent_conn.send(b"ping")
            self.asked.add(worker)
        return now - self.heard[worker] > SILENT_SECONDS


def application() -> Any:
    """Make the ASGI application of a worker: that of the Bento in `ML_ASSETS_BENTO`, else of the whole installation."""
    _log()
    raise_file_limit()
    # a terminal's Ctrl-C reaches all workers; the supervisor ends them
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    import bentoml

    if bento := os.environ.get(BENTO):
        return bentoml.load(bento, standalone_load=True).to_asgi()
    return bentoml.load("service:Inference", working_dir=str(SERVICE), standalone_load=True).to_asgi()


def _arguments(given: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="ml_assets.services.endpoint_server", description=__doc__)
    parser.add_argument("bento", nargs="?", help="tag of a packaged Bento; without one, all that the installation deployed")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=port("endpoint"))
    parser.add_argument("--workers", type=int, default=int(os.environ.get(WORKERS) or "2"))
    return parser.parse_args(given)


def _log() -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s [%(process)d] %(message)s")


if __name__ == "__main__":
    main()
