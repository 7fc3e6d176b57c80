"""What annotators may do: read tasks, and give, change and take back their own answers. Only administrators do more.

The free edition of Label Studio lets every account do everything: change and delete projects, read the invitation link, answer
in somebody else's name. So what an annotator's pages need is listed here, and all else is refused, whatever a later version
of the server adds. Decided by the name of the view that Django found for the address, so that no spelling of it gets past.
"""

import json
import logging
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse
from guard.origin import Answer, refused

log = logging.getLogger(__name__)

READ, WRITE, EDIT = frozenset({"GET", "HEAD", "OPTIONS"}), frozenset({"POST"}), frozenset({"PATCH", "DELETE"})

EVERYBODY: Mapping[str, frozenset[str]] = {
    "user-login": READ | WRITE,
    "user-signup": READ | WRITE,  # with the invitation's token
    "logout": READ | WRITE,
    "jwt_auth:token_refresh": WRITE,
    "health": READ,
    "version": READ,
    "api-version": READ,
    # files of the pages, whose addresses have no name of their own
    "core.utils.static_serve.serve": READ,
    "core.views.serve_file": READ,
    "django.views.generic.base.RedirectView": READ,
    "django.views.static.serve": READ,
}
"""Methods by the name of the view (its function, where the address has no name), for who is not logged in too."""

ANNOTATORS: Mapping[str, frozenset[str]] = EVERYBODY | {
    # pages
    "main": READ,
    "projects:project-index": READ,
    "data_manager:project-data": READ,
    "user-account": READ | WRITE,
    "user-account-anything": READ,
    # what a page shows of a project
    "projects:api:project-list": READ,
    "projects:api:project-counts-list": READ,
    "projects:api:project-detail": READ,
    "projects:api:project-next": READ,
    "projects:api:label-stream-history": READ,
    "data_manager:api:view-list": READ | WRITE,  # who opens a project first makes its first list of tasks
    "data_manager:api:view-detail": READ | EDIT,  # the own lists alone
    "labels_manager:api-labels:label_link-list": READ,
    "ml:api:ml-list": READ,
    "data_manager:dm-columns": READ,
    "data_manager:dm-project": READ,
    "data_manager:dm-actions": READ | WRITE,  # the next task alone, see below
    "tasks:api:task-list": READ,
    "tasks:api:task-detail": READ,
    "tasks:api:task-agreement": READ,
    "storages:localfiles_data": READ,
    # answers
    "tasks:api:task-annotations": READ | WRITE,
    "tasks:api:task-drafts": READ | WRITE,
    "tasks:api:task-annotations-drafts": READ | WRITE,
    "tasks:api-annotations:annotation-detail": READ | EDIT,
    "tasks:api-drafts:draft-detail": READ | EDIT,
    # the own account
    "user-list": READ,  # names beside answers
    "user-detail": READ | frozenset({"PATCH"}),
    "current-user-whoami": READ,
    "current-user-token": READ,
    "current-user-reset-token": WRITE,
    "current-user-hotkeys": READ | frozenset({"PATCH"}),
    "product-tour": READ | frozenset({"PATCH"}),
    "jwt_auth:api-jwt-settings": READ,
    "jwt_auth:token_manage": READ | WRITE,
    "jwt_auth:token_blacklist": WRITE,
    "jwt_auth:token_rotate": WRITE,
}
"""Methods by the name of the view, for who is logged in."""

ACCOUNT = frozenset({"first_name", "last_name", "phone", "allow_newsletters", "custom_hotkeys"})
"""What people may change of themselves."""
NAMES_AN_OWNER = ("completed_by", "updated_by", "last_created_by", "user")
"""Fields of an answer that say whose it is."""


class AnnotatorsOnlyAnnotate:
    """Middleware that refuses what is not on the lists above to all but administrators."""

    def __init__(self, get_response: Answer) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_view(
        self, request: HttpRequest, view: Callable[..., Any], arguments: tuple[Any, ...], named: dict[str, Any]
    ) -> HttpResponse | None:
        """Nothing, or the refusal; called when the view is known and before it runs."""
        name = request.resolver_match.view_name if request.resolver_match else ""
        if request.method in EVERYBODY.get(name, ()):
            return None
        user = _who(request)
        if isinstance(user, HttpResponse) or user.is_superuser:
            return user if isinstance(user, HttpResponse) else None
        if request.method not in ANNOTATORS.get(name, ()):
            log.warning("%s may not %s %s (%s)", user.email, request.method, request.path, name)
            return refused(403, "only administrators may do this")
        reason = "" if request.method in READ else _objection(request, user, name, named)
        if reason:
            log.warning("%s may not %s %s: %s", user.email, request.method, request.path, reason)
        return refused(403, reason) if reason else None


