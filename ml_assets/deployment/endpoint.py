"""The inference API: one FastAPI application for every deployed project.

    POST /<project>/predict    POST /<project>/samples    POST /<project>/labels    POST /<project>/feedback
    GET  /<project>            GET  /docs.json            GET  /metrics

BentoML serves it (`bento/service.py`) and adds `/livez` and `/readyz`. A worker takes connections only after it has loaded
what should serve, so it is ready as soon as it answers, also when nothing is deployed.
"""

import asyncio
import json
import math
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from starlette.routing import Match, Route

from ml_assets import inbox
from ml_assets.deployment import schemas
from ml_assets.deployment.batcher import Busy, TooSlow
from ml_assets.deployment.bento import model_folder_of
from ml_assets.deployment.gate import BodyLimit, CrowdLimit, Refused, answer_errors, caller, files, may, read
from ml_assets.deployment.keys import Key, KeyRing
from ml_assets.deployment.metrics import PREDICTIONS, SAMPLES, Measured, exposition
from ml_assets.deployment.predictor import BadSample, Limits, Predictor, feedback_record
from ml_assets.deployment.rate import RateLimit
from ml_assets.deployment.worker import Live, Worker
from ml_assets.home import home
from ml_assets.modalities import MODALITIES, Undecodable
from ml_assets.records import content_id
from ml_assets.tasks import InvalidLabel


def create_app(packaged: Path | None = None) -> FastAPI:
    """The application.

    Args:
        packaged: Folder of the only model to serve (inside a Bento). Without it, the deployment ledgers say what serves.
    """
    worker = Worker(home(), packaged, model_folder_of)
    endpoint = Endpoint(worker, KeyRing(home() / "keys.json"), packaged)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await worker.start()
        yield
        await worker.stop()

    app = FastAPI(title="ml_assets", version="1", lifespan=lifespan, openapi_url=None, docs_url=None, redoc_url=None)
    app.router.redirect_slashes = False
    answer_errors(app)
    app.add_middleware(BodyLimit)
    app.add_middleware(CrowdLimit)
    app.add_middleware(Measured)
    endpoint.mount(app)
    return app


