"""``kcontroller run --once``, as a CronJob runs it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from kcontroller.testing import EmbeddedServer
    from tests.integration.daemons import Daemons

MAPS = "/api/v1/namespaces/default/configmaps"
PLUGIN = """
from kcontroller import Object, ObjectReconciler

class Maps(ObjectReconciler[Object]):
    kind = "v1 ConfigMap"
    def reconcile_object(self, ctx, obj):
        if obj.metadata.name == "wrong":
            raise ValueError("it is wrong")
        ctx.log.info("content")
"""


@pytest.mark.parametrize(("names", "code"), [(("a", "b", "c"), 0), (("a", "wrong", "c"), 1)])
def test_one_round_says_by_its_exit_code_whether_all_is_well(
    api_server: EmbeddedServer, run: Daemons, tmp_path: Path, names: tuple[str, ...], code: int
) -> None:
    for name in names:
        assert api_server.request("POST", MAPS, {"metadata": {"name": name}})[0] == 201
    (tmp_path / "plugin.py").write_text(PLUGIN, encoding="utf-8")
    kubeconfig = api_server.write_kubeconfig(tmp_path / "kubeconfig")
    daemon = run(tmp_path / "plugin.py", "--kubeconfig", kubeconfig, "-n", "default", "--once", "--once-timeout", "20s")
    assert daemon.process.wait(30) == code
    assert daemon.text.count("content") >= 2
    assert ("failed: default/wrong" in daemon.text) == bool(code)
