"""Which values the chart takes, and what it says about the others."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import jsonschema_rs
import pytest
import yaml

from tests.chart.conftest import CASES, CHART, RELEASE, Helm, values_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SCHEMA = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
VALIDATOR = jsonschema_rs.validator_for(SCHEMA)
DEFAULTS = (CHART / "values.yaml").read_text(encoding="utf-8")
TEMPLATES = "\n".join(path.read_text(encoding="utf-8") for path in sorted((CHART / "templates").iterdir()))

FOR_CHARTS_ABOVE = {"global", "enabled"}
"""Values that a chart gets from the one that it is a part of."""

Way = tuple[str, ...]


def leaves(schema: dict[str, Any], way: Way = ()) -> Iterator[Way]:
    """The values that are ours; what is below them is in the words of the Kubernetes API."""
    if "properties" in schema and schema.get("additionalProperties") is False and way[:1] != ("resources",):
        for name, below in schema["properties"].items():
            yield from leaves(below, (*way, name))
    else:
        yield way


def keys(node: yaml.MappingNode, way: Way = ()) -> Iterator[tuple[Way, int]]:
    """Every key of values.yaml that is a leaf of ours, with its line."""
    for key, value in node.value:
        here = (*way, key.value)
        if here in LEAVES or not isinstance(value, yaml.MappingNode):
            yield here, key.start_mark.line
        else:
            yield from keys(value, here)


LEAVES = {way for way in leaves(SCHEMA) if way[0] not in FOR_CHARTS_ABOVE}


def test_values_and_schema_name_the_same_things() -> None:
    assert {way for way, _line in keys(yaml.compose(DEFAULTS))} == LEAVES
    assert len(LEAVES) > 60


def test_every_value_is_used_and_every_used_value_is_there() -> None:
    used = {tuple(path.split(".")) for path in re.findall(r"\.Values\.([A-Za-z.]+)", TEMPLATES)}
    assert used == LEAVES


def test_every_value_has_a_comment() -> None:
    lines = DEFAULTS.splitlines()
    bare = [way for way, line in keys(yaml.compose(DEFAULTS)) if not lines[line - 1].lstrip().startswith("# ")]
    assert bare == []


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_every_case_says_what_it_is_for(case: Path) -> None:
    assert case.read_text(encoding="utf-8").startswith("# ")


def test_the_values_that_the_readme_shows_are_taken(helm: Helm) -> None:
    shown = re.findall(r"```yaml\n(.*?)```", (CHART / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    assert len(shown) == 7
    for text in shown:
        helm.render(yaml.safe_load(text))


# ---- what the schema refuses -----------------------------------------------------------------------------------------


def refused(values: dict[str, Any]) -> bool:
    return not VALIDATOR.is_valid(merged(yaml.safe_load(DEFAULTS), values))


def merged(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Lay values over others, as helm does."""
    together = dict(below)
    for name, value in above.items():
        both = isinstance(value, dict) and isinstance(below.get(name), dict)
        together[name] = merged(below[name], value) if both else value
    return together


def test_the_schema_takes_the_defaults_and_every_case() -> None:
    assert not refused({})
    assert [case.name for case in CASES if refused(values_of(case))] == []


def test_the_schema_takes_what_a_chart_above_gives() -> None:
    assert not refused({"global": {"imageRegistry": "registry.example.com"}, "enabled": True})


def nested(way: Way, value: object) -> dict[str, Any]:
    for name in reversed(way):
        value = {name: value}
    return value  # type: ignore[return-value]


MAPS = sorted({way[:depth] for way in LEAVES for depth in range(1, len(way))})


@pytest.mark.parametrize("way", sorted({way[:1] for way in LEAVES} | LEAVES | set(MAPS)), ids=".".join)
def test_a_typing_error_in_a_name_is_refused(way: Way) -> None:
    assert refused(nested((*way[:-1], way[-1] + "s"), {}))


@pytest.mark.parametrize("way", sorted(LEAVES | set(MAPS)), ids=".".join)
def test_a_value_of_another_type_is_refused(way: Way) -> None:
    value = yaml.safe_load(DEFAULTS)
    for name in way:
        value = value[name]
    assert refused(nested(way, 7 if isinstance(value, str | dict | list | bool) else "seven"))


