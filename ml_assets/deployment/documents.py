"""Documents of a deployed project, built once per deployment: its OpenAPI document, and a description of its model."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

from fastapi import FastAPI

from ml_assets.deployment import schemas
from ml_assets.deployment.worker import Live, Worker


class Documents:
    """A cache of JSON documents, each valid until another deployment of its project serves.

    Args:
        app: The application that they describe.
        worker: Knows the deployments, and builds the documents in its threads.
    """

    def __init__(self, app: FastAPI, worker: Worker):
        self._app, self._worker = app, worker
        self._made: dict[tuple[str, str], tuple[str | None, bytes]] = {}
        self._making = asyncio.Lock()

    async def openapi(self, project: str | None) -> bytes:
        """The OpenAPI document of the project; with None, one of the shapes that all projects share."""
        if project is None:
            return await self._kept("openapi", "", lambda _: schemas.document(self._app, [schemas.Described("{project}")]))
        return await self._kept("openapi", project, lambda live: schemas.document(self._app, [_described(project, live)]))

    async def what_serves(self, project: str) -> bytes:
        """The JSON of a `ProjectAnswer`: the model that serves, its classes, limits and input format."""
        return await self._kept("project", project, lambda live: _answer(project, live))

    async def _kept(self, kind: str, project: str, make: Callable[[Live | None], dict[str, Any]]) -> bytes:
        live = self._worker.live.get(project)
        deployment = live.deployment if live else None
        async with self._making:  # one at a time, so that waiting requests find the result in the cache
            known = self._made.get((kind, project))
            if known is None or known[0] != deployment:
                body = await self._worker.files(project, "", lambda: json.dumps(make(live), ensure_ascii=False).encode())
                known = self._made[kind, project] = (deployment, body)
        return known[1]


def _described(project: str, live: Live | None) -> schemas.Described:
    if live is None:
        return schemas.Described(project)
    task, modality, limits = live.predictor.model.task, live.predictor.model.modality, live.predictor.limits
    return schemas.Described(project, task.answer_type(), limits.max_batch, modality.column == "media", modality.json_type())


def _answer(project: str, live: Live | None) -> dict[str, Any]:
    predictor = live.predictor if live else None
    answer = schemas.ProjectAnswer(
        project=project,
        model=predictor.version if predictor else None,
        deployment=live.deployment if live else None,
        since=live.since if live else None,
        classes=predictor.classes if predictor else None,
        limits=predictor.limits.model_dump(exclude={"task"}) if predictor else None,
        input=schemas.request_of(_described(project, live)).model_json_schema(),
    )
    return answer.model_dump(mode="json")
