"""`secrets plan` asks nobody, and what it says is what the stores themselves count."""

# No `from __future__ import annotations` here: Dagster reads the annotations at run time.

import io
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import requests
from moto.moto_api import recorder
from rich.console import Console

from crypto_pipeline.cli import main
from crypto_pipeline.commands.secrets_plan import asking_of, compared, remarks, show_plan
from crypto_pipeline.credentials import ISSUERS
from crypto_pipeline.defs.build import build_defs
from crypto_pipeline.defs.readers import collect_readers
from crypto_pipeline.demo.stack import parts_of
from crypto_pipeline.exchanges import CLIENTS
from crypto_pipeline.sandbox.keys import KeyKind
from crypto_pipeline.sandbox.server import Sandbox, running_sandbox
from crypto_pipeline.secrets import CachePolicy, clear_shared_caches
from crypto_pipeline.secrets.plan import Calls, Deployment, Plan, make_plan
from crypto_pipeline.settings import Settings
from crypto_pipeline_tests.secrets.stores import new_prefix
from crypto_pipeline_tests.support.asked import Asked
from crypto_pipeline_tests.support.aws import LOGIN, REGION, Aws
from crypto_pipeline_tests.support.deployment import dagsters_own_warnings, run_job, shared_instance
from crypto_pipeline_tests.support.environment import empty_environment
from crypto_pipeline_tests.support.project import ROOT
from crypto_pipeline_tests.support.sealable import Sealable, running_sealable

JOB = "okx_market_data"


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Nothing leads to a store, and no secret of another test is kept."""
    empty_environment(monkeypatch, tmp_path)
    clear_shared_caches()
    with dagsters_own_warnings():
        yield
    clear_shared_caches()


class Planned:
    """What `secrets plan` printed with these variables, without their prefix."""

    def __init__(
        self,
        monkeypatch: pytest.MonkeyPatch,
        variables: Mapping[str, str] | None = None,
        *,
        as_json: bool = False,
        width: int = 120,
        runs: float | None = None,
        **more: str,
    ) -> None:
        for name, value in {**(variables or {}), **more}.items():
            monkeypatch.setenv(f"CRYPTO_PIPELINE_{name.upper()}", value)
        shown = io.StringIO()
        self.code = show_plan(Console(file=shown, width=width), as_json=as_json, runs_per_day=runs)
        self.text = shown.getvalue()

    def rows(self) -> dict[str, list[str]]:
        """Return the cells of each row of all tables, by the first of them."""
        cells = [
            [cell.strip() for cell in line.strip("│").split("│")] for line in self.text.splitlines() if "│" in line
        ]
        return {row[0]: row[1:] for row in cells}

    @property
    def told(self) -> Any:
        """What a program is told."""
        return json.loads(self.text)


def plan_of(settings: Settings, *, runs_per_day: float | None = None) -> Plan:
    """Return the plan for these settings."""
    policy = CachePolicy(ttl_seconds=settings.cache_seconds, bound_seconds=settings.stale_seconds)
    return make_plan(collect_readers(build_defs(settings)), asking_of(settings), policy, runs_per_day=runs_per_day)


# What is shown...


def test_it_says_who_reads_what_when_and_how_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a login anywhere."""
    planned = Planned(monkeypatch, secrets="vault", keys="okx,bybit")

    rows, plan = planned.rows(), plan_of(Settings.from_environment())
    assert planned.code == 0
    headline = "Vault; a value is fresh for 5 min, and used for up to 15 min while the store is down"
    assert planned.text.startswith(headline)
    assert rows["okx"][:2] == ["crypto-pipeline/okx", "okx/api_key"]
    assert rows["okx_hourly"] == ["5 * * * *", "24", "starts okx_market_data, which reads okx"]
    assert rows["rotation_due"] == ["every 300 s", "288", "looks at bybit, okx, and reads nothing"]
    assert rows["values read"] == [f"{each.reads:,.0f}" for each in (plan.uncached, plan.cached, plan.listed)]
    assert "Without a key in use: binance_hourly, " in planned.text
    assert "crypto-pipeline access render vault --role pipeline --prefix crypto-pipeline --mount secret" in planned.text
    assert "a new instance starts with them off (CRYPTO_PIPELINE_SCHEDULES_RUNNING)" in planned.text


def test_the_money_is_told_for_aws_with_its_source(monkeypatch: pytest.MonkeyPatch) -> None:
    """Copies in other regions are secrets of their own."""
    planned = Planned(
        monkeypatch,
        secrets="aws",
        keys="okx,bybit",
        aws_layout="separate",
        aws_replica_regions="eu-central-1,us-east-1",
        schedules_running="true",
        runs=96,
    )

    rows, plan = planned.rows(), plan_of(Settings.from_environment(), runs_per_day=96)
    assert set(plan.runs_per_day.values()) == {96}
    assert rows["2 secrets in 3 regions"] == ["$2.40"] * 3
    assert rows["values read"] == [f"{each.reads:,.0f}" for each in (plan.uncached, plan.cached, plan.listed)]
    assert rows["okx_hourly"][1] == "96"
    assert "as quoted in apache/airflow #30259 and infracost #366; it may have changed since" in planned.text
    assert "Counted with 96 runs a day for each schedule" in planned.text
    assert "starts with them off" not in planned.text