def _who(request: HttpRequest) -> Any:
    """The user for whom the view will act, or the answer to somebody who is not logged in."""
    from jwt_auth.auth import TokenAuthenticationPhaseout
    from rest_framework.exceptions import AuthenticationFailed

    api = request.path_info.startswith("/api/")
    try:
        # the views of the API ask this first, then the session; a personal access token was read by now
        found = TokenAuthenticationPhaseout().authenticate(request)
    except AuthenticationFailed as error:
        return refused(401, str(error.detail))
    user = found[0] if found else request.user
    if user.is_authenticated:
        return user
    return refused(401, "Authentication credentials were not provided.") if api else redirect_to_login(request.get_full_path())


def _objection(request: HttpRequest, user: Any, name: str, named: Mapping[str, Any]) -> str:
    """Why this user may not make this change; the empty string if nothing speaks against it."""
    if name == "data_manager:dm-actions":
        return "" if request.GET.getlist("id") == ["next_task"] else "only administrators may do this"
    if name.startswith("data_manager:api:view"):
        return _objection_to_list(request, user, named)
    if name == "user-detail":
        body = _body(request)
        if str(named["pk"]) != str(user.pk):
            return "only administrators may change somebody else's account"
        return "" if body is not None and body.keys() <= ACCOUNT else f"only {', '.join(sorted(ACCOUNT))} can be changed"
    if name.startswith("tasks:"):
        return _objection_to_answer(request, user, name, named)
    return ""


def _objection_to_answer(request: HttpRequest, user: Any, name: str, named: Mapping[str, Any]) -> str:
    """The same of a change to an answer or to the draft of one."""
    from tasks.models import Annotation, AnnotationDraft

    others = "this answer is somebody else's"
    annotation = named.get("annotation_id") or (named["pk"] if name.startswith("tasks:api-annotations:") else None)
    stored = None
    if annotation is not None:
        stored = Annotation.objects.filter(pk=annotation).first()
        if stored is not None and stored.completed_by_id != user.pk:
            return others
    if name.startswith("tasks:api-drafts:"):
        stored = AnnotationDraft.objects.filter(pk=named["pk"]).first()
        if stored is not None and stored.user_id != user.pk:
            return others
    if request.method == "DELETE":
        return ""
    body = _body(request)
    if body is None:
        return "an answer is a JSON object in UTF-8"
    if any(not _same(body.get(field, user.pk), user.pk) for field in NAMES_AN_OWNER):
        return "an answer can be given in the own name alone"
    if (drafted := body.get("annotation")) is not None and not (
        isinstance(drafted, int) and Annotation.objects.filter(pk=drafted, completed_by=user).exists()
    ):
        return others
    if "unique_id" in body and not _free(body["unique_id"], named, user):
        return "this name for an answer may be somebody else's"
    task = stored.task_id if stored is not None else named.get("pk")
    if not _same(body.get("task", task), task) or (
        stored is not None and "project" in body and not _same(body["project"], _project(stored))
    ):
        return "an answer stays at its task"
    return "only administrators may say which answer is the truth" if body.get("ground_truth") else ""


def _objection_to_list(request: HttpRequest, user: Any, named: Mapping[str, Any]) -> str:
    """The same of a change to a list of tasks (a tab), which all see."""
    from data_manager.models import View

    if "pk" in named and not View.objects.filter(pk=named["pk"], user=user).exists():
        return "this list is somebody else's: make one of your own"
    body = {} if request.method == "DELETE" else _body(request)
    return "a list stays with who made it" if body is None or body.get("user", user.pk) != user.pk else ""


def _free(name: Any, named: Mapping[str, Any], user: Any) -> bool:
    """Whether a user may name an answer so: at random, as the pages do, or as `ml_assets` names the user's answer to a task.

    A user's name for an answer follows from task and address (a UUID of version 5). Whoever took it first would keep the
    other's answer out.
    """
    try:
        given = uuid.UUID(name)
    except (ValueError, TypeError, AttributeError):
        return False
    return given.version == 4 or given == uuid.uuid5(uuid.NAMESPACE_OID, f"ml_assets task {named.get('pk')} {user.email}")


def _same(given: Any, number: Any) -> bool:
    """Whether it is this number; the pages send some as texts."""
    return type(given) in (int, str) and str(given) == str(number)


def _project(stored: Any) -> int | None:
    return stored.task.project_id if stored.task else None


def _body(request: HttpRequest) -> dict[str, Any] | None:
    """The JSON object that was sent; None if it is none, or in a form that the view might read in another way than this."""
    if request.content_type != "application/json" or request.content_params.get("charset", "utf-8").lower() != "utf-8":
        return None
    try:
        body = json.loads(request.body or b"{}")
    except ValueError:
        return None
    return body if isinstance(body, dict) else None
