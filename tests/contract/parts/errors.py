from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING

from tests.contract.cases import part
from tests.contract.objects import config_map

if TYPE_CHECKING:
    from tests.contract.dialogue import Dialogue

case = part("errors")

LARGEST = 3 * 1024 * 1024


@case
def json_that_cannot_be_read_is_refused(api: Dialogue) -> None:
    for body in ("{", "{'a': 1}", '{"metadata": {"name": "a"}} more', "nonsense", "[]", '"text"', "1"):
        api.post(api.config_maps, body, expect=400)
    api.post(api.config_maps, "null", expect=422)


@case
def an_empty_body_is_refused(api: Dialogue) -> None:
    api.post(api.config_maps, b"", expect=400)
    api.put(f"{api.config_maps}/a", b"", expect=400)
    api.post(api.config_maps, "{}", expect=422)


@case
def yaml_that_cannot_be_read_is_refused(api: Dialogue) -> None:
    for body in ("a: [", "a: b: c", "- a", "metadata:\n\tname: a"):
        api.post(api.config_maps, body, content_type="application/yaml", expect=400)


@case
def a_body_has_a_known_type(api: Dialogue) -> None:
    api.post(api.config_maps, config_map("a"), content_type="text/plain", expect=415)
    api.post(api.config_maps, config_map("a"), content_type="application/merge-patch+json", expect=415)
    api.put(f"{api.config_maps}/a", config_map("a"), content_type="application/xml", expect=415)


@case
def a_body_may_come_without_a_type(api: Dialogue) -> None:
    api.post(api.config_maps, config_map("a"), content_type="")
    api.post(api.config_maps, config_map("b"), content_type="application/json; charset=utf-8")


@case
def a_patch_has_a_known_type(api: Dialogue) -> None:
    api.quietly("POST", api.config_maps, config_map("a"))
    for kind in ("application/json", "text/plain", "application/yaml"):
        api.request("PATCH", f"{api.config_maps}/a", {}, content_type=kind, expect=415)


@case
def a_patch_that_cannot_be_read_is_refused(api: Dialogue) -> None:
    api.quietly("POST", api.config_maps, config_map("a"))
    api.patch(f"{api.config_maps}/a", "{", "merge", expect=400)
    api.patch(f"{api.config_maps}/a", "{", "json", expect=400)
    api.patch(f"{api.config_maps}/a", "{", "strategic", expect=400)
    api.patch(f"{api.config_maps}/a", "[]", "merge", expect=400)
    api.patch(f"{api.config_maps}/a", "a: [", "apply", fieldManager="one", expect=400)


@case
def a_json_patch_has_known_operations(api: Dialogue) -> None:
    api.quietly("POST", api.config_maps, config_map("a"))
    api.patch(f"{api.config_maps}/a", [{"op": "spin", "path": "/data"}], "json", expect=422)
    api.patch(f"{api.config_maps}/a", [{"op": "add"}], "json", expect=422)
    api.patch(f"{api.config_maps}/a", [{"op": "add", "path": "data", "value": {}}], "json", expect=422)


@case
def a_body_is_of_the_kind_of_its_path(api: Dialogue) -> None:
    api.post(api.config_maps, {**config_map("a"), "kind": "Secret"}, expect=400)
    api.post(api.config_maps, {**config_map("a"), "kind": "Nothing"}, expect=400)
    api.post(api.config_maps, {**config_map("a"), "apiVersion": "v2"}, expect=400)
    api.post(api.config_maps, {**config_map("a"), "apiVersion": "apps/v1"}, expect=400)
    api.put(f"{api.config_maps}/a", {**config_map("a"), "kind": "Secret"}, expect=400)


@case
def a_body_is_in_the_namespace_of_its_path(api: Dialogue) -> None:
    api.post(api.config_maps, config_map("a", namespace="other"), expect=400)
    api.post(api.config_maps, config_map("a", namespace=api.namespace))
    api.put(f"{api.config_maps}/a", config_map("a", namespace="other"), expect=400)
    api.post("/api/v1/namespaces", {"metadata": {"name": "dry", "namespace": "other"}}, dryRun="All")


