"""YAML that reads 2e-5 as a number and refuses duplicate keys."""

import re
from typing import Any

import yaml

from syneg.errors import BadInput


class _Twice(yaml.MarkedYAMLError):
    """A duplicate key; plain YAML silently keeps the last."""


class _Loader(yaml.SafeLoader):
    """YAML 1.1 reads 2e-5 as a string; here it is a number. A mapping has each key once."""

    def compose_mapping_node(self, anchor: dict[Any, yaml.Node]) -> yaml.MappingNode:
        # Checked on nodes, not values, because a key merged by `<<` may legitimately be overridden.
        node = super().compose_mapping_node(anchor)
        seen: dict[tuple[str, str], yaml.Node] = {}
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                first = seen.setdefault((key.tag, key.value), key)
                if first is not key:
                    problem = (
                        f"the key {key.value} stands twice in one mapping, first on line {_line(first.start_mark)}"
                    )
                    raise _Twice(problem=problem, problem_mark=key.start_mark)
        return node


def _line(mark: Any) -> int:
    return mark.line + 1


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?\d+(\.\d*)?[eE][-+]?\d+$"), list("-+0123456789")
)


def load(text: str | bytes, where: str) -> Any:
    """What `text` holds. `where` it came from is for the messages. Raises BadInput for what is no YAML."""
    try:
        return yaml.load(text, _Loader)
    except (yaml.YAMLError, ValueError) as error:  # ValueError: a date that there is not, bytes that are no UTF-8
        mark = getattr(error, "problem_mark", None)
        line = f":{_line(mark)}" if mark else ""
        if isinstance(error, _Twice):
            raise BadInput(f"{where}{line}: {error.problem}. Expected each key once: leave one of them.") from error
        raise BadInput(f"{where}{line}: no valid YAML ({getattr(error, 'problem', None) or error}).") from error
