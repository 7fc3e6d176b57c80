"""The inference API as a BentoML service.

For all projects of an installation, as `ml-assets up` starts it, from the checkout:

    ML_ASSETS_HOME=$PWD/.ml_assets BENTOML_HOME=$PWD/.ml_assets/bentoml \\
        python -m ml_assets.services.endpoint_server --host 127.0.0.1 --port 8000

Inside a Bento, where a folder `model` lies beside this file, the same service answers with that one model:

    BENTOML_HOME=$PWD/.ml_assets/bentoml bentoml serve newsgroups:newsgroups-3-1a2b3c4d --host 127.0.0.1

The README beside this file says more. `ML_ASSETS_HOME` must be absolute: BentoML changes the current folder.
"""

import logging
import os
from pathlib import Path

import bentoml

from ml_assets.deployment.endpoint import create_app

here = Path(__file__).resolve().parent
packaged = here / "model"
# state: beside the checkout, around BentoML's store (<home>/bentoml/bentos/<name>/<version>/src), or inside a container
store = next((folder for folder in here.parents if folder.name == "bentos"), None) if packaged.is_dir() else None
default_home = store.parents[1] if store else here.parent / ".ml_assets"
os.environ.setdefault("ML_ASSETS_HOME", str(default_home))
logging.getLogger("ml_assets").setLevel(logging.INFO)  # into BentoML's log
app = create_app(packaged if packaged.is_dir() else None)


class Inference:
    """Predictions of deployed models, and the way in for samples, labels and feedback."""


Inference = bentoml.service(  # type: ignore[misc]
    name="ml_assets",
    workers=int(os.environ.get("ML_ASSETS_ENDPOINT_WORKERS", "2")),
    # the application has limits of its own, of time and of requests at once, which answer in its own shape
    traffic={"timeout": 90},
    # BentoML's metrics are labelled with paths, which strangers choose; the application has its own
    metrics={"enabled": False},
    logging={"access": {"enabled": False}},
    # a span for each request and for each piece of a body would be made, and read by nobody
    tracing={"excluded_urls": [".*"]},
)(bentoml.asgi_app(app, path="/")(Inference))
