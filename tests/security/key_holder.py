"""Somebody with a key of one project, who wants more: other projects, other scopes, other people's names."""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import httpx

from ml_assets.deployment import keys

from .target import ARROWS, CLASSES, LETTERS, TESTED, TRUTH, Target
from .wire import exchange

ROUTES = {
    "predict": {"samples": ["The goalie saved it."]},
    "collect": {"samples": ["Somebody else's text about a goalie."]},
    "label": {"labels": [{"content": "A text that only a key knows.", "label": "space", "labeler": "only label"}]},
    "feedback": {"prediction_id": "0" * 32, "label": "space"},
}
PATHS = {"predict": "predict", "collect": "samples", "label": "labels", "feedback": "feedback"}
WRONG = next(name for name in CLASSES if name != TRUTH)


def open_other_projects(target: Target) -> Iterator[str]:
    """A key opens its own project only, and does not tell whether another one exists."""
    for scope, body in ROUTES.items():
        answers = []
        for project in (ARROWS, "no_such_project"):
            answers.append(_post(target, project, scope, body, target.keys[LETTERS]))
            if answers[-1].status_code != 403:
                yield f"{PATHS[scope]} of {project} is answered {answers[-1].status_code}"
        if answers[0].text != answers[1].text:
            yield f"{PATHS[scope]} tells which projects exist: {answers[0].text} or {answers[1].text}"


def exceed_the_scopes(target: Target) -> Iterator[str]:
    """A key with one scope does nothing that needs another."""
    for own in keys.SCOPES:
        secret = target.add_key(LETTERS, own, name=f"only {own}")
        for scope, body in ROUTES.items():
            status = _post(target, LETTERS, scope, body, secret).status_code
            if scope != own and status != 403:
                yield f"{PATHS[scope]} with the scope {own} alone is answered {status}"
            if scope == own and status in (401, 403):
                yield f"{PATHS[scope]} with its own scope is refused {status}"


def label_without_the_scope(target: Target) -> Iterator[str]:
    """Labels that ride on samples need the scope `label`, as others do."""
    secret = target.add_key(LETTERS, "collect", name="a collector")
    for labeler in (None, "a collector", "published"):
        sample = {"content": f"A text that {labeler} labels.", "label": WRONG} | ({"labeler": labeler} if labeler else {})
        status = _post(target, LETTERS, "collect", {"samples": [sample]}, secret).status_code
        if status != 403:
            yield f"a sample with a label of {labeler!r} is answered {status}"


def speak_as_others(target: Target) -> Iterator[str]:
    """No key labels as `published`, as a person, as the administrator, as monitoring or as another key."""
    secret = target.add_key(LETTERS, "label", "collect", name="an application")
    administrator = str(target.administrator().email)
    for name in ("published", "Published", " published", "published ", "published\u200b", "PUBLISHED",
                 "\uff50\uff55\uff42\uff4c\uff49\uff53\uff48\uff45\uff44",
                 administrator, administrator.upper(), f" {administrator}", "monitoring", "somebody@example.org",
                 "the attacker", "a collector"):  # fmt: skip
        for kind in ("person", "program", "published"):
            label = {"content": TESTED, "label": WRONG, "labeler": name, "labeler_kind": kind}
            status = _post(target, LETTERS, "label", {"labels": [label]}, secret).status_code
            if status < 400:
                yield f"a label of {name!r}, kind {kind}, is taken ({status})"
        sample = {"content": TESTED, "label": WRONG, "labeler": name}
        status = _post(target, LETTERS, "collect", {"samples": [sample]}, secret).status_code
        if status < 400:
            yield f"a sample with a label of {name!r} is taken ({status})"


