"""``python -m kcontroller``: the same as the ``kcontroller`` command."""

from __future__ import annotations

from kcontroller.cli.main import main

if __name__ == "__main__":
    main()
