"""What libcurl reports when there is no answer, as kcontroller's exceptions.

`FAULTS` is the table; the texts name the server, the source of the configuration and the remedy, and never repeat
libcurl's own words, which are for people who know libcurl.
"""

from __future__ import annotations

import enum
import errno
import os
import re
from dataclasses import dataclass
from typing import Final

from kcontroller.errors import ConnectFailed, OutcomeUnknown, RequestTimeout, TLSFailed, TransportError


class Fault(enum.Enum):
    """What a libcurl code says about the request."""

    CONNECT = "no connection, nothing was sent"
    TLS = "no trust, nothing was sent"
    TIMEOUT = "out of time"
    LOST = "the connection ended before the answer did"
    RECEIVER = "our own callback refused"


_NO_DESCRIPTOR: Final = frozenset({errno.EMFILE, errno.ENFILE})

TIMED_OUT: Final = 28
HTTP2_LOST: Final = 16
NOT_HTTP: Final = 8
CUT_SHORT: Final = 18
BAD_ENCODING: Final = 61
FAULTS: Final[dict[int, Fault]] = {
    5: Fault.CONNECT,  # the proxy's name
    6: Fault.CONNECT,  # the server's name
    7: Fault.CONNECT,
    8: Fault.LOST,  # an answer that is not HTTP
    16: Fault.LOST,
    18: Fault.LOST,
    23: Fault.RECEIVER,
    28: Fault.TIMEOUT,
    35: Fault.TLS,
    52: Fault.LOST,
    53: Fault.TLS,
    54: Fault.TLS,
    55: Fault.LOST,
    56: Fault.LOST,
    58: Fault.TLS,
    59: Fault.TLS,
    60: Fault.TLS,
    61: Fault.LOST,  # the body is not in the encoding its header says
    66: Fault.TLS,
    77: Fault.TLS,
    80: Fault.LOST,
    83: Fault.TLS,
    91: Fault.TLS,
    92: Fault.LOST,
    97: Fault.CONNECT,  # the proxy's handshake
}


@dataclass(frozen=True, slots=True)
class Peer:
    """Whom we talk to, in words fit for a message.

    Attributes:
        server: ``https://host:port`` without user-info.
        name: the name the certificate has to carry.
        source: where the configuration came from, such as ``context "dev" of ~/.kube/config``.
        own_ca: whether that configuration brings its CA.
        proxied: whether a proxy stands between.
    """

    server: str
    name: str
    source: str
    own_ca: bool
    proxied: bool


@dataclass(frozen=True, slots=True)
class Failure:
    """How a transfer ended without an answer.

    Attributes:
        code: libcurl's number, a key of `FAULTS`.
        text: libcurl's message.
        errno: the system's number of a failed connect, or 0.
        sent: whether the request may have arrived; the code does not tell.
    """

    code: int
    text: str
    errno: int = 0
    sent: bool = True

    @property
    def fault(self) -> Fault:
        """The row of `FAULTS`; an unknown code counts as a lost connection, the careful reading."""
        return FAULTS.get(self.code, Fault.LOST)

    @property
    def is_timeout(self) -> bool:
        """Whether time was over."""
        return self.code == TIMED_OUT

    @property
    def lost_at_start(self) -> bool:
        """Whether HTTP/2 never came up: the server gave up between handshake and settings, and libcurl says no word."""
        return self.code == HTTP2_LOST and not self.text


def error_of(failure: Failure, peer: Peer, *, asked: str, read_only: bool) -> TransportError:
    """Make the exception for a transfer without answer.

    Args:
        failure: what libcurl reported.
        peer: whom it talked to.
        asked: the method, for the text.
        read_only: a lost GET is a plain TransportError, which may be repeated; anything else is OutcomeUnknown.
    """
    if failure.fault is Fault.TIMEOUT:
        what = f"no answer to {asked} from" if failure.sent else "no connection with"
        return RequestTimeout(f"{what} {peer.server} in time", sent=failure.sent)
    if failure.fault is Fault.LOST and _ALERT.search(failure.text):
        # With TLS 1.3 the verdict on our certificate comes after the handshake; the request was not looked at.
        return TLSFailed(_REFUSED.format(peer=peer))
    if failure.sent and not read_only:
        return OutcomeUnknown(
            f"the connection with {peer.server} was lost after {asked} was sent: it may or may not have happened"
        )
    return _nothing_happened(failure, peer, asked=asked)


