"""The words of refusals and the answers of reviews were taken from kube-apiserver 1.36.3."""

from __future__ import annotations

from typing import Any

import pytest
from multidict import CIMultiDict, CIMultiDictProxy

from kcontroller.embedded import calls, recorded
from kcontroller.embedded.calls import User
from kcontroller.embedded.kinds import Catalog
from kcontroller.embedded.statuses import Refusal
from kcontroller.embedded.web import reviews
from kcontroller.embedded.web.identity import ANONYMOUS, Attributes, Identity, impersonated, is_powerful

ADMIN = User("admin", ("system:masters", "system:authenticated"), uid="admin")
NOBODY = User("nobody", ("system:authenticated",), uid="nobody")
ASKED = Attributes("list", resource="configmaps", namespace="default")
AUTHENTICATION, AUTHORIZATION = "authentication.k8s.io", "authorization.k8s.io"


def headers(*pairs: tuple[str, str]) -> CIMultiDictProxy[str]:
    return CIMultiDictProxy(CIMultiDict(pairs))


def bearer(token: str) -> CIMultiDictProxy[str]:
    return headers(("Authorization", f"Bearer {token}"))


def test_a_token_names_its_user() -> None:
    identity = Identity(token="secret")
    assert identity.authenticate(bearer("secret"), "/api") == ADMIN
    assert identity.authenticate(bearer(identity.token_of("nobody")), "/api") == NOBODY


def test_the_scheme_may_be_written_in_any_case() -> None:
    assert Identity(token="secret").authenticate(headers(("Authorization", "bearer  secret")), "/api") == ADMIN


def test_more_users_can_be_named() -> None:
    identity = Identity({"eve": ("editors",)})
    assert identity.authenticate(bearer(identity.token_of("eve")), "/api").groups == ("editors", "system:authenticated")


@pytest.mark.parametrize(("path", "token"), [("/api", "wrong"), ("/healthz", "wrong"), ("/api", "")])
def test_an_unknown_token_is_refused_everywhere_and_none_where_one_is_needed(path: str, token: str) -> None:
    with pytest.raises(Refusal, match="Unauthorized") as caught:
        Identity().authenticate(bearer(token), path)
    assert (caught.value.code, caught.value.reason) == (401, "Unauthorized")


def test_health_needs_no_token() -> None:
    assert Identity().authenticate(headers(), "/readyz") is ANONYMOUS


def test_anonymous_requests_can_be_allowed_in() -> None:
    assert Identity(anonymous=True).authenticate(headers(("Authorization", "Basic abc")), "/api") is ANONYMOUS


@pytest.mark.parametrize(
    ("method", "path", "said"),
    [
        (
            "GET",
            "/api/v1/namespaces/default/configmaps",
            (
                'configmaps is forbidden: User "nobody" cannot list resource "configmaps" in API group "" '
                'in the namespace "default"'
            ),
        ),
        (
            "DELETE",
            "/api/v1/namespaces/default/configmaps",
            (
                'configmaps is forbidden: User "nobody" cannot deletecollection resource "configmaps" in API group "" '
                'in the namespace "default"'
            ),
        ),
        (
            "GET",
            "/apis/apps/v1/namespaces/default/deployments/x/status",
            (
                'deployments.apps "x" is forbidden: User "nobody" cannot get resource "deployments/status" '
                'in API group "apps" in the namespace "default"'
            ),
        ),
        (
            "GET",
            "/api/v1/namespaces/default",
            (
                'namespaces "default" is forbidden: User "nobody" cannot get resource "namespaces" in API group "" '
                'in the namespace "default"'
            ),
        ),
        (
            "PUT",
            "/api/v1/namespaces/default/finalize",
            (
                'namespaces "default" is forbidden: User "nobody" cannot update resource "namespaces/finalize" '
                'in API group "" in the namespace "default"'
            ),
        ),
        (
            "GET",
            "/apis/nope/v1/foos",
            (
                'foos.nope is forbidden: User "nobody" cannot list resource "foos" in API group "nope" '
                "at the cluster scope"
            ),
        ),
        (
            "OPTIONS",
            "/api/v1/nodes",
            'nodes is forbidden: User "nobody" cannot  resource "nodes" in API group "" at the cluster scope',
        ),
        ("GET", "/", 'forbidden: User "nobody" cannot get path "/"'),
        ("POST", "/healthz", 'forbidden: User "nobody" cannot post path "/healthz"'),
        ("GET", "/livez/", 'forbidden: User "nobody" cannot get path "/livez/"'),
    ],
)
def test_who_has_no_rights_is_refused_in_the_servers_words(method: str, path: str, said: str) -> None:
    attributes = Attributes.of(method, path, {})
    assert not attributes.allowed_to(NOBODY.groups)
    refusal = attributes.forbidden(NOBODY)
    assert (refusal.code, refusal.reason, refusal.message) == (403, "Forbidden", said)


