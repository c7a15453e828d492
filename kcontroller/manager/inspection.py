"""How people look into a running process: the control socket, and ``/debug`` on a port of this machine."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Final

from kcontroller.process.logs import redact

if TYPE_CHECKING:
    from kcontroller.manager.parts import Parts

_OFF: Final = "0"


def serve(parts: Parts) -> None:
    """Serve what the options want, with the other servers of the process.

    Args:
        parts: what is looked into.

    Raises:
        ConfigError: ``/debug`` would be reached from elsewhere.
    """
    options = parts.options
    if options.control_socket == options.debug_bind_address == _OFF:
        return
    # Who wants neither need not load any of it.
    from kcontroller.controller.explaining import Explainer  # noqa: PLC0415
    from kcontroller.manager.clusters_page import page  # noqa: PLC0415
    from kcontroller.serving import debug  # noqa: PLC0415
    from kcontroller.serving.control import About, Control, ControlServer  # noqa: PLC0415
    from kcontroller.serving.http import HttpServer  # noqa: PLC0415

    leadership = parts.leadership
    explainer = Explainer(
        parts.controllers,
        parts.clusters,
        pauses=parts.pauses,
        clock=parts.clock,
        leads=lambda: leadership.leads,
        holder=lambda: leadership.holder,
        fleet=parts.provider is not None,
    )
    pages = debug.DebugPages(parts.controllers, explainer)

    def about() -> About:
        names = tuple(each.name for each in parts.controllers)
        # Tokens do not belong there, but somebody may have put one.
        command = redact(" ".join(sys.argv))
        return About(os.getpid(), command, names, leadership.leads, leadership.holder)

    if options.control_socket != _OFF:
        app = Control(
            explainer=explainer,
            commands=parts.commands,
            about=about,
            clusters=lambda: page(parts),
            debug=pages.answer,
        )
        parts.servers.also(ControlServer(options.control_socket, app))
    if options.debug_bind_address != _OFF:
        debug.check_local(options.debug_bind_address)
        server = HttpServer(
            address=options.debug_bind_address,
            app=debug.application(pages),
            name="debug",
            option=debug.OPTION,
            workers=1,
        )
        parts.servers.also(server)