@pytest.mark.parametrize(
    ("way", "value"),
    [
        ("image.tag", 1.0),
        ("image.tag", "a b"),
        ("image.digest", "sha256:123"),
        ("image.repository", ""),
        ("image.repository", "kcontroller:1.0"),
        ("image.pullPolicy", "Sometimes"),
        ("imagePullSecrets", ["registry"]),
        ("replicas", -1),
        ("replicas", 1.5),
        ("fullnameOverride", "Widgets"),
        ("fullnameOverride", "w" * 64),
        ("scope.namespaces", ["Team-A"]),
        ("scope.namespaces", [""]),
        ("scope.namespaces", ["a", "a"]),
        ("plugins.entryPoints", ["--verbose"]),
        ("plugins.modules", ["a b"]),
        ("plugins.trialFiles", {"../widget.py": "x"}),
        ("plugins.trialFiles", {"widget.txt": "x"}),
        ("provider.options", {"selector": ["a"]}),
        ("provider.options", {"unready_grace": "1s"}),
        ("provider.readyWhen", "most"),
        ("provider.kubeconfigs", {"secretName": "A b"}),
        ("kubeconfig.key", "a/b"),
        ("kubeconfig.key", ".."),
        ("kubeconfig.key", ""),
        ("leaderElection.leaseDurationSeconds", "15s"),
        ("leaderElection.retryPeriodSeconds", 0),
        ("shutdown.drainSeconds", -1),
        ("log.level", "INFO"),
        ("log.format", "xml"),
        ("metrics.port", 80),
        ("metrics.port", 65536),
        ("metrics.certSecretName", "a/b"),
        ("reconcile.concurrency", {"Widget.example.com": 0}),
        ("reconcile.concurrency", {"--kubeconfig": 1}),
        ("safety.deleteBudget", "100"),
        ("safety.deleteBudget", "100/10"),
        ("safety.writeBudget", "-1/1m"),
        ("safety.paused", ["--verbose"]),
        ("trace.keys", 7),
        ("rates.qps", -1),
        ("rates.clusterBurst", 0.5),
        ("provider.canary.minutes", 0),
        ("health.livenessProbe", {"exec": {"command": ["true"]}}),
        ("service.ipFamilyPolicy", "DualStack"),
        ("rbac.rules", [{"apiGroups": [""], "resources": ["pods"]}]),
        ("rbac.rules", [{"apiGroups": [""], "resource": ["pods"], "verbs": ["get"]}]),
        ("strategy", {"type": "Rolling"}),
        ("commonLabels", {"a": 1}),
        ("podAnnotations", {"a": True}),
        ("resources", {"request": {}}),
        ("extraEnv", [{"value": "1"}]),
        ("tmpSizeLimit", "64 MB"),
    ],
)
def test_a_value_that_means_nothing_is_refused(way: str, value: object) -> None:
    assert refused(nested(tuple(way.split(".")), value))


def test_helm_goes_by_the_schema_and_names_the_place(helm: Helm) -> None:
    assert "additional properties 'replicaCount' not allowed" in helm.refusal({"replicaCount": 2})
    assert "at '/leaderElection/leaseDurationSeconds'" in helm.refusal(
        {"leaderElection": {"leaseDurationSeconds": "15s"}}
    )


# ---- what the templates refuse ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (
            {"replicas": 2, "leaderElection": {"enabled": False}},
            "replicas (2) needs leader election, or every pod would do the same work",
        ),
        (
            {"leaderElection": {"enabled": False}, "strategy": {"type": "RollingUpdate"}},
            "strategy.type must be Recreate without leader election",
        ),
        (
            {"leaderElection": {"leaseDurationSeconds": 10}},
            "leaderElection.leaseDurationSeconds (10) must be more than leaderElection.renewDeadlineSeconds (10)",
        ),
        (
            {"leaderElection": {"renewDeadlineSeconds": 12, "retryPeriodSeconds": 10}},
            "renewDeadlineSeconds (12) must be more than 1.2 times leaderElection.retryPeriodSeconds (10)",
        ),
        (
            {"shutdown": {"drainSeconds": 35}},
            "must be more than shutdown.drainSeconds (35) and leaderElection.renewDeadlineSeconds (10)",
        ),
        (
            {"shutdown": {"drainSeconds": 45}, "leaderElection": {"enabled": False}},
            "shutdown.gracePeriodSeconds (45) must be more than shutdown.drainSeconds (45):",
        ),
        ({"metrics": {"port": 8081}}, "metrics.port and health.port are both 8081"),
        ({"metrics": {"certSecretName": "a"}}, "need metrics.secure: without it metrics are open to everybody"),
        ({"metrics": {"readerRole": True}}, "need metrics.secure: without it metrics are open to everybody"),
        ({"provider": {"options": {"selector": "a=b"}}}, "need provider.name; set it, for example to milo"),
        ({"provider": {"kubeconfigs": {"secretName": "a"}}}, "need provider.name; set it, for example to milo"),
        (
            {"provider": {"name": "static", "projectKubeconfig": {"secretName": "a"}}},
            "provider.projectKubeconfig is for provider milo, not static",
        ),
        (
            {"provider": {"name": "milo", "kubeconfigs": {"secretName": "a"}}},
            "provider.kubeconfigs is for provider file, not milo",
        ),
        ({"provider": {"name": "file"}}, "provider file needs its kubeconfigs from one place"),
        (
            {"provider": {"name": "file", "options": {"path": "/a"}, "kubeconfigs": {"secretName": "b"}}},
            "provider file needs its kubeconfigs from one place",
        ),
        ({"provider": {"canary": {"selector": "a=b"}}}, "provider.canary need provider.name"),
        ({"rates": {"clusterQps": 5}}, "rates.clusterQps (5) is of the clusters of a provider"),
        ({"rates": {"burst": 5}}, "rates.burst needs rates.qps: without it nothing is limited"),
        (
            {"rates": {"clusterBurst": 5, "qps": 5}},
            "rates.clusterBurst needs rates.clusterQps, and rates.burst needs rates.qps",
        ),
        ({"provider": {"name": "static"}}, "provider static needs provider.options.contexts"),
        ({"provider": {"name": "kubeconfig", "options": {"selector": " "}}}, "every Secret would be read"),
        (
            {
                "provider": {
                    "name": "milo",
                    "options": {"project-kubeconfig": "/a"},
                    "projectKubeconfig": {"secretName": "b"},
                }
            },
            "name two kubeconfigs; remove one",
        ),
        ({"kubeconfig": {"context": "a"}}, "kubeconfig.context needs kubeconfig.secretName"),
        ({"plugins": {"allPlugins": True, "entryPoints": ["a"]}}, "set one of them"),
    ],
    ids=lambda given: given if isinstance(given, str) else "-".join(given),
)
def test_values_that_do_not_go_together_are_refused(values: dict[str, Any], said: str, helm: Helm) -> None:
    assert said in helm.refusal(values)


