"""Control planes at hosts of their own, one API server for each ProjectControlPlane."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final, Self
from urllib.parse import unquote

from kcontroller.errors import ConfigError
from kcontroller.multicluster.providers.milo.kinds import PROJECT_UID, ProjectControlPlane
from kcontroller.multicluster.providers.milo.templates import Form, Template, Unfit
from kcontroller.process.logs import one_line
from kcontroller.transport.config import Config, TLSConfig
from kcontroller.transport.credentials import ANONYMOUS, TokenFile
from kcontroller.transport.files import WatchedFile, check_certificate
from kcontroller.transport.proxies import proxy_from_environ

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kcontroller.multicluster.providers.milo.templates import Values
    from kcontroller.transport.config import Credentials

ENDPOINT: Final = "https://milo-apiserver.project-{name}.svc.{domain}:{port}"
"""Where Milo's own provider looks for the control plane of a project."""

_SOURCE: Final = "provider milo"


@dataclass(frozen=True, slots=True, kw_only=True)
class Internal:
    """At a host of its own; discovered by its ProjectControlPlane.

    What is a template may hold fields of the project; `templates` has the rules. The credentials of the hub go to none
    of these hosts unless that is asked for.

    Attributes:
        endpoint: a template of the URL, which begins with ``https://``; ``{domain}`` and ``{port}`` stand for the
            attributes of these names.
        domain: the domain of the cluster's Services.
        port: the port of the API servers.
        credentials: who we are to all of them.
        token_file: instead, a template of the file that has the token for each; it is read again while we run.
        hub_credentials: instead, who we are to the hub. Then the CA of the hub is trusted too, if no other is given.
        tls: how they prove who they are; None is the system's bundle.
        ca_file: instead of the CA of `tls`, a template of a file; it is read again while we run.
        server_name: a template of the name expected in the certificate; "" is the host of the URL.
        resolve: a template of the ``address:port`` to connect to instead; see `Config.resolve`.
        proxy: the URL of a proxy, "" for none; None lets the environment decide for each host.
        extra_headers: see `Config`.
        qps: see `Config`.
        burst: see `Config`.

    Raises:
        ConfigError: a template cannot be used, or there is not one kind of credentials.
    """

    kind: ClassVar[type[ProjectControlPlane]] = ProjectControlPlane
    condition: ClassVar[str] = "ControlPlaneReady"
    uid_label: ClassVar[str] = PROJECT_UID

    endpoint: str = ENDPOINT
    domain: str = "cluster.local"
    port: int = 6443
    credentials: Credentials | None = field(default=None, repr=False)
    token_file: str = ""
    hub_credentials: bool = False
    tls: TLSConfig | None = None
    ca_file: str = ""
    server_name: str = ""
    resolve: str = ""
    proxy: str | None = field(default=None, repr=False)
    extra_headers: tuple[str, ...] = field(default=(), repr=False)
    qps: float = 0.0
    burst: int = 0

    def __post_init__(self) -> None:
        """Try the templates, and see that there are credentials."""
        if [self.credentials is not None, bool(self.token_file), self.hub_credentials].count(True) != 1:
            msg = (
                f"{_SOURCE}: control planes at hosts of their own need credentials of their own; give a kubeconfig for "
                "them (project-kubeconfig), or a token file (token-file), or say that they get those of the hub "
                "(hub-credentials), and not two of these"
            )
            raise ConfigError(msg)
        templates = self.templates()
        if not templates["endpoint"].tells_apart:
            shown = one_line(str(templates["endpoint"]))
            problem = "may be the same for several projects; write {name} or {uid} into it"
            msg = f"{_option('endpoint')}: {shown!r} {problem}"
            raise ConfigError(msg)
        self.config({name: template.sample for name, template in templates.items()}, self.credentials or ANONYMOUS)

    @classmethod
    def like(cls, config: Config, *, environ: Mapping[str, str] | None = None, **changes: Any) -> Self:
        """Be to the control planes who a configuration is, such as a kubeconfig made for this, and trust its CA.

        Its server, and the name that is expected there, mean nothing to them.

        Args:
            config: not used but for that.
            environ: the environment, by default the process's.
            changes: what of the attributes is other.
        """
        from_environment = config.proxy == proxy_from_environ(config.server, os.environ if environ is None else environ)
        taken: dict[str, Any] = {
            "credentials": config.credentials,
            "tls": replace(config.tls, server_name=""),
            "proxy": None if from_environment else config.proxy,
            "extra_headers": config.extra_headers,
            "qps": config.qps,
            "burst": config.burst,
        }
        return cls(**{**taken, **changes})

    def endpoints(self, hub: Config) -> Hosts:
        """See `Mode`."""
        if not self.hub_credentials:
            return Hosts(self, hub, self.templates())
        tls = self.tls or (TLSConfig() if self.ca_file else replace(hub.tls, server_name=""))
        if not tls.verify:
            msg = f"{_SOURCE}: the hub's credentials do not go to hosts that nobody verifies; give a CA for them"
            raise ConfigError(msg)
        headers = self.extra_headers or hub.extra_headers
        taken = replace(self, hub_credentials=False, credentials=hub.credentials, tls=tls, extra_headers=headers)
        return taken.endpoints(hub)

    def templates(self) -> dict[str, Template]:
        """Read the templates; those that are not used are left out.

        Raises:
            ConfigError: one of them cannot be used.
        """
        url = self.endpoint.replace("{domain}", self.domain).replace("{port}", str(self.port))
        texts = {
            "endpoint": (url, Form.URL),
            "server_name": (self.server_name, Form.HOST),
            "resolve": (self.resolve, Form.ADDRESS),
            "token_file": (self.token_file, Form.FILE),
            "ca_file": (self.ca_file, Form.FILE),
        }
        return {name: Template(text, form, what=_option(name)) for name, (text, form) in texts.items() if text}

    def config(self, texts: Mapping[str, str], credentials: Credentials) -> Config:
        """Make the configuration of one control plane.

        Args:
            texts: what its templates have become.
            credentials: who we are to it.

        Raises:
            ConfigError: one of the texts cannot be used.
        """
        tls = self.tls or TLSConfig()
        if "ca_file" in texts:
            file = WatchedFile(Path(texts["ca_file"]), what=_option("ca_file"), check=check_certificate)
            tls = replace(tls, ca=None, ca_file=file, verify=True)
        server = texts["endpoint"]
        return Config(
            server,
            credentials,
            tls=replace(tls, server_name=texts.get("server_name", tls.server_name)),
            proxy=proxy_from_environ(server, os.environ) if self.proxy is None else self.proxy,
            source=_SOURCE,
            extra_headers=self.extra_headers,
            qps=self.qps,
            burst=self.burst,
            resolve=texts.get("resolve", ""),
        )


