"""Runs MLflow's tracking server behind our guard, in one process.

    python -m ml_assets.services.mlflow_server

`mlflow server` starts the same application without the guard. It is configured by MLflow's own variables.
"""

import os

from ml_assets.network.guard import HOSTS, serve
from ml_assets.state.private import keep_private


def main() -> None:
    """Migrate the database to the current schema, then serve until SIGTERM."""
    keep_private()
    backend, registry = os.environ["MLFLOW_BACKEND_STORE_URI"], os.environ.get("MLFLOW_REGISTRY_STORE_URI")
    import uvicorn  # noqa: F401  MLflow's own guard is only there where it finds uvicorn imported
    from mlflow.server import constants

    # what `mlflow server --serve-artifacts` tells its workers
    os.environ |= {
        constants.BACKEND_STORE_URI_ENV_VAR: backend,
        constants.REGISTRY_STORE_URI_ENV_VAR: registry or backend,
        constants.ARTIFACT_ROOT_ENV_VAR: os.environ.get("MLFLOW_DEFAULT_ARTIFACT_ROOT") or "mlflow-artifacts:/",
        constants.ARTIFACTS_DESTINATION_ENV_VAR: os.environ["MLFLOW_ARTIFACTS_DESTINATION"],
        constants.SERVE_ARTIFACTS_ENV_VAR: "true",
    }
    if os.environ.get(HOSTS) and not os.environ.get("MLFLOW_SERVER_ALLOWED_HOSTS"):
        os.environ["MLFLOW_SERVER_ALLOWED_HOSTS"] = f"localhost:*,127.0.0.1:*,{os.environ[HOSTS]}"
    from mlflow.server.handlers import initialize_backend_stores

    initialize_backend_stores(backend, registry or backend, os.environ[constants.ARTIFACT_ROOT_ENV_VAR])
    from mlflow.server.fastapi_app import app

    serve(app, "mlflow")


if __name__ == "__main__":
    main()
