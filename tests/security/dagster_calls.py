"""What strangers ask of Dagster: everything that changes something, in every form in which a request can be sent."""

import json
from urllib.parse import quote, urlencode

from .target import Target
from .wire import Request

PLAIN, FORM = {"Content-Type": "text/plain"}, {"Content-Type": "application/x-www-form-urlencoded"}

LAUNCH = (
    "mutation($tags: [ExecutionTag!]) { launchRun(executionParams: {selector: {repositoryLocationName: \"ml_assets\", "
    "repositoryName: \"__repository__\", pipelineName: \"__ASSET_JOB\"}, executionMetadata: {tags: $tags}}) "
    "{ __typename ... on PythonError { message } } }"
)  # fmt: skip
REPORT = (
    'mutation { reportRunlessAssetEvents(eventParams: {eventType: ASSET_MATERIALIZATION, assetKey: {path: ["letters", '
    '"samples"]}}) { __typename } }'
)
DELETE = 'mutation { deletePipelineRun(runId: "00000000-0000-0000-0000-000000000000") { __typename } }'
ASSETS_AND_RUNS = (
    "{ runsOrError { ... on Runs { results { runId tags { key } } } } "
    "assetsOrError { ... on AssetConnection { nodes { key { path } } } } }"
)
MATERIALIZED = (
    '{ assetOrError(assetKey: {path: ["letters", "samples"]}) { ... on Asset { assetMaterializations(limit: 100) '
    "{ runId } } } }"
)


def calls() -> list[tuple[str, *Request]]:
    """What changes or reads Dagster: a name, the method, the path, the headers, the body."""
    json_type = {"Content-Type": "application/json"}
    found: list[tuple[str, *Request]] = [
        ("read the runs", "POST", "/graphql", json_type, json.dumps({"query": ASSETS_AND_RUNS})),
        ("read the page", "GET", "/", {}, None),
        ("report by address", "POST", "/report_asset_materialization/letters/samples", json_type, "{}"),
        ("report by address, plain", "POST", "/report_asset_materialization/letters/samples", PLAIN, "{}"),
        ("report a check", "POST", "/report_asset_check/letters/samples?check_name=x&passed=true", {}, None),
        ("report an observation", "POST", "/report_asset_observation/letters/samples", {}, None),
        ("read a log", "GET", "/logs/x/y", {}, None),
    ]  # fmt: skip
    for name, query in (("launch", LAUNCH), ("report", REPORT), ("delete", DELETE)):
        body = json.dumps({"query": query})
        found += [
            (f"{name} by JSON", "POST", "/graphql", json_type, body),
            (f"{name} by GET", "GET", f"/graphql?query={quote(query)}", {}, None),
            (f"{name} as text", "POST", "/graphql", PLAIN, body),
            (f"{name} as GraphQL", "POST", "/graphql", {"Content-Type": "application/graphql"}, query),
            (f"{name} as a form", "POST", "/graphql", FORM, urlencode({"query": query})),
            (f"{name} without a type", "POST", "/graphql", {}, body),
        ]  # fmt: skip
    return found


def state(target: Target) -> tuple[int, int]:
    """How many runs and how many materialisations of `letters/samples` its own user sees, besides those of its own sensors."""
    runs = target.dagster(ASSETS_AND_RUNS)["runsOrError"]["results"]
    own = {run["runId"] for run in runs if any(tag["key"] == "dagster/sensor_name" for tag in run["tags"])}
    asset = target.dagster(MATERIALIZED)["assetOrError"]
    made = [event for event in asset.get("assetMaterializations", ()) if event["runId"] not in own]
    return len(runs) - len(own), len(made)


def answered(status: int, text: str) -> bool:
    """Whether the server did what it was asked, or might have: anything but a refusal (4xx) or a connection that is closed."""
    return not (status == 0 or 400 <= status < 500) or '"data"' in text
