"""Access to MLflow: experiments, runs with their curves, registered models. Writes in batches, never per step."""

import os
import re
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

from ml_assets.errors import MLAssetsError
from ml_assets.state.home import url, who_starts
from ml_assets.training.seal import Seal, Tampered

FLUSH_SECONDS = 2.0
PROBE_SECONDS = 10.0
BATCH = 1000  # MLflow's limit of metrics per call

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("DO_NOT_TRACK", "true")
# report a server that is down within seconds, not after MLflow's default of several minutes
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")


class TrackingUnavailable(MLAssetsError, RuntimeError):
    """Raised when MLflow does not respond; the message says where it was expected."""


class TrackingRefused(MLAssetsError, RuntimeError):
    """Raised when MLflow refuses a request; the message quotes it."""


class TrackedRun:
    """An MLflow run that can be written to."""

    def __init__(self, client: Any, run_id: str, experiment_id: str, uri: str):
        self.client, self.id, self.experiment_id, self.uri = client, run_id, experiment_id, uri
        self._waiting: list[Any] = []
        self._flushed = time.monotonic()

    def curve(self, step: int, values: Mapping[str, float]) -> None:
        """Add one point to each curve; points are sent together every two seconds."""
        from mlflow.entities import Metric

        at = int(time.time() * 1000)
        self._waiting += [Metric(name, value, at, step) for name, value in values.items()]
        if len(self._waiting) >= BATCH or time.monotonic() - self._flushed > FLUSH_SECONDS:
            self.flush()

    def metrics(self, values: Mapping[str, float]) -> None:
        """Log final metrics of the run."""
        self.curve(0, values)
        self.flush()

    def flush(self) -> None:
        """Send the buffered points."""
        with answered(self.uri):
            while self._waiting:
                self.client.log_batch(self.id, metrics=self._waiting[:BATCH])
                del self._waiting[:BATCH]
        self._flushed = time.monotonic()

    def file(self, name: str, content: bytes) -> None:
        """Store a file with this name and content as an artifact of the run."""
        import tempfile

        with tempfile.TemporaryDirectory() as folder, answered(self.uri):
            path = Path(folder) / Path(name).name
            path.write_bytes(content)
            self.client.log_artifact(self.id, str(path), str(Path(name).parent) if "/" in name else None)

    def params(self, values: Mapping[str, Any]) -> None:
        """Log the parameters of the run."""
        from mlflow.entities import Param

        with answered(self.uri):
            self.client.log_batch(self.id, params=[Param(k, str(v)) for k, v in values.items()])

    def tag(self, name: str, value: str) -> None:
        """Set a tag of the run."""
        with answered(self.uri):
            self.client.set_tag(self.id, name, value)

    def end(self, status: str) -> None:
        """Mark the run as ended: `FINISHED` or `FAILED`."""
        with answered(self.uri):
            self.client.set_terminated(self.id, status)


