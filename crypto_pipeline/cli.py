"""
The command line: `crypto-pipeline`.

One of the two places where the base error is caught. What goes wrong is one sentence on the
standard error and an exit code (see `crypto_pipeline.errors`); --debug shows the traceback instead,
scrubbed like everything that is shown.
Commands import what they need when they run, so that `--help` is quick.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import click

from crypto_pipeline import __version__
from crypto_pipeline.cli_secrets import secrets
from crypto_pipeline.errors import CryptoPipelineError
from crypto_pipeline.redaction import scrub

SANDBOX_DATA = Path("var/sandbox")


def main(arguments: Sequence[str] | None = None, *, commands: click.Group | None = None) -> None:
    """
    Run the command line and exit with its code.

    Args:
        arguments: the words after the program's name; this process's own if left out.
        commands: other commands than `cli`, under the same roof.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in words
    try:
        code = (commands or cli).main(
            args=[word for word in words if word != "--debug"], standalone_mode=False, obj=debug
        )
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except click.exceptions.Abort:
        click.echo("Stopped.", err=True)
        code = 130
    except CryptoPipelineError as error:
        click.echo(scrub(traceback.format_exc() if debug else str(error)), err=True)
        code = error.exit_code
    except Exception as error:
        said = f"{type(error).__name__}: this is a fault of crypto-pipeline, not of yours. Run again with --debug."
        click.echo(scrub(traceback.format_exc()) if debug else said, err=True)
        code = 70  # EX_SOFTWARE
    sys.exit(code if isinstance(code, int) else 0)


@click.group(context_settings={"help_option_names": ["-h", "--help"]}, epilog="--debug shows tracebacks.")
@click.version_option(__version__)
def cli() -> None:
    """Read-only crypto market data with security at its core."""


@cli.command()
@click.option("--symbols", default="BTC-USDT", show_default=True, help="Canonical symbols, separated by commas.")
@click.option("--months", default=1, show_default=True, type=click.IntRange(1, 120), help="How many full months.")
@click.option("--live", is_flag=True, help="The real exchanges' public endpoints, without any key.")
@click.pass_obj
def demo(debug: bool, symbols: str, months: int, live: bool) -> None:
    """Run the main job for the last full months on four exchanges, through Dagster."""
    from crypto_pipeline.demo.report import open_console  # noqa: PLC0415
    from crypto_pipeline.demo.show import show_demo, show_live  # noqa: PLC0415

    show = show_live if live else show_demo
    sys.exit(show(open_console(), symbols=symbols, months=months, data=SANDBOX_DATA.absolute(), debug=debug))


@cli.command()
@click.option("--exchange", "exchanges", multiple=True, help="Only this exchange; may be repeated.")
@click.option("--month", help="The month, such as 2026-10; the last full month if left out.")
@click.option("--through", help="The last month of a range that starts with --month.")
@click.pass_obj
def run(debug: bool, exchanges: Sequence[str], month: str | None, through: str | None) -> None:
    """Run the main job once, with the settings of the environment."""
    from crypto_pipeline.demo.report import open_console  # noqa: PLC0415
    from crypto_pipeline.demo.show import show_run  # noqa: PLC0415

    sys.exit(show_run(open_console(), exchanges=exchanges, first=month, last=through, debug=debug))


@cli.command()
@click.option("--port", default=3000, show_default=True, help="Where the UI listens, on 127.0.0.1.")
def dev(port: int) -> None:
    """Start the sandbox, an OpenBao with its keys, and Dagster's UI; stop with Ctrl-C."""
    from crypto_pipeline.demo.runs import dagster_home  # noqa: PLC0415
    from crypto_pipeline.demo.stack import running_stack  # noqa: PLC0415

    home = dagster_home()
    with running_stack(SANDBOX_DATA.absolute()) as stack:
        click.echo(f"The UI will be at http://127.0.0.1:{port} in a few seconds. Stop with Ctrl-C.")
        sys.exit(_dagster_dev(home, port, stack.environment))


def _dagster_dev(home: Path, port: int, environment: Mapping[str, str]) -> int:
    """Run `dagster dev` until it ends or we are told to stop."""
    server = subprocess.Popen(  # noqa: S603 - this interpreter, fixed arguments
        [sys.executable, "-m", "dagster", "dev", "-h", "127.0.0.1", "-p", str(port)],
        cwd=home,
        env={**os.environ, **environment, "DAGSTER_HOME": str(home)},
        start_new_session=True,
        # Dagster copies an ignored SIGINT to SIGTERM and could then not be stopped.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler) and None,  # noqa: PLW1509
    )
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return server.wait()
    except KeyboardInterrupt:
        server.send_signal(signal.SIGINT)
        try:
            server.wait(timeout=90)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, signal.SIGKILL)
        return 0


@cli.command()
@click.option("--port", default=0, help="First of eight ports in a row; 0 takes free ones.")
def sandbox(port: int) -> None:
    """Serve the four simulated exchanges on loopback until Ctrl-C."""
    from crypto_pipeline.demo.report import open_console  # noqa: PLC0415
    from crypto_pipeline.demo.show import show_sandbox  # noqa: PLC0415

    show_sandbox(open_console(), port=port)


@cli.group()
def keys() -> None:
    """The keys this deployment uses."""


@keys.command()
def check() -> None:
    """Ask every issuer what the configured key may do; nothing else is asked with it."""
    from crypto_pipeline.commands.keys import show_keys  # noqa: PLC0415
    from crypto_pipeline.demo.report import open_console  # noqa: PLC0415

    sys.exit(asyncio.run(show_keys(open_console(), now=datetime.now(UTC))))


cli.add_command(secrets)


@cli.group()
def access() -> None:
    """Who may do what with the stored secrets."""


@access.group("render")
def access_render() -> None:
    """Print a store's policies for the roles of the security handbook; nothing is asked or changed."""


_role = click.option("--role", help="Only this role's policy, ready to be loaded; all of them if left out.")
_prefix = click.option("--prefix", default="crypto-pipeline", show_default=True, help="The folder of production.")


@access_render.command("vault")
@_role
@click.option("--mount", default="secret", show_default=True, help="The mount of the KV version 2 engine.")
@_prefix
def access_render_vault(role: str | None, mount: str, prefix: str) -> None:
    """For HashiCorp Vault and OpenBao, as HCL."""
    from crypto_pipeline.secrets.policies import render_vault  # noqa: PLC0415

    click.echo(render_vault(role, mount=mount, prefix=prefix), nl=False)


@access_render.command("aws")
@_role
@_prefix
@click.option("--region", default="*", show_default=True, help="The region of the secrets.")
@click.option("--account", default="*", show_default=True, help="The number of the account that holds them.")
def access_render_aws(role: str | None, prefix: str, region: str, account: str) -> None:
    """For AWS IAM, as JSON; without --role an object with a policy for each."""
    from crypto_pipeline.secrets.policies import render_aws  # noqa: PLC0415

    click.echo(render_aws(role, prefix=prefix, region=region, account=account), nl=False)