class Endpoint:
    """The routes."""

    def __init__(self, worker: Worker, keys: KeyRing, packaged: Path | None):
        self.worker, self.keys, self.packaged = worker, keys, packaged
        self.rate = RateLimit()

    def mount(self, app: FastAPI) -> None:
        """Add the routes. Those of all projects are the same, so that a stranger cannot tell which exist."""
        self.app = app
        for path, method, handler in (
            ("/", "GET", self.index),
            ("/docs.json", "GET", self.docs),
            ("/metrics", "GET", self.metrics),
            ("/{project}", "GET", self.describe),
            ("/{project}/predict", "POST", self.predict),
            ("/{project}/samples", "POST", self.samples),
            ("/{project}/labels", "POST", self.labels),
            ("/{project}/feedback", "POST", self.feedback),
        ):
            app.router.routes.append(Route(path, handler, methods=[method], include_in_schema=False))
        own = list(app.router.routes)
        # what a Bento keeps as its OpenAPI document; they stand behind the routes above and never answer
        app.router.routes += schemas.routes(schemas.Described(_packaged_project(self.packaged) or "{project}"))

        async def otherwise(request: Request) -> Response:
            allowed = {m for r in own if r.matches(request.scope)[0] == Match.PARTIAL for m in getattr(r, "methods", ())}
            if allowed:
                raise Refused(405, f"{request.method} is not allowed here", headers={"Allow": ", ".join(sorted(allowed))})
            raise Refused(404, "there is nothing at this address: see /docs.json")

        every = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
        app.router.routes.append(Route("/{rest:path}", otherwise, methods=every, include_in_schema=False))

    async def index(self, _: Request) -> Response:
        """Where the documentation is."""
        return JSONResponse({"service": "ml_assets", "docs": "/docs.json"})

    async def docs(self, request: Request) -> Response:
        """OpenAPI: with a key, its project as it is deployed; without, the shapes alone."""
        described = schemas.Described("{project}")
        if "authorization" in request.headers:
            project = self._caller(request).project
            live = self.worker.live.get(project)
            described = _described(project, live.predictor if live else None)
        return JSONResponse(schemas.document(self.app, [described]))

    async def metrics(self, request: Request) -> Response:
        """Prometheus metrics: with a key also those of its project."""
        project = self._caller(request).project if "authorization" in request.headers else None
        body, kind = await asyncio.to_thread(exposition, project)
        return Response(body, media_type=kind)

    async def describe(self, request: Request) -> Response:
        """What serves, and what it takes."""
        project = self._admit(request, None).project
        live = self.worker.live.get(project)
        predictor = live.predictor if live else None
        answer = schemas.ProjectAnswer(
            project=project,
            model=predictor.version if predictor else None,
            deployment=live.deployment if live else None,
            since=live.since if live else None,
            classes=predictor.classes if predictor else None,
            limits=predictor.limits.model_dump(exclude={"task"}) if predictor else None,
            input=schemas.request_of(_described(project, predictor)).model_json_schema(),
        )
        return _json(answer, 200)

    async def predict(self, request: Request) -> Response:
        """Predict samples; the predictions are recorded before they are sent."""
        key = self._admit(request, "predict")
        live = self._live(key.project)
        samples = await files(request) or (await read(request, schemas.PredictRequest)).samples
        if live.predictor.model.modality.has_files:  # which takes its time
            items = await asyncio.to_thread(_decode, live.predictor, samples)
        else:
            items = _decode(live.predictor, samples)
        try:
            answer = await live.batcher.submit(items, key.name)
        except Busy as error:
            raise Refused(503, "too much to do at the moment: try again", headers={"Retry-After": "1"}) from error
        except TooSlow as error:
            raise Refused(503, "the model did not answer in time: send fewer samples", headers={"Retry-After": "5"}) from error
        PREDICTIONS.labels(key.project, answer.model).inc(len(items))
        SAMPLES.labels(key.project).observe(len(items))
        return JSONResponse({"model": answer.model, "at": answer.at.isoformat(), "predictions": answer.predictions})

    async def samples(self, request: Request) -> Response:
        """Take samples that others collected; they are on disk before the answer is sent."""
        key = self._admit(request, "collect")
        sent: Sequence[Any] = await files(request) or (await read(request, schemas.SamplesRequest)).samples
        live = self.worker.live.get(key.project)
        records, ids = await asyncio.to_thread(_new_samples, sent, live.predictor if live else None)
        return await self._store("samples", records, key, ids)

    async def labels(self, request: Request) -> Response:
        """Take labels that exist already."""
        key = self._admit(request, "label")
        body = await read(request, schemas.LabelsRequest)
        live = self.worker.live.get(key.project)
        problems, records = [], {}
        for number, label in enumerate(body.labels):
            try:
                if live:
                    live.predictor.check_label(label.label)
                entry = label.model_dump(exclude_none=True)
                records[_identity(entry)] = entry
            except InvalidLabel as error:
                problems.append({"at": f"labels.{number}", "problem": str(error)})
        _refuse(problems, "labels")
        return await self._store("labels", list(records.values()), key, None)

    async def feedback(self, request: Request) -> Response:
        """Take what turned out to be right about a prediction."""
        key = self._admit(request, "feedback")
        body = await read(request, schemas.FeedbackRequest)
        try:
            label = self._live(key.project).predictor.check_label(body.label)
        except InvalidLabel as error:
            raise Refused(422, str(error)) from error
        at = self.worker.clock()
        record = feedback_record(body.prediction_id, label, key.name, at)
        self.worker.segments(key.project).append([record], at)
        return _json(schemas.FeedbackAccepted(id=record["id"], prediction_id=body.prediction_id), 202)

    def _admit(self, request: Request, scope: str | None) -> Key:
        """The key, if it opens the project of the address and may do this."""
        key = self._caller(request)
        may(key, request.path_params["project"], scope)
        return key

    def _caller(self, request: Request) -> Key:
        """The key of the request. Raises `Refused` (401, and 429 once it has asked too often)."""
        key = caller(request, self.keys)
        live = self.worker.live.get(key.project)
        limits = live.predictor.limits if live else Limits()
        if wait := self.rate.wait(key.id, limits.requests_per_minute):
            raise Refused(
                429,
                f"too many requests with this key: at most {limits.requests_per_minute:,} in a minute",
                headers={"Retry-After": str(math.ceil(wait))},
            )
        return key

    def _live(self, project: str) -> Live:
        live = self.worker.live.get(project)
        if live is None:
            why = f"no model of {project!r} is deployed"
            if self.worker.fails(project):
                why = f"the model of {project!r} cannot be loaded, the endpoint's log says why"
            raise Refused(503, f"not serving: {why}", headers={"Retry-After": "10"})
        return live

    async def _store(self, kind: str, records: list[dict[str, Any]], key: Key, ids: list[str] | None) -> Response:
        arrival = {"received_at": self.worker.clock().isoformat(), "client": key.name}
        await asyncio.to_thread(inbox.write, key.project, kind, [record | arrival for record in records])
        return _json(schemas.Accepted(accepted=len(records), ids=ids), 202)


