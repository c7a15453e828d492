"""The command behind ``bin/envtest``: build the real servers, and run a command beside them."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import click

from kcontroller.errors import ControlPlaneError
from kcontroller.testing import binaries
from kcontroller.testing.control_plane import ControlPlane

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

_CANNOT_RUN: Final = 126
_NOT_FOUND: Final = 127
_SIGNALLED: Final = 128


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """A real kube-apiserver and etcd, for tests and trials."""


@main.command()
def build() -> None:
    """Build kube-apiserver and etcd from the Go module proxy, once; needs go."""
    try:
        built = binaries.build(report=lambda line: click.echo(line, err=True))
    except ControlPlaneError as error:
        raise click.ClickException(str(error)) from None
    click.echo(f"{built.kube_apiserver}\n{built.etcd}")


@main.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.option("--count", default=1, show_default=True, type=click.IntRange(min=1), help="Number of API servers.")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def run(count: int, command: tuple[str, ...]) -> None:
    """Run COMMAND with KUBECONFIG set to fresh API servers; exits as it does (128+n if signal n ended it).

    The servers are there until COMMAND has ended. Ctrl-C is for COMMAND alone.
    """
    if shutil.which(command[0]) is None:
        click.echo(f"Error: {command[0]}: command not found", err=True)
        sys.exit(_NOT_FOUND)
    try:
        with ControlPlane(count) as plane:
            addresses = ", ".join(f"{server.context} at {server.url}" for server in plane.servers)
            click.echo(f"envtest: started {addresses}; KUBECONFIG={plane.kubeconfig}", err=True)
            code = _run(command, {**os.environ, "KUBECONFIG": str(plane.kubeconfig)})
    except ControlPlaneError as error:
        raise click.ClickException(str(error)) from None
    sys.exit(code)


def _run(command: tuple[str, ...], environment: dict[str, str]) -> int:
    with _signals_passed_on() as adopt:
        try:
            process = subprocess.Popen(command, env=environment)  # noqa: S603 - what the user asked for
        except OSError as error:
            click.echo(f"Error: {command[0]}: {error.strerror}", err=True)
            return _CANNOT_RUN
        adopt(process)
        code = process.wait()
    return code if code >= 0 else _SIGNALLED - code


@contextmanager
def _signals_passed_on() -> Iterator[Callable[[subprocess.Popen[bytes]], None]]:
    """Pass signals on to the process that the caller names, and outlive it."""
    processes: list[subprocess.Popen[bytes]] = []

    def pass_on(number: int, _frame: FrameType | None) -> None:
        if not processes:
            sys.exit(_SIGNALLED + number)
        # The terminal gives Ctrl-C to the whole foreground group; passed on, the command would get it twice.
        if number != signal.SIGINT or not _in_foreground():
            processes[0].send_signal(number)

    # Handlers, not SIG_IGN: the command would inherit that.
    before = {number: signal.signal(number, pass_on) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield processes.append
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _in_foreground() -> bool:
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY)
    except OSError:
        return False  # There is no terminal.
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    finally:
        os.close(terminal)


if __name__ == "__main__":
    main(prog_name="bin/envtest")
