"""Request and response models of the endpoint, and the OpenAPI document made from them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, JsonValue, create_model, model_validator
from pydantic_core import PydanticCustomError

from ml_assets.errors import InvalidValue

MOST = 4096
"""Maximum number of entries in a list, whatever the project allows."""
FILES = {
    "multipart/form-data": {
        "schema": {
            "type": "object",
            "properties": {"files": {"type": "array", "items": {"type": "string", "format": "binary"}}},
            "required": ["files"],
        }
    }
}
"""The OpenAPI description of a request whose samples are files."""
LARGEST_NUMBER = 2**63
"""Smallest absolute value of integers that do not fit into tables."""


def _storable(value: Any) -> Any:
    """The value, after checking that tables can hold everything in it. Raises a validation error otherwise."""
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            waiting += [*one.keys(), *one.values()]
        elif isinstance(one, list):
            waiting += one
        elif isinstance(one, float) and not math.isfinite(one):
            raise PydanticCustomError("not_finite", "Input should hold finite numbers")
        elif isinstance(one, int) and abs(one) >= LARGEST_NUMBER:
            raise PydanticCustomError("too_large", "Input should hold whole numbers of at most 64 bits")
        elif isinstance(one, str) and ("\0" in one or not _is_text(one)):
            raise PydanticCustomError(
                "not_text", "Input should hold texts without zero characters and halves of surrogate pairs"
            )
    return value


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


Text = Annotated[str, Field(min_length=1, max_length=10_000_000)]
Json = Annotated[JsonValue, AfterValidator(_storable)]
Parts = Annotated[dict[str, JsonValue], AfterValidator(_storable)]


def _text_or_object(value: Any) -> Any:
    """The value, after checking that it is a text or an object; gives one error where a union would give one per member."""
    if not isinstance(value, str | dict):
        raise PydanticCustomError("text_or_object", "Input should be a text or an object")
    return value


Sample = Annotated[str | Parts, BeforeValidator(_text_or_object)]
"""A text, Base64 of a file, or the parts of a mixed sample."""
Content = Annotated[Text | Parts, BeforeValidator(_text_or_object)]
"""A sample to collect: a text that is not empty, Base64 of a file, or the parts of a mixed sample."""
Name = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_storable)]


class Shape(BaseModel):
    """Base class of the endpoint's models: a JSON object without unknown fields."""

    model_config = ConfigDict(extra="forbid", strict=True)


class PredictRequest(Shape):
    """Samples to predict."""

    samples: list[Sample] = Field(min_length=1, max_length=MOST)
    """Texts; pictures and sounds as base64; mixed samples as objects."""


class Prediction(Shape):
    """The prediction for one sample; feedback refers to its `id`."""

    id: str
    label: JsonValue
    confidence: float
    scores: dict[str, float]


class PredictAnswer(Shape):
    """The predictions for the samples of a request, in their order."""

    model: str
    at: datetime
    predictions: list[Prediction]


class NewSample(Shape):
    """A sample to collect, with what is known of it. A label needs the scope label too; its labeler is the key."""

    content: Content
    label: Json = None
    labeler: Name | None = None
    group: Name | None = None
    columns: Parts | None = None


class SamplesRequest(Shape):
    """Samples to collect: plain contents (pictures and sounds as base64), or objects with a `content`."""

    samples: list[Text | NewSample] = Field(min_length=1, max_length=MOST)


class NewLabel(Shape):
    """A label of a sample, which is named by its id or by its content. Its labeler is the key, or one that it may speak for."""

    sample_id: Name | None = None
    content: Content | None = None
    label: Json
    labeler: Name | None = None
    labeler_kind: Literal["person", "program"] | None = None

    @model_validator(mode="after")
    def _one_name(self) -> "NewLabel":
        if (self.sample_id is None) == (self.content is None):
            raise InvalidValue("give either sample_id or content")
        if self.label is None:
            raise InvalidValue("give a label, not null")
        return self


class LabelsRequest(Shape):
    """Existing labels to push."""

    labels: list[NewLabel] = Field(min_length=1, max_length=MOST)


