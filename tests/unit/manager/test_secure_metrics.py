from __future__ import annotations

import http.client
import ssl
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from kcontroller import Manager, ManagerOptions
from kcontroller.errors import ConfigError
from kcontroller.testing.managers import config_of

if TYPE_CHECKING:
    from kcontroller.embedded.server import EmbeddedServer

pytestmark = pytest.mark.usefixtures("no_leaks")

SECURE = ManagerOptions(metrics_bind_address="127.0.0.1:0", health_probe_bind_address="0", metrics_secure=True)


def scrape(manager: Manager, token: str) -> int:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    port = manager._parts.servers.port("metrics")
    with closing(http.client.HTTPSConnection("127.0.0.1", port, timeout=5, context=context)) as connection:
        connection.request("GET", "/metrics", headers={"Authorization": f"Bearer {token}"})
        return connection.getresponse().status


def test_the_hub_knows_who_reads_metrics(api_server: EmbeddedServer) -> None:
    with Manager(config_of(api_server), options=SECURE) as manager:
        assert scrape(manager, api_server.token) == 200
        assert scrape(manager, api_server.user_token("nobody")) == 403


def test_without_a_hub_it_has_to_be_said_who_knows_it(api_server: EmbeddedServer) -> None:
    clusters = {"eu": config_of(api_server)}
    with pytest.raises(ConfigError, match="metrics_secure needs a cluster that knows who reads them"):
        Manager(clusters=clusters, options=SECURE)
    with Manager(clusters=clusters, options=SECURE, metrics_config=config_of(api_server)) as manager:
        assert scrape(manager, api_server.token) == 200
