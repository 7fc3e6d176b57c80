"""Who may speak as whom: nobody in the name of the installation, a key only in names that it was given."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_assets.spool import speakers

DISGUISED = [
    "published",
    "Published",
    " PUBLISHED ",
    "\uff50ublished",
    "pub\u200blished",
    "monitoring",
    "production",
    "Unknown  User",
]
PEOPLE = ["anna@example.org", "ADMIN@localhost.example", "anna\uff20example.org", "user 17"]


@pytest.mark.parametrize("name", DISGUISED)
def test_the_names_of_the_installation_are_nobodys_however_they_are_written(name: str) -> None:
    for refuse in (
        lambda: speakers.check_own(name),
        lambda: speakers.check_given(name),
        lambda: speakers.bound(name, None, "app", [name]),
        lambda: speakers.bound(None, None, name),
        lambda: speakers.of_line({"labeler": name, "client": "app", "key": "0123456789ab"}),
        lambda: speakers.of_line({"client": name}),
    ):
        with pytest.raises((speakers.MayNotSpeak, speakers.BadName)) as caught:
            refuse()
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", PEOPLE)
def test_a_persons_name_is_only_for_a_key_that_was_made_to_speak_for_that_person(name: str) -> None:
    with pytest.raises(speakers.MayNotSpeak, match="a person's name"):
        speakers.check_own(name)
    with pytest.raises(speakers.MayNotSpeak, match="it speaks as 'app'"):
        speakers.bound(name, "person", "app", ["crm"])
    with pytest.raises(speakers.MayNotSpeak, match="it speaks as nobody"):
        speakers.bound(None, None, name)  # a key of the version before, which let it be named so
    with pytest.raises(speakers.MayNotSpeak, match="only by a key"):
        speakers.of_line({"labeler": name, "labeler_kind": "person", "client": "app"})
    assert speakers.check_given(name) == name
    assert speakers.bound(name, None, "app", [name]) == (name, "person")
    assert speakers.bound(name, "program", "app", [name]) == (name, "program")
    line = {"labeler": name, "labeler_kind": "person", "client": "app", "key": "0123456789ab"}
    assert speakers.of_line(line) == (name, "person")


def test_a_key_speaks_in_its_own_name_or_in_one_it_was_given_and_is_a_program() -> None:
    assert speakers.bound(None, None, "app") == ("app", "program")
    assert speakers.bound("app", "program", "app") == ("app", "program")
    assert speakers.bound("crm", None, "app", ["crm"]) == ("crm", "program")
    for labeler, kind in (("crm", None), ("App", None), ("app", "person"), ("app", "published"), ("", None)):
        with pytest.raises(speakers.MayNotSpeak):
            speakers.bound(labeler, kind, "app")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ({"client": "app"}, ("app", "program")),
        ({"client": "app", "labeler": None}, ("app", "program")),
        ({"client": "app", "labeler": "crm", "labeler_kind": "published"}, ("crm", "program")),
        ({"client": "app", "labeler": "desk team", "labeler_kind": "person"}, ("desk team", "program")),
    ],
)
def test_a_line_of_the_inbox_has_the_labeler_of_its_client_and_no_kind_that_it_may_not_have(
    line: dict[str, Any], expected: tuple[str, str]
) -> None:
    assert speakers.of_line(line) == expected


@pytest.mark.parametrize("line", [{}, {"labeler": 7}, {"client": ["app"]}, {"labeler": "caf\udce9"}, {"labeler": "a\nb"}])
def test_a_line_without_a_name_that_can_be_kept_is_refused(line: dict[str, Any]) -> None:
    with pytest.raises(speakers.BadName):
        speakers.of_line(line)


@pytest.mark.parametrize("name", ["", " \t", "a\nb", "a\x00b", "a\x1b[31mb", "caf\udce9", "\u202eabc", "a\u2028b", "x" * 101])
def test_a_name_that_cannot_be_written_on_one_line_is_refused_in_one_sentence(name: str) -> None:
    with pytest.raises(speakers.BadName) as caught:
        speakers.check_own(name)
    assert str(caught.value).isprintable()
    str(caught.value).encode()


@given(st.text())
def test_any_text_is_a_name_or_is_refused_in_a_sentence_that_can_be_shown(name: str) -> None:
    said = ""
    try:
        found = speakers.check_own(name)
    except (speakers.BadName, speakers.MayNotSpeak) as error:
        said = str(error)
    else:
        found.encode()
        assert speakers.bound(None, None, found) == (found, "program")
    assert "\n" not in said
    said.encode()
