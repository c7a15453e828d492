from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kcontroller.errors import ConfigError
from kcontroller.multicluster.providers.milo.templates import Form, Template, Unfit, Values

P1 = Values("p1", "u-1", "east", {"example.com/cell": "c7", "port": "8443", "odd": "A_b.c"})


def template(text: str, form: Form = Form.URL) -> Template:
    return Template(text, form, what="endpoint")


@pytest.mark.parametrize(
    ("text", "form", "rendered"),
    [
        ("https://{name}.{namespace}.test:{labels[port]}/{uid}/x", Form.URL, "https://p1.east.test:8443/u-1/x"),
        ("https://{labels[example.com/cell]}.test/{labels[odd]}", Form.URL, "https://c7.test/A_b.c"),
        ("https://[fd00::1]:6443/{name}", Form.URL, "https://[fd00::1]:6443/p1"),
        ("api.{name}.test", Form.HOST, "api.p1.test"),
        ("127.0.0.1:{labels[port]}", Form.ADDRESS, "127.0.0.1:8443"),
        ("/etc/projects/{name}/{uid}.token", Form.FILE, "/etc/projects/p1/u-1.token"),
    ],
)
def test_the_values_of_a_project_are_put_in(text: str, form: Form, rendered: str) -> None:
    assert template(text, form).render(P1) == rendered


@pytest.mark.parametrize(
    "text",
    [
        *("https://{nam}.test", "https://{}.test", "https://{0}.test", "https://{name.test", "https://name}.test"),
        *("https://{name!r}.test", "https://{name:>10}", "https://{name.__class__}"),
        *("https://{labels}", "https://{labels[]}"),
    ],
)
def test_a_field_that_does_not_exist_is_refused(text: str) -> None:
    with pytest.raises(
        ConfigError, match=r"has a field that does not exist; there are \{name\}, \{uid\}, \{namespace\}"
    ):
        template(text)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("milo.local:6443/{name}", "has no scheme; write https://milo.local:6443/{name}"),
        ("{name}:6443", "has no scheme; write https://{name}:6443"),
        ("http://{name}", "has no scheme https"),
        ("HTTPS://{name}", "has no scheme https"),
    ],
)
def test_a_url_without_scheme_is_refused(text: str, problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        template(text)
    assert str(caught.value) == f"endpoint: {text!r} {problem}"


@pytest.mark.parametrize(
    ("text", "value", "where"),
    [
        ("https://x-{name}.test", "a.b", "a host"),  # The Service of another namespace.
        ("https://x-{name}.test", "a/", "a host"),
        ("https://x-{name}.test", "a:1", "a host"),
        ("https://x-{name}.test", "a@b", "a host"),
        ("https://x-{name}.test", "", "a host"),
        ("https://x-{name}.test", "A", "a host"),
        ("https://x-{name}.test", "a\n", "a host"),
        ("https://x.test:{name}/", "80/x", "a port"),
        ("https://x.test:{name}/", "65536", "a port"),
        ("https://x.test:{name}/", "\u0661", "a port"),
        ("https://x.test/{name}", "..", "a path"),
        ("https://x.test/{name}", "a/b", "a path"),
        ("https://x.test/{name}", "a?b", "a path"),
        ("https://x.test/{name}", "a%2f", "a path"),
    ],
)
def test_a_value_that_would_lead_elsewhere_is_refused(text: str, value: str, where: str) -> None:
    with pytest.raises(Unfit, match=f"its name cannot stand in {where}: "):
        template(text).render(Values(value, "", "", {}))


def test_a_label_that_is_not_there_is_refused() -> None:
    with pytest.raises(Unfit, match=r"its labels\[cell\] cannot stand in a host: ''"):
        template("https://{labels[cell]}.test/{name}").render(P1)


@pytest.mark.parametrize("name", ["a" * 60, "a" * 63])
def test_a_label_of_the_host_that_grows_too_long_is_refused(name: str) -> None:
    with pytest.raises(Unfit, match="is no host: a label may have 63 characters"):
        template("https://project-{name}.svc").render(Values(name, "", "", {}))


@given(st.text(max_size=12), st.text(max_size=12), st.text("0123456789:/@.ab", max_size=6))
def test_no_value_changes_what_stands_around_it(name: str, uid: str, port: str) -> None:
    text = "https://api.{name}.test:{labels[p]}/base/{uid}/end"
    try:
        rendered = template(text).render(Values(name, uid, "", {"p": port}))
    except Unfit:
        return
    parts = urlsplit(rendered)
    assert (parts.scheme, parts.hostname, parts.username, parts.query) == ("https", f"api.{name}.test", None, "")
    assert (parts.port, parts.path) == (int(port), f"/base/{uid}/end")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://{name}", True),
        ("https://x/{uid}", True),
        ("https://{labels[a]}", False),
        ("https://{namespace}", False),
        ("https://x", False),
    ],
)
def test_it_knows_whether_it_tells_projects_apart(text: str, expected: object) -> None:
    assert template(text).tells_apart is expected
