"""Prometheus metrics of the endpoint, summed over its workers if BentoML sets a shared folder."""

import asyncio
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ml_assets.deployment.gate import GONE

FILE_BYTES = 1 << 18
"""Size reserved for each file in which a worker counts, enough for some two thousand values."""


def _reserve() -> None:
    """Reserve disk space for the files in which this worker counts.

    prometheus_client maps sparse files: writing to one while the disk is full kills the process by SIGBUS. If there is no space
    even at the start, the worker counts for itself, in memory.
    """
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return
    for kind in ("counter", "histogram"):
        path = Path(os.environ["PROMETHEUS_MULTIPROC_DIR"]) / f"{kind}_{os.getpid()}.db"
        try:
            with path.open("ab") as file:
                os.posix_fallocate(file.fileno(), 0, FILE_BYTES)
        except OSError:
            with suppress(OSError):
                path.unlink()
            memory = Path("/dev/shm")
            os.environ["PROMETHEUS_MULTIPROC_DIR"] = tempfile.mkdtemp(
                "-ml-assets-metrics", dir=memory if memory.is_dir() else None
            )
            return


_reserve()
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)

REQUESTS = Counter("ml_assets_requests", "Requests by route and status.", ["route", "status"])
DURATIONS = Histogram("ml_assets_request_seconds", "Time to answer.", ["route"], buckets=SECONDS)
PREDICTIONS = Counter("ml_assets_predictions", "Predictions made.", ["project", "model"])
SAMPLES = Histogram(
    "ml_assets_request_samples", "Samples in a request.", ["project"], buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256)
)


class Measured:
    """ASGI middleware: counts and times requests by handler, not by path, which strangers choose."""

    def __init__(self, app: ASGIApp):
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and record its status and duration."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        start, status = time.perf_counter(), 500

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, noted)
        except (asyncio.CancelledError, ClientDisconnect):  # the client disconnected
            status = GONE
            raise
        finally:
            route = getattr(scope.get("endpoint"), "__name__", "other")
            REQUESTS.labels(route, str(status)).inc()
            DURATIONS.labels(route).observe(time.perf_counter() - start)


def exposition(project: str | None) -> tuple[bytes, str]:
    """The metrics as text, with its content type: those without a project, and those of this project."""
    source: CollectorRegistry = REGISTRY
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        source = CollectorRegistry()
        MultiProcessCollector(source)  # type: ignore[no-untyped-call]
    return generate_latest(_OfProject(source, project)), CONTENT_TYPE_LATEST


class _OfProject:
    """A view of a registry with only the samples that have no project, or this one."""

    def __init__(self, source: CollectorRegistry, project: str | None):
        self.source, self.project = source, project

    def collect(self) -> Iterator[Metric]:
        for metric in self.source.collect():
            metric.samples = [s for s in metric.samples if s.labels.get("project") in (None, self.project)]
            if metric.samples:
                yield metric