@case
def a_body_has_the_name_of_its_path(api: Dialogue) -> None:
    api.quietly("POST", api.config_maps, config_map("a"))
    api.put(f"{api.config_maps}/a", config_map("b"), expect=400)
    api.put(f"{api.config_maps}/a", config_map(), expect=400)


@case
def types_of_built_in_fields_are_checked(api: Dialogue) -> None:
    api.post(api.config_maps, {**config_map("a"), "data": {"k": 1}}, expect=400)
    api.post(api.config_maps, {**config_map("a"), "data": ["k"]}, expect=400)
    api.post(api.config_maps, {**config_map("a"), "immutable": "yes"}, expect=400)
    api.post(api.config_maps, {"metadata": "a"}, expect=400)
    api.post(api.config_maps, config_map("a", labels={"l": 1}), expect=400)
    api.post(api.config_maps, {**config_map("a"), "binaryData": {"k": "%%"}}, expect=400)


@case
def names_are_checked(api: Dialogue) -> None:
    for name in ("Upper", "a_b", "-a", "a" * 254, "a..b"):
        api.post(api.config_maps, config_map(name), expect=422)
    api.post("/api/v1/namespaces", {"metadata": {"name": "a.b"}}, expect=422)
    api.post("/api/v1/namespaces", {"metadata": {"name": "a" * 64}}, expect=422)


@case
def names_in_a_path_are_checked(api: Dialogue) -> None:
    api.get(f"{api.config_maps}/Not_There", expect=404)
    api.post(api.config_maps, config_map("a%b"), expect=422)
    api.post(api.config_maps, config_map("a/b"), expect=422)


@case
def labels_and_annotations_are_checked(api: Dialogue) -> None:
    api.post(api.config_maps, config_map("a", labels={"a b": "c"}), expect=422)
    api.post(api.config_maps, config_map("a", labels={"a": "b c"}), expect=422)
    api.post(api.config_maps, config_map("a", labels={"a": "x" * 64}), expect=422)
    api.post(api.config_maps, config_map("a", annotations={"a b": "c"}), expect=422)
    api.post(api.config_maps, config_map("a", annotations={"Bad_Prefix/x": "c"}), expect=422)


@case
def annotations_have_a_largest_size(api: Dialogue) -> None:
    api.post(api.config_maps, config_map("a", annotations={"a": "x" * (256 * 1024)}), expect=422)


@case
def the_data_of_a_config_map_is_checked(api: Dialogue) -> None:
    api.post(api.config_maps, config_map("a", {"bad key": "v"}), expect=422)
    twice = {**config_map("a", {"k": "v"}), "binaryData": {"k": base64.b64encode(b"v").decode()}}
    api.post(api.config_maps, twice, expect=422)
    api.post(api.config_maps, config_map("a", {"k": "x" * (1024 * 1024 + 1)}), expect=422)


@case
def a_body_has_a_largest_size(api: Dialogue) -> None:
    body = json.dumps(config_map("a", {"k": ""})).ljust(LARGEST)
    api.post(api.config_maps, body)
    api.post(api.config_maps, body + " ", expect=413)
    api.patch(f"{api.config_maps}/a", "{}".ljust(LARGEST + 1), expect=413)


@case
def a_path_that_is_not_served_is_not_found(api: Dialogue) -> None:
    for path in ("/nothing", "/apis/none.test/v1", "/apis/none.test/v1/things", "/api/v2", "/apis/apps/v9"):
        api.get(path, expect=404)


@case
def a_resource_that_is_not_served_is_not_found(api: Dialogue) -> None:
    api.get("/api/v1/things", expect=404)
    api.get(api.path("things"), expect=404)
    api.get(f"{api.path('things')}/a", expect=404)
    api.post(api.path("things"), {"metadata": {"name": "a"}}, expect=404)
    api.get("/apis/apps/v1/things", expect=404)


