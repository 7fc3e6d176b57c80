"""MLflow: experiments, runs with their curves, registered models. Writes in batches, never per step."""

import os
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

from ml_assets.home import url

FLUSH_SECONDS = 2.0
BATCH = 1000  # the most metrics that MLflow takes in one call

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("DO_NOT_TRACK", "true")
# a server that is down is told within seconds, not after MLflow's default of several minutes
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "60")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")


class TrackingUnavailable(RuntimeError):
    """MLflow does not answer; the message says where it was expected."""


class TrackedRun:
    """One MLflow run that is being written."""

    def __init__(self, client: Any, run_id: str, experiment_id: str):
        self.client, self.id, self.experiment_id = client, run_id, experiment_id
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
        """Log final figures."""
        self.curve(0, values)
        self.flush()

    def flush(self) -> None:
        """Send what waits."""
        while self._waiting:
            self.client.log_batch(self.id, metrics=self._waiting[:BATCH])
            del self._waiting[:BATCH]
        self._flushed = time.monotonic()

    def file(self, name: str, content: bytes) -> None:
        """Store one artifact."""
        import tempfile

        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / Path(name).name
            path.write_bytes(content)
            self.client.log_artifact(self.id, str(path), str(Path(name).parent) if "/" in name else None)


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
        """MLflow's own client."""
        return _client(self.uri)

    @property
    def experiment_id(self) -> str:
        """The project's experiment, made at first use."""
        return _experiment(self.uri, self.project)

    @contextmanager
    def run(
        self, name: str, params: Mapping[str, Any], tags: Mapping[str, str], parent: str | None = None, again: str | None = None
    ) -> Iterator[TrackedRun]:
        """A run that ends as finished or, if the block raises, as failed; the run `again`, if it is still there."""
        all_tags = {"mlflow.runName": name, **tags, **({"mlflow.parentRunId": parent} if parent else {})}
        with _answered(self.uri):
            if again is not None and self._has(again):
                self.client.update_run(again, status="RUNNING")
                run_id = again
            else:
                run_id = self.client.create_run(self.experiment_id, tags=all_tags, run_name=name).info.run_id
        run = TrackedRun(self.client, run_id, self.experiment_id)
        try:
            from mlflow.entities import Param

            self.client.log_batch(run.id, params=[Param(k, str(v)) for k, v in params.items()])
            yield run
        except BaseException:
            self.client.set_terminated(run.id, "FAILED")
            raise
        run.flush()
        self.client.set_terminated(run.id, "FINISHED")

    def _has(self, run_id: str) -> bool:
        import mlflow

        try:
            return bool(self.client.get_run(run_id).info.lifecycle_stage == "active")
        except mlflow.exceptions.MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return False

    def existing(self, run_id: str) -> TrackedRun:
        """A run made earlier, to add to."""
        return TrackedRun(self.client, run_id, self.experiment_id)

    def next_version(self) -> int:
        """The number that the registry gives to the next model of the project. Hold the project's lock."""
        with _answered(self.uri):
            found = self.client.search_model_versions(
                f"name = '{self.project}'", max_results=1, order_by=["version_number DESC"]
            )
        return 1 + (int(found[0].version) if found else 0)

    def register(self, run: TrackedRun, folder: Path) -> int:
        """Store the model folder with the run, register it, and return its version number."""
        import mlflow

        mlflow.set_tracking_uri(self.uri)
        # MLflow asks for type hints and refuses those that are right; it puts its own filter before any other
        with mlflow.start_run(run_id=run.id), warnings.catch_warnings(record=True):
            info = mlflow.pyfunc.log_model(
                name="model",
                python_model=str(Path(__file__).parent / "pyfunc.py"),
                artifacts={"folder": str(folder)},
                pip_requirements=["ml-assets"],
            )
        # through the client, because the same by `registered_model_name` writes to the terminal
        if not self.client.search_registered_models(f"name = '{self.project}'"):
            self.client.create_registered_model(self.project)
        made = self.client.create_model_version(self.project, info.model_uri, run_id=run.id, model_id=info.model_id)
        return int(made.version)

    def download(self, version: str, folder: Path) -> Path:
        """The model folder of version `<project>-<n>`, fetched below `folder`."""
        import mlflow

        mlflow.set_tracking_uri(self.uri)
        with _answered(self.uri):
            path = mlflow.artifacts.download_artifacts(
                f"models:/{self.project}/{version.rsplit('-', 1)[-1]}", dst_path=str(folder)
            )
        return next(Path(path).glob("artifacts/*/model.json")).parent

    def set_champion(self, version: str) -> None:
        """Point the alias `champion` at the version that serves."""
        self.client.set_registered_model_alias(self.project, "champion", version.rsplit("-", 1)[-1])

    def run_url(self, run_id: str) -> str:
        """The page of a run."""
        return f"{self.uri}/#/experiments/{self.experiment_id}/runs/{run_id}"


@contextmanager
def _answered(uri: str) -> Iterator[None]:
    import mlflow

    try:
        yield
    except mlflow.exceptions.MlflowException as error:
        if "Max retries exceeded" in str(error) or "Connection refused" in str(error):
            raise TrackingUnavailable(f"MLflow does not answer at {uri}: start it with `ml-assets up`") from error
        raise


@lru_cache(maxsize=8)
def _client(uri: str) -> Any:
    import logging

    import mlflow

    logging.getLogger("mlflow").setLevel(logging.WARNING)
    return mlflow.MlflowClient(tracking_uri=uri)


@lru_cache(maxsize=64)
def _experiment(uri: str, name: str) -> str:
    with _answered(uri):
        found = _client(uri).get_experiment_by_name(name)
        return str(found.experiment_id if found else _client(uri).create_experiment(name))