def _nothing_happened(failure: Failure, peer: Peer, *, asked: str) -> TransportError:
    if failure.fault is Fault.TLS:
        return _tls_error(failure, peer)
    if failure.fault is Fault.CONNECT or not failure.sent:
        return ConnectFailed(_connect_text(failure, peer), ours=failure.errno in _NO_DESCRIPTOR)
    if failure.fault is Fault.RECEIVER:
        return TransportError(f"the answer of {peer.server} to {asked} was refused while it was read")
    return TransportError(f"the connection with {peer.server} was lost before {asked} was answered in full")


def is_unsent(error: TransportError) -> bool:
    """Whether nothing of the request has left, so that any verb may be repeated."""
    return isinstance(error, ConnectFailed) or (isinstance(error, RequestTimeout) and not error.sent)


def reason_of(number: int) -> str:
    """Say why the system made no connection, and what helps against it."""
    text = os.strerror(number).lower()
    return f"{text}: raise the limit (ulimit -n)" if number in _NO_DESCRIPTOR else text


def _connect_text(failure: Failure, peer: Peer) -> str:
    way = " through its proxy" if peer.proxied else ""
    if failure.code == 6:  # noqa: PLR2004 - a row of FAULTS
        why = f"no address is known for its host; check the server of {peer.source}"
    elif failure.code == 5:  # noqa: PLR2004
        why = f"no address is known for the proxy; check the proxy-url of {peer.source}"
    elif failure.errno:
        why = reason_of(failure.errno)
    elif failure.code in {7, 97}:
        why = "no connection came about"
    else:
        why = "the connection ended before the request was sent"
    return f"cannot connect to {peer.server}{way}: {why}"


_REFUSED: Final = "{peer.server} refused the client certificate of {peer.source}: check client-certificate-data"
_NOT_TRUSTED: Final = (
    "the certificate of {peer.server} is not signed by the CA of {peer.source}: check certificate-authority-data"
)
_NOT_PUBLIC: Final = (
    "the certificate of {peer.server} is not signed by a CA that this machine trusts: "
    "add certificate-authority-data to {peer.source}"
)
_OTHER_NAME: Final = (
    'the certificate of {peer.server} is not valid for "{peer.name}": '
    "set tls-server-name in {peer.source} to a name it carries"
)
_ALERT: Final = re.compile(r"alert.*(certificate|unknown ca)")
_TLS_BY_CODE: Final[dict[int, str]] = {
    58: "the client certificate of {peer.source} cannot be used: check client-certificate-data and client-key-data",
    77: "the CA of {peer.source} cannot be read: check certificate-authority-data",
}
_TLS_BY_TEXT: Final = (
    (re.compile(r"subject name|does not match|mismatch", re.IGNORECASE), _OTHER_NAME),
    (re.compile(r"has expired"), "the certificate of {peer.server} has expired: renew it, or set this machine's clock"),
    (
        re.compile(r"not yet valid"),
        "the certificate of {peer.server} is not valid yet: set this machine's or the server's clock",
    ),
    (re.compile(r"wrong version number"), "{peer.server} does not speak TLS: check the server of {peer.source}"),
    (_ALERT, _REFUSED),
)
_UNTRUSTED: Final = re.compile(r"issuer|self.signed|verify the first certificate")
_CUT: Final = re.compile(r"reset by peer|SYSCALL|unexpected eof|connection (was )?closed|broken pipe", re.IGNORECASE)


def _tls_error(failure: Failure, peer: Peer) -> TransportError:
    if failure.code in _TLS_BY_CODE:
        return TLSFailed(_TLS_BY_CODE[failure.code].format(peer=peer))
    for pattern, text in _TLS_BY_TEXT:
        if pattern.search(failure.text):
            return TLSFailed(text.format(peer=peer))
    if _UNTRUSTED.search(failure.text):
        return TLSFailed((_NOT_TRUSTED if peer.own_ca else _NOT_PUBLIC).format(peer=peer))
    if _CUT.search(failure.text):
        return ConnectFailed(f"cannot connect to {peer.server}: it ended the connection during the TLS handshake")
    return TLSFailed(f"no TLS connection with {peer.server}: check the server and the certificates of {peer.source}")