@case
def a_subresource_that_is_not_served_is_not_found(api: Dialogue) -> None:
    api.quietly("POST", api.config_maps, config_map("a"))
    api.get(f"{api.config_maps}/a/status", expect=404)
    api.put(f"{api.config_maps}/a/scale", {}, expect=404)
    api.get(f"{api.config_maps}/a/b/c", expect=404)
    widget = api.define()
    api.get(f"{widget.path}/a/scale", expect=404)
    api.get(f"{widget.path}/a/nothing", expect=404)


@case
def a_resource_has_its_own_methods(api: Dialogue) -> None:
    api.put(api.config_maps, {}, expect=405)
    api.patch(api.config_maps, {}, expect=405)
    api.post(f"{api.config_maps}/a", config_map("a"), expect=405)
    api.post("/api/v1/configmaps", config_map("a"), expect=405)
    api.request("HEAD", api.config_maps, expect=405)
    api.request("OPTIONS", api.config_maps, expect=405)
    api.request("BREW", api.config_maps, expect=405)
    api.delete("/api/v1/namespaces", expect=405)


@case
def some_resources_are_only_created(api: Dialogue) -> None:
    reviews = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    api.get(reviews, expect=405)
    api.get(f"{reviews}/a", expect=404)


@case
def a_custom_resource_has_its_own_methods(api: Dialogue) -> None:
    widget = api.define()
    api.put(widget.path, {}, expect=400)
    api.patch(widget.path, {}, expect=400)
    api.post(f"{widget.path}/a", widget.make("a"))
    api.post(f"/apis/{widget.group}/v1/widgets", widget.make("a"), expect=404)


@case
def an_object_that_is_not_there_is_not_found(api: Dialogue) -> None:
    widget = api.define()
    for path in (f"{api.config_maps}/a", f"{widget.path}/a"):
        api.get(path, expect=404)
        api.delete(path, expect=404)
        api.patch(path, {}, expect=404)
    api.get("/api/v1/namespaces/none-such", expect=404)
    api.get("/api/v1/namespaces/none-such/configmaps/a", expect=404)
    api.get("/api/v1/namespaces/none-such/configmaps")


@case
def whoever_is_not_known_is_not_let_in(api: Dialogue) -> None:
    api.get(api.config_maps, user="stranger", expect=401)
    api.post(api.config_maps, config_map("a"), user="stranger", expect=401)
    api.get("/apis", user="stranger", expect=401)


@case
def whoever_has_no_rights_is_forbidden(api: Dialogue) -> None:
    widget = api.define()
    api.get(api.config_maps, user="nobody", expect=403)
    api.get(f"{api.config_maps}/a", user="nobody", expect=403)
    api.post(api.config_maps, config_map("a"), user="nobody", expect=403)
    api.patch(f"{widget.path}/a/status", {}, user="nobody", expect=403)
    api.delete("/api/v1/namespaces/default", user="nobody", expect=403)
    api.watch("/api/v1/configmaps", user="nobody", expect=403)


@case
def whoever_shows_nothing_is_anonymous(api: Dialogue) -> None:
    api.get(api.config_maps, user="", expect=403)
    api.get("/api/v1/namespaces", user="", expect=403)


@case
def wrong_values_of_parameters_are_refused(api: Dialogue) -> None:
    api.quietly("POST", api.config_maps, config_map("a"))
    api.get(api.config_maps, limit="x", expect=400)
    api.watch(api.config_maps, timeoutSeconds="x", expect=400)
    api.delete(f"{api.config_maps}/a", gracePeriodSeconds="x", expect=400)
    api.patch(f"{api.config_maps}/a", {}, dryRun="x", expect=422)
    api.put(f"{api.config_maps}/a", config_map("a"), fieldManager="m" * 200, expect=422)
    api.put(f"{api.config_maps}/a", config_map("a"), fieldManager="not\nprintable", expect=422)


@case
def paths_are_not_tidied(api: Dialogue) -> None:
    api.get(f"{api.config_maps}/")
    api.get(f"//api/v1/namespaces/{api.namespace}/configmaps", expect=404)
    api.get(f"/api/v1/namespaces/{api.namespace}/configmaps/../configmaps", expect=404)
    api.get(f"/api/v1/namespaces/{api.namespace}/configmaps/%2e%2e/configmaps", expect=404)
