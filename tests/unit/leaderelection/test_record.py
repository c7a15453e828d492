from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from kcontroller.leaderelection.record import Claim, Lease, micro_time, new_lease

NOW = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)
RENEWAL = Claim("me", 15, 3, None, NOW)


def lease(spec: Any = None, **metadata: Any) -> Lease:
    document = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease"}
    return Lease.of({**document, "metadata": {"name": "w", "namespace": "d", **metadata}, "spec": spec or {}})


def test_a_time_has_six_digits_and_is_utc() -> None:
    assert micro_time(NOW) == "2026-01-01T12:00:00.000000Z"
    assert micro_time(datetime(2026, 1, 1, 14, 0, tzinfo=timezone(timedelta(hours=2)))) == micro_time(NOW)


def test_a_lease_is_read() -> None:
    read = lease(
        {
            "holderIdentity": "x",
            "leaseDurationSeconds": 7,
            "leaseTransitions": 2,
            "renewTime": "t",
            "preferredHolder": "y",
        },
        resourceVersion="5",
    )
    assert (read.holder, read.seconds, read.transitions, read.renewed, read.preferred) == ("x", 7.0, 2, "t", "y")
    assert read.version == "5"


@pytest.mark.parametrize(
    "spec",
    [
        None,
        {"holderIdentity": None, "leaseDurationSeconds": None, "leaseTransitions": None, "renewTime": None},
        {"holderIdentity": 5, "leaseDurationSeconds": "x", "leaseTransitions": [], "renewTime": {}},
        {"leaseDurationSeconds": True, "leaseTransitions": -3},
    ],
)
def test_what_is_missing_or_strange_counts_as_not_there(spec: Any) -> None:
    read = lease(spec)
    assert (read.holder, read.seconds, read.transitions, read.renewed) == ("", 0.0, 0, "")


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"metadata":[]}', b'{"metadata":{},"spec":[]}', b"\xff"])
def test_an_answer_that_is_no_lease_is_refused(body: bytes) -> None:
    with pytest.raises(ValueError):
        Lease.parse(body)


def test_a_claim_keeps_all_that_is_not_its_own() -> None:
    before = lease(
        {"holderIdentity": "x", "acquireTime": "then", "preferredHolder": "y", "strategy": "OldestEmulationVersion"},
        resourceVersion="5",
        uid="u",
        annotations={"a": "b"},
        labels={"mine": "old", "theirs": "kept"},
    )
    after = before.claimed(RENEWAL, {"mine": "new"})
    assert after.document["spec"] == {
        "holderIdentity": "me",
        "leaseDurationSeconds": 15,
        "leaseTransitions": 3,
        "renewTime": "2026-01-01T12:00:00.000000Z",
        "acquireTime": "then",
        "preferredHolder": "y",
        "strategy": "OldestEmulationVersion",
    }
    assert after.document["metadata"] == {
        **before.document["metadata"],
        "labels": {"mine": "new", "theirs": "kept"},
    }
    assert before.holder == "x", "the one that was read stays as it was"


def test_a_takeover_states_when_it_was() -> None:
    after = new_lease("w", "d").claimed(Claim("me", 15, 0, NOW, NOW), {})
    assert after.document["spec"]["acquireTime"] == micro_time(NOW)
    assert json.loads(json.dumps(after.document))["kind"] == "Lease"


def test_a_renewal_within_the_same_microsecond_still_changes_the_lease() -> None:
    """A wall clock that stands still must not make a renewal that nobody can see."""
    once = lease().claimed(RENEWAL, {})
    twice = once.claimed(RENEWAL, {})
    assert not twice.same_content(once)


def test_labels_and_versions_are_no_sign_of_life() -> None:
    spec = {"holderIdentity": "x", "renewTime": "t"}
    first = lease(spec, resourceVersion="5", uid="u")
    assert first.same_content(lease(spec, resourceVersion="6", uid="u", labels={"a": "b"}))
    assert not first.same_content(lease({**spec, "renewTime": "t2"}, uid="u"))
    assert not first.same_content(lease(spec, uid="another")), "it was deleted and made again"
