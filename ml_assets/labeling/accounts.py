"""Accounts of annotators. Label Studio makes users who can log in by its sign-up page alone, so that page is filled in here."""

import json
import re
import secrets
from dataclasses import dataclass
from html import unescape
from pathlib import Path

import httpx

from ml_assets.errors import InvalidValue
from ml_assets.labeling.label_studio import LabelStudio, http
from ml_assets.labeling.label_studio.http import LabelStudioRefused
from ml_assets.state.home import home

TIMEOUT = 30.0
ATTEMPTS = 3


def programs_file() -> Path:
    """Addresses and passwords of the accounts in Label Studio whose answers come from a program: the demo's annotators."""
    return home() / "demo_annotators.json"


def programs() -> set[str]:
    """Addresses of the accounts whose answers come from a program; what they say is not a person's."""
    try:
        found = json.loads(programs_file().read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return set()
    return {str(address) for address in found} if isinstance(found, dict) else set()


@dataclass(frozen=True)
class Login:
    """What an annotator needs to log in."""

    url: str
    email: str
    password: str


def invite(client: LabelStudio, email: str, password: str | None = None) -> Login:
    """Make an account that can log in; the password is made up if none is given. Invitation links from before end with it.

    Raises:
        LabelStudioRefused: The address has an account already (Label Studio tells nobody its password), is none, or the
            password is too short.
    """
    email = email.strip().lower()
    if email in {known.lower() for known in client.users().values()}:
        raise LabelStudioRefused(f"{email} has an account already: log in at {client.url}/user/login")
    password = password or secrets.token_urlsafe(12)
    for attempt in range(1, ATTEMPTS + 1):
        with http.client(client.url, TIMEOUT) as browser:
            try:
                _submit(browser, client.url, client.invite_link(), email, password, "make an account for")
                break
            except LinkEnded:  # another invitation was made at this moment
                if attempt == ATTEMPTS:
                    raise
    client.new_invite_link()
    return Login(client.url, email, password)


def sign_in(url: str, email: str, password: str) -> LabelStudio:
    """A client that acts as this user, with a token of the user's own.

    Raises:
        LabelStudioRefused: The password is wrong, or the user's only token is one that the server shows once.
    """
    url = url.rstrip("/")
    with http.client(url, TIMEOUT, base_url=url) as browser:
        _submit(browser, url, f"{url}/user/login/", email, password, "log in")
        with http.asking(url, f"a token of {email}"):
            if browser.get("/api/jwt/settings").json().get("legacy_api_tokens_enabled"):
                return LabelStudio(url, _token(browser.get("/api/current-user/token")))
            made = browser.post("/api/token/")
            if made.status_code != 409:
                return LabelStudio(url, _token(made))
    raise LabelStudioRefused(
        f"{email} has a personal access token already, which Label Studio shows only once: revoke it first"
    )


def ensure_annotator(client: LabelStudio, email: str, password: str) -> LabelStudio:
    """A client that acts as this user, who is made first if there is none."""
    if email.lower() not in {known.lower() for known in client.users().values()}:
        invite(client, email, password)
    return sign_in(client.url, email, password)


class LinkEnded(LabelStudioRefused):
    """The server does not take the invitation link any more."""


def _token(answer: httpx.Response) -> str:
    """The token in the answer. Raises `ValueError` if there is none."""
    token = answer.json().get("token")
    if not isinstance(token, str):
        raise InvalidValue("no token")
    return token


def _submit(browser: httpx.Client, url: str, form: str, email: str, password: str, what: str) -> None:
    """Fill in the form and send it; a page that comes back instead of a redirect says what is wrong."""
    try:
        token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', browser.get(form).text)
        fields = {"email": email, "password": password, "csrfmiddlewaretoken": token.group(1) if token else ""}
        answer = browser.post(form, data=fields, headers={"Referer": url})
    except httpx.HTTPError as error:
        raise http.silent(url, "a form", error) from error
    if answer.status_code in (301, 302, 303):
        return
    said = re.findall(r"<li>\s*(.*?)\s*</li>|class=\"error\"[^>]*>\s*(.*?)\s*<", answer.text, re.S)
    reasons = [unescape(re.sub(r"<[^>]+>", "", a or b)).strip() for a, b in said]
    reason = "; ".join(r for r in reasons if r) or f"status {answer.status_code}"
    kind = LinkEnded if answer.status_code == 403 else LabelStudioRefused
    raise kind(f"Label Studio does not {what} {email}: {' '.join(reason.split())}")
