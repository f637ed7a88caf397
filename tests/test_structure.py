"""The house: which room may know which, what needs no torch, and how large things may grow."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import corll.config
import corll_client
from corll.configuring import Config

SOURCE = Path(corll.config.__file__).parent
CLIENT = Path(corll_client.__file__).parent

GROUND = (
    "version errors moved cache configuring config records text signatures frames edits guards "
    "feedback buffer evaluation durable_points exposure untrusted"
)

# Each room and what its files may import beside the room itself, wherever in a file. A room is a
# module, or a package with all that no other room of it claims; `ground` stands for GROUND.
ROOMS = {
    **dict.fromkeys(GROUND.split(), "ground"),
    "files": "ground",
    "memory": "ground",
    "schemas": "edits text frames records memory verdicts",
    "catalog": "cache config errors files",
    "losses": "config errors edits",
    "compute": "config errors compute.kept_prefixes",
    "compute.kept_prefixes": "compute",
    "compute.free_processors": "",
    "compute.choose": "config errors compute compute.cpu",
    "compute.cpu": "config errors cache compute",
    "model": "ground memory compute compute.kept_prefixes catalog",
    "auto": "ground files compute compute.choose catalog model",
    "policy": "ground losses compute compute.choose model",
    "draft": "ground memory policy",
    "gradient": "ground losses memory policy",
    "learners": "ground losses memory gradient policy",
    "step": "ground learners gradient model policy",
    "learner": "ground memory step draft model policy",
    "algorithm": "ground learner",
    "simulation": "ground memory losses model policy draft step learner",
    "laboratory": "ground files memory losses catalog.shapes compute compute.choose model policy "
    "draft step learner algorithm simulation",
    "verdicts": "ground memory",
    "verdicts.policies": "ground memory compute model policy verdicts",
    "fleet": "ground laboratory.figures.style",
    "replay": "ground files memory edit_logs verdicts model policy learner "
    "laboratory.figures.style",
    "client": "errors moved records schemas",
    "past_texts": "ground files",
    "edit_logs": "ground files",
    "service": "ground memory verdicts schemas service.store service.version_store "
    "service.drafting service.learning service.versions service.api catalog auto model policy "
    "learners compute.free_processors",
    "service.version_store": "ground files model service.versions.publishing",
    "service.store": "ground memory verdicts schemas service.version_store",
    "service.versions": "ground files schemas model service service.store service.version_store",
    "service.drafting": "ground memory verdicts schemas compute compute.kept_prefixes model policy "
    "draft service service.store service.version_store service.versions.publishing",
    "service.learning": "ground memory verdicts verdicts.policies schemas files model policy draft "
    "auto.dialogue gradient step learner service service.store service.version_store "
    "service.versions compute.free_processors",
    "service.api": "ground memory verdicts schemas model service service.store service.versions "
    "service.drafting.requests service.drafting.serving service.drafting.drafter "
    "service.drafting.fairness",
    "service.backup": "ground files model service service.store service.version_store "
    "service.versions",
    "service.audit": "ground memory verdicts model policy service service.store service.learning",
    "service.doctor": "ground files model service service.store service.version_store "
    "service.versions",
    "service.web": "",
    "cli": "ground memory schemas files catalog auto model policy draft learner algorithm "
    "simulation laboratory fleet client past_texts edit_logs replay service service.store "
    "service.version_store service.learning service.versions service.backup service.doctor "
    "service.audit",
}

KNOW_THE_CLIENT = {"client", "client.calls", "cli.imports", "cli.mcp", "errors", "version"}
"""The modules that import `corll_client`, for its errors, its version, or to be a client."""

WITHOUT_TORCH = [
    "",
    *GROUND.split(),
    "algorithm",
    "client",
    "client.calls",
    "catalog.choosing",
    "catalog.here",
    "auto.dialogue",
    "files.formats",
    "files.run_folder",
    "memory.choosing",
    "memory.exchanges",
    "memory.leaks",
    "past_texts.reading",
    "edit_logs.human_edits",
    "edit_logs.reading",
    "verdicts.anytime",
    "verdicts.arms",
    "verdicts.evidence",
    "verdicts.flaws",
    "verdicts.readable",
    "verdicts.refusals",
    "verdicts.rejections",
    "verdicts.ruin",
    "verdicts.surprisal",
    "verdicts.survival",
    "verdicts.tokens",
    "verdicts.veto",
    "fleet.day",
    "fleet.measured",
    "replay.intervals",
    "schemas.requests",
    "simulation",
    "simulation.axes",
    "simulation.effort",
    "simulation.poison",
    "simulation.writers",
    "laboratory.tasks",
    "laboratory.sentiment",
    "laboratory.arms",
    "laboratory.linear_world",
    "laboratory.softmax_world.playing",
    "laboratory.sizes",
    "laboratory.statistics",
    "service.settings",
    "service.audit.plan",
    "service.learning.child",
    "service.learning.supervisor",
    "service.store.database",
    "service.version_store.remote",
    "service.versions.forgetting",
    "service.api.app",
    "cli.audit",
    "cli.backup",
    "cli.consent",
    "cli.doctor",
    "cli.keys",
    "cli.mcp",
    "cli.adapters",
    "cli.forget",
    "cli.verify_deletion",
    "cli.imports",
    "cli.models",
    "cli.restore",
    "cli.simulate_fleet",
]
LONGEST_MODULE, LONGEST_FUNCTION = 400, 60

MODULES = sorted(path for path in SOURCE.rglob("*.py") if path != SOURCE / "__init__.py")
CLIENT_MODULES = sorted(set(CLIENT.rglob("*.py")) - {CLIENT / "answers.py"})  # it is generated
ids = [str(path.relative_to(SOURCE)) for path in MODULES]
each_module = pytest.mark.parametrize("path", MODULES, ids=ids)


def name_of(path: Path) -> str:
    """`service.store.drafts` of that file; a package of its `__init__.py`."""
    parts = path.relative_to(SOURCE).with_suffix("").parts
    return ".".join(parts).removesuffix("__init__").removesuffix(".")


def room_of(name: str) -> str:
    """The smallest room that a module is in."""
    parts = name.split(".")
    names = (".".join(parts[:length]) for length in range(len(parts), 0, -1))
    return next(name for name in names if name in ROOMS)


@cache
def imports(path: Path, *, while_typing: bool = True) -> frozenset[str]:
    """Every module of corll that a file imports, wherever in it; `` is the package's root."""
    found: set[str] = set()
    for node in _nodes(ast.parse(path.read_text(encoding="utf-8")), while_typing=while_typing):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            module = node.module or ""
            # `from corll.files import durable` names a module, `from corll import Policy` not.
            for alias in node.names:
                inside = SOURCE.parent / module.replace(".", "/") / alias.name
                is_module = inside.is_dir() or inside.with_suffix(".py").exists()
                found.add(f"{module}.{alias.name}" if is_module else module)
    own = {name for name in found if name == "corll" or name.startswith("corll.")}
    return frozenset(name.removeprefix("corll").removeprefix(".") for name in own)


