"""`ml-assets invite` against the real server, and without one."""

from pathlib import Path
from typing import Any

import httpx
import pytest

from ml_assets.commands.invite import Invitation, invite
from ml_assets.labeling.accounts import LinkEnded, _submit
from ml_assets.labeling.label_studio import LabelStudioUnavailable
from ml_assets.settings import ProjectError


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ML_ASSETS_HOME", str(tmp_path))
    monkeypatch.delenv("ML_ASSETS_STORE", raising=False)


@pytest.fixture
def server(label_studio: Any, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("LABEL_STUDIO_URL", label_studio.url)
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", label_studio.token)
    return label_studio.url


def test_a_link_leads_to_the_form_that_makes_an_account(server: str) -> None:
    made = invite("newsgroups")
    assert made.as_json() == {"url": server, "link": made.link}
    assert made.link
    assert 'name="password"' in httpx.get(made.link).text
    assert made.link in made.sentences()


def test_each_invitation_ends_the_links_before(server: str) -> None:
    first, second = invite("newsgroups").link, invite("newsgroups").link
    assert first
    assert second
    assert first != second
    with httpx.Client() as browser, pytest.raises(LinkEnded, match=r"does not make an account for eve@example\.org"):
        _submit(browser, server, first, "eve@example.org", "a good password", "make an account for")
    with httpx.Client() as browser:
        _submit(browser, server, second, "eva@example.org", "a good password", "make an account for")
    invite("newsgroups", "ina@example.org")
    with httpx.Client() as browser, pytest.raises(LinkEnded):
        _submit(browser, server, second, "eve@example.org", "a good password", "make an account for")


def test_an_address_gets_an_account_with_a_password(server: str) -> None:
    made = invite("newsgroups", "Flo@Example.org")
    assert (made.url, made.link, made.email) == (server, None, "flo@example.org")
    assert made.password
    assert made.password in made.sentences()


@pytest.mark.parametrize("email", [None, "flo@example.org"])
def test_without_label_studio_one_sentence_says_what_to_do(email: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ML_ASSETS_LABEL_STUDIO_PORT", "1")
    with pytest.raises(LabelStudioUnavailable, match=r"does not answer .* start it with `ml-assets up`$"):
        invite("newsgroups", email)


def test_an_unknown_project_is_told_before_anything_is_asked() -> None:
    with pytest.raises(ProjectError, match="unknown project 'nothing'"):
        invite("nothing")


def test_for_people_and_for_programs() -> None:
    assert Invitation("http://here", email="a@b.example", password="p").as_json() == {
        "url": "http://here",
        "email": "a@b.example",
        "password": "p",
    }