def test_a_watch_is_a_verb_of_its_own() -> None:
    assert Attributes.of("GET", "/api/v1/pods", {"watch": "true"}).verb == "watch"


@pytest.mark.parametrize("path", ["/api", "/apis/apps/v1", "/openapi/v2", "/version", "/healthz"])
def test_everybody_may_see_what_is_served(path: str) -> None:
    assert Attributes.of("GET", path, {}).allowed_to(NOBODY.groups)


def test_who_is_not_authenticated_sees_health_alone() -> None:
    assert Attributes.of("GET", "/healthz", {}).allowed_to(ANONYMOUS.groups)
    assert not Attributes.of("GET", "/api", {}).allowed_to(ANONYMOUS.groups)


@pytest.mark.parametrize(
    ("groups", "powerful"),
    [
        (("system:masters",), True),
        (("editors", "system:authenticated"), True),
        (("system:authenticated",), False),
        (("system:serviceaccounts", "system:serviceaccounts:default", "system:authenticated"), False),
        ((), False),
    ],
)
def test_a_group_that_was_given_gives_every_right(groups: tuple[str, ...], *, powerful: bool) -> None:
    assert is_powerful(groups) is powerful


def test_a_master_may_be_somebody_else() -> None:
    asked = headers(
        ("Impersonate-User", "bob"),
        ("Impersonate-Group", "a"),
        ("impersonate-group", "b"),
        ("Impersonate-Uid", "12"),
        ("Impersonate-Extra-Foo", "x"),
        ("Impersonate-Extra-Foo", "y"),
        ("Impersonate-Extra-a%2fb", "z"),
    )
    bob = User("bob", ("a", "b", "system:authenticated"), {"foo": ["x", "y"], "a/b": ["z"]}, "12")
    assert impersonated(ADMIN, asked, ASKED) == bob


@pytest.mark.parametrize(
    ("name", "groups"),
    [
        (
            "system:serviceaccount:default:x",
            ("system:serviceaccounts", "system:serviceaccounts:default", "system:authenticated"),
        ),
        ("system:anonymous", ("system:unauthenticated",)),
    ],
)
def test_some_names_bring_their_groups(name: str, groups: tuple[str, ...]) -> None:
    assert impersonated(ADMIN, headers(("Impersonate-User", name)), ASKED).groups == groups


def test_without_a_name_there_is_nobody_to_be() -> None:
    said = (
        'requested &user.DefaultInfo{Name:"", UID:"", Groups:[]string{"a"}, Extra:map[string][]string(nil)} '
        "without impersonating a user name"
    )
    with pytest.raises(Refusal) as caught:
        impersonated(ADMIN, headers(("Impersonate-Group", "a")), ASKED)
    assert (caught.value.code, caught.value.message) == (400, said)
    assert impersonated(ADMIN, headers(("Impersonate-User", "")), ASKED) is ADMIN


def test_who_is_no_master_may_not_be_somebody_else() -> None:
    with pytest.raises(Refusal, match='User "nobody" cannot impersonate-on:user-info:list resource "configmaps"'):
        impersonated(NOBODY, headers(("Impersonate-User", "bob")), ASKED)


@pytest.fixture
def identity() -> Identity:
    return Identity(token="secret")


def review(
    identity: Identity, group: str, plural: str, spec: Any = None, *, user: User = ADMIN, namespace: str = ""
) -> dict[str, Any]:
    known = recorded.load()
    place = f"namespaces/{namespace}/" if namespace else ""
    call = calls.parse(Catalog(known.kinds, known.groups), "POST", f"/apis/{group}/v1/{place}{plural}", {}, user)
    assert reviews.answers(call)
    return reviews.answer(identity, call, {"spec": spec} if spec else {}, "2026-01-01T00:00:00Z")


def test_a_user_can_ask_who_they_are(identity: Identity) -> None:
    bob = User("bob", ("system:authenticated",), {"foo": ["x"]})
    assert review(identity, AUTHENTICATION, "selfsubjectreviews", user=bob) == {
        "kind": "SelfSubjectReview",
        "apiVersion": "authentication.k8s.io/v1",
        "metadata": {"creationTimestamp": "2026-01-01T00:00:00Z"},
        "status": {"userInfo": {"username": "bob", "groups": ["system:authenticated"], "extra": {"foo": ["x"]}}},
    }


