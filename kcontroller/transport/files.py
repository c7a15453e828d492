"""Files that may be replaced while we run: certificates and tokens."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from kcontroller.errors import ConfigError
from kcontroller.process.clock import SYSTEM_CLOCK
from kcontroller.process.logs import Log
from kcontroller.transport.refresh import Fresh, Refreshing

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from kcontroller.process.clock import Clock

_log: Final = Log("kcontroller.transport.files")

_SIZE_LIMIT: Final = 16 * 1024 * 1024  # Far above any bundle; a device file or a wrong path must not fill the memory.
PEM_PERIOD: Final = 5.0
_CERTIFICATE: Final = re.compile(rb"-----BEGIN (TRUSTED |X509 )?CERTIFICATE-----")
_PRIVATE_KEY: Final = re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----")


def read_file(path: Path, *, what: str) -> bytes:
    """Read a file of at most 16 MiB; raises ConfigError naming `what` and the path if it cannot be read or is empty."""
    try:
        with path.open("rb") as file:
            data = file.read(_SIZE_LIMIT + 1)
    except OSError as error:
        msg = f"{what}: cannot read {path}: {error.strerror or type(error).__name__}; correct the path or its rights"
        raise ConfigError(msg) from None
    except ValueError:
        msg = f"{what}: the path of the file contains a null character; correct it"
        raise ConfigError(msg) from None
    if not data.strip():
        msg = f"{what}: {path} is empty; write it again"
        raise ConfigError(msg)
    if len(data) > _SIZE_LIMIT:
        msg = f"{what}: {path} is larger than {_SIZE_LIMIT // 2**20} MiB; is it the right file?"
        raise ConfigError(msg)
    return data


def check_certificate(data: bytes, *, what: str) -> bytes:
    """Give the data back if it holds a PEM certificate; raises ConfigError otherwise."""
    if not _CERTIFICATE.search(data):
        msg = f"{what} is not a PEM certificate; it must hold a line -----BEGIN CERTIFICATE-----"
        raise ConfigError(msg)
    return data


def check_key(data: bytes, *, what: str) -> bytes:
    """Give the data back if it holds an unencrypted PEM private key; raises ConfigError otherwise."""
    if not _PRIVATE_KEY.search(data):
        msg = f"{what} is not a PEM private key; it must hold a line -----BEGIN ... PRIVATE KEY-----"
        raise ConfigError(msg)
    if b"-----BEGIN ENCRYPTED" in data or b"Proc-Type: 4,ENCRYPTED" in data:
        msg = f"{what} is encrypted, and nobody is there to type the passphrase; store it without one"
        raise ConfigError(msg)
    return data


class WatchedFile:
    """A file's content, read again at most every `period` seconds, and only when somebody asks.

    The object returned stays the same one as long as the content does. Once it was read, a file that cannot be read, or
    does not pass the check, is logged and the last good content kept: a rotation may be half done. Reading every
    few seconds is cheaper to reason about than mtimes, which miss symlink swaps and changes within one tick. A thread
    inside `waking` reads nothing itself: a disk may hang. It then goes on with what it had.

    Args:
        path: the file, opened by name each time.
        what: how messages name it: ``user "admin" in /home/me/.kube/config: client-key``.
        check: called as ``check(data, what=...)``; raises ConfigError for content that is of no use.
        period: seconds between two readings.
        clock: the time that makes contents old.
    """

    def __init__(
        self,
        path: Path,
        *,
        what: str,
        check: Callable[..., bytes] | None = None,
        period: float = PEM_PERIOD,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self.path = path
        self._what = what
        self._check = check
        self._period = period
        self._last: bytes | None = None
        self._content = Refreshing(self.load, hold=0, clock=clock)

    def read(self) -> bytes:
        """Give the content; raises ConfigError if it could never be read. Safe to call from any thread."""
        return self._content.get()

    def invalidate(self) -> None:
        """Read again at the next call."""
        self._content.invalidate()

    def load(self) -> Fresh[bytes]:
        """Read the file now, on this thread; for one thread at a time, which keeps the content itself."""
        try:
            data = read_file(self.path, what=self._what)
            if self._check is not None:
                self._check(data, what=f"{self._what}: {self.path}")
        except ConfigError as error:
            if self._last is None:
                raise
            _log.warning("%s; keeping its last content", error)
            return Fresh(self._last, self._period)
        if data != self._last:
            self._last = data
        return Fresh(self._last, self._period)

    def __eq__(self, other: object) -> bool:
        """Equal by path: a rotated file is no other configuration."""
        return isinstance(other, WatchedFile) and self.path == other.path

    def __hash__(self) -> int:
        return hash(self.path)

    def __repr__(self) -> str:
        return f"WatchedFile({str(self.path)!r})"
