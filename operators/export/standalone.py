"""Writes the torch form of an architecture as one Python file that needs nothing but torch.

The file is made of this package's own source: the definitions that the model needs, found by following their names.
"""

import ast
import importlib
import inspect
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from operators.architecture import Architecture
from operators.errors import ExportError
from operators.registry import MIXERS, Registry

HEADER = '''"""{title}

Made by Loopfront (Apache-2.0) of its own operators; it needs nothing but torch.
"""
'''
OPERATOR = '''@dataclass(frozen=True)
class Operator:
    """A token mixer: its config and its torch module."""

    config: type[Any]
    module: Callable[..., Any]'''
SUBSTITUTED_IMPORTS = {
    "dataclass": "from dataclasses import dataclass",
    "Any": "from typing import Any",
    "Callable": "from collections.abc import Callable",
}


def standalone_source(architecture: Architecture, title: str, registry: Registry = MIXERS) -> str:
    """Return a module that builds models of an architecture's mixers: `LanguageModel`, `fresh_model` and their needs.

    Raises ExportError where two definitions of one name differ, as a new operator might bring them.
    """
    entries = {block.mixer.name: registry[block.mixer.name] for block in architecture.blocks}
    file = _File(_mixers_literal(entries))
    for entry in entries.values():
        file.need(entry.config.__module__, entry.config.__name__)
        file.need(entry.module.__module__, entry.module.__name__)
    for module, name in (
        ("operators.notation", "architecture_from_dict"),
        ("operators.model", "LanguageModel"),
        ("operators.model", "fresh_model"),
    ):
        file.need(module, name)
    return HEADER.format(title=title) + "\n" + file.text() + "\n"


def _mixers_literal(entries: dict[str, Any]) -> str:
    lines = [
        f'    "{name}": Operator({entry.config.__name__}, {entry.module.__name__}),'
        for name, entry in entries.items()
    ]
    return "\n".join(["MIXERS = {", *lines, "}"])


@dataclass(frozen=True)
class _Module:
    """A module's top-level definitions as text and syntax, and where its imported names come from."""

    definitions: dict[str, tuple[str, ast.stmt]]
    inside: dict[str, tuple[str, str]]
    outside: dict[str, str]


@dataclass
class _File:
    """Collects definitions, each after what it needs."""

    mixers: str
    imports: set[str] = field(default_factory=set)
    texts: dict[str, str] = field(default_factory=dict)
    _seen: set[tuple[str, str]] = field(default_factory=set)

    def need(self, module_name: str, name: str) -> None:
        """Take a definition and everything that it names."""
        if (module_name, name) in self._seen or name in ("MIXERS", "Operator"):
            self._take_registry(name)
            return
        self._seen.add((module_name, name))
        text, statement = _parsed(module_name).definitions[name]
        for used in _names(statement):
            self._resolve(module_name, used)
        if self.texts.setdefault(name, text) != text:
            raise ExportError(
                f"{module_name}.{name}: another operator defines this name differently; rename it"
            )

    def text(self) -> str:
        """Return the file's imports and definitions."""
        plain = sorted(line for line in self.imports if line.startswith("import "))
        named = sorted(self.imports - set(plain))
        return "\n".join([*plain, *named, "", "", "\n\n\n".join(self.texts.values())])

    def _resolve(self, module_name: str, used: str) -> None:
        module = _parsed(module_name)
        if used in module.definitions:
            self.need(module_name, used)
        elif used in module.inside:
            self.need(*module.inside[used])
        elif used in module.outside:
            self.imports.add(module.outside[used])

    def _take_registry(self, name: str) -> None:
        if name in ("MIXERS", "Operator"):
            self.imports |= set(SUBSTITUTED_IMPORTS.values())
            self.texts.setdefault("Operator", OPERATOR)
        if name == "MIXERS":
            self.texts.setdefault("MIXERS", self.mixers)


@cache
def _parsed(module_name: str) -> _Module:
    source = inspect.getsource(importlib.import_module(module_name))
    lines = source.splitlines()
    module = _Module({}, {}, {})
    for statement in ast.parse(source).body:
        if isinstance(statement, ast.Import | ast.ImportFrom):
            _note_import(module, statement)
        for name in _defined(statement):
            decorators = getattr(statement, "decorator_list", [])
            first = min(each.lineno for each in [statement, *decorators])
            module.definitions[name] = "\n".join(lines[first - 1 : statement.end_lineno]), statement
    return module


def _note_import(module: _Module, statement: ast.Import | ast.ImportFrom) -> None:
    for alias in statement.names:
        name = alias.asname or alias.name
        if isinstance(statement, ast.Import):
            module.outside[name.partition(".")[0]] = f"import {alias.name}"
        elif (statement.module or "").startswith("operators."):
            module.inside[name] = (str(statement.module), alias.name)
        else:
            module.outside[name] = f"from {statement.module} import {alias.name}"


def _defined(statement: ast.stmt) -> Iterator[str]:
    if isinstance(statement, ast.ClassDef | ast.FunctionDef):
        yield statement.name
    elif isinstance(statement, ast.Assign):
        yield from (target.id for target in statement.targets if isinstance(target, ast.Name))
    elif isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
        yield statement.target.id


def _names(statement: ast.stmt) -> list[str]:
    """Every name that a definition reads, in the order of first use."""
    found = (node.id for node in ast.walk(statement) if isinstance(node, ast.Name))
    return list(dict.fromkeys(found))
