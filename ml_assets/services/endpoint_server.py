"""The endpoint's processes: one that watches, and workers that each serve the BentoML service over one socket.

    python -m ml_assets.services.endpoint_server [BENTO] [--host HOST] [--port PORT] [--workers N]

`bentoml serve` would start a process manager that runs whatever program anybody asks it to who reaches its TCP port. Here the
workers are watched by uvicorn's own supervisor, which hears signals and nothing else.
"""

import argparse
import logging
import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any

from ml_assets.home import port
from ml_assets.http_limits import KEEP_ALIVE_SECONDS, LimitedProtocol, raise_file_limit
from ml_assets.private import keep_private

BENTO, WORKERS = "ML_ASSETS_BENTO", "ML_ASSETS_ENDPOINT_WORKERS"
METRICS = "PROMETHEUS_MULTIPROC_DIR"
SERVICE = Path(__file__).resolve().parents[2] / "bento"
GRACE_SECONDS = 10
SILENT_SECONDS = 60
"""A worker that does not answer the watching process for so long is replaced; loading a model can silence it for seconds."""


def main() -> None:
    """Serve until SIGTERM."""
    from uvicorn import Config

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
        timeout_worker_healthcheck=SILENT_SECONDS,
    )
    _log()
    socket = config.bind_socket()
    try:
        _supervisor()(config, [socket]).run()
    finally:
        socket.close()
        shutil.rmtree(metrics, ignore_errors=True)


def application() -> Any:
    """The BentoML service as an ASGI application, in a worker: of the whole installation, or of the Bento that was named."""
    _log()
    raise_file_limit()
    # a terminal's Ctrl-C reaches all of them; the watching process tells them when to end
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    import bentoml

    if bento := os.environ.get(BENTO):
        return bentoml.load(bento, standalone_load=True).to_asgi()
    return bentoml.load("service:Inference", working_dir=str(SERVICE), standalone_load=True).to_asgi()


def _supervisor() -> Any:
    from uvicorn.supervisors import Multiprocess

    return Multiprocess


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
