"""The unix socket by which people on the same machine, or in the same container, ask a daemon and tell it to pause.

Commands that act need to know who gives them. A port on localhost is open to every user, side-car and browser page of
the machine; of a unix socket the kernel says whose process is at the other end (``SO_PEERCRED``), and the folder, mode
0700, keeps others away from it. In a cluster the right to ``pods/exec`` is the right to use it.
"""

from __future__ import annotations

import contextlib
import os
import socket
import stat
import struct
from pathlib import Path
from typing import Final

from kcontroller.errors import ConfigError

OFF: Final = "0"
"""The path that switches the socket off."""

AUTOMATIC: Final = "auto"
"""The path that stands for ``PID.sock`` in `folder`."""

_LONGEST: Final = 107  # Bytes in sun_path on Linux, without the zero; 103 on BSD and macOS.
_CREDENTIALS: Final = struct.Struct("3i")  # struct ucred: pid, uid, gid.
_SUFFIX: Final = ".sock"
_BACKLOG: Final = 8


def folder() -> Path:
    """Where the sockets of this user's daemons are: in ``$XDG_RUNTIME_DIR``, else in ``/tmp``."""
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    if runtime and Path(runtime).is_dir() and os.access(runtime, os.W_OK):
        return Path(runtime, "kcontroller")
    return Path(f"/tmp/kcontroller-{os.geteuid()}")  # noqa: S108 - its owner and mode are checked


def sockets() -> tuple[Path, ...]:
    """The sockets in `folder`, also those of processes that were killed; () if the folder is not this user's."""
    where = folder()
    try:
        _check(where)
        return tuple(sorted(where.glob(f"*{_SUFFIX}")))
    except (OSError, ConfigError):
        return ()


def listen(path: str, *, option: str) -> tuple[socket.socket, Path]:
    """Open a listening socket that only this user and root can reach.

    Args:
        path: of the socket; `AUTOMATIC` for one in `folder`, which is made, and freed of sockets of dead processes.
        option: what an error names.

    Raises:
        ConfigError: it cannot be had; the text names the path, `option` and the remedy.
    """
    where = _own_place(option) if path == AUTOMATIC else Path(path)
    if len(os.fsencode(where)) > _LONGEST:
        msg = f"{option}: {where} is longer than the {_LONGEST} bytes that the name of a unix socket may have"
        raise ConfigError(msg)
    if is_served(where):
        msg = f"{option}: another process listens on {where}; stop it or name another path"
        raise ConfigError(msg)
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if where.is_socket():
            where.unlink()
        os.fchmod(made.fileno(), stat.S_IRUSR | stat.S_IWUSR)  # Before it has a name: nobody comes in between.
        made.bind(str(where))
        made.listen(_BACKLOG)
    except OSError as error:
        made.close()
        msg = f"{option}: cannot listen on {where}: {error.strerror}; name another path, or {OFF} for no control socket"
        raise ConfigError(msg) from error
    return made, where


def admits(connection: socket.socket) -> bool:
    """Whether the process at the other end is of this user or root, by the kernel's word where it gives one."""
    if not hasattr(socket, "SO_PEERCRED"):  # Not Linux: the folder alone guards.
        return True
    try:
        answer = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    except OSError:
        return False
    _pid, uid, _gid = _CREDENTIALS.unpack(answer)
    return uid in {0, os.geteuid()}


def is_served(path: Path) -> bool:
    """Whether a process listens on a socket."""
    with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(path))
        except TimeoutError:
            return True
        except OSError:
            return False
    return True


def _own_place(option: str) -> Path:
    where = folder()
    try:
        where.mkdir(mode=0o700, exist_ok=True)
        _check(where)
    except OSError as error:
        msg = f"{option}: cannot make the folder {where}: {error.strerror}; name a path, or {OFF} for no control socket"
        raise ConfigError(msg) from error
    for left in where.glob(f"*{_SUFFIX}"):
        if _is_dead(left) and not is_served(left):
            left.unlink(missing_ok=True)
    return where / f"{os.getpid()}{_SUFFIX}"


def _is_dead(path: Path) -> bool:
    """Whether the process that a socket is named after is gone, or is this one: containers are process 1 each time."""
    with contextlib.suppress(ValueError, PermissionError):
        number = int(path.stem)
        try:
            os.kill(number, 0)
        except ProcessLookupError:
            return True
        return number == os.getpid()
    return False


def _check(where: Path) -> None:
    found = where.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
        msg = f"{where} is not a folder that only this user can open (mode 0700); remove it, or name another path"
        raise ConfigError(msg)
