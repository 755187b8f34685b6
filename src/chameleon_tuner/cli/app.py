"""The command `chameleon`: its subcommands, its error messages and its exit codes."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import click

from chameleon_tuner.cli import failures
from chameleon_tuner.cli.commands.compare import compare
from chameleon_tuner.cli.commands.export import export
from chameleon_tuner.cli.commands.profile import profile
from chameleon_tuner.cli.commands.program import program
from chameleon_tuner.cli.commands.records import records
from chameleon_tuner.cli.commands.report import report
from chameleon_tuner.cli.commands.run import run
from chameleon_tuner.cli.commands.tasks import tasks
from chameleon_tuner.cli.commands.tune import tune
from chameleon_tuner.cli.commands.versus import versus
from chameleon_tuner.cli.commands.zoo import zoo
from chameleon_tuner.system.machine import require_linux

DEBUG = "CHAMELEON_DEBUG"
"""The environment variable that shows the traceback of every error if it is 1."""


# `\b` stops click from joining the lines of the paragraph.
_HELP = """Tune deep networks for the machine they run on.

\b
chameleon zoo resnet18 --out resnet18.onnx    a network to try it on
chameleon tune resnet18.onnx --out tuned/     tune it: the main job
chameleon run tuned/ --bench                  its latency
chameleon versus resnet18.onnx tuned/         beside onnxruntime and others
chameleon profile tuned/                      where its time goes
chameleon report tuned/                       its page again, report.html
chameleon export tuned/ --out deploy/ --cpp   for programs without Python
chameleon compare --suite resnet18 ...        tuners side by side
chameleon records list                        what was measured so far
chameleon program tune spec.toml --out best/  any program with parameters

Exit codes: 0 done, 2 bad input, 3 nothing could be measured, 4 not verified, 130 interrupted.
"""


@click.group(
    help=_HELP,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "show_default": True},
)
@click.version_option(package_name="chameleon-tuner", prog_name="chameleon")
@click.pass_context
def chameleon(context: click.Context) -> None:
    """Tune deep networks for the machine they run on."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


for _command in (
    *(tune, tasks, run, profile, versus, report, export, compare, records, program, zoo),
):
    chameleon.add_command(_command)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line, that of `sys.argv` by default, and return the exit code."""
    try:
        require_linux()
        code = chameleon.main(
            args=None if arguments is None else list(arguments),
            prog_name="chameleon",
            standalone_mode=False,
        )
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except BrokenPipeError:
        _forget_stdout()
        return failures.BROKEN_PIPE
    except (Exception, KeyboardInterrupt) as error:
        failure = failures.of(error)
        if failure is None or os.environ.get(DEBUG) == "1":
            raise
        click.echo(failure.line, err=True)
        return failure.code


def _forget_stdout() -> None:
    """Redirect standard output to nowhere, so that its buffer does not fail again at the exit.

    To be called when the reader of standard output has closed it.
    """
    with open(os.devnull, "w") as nowhere:  # noqa: PTH123 - no path
        os.dup2(nowhere.fileno(), sys.stdout.fileno())