def overwrite_a_test_label(target: Target) -> Iterator[str]:
    """A test label that came with the data stays as it is, whatever is pushed afterwards, however often."""
    name = "the attacker"
    for number in range(3):
        for body in (
            {"samples": [{"content": TESTED, "label": WRONG}]},
            {"samples": [{"content": TESTED, "label": WRONG, "labeler": name}]},
            {"samples": [{"content": TESTED, "label": WRONG, "labeler": "published"}]},
            {"samples": [{"content": TESTED, "group": f"g{number}"}]},
        ):
            _post(target, LETTERS, "collect", body, target.keys[LETTERS])
        for labeler in (name, "published", f"{name} {number}"):
            body = {"labels": [{"content": TESTED, "label": WRONG, "labeler": labeler}]}
            _post(target, LETTERS, "label", body, target.keys[LETTERS])
    done = target.run("run", LETTERS, "collection", "labeling")
    if done.returncode:
        yield f"what was pushed cannot be collected: {done.stderr[-400:]}"
    with target.entered():
        from ml_assets.modalities import Text
        from ml_assets.store import ProjectStore

        key, store = Text().sample_id(TESTED), ProjectStore(LETTERS)
        [sample] = store.table("samples").read(where=f"id = '{key}'").to_pylist()
        labels = store.table("labels").read(where=f"id = '{key}'").to_pylist()
        given = store.table("given_labels").read(where=f"sample_id = '{key}' AND labeler = 'published'").to_pylist()
    if sample["split"] != "test" or sample["source"] != "test":
        yield f"the test sample became one of {sample['source']}, split {sample['split']}"
    if [row["value"] for row in labels] != [TRUTH] or labels[0]["conflict"]:
        yield f"the test label {TRUTH} became {labels}"
    if [row["value"] for row in given] != [TRUTH]:
        yield f"the published label {TRUTH} became {[row['value'] for row in given]}"


def traverse(target: Target) -> Iterator[str]:
    """A project's name that is a path leads nowhere: it is refused, and no file is made."""
    before = _outside(target)
    for name in ("..", "../arrows", "%2e%2e", "%2e%2e%2farrows", "..%2f..%2fetc", f"{LETTERS}/../{ARROWS}", f"{LETTERS}%00",
                 f"{LETTERS}%2f..%2f{ARROWS}", f"{LETTERS}%0a", f"{LETTERS}%20", LETTERS.upper(), "a" * 5000, "%ff%fe",
                 f"{LETTERS};{ARROWS}", f".{LETTERS}", f"{LETTERS}?x=1#", "\\..\\..", "%5c..%5c..", "//", "C:"):  # fmt: skip
        for scope, body in ROUTES.items():
            content = json.dumps(body).encode()
            head = f"POST /{name}/{PATHS[scope]} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            head += f"Authorization: Bearer {target.keys[LETTERS]}\r\nContent-Length: {len(content)}\r\n\r\n"
            status, _, _ = exchange(target.ports["endpoint"], head.encode("utf-8", "surrogateescape") + content)
            if not (400 <= status < 500):
                yield f"{scope} at the project {name[:40]!r} is answered {status}"
    if made := _outside(target) - before:
        yield f"files were made: {sorted(made)[:5]}"


def inject_headers(target: Target) -> Iterator[str]:
    """Nothing that is sent comes back as a header."""
    secret, evil = target.keys[LETTERS], "x\r\nX-Injected: yes"
    bodies: list[tuple[str, dict[str, Any]]] = [
        ("collect", {"samples": [{"content": "Some text.", "group": evil, "columns": {evil: evil}}]}),
        ("label", {"labels": [{"content": TESTED, "label": evil, "labeler": evil}]}),
        ("feedback", {"prediction_id": evil, "label": evil}),
        ("predict", {"samples": [evil]}),
    ]
    for scope, body in bodies:
        answer = _post(target, LETTERS, scope, body, secret)
        if "x-injected" in answer.headers or answer.status_code >= 500:
            yield f"{scope} is answered {answer.status_code} with {dict(answer.headers)}"
    for path in (f"/{LETTERS}%0d%0aX-Injected:%20yes", "/x%0d%0aX-Injected:%20yes/predict"):
        head = f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {secret}\r\nConnection: close\r\n\r\n"
        status, headers, _ = exchange(target.ports["endpoint"], head.encode())
        if "x-injected" in headers or status >= 500:
            yield f"{path} is answered {status}"


