"""Requests that pages of other origins send are refused before anything else of the server sees them."""

from collections.abc import Callable
from urllib.parse import urlsplit

from django.conf import settings
from django.core.exceptions import DisallowedHost
from django.http import HttpRequest, HttpResponse, JsonResponse

READING = ("GET", "HEAD", "OPTIONS")
Answer = Callable[[HttpRequest], HttpResponse]


class SameOrigin:
    """Middleware that lets only pages of the server itself, and programs, change something.

    The server has its check of forms switched off for all of its API, and cookies do not tell ports apart: any page of this
    machine could have an annotator's browser send something. Browsers say where a request comes from (`Origin`, and
    `Sec-Fetch-Site` where they leave that out); programs say neither.
    """

    def __init__(self, get_response: Answer) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        try:
            host = request.get_host()
        except DisallowedHost:
            return refused(400, "this server does not go by that name: name it in LABEL_STUDIO_ALLOWED_HOSTS")
        if request.method not in READING and not _own(request, host):
            return refused(403, "pages of other servers may change nothing here")
        response = self.get_response(request)
        response.headers.setdefault("Cross-Origin-Resource-Policy", "same-origin")
        return response


def _own(request: HttpRequest, host: str) -> bool:
    """Whether the request comes from a page of this server, or from no page."""
    origin = request.headers.get("Origin")
    if origin is None:
        return request.headers.get("Sec-Fetch-Site", "none") in ("same-origin", "none")
    return urlsplit(origin).netloc == host or origin in settings.CSRF_TRUSTED_ORIGINS


def refused(status: int, reason: str) -> JsonResponse:
    """The answer to what is not allowed, as the API says such things."""
    return JsonResponse({"detail": reason}, status=status)