def test_one_secret_for_all_issuers_is_paid_once(monkeypatch: pytest.MonkeyPatch) -> None:
    planned = Planned(monkeypatch, secrets="aws", keys=",".join(ISSUERS))

    assert planned.rows()["1 secret"] == ["$0.40"] * 3
    assert {planned.rows()[issuer][0] for issuer in ISSUERS} == {"crypto-pipeline/exchange-keys"}


def test_a_narrow_terminal_has_fewer_columns_and_breaks_no_name(monkeypatch: pytest.MonkeyPatch) -> None:
    planned = Planned(monkeypatch, secrets="vault", keys="okx,binance", width=80)

    assert planned.rows()["binance"] == ["crypto-pipeline/binance", "binance/api_key"]
    assert "in the jobs" not in planned.text


@pytest.mark.parametrize(
    ("store", "name"),
    [("files", "/run/secrets:okx_api_key"), ("dotenv", ".env.local:OKX_API_KEY"), ("environment", "OKX_API_KEY")],
)
def test_a_store_of_this_machine_costs_no_call(store: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    planned = Planned(monkeypatch, secrets=store, keys="okx")

    assert planned.rows()["okx"][0] == name
    assert "This store is on this machine" in planned.text
    assert "calls a day" not in planned.text
    assert "access render" not in planned.text


@pytest.mark.parametrize("store", ["vault", "none"])
def test_without_a_key_in_use_there_is_nothing_to_plan(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    planned = Planned(monkeypatch, secrets=store)

    assert planned.code == 0
    assert planned.text.splitlines()[-1].startswith("No key is in use (CRYPTO_PIPELINE_KEYS is empty)")


def test_development_needs_the_role_of_a_developer(monkeypatch: pytest.MonkeyPatch) -> None:
    planned = Planned(monkeypatch, secrets="aws", keys="okx", secret_prefix="crypto-pipeline-dev")

    assert "--role developer --prefix crypto-pipeline" in planned.text


@pytest.mark.parametrize(
    ("variables", "kind"),
    [
        ({"secrets": "vault"}, "tokens looked up"),
        ({"secrets": "vault", "vault_auth": "approle"}, "logins"),
        ({"secrets": "aws", "aws_role_arn": "arn:aws:iam::123456789012:role/x"}, "roles assumed"),
    ],
)
def test_what_is_done_to_be_let_in_is_counted_under_its_name(
    variables: dict[str, str], kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    planned = Planned(monkeypatch, variables, keys="okx,bybit")

    plan = plan_of(Settings.from_environment())
    assert planned.rows()[kind] == [f"{each.logins:,.0f}" for each in (plan.uncached, plan.cached, plan.listed)]


def test_aws_without_a_role_has_nothing_to_be_let_in_by(monkeypatch: pytest.MonkeyPatch) -> None:
    planned = Planned(monkeypatch, secrets="aws", keys="okx,bybit")

    assert not planned.rows().keys() & {"tokens looked up", "logins", "roles assumed"}


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (1_010, 2_356, "2.3 x more"),
        (1_010, 340, "3.0 x fewer"),
        (176_256, 1_440, "122 x fewer"),
        (10, 1_000, "100 x more"),
        (100, 101, "as many"),
        (0, 0, "as many"),
        (0, 5, "as many"),
    ],
)
def test_with_and_without_a_cache_are_compared_honestly(before: float, after: float, said: str) -> None:
    """Also where the cache costs more than it saves."""
    assert compared(Calls(reads=before), Calls(reads=after)) == said


def test_the_numbers_for_programs_are_those_of_the_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    planned = Planned(monkeypatch, secrets="aws", keys="okx", as_json=True)

    told, plan = planned.told, plan_of(Settings.from_environment())
    assert told["calls_per_day"]["cached"]["reads"] == plan.cached.reads
    assert told["calls_per_run"]["okx_market_data"] == {"reads": 1, "descriptions": 0, "logins": 0, "total": 1}
    assert told["usd_per_month"]["cached_may_list"]["secrets_usd"] == 0.40
    assert {timer["name"]: timer["runs_per_day"] for timer in told["timers"]}["rotation_due"] is None
    assert {"okx/api_key", "okx/candles_1m", "okx/instruments"} <= set(told["readers"][0]["steps"])


def test_a_number_that_is_not_whole_is_shown_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    planned = Planned(monkeypatch, secrets="vault", keys="okx", runs=0.25)

    assert planned.rows()["okx_hourly"][1] == "0.25"


def test_where_nothing_is_looked_at_the_right_to_list_is_not_spoken_of() -> None:
    """Without a sensor it saves nothing."""
    settings = Settings.from_environment(secrets="vault", keys=("okx",))
    plan = make_plan(Deployment((), ()), asking_of(settings), CachePolicy())

    assert [remark.split(" ")[0] for remark in remarks(settings, plan, None)] == ["Counted"]


def test_the_command_takes_its_options(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("CRYPTO_PIPELINE_SECRETS", "vault")
    monkeypatch.setenv("CRYPTO_PIPELINE_KEYS", "okx")

    with pytest.raises(SystemExit) as ended:
        main(["secrets", "plan", "--json", "--runs-per-day", "12"])

    assert ended.value.code == 0
    told = json.loads(capsys.readouterr().out)
    assert {timer["runs_per_day"] for timer in told["timers"] if timer["job"]} == {12}


@pytest.mark.parametrize("store", ["vault", "aws"])
def test_nobody_is_asked(store: str, tmp_path: Path) -> None:
    """In a process that may not connect, with no login; there is nothing to record."""
    refuse = (
        "import sys; sys.addaudithook(lambda event, _: (_ for _ in ()).throw(RuntimeError(event)) "
        "if event in ('socket.connect', 'socket.getaddrinfo', 'subprocess.Popen') else None); "
        "from crypto_pipeline.cli import main; main(['secrets', 'plan', '--json'])"
    )
    variables = {"CRYPTO_PIPELINE_SECRETS": store, "CRYPTO_PIPELINE_KEYS": "okx"}
    record = {"CRYPTO_PIPELINE_AUDIT_LOG": str(tmp_path / "audit.jsonl")}

    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", refuse],
        env=os.environ | variables | record,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["store"] == store
    assert not (tmp_path / "audit.jsonl").exists()


def test_the_documents_show_what_it_prints(monkeypatch: pytest.MonkeyPatch) -> None:
    """For four keys in AWS, from the calls on."""
    text = (ROOT / "docs" / "operations.md").read_text()
    shown = text.partition("<!-- secrets plan: begin -->")[2].partition("<!-- secrets plan: end -->")[0]

    planned = Planned(monkeypatch, secrets="aws", aws_layout="separate", keys="binance,coinbase,okx,bybit", width=100)

    assert shown.strip().strip("`").strip() in planned.text
    assert "calls a day" in shown


# What the stores count...


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """Exchanges without limits: it is the keys that are looked at."""
    with running_sandbox(limits=False) as running:
        yield running


@pytest.fixture
def bao(tmp_path: Path, sandbox: Sandbox) -> Iterator[Sealable]:
    """An OpenBao that records what it is asked, with a read-only key for each exchange in it."""
    with running_sealable(tmp_path) as running:
        for issuer, parts in new_keys(sandbox).items():
            running.vault.put(f"crypto-pipeline/{issuer}", parts)
        yield running


def new_keys(sandbox: Sandbox) -> dict[str, dict[str, str]]:
    """Issue a key of each exchange."""
    now = sandbox.now_ms()
    return {issuer: parts_of(sandbox.keys.issue(issuer, KeyKind.READ_ONLY, now_ms=now)) for issuer in CLIENTS}


def settings_for(sandbox: Sandbox, tmp_path: Path, **more: Any) -> Settings:
    """Return the settings of a deployment that reads from the sandbox."""
    urls = {f"{issuer}_url": sandbox.urls[issuer] for issuer in ISSUERS}
    files = {"lake": tmp_path / "lake", "audit_log": tmp_path / "audit.jsonl"}
    return Settings.from_environment(**{**urls, **files, "op_retries": 0, "keys": ("okx", "bybit"), **more})


MAY_READ = 'path "secret/+/crypto-pipeline/*" { capabilities = ["read"] }'
MAY_SCAN = 'path "secret/detailed-metadata/crypto-pipeline" { capabilities = ["scan"] }'


@pytest.mark.parametrize("auth", ["token", "approle"])
@pytest.mark.parametrize("job", [JOB, "key_check"])
def test_a_run_asks_openbao_as_often_as_planned(
    auth: str, job: str, bao: Sealable, sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Values, and logins; as its own audit file tells."""
    log_in(bao, auth, monkeypatch)
    settings = settings_for(sandbox, tmp_path, secrets="vault", vault_address=bao.vault.address, vault_auth=auth)
    planned = plan_of(settings).per_run[job]
    asked = Asked(bao.audit)

    result = run_job(build_defs(settings), job, "2026-10" if job == JOB else None)

    assert result.success
    kinds = Counter(kind_of(path) for path in asked.paths())
    assert kinds == Counter({"data": planned.reads, "login": planned.logins})


@pytest.mark.parametrize("may_list", [True, False])
def test_a_look_asks_openbao_as_often_as_planned(
    may_list: bool, bao: Sealable, sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many ticks within the time for which a description is fresh are one look."""
    monkeypatch.setenv("VAULT_TOKEN", bao.vault.token(f"{MAY_READ}\n{MAY_SCAN if may_list else ''}"))
    settings = settings_for(sandbox, tmp_path, secrets="vault", vault_address=bao.vault.address, keys=tuple(CLIENTS))
    asking, asked = asking_of(settings), Asked(bao.audit)

    tick(settings, 5)

    kinds = Counter(kind_of(path) for path in asked.paths())
    # What is found out once in the life of a process: that it may not list, and when its token ends.
    once = 0 if may_list else kinds["login"] + kinds["detailed-metadata"]
    assert kinds["data"] == 0
    assert kinds.total() - once == (asking.listed_look_calls if may_list else asking.look_calls)


def kind_of(path: str) -> str:
    """Return what a request is about."""
    if path.startswith("auth/"):
        return "login"
    return path.split("/")[1]


def log_in(bao: Sealable, auth: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a login into the environment."""
    if auth == "token":
        monkeypatch.setenv("VAULT_TOKEN", bao.vault.token(MAY_READ))
        return
    role_id, secret_id = bao.vault.app_role(MAY_READ)
    monkeypatch.setenv("VAULT_ROLE_ID", role_id)
    monkeypatch.setenv("VAULT_SECRET_ID", secret_id)


def tick(settings: Settings, times: int) -> None:
    """Evaluate all sensors, each tick with resources of its own, as the code server does."""
    defs = build_defs(settings)
    for _ in range(times):
        for sensor in defs.get_repository_def().sensor_defs:
            resources = {name: (defs.resources or {})[name] for name in sensor.required_resource_keys}
            with dg.build_sensor_context(shared_instance(), resources=resources) as context:
                sensor(context)


@pytest.mark.parametrize("layout", ["combined", "separate"])
def test_a_run_and_a_look_ask_aws_as_often_as_planned(
    layout: str, aws: Aws, sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prefix = new_prefix()
    keys = new_keys(sandbox)
    stored = keys if layout == "separate" else {"exchange-keys": together(keys)}
    for name, fields in stored.items():
        aws.put(f"{prefix}/{name}", json.dumps(fields))
    place = {"aws_endpoint_url": aws.address, "aws_region": REGION, "aws_layout": layout, "secret_prefix": prefix}
    settings = settings_for(sandbox, tmp_path, secrets="aws", **place)
    asking, plan = asking_of(settings), plan_of(settings)
    actions = ("DescribeSecret", "ListSecretVersionIds", "GetSecretValue")
    login = aws.user(f"user-{prefix}", allowed=tuple(f"secretsmanager:{each}" for each in actions))

    with recorded(aws, tmp_path / "listed") as listed:
        log_in_to_aws(LOGIN, monkeypatch)
        tick(settings, 3)
    with recorded(aws, tmp_path / "described") as described, aws.enforcing():
        log_in_to_aws(login, monkeypatch)
        tick(settings, 3)
    with recorded(aws, tmp_path / "run") as read:
        log_in_to_aws(LOGIN, monkeypatch)
        result = run_job(build_defs(settings), "key_check")

    assert result.success
    assert read() == {"GetSecretValue": plan.per_run["key_check"].reads}
    versions = len(stored)  # since when each is there is asked for once in the life of a process
    assert listed().total() - versions == asking.listed_look_calls
    assert described().total() == asking.look_calls


def log_in_to_aws(login: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a login into the environment, and begin as a new process does."""
    for name, value in login.items():
        monkeypatch.setenv(name, value)
    clear_shared_caches()


@contextmanager
def recorded(aws: Aws, file: Path) -> Iterator[Callable[[], Counter[str]]]:
    """Let the server write down what it is asked; yield a function that counts operations."""
    recorder._location = str(file)
    requests.post(f"{aws.address}/moto-api/recorder/start-recording", timeout=10)

    def count() -> Counter[str]:
        lines = [json.loads(line) for line in file.read_text().splitlines()]
        targets = [line["headers"].get("X-Amz-Target", "") for line in lines]
        return Counter(target.rpartition(".")[2] for target in targets if target)

    try:
        yield count
    finally:
        requests.post(f"{aws.address}/moto-api/recorder/stop-recording", timeout=10)


def together(keys: dict[str, dict[str, str]]) -> dict[str, str]:
    """Return all keys as one secret."""
    return {f"{issuer}_{part}": value for issuer, parts in keys.items() for part, value in parts.items()}