class FeedbackRequest(Shape):
    """The right label for an earlier prediction."""

    prediction_id: str = Field(pattern=r"^[0-9a-f]{32}$")
    label: Json


class Accepted(Shape):
    """Confirms that the records are stored, once, however often they are sent. `ids` are those of the samples."""

    accepted: int
    ids: list[str] | None = None


class FeedbackAccepted(Shape):
    """Confirms that the feedback is stored."""

    id: str
    prediction_id: str


class ProjectAnswer(Shape):
    """The model that serves a project, its classes and limits, and the schema of its input."""

    project: str
    model: str | None
    deployment: str | None
    since: datetime | None
    classes: list[str] | None
    limits: dict[str, int] | None
    input: dict[str, Any]


class Problem(Shape):
    """The response to every request that fails: one sentence, and details if there are any."""

    error: str
    detail: JsonValue = None


@dataclass(frozen=True)
class Described:
    """A project as described in the OpenAPI document.

    Args:
        path: First segment of its paths.
        label: Type of its labels.
        max_batch: Maximum number of samples in one request.
        media: Whether its samples are pictures or sounds, which can be sent as files.
        sample: Type of its samples.
    """

    path: str
    label: Any = JsonValue
    max_batch: int = MOST
    media: bool = False
    sample: Any = Sample


def request_of(project: Described) -> type[PredictRequest]:
    """The model of the project's prediction requests, with the type of its samples and its limit."""
    return create_model(
        f"PredictRequest_{project.path.strip('{}')}",
        __base__=PredictRequest,
        __doc__=PredictRequest.__doc__,
        samples=(list[project.sample], Field(min_length=1, max_length=project.max_batch)),  # type: ignore[name-defined]
    )


def routes(project: Described) -> list[APIRoute]:
    """Routes for documentation only: the models of this project, with its classes and limits."""
    predict = request_of(project)
    prediction = create_model(
        f"Prediction_{project.path.strip('{}')}", __base__=Prediction, __doc__=Prediction.__doc__, label=(project.label, ...)
    )
    answer = create_model(
        f"PredictAnswer_{project.path.strip('{}')}",
        __base__=PredictAnswer,
        __doc__=PredictAnswer.__doc__,
        predictions=(list[prediction], ...),
    )
    prefix = f"/{project.path}"
    return [
        _route(prefix, "GET", None, ProjectAnswer, 200, "What serves, and what it takes."),
        _route(f"{prefix}/predict", "POST", predict, answer, 200, "Predict samples. Scope: predict."),
        _route(f"{prefix}/samples", "POST", SamplesRequest, Accepted, 202, "Push samples to collect. Scope: collect."),
        _route(f"{prefix}/labels", "POST", LabelsRequest, Accepted, 202, "Push labels that exist. Scope: label."),
        _route(f"{prefix}/feedback", "POST", FeedbackRequest, FeedbackAccepted, 202, "Say what was right. Scope: feedback."),
    ]


def document(app: FastAPI, described: Sequence[Described]) -> dict[str, Any]:
    """The OpenAPI document that describes these projects."""
    found = get_openapi(title=app.title, version=app.version, routes=[r for project in described for r in routes(project)])
    for project in described:
        if project.media:
            for route in ("predict", "samples"):
                found["paths"][f"/{project.path}/{route}"]["post"]["requestBody"]["content"] |= FILES
    found.setdefault("components", {})["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
    return found | {"security": [{"key": []}]}


def _route(path: str, method: str, body: type[Shape] | None, answer: type[Shape], status: int, summary: str) -> APIRoute:
    def without_body() -> Any:
        raise NotImplementedError("this route is only there to be documented")

    def with_body(body: Any) -> Any:
        raise NotImplementedError("this route is only there to be documented")

    with_body.__annotations__["body"] = body
    codes = (401, 403, 404, 429) if body is None else (400, 401, 403, 404, 413, 422, 429, 503)
    return APIRoute(
        path,
        without_body if body is None else with_body,
        name=path.rsplit("/", 1)[-1].strip("{}"),
        methods=[method],
        response_model=answer,
        status_code=status,
        summary=summary,
        responses={code: {"model": Problem} for code in codes},
    )
