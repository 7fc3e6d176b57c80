"""Compares the locked packages with the known holes that osv.dev lists, where the network allows.

Ends with 1 if a package has a hole that `exceptions.toml` does not name with a reason. Without a network it says so in a line.
The list has one address for all packages, so that one question is enough; `ML_ASSETS_ADVISORIES` names a mirror of it.
"""

import json
import os
import re
import sys
import tomllib
from collections.abc import Iterable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import httpx

HERE = Path(__file__).parent
LOCKS = (
    "run.txt",
    "dev.txt",
    "build.txt",
    "cpu.txt",
    "cuda.txt",
    "mpnet.txt",
    "examples.txt",
    "../label_studio/requirements.txt",
)
SOURCE = "https://api.osv.dev"
SECONDS = 20.0
AT_ONCE = 500
"""Packages in one question."""


def main() -> int:
    """Print what was found; 1 if something must be done."""
    packages = sorted({package for lock in LOCKS for package in locked(HERE / lock)})
    try:
        excused = exceptions(HERE / "exceptions.toml", datetime.now(UTC).date())
    except ValueError as error:
        print(f"audit: {error}", file=sys.stderr)
        return 1
    source = os.environ.get("ML_ASSETS_ADVISORIES", SOURCE)
    try:
        with httpx.Client(base_url=source, timeout=SECONDS, follow_redirects=True) as client:
            holes = known_holes(client, packages)
    except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
        print(f"audit: not done, the list of known holes at {source} cannot be read ({type(error).__name__}: {error})")
        return 0
    bad = [hole for hole in holes if not any((name, hole["package"]) in excused for name in hole["names"])]
    for hole in bad:
        print(
            f"{hole['package']} {hole['version']} has a known hole, {', '.join(hole['names'])}: {hole['summary']}; "
            "run `make lock`, or say in requirements/exceptions.toml why it does no harm",
            file=sys.stderr,
        )
    print(f"audit: {len(packages)} packages, {len(holes)} known holes, {len(holes) - len(bad)} of them excused")
    return 1 if bad else 0


def locked(path: Path) -> set[tuple[str, str]]:
    """Names and versions in a lock file; those of builds without CUDA count as what they are built of."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return {(line.partition("==")[0], re.split("[ +]", line.partition("==")[2])[0]) for line in lines}


def known_holes(client: httpx.Client, packages: list[tuple[str, str]]) -> list[dict[str, Any]]:
    """Each hole of these packages that was not withdrawn: package, version, all its names, and what it is."""
    found: list[tuple[str, str, str]] = []
    for start in range(0, len(packages), AT_ONCE):
        part = packages[start : start + AT_ONCE]
        queries = [{"package": {"ecosystem": "PyPI", "name": name}, "version": version} for name, version in part]
        answers = asked(client, queries)
        found += [(*package, hole["id"]) for package, holes in zip(part, answers, strict=True) for hole in holes]
    about = {name: client.get(f"/v1/vulns/{name}").raise_for_status().json() for name in sorted({name for *_, name in found})}
    merged: dict[tuple[str, ...], dict[str, Any]] = {}
    for package, version, name in found:
        if "withdrawn" not in about[name]:
            names = sorted({name, *about[name].get("aliases", [])})
            summary = str(about[name].get("summary") or about[name].get("details") or "no summary").strip().splitlines()[0]
            merged[package, version, *names] = {"package": package, "version": version, "names": names, "summary": summary}
    return list(merged.values())


def asked(client: httpx.Client, queries: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """The holes that the list has for each query, all pages of them."""
    holes: list[list[dict[str, Any]]] = [[] for _ in queries]
    waiting = dict(enumerate(queries))
    while waiting:
        answer = client.post("/v1/querybatch", json={"queries": list(waiting.values())}).raise_for_status().json()
        further = {}
        for place, result in zip(list(waiting), answer["results"], strict=True):
            holes[place] += result.get("vulns", [])
            if token := result.get("next_page_token"):
                further[place] = queries[place] | {"page_token": token}
        waiting = further
    return holes


def exceptions(path: Path, today: date) -> set[tuple[str, str]]:
    """Names of holes and packages that are excused today. Raises `ValueError` for one without a reason."""
    given: Iterable[dict[str, Any]] = tomllib.loads(path.read_text(encoding="utf-8")).get("exception", [])
    excused = set()
    for one in given:
        if missing := [word for word in ("id", "package", "reason", "until") if not one.get(word)]:
            raise ValueError(f"{path.name}: the exception {json.dumps(one, default=str)} has no {', '.join(missing)}")
        if today <= one["until"]:
            excused.add((str(one["id"]), str(one["package"])))
    return excused


if __name__ == "__main__":
    sys.exit(main())