def test_the_least_that_goes_together_is_taken(helm: Helm) -> None:
    seconds = {"leaseDurationSeconds": 14, "renewDeadlineSeconds": 13, "retryPeriodSeconds": 10}
    helm.render({"leaderElection": seconds, "shutdown": {"drainSeconds": 31}})
    helm.render({"leaderElection": {"enabled": False}, "replicas": 0, "strategy": {"type": "Recreate"}})


# ---- what the notes say ----------------------------------------------------------------------------------------------


def notes(helm: Helm, values: dict[str, Any]) -> str:
    text = helm("install", RELEASE, CHART, "--dry-run=client", values=values)
    return text.partition("NOTES:\n")[2]


QUIET = {
    "plugins": {"entryPoints": ["widgets"]},
    "rbac": {"rules": [{"apiGroups": ["example.com"], "resources": ["widgets"], "verbs": ["get"]}]},
}


def test_the_notes_show_where_to_look_and_warn_of_nothing_without_need(helm: Helm) -> None:
    said = notes(helm, QUIET)
    assert "kubectl get lease -n default rel-kcontroller" in said
    assert "kubectl logs -n default -l app.kubernetes.io/instance=rel,app.kubernetes.io/name=kcontroller" in said
    assert "http://localhost:8080/metrics" in said
    assert "Look at this again" not in said


def test_the_notes_show_how_secure_metrics_are_read(helm: Helm) -> None:
    said = notes(helm, merged(QUIET, {"metrics": {"secure": True, "readerRole": True}}))
    assert "https://localhost:8080/metrics" in said
    assert "by the ClusterRole default-rel-kcontroller-metrics-reader." in said


def rule(*verbs: str, resources: tuple[str, ...] = ("secrets",)) -> dict[str, Any]:
    return {"rbac": {"rules": [{"apiGroups": [""], "resources": [*resources], "verbs": [*verbs]}]}}


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"plugins": {"entryPoints": []}}, "* plugins: nothing is named."),
        ({"plugins": {"trialFiles": {"a.py": "pass\n"}}}, "* plugins.trialFiles: who may write the ConfigMap"),
        ({"plugins": {"allPlugins": True, "entryPoints": []}}, "* plugins.allPlugins: all code in the image"),
        ({"leaderElection": {"enabled": False}}, "* leaderElection.enabled: without it an update has a gap"),
        ({"image": {"tag": "latest"}}, '* image.tag: nobody knows what "latest" is'),
        ({"kubeconfig": {"secretName": "milo"}}, "* rbac: the rules are for the pod's service account"),
        ({"rbac": {"rules": []}}, "* rbac.rules: there are none"),
        ({"metrics": {"secure": True}}, "* metrics.certSecretName: without it nobody who reads metrics can verify"),
        (
            {"metrics": {"secure": True, "certSecretName": "a"}, "scope": {"namespaces": ["team-a"]}},
            "* metrics.secure: who may read them is asked of the whole cluster",
        ),
        ({"provider": {"name": "kubeconfig"}}, "* provider.options.allow-hosts: who may write the Secrets decides"),
        (rule("get", resources=("*",)), '* rbac: a rule with "*"'),
        (rule("impersonate", resources=("users",)), "* rbac: the verb impersonate"),
        (rule("get", "list"), "* rbac: the controllers may read every Secret"),
    ],
    ids=lambda given: given if isinstance(given, str) else "",
)
def test_the_notes_warn_of_what_is_risky(values: dict[str, Any], said: str, helm: Helm) -> None:
    warnings = notes(helm, merged(QUIET, values)).partition("Look at this again:\n")[2].strip().splitlines()
    assert [each[: len(said)] for each in warnings] == [said]
