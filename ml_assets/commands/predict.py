"""`ml-assets predict`: sends requests to the endpoint as an application would, with its own API key."""

import json
import os
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import httpx
from filelock import FileLock
from rich.markup import escape
from rich.table import Column, Table

from ml_assets.deployment import keys
from ml_assets.errors import InvalidValue, MLAssetsError
from ml_assets.network.listeners import refuse_stranger, watched
from ml_assets.state.clock import now
from ml_assets.state.files import write_whole
from ml_assets.state.home import home, url

TIMEOUT = 40.0
"""Time limit of a request in seconds; the endpoint's own is 30."""


class EndpointError(MLAssetsError, RuntimeError):
    """The endpoint does not answer or refuses the request; the message is one sentence, with the endpoint's own reason."""


def predict(project: str, samples: Sequence[str | bytes | Mapping[str, Any]], client: httpx.Client | None = None) -> Any:
    """Request predictions for texts, contents of files, or objects; return the JSON of the answer. Raises `EndpointError`."""
    files = [sample for sample in samples if isinstance(sample, bytes)]
    return call(project, "predict", {"samples": samples}, key(project), client, files)


def call(
    project: str, route: str, body: Any, secret: str, client: httpx.Client | None = None, files: Sequence[bytes] = ()
) -> Any:
    """POST a JSON body, or files, to a project's route and return the JSON of the answer. Raises `EndpointError`."""
    sent: dict[str, Any] = (
        {"files": [("files", (f"{i}", content)) for i, content in enumerate(files)]} if files else {"json": body}
    )
    refuse_stranger("endpoint")  # the key would be theirs
    address = f"{url('endpoint')}/{project}/{route}"
    options: dict[str, Any] = {"headers": {"Authorization": f"Bearer {secret}"}, "extensions": {"trace": watched("endpoint")}}
    try:
        with nullcontext(client) if client else httpx.Client() as asked:
            answer = asked.post(address, **sent, **options, timeout=TIMEOUT)
    except httpx.TimeoutException as error:
        raise EndpointError(f"the endpoint at {url('endpoint')} is silent for {TIMEOUT:g} seconds: see its log") from error
    except httpx.HTTPError as error:
        raise EndpointError(f"the endpoint does not answer at {url('endpoint')}: start it with `ml-assets up`") from error
    try:
        content = answer.json()
    except json.JSONDecodeError as error:
        raise EndpointError(f"{address} answered {answer.status_code} and no JSON") from error
    if answer.status_code == 401 and not os.environ.get("ML_ASSETS_API_KEY"):
        where = f"the endpoint at {url('endpoint')} does not know the key of the home {home()}: it serves another one"
        raise EndpointError(f"{where}; name that one with ML_ASSETS_HOME, or give its key with ML_ASSETS_API_KEY")
    if answer.is_error:
        raise EndpointError(f"the endpoint refused ({answer.status_code}): {content.get('error', content)}")
    return content


def content(path: str) -> bytes:
    """Read the bytes of a file. Raises `InvalidValue` if it cannot be read."""
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise InvalidValue(f"{path} cannot be read: {error.strerror}") from error


def table(what: str, asked: Sequence[str], answer: Any) -> Table:
    """Make a table for the terminal with the samples `asked`, under the heading `what`, and the predictions in `answer`."""
    made = Table(what, "label", "confidence", Column("id", no_wrap=True), title=str(answer["model"]), box=None)
    for text, found in zip(asked, answer["predictions"], strict=True):
        label = found["label"] if isinstance(found["label"], str) else json.dumps(found["label"], ensure_ascii=False)
        made.add_row(escape(text[:60]), escape(label), f"{found['confidence']:.3f}", found["id"])
    return made


def key(project: str) -> str:
    """The API key for commands: `ML_ASSETS_API_KEY`, or a key of this home that is created at first use."""
    if secret := os.environ.get("ML_ASSETS_API_KEY"):
        if not (secret.isascii() and secret.isprintable()):
            raise EndpointError("ML_ASSETS_API_KEY is no key: copy the one that `ml-assets keys add` printed")
        return secret
    path = home() / "command_keys.json"
    with FileLock(path.with_suffix(".lock")):  # of two first commands at once, both find the key that one of them makes
        known = _known(path)
        if project not in known or not keys.verify(known[project]):
            known[project] = keys.add(project, keys.SCOPES, "ml-assets command", now())
            write_whole(path, json.dumps(known).encode())
    return known[project]


def _known(path: Path) -> dict[str, str]:
    try:
        known = json.loads(path.read_text()) if path.exists() else {}
    except ValueError:
        known = None
    if not isinstance(known, dict) or not all(isinstance(secret, str) for secret in known.values()):
        raise EndpointError(f"{path} is damaged: delete it, new keys are made when they are needed")
    return known
