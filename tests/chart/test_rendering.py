"""What the chart renders, from its defaults and from each file in ci/."""

from __future__ import annotations

import re
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import click
import pytest
import yaml

from kcontroller.cli import cluster_options, namespaces
from kcontroller.cli.run import command
from kcontroller.multicluster.providers import catalogue, provider
from kcontroller.version import VERSION
from tests.chart import schemas
from tests.chart.conftest import (
    CASES,
    CHART,
    SECONDS,
    Helm,
    container_of,
    of_kind,
    pod_of,
    rules_of,
    the,
    tool,
    values_of,
)

if TYPE_CHECKING:
    from pathlib import Path

    from tests.chart.conftest import Object, Values

every_case = pytest.mark.parametrize("case", [None, *CASES], ids=lambda case: case.stem if case else "defaults")


def case(name: str) -> dict[str, Any]:
    return values_of(CHART / "ci" / f"{name}-values.yaml")


def args_of(helm: Helm, values: dict[str, Any]) -> list[str]:
    return container_of(helm.render(values))["args"]


# ---- every case ------------------------------------------------------------------------------------------------------


@every_case
def test_helm_finds_nothing_to_say_about_it(case: Path | None, helm: Helm) -> None:
    said = helm("lint", "--strict", CHART, values=values_of(case))
    assert re.findall(r"^\[(?:INFO|WARNING|ERROR)\].*", said, re.MULTILINE) == []
    assert "1 chart(s) linted, 0 chart(s) failed" in said


@pytest.fixture(scope="session")
def schema_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("schemas")
    schemas.write(folder)
    return folder


