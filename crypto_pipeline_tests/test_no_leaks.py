"""No planted secret stands in anything that real runs write, print or answer, failing runs included."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from crypto_pipeline.credentials import ISSUERS
from crypto_pipeline.demo.stack import Stack, running_stack
from crypto_pipeline.sandbox.keys import KeyKind
from crypto_pipeline_tests.support.project import make_project
from crypto_pipeline_tests.support.search import everything_under, forms, hits
from crypto_pipeline_tests.support.web_server import web_server

RUNS = """{ runsOrError(limit: 50) { ... on Runs { results {
  runId status runConfigYaml tags { key value } assetSelection { path } canTerminate
  stats { ... on RunStatsSnapshot { stepsFailed } ... on PythonError { message stack } } } } } }"""
EVENTS = """query($run: ID!) { logsForRun(runId: $run, limit: 1000) { ... on EventConnection { events { __typename
  ... on MessageEvent { message level eventType stepKey }
  ... on ExecutionStepFailureEvent { error { message stack className causes { message stack className }
      errorChain { error { message stack } } } failureMetadata { metadataEntries { label ...Entry } } }
  ... on RunFailureEvent { error { message stack } }
  ... on EngineEvent { error { message stack } metadataEntries { label ...Entry } }
  ... on MaterializationEvent { metadataEntries { label ...Entry } }
  ... on AssetCheckEvaluationEvent { evaluation { checkName success description metadataEntries { label ...Entry } } }
} } } }
fragment Entry on MetadataEntry { description
  ... on TextMetadataEntry { text } ... on MarkdownMetadataEntry { mdStr } ... on PathMetadataEntry { path }
  ... on JsonMetadataEntry { jsonString } ... on UrlMetadataEntry { url }
  ... on TableMetadataEntry { table { records } } }"""
REPOSITORIES = """{ repositoriesOrError { ... on RepositoryConnection { nodes { name
  allTopLevelResourceDetails { name description configuredValues { key value type }
    configFields { name description configTypeKey defaultValueAsJson } }
  jobs { name description runTags { key value }
    runConfigSchema: modes { name resources { name description configField { name defaultValueAsJson } } } }
  schedules { name description cronSchedule }
  assetNodes { assetKey { path } description configField { defaultValueAsJson } metadataEntries { label description } }
} } ... on PythonError { message stack } } }"""
INSTANCE = "{ instance { info id daemonHealth { allDaemonStatuses { daemonType } } } }"


def ask(url: str, query: str, **variables: object) -> bytes:
    """Return the raw answer to one GraphQL query; an error in the query itself fails the test."""
    body = json.dumps({"query": query, "variables": variables}).encode()
    request = urllib.request.Request(url, data=body, headers={"content-type": "application/json"})  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310 - loopback
            raw: bytes = answer.read()
    except urllib.error.HTTPError as error:
        pytest.fail(f"GraphQL refused the query: {error.read().decode()[:500]}")
    assert "errors" not in json.loads(raw), raw[:500]
    return raw


def planted(stack: Stack) -> dict[str, str]:
    """Return every secret value that exists in the stores and servers, by a name that is none."""
    found = {"vault token": stack.environment["VAULT_TOKEN"], "vault root token": stack.vault.token}
    for issuer in ISSUERS:
        stored = stack.vault.secrets.kv.v2.read_secret_version(
            path=f"crypto-pipeline/{issuer}", raise_on_deleted_version=True
        )["data"]["data"]
        found |= {f"{issuer} {part}": value for part, value in stored.items()}
    return found


@pytest.mark.timeout(280)
def test_no_planted_secret_stands_in_anything_that_was_written_or_answered(tmp_path: Path) -> None:
    """Good runs, refused keys, a rejected key, an exchange that fails in the middle, and the UI on top."""
    kinds = {"okx": KeyKind.MAY_TRADE, "coinbase": KeyKind.REVOKED, "huggingface": KeyKind.MAY_TRADE}
    data = tmp_path / "data"
    with running_stack(data, kinds=kinds) as stack:
        project = make_project(tmp_path / "project", stack.environment)
        secrets = planted(stack)

        good = project.run("run", "--exchange", "binance", "--exchange", "okx", "--exchange", "coinbase")
        stack.sandbox.add_fault("bybit", "malformed", path_prefix="/v5/market/kline")
        broken = project.run("run", "--exchange", "bybit", "--debug")
        stack.sandbox.clear_faults()
        stack.vault.secrets.kv.v2.create_or_update_secret(
            path="crypto-pipeline/bybit", secret={"api_key": secrets["bybit api_key"], "api_secret": "wrong" * 8}
        )
        rejected = project.run("run", "--exchange", "bybit", "--debug")
        checked = project.run("keys", "check", "--debug")
        answers: list[tuple[str, bytes]] = []
        with web_server(project) as address:
            url = f"{address}/graphql"
            runs = ask(url, RUNS)
            answers.append(("GraphQL runs", runs))
            answers.extend(
                (f"GraphQL events of {run['runId']}", ask(url, EVENTS, run=run["runId"]))
                for run in json.loads(runs)["data"]["runsOrError"]["results"]
            )
            answers += [("GraphQL repositories", ask(url, REPOSITORIES)), ("GraphQL instance", ask(url, INSTANCE))]
        printed = [
            (f"{name} {stream}", text.encode())
            for name, done in (("good", good), ("broken", broken), ("rejected", rejected), ("checked", checked))
            for stream, text in (("stdout", done.out), ("stderr", done.err))
        ]

    assert (good.code, broken.code, rejected.code, checked.code) == (4, 5, 4, 4)
    assert len(json.loads(runs)["data"]["runsOrError"]["results"]) == 5
    assert list((data / "lake").rglob("*.parquet"))
    assert b"binance" in dict(answers)["GraphQL repositories"]
    assert hits(secrets, iter([*printed, *answers])) == []
    assert hits(secrets, everything_under(tmp_path)) == []


def test_the_search_itself_finds_every_form(tmp_path: Path) -> None:
    """A search that finds nothing anywhere would pass every test."""
    secret = 'kQ3+x/9"=Zt\\7wLm'

    for name, form in forms(secret).items():
        (tmp_path / "file").write_bytes(b"before " + form + b" after")
        assert hits({"planted": secret}, everything_under(tmp_path)), name
