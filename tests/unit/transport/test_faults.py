from __future__ import annotations

import pytest

from kcontroller.errors import ConnectFailed, OutcomeUnknown, RequestTimeout, TLSFailed, TransportError
from kcontroller.transport.faults import Failure, Peer, error_of

PEER = Peer(server="https://k8s:6443", name="k8s", source='context "dev" of /x', own_ca=True, proxied=False)


def error_from(
    code: int, text: str = "libcurl says so", *, sent: bool = True, read_only: bool = False
) -> TransportError:
    return error_of(Failure(code, text, sent=sent), PEER, asked="POST", read_only=read_only)


@pytest.mark.parametrize(
    ("code", "sent", "expected"),
    [
        *((code, False, ConnectFailed) for code in (5, 6, 7, 97)),
        *((code, False, TLSFailed) for code in (35, 58, 60, 77)),
        *((code, True, OutcomeUnknown) for code in (16, 18, 52, 55, 56, 92, 8, 61)),
        *((code, False, ConnectFailed) for code in (16, 18, 52, 55, 56, 92)),
        *((code, True, OutcomeUnknown) for code in (7, 6, 35, 60, 42, 23)),  # The second connection's fate.
        (28, True, RequestTimeout),
        (28, False, RequestTimeout),
        (999, True, OutcomeUnknown),
    ],
)
def test_each_code_has_one_meaning_for_a_write(code: int, sent: bool, expected: type[TransportError]) -> None:  # noqa: FBT001
    assert type(error_from(code, sent=sent)) is expected


@pytest.mark.parametrize("code", [16, 18, 52, 55, 56, 92, 42])
def test_a_lost_get_is_no_question_of_outcome(code: int) -> None:
    assert type(error_from(code, read_only=True)) is TransportError


@pytest.mark.parametrize("sent", [True, False])
def test_a_timeout_says_whether_the_request_had_left(sent: bool) -> None:  # noqa: FBT001
    error = error_from(28, sent=sent)

    assert isinstance(error, RequestTimeout)
    assert error.sent is sent


@pytest.mark.parametrize(
    ("code", "text", "told"),
    [
        (60, "unable to get local issuer certificate (20)", "not signed by the CA of context"),
        (60, "self-signed certificate in certificate chain (19)", "check certificate-authority-data"),
        (60, "certificate has expired (10)", "has expired: renew it"),
        (60, "certificate is not yet valid (9)", "clock"),
        (60, "no alternative certificate subject name matches target hostname 'x'", "set tls-server-name"),
        (60, "something new", "check the server and the certificates"),
        (58, "could not load PEM client certificate", "check client-certificate-data and client-key-data"),
        (77, "error adding trust anchors", "cannot be read: check certificate-authority-data"),
        (35, "error:0A00010B:SSL routines::wrong version number", "does not speak TLS"),
        (35, "tlsv1 alert unknown ca", "refused the client certificate"),
        (56, "tlsv13 alert certificate required", "refused the client certificate"),
    ],
)
def test_an_untrusted_connection_names_server_source_and_remedy(code: int, text: str, told: str) -> None:
    error = error_from(code, text, sent=False)

    assert isinstance(error, TLSFailed)
    assert told in str(error)
    assert "https://k8s:6443" in str(error) or 'context "dev"' in str(error)


def test_a_handshake_that_was_cut_is_no_question_of_trust() -> None:
    assert type(error_from(35, "Recv failure: Connection reset by peer", sent=False)) is ConnectFailed


def test_without_an_own_ca_the_remedy_is_to_add_one() -> None:
    peer = Peer(server="https://k8s:6443", name="k8s", source="context", own_ca=False, proxied=False)
    error = error_of(Failure(60, "unable to get local issuer certificate"), peer, asked="GET", read_only=True)

    assert "add certificate-authority-data to context" in str(error)


@pytest.mark.parametrize("code", [5, 6, 7, 16, 18, 23, 28, 35, 42, 52, 55, 56, 58, 60, 77, 92, 97, 999])
def test_no_message_repeats_what_libcurl_says(code: int) -> None:
    assert "libcurl" not in str(error_from(code))
