"""Waiting for sockets, in the form in which libcurl thinks of them.

A request's multi watches two or three descriptors for a millisecond, again and again: `select.poll` costs it a third of
what `selectors` does. A cluster's loop watches its sockets for hours: epoll or kqueue.
"""

from __future__ import annotations

import math
import select
import selectors
from typing import Final, Protocol

import pycurl as P  # noqa: N812 - see multi.py

_READ: Final = {P.POLL_IN, P.POLL_INOUT}
_WRITE: Final = {P.POLL_OUT, P.POLL_INOUT}


class Poller(Protocol):
    """Watches descriptors; of one thread."""

    def watch(self, fd: int, what: int) -> None:
        """Watch a descriptor, or watch it for something else; `what` is one of libcurl's ``POLL_*``."""
        ...

    def forget(self, fd: int) -> None:
        """Watch it no longer; nothing happens if it was not watched."""
        ...

    def wait(self, seconds: float) -> list[tuple[int, int]]:
        """Wait until a descriptor is ready, `seconds` at most; gives each with libcurl's ``CSELECT_*``."""
        ...

    def close(self) -> None:
        """Watch nothing any more."""
        ...


class EventPoller:
    """The best that the platform has for long watching: epoll, kqueue."""

    def __init__(self) -> None:
        """Watch nothing yet."""
        self._selector: selectors.BaseSelector = selectors.DefaultSelector()

    def watch(self, fd: int, what: int) -> None:
        """Register it, or change what it is registered for."""
        events = selectors.EVENT_READ * (what in _READ) | selectors.EVENT_WRITE * (what in _WRITE)
        if fd in self._selector.get_map():
            self._selector.modify(fd, events)
        else:
            self._selector.register(fd, events)

    def forget(self, fd: int) -> None:
        """Unregister it. libcurl also names descriptors that were never watched: it has an eventfd of its own."""
        if fd in self._selector.get_map():
            self._selector.unregister(fd)

    def wait(self, seconds: float) -> list[tuple[int, int]]:
        """Select."""
        return [
            (
                key.fd,
                P.CSELECT_IN * bool(events & selectors.EVENT_READ)
                | P.CSELECT_OUT * bool(events & selectors.EVENT_WRITE),
            )
            for key, events in self._selector.select(seconds)
        ]

    def close(self) -> None:
        """Close the selector's own descriptor."""
        self._selector.close()


class BarePoller:
    """`select.poll` as it is: no descriptor of its own."""

    def __init__(self) -> None:
        """Watch nothing yet."""
        self._poll = select.poll()
        self._watched: set[int] = set()

    def watch(self, fd: int, what: int) -> None:
        """Register it, or change what it is registered for."""
        self._watched.add(fd)
        self._poll.register(fd, select.POLLIN * (what in _READ) | select.POLLOUT * (what in _WRITE))

    def forget(self, fd: int) -> None:
        """Unregister it."""
        if fd in self._watched:
            self._watched.discard(fd)
            self._poll.unregister(fd)

    def wait(self, seconds: float) -> list[tuple[int, int]]:
        """Poll; an error or hang-up counts as readable, and libcurl finds it when it reads."""
        return [
            (fd, P.CSELECT_IN * bool(events & ~select.POLLOUT) | P.CSELECT_OUT * bool(events & select.POLLOUT))
            for fd, events in self._poll.poll(math.ceil(seconds * 1000))
        ]

    def close(self) -> None:
        """Hold nothing."""
        self._watched.clear()


def light_poller() -> Poller:
    """Make the poller that costs least for a few descriptors."""
    return BarePoller() if hasattr(select, "poll") else EventPoller()
