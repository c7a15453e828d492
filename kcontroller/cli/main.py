"""Entry point of the ``kcontroller`` command.

Exit codes: see `kcontroller.cli.failures`. A command's module is imported when it is asked for, and it imports the
framework when it runs, so that ``kcontroller version`` and ``--help`` answer at once.
"""

from __future__ import annotations

import os
import sys

from kcontroller.process.early import end_at_once_with

_OFF = frozenset(("", "0", "f", "false", "n", "no", "off"))
"""How a flag is switched off in the environment, as click reads it."""


def main() -> None:
    """Run the command line and end the process with its exit code.

    ``run`` is a daemon: whoever stops it before it has begun has stopped it in order, but a round (``--once``) that was
    stopped then is not done. Once its exit code is known, a further signal changes nothing but the time.
    """
    daemon = sys.argv[1:2] == ["run"]
    if daemon:
        end_at_once_with(1 if "--once" in sys.argv or _once_by_environment() else 0)
    from kcontroller.cli.commands import cli  # noqa: PLC0415 - after the signals are ours

    try:
        cli.main(prog_name="kcontroller")
    except SystemExit as end:
        if daemon and isinstance(end.code, int):
            end_at_once_with(end.code)
        raise


def _once_by_environment() -> bool:
    return os.environ.get("KCONTROLLER_ONCE", "").strip().lower() not in _OFF
