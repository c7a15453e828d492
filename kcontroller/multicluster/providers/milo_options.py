"""Milo as the command line names it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from kcontroller.errors import ConfigError
from kcontroller.multicluster.providers.milo import External, Internal, MiloProvider
from kcontroller.multicluster.providers.milo.internal import ENDPOINT
from kcontroller.multicluster.providers.options import Option, ProviderType
from kcontroller.process import go_durations
from kcontroller.transport.loading import load_config

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kcontroller.multicluster.providers.options import ProviderContext
    from kcontroller.transport.config import Config

_LAST_PORT: Final = 65_535
_OF_HOSTS: Final = {
    "endpoint": "endpoint",
    "domain": "domain",
    "port": "port",
    "token-file": "token_file",
    "hub-credentials": "hub_credentials",
    "ca-file": "ca_file",
    "server-name": "server_name",
    "resolve": "resolve",
}
_OF_THE_PROVIDER: Final = {
    "selector": "selector",
    "organization": "organization",
    "terminating": "terminating",
    "ready-condition": "ready_condition",
    "unready-grace": "unready_grace",
    "verify-parent": "verify_parent",
}


def _make(options: Mapping[str, Any], context: ProviderContext) -> MiloProvider:
    access = _access(options, context)
    if options.get("mode", "external") == "external":
        wrong = next((name for name in options if name in _OF_HOSTS), None)
        if wrong is not None:
            msg = f"provider milo: option {wrong} is for mode=internal; add that, or leave it out"
            raise ConfigError(msg)
        return MiloProvider(External(access), **_named(options, _OF_THE_PROVIDER))
    hosts = _named(options, _OF_HOSTS)
    mode = Internal(**hosts) if access is None else Internal.like(access, **hosts)
    return MiloProvider(mode, **_named(options, _OF_THE_PROVIDER))


def _access(options: Mapping[str, Any], context: ProviderContext) -> Config | None:
    kubeconfig, name = options.get("project-kubeconfig"), options.get("project-context")
    if not kubeconfig and not name:
        return None
    try:
        return load_config(kubeconfig=kubeconfig or context.kubeconfig, context=name)
    except ConfigError as error:
        msg = f"provider milo: {'project-kubeconfig' if kubeconfig else 'project-context'}: {error}"
        raise ConfigError(msg) from error


def _named(options: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    return {keyword: options[name] for name, keyword in names.items() if name in options}


# ---- how each is read ------------------------------------------------------------------------------------------------


def _mode(text: str) -> str:
    return _one_of(text, "external", "internal")


def _terminating(text: str) -> str:
    return _one_of(text, "drain", "disengage")


def _switch(text: str) -> bool:
    return _one_of(text, "true", "false") == "true"


def _one_of(text: str, *words: str) -> str:
    if text not in words:
        msg = f"it is {' or '.join(words)}, not {text!r}"
        raise ValueError(msg)
    return text


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < int(text) <= _LAST_PORT):
        msg = f"{text!r} is no port"
        raise ValueError(msg)
    return int(text)


def _seconds(text: str) -> float:
    seconds = go_durations.parse(text)
    if seconds < 0:
        msg = f"{text!r} is below 0"
        raise ValueError(msg)
    return seconds


PROVIDER: Final = ProviderType(
    "Every ready project of a Milo API server",
    (
        Option("mode", "external (default): Projects, below paths of the hub; internal: at hosts of their own", _mode),
        Option("selector", "only projects with these labels"),
        Option("organization", "only Projects of this Organization"),
        Option("terminating", "drain (default) keeps a project until it is gone, disengage does not", _terminating),
        Option("ready-condition", "the condition that must be True; default Ready, internal ControlPlaneReady"),
        Option("unready-grace", "how long a project may be not ready until it is let go; default 0", _seconds),
        Option("verify-parent", "true engages a Project only if its server says that we are inside of it", _switch),
        Option("project-kubeconfig", "how control planes are reached, if not as the hub; internal: who we are to them"),
        Option("project-context", "its context"),
        Option("endpoint", f"internal: template of the URL; default {ENDPOINT}"),
        Option("domain", "internal: what {domain} is in the endpoint; default cluster.local"),
        Option("port", "internal: what {port} is in the endpoint; default 6443", _port),
        Option("token-file", "internal: template of the file that holds the token"),
        Option("hub-credentials", "internal: true shows the hub's credentials to the control planes", _switch),
        Option("ca-file", "internal: template of the file that holds the CA"),
        Option("server-name", "internal: template of the name expected in the certificate"),
        Option("resolve", "internal: template of the address:port to connect to instead"),
    ),
    _make,
)