def _described(project: str, predictor: Predictor | None) -> schemas.Described:
    if predictor is None:
        return schemas.Described(project)
    task, modality = predictor.model.task, predictor.model.modality
    return schemas.Described(
        project, task.answer_type(), predictor.limits.max_batch, modality.column == "media", modality.json_type()
    )


def _new_samples(sent: Sequence[Any], predictor: Predictor | None) -> tuple[list[dict[str, Any]], list[str] | None]:
    """What is kept of samples to collect, each once, and their ids. Raises `Refused` (422) that names each bad one.

    What a project's samples are is known here by the model that serves; until then they are taken for texts, objects have no
    ids yet, and collection judges them.
    """
    modality = predictor.model.modality if predictor else MODALITIES.parse("text")
    problems, records, ids = [], dict[str, dict[str, Any]](), []
    for number, sample in enumerate(sent):
        entry: dict[str, Any] = {"content": sample} if isinstance(sample, str | bytes) else sample.model_dump(exclude_none=True)
        content = entry["content"]
        if isinstance(content, dict) and predictor is None:
            records[_identity(entry)] = entry
            continue
        try:
            item = modality.decode(content if isinstance(content, bytes) else modality.from_json(content))
            ids.append(content_id(modality.type, item))
            if predictor and "label" in entry:
                predictor.check_label(entry["label"])
            if isinstance(content, bytes):
                entry["content"] = modality.to_json(item)
            records[_identity(entry)] = entry
        except (Undecodable, InvalidLabel) as error:
            problems.append({"at": f"samples.{number}", "problem": str(error)})
    _refuse(problems, "samples")
    return list(records.values()), ids if len(ids) == len(sent) else None


def _decode(predictor: Predictor, samples: Sequence[str | bytes | dict[str, Any]]) -> list[Any]:
    """The samples ready for the model. Raises `Refused` (422) that names each bad one."""
    if len(samples) > predictor.limits.max_batch:
        raise Refused(422, f"too many samples: {len(samples)}, at most {predictor.limits.max_batch} in one request")
    items, problems = [], []
    for number, sample in enumerate(samples):
        try:
            items.append(predictor.decode(sample))
        except BadSample as error:
            problems.append({"at": f"samples.{number}", "problem": str(error)})
    _refuse(problems, "samples")
    return items


def _refuse(problems: list[dict[str, str]], what: str) -> None:
    if problems:
        first = problems[0]
        raise Refused(422, f"{len(problems)} of the {what} cannot be taken: {first['at']}: {first['problem']}", problems[:20])


def _identity(entry: dict[str, Any]) -> str:
    return repr(sorted(entry.items()))


def _json(answer: schemas.Shape, status: int) -> Response:
    return Response(answer.model_dump_json(), status, media_type="application/json")


def _packaged_project(folder: Path | None) -> str | None:
    return str(json.loads((folder / "model.json").read_text(encoding="utf-8"))["project"]) if folder else None
