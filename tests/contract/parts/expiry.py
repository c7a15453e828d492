from __future__ import annotations

from typing import TYPE_CHECKING

from tests.contract.cases import part
from tests.contract.objects import config_map

if TYPE_CHECKING:
    from tests.contract.dialogue import Dialogue

case = part("list and paging", forgetful=True)


@case
def a_continue_token_expires(api: Dialogue) -> None:
    for name in "abc":
        api.quietly("POST", api.config_maps, config_map(name))
    first = api.get(api.config_maps, limit=1)
    api.quietly("DELETE", f"{api.config_maps}/b")
    api.outdate(first.version)
    refused = api.get(api.config_maps, limit=1, continue_=first.more, expect=410)
    api.get(api.config_maps, limit=1, continue_=refused.more)


@case
def an_exact_version_expires(api: Dialogue) -> None:
    made = api.quietly("POST", api.config_maps, config_map("a"))
    api.outdate(made.version)
    api.get(api.config_maps, resourceVersion=made.version, resourceVersionMatch="Exact", expect=410)
    api.get(api.config_maps, resourceVersion=made.version)
