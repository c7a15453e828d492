"""YAML in which a mapping has each key once: of two, YAML's safe loader takes the last and says nothing."""

from __future__ import annotations

from typing import Any

import yaml


def load(data: bytes) -> Any:
    """Read one document of plain values.

    Raises:
        ValueError: a mapping has a key twice; the text names it and both lines.
        yaml.YAMLError: it is no YAML.
    """
    return yaml.load(data, Loader=_Loader)  # noqa: S506 - a safe loader


class _Loader(yaml.SafeLoader):
    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        # Here and not where it becomes a dict: by then the keys of "<<" are among the others, which go before them.
        node = super().compose_mapping_node(anchor)
        lines: dict[tuple[str, str], int] = {}
        for key, _value in node.value:
            if isinstance(key, yaml.ScalarNode):
                line, said = key.start_mark.line + 1, (key.tag, key.value)
                if said in lines:
                    msg = f"{key.value!r} is in line {lines[said]} and again in line {line}; keep one"
                    raise ValueError(msg)
                lines[said] = line
        return node
