from __future__ import annotations

from typing import TYPE_CHECKING

from tests.contract.cases import part
from tests.contract.objects import config_map

if TYPE_CHECKING:
    from tests.contract.dialogue import Dialogue

case = part("create, update, patch")


def written(number: int, value: bytes) -> bytes:
    """Write a field of a protobuf message."""
    return bytes([number << 3 | 2, len(value)]) + value


@case
def a_body_may_be_protobuf(api: Dialogue) -> None:
    inner = written(1, written(1, b"a")) + written(2, written(1, b"k") + written(2, b"v"))
    body = b"k8s\0" + written(1, written(1, b"v1") + written(2, b"ConfigMap")) + written(2, inner)
    api.post(api.config_maps, body, content_type="application/vnd.kubernetes.protobuf")


@case
def a_dry_run_stores_nothing(api: Dialogue) -> None:
    api.post(api.config_maps, config_map("a", {"k": "1"}), dryRun="All")
    api.get(f"{api.config_maps}/a", expect=404)
    made = api.post(api.config_maps, config_map("a", {"k": "1"}))
    api.put(f"{api.config_maps}/a", made.but(data={"k": "2"}), dryRun="All")
    api.patch(f"{api.config_maps}/a", {"data": {"k": "3"}}, dryRun="All")
    api.patch(f"{api.config_maps}/b", config_map("b"), "apply", fieldManager="one", dryRun="All")
    api.get(api.config_maps)


@case
def a_dry_run_is_refused_like_the_real_run(api: Dialogue) -> None:
    made = api.post(api.config_maps, config_map("a"))
    api.post(api.config_maps, config_map("a"), dryRun="All", expect=409)
    api.put(f"{api.config_maps}/a", made.but(metadata={"resourceVersion": "1"}), dryRun="All", expect=409)
    api.post(api.config_maps, config_map("b"), dryRun="some", expect=422)
    api.patch(f"{api.config_maps}/a", {}, dryRun="some", expect=422)


@case
def unknown_fields_are_ignored_named_or_refused(api: Dialogue) -> None:
    body = {**config_map("a", {"k": "v"}), "unknown": 1, "other": {"x": 1}}
    api.post(api.config_maps, body, fieldValidation="Strict", expect=400)
    api.post(api.config_maps, body, fieldValidation="Warn", dryRun="All")
    api.post(api.config_maps, body, fieldValidation="Ignore", dryRun="All")
    api.post(api.config_maps, body, fieldValidation="Perhaps", expect=422)
    api.post(api.config_maps, body)


@case
def doubled_fields_are_ignored_named_or_refused(api: Dialogue) -> None:
    body = '{"metadata": {"name": "a"}, "data": {"k": "1"}, "data": {"k": "2", "k": "3"}}'
    api.post(api.config_maps, body, fieldValidation="Strict", expect=400)
    api.post(api.config_maps, body, fieldValidation="Ignore", dryRun="All")
    api.post(api.config_maps, body)


@case
def unknown_fields_of_an_update_are_named_or_refused(api: Dialogue) -> None:
    made = api.post(api.config_maps, config_map("a"))
    api.put(f"{api.config_maps}/a", made.but(unknown=1), fieldValidation="Strict", expect=400)
    api.put(f"{api.config_maps}/a", made.but(metadata={"unknown": 1}))


@case
def unknown_fields_of_a_patch_are_named_or_refused(api: Dialogue) -> None:
    api.post(api.config_maps, config_map("a"))
    api.patch(f"{api.config_maps}/a", {"unknown": 1}, fieldValidation="Strict", expect=422)
    api.patch(f"{api.config_maps}/a", {"unknown": 1})
    api.patch(f"{api.config_maps}/a", {"unknown": 1}, "strategic", fieldValidation="Strict", expect=422)
    api.patch(f"{api.config_maps}/a", {"unknown": 1}, "strategic")