def _nodes(tree: ast.AST, *, while_typing: bool) -> Iterator[ast.AST]:
    for node in ast.iter_child_nodes(tree):
        for_types = isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        if for_types and not while_typing:
            continue
        yield node
        yield from _nodes(node, while_typing=while_typing)


def allowed(room: str) -> set[str]:
    """The rooms, or single modules, that a room may import."""
    names = ROOMS[room].replace("ground", GROUND).split()
    return {room, *names}


@each_module
def test_each_module_imports_from_the_rooms_it_may_know(path: Path) -> None:
    room = room_of(name_of(path))
    others = {name for name in imports(path) if name}
    odd = {name for name in others if not {name, room_of(name)} & allowed(room)}
    assert odd == set()


@each_module
def test_nothing_is_imported_from_the_package_root(path: Path) -> None:
    assert "" not in imports(path)


def test_no_modules_import_each_other_in_a_circle() -> None:
    """Wherever in a file, but for types alone; a package is not its modules."""
    known = {name_of(path) for path in MODULES}
    graph = {name_of(path): imports(path, while_typing=False) & known for path in MODULES}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"a circle: {' → '.join(error.args[1])}")


def test_rooms_do_not_know_each_other_in_a_circle() -> None:
    """But for a package and the rooms inside it."""
    graph = {
        room: {
            other
            for other in map(room_of, ROOMS[room].replace("ground", "").split())
            if room.split(".")[0] != other.split(".")[0]
        }
        for room in ROOMS
    }
    TopologicalSorter(graph).prepare()


def test_only_the_choice_of_a_backend_knows_the_processor() -> None:
    """Who asks for a device's type, and who imports its quick paths."""
    asking = {
        name_of(path)
        for path in MODULES
        if "device.type" in path.read_text(encoding="utf-8")
        or any(name.startswith("compute.cpu") for name in imports(path))
    }
    outside = {name for name in asking if not name.startswith("compute.cpu")}
    assert outside == {"compute.choose", "model.loading"}


def packages_of(path: Path) -> set[str]:
    """The packages of which a file imports something, wherever in it."""
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    whole = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    parts = [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)]
    return {name.partition(".")[0] for name in [*whole, *parts]}


@pytest.mark.parametrize("path", CLIENT_MODULES, ids=lambda path: path.name)
def test_the_client_needs_openai_and_pydantic_alone(path: Path) -> None:
    ours = packages_of(path) - sys.stdlib_module_names
    assert ours <= {"corll_client", "openai", "pydantic"}


def test_who_knows_the_client() -> None:
    knowing = {name_of(path) for path in MODULES if "corll_client" in packages_of(path)}
    assert knowing == KNOW_THE_CLIENT


def test_these_can_be_imported_without_torch() -> None:
    """Each as the first of corll that a process imports; the first that brings it is told."""
    code = (
        "import sys; from importlib import import_module\n"
        "for name in sys.argv[1:]:\n"
        "    for known in list(sys.modules):\n"
        "        if known.partition('.')[0] in ('corll', 'corll_client'):\n"
        "            del sys.modules[known]\n"
        "    import_module(name)\n"
        "    heavy = {'torch', 'transformers', 'peft'} & set(sys.modules)\n"
        "    assert not heavy, f'{name} imports {heavy}'\n"
    )
    names = [f"corll.{name}" if name else "corll" for name in WITHOUT_TORCH]
    command = [sys.executable, "-c", code, *names]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def every_config(of: type[Config] = Config) -> list[type[Config]]:
    return [found for one in of.__subclasses__() for found in [one, *every_config(one)]]


@pytest.mark.parametrize("config", every_config(), ids=lambda config: config.__name__)
def test_each_setting_says_in_a_line_what_it_means(config: type[Config]) -> None:
    missing = [name for name, field in config.model_fields.items() if not field.description]
    assert missing == []
    assert all("\n" not in str(field.description) for field in config.model_fields.values())


@pytest.mark.parametrize("path", [*MODULES, *CLIENT_MODULES], ids=str)
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