def test_a_token_can_be_looked_up(identity: Identity) -> None:
    assert review(identity, AUTHENTICATION, "tokenreviews", {"token": "secret"})["status"] == {
        "authenticated": True,
        "user": {"username": "admin", "uid": "admin", "groups": ["system:masters", "system:authenticated"]},
        "audiences": ["https://kubernetes.default.svc"],
    }


@pytest.mark.parametrize("spec", [{"token": "x"}, {"token": "secret", "audiences": ["other"]}])
def test_a_token_that_is_none_is_said_to_be(identity: Identity, spec: Any) -> None:
    status = review(identity, AUTHENTICATION, "tokenreviews", spec)["status"]
    assert status == {"user": {}, "error": "invalid bearer token"}


@pytest.mark.parametrize(("user", "allowed"), [(ADMIN, True), (NOBODY, False)])
def test_a_user_can_ask_what_they_may_do(identity: Identity, user: User, *, allowed: bool) -> None:
    spec = {"resourceAttributes": {"namespace": "default", "verb": "list", "resource": "configmaps"}}
    answer = review(identity, AUTHORIZATION, "selfsubjectaccessreviews", spec, user=user)
    assert (answer["spec"], answer["status"]) == (spec, {"allowed": allowed})


def test_a_right_of_everybody_has_its_reason(identity: Identity) -> None:
    spec = {"nonResourceAttributes": {"path": "/api", "verb": "get"}}
    status = review(identity, AUTHORIZATION, "selfsubjectaccessreviews", spec, user=NOBODY)["status"]
    assert status["allowed"]
    assert status["reason"].startswith('RBAC: allowed by ClusterRoleBinding "system:discovery"')


@pytest.mark.parametrize(("groups", "allowed"), [(["system:masters"], True), ([], False)])
def test_one_can_ask_for_others(identity: Identity, groups: list[str], *, allowed: bool) -> None:
    spec = {"user": "x", "groups": groups, "resourceAttributes": {"verb": "list", "resource": "pods"}}
    assert review(identity, AUTHORIZATION, "subjectaccessreviews", spec)["status"] == {"allowed": allowed}


@pytest.mark.parametrize(
    ("plural", "spec", "said"),
    [
        (
            "selfsubjectaccessreviews",
            {},
            "exactly one of nonResourceAttributes or resourceAttributes must be specified",
        ),
        (
            "selfsubjectaccessreviews",
            {"resourceAttributes": {}, "nonResourceAttributes": {}},
            'spec.nonResourceAttributes: Invalid value: {"Path":"","Verb":""}: cannot be specified in combination with',
        ),
        ("subjectaccessreviews", {"resourceAttributes": {"verb": "list"}}, "at least one of user or group must be"),
        ("tokenreviews", {}, "token is required for TokenReview in authentication"),
        ("selfsubjectrulesreviews", {}, "no namespace on request"),
    ],
)
def test_a_review_that_asks_nothing_is_refused(identity: Identity, plural: str, spec: Any, said: str) -> None:
    group = AUTHENTICATION if plural == "tokenreviews" else AUTHORIZATION
    with pytest.raises(Refusal) as caught:
        review(identity, group, plural, spec)
    assert said in caught.value.message


def test_a_local_review_is_for_its_own_namespace(identity: Identity) -> None:
    spec = {"user": "x", "resourceAttributes": {"verb": "list", "namespace": "default"}}
    answer = review(identity, AUTHORIZATION, "localsubjectaccessreviews", spec, namespace="default")
    assert (answer["metadata"], answer["status"]) == ({"namespace": "default"}, {"allowed": False})
    with pytest.raises(Refusal, match=r"spec.resourceAttributes.namespace.*must match metadata.namespace"):
        review(identity, AUTHORIZATION, "localsubjectaccessreviews", spec, namespace="other")


def test_the_rules_of_a_user_are_listed(identity: Identity) -> None:
    rules = {
        user.name: review(identity, AUTHORIZATION, "selfsubjectrulesreviews", {"namespace": "default"}, user=user)[
            "status"
        ]
        for user in (ADMIN, NOBODY)
    }
    everything = {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}
    assert rules["admin"]["resourceRules"] == [everything, *rules["nobody"]["resourceRules"]]
    assert rules["nobody"]["nonResourceRules"][0]["nonResourceURLs"] == [
        *("/api", "/api/*", "/apis", "/apis/*", "/healthz", "/livez"),
        *("/openapi", "/openapi/*", "/readyz", "/version", "/version/"),
    ]
