"""Check a composed configuration: unknown keys, missing keys, types, ranges, rules; all problems at once."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import Any

from nin_exp.compose.rules import rule_violations
from nin_exp.compose.signature import check_allowed, read_signature
from nin_exp.config import OPEN_GROUPS, ExperimentConfig, field_types
from nin_exp.errors import ConfigError, nearest
from nin_exp.ranges import check

TRUSTED = ("nin_exp",)


def checked_config(values: dict[str, Any], allowed_packages: tuple[str, ...] = TRUSTED) -> ExperimentConfig:
    """Turn a resolved mapping into a configuration.

    Raises:
        ConfigError: with every problem that was found, in one line.
        RefusedError: a target lies outside the trusted packages.
    """
    problems = _check_fields("", values, ExperimentConfig)
    if any(p.startswith("seed ") for p in problems):  # the others follow it unless they are set: say it once
        problems = [p for p in problems if "_seed must" not in p]
    for group in (*OPEN_GROUPS, "executor"):
        if isinstance(values.get(group), dict):
            problems += _check_node(group, values[group], allowed_packages)
    for name, node in (values.get("logger") or {}).items():
        problems += _check_node(f"logger.{name}", node, allowed_packages)
    try:
        config = ExperimentConfig.from_dict(values)
    except (KeyError, TypeError):  # sections are missing, which the fields' own problems say
        raise ConfigError(*problems) from None
    problems += rule_violations(config, may_be_wrong=bool(problems))
    if problems:
        raise ConfigError(*problems)
    return config


def _check_fields(prefix: str, values: dict[str, Any], kind: Any) -> list[str]:
    hints = field_types(kind)
    names = [f.name for f in fields(kind)]
    problems = [f"{prefix}{key} is unknown.{nearest(key, names)}" for key in values if key not in names]
    for name in names:
        key = f"{prefix}{name}"
        if name not in values:
            problems.append(f"{key} is missing; set {key}=…")
        elif is_dataclass(hints[name]):
            if isinstance(values[name], dict):
                problems += _check_fields(f"{key}.", values[name], hints[name])
            else:
                problems.append(f"{key} must be a mapping, got {values[name]!r}")
        else:
            problems += check(key, values[name], hints[name])
    return problems


def _check_node(key: str, node: Any, allowed_packages: tuple[str, ...]) -> list[str]:
    if not isinstance(node, dict) or "_target_" not in node:
        return [f"{key} must name a class in _target_, got {node!r}; choose an option with {key}=NAME"]
    target = check_allowed(node["_target_"], key, allowed_packages)
    try:
        signature = read_signature(target, allowed_packages)
    except ConfigError as error:
        return [f"{key}.{error}"]
    given = {k: v for k, v in node.items() if k != "_target_"}
    problems = [
        f"{key}.{name} is not an argument of {target}.{nearest(name, signature)}"
        for name in given
        if name not in signature
    ]
    problems += [f"{key}.{name} is missing; {target} takes it" for name in signature if name not in given]
    for name, annotation in signature.items():
        if name in given:
            problems += check(f"{key}.{name}", given[name], annotation)
    for name, value in given.items():
        problems += _check_nested(f"{key}.{name}", value, allowed_packages)
    return problems


def _check_nested(key: str, value: Any, allowed_packages: tuple[str, ...]) -> list[str]:
    """Targets may hide at any depth; none may escape the allow-list."""
    if isinstance(value, dict):
        if "_target_" in value:
            return _check_node(key, value, allowed_packages)
        return [p for k, v in value.items() for p in _check_nested(f"{key}.{k}", v, allowed_packages)]
    if isinstance(value, list):
        return [p for i, v in enumerate(value) for p in _check_nested(f"{key}[{i}]", v, allowed_packages)]
    return []
