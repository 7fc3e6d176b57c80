"""Lists the components of a Bento in the CycloneDX format: the model with its checksums, and all packages that it needs."""

from importlib import metadata
from typing import Any

from ml_assets.training.seal import Files

FILE = "sbom.cdx.json"
"""Name of the component list, as CycloneDX recommends."""


def components(project: str, version: str, files: Files, requirements: list[str]) -> dict[str, Any]:
    """A CycloneDX 1.6 document, derived from the arguments and the packages installed here.

    Args:
        project: The model's project.
        version: The model's version, such as `newsgroups-3`.
        files: SHA-256 of each file of the model.
        requirements: The packages that the Bento names, as `name==version`.
    """
    direct = [requirement.partition("==")[0] for requirement in requirements]
    needed = closure(direct)
    inside = [
        {"type": "file", "bom-ref": f"file:{name}", "name": name, "hashes": [{"alg": "SHA-256", "content": digest}]}
        for name, digest in sorted(files.items())
    ]
    model = {"type": "machine-learning-model", "bom-ref": "model", "name": project, "version": version, "components": inside}
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": {"type": "application", "bom-ref": "bento", "name": project, "version": version}},
        "components": [model, *(_package(name) for name in sorted(needed))],
        "dependencies": [
            {"ref": "bento", "dependsOn": ["model", *sorted(map(_address, direct))]},
            *({"ref": _address(name), "dependsOn": sorted(map(_address, needs))} for name, needs in sorted(needed.items())),
        ],
    }


def closure(names: list[str]) -> dict[str, set[str]]:
    """The installed packages that these need, directly or indirectly, themselves included, each with its requirements."""
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    found: dict[str, set[str]] = {}
    waiting = [(str(canonicalize_name(name)), frozenset({""})) for name in names]
    asked = set(waiting)
    while waiting:
        name, extras = waiting.pop()
        needs = found.setdefault(name, set())
        for line in metadata.requires(name) or []:
            wanted = Requirement(line)
            if wanted.marker is None or any(wanted.marker.evaluate({"extra": extra}) for extra in extras):
                other = (str(canonicalize_name(wanted.name)), frozenset({"", *wanted.extras}))
                needs.add(other[0])
                if other not in asked:
                    asked.add(other)
                    waiting.append(other)
    return found


def _package(name: str) -> dict[str, Any]:
    made: dict[str, Any] = {"type": "library", "bom-ref": _address(name), "name": name, "version": metadata.version(name)}
    if "License-Expression" in (about := metadata.metadata(name)):
        made["licenses"] = [{"expression": about["License-Expression"]}]
    return made | {"purl": _address(name)}


def _address(name: str) -> str:
    """The package URL (https://github.com/package-url/purl-spec), with the version without a local build label."""
    return f"pkg:pypi/{name.lower()}@{metadata.version(name).split('+')[0]}"
