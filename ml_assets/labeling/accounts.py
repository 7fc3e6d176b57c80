"""Creates accounts of annotators and logs in to them. Label Studio has no API for this, so its web forms are filled in."""

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
    """Path of the JSON file with e-mail addresses and passwords of accounts whose answers come from a program."""
    return home() / "demo_annotators.json"


def programs() -> set[str]:
    """E-mail addresses of the Label Studio accounts whose answers come from a program and not from a person."""
    try:
        found = json.loads(programs_file().read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return set()
    return {str(address) for address in found} if isinstance(found, dict) else set()


@dataclass(frozen=True)
class Login:
    """The address, e-mail and password with which an annotator logs in."""

    url: str
    email: str
    password: str


def invite(client: LabelStudio, email: str, password: str | None = None) -> Login:
    """Create an account that can log in, with a random password if none is given; earlier invitation links stop working.

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
            except LinkEnded:  # another invitation was created at the same time
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
    """A client that acts as this user; the account is created first if it does not exist."""
    if email.lower() not in {known.lower() for known in client.users().values()}:
        invite(client, email, password)
    return sign_in(client.url, email, password)


class LinkEnded(LabelStudioRefused):
    """Raised when the server no longer accepts the invitation link."""


def _token(answer: httpx.Response) -> str:
    """The token in a response of Label Studio. Raises `ValueError` if there is none."""
    token = answer.json().get("token")
    if not isinstance(token, str):
        raise InvalidValue("no token")
    return token


def _submit(browser: httpx.Client, url: str, form: str, email: str, password: str, what: str) -> None:
    """Fill in and send a form; a response other than a redirect shows what is wrong. Raises `LabelStudioRefused`."""
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
