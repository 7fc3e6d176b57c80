"""The inference API: one FastAPI application for every deployed project.

    POST /<project>/predict    POST /<project>/samples    POST /<project>/labels    POST /<project>/feedback
    GET  /<project>            GET  /docs.json            GET  /metrics

BentoML serves it (`bento/service.py`) and adds `/livez` and `/readyz`. A worker takes connections only after it has loaded
what should serve, so it is ready as soon as it answers, also when nothing is deployed.
"""

import asyncio
import functools
import json
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from starlette.routing import Match, Route

from ml_assets.deployment import intake, schemas
from ml_assets.deployment.batcher import Busy, TooSlow
from ml_assets.deployment.bento import model_folder_of
from ml_assets.deployment.crowd import Crowd
from ml_assets.deployment.documents import Documents
from ml_assets.deployment.gate import Aside, Refused, answer_errors, caller, files, may, read
from ml_assets.deployment.keys import Key, KeyRing
from ml_assets.deployment.metrics import PREDICTIONS, SAMPLES, Measured, exposition
from ml_assets.deployment.middleware import BodyLimit, CrowdLimit, Pace, RefusalPace
from ml_assets.deployment.predictor import Limits, Predictor
from ml_assets.deployment.rate import RateLimit
from ml_assets.deployment.worker import Live, Worker
from ml_assets.spool import inbox
from ml_assets.spool.lines import to_line
from ml_assets.state.home import home
from ml_assets.store import ProjectStore
from ml_assets.store.records import Feedback, Pushed, feedback_id
from ml_assets.tasks import InvalidLabel

DECODE_SECONDS = 10.0
"""Limit on the CPU time for decoding the samples of one request, in seconds."""
SMALL = 100_000
"""Number of characters of texts that are decoded at once, without the decoding threads."""
METRICS_SECONDS = 1.0
"""Maximum age, in seconds, of cached metrics that are returned to requests without a key."""

T = TypeVar("T")
R = TypeVar("R")
_bytes = functools.partial(Response, media_type="application/json")
Handler = Callable[[Request], Awaitable[Response]]
KeyedHandler = Callable[[Request, Key], Awaitable[Response]]