def be_named_otherwise(target: Target) -> Iterator[str]:
    """A key of any name is refused when it is made, with a sentence, or predicts; none makes every prediction fail."""
    for name in (
        "café",
        "ключ",
        "名",
        "a\r\nX-Injected: 1",
        "a\nb",
        "a\tb",
        "\u202eevil",
        "=1+1",
        "x" * 5000,
        "\x00",
        "é" * 200,
    ):
        try:
            secret = target.add_key(LETTERS, name=name)
        except ValueError as error:
            if not re.search(r"\w", str(error)) or "\n" in str(error):
                yield f"the name {name!a} is refused without a sentence: {str(error)!r}"
            continue
        for scope in ("predict", "collect", "feedback"):
            answer = _post(target, LETTERS, scope, ROUTES[scope], secret)
            if answer.status_code >= 400 or "x-injected" in answer.headers:
                yield f"{scope} with a key that is named {name[:20]!a} is answered {answer.status_code}: {answer.text[:80]}"


def use_a_key_that_was_taken_back(target: Target) -> Iterator[str]:
    """A key opens nothing from the moment it is taken back."""
    secret = target.add_key(LETTERS, name="soon gone")
    with target.entered():
        [key] = [each for each in keys.list_keys(LETTERS) if each.name == "soon gone"]
        keys.revoke(key.id)
    for scope, body in ROUTES.items():
        if (status := _post(target, LETTERS, scope, body, secret).status_code) != 401:
            yield f"{scope} is answered {status}"


def name_a_run_after_a_path(target: Target) -> Iterator[str]:
    """A project's name that is a path makes no lock, no table and no inbox outside of the home, wherever it comes from."""
    from ml_assets.spool import inbox
    from ml_assets.state.lock import project_lock
    from ml_assets.store import ProjectStore

    before = _outside(target)
    for name in ("../../out/x", "..", "/tmp/x", "a/b", "", "a\0b", "x" * 300):
        with target.entered():
            for what, act in (
                ("a lock", lambda n: project_lock(n).acquire(timeout=0)),
                ("a store", lambda n: ProjectStore(n).table("samples").count()),
                ("an inbox", lambda n: inbox.write(n, "samples", [{"content": "x"}])),
                ("a key", lambda n: target.add_key(n)),
            ):
                try:
                    act(name)
                except (ValueError, LookupError):
                    continue
                except OSError as error:
                    yield f"{what} of the project {name[:20]!r} raises {type(error).__name__}"
                    continue
                yield f"{what} of the project {name[:20]!r} is made"
    if made := _outside(target) - before:
        yield f"files were made: {sorted(made)[:5]}"


ATTACKS: tuple[Callable[[Target], Iterator[str]], ...] = (
    overwrite_a_test_label,  # first: only while nothing else was pushed can labels be brought in without embeddings
    open_other_projects, exceed_the_scopes, label_without_the_scope, speak_as_others, traverse, inject_headers,
    be_named_otherwise, use_a_key_that_was_taken_back, name_a_run_after_a_path,
)  # fmt: skip


def _post(target: Target, project: str, scope: str, body: dict[str, Any], secret: str) -> httpx.Response:
    headers = {"Authorization": f"Bearer {secret}"}
    url = f"{target.url('endpoint')}/{project}/{PATHS[scope]}"
    return httpx.post(url, json=body, headers=headers, timeout=60, trust_env=False)


def _outside(target: Target) -> set[str]:
    """Files beside the home, and in the folders that hold one per project."""
    found = {str(path) for path in target.folder.glob("*")}
    for name in ("inbox", "inference", "store", "locks"):
        found |= {str(path) for path in (target.home / name).glob("*") if path.name.removesuffix(".lock") not in target.keys}
    return found
