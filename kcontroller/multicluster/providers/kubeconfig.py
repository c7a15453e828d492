"""Secrets of the hub that hold a kubeconfig: each is a cluster.

Whoever may write these Secrets decides where the process connects, and nothing else: a kubeconfig from a Secret is
data. It runs no program, reads no file here and reaches only hosts that are allowed (ADR 0031).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import math
import threading
from typing import TYPE_CHECKING, Any, Final

import msgspec

from kcontroller.api.selectors import LabelSelector
from kcontroller.cache.projection import pairs
from kcontroller.cache.scope import Holding
from kcontroller.cluster.source import Source
from kcontroller.errors import ConfigError
from kcontroller.multicluster.mailbox import Mailbox
from kcontroller.multicluster.provider import ClusterSpec
from kcontroller.multicluster.providers.hosts import HostPattern, refusal
from kcontroller.multicluster.providers.names import is_subdomain
from kcontroller.multicluster.providers.options import Option, ProviderType
from kcontroller.process.clock import SYSTEM_CLOCK
from kcontroller.process.logs import Log, described, one_line, redact
from kcontroller.process.repeats import BY_TURNS, Repeats
from kcontroller.process.threads import ThreadGroup
from kcontroller.transport.loading import config_from_data

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from kcontroller.cache.projection import Entry
    from kcontroller.cache.store import Change
    from kcontroller.cluster import CacheHandle, Cluster
    from kcontroller.multicluster.provider import Sink
    from kcontroller.multicluster.providers.options import ProviderContext
    from kcontroller.process.clock import Clock
    from kcontroller.transport.config import Config

SELECTOR: Final = "kcontroller.dev/kubeconfig=true"
KEY: Final = "kubeconfig"

_GONE: Final = "its Secret is gone, or does not have the labels any more"
_STOP_SECONDS: Final = 5.0
_TEXT_LIMIT: Final = 400

_log: Final = Log("kcontroller.multicluster")


class _Secret(msgspec.Struct):
    data: dict[str, str] | None = None

    def __repr__(self) -> str:
        return "_Secret(...)"


_decode: Final = msgspec.json.Decoder(_Secret).decode


class KubeconfigProvider:
    """The Secrets of one namespace of the hub that have certain labels, each with a kubeconfig in it.

    A cluster is named after its Secret and has its labels. A Secret that changes is the same cluster with another
    configuration; one that goes, loses the labels or cannot be used is a cluster that leaves, since what it said before
    may have been taken back.

    Args:
        namespace: of the Secrets; by default that of the hub's configuration: the pod's own.
        selector: the labels that they must have.
        key: of the Secret's data.
        context: of the kubeconfigs; by default the current one of each.
        allow_hosts: where they may lead, see `HostPattern`; without any, see `hosts.refusal`.
        clock: the time.

    Raises:
        ConfigError: the selector is malformed, or would read every Secret; a host is none.
    """

    name = "kubeconfig"
    patience: float | None = 30.0

    def __init__(
        self,
        *,
        namespace: str = "",
        selector: str | LabelSelector = SELECTOR,
        key: str = KEY,
        context: str = "",
        allow_hosts: Iterable[str | HostPattern] = (),
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        try:
            self._selector = LabelSelector.of(selector)
            self._hosts = tuple(HostPattern.of(each) if isinstance(each, str) else each for each in allow_hosts)
        except ValueError as error:
            msg = f"provider kubeconfig: {error}"
            raise ConfigError(msg) from error
        if not self._selector.requirements:
            msg = f"provider kubeconfig: an empty selector would read every Secret; write one such as {SELECTOR}"
            raise ConfigError(msg)
        self._namespace = namespace
        self._key = key
        self._context = context
        self._clock = clock
        self._cache: CacheHandle | None = None
        self._mailbox = Mailbox(clock=clock, due=lambda: math.inf, look=lambda: None)
        self._threads = ThreadGroup(on_failure=_note_failure)
        self._lock = threading.Lock()
        self._newest: dict[str, Entry | None] = {}
        self._stopped = False
        self._known: dict[str, tuple[bytes, Config]] = {}
        self._refused: dict[str, str] = {}
        self._repeats = Repeats(clock=clock, more=BY_TURNS)

    def start(self, sink: Sink, *, hub: Cluster | None) -> None:
        """Watch the Secrets on the hub's thread, and read them on one of its own.

        Raises:
            ConfigError: there is no hub.
        """
        if hub is None:
            msg = "provider kubeconfig needs the API server that has the Secrets; give the manager a config"
            raise ConfigError(msg)
        self._namespace = self._namespace or hub.config.namespace
        self._threads.spawn("provider", self.name, self._mailbox.run)
        self._cache = hub.cache("v1 Secret", Holding.of(namespaces=[self._namespace], labels=self._selector))
        self._cache.subscribe(
            lambda change: self._hear(sink, change), lambda: self._mailbox.post(lambda: self._all_listed(sink))
        )

    def stop(self) -> None:
        """Hear nothing more, and end the thread."""
        self._stopped = True
        if self._cache is not None:
            self._cache.close()
        self._mailbox.stop()
        self._threads.join(_STOP_SECONDS)

    # ---- the hub's thread ----------------------------------------------------------------------------------------

    def _hear(self, sink: Sink, change: Change) -> None:
        """Note the newest state: a kubeconfig is read elsewhere, and once for many changes in a row."""
        name = change.entry.key.name
        with self._lock:
            is_waiting = name in self._newest
            self._newest[name] = change.new
        if not is_waiting:
            self._mailbox.post(lambda: self._look(sink, name))

    # ---- the provider's thread -----------------------------------------------------------------------------------

    def _all_listed(self, sink: Sink) -> None:
        if not self._stopped:
            where = f"Secrets with {self._selector} in namespace {self._namespace}"
            _log.info("%d %s found; %d can be used", len(self._known) + len(self._refused), where, len(self._known))
            sink.listed()

    def _look(self, sink: Sink, name: str) -> None:
        with self._lock:
            secret = self._newest.pop(name)
        if self._stopped:
            return
        try:
            spec = self._spec_of(secret)
        except ConfigError as error:
            self._refuse(sink, name, secret, str(error))
        except Exception as error:  # noqa: BLE001 - one odd Secret must not harm the others
            self._refuse(sink, name, secret, f"Secret {self._namespace}/{name} cannot be read: {type(error).__name__}")
        else:
            if self._refused.pop(name, "") and spec is not None:
                self._say(_log.info, f"Secret {self._namespace}/{name} can be used again")
            if spec is None:
                self._known.pop(name, None)
                sink.absent(name, _GONE)
            else:
                sink.present(spec)

    def _refuse(self, sink: Sink, name: str, secret: Entry | None, text: str) -> None:
        why = one_line(redact(text))[:_TEXT_LIMIT]
        self._known.pop(name, None)
        if self._refused.get(name) != why:
            self._refused[name] = why
            self._say(_log.warning, why)
        sink.refused(name, why, None if secret is None else self._source(secret))

    def _source(self, secret: Entry) -> Source:
        return Source("v1", "Secret", secret.key.name, self._namespace, secret.uid)

    def _say(self, log: Callable[..., None], text: str) -> None:
        if told := self._repeats.told(text):
            log("%s", told, provider=self.name)

    def _spec_of(self, secret: Entry | None) -> ClusterSpec | None:
        if secret is None or not self._selector.matches(pairs(secret.labels)):
            return None
        name = secret.key.name
        if not is_subdomain(name):
            msg = f"a Secret is left out, since its name is no DNS subdomain: {name[:_TEXT_LIMIT]!r}"
            raise ConfigError(msg)
        config = self._config_of(secret, name)
        labels = tuple(pairs(secret.labels).items())
        return ClusterSpec(name, config, secret.uid, labels=labels, source=self._source(secret))

    def _config_of(self, secret: Entry, name: str) -> Config:
        what = f"Secret {self._namespace}/{name}"
        data = self._data_of(secret, what)
        digest = hashlib.sha256(data).digest()
        known = self._known.get(name)
        if known is not None and known[0] == digest:
            return known[1]
        config = config_from_data(data, source=what, context=self._context or None, clock=self._clock)
        if problem := refusal(config.server, self._hosts, server_name=config.tls.server_name):
            msg = f"{what}: {problem}"
            raise ConfigError(msg)
        self._known[name] = (digest, config)
        return config

    def _data_of(self, secret: Entry, what: str) -> bytes:
        data = _decode(secret.raw).data or {}
        if self._key not in data:
            msg = f"{what} has no {self._key!r} in its data; it has: {', '.join(sorted(data)) or 'nothing'}"
            raise ConfigError(msg)
        try:
            return base64.b64decode(data[self._key], validate=True)
        except binascii.Error:
            msg = f"{what}: {self._key} is not base64"
            raise ConfigError(msg) from None


def _note_failure(name: str, error: BaseException) -> None:
    _log.exception_of(error, "thread %s has failed: %s", name, described(error))


def _make(options: Mapping[str, Any], context: ProviderContext) -> KubeconfigProvider:
    words = {name.replace("-", "_"): value for name, value in options.items()}
    return KubeconfigProvider(**words, clock=context.clock)


PROVIDER: Final = ProviderType(
    "Secrets of the hub that hold a kubeconfig",
    (
        Option("namespace", "of the Secrets; by default that of the pod, or of the context"),
        Option("selector", f"labels that they must have; by default {SELECTOR}", LabelSelector.of),
        Option("key", f"of the Secret's data; by default {KEY}"),
        Option("context", "of the kubeconfigs; by default the current one of each"),
        Option(
            "allow-hosts",
            "the only hosts they may lead to, such as *.example.com or 10.0.0.0/8; by default all but this "
            "machine, its link and metadata services",
            HostPattern.of,
            many=True,
        ),
    ),
    _make,
)