class Tracker:
    """The experiment of a project in MLflow.

    Args:
        project: Name of the experiment and of the registered model.
        uri: Tracking server; by default the one that `ml-assets up` starts, or `MLFLOW_TRACKING_URI`.
    """

    def __init__(self, project: str, uri: str | None = None):
        self.project, self.uri = project, uri or url("mlflow")

    @property
    def client(self) -> Any:
        """The MLflow client."""
        return _client(self.uri)

    @property
    def experiment_id(self) -> str:
        """The id of the project's experiment, which is created at first use."""
        return _experiment(self.uri, self.project)

    @contextmanager
    def run(
        self, name: str, params: Mapping[str, Any], tags: Mapping[str, str], parent: str | None = None, again: str | None = None
    ) -> Iterator[TrackedRun]:
        """A context with a run that ends as finished, or as failed if the block raises; `again` continues an existing run."""
        all_tags = {"mlflow.runName": name, **tags, **({"mlflow.parentRunId": parent} if parent else {})}
        with answered(self.uri):
            if again is not None and self._has(again):
                self.client.update_run(again, status="RUNNING")
                run_id = again
            else:
                run_id = self.client.create_run(self.experiment_id, tags=all_tags, run_name=name).info.run_id
        run = TrackedRun(self.client, run_id, self.experiment_id, self.uri)
        try:
            run.params(params)
            yield run
            run.flush()
        except BaseException as error:
            if not isinstance(error, TrackingUnavailable):  # the server would not receive the status, after a long wait
                with suppress(TrackingUnavailable, TrackingRefused):  # the first error is the one to report
                    run.end("FAILED")
            raise
        run.end("FINISHED")

    def _has(self, run_id: str) -> bool:
        import mlflow

        try:
            return bool(self.client.get_run(run_id).info.lifecycle_stage == "active")
        except mlflow.exceptions.MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return False

    def existing(self, run_id: str) -> TrackedRun:
        """An existing run, to add metrics and files to."""
        return TrackedRun(self.client, run_id, self.experiment_id, self.uri)

    def next_version(self) -> int:
        """The number that the registry will give to the project's next model. The caller must hold the project's lock."""
        with answered(self.uri):
            found = self.client.search_model_versions(
                f"name = '{self.project}'", max_results=1, order_by=["version_number DESC"]
            )
        return 1 + (int(found[0].version) if found else 0)

    def register(self, run: TrackedRun, folder: Path) -> int:
        """Store the model folder with the run, register it, and return its version number."""
        import mlflow

        mlflow.set_tracking_uri(self.uri)
        # hide MLflow's warning about type hints, which it then rejects; it installs its own warning filter first
        with answered(self.uri), mlflow.start_run(run_id=run.id), warnings.catch_warnings(record=True):
            info = mlflow.pyfunc.log_model(
                name="model",
                python_model=str(Path(__file__).parent / "pyfunc.py"),
                artifacts={"folder": str(folder)},
                pip_requirements=["ml-assets"],
            )
        with answered(self.uri):
            # through the client, because `registered_model_name` prints to the terminal
            if not self.client.search_registered_models(f"name = '{self.project}'"):
                self.client.create_registered_model(self.project)
            made = self.client.create_model_version(self.project, info.model_uri, run_id=run.id, model_id=info.model_id)
        return int(made.version)

    def download(self, version: str, folder: Path, seal: Seal | None = None) -> Path:
        """Download the model folder of version `<project>-<n>` below `folder`, and check it against the seal.

        Raises `Tampered`: whoever can reach the server may have replaced the model.
        """
        import mlflow

        mlflow.set_tracking_uri(self.uri)
        with answered(self.uri):
            path = mlflow.artifacts.download_artifacts(
                f"models:/{self.project}/{version.rsplit('-', 1)[-1]}", dst_path=str(folder)
            )
        found = sorted(path for path in Path(path).glob("artifacts/*"))
        if len(found) != 1:
            raise Tampered(f"MLflow has {len(found)} folders as the model {version}, where one was registered: it is not used")
        if seal is not None:
            seal.check(found[0])
        return found[0]

    def set_champion(self, version: str) -> None:
        """Point the alias `champion` at the version that serves."""
        with answered(self.uri):
            self.client.set_registered_model_alias(self.project, "champion", version.rsplit("-", 1)[-1])

    def run_url(self, run_id: str, page: str = "") -> str:
        """URL of the page of a run, or of a page below it, such as `model-metrics`, which has its curves."""
        place = f"{self.uri}/#/experiments/{self.experiment_id}/runs/{run_id}"
        # without `workflowType` MLflow shows the run as an evaluation of a language model
        return f"{place}{f'/{page}' if page else ''}?workflowType=machine_learning"


@contextmanager
def answered(uri: str) -> Iterator[None]:
    """A context in which MLflow's errors become one sentence. Raises `TrackingUnavailable`, `TrackingRefused`."""
    import mlflow
    import requests

    try:
        yield
    except (mlflow.exceptions.MlflowException, requests.RequestException) as error:
        said = " ".join(str(error).split())
        if isinstance(error, requests.Timeout) or "timeout exception" in said or "Read timed out" in said:
            raise TrackingUnavailable(_silent(uri)) from error
        if isinstance(error, requests.ConnectionError) or "failed with exception" in said or "Max retries" in said:
            raise TrackingUnavailable(f"MLflow does not answer at {_shown(uri)}: {who_starts('mlflow')}") from error
        raise TrackingRefused(f"MLflow at {_shown(uri)} refuses: {said[:300]}") from error


@lru_cache(maxsize=8)
def _client(uri: str) -> Any:
    import logging

    import mlflow

    logging.getLogger("mlflow").setLevel(logging.WARNING)
    logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)  # it logs each attempt
    return mlflow.MlflowClient(tracking_uri=uri)


@lru_cache(maxsize=64)
def _experiment(uri: str, name: str) -> str:
    from mlflow.exceptions import MlflowException

    with answered(uri):
        _listens(uri)
        found = _client(uri).get_experiment_by_name(name)
        if found:
            return str(found.experiment_id)
        try:
            return str(_client(uri).create_experiment(name))
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            return str(_client(uri).get_experiment_by_name(name).experiment_id)  # another process was first


def _listens(uri: str) -> None:
    """Check with a short timeout that the server responds: MLflow's own calls wait for minutes on a silent server."""
    import httpx

    if not uri.startswith(("http://", "https://")):
        return
    try:
        httpx.get(f"{uri.rstrip('/')}/health", timeout=PROBE_SECONDS)
    except httpx.TimeoutException as error:
        raise TrackingUnavailable(_silent(uri)) from error
    except httpx.HTTPError:
        pass  # MLflow's own calls retry and report the error


def _silent(uri: str) -> str:
    return f"MLflow at {_shown(uri)} is silent: see its log, or try again"


def _shown(uri: str) -> str:
    """The URL without user name and password."""
    return re.sub(r"//[^/@]*@", "//", uri)