def kubeconform(folder: Path, text: str) -> subprocess.CompletedProcess[str]:
    where = ("-schema-location", f"{folder}/{schemas.LOCATION}")
    return subprocess.run(
        [tool("kubeconform"), "-strict", "-summary", *where],
        input=text,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


@every_case
def test_every_object_keeps_to_the_schema_of_its_kind(case: Path | None, helm: Helm, schema_folder: Path) -> None:
    text = helm.text(values_of(case))
    done = kubeconform(schema_folder, text)
    count = len(re.findall(r"^kind: ", text, re.MULTILINE))
    assert done.stdout.strip().endswith(f"Valid: {count}, Invalid: 0, Errors: 0, Skipped: 0"), done.stdout


def test_the_schemas_refuse_what_a_kind_does_not_have(helm: Helm, schema_folder: Path) -> None:
    done = kubeconform(schema_folder, helm.text({}).replace("enableServiceLinks:", "enableServiceLinkz:"))
    assert "enableServiceLinkz" in done.stdout
    assert done.returncode != 0


@every_case
def test_the_command_line_takes_the_arguments(case: Path | None, helm: Helm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WATCH_NAMESPACE", raising=False)
    name, *arguments = args_of(helm, values_of(case))
    assert name == command.name
    with command.make_context("run", arguments) as ctx:
        assert namespaces.chosen(ctx) == tuple(values_of(case).get("scope", {}).get("namespaces", ()))
        cluster_options.provider_options(ctx)


@every_case
def test_no_role_holds_a_wildcard_lists_secrets_or_lets_anybody_become_somebody_else(
    case: Path | None, helm: Helm
) -> None:
    for rule in rules_of(helm.render(values_of(case))):
        reached = {*rule.get("resources", ()), *rule.get("nonResourceURLs", ())}
        assert "*" not in {*rule.get("apiGroups", ()), *reached, *rule["verbs"]}
        assert not {"escalate", "bind", "impersonate"} & set(rule["verbs"])
        assert not {"serviceaccounts/token", "nodes/proxy"} & reached
        assert "secrets" not in reached or case == CHART / "ci" / "kubeconfig-secrets-values.yaml"


@every_case
def test_a_newer_chart_selects_the_same_pods(case: Path | None, helm: Helm, tmp_path: Path) -> None:
    newer = tmp_path / "kcontroller"
    shutil.copytree(CHART, newer)
    about = yaml.safe_load((newer / "Chart.yaml").read_text()) | {"version": "9.8.7", "appVersion": "6.5.4+dirty"}
    (newer / "Chart.yaml").write_text(yaml.safe_dump(about))
    old, new = helm.render(values_of(case)), helm.render(values_of(case), chart=newer)
    assert the(new, "Deployment")["metadata"]["labels"]["helm.sh/chart"] == "kcontroller-9.8.7"
    assert selectors(old) == selectors(new)
    assert (
        pod_of(new)["metadata"]["labels"].items() >= the(old, "Deployment")["spec"]["selector"]["matchLabels"].items()
    )


def selectors(objects: list[Object]) -> list[Any]:
    return [each["spec"]["selector"] for each in of_kind(objects, "Deployment", "Service")]


def test_names_and_the_values_of_labels_have_at_most_63_characters_however_long_what_they_are_made_of(
    helm: Helm,
) -> None:
    for each in helm.render({**case("trial"), "nameOverride": "n" * 63}, release="r" * 53):
        metadata = each["metadata"]
        assert max(map(len, (metadata["name"], *metadata["labels"].values()))) <= 63


# ---- versions --------------------------------------------------------------------------------------------------------


def test_the_chart_runs_this_version() -> None:
    assert yaml.safe_load((CHART / "Chart.yaml").read_text())["appVersion"] == VERSION


def test_the_tag_is_that_version_and_a_digest_wins(helm: Helm) -> None:
    assert container_of(helm.render({}))["image"] == f"kcontroller:{VERSION}"
    assert container_of(helm.render({"image": {"tag": "edge"}}))["image"] == "kcontroller:edge"
    image = case("cluster-wide")["image"]
    pinned = f"registry.example.com/team/widgets@{image['digest']}"
    assert container_of(helm.render({"image": {**image, "tag": "edge"}}))["image"] == pinned


# ---- rights ----------------------------------------------------------------------------------------------------------


def test_by_default_there_is_no_right_but_events_and_the_lease(helm: Helm) -> None:
    objects = helm.render({})
    assert the(objects, "ClusterRole")["rules"] == [
        {"apiGroups": ["", "events.k8s.io"], "resources": ["events"], "verbs": ["create", "patch"]}
    ]
    lease = {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"]}
    assert the(objects, "Role")["rules"] == [
        {**lease, "verbs": ["create"]},
        {**lease, "resourceNames": ["rel-kcontroller"], "verbs": ["get", "update"]},
    ]


def test_with_namespaces_there_is_a_role_in_each_and_none_of_the_cluster(helm: Helm) -> None:
    objects = helm.render(case("namespaced"))
    assert of_kind(objects, "ClusterRole", "ClusterRoleBinding") == []
    for kind in ("Role", "RoleBinding"):
        places = [each["metadata"]["namespace"] for each in of_kind(objects, kind)]
        assert sorted(places) == ["default", "team-a", "team-b"]


def test_the_lease_has_its_role_where_it_is(helm: Helm) -> None:
    role = the(helm.render(case("extras")), "Role")
    assert role["metadata"]["namespace"] == "leases"


@pytest.mark.parametrize(
    ("values", "granted"),
    [
        ({"scope": {"namespaces": ["team-a"]}}, True),
        ({"scope": {"namespaces": ["team-a", "default"]}}, False),  # The rules for controllers grant it.
        ({"scope": {"namespaces": ["team-a", "default"]}, "leaderElection": {"namespace": "leases"}}, True),
        ({}, False),  # The ClusterRole does.
        ({"scope": {"namespaces": ["team-a"]}, "rbac": {"events": False}}, False),
        ({"scope": {"namespaces": ["team-a"]}, "kubeconfig": {"secretName": "hub"}}, False),
    ],
)
def test_where_the_lease_is_the_elected_may_write_an_event(helm: Helm, values: Values, *, granted: bool) -> None:
    roles = of_kind(helm.render(values), "Role")
    (rules,) = [each["rules"] for each in roles if each["metadata"]["name"] == "rel-kcontroller-lease"]
    event = {"apiGroups": ["", "events.k8s.io"], "resources": ["events"], "verbs": ["create"]}
    assert rules[2:] == ([event] if granted else [])


def test_every_binding_leads_to_a_role_that_is_there_and_to_the_account_of_the_pod(helm: Helm) -> None:
    for name in ("cluster-wide", "namespaced", "extras", "guarded"):
        objects = helm.render(case(name))
        roles = {(each["kind"], each["metadata"].get("namespace"), each["metadata"]["name"]) for each in objects}
        account = the(objects, "ServiceAccount")["metadata"]
        assert pod_of(objects)["spec"]["serviceAccountName"] == account["name"]
        for binding in of_kind(objects, "RoleBinding", "ClusterRoleBinding"):
            role = binding["roleRef"]
            assert (role["kind"], binding["metadata"].get("namespace"), role["name"]) in roles
            who = {"kind": "ServiceAccount", "name": account["name"], "namespace": account["namespace"]}
            assert binding["subjects"] == [who]


def test_two_releases_of_one_name_in_two_namespaces_share_no_role_of_the_cluster(helm: Helm) -> None:
    names = {the(helm.render({}, "--namespace", place), "ClusterRole")["metadata"]["name"] for place in ("a", "b")}
    assert len(names) == 2


def test_with_a_kubeconfig_the_account_of_the_pod_may_use_the_lease_alone(helm: Helm) -> None:
    objects = helm.render(case("milo"))
    assert of_kind(objects, "ClusterRole") == []
    assert {resource for rule in rules_of(objects) for resource in rule["resources"]} == {"leases"}
    assert "--leader-election-kubeconfig=in-cluster" in container_of(objects)["args"]


@pytest.mark.parametrize(
    ("secret", "election", "secure", "mounted"),
    [
        ("", False, False, True),
        ("", True, False, True),
        ("milo", False, False, False),
        ("milo", True, False, True),
        ("milo", False, True, True),
    ],
)
def test_a_token_is_mounted_where_something_uses_it(
    secret: str, election: object, secure: object, mounted: object, helm: Helm
) -> None:
    values = {"leaderElection": {"enabled": election}, "metrics": {"secure": secure}}
    objects = helm.render({"kubeconfig": {"secretName": secret}, **values})
    assert pod_of(objects)["spec"]["automountServiceAccountToken"] is mounted
    assert the(objects, "ServiceAccount")["automountServiceAccountToken"] is False


# ---- metrics ---------------------------------------------------------------------------------------------------------

METRICS_ROLES = {"default-rel-kcontroller-metrics", "default-rel-kcontroller-metrics-reader"}


def metrics_roles(objects: list[Object]) -> dict[str, Any]:
    roles = {each["metadata"]["name"]: each["rules"] for each in of_kind(objects, "ClusterRole")}
    return {name: rules for name, rules in roles.items() if name in METRICS_ROLES}


def test_metrics_are_open_and_nobody_is_reviewed_by_default(helm: Helm) -> None:
    objects = helm.render({})
    assert metrics_roles(objects) == {}
    assert [each for each in container_of(objects)["args"] if "metrics" in each] == ["--metrics-bind-address=:8080"]


def test_secure_metrics_bring_two_rights_and_those_of_readers_on_demand(helm: Helm) -> None:
    reviews = [
        {"apiGroups": ["authentication.k8s.io"], "resources": ["tokenreviews"], "verbs": ["create"]},
        {"apiGroups": ["authorization.k8s.io"], "resources": ["subjectaccessreviews"], "verbs": ["create"]},
    ]
    objects = helm.render({"metrics": {"secure": True}})
    assert metrics_roles(objects) == {"default-rel-kcontroller-metrics": reviews}
    assert "--metrics-secure" in container_of(objects)["args"]
    reading = [{"nonResourceURLs": ["/metrics"], "verbs": ["get"]}]
    objects = helm.render({"metrics": {"secure": True, "readerRole": True}})
    assert metrics_roles(objects)["default-rel-kcontroller-metrics-reader"] == reading


@pytest.mark.parametrize(
    "values",
    [{"metrics": {"secure": True, "enabled": False}}, {"metrics": {"secure": True}, "rbac": {"create": False}}],
)
def test_nobody_gets_rights_for_metrics_that_are_not_served_or_not_wanted(values: Values, helm: Helm) -> None:
    assert metrics_roles(helm.render(values)) == {}


def test_who_reads_metrics_is_asked_of_the_cluster_of_the_pod(helm: Helm) -> None:
    container = container_of(objects := helm.render(case("guarded")))
    assert "--metrics-kubeconfig=in-cluster" in container["args"]
    assert "--metrics-kubeconfig=in-cluster" not in container_of(helm.render({"metrics": {"secure": True}}))["args"]
    (volume,) = [each for each in pod_of(objects)["spec"]["volumes"] if each["name"] == "metrics-certificate"]
    assert [each["path"] for each in volume["secret"]["items"]] == ["tls.crt", "tls.key"]
    (mount,) = [each for each in container["volumeMounts"] if each["name"] == "metrics-certificate"]
    assert f"--metrics-cert-dir={mount['mountPath']}" in container["args"]
    assert mount["readOnly"] is True


# ---- the pod ---------------------------------------------------------------------------------------------------------


def test_kubeconfigs_come_from_secrets_read_only_and_for_the_group_of_the_user(helm: Helm) -> None:
    objects = helm.render(case("milo"))
    container, pod = container_of(objects), pod_of(objects)["spec"]
    volumes = {each["name"]: each["secret"] for each in pod["volumes"] if "secret" in each}
    assert {name: volume["secretName"] for name, volume in volumes.items()} == {
        "kubeconfig": "milo",
        "project-kubeconfig": "milo-projects",
    }
    assert {volume["defaultMode"] for volume in volumes.values()} == {0o440}
    assert "fsGroup" in pod["securityContext"]
    mounts = {each["name"]: each for each in container["volumeMounts"]}
    for name in volumes:
        assert mounts[name]["readOnly"] is True
    assert "--kubeconfig=/etc/kcontroller/kubeconfig/kubeconfig" in container["args"]
    assert "--provider-option=project-kubeconfig=/etc/kcontroller/project-kubeconfig/config" in container["args"]


def test_the_options_of_a_provider_arrive_as_they_are(helm: Helm) -> None:
    with command.make_context("run", args_of(helm, case("milo"))[1:]) as ctx:
        options = dict(cluster_options.provider_options(ctx))
    selector = "tier in (gold, silver),!paused"
    assert options == {
        "selector": selector,
        "project-context": "projects",
        "project-kubeconfig": "/etc/kcontroller/project-kubeconfig/config",
    }
    assert provider("milo", {"selector": selector}).name == case("milo")["provider"]["name"]


@pytest.mark.parametrize("case_name", ["milo", "milo-internal", "kubeconfig-secrets", "kubeconfig-files"])
def test_a_provider_knows_the_options_that_it_is_given(helm: Helm, case_name: str) -> None:
    with command.make_context("run", args_of(helm, case(case_name))[1:]) as ctx:
        name, options = ctx.params["provider"], cluster_options.provider_options(ctx)
        assert ctx.params["ready_when"] == case(case_name)["provider"].get("readyWhen", "first-list")
    kind = catalogue.find(name)
    assert {key for key, _value in options} <= {each.name for each in kind.options}


def test_numbers_and_switches_among_the_options_arrive_as_they_are_written(helm: Helm) -> None:
    args = args_of(helm, case("milo-internal"))
    assert {"--provider-option=port=6443", "--provider-option=hub-credentials=true"} <= set(args)


def test_kubeconfigs_of_a_secret_are_mounted_whole_so_that_they_are_renewed(helm: Helm) -> None:
    objects = helm.render(case("kubeconfig-files"))
    (volume,) = [each["secret"] for each in pod_of(objects)["spec"]["volumes"] if each["name"] == "kubeconfigs"]
    assert volume == {"secretName": "fleet", "defaultMode": 0o440}
    (mount,) = [each for each in container_of(objects)["volumeMounts"] if each["name"] == "kubeconfigs"]
    assert (mount["readOnly"], "subPath" in mount) == (True, False)
    assert f"--provider-option=path={mount['mountPath']}" in container_of(objects)["args"]


def provider_roles(objects: list[Object]) -> dict[tuple[str, str], list[Any]]:
    roles = of_kind(objects, "Role", "ClusterRole")
    return {
        (each["kind"], each["metadata"].get("namespace", "")): each["rules"]
        for each in roles
        if each["metadata"]["name"].endswith("-provider")
    }


def test_a_provider_may_read_secrets_in_their_namespace_and_in_no_other(helm: Helm) -> None:
    values = case("kubeconfig-secrets")
    ((where, rules),) = provider_roles(helm.render(values)).items()
    assert where == ("Role", "fleet")
    assert rules[0] == {"apiGroups": [""], "resources": ["secrets"], "verbs": ["list", "watch"]}
    del values["provider"]["options"]["namespace"]
    assert list(provider_roles(helm.render(values))) == [("Role", "default")]


@pytest.mark.parametrize(
    ("mode", "group", "resource"),
    [
        ("external", "resourcemanager.miloapis.com", "projects"),
        ("internal", "infrastructure.miloapis.com", "projectcontrolplanes"),
    ],
)
def test_where_the_pod_itself_looks_for_projects_it_may_see_them(
    helm: Helm, mode: str, group: str, resource: str
) -> None:
    roles = provider_roles(helm.render({"provider": {"name": "milo", "options": {"mode": mode}}}))
    assert roles == {("ClusterRole", ""): [{"apiGroups": [group], "resources": [resource], "verbs": ["list", "watch"]}]}


@pytest.mark.parametrize("name", ["milo", "kubeconfig"])
def test_the_user_of_a_kubeconfig_brings_what_a_provider_needs(helm: Helm, name: str) -> None:
    assert provider_roles(helm.render({"provider": {"name": name}, "kubeconfig": {"secretName": "hub"}})) == {}


def test_trial_files_are_mounted_run_and_roll_the_pods(helm: Helm) -> None:
    values = case("trial")
    objects = helm.render(values)
    sources = the(objects, "ConfigMap")
    assert sources["data"] == values["plugins"]["trialFiles"]
    (volume,) = [each for each in pod_of(objects)["spec"]["volumes"] if each["name"] == "trial"]
    assert volume["configMap"]["name"] == sources["metadata"]["name"]
    ran = [each for each in container_of(objects)["args"] if each.endswith(".py")]
    assert ran == ["/etc/kcontroller/trial/maps.py"]
    values["plugins"]["trialFiles"]["maps.py"] += "# changed\n"
    assert pod_of(helm.render(values))["metadata"]["annotations"] != pod_of(objects)["metadata"]["annotations"]


def test_without_them_there_is_no_config_map(helm: Helm) -> None:
    assert of_kind(helm.render(case("cluster-wide")), "ConfigMap") == []


def test_a_spread_without_a_selector_gets_that_of_the_release(helm: Helm) -> None:
    objects = helm.render(case("scheduling"))
    filled, given = pod_of(objects)["spec"]["topologySpreadConstraints"]
    assert filled["labelSelector"] == the(objects, "Deployment")["spec"]["selector"]
    assert given["labelSelector"] == {"matchLabels": {"team": "a"}}


def test_limits_and_pauses_arrive_as_they_are(helm: Helm) -> None:
    with command.make_context("run", args_of(helm, case("guarded"))[1:]) as ctx:
        assert ctx.params["delete_budget"] == "20/1h"
        assert ctx.params["write_budget"] == "1000/1m"
        assert ctx.params["paused"] == ("widget@staging", "gadget")
        assert ctx.params["concurrency"] == {"Widget.example.com": 8, "ConfigMap": 2}
        assert ctx.params["detect_loops"] is False
        assert ctx.params["trace_keys"] == 0
    assert "--trace-keys=100000" in args_of(helm, {"trace": {"keys": 100_000}})


def test_rates_and_canaries_arrive_as_they_are(helm: Helm) -> None:
    with command.make_context("run", args_of(helm, case("milo"))[1:]) as ctx:
        assert (ctx.params["cluster_qps"], ctx.params["cluster_burst"]) == (2.5, 5)
        assert (ctx.params["qps"], ctx.params["burst"]) == (100_000, 100_000)
        assert (ctx.params["canary"], ctx.params["canary_minutes"]) == ("tier=canary", 0.5)
    assert not [each for each in args_of(helm, {}) if "qps" in each or "burst" in each or "canary" in each]


def test_every_option_of_the_command_has_a_value_or_stands_among_those_without() -> None:
    template = (CHART / "templates" / "_container.tpl").read_text(encoding="utf-8")
    told = (CHART / "README.md").read_text(encoding="utf-8").partition("## Options without a value")[2]
    without = set(re.findall(r"`(--[a-z-]+)`", "".join(line for line in told.splitlines() if line.startswith("|"))))
    options = {max(each.opts, key=len) for each in command.params if isinstance(each, click.Option)}
    assert {name for name in options if not re.search(rf"{name}\b(?!-)", template)} == without


def test_without_election_an_update_ends_the_old_pod_first(helm: Helm) -> None:
    assert the(helm.render({}), "Deployment")["spec"]["strategy"]["type"] == "RollingUpdate"
    assert the(helm.render(case("single")), "Deployment")["spec"]["strategy"] == {"type": "Recreate"}


def test_labels_of_users_are_everywhere_but_in_selectors_and_take_the_place_of_none_of_ours(helm: Helm) -> None:
    objects = helm.render(case("extras"))
    for each in objects:
        assert each["metadata"]["labels"]["team"] == "a"
        assert each["metadata"]["labels"]["app.kubernetes.io/name"] == "widgets"
        assert each["metadata"]["annotations"]["example.com/owner"] == "team-a"
    assert pod_of(objects)["metadata"]["labels"]["app.kubernetes.io/instance"] == "rel"
    ours = {"app.kubernetes.io/name": "widgets", "app.kubernetes.io/instance": "rel"}
    assert selectors(objects) == [ours, {"matchLabels": ours}]


def test_everything_is_in_the_namespace_that_was_named(helm: Helm) -> None:
    places = {each["metadata"].get("namespace") for each in helm.render({"namespaceOverride": "elsewhere"})}
    assert places == {"elsewhere", None}  # None: what is of the whole cluster.


def test_probes_ask_the_health_port_and_a_start_does_not_wait_for_caches(helm: Helm) -> None:
    container = container_of(helm.render({}))
    paths = {name: container[f"{name}Probe"]["httpGet"] for name in ("startup", "liveness", "readiness")}
    assert {name: get["path"] for name, get in paths.items()} == {
        "startup": "/healthz",
        "liveness": "/healthz",
        "readiness": "/readyz",
    }
    assert {get["port"] for get in paths.values()} == {"health"}
    assert "health" in {port["name"] for port in container["ports"]}
