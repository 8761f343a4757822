"""YAML that others wrote is held to a size before it is read: a kilobyte of aliases can unfold into gigabytes."""

from __future__ import annotations

from pathlib import Path

import yaml

from nin_exp.errors import ConfigError

_MOST_BYTES = 1_000_000
_MOST_VALUES = 100_000


def read_bounded(path: Path) -> str:
    """The text of a YAML file; not parsed, and perhaps no YAML.

    Raises:
        ConfigError: it is larger than a configuration, is nested too deeply, or unfolds into too much.
        OSError: it cannot be read.
        UnicodeDecodeError: it is no text.
    """
    if path.stat().st_size > _MOST_BYTES:
        raise ConfigError(f"{path} must be a configuration of at most {_MOST_BYTES // 1_000_000} MB; make it smaller")
    text = path.read_text(encoding="utf-8")
    try:
        node = yaml.compose(text, yaml.SafeLoader)
        num_values = 0 if node is None else _unfolded(node, {})
    except yaml.YAMLError:
        return text  # its reader tells where it is wrong
    except RecursionError as error:
        raise ConfigError(f"{path} must not be nested so deeply; make it flatter") from error
    if num_values > _MOST_VALUES:
        raise ConfigError(f"{path} must hold at most {_MOST_VALUES:,} values, and its aliases unfold into more")
    return text


def _unfolded(node: yaml.Node, known: dict[int, int]) -> int:
    """Values of a node with every alias written out."""
    if id(node) not in known:
        known[id(node)] = 1  # also ends a cycle
        if isinstance(node, yaml.MappingNode):
            known[id(node)] += sum(_unfolded(value, known) for _, value in node.value)
        elif isinstance(node, yaml.SequenceNode):
            known[id(node)] += sum(_unfolded(value, known) for value in node.value)
    return known[id(node)]