@dataclass(frozen=True, slots=True)
class Hosts:
    """Control planes at the hosts of a template.

    Attributes:
        mode: how they are reached.
        hub: how the hub is reached, which is none of them.
        templates: those of the mode.
    """

    mode: Internal
    hub: Config
    templates: Mapping[str, Template]

    def config_of(self, values: Values) -> Config:
        """See `Endpoints`."""
        texts = {name: template.render(values) for name, template in self.templates.items()}
        token_file = texts.get("token_file")
        credentials = self.mode.credentials or TokenFile(Path(token_file or ""), what=_option("token_file"))
        try:
            config = self.mode.config(texts, credentials)
        except ConfigError as error:
            raise Unfit(str(error)) from error
        if _leads_to(config, self.hub):
            msg = f"it would be reached at {config.server}, which is the hub"
            raise Unfit(msg)
        return config


def _leads_to(config: Config, hub: Config) -> bool:
    """Whether a URL is that of the hub, or of a root above it: its server answers there for others than a project."""
    path, above = _segments_of(hub), _segments_of(config)
    return _host_of(config) == _host_of(hub) and path[: len(above)] == above


def _host_of(config: Config) -> tuple[str, str]:
    name, _, port = config.host.rpartition(":")
    return name.rstrip("."), port


def _segments_of(config: Config) -> list[str]:
    return [each for each in unquote(config.base_path).split("/") if each]


def _option(name: str) -> str:
    return f"{_SOURCE}: {name.replace('_', '-')}"
