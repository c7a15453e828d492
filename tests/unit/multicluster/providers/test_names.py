from __future__ import annotations

import pytest

from kcontroller.multicluster.providers.names import is_label, is_subdomain, name_problem


@pytest.mark.parametrize("name", ["a", "a.b", "arn:aws:eks:x:1:cluster/y", "me@kind", "GKE_x_y", "a+b", "ä", "x" * 253])
def test_names_of_contexts_and_objects_can_be_used(name: str) -> None:
    assert name_problem(name) == ""


@pytest.mark.parametrize("name", ["", "*", "a b", " a", "a\n", "a\x00", "\u202ea", "x" * 254])
def test_what_would_mislead_a_person_or_a_command_line_cannot(name: str) -> None:
    assert name_problem(name)


@pytest.mark.parametrize(("name", "label", "subdomain"), [("a-1", 1, 1), ("a.b", 0, 1), ("A", 0, 0), ("a" * 64, 0, 1)])
def test_dns_names_are_told_apart(name: str, label: int, subdomain: int) -> None:
    assert (is_label(name), is_subdomain(name)) == (label, subdomain)
