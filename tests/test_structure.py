"""The house: which module may import which, what needs torch, and how large things may grow."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import corll.config
from corll.config import Config

SOURCE = Path(corll.config.__file__).parent

# From the ground up: each module imports only from those named before it.
ROOMS = [
    "version",
    "errors",
    "config",
    "cache",
    "records",
    "edits",
    "feedback",
    "buffer",
    "files.durable",
    "files.formats",
    "model.file_names",
    "model.tokens",
    "compute.packing",
    "compute.cpu.side_by_side",
    "compute.cpu.kernels",
    "compute.cpu.tiled_products",
    "compute.cpu.attention",
    "compute.branching_cache",
    "model.loading",
    "model.mapped_weights",
    "compute.cpu.frozen_linear",
    "compute.lora",
    "compute.cpu.joined_linear",
    "compute.cpu.fused_layers",
    "model.memory",
    "compute.scoring",
    "compute.decoding",
    "losses",
    "model.adapters",
    "model.whole_copies",
    "policy",
    "draft",
    "gradient",
    "step",
    "learner",
    "algorithm",
    "evaluation",
    "files.run_folder",
]
PACKAGES = ["client", "past_texts", "simulation", "laboratory", "service", "cli"]
MAY_IMPORT = {"laboratory": {"simulation"}, "cli": set(PACKAGES)}
WITHOUT_TORCH = [
    "errors",
    "config",
    "records",
    "edits",
    "feedback",
    "simulation.axes",
    "laboratory.linear_world",
    "buffer",
    "files.formats",
    "files.run_folder",
    "simulation",
    "laboratory.tasks",
    "laboratory.sentiment",
    "laboratory.arms",
    "laboratory.sizes",
    "laboratory.statistics",
    "service.settings",
    "service.store.database",
    "service.api.app",
    "past_texts.reading",
    "client",
    "client.calls",
    "cli.keys",
    "cli.adapters",
    "cli.imports",
]
LONGEST_MODULE, LONGEST_FUNCTION = 400, 60

MODULES = sorted(path for path in SOURCE.rglob("*.py") if path != SOURCE / "__init__.py")
ids = [str(path.relative_to(SOURCE)) for path in MODULES]
each_module = pytest.mark.parametrize("path", MODULES, ids=ids)


def home(path: Path) -> str:
    """The room that a file is, or the package that it belongs to."""
    parts = path.relative_to(SOURCE).with_suffix("").parts
    return parts[0] if parts[0] in PACKAGES else ".".join(parts).removesuffix(".__init__")


def imports(path: Path) -> set[str]:
    """Every module of corll that a file imports, wherever in it; `corll` is the root."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            module = node.module or ""
            # `from corll import durable` names a module, `from corll import Policy` does not.
            for alias in node.names:
                inside = SOURCE.parent / module.replace(".", "/") / f"{alias.name}.py"
                found.add(f"{module}.{alias.name}" if inside.exists() else module)
    return {name for name in found if name == "corll" or name.startswith("corll.")}


def test_every_module_has_its_place() -> None:
    homes = {home(path) for path in MODULES if path.name != "__init__.py"}
    assert homes - set(PACKAGES) == set(ROOMS)


@each_module
def test_imports_go_up_the_list_only(path: Path) -> None:
    own = home(path)
    if own in ROOMS:
        allowed = {f"corll.{name}" for name in ROOMS[: ROOMS.index(own)]}
        assert imports(path) - {"corll"} <= allowed
        return
    if path.name == "__init__.py" and own not in PACKAGES:
        assert imports(path) == set()
        return
    packages = {own} | MAY_IMPORT.get(own, set())
    others = {name.removeprefix("corll.") for name in imports(path) - {"corll"}}
    assert {name for name in others if name.split(".")[0] not in packages} <= set(ROOMS)


@each_module
def test_nothing_is_imported_from_the_package_root(path: Path) -> None:
    assert "corll" not in imports(path)


@pytest.mark.parametrize("name", ["", *WITHOUT_TORCH])
def test_it_can_be_imported_without_torch(name: str) -> None:
    module = f"corll.{name}" if name else "corll"
    heavy = "{'torch', 'transformers', 'peft'}"
    code = f"import sys, {module}; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "[]", done.stderr


def every_config(of: type[Config] = Config) -> list[type[Config]]:
    return [found for one in of.__subclasses__() for found in [one, *every_config(one)]]


@pytest.mark.parametrize("config", every_config(), ids=lambda config: config.__name__)
def test_each_setting_says_in_a_line_what_it_means(config: type[Config]) -> None:
    missing = [name for name, field in config.model_fields.items() if not field.description]
    assert missing == []
    assert all("\n" not in str(field.description) for field in config.model_fields.values())


@each_module
def test_modules_and_functions_stay_small(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= LONGEST_MODULE
    functions = [
        node
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    long = [f.name for f in functions if (f.end_lineno or 0) - f.lineno >= LONGEST_FUNCTION]
    assert long == []


@each_module
def test_each_module_says_what_it_is(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