def create_app(packaged: Path | None = None) -> FastAPI:
    """Create the FastAPI application of the endpoint.

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
    app.add_middleware(Pace, keys=endpoint.keys)
    app.add_middleware(Measured)
    app.add_middleware(RefusalPace)
    endpoint.mount(app)
    return app


class Endpoint:
    """The request handlers of the inference API, and the routes to them."""

    def __init__(self, worker: Worker, keys: KeyRing, packaged: Path | None):
        self.worker, self.keys, self.packaged = worker, keys, packaged
        self.rate, self.crowd = RateLimit(), Crowd()
        self._counting = asyncio.Lock()
        self._open_metrics: tuple[float, bytes, str] | None = None

    def mount(self, app: FastAPI) -> None:
        """Add the routes to the application; they are the same for all projects, so that a stranger cannot tell which exist."""
        self.documents = Documents(app, self.worker)
        for path, method, handler in (
            ("/", "GET", self.index),
            ("/docs.json", "GET", self.docs),
            ("/metrics", "GET", self.metrics),
            ("/{project}", "GET", self._keyed(self.describe, None)),
            ("/{project}/predict", "POST", self._keyed(self.predict, "predict")),
            ("/{project}/samples", "POST", self._keyed(self.samples, "collect")),
            ("/{project}/labels", "POST", self._keyed(self.labels, "label")),
            ("/{project}/feedback", "POST", self._keyed(self.feedback, "feedback")),
        ):
            app.router.routes.append(Route(path, handler, methods=[method], include_in_schema=False))
        own = list(app.router.routes)
        # for the OpenAPI document of a Bento; the routes above take precedence, so these never respond
        app.router.routes += schemas.routes(schemas.Described(_packaged_project(self.packaged) or "{project}"))

        async def otherwise(request: Request) -> Response:
            allowed = {m for r in own if r.matches(request.scope)[0] == Match.PARTIAL for m in getattr(r, "methods", ())}
            if allowed:
                raise Refused(405, f"{request.method} is not allowed here", headers={"Allow": ", ".join(sorted(allowed))})
            raise Refused(404, "there is nothing at this address: see /docs.json")

        every = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
        app.router.routes.append(Route("/{rest:path}", otherwise, methods=every, include_in_schema=False))

    async def index(self, _: Request) -> Response:
        """Respond with the address of the documentation."""
        return JSONResponse({"service": "ml_assets", "docs": "/docs.json"})

    async def docs(self, request: Request) -> Response:
        """Respond with the OpenAPI document: with a key, of its project as deployed; without, of the shared shapes."""
        if "authorization" not in request.headers:
            return _bytes(await self.documents.openapi(None))
        key = self._caller(request)
        with self.crowd.enter(key, request):
            return _bytes(await self.documents.openapi(key.project))

    async def metrics(self, request: Request) -> Response:
        """Respond with Prometheus metrics; with a key, those of its project are included."""
        if "authorization" in request.headers:
            key = self._caller(request)
            with self.crowd.enter(key, request):
                body, kind = await self.worker.files(key.project, key.id, exposition, key.project)
            return Response(body, media_type=kind)
        async with self._counting:  # one at a time, to bound the load by unauthenticated requests
            if self._open_metrics is None or time.monotonic() - self._open_metrics[0] > METRICS_SECONDS:
                self._open_metrics = (time.monotonic(), *await self.worker.files("", "", exposition, None))
        return Response(self._open_metrics[1], media_type=self._open_metrics[2])

    async def describe(self, request: Request, key: Key) -> Response:
        """Respond with a description of the model that serves and the input that it accepts."""
        return _bytes(await self.documents.what_serves(key.project))

    async def predict(self, request: Request, key: Key) -> Response:
        """Predict samples; the predictions are recorded before the response is sent."""
        live = self._live(key.project)
        sent: Sequence[Any] = await self._sent(request, key, schemas.PredictRequest)
        predictor = live.predictor
        if len(sent) > predictor.limits.max_batch:
            raise Refused(422, f"too many samples: {len(sent)}, at most {predictor.limits.max_batch} in one request")
        slow = predictor.model.modality.has_files or sum(len(s) for s in sent if isinstance(s, str)) > SMALL
        if slow or not all(isinstance(s, str) for s in sent):
            await self.worker.decode(key.project, key.id, intake.check_work, sent, predictor.work)
            items = await self._each(key, "samples", sent, predictor.decode)
        else:
            items = intake.all_of("samples", sent, predictor.decode)
        try:
            answer = await live.batcher.submit(items, key.name)
        except Busy as error:
            raise Refused(
                429, "too many samples of this project are waiting: try again", headers={"Retry-After": "1"}
            ) from error
        except TooSlow as error:
            raise Refused(503, "the model did not answer in time: send fewer samples", headers={"Retry-After": "5"}) from error
        PREDICTIONS.labels(key.project, answer.model).inc(len(items))
        SAMPLES.labels(key.project).observe(len(items))
        return JSONResponse({"model": answer.model, "at": answer.at.isoformat(), "predictions": answer.predictions})

    async def samples(self, request: Request, key: Key) -> Response:
        """Accept samples that clients collected; they are on disk before the response is sent."""
        sent: Sequence[Any] = await self._sent(request, key, schemas.SamplesRequest)
        entries = [intake.entry_of(sample) for sample in sent]
        intake.bind(entries, key, "samples")
        live = self.worker.live.get(key.project)
        predictor = live.predictor if live else None
        modality = intake.modality_of(predictor)
        contents = [entry["content"] for entry in entries]
        await self.worker.decode(key.project, key.id, intake.check_work, contents, intake.work_of(modality))
        ids = await self._each(key, "samples", entries, lambda entry: intake.take_sample(entry, modality, predictor))
        await self._unsettled(key, "samples", list(zip(ids, entries, strict=True)), predictor)
        known = [id_ for id_ in ids if id_ is not None]
        return await self._store("samples", entries, key, known if len(known) == len(ids) else None)

    async def labels(self, request: Request, key: Key) -> Response:
        """Accept existing labels for samples."""
        entries = [intake.entry_of(label) for label in (await read(request, schemas.LabelsRequest, self._aside(key))).labels]
        intake.bind(entries, key, "labels")
        live = self.worker.live.get(key.project)
        predictor = live.predictor if live else None
        modality = intake.modality_of(predictor)
        contents = [entry["content"] for entry in entries if "content" in entry]
        await self.worker.decode(key.project, key.id, intake.check_work, contents, intake.work_of(modality))
        ids = await self._each(key, "labels", entries, lambda entry: intake.take_label(entry, modality, predictor))
        await self._unsettled(key, "labels", list(zip(ids, entries, strict=True)), predictor)
        return await self._store("labels", entries, key, None)

    async def feedback(self, request: Request, key: Key) -> Response:
        """Accept the right label of an earlier prediction."""
        body = await read(request, schemas.FeedbackRequest)
        try:
            label = self._live(key.project).predictor.check_label(body.label)
        except InvalidLabel as error:
            raise Refused(422, str(error)) from error
        at = self.worker.clock()
        record = Feedback(feedback_id(body.prediction_id, label, key.name), body.prediction_id, label, at, key.name)
        await self.worker.files(key.project, key.id, self.worker.segments(key.project).append, [to_line(record)], at)
        return _json(schemas.FeedbackAccepted(id=record.id, prediction_id=body.prediction_id), 202)

    def _keyed(self, handler: KeyedHandler, scope: str | None) -> Handler:
        """The handler with admission control: first the key and its scope are checked, then limits, then the body is read."""

        @functools.wraps(handler)
        async def admitted(request: Request) -> Response:
            key = self._caller(request)
            may(key, request.path_params["project"], scope)
            with self.crowd.enter(key, request) as bounded:
                return await handler(bounded, key)

        return admitted

    def _caller(self, request: Request) -> Key:
        """The key of the request. Raises `Refused` (401; 429 above the rate limit)."""
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

    def _aside(self, key: Key) -> Aside:
        """Calls what takes long in the threads that decode, when it is this key's turn."""
        return functools.partial(self.worker.decode, key.project, key.id)

    async def _sent(
        self, request: Request, key: Key, shape: "type[schemas.PredictRequest | schemas.SamplesRequest]"
    ) -> list[Any]:
        """The samples of a request: files, or what its JSON body holds. Raises `Refused`."""
        aside = self._aside(key)
        return await files(request, aside) or list((await read(request, shape, aside)).samples)

    async def _each(self, key: Key, what: str, sent: Sequence[T], take: Callable[[T], R]) -> list[R]:
        """The results of `take` for each sample, computed one by one in the decoding threads. Raises `Refused` (422, 503)."""
        taken, problems, seconds = list[R](), list[dict[str, str]](), 0.0
        for number, sample in enumerate(sent):
            found, problem, took = await self.worker.decode(key.project, key.id, intake.timed, take, sample)
            taken += found
            if not found:
                problems.append({"at": f"{what}.{number}", "problem": problem})
            if (seconds := seconds + took) > DECODE_SECONDS:
                raise Refused(503, f"{what}.0 to {number} took {seconds:.0f} seconds to decode: send fewer or smaller samples")
        intake.refuse(problems, what)
        return taken

    async def _unsettled(
        self, key: Key, what: str, entries: Sequence[tuple[str | None, Pushed]], predictor: Predictor | None
    ) -> None:
        """Refuse labels that contradict those that came with the data for test samples. Raises `Refused` (422)."""
        values = {id_: intake.value_of(entry, predictor) for id_, entry in entries if id_ is not None and "label" in entry}
        if self.packaged is not None or not values:
            return
        settled = await self.worker.files(key.project, key.id, intake.settled, ProjectStore(key.project), values)
        problem = "it is a test sample whose label came with the data, which a push cannot change"
        told = [n for n, (id_, entry) in enumerate(entries) if id_ in settled and "label" in entry]
        intake.refuse([{"at": f"{what}.{n}", "problem": problem} for n in told], what)

    async def _store(self, kind: str, entries: list[Pushed], key: Key, ids: list[str] | None) -> Response:
        """Store the distinct entries in the inbox with the sender: `client` and `key` are the name and id of the key."""
        arrival: Pushed = {"received_at": self.worker.clock().isoformat(), "client": key.name, "key": key.id}
        records = {intake.identity(entry): {**entry, **arrival} for entry in entries}
        await self.worker.files(key.project, key.id, inbox.write, key.project, kind, list(records.values()))
        return _json(schemas.Accepted(accepted=len(records), ids=ids), 202)


def _json(answer: schemas.Shape, status: int) -> Response:
    return Response(answer.model_dump_json(), status, media_type="application/json")


def _packaged_project(folder: Path | None) -> str | None:
    return str(json.loads((folder / "model.json").read_text(encoding="utf-8"))["project"]) if folder else None
