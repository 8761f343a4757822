"""Read a class's arguments and their types from its source, without importing it.

Composing and planning must stay free of torch (its import costs seconds), yet check every argument of the
classes that a configuration names. Python's syntax tree holds all that is needed.
"""

from __future__ import annotations

import ast
import importlib.util
import sys
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal

import nin_exp
from nin_exp import ranges
from nin_exp.errors import ConfigError, RefusedError, nearest

# Supplied when a network or an executor is built, never by a configuration.
BUILD_TIME = {"self", "in_spec", "num_classes", "class_map_block", "demand"}
_KNOWN: dict[str, Any] = {
    **{t.__name__: t for t in (int, float, str, bool, list, tuple, dict)},
    **{n: getattr(ranges, n) for n in dir(ranges) if n[0].isupper()},
    "Literal": Literal,
    "Annotated": Annotated,
    "Any": Any,
    "Sequence": list,
    "None": None,
}


def source_file(module: str, allowed_packages: tuple[str, ...] = ("nin_exp",)) -> Path:
    """The file of a module inside an allowed package.

    Raises:
        ConfigError: there is no such module.
    """
    top, *rest = module.split(".")
    if top == "nin_exp":
        root = Path(nin_exp.__file__).parent
    else:
        spec = importlib.util.find_spec(top) if top in allowed_packages else None
        if spec is None or spec.origin is None:
            raise ConfigError(f"_target_ names the package '{top}', which is not installed")
        root = Path(spec.origin).parent
        if not spec.submodule_search_locations:
            return Path(spec.origin)
    path = root.joinpath(*rest)
    for candidate in (path.with_suffix(".py") if rest else path / "__init__.py", path / "__init__.py"):
        if candidate.is_file():
            return candidate
    raise ConfigError(f"_target_ names the module '{module}', which does not exist")


def check_package(name: str) -> None:
    """Hold what ``--allow-package`` names against what may be trusted.

    Raises:
        ConfigError: it is no top-level package's name.
        RefusedError: it comes with Python: ``os.system`` is nobody's head.
    """
    if not name.isidentifier():
        raise ConfigError(f"--allow-package must be the name of a top-level package, got '{name}'; without dots")
    if name in sys.stdlib_module_names:
        raise RefusedError(f"--allow-package must be a package of your own, got '{name}', which comes with Python")


def check_allowed(target: object, key: str, allowed_packages: tuple[str, ...]) -> str:
    """Return the target when it may be built.

    Raises:
        RefusedError: it is outside the trusted packages.
    """
    if not isinstance(target, str) or target.split(".")[0] not in allowed_packages or "." not in target:
        raise RefusedError(
            f"{key}._target_ must lie in {' or '.join(allowed_packages)}, got '{target}'; "
            "trust a package of your own with --allow-package PACKAGE"
        )
    return target


@lru_cache(maxsize=256)
def read_signature(target: str, allowed_packages: tuple[str, ...] = ("nin_exp",)) -> dict[str, Any]:
    """Map the arguments that a configuration must give to their types.

    Raises:
        ConfigError: the module or class does not exist.
    """
    module, _, name = target.rpartition(".")
    tree = _parse(source_file(module, allowed_packages))
    node = next((n for n in tree.body if isinstance(n, ast.ClassDef | ast.FunctionDef) and n.name == name), None)
    if node is None:
        classes = [n.name for n in tree.body if isinstance(n, ast.ClassDef)]
        raise ConfigError(f"_target_ names '{name}', which {module} does not define.{nearest(name, classes)}")
    return _arguments(node, tree)


def _arguments(node: ast.ClassDef | ast.FunctionDef, tree: ast.Module) -> dict[str, Any]:
    if isinstance(node, ast.FunctionDef):
        arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        return {a.arg: _evaluate(a.annotation, tree) for a in arguments if a.arg not in BUILD_TIME}
    init = next((n for n in node.body if isinstance(n, ast.FunctionDef) and n.name == "__init__"), None)
    if init is not None:
        return _arguments(init, tree)
    found: dict[str, Any] = {}
    for base in node.bases:
        if isinstance(base, ast.Name):
            parent = _find(base.id, tree)
            if parent is not None and isinstance(parent[0], ast.ClassDef):
                found.update(_arguments(parent[0], parent[1]))
    for item in node.body:
        if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name) and not _is_class_var(item.annotation):
            found[item.target.id] = _evaluate(item.annotation, tree)
    return found


def _is_class_var(annotation: ast.expr) -> bool:
    return "ClassVar" in ast.unparse(annotation)


def _find(name: str, tree: ast.Module) -> tuple[ast.ClassDef | ast.expr, ast.Module] | None:
    """Where a name of a module is defined: here, or in the nin_exp module it is imported from."""
    for statement in tree.body:
        if isinstance(statement, ast.ClassDef) and statement.name == name:
            return statement, tree
        if isinstance(statement, ast.Assign) and any(
            isinstance(t, ast.Name) and t.id == name for t in statement.targets
        ):
            return statement.value, tree
        if isinstance(statement, ast.ImportFrom) and (statement.module or "").startswith("nin_exp"):
            for alias in statement.names:
                if (alias.asname or alias.name) == name:
                    return _find(alias.name, _parse(source_file(str(statement.module))))
    return None


def _evaluate(annotation: ast.expr | None, tree: ast.Module) -> Any:
    """Turn an annotation's syntax into a type; what is not plain data becomes Any."""
    if annotation is None:
        return Any
    names = {n.id for n in ast.walk(annotation) if isinstance(n, ast.Name)}
    namespace = dict(_KNOWN)
    for name in names - set(namespace):
        found = _find(name, tree)
        namespace[name] = _evaluate(found[0], found[1]) if found and isinstance(found[0], ast.expr) else Any
    try:
        expression = compile(ast.Expression(annotation), "<annotation>", "eval")
        # Not user input: the source of a trusted class, and no builtins.
        return eval(expression, {"__builtins__": {}}, namespace)
    except (NameError, TypeError, AttributeError):
        return Any


@lru_cache(maxsize=256)
def _parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
