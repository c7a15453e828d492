"""Exit codes, and the one line that goes with each.

====  =============================================================================================
code  meaning
====  =============================================================================================
0     stopped in order; also by a signal that came before ``run`` had begun
1     failed while running: a thread died, the lease was lost, the drain time ran out, a second signal came, a bug
2     never ran: an unknown option, a bad value, a kubeconfig, a plugin, an occupied port
====  =============================================================================================
"""

from __future__ import annotations

import traceback
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import click

from kcontroller.errors import ConfigError, KControllerError, PluginError
from kcontroller.process.logs import one_line, redact

if TYPE_CHECKING:
    from collections.abc import Iterator

FAILED: Final = 1
UNUSABLE: Final = 2

EPILOG: Final = """\b
Exit codes:
  0  stopped in order
  1  failed while running: a thread died, the lease was lost, the drain time ran out, a second signal
  2  never ran: an unknown option, a bad value, a kubeconfig, a plugin, an occupied port
"""


class Failure(click.ClickException):
    """An error as the command line tells it: one line, without secrets."""

    exit_code = FAILED

    def __init__(self, message: str) -> None:
        """Clean the message."""
        super().__init__(one_line(redact(message)))


class Unusable(Failure):
    """What was asked for cannot be run."""

    exit_code = UNUSABLE


def failure_of(error: Exception) -> Failure:
    """Turn an exception into its line and exit code; what is not ours is called a bug."""
    if isinstance(error, ConfigError | PluginError):
        return Unusable(str(error))
    if isinstance(error, KControllerError):
        return Failure(str(error) or type(error).__name__)
    text = f"bug: {type(error).__name__}: {error} (run with -v for the traceback, and please report it)"
    return Failure(text)


def trace_of(error: Exception) -> str:
    """Write the traceback with all causes, without secrets, for ``--verbose``."""
    return redact("".join(traceback.format_exception(error)))


@contextmanager
def told_in_one_line(*, verbose: bool) -> Iterator[None]:
    """Turn whatever a command raises into its line and exit code, with the traceback before it if asked for."""
    try:
        yield
    except (click.ClickException, BrokenPipeError):  # click ends quietly when nobody reads any more.
        raise
    except OSError as error:
        raise Failure(error.strerror or str(error)) from error
    except Exception as error:
        if verbose:
            click.echo(trace_of(error), err=True, nl=False)
        raise failure_of(error) from error
