import json
import os
import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ml_assets.deployment import keys
from ml_assets.state.names import UnknownProject

AT = datetime(2026, 1, 2, tzinfo=UTC)
fixtures = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25, deadline=None)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


def test_a_key_opens_its_project_and_only_its_hash_is_kept(path: Path) -> None:
    secret = keys.add("letters", ["predict", "feedback"], "app", AT, path)
    assert secret.startswith("mla_")
    assert len(secret) >= 36
    key = keys.verify(secret, path)
    assert key is not None
    assert (key.project, key.scopes, key.name, key.created_at) == ("letters", ("predict", "feedback"), "app", AT.isoformat())
    assert secret not in path.read_text()
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600


@fixtures
@given(wrong=st.text(max_size=60))
def test_no_other_text_opens_it(path: Path, wrong: str) -> None:
    if not path.exists():
        keys.add("letters", ["predict"], "app", AT, path)
    assert keys.verify(wrong, path) is None


@fixtures
@given(secret_of=st.data())
def test_a_changed_secret_opens_nothing(path: Path, secret_of: st.DataObject) -> None:
    secret = keys.add("letters", ["predict"], "app", AT, path)
    place = secret_of.draw(st.integers(0, len(secret) - 1))
    letter = secret_of.draw(st.sampled_from("abcdefghijklmnopqrstuvwxyz"))
    changed = secret[:place] + letter + secret[place + 1 :]
    assert (keys.verify(changed, path) is None) == (changed != secret)


def test_many_keys_live_together_and_are_listed_by_project(path: Path) -> None:
    made = {p: [keys.add(p, ["predict"], f"{p}{n}", AT, path) for n in range(3)] for p in ("letters", "birds")}
    for project, secrets in made.items():
        assert [k.project for s in secrets if (k := keys.verify(s, path))] == [project] * 3
        assert [k.name for k in keys.list_keys(project, path)] == [f"{project}{n}" for n in range(3)]
    assert len({k.id for k in keys.list_keys(path=path)}) == 6


def test_a_server_sees_new_and_revoked_keys_at_once(path: Path) -> None:
    ring = keys.KeyRing(path)
    assert ring.verify("mla_x") is None
    first = keys.add("letters", ["predict"], "app", AT, path)
    found = ring.verify(first)
    assert found is not None
    second = keys.add("letters", ["predict"], "other", AT, path)
    assert ring.verify(second) is not None
    assert keys.revoke(found.id, path) == found
    assert ring.verify(first) is None
    assert ring.verify(second) is not None


def test_revoking_an_unknown_key_names_the_known_ones(path: Path) -> None:
    keys.add("letters", ["predict"], "app", AT, path)
    [key] = keys.list_keys(path=path)
    with pytest.raises(LookupError, match=key.id):
        keys.revoke("nothing", path)


@pytest.mark.parametrize(
    ("project", "scopes", "name", "error", "message"),
    [
        ("letters", ["read"], "app", keys.UnknownScope, "unknown scope 'read': choose one of predict, collect"),
        ("letters", [], "app", keys.UnknownScope, "choose one of predict"),
        ("Letters!", ["predict"], "app", UnknownProject, "is not a project's name"),
        ("letters", ["predict"], " ", ValueError, "say who will use it"),
        ("letters", ["predict"], "monitoring", ValueError, "cannot be named 'monitoring'"),
    ],
)
def test_a_wrong_key_is_refused(
    path: Path, project: str, scopes: list[str], name: str, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        keys.add(project, scopes, name, AT, path)
    assert not path.exists()


@pytest.mark.parametrize("damaged", ["", "{", "[]", json.dumps({"keys": [{"id": 1}]})])
def test_a_damaged_file_is_said_and_never_opens(path: Path, damaged: str) -> None:
    path.write_text(damaged)
    with pytest.raises(keys.UnreadableKeys, match="is damaged"):
        keys.verify("mla_x", path)
