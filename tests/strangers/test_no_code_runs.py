"""Nothing of ours reads a file in a way that can run what is in it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import corll.config

SOURCE = Path(corll.config.__file__).parent
ROOT = Path(__file__).parents[2]
FILES = sorted(
    path
    for folder in (SOURCE, ROOT / "tools", ROOT / "docs" / "generator", ROOT / ".ci")
    for path in folder.rglob("*.py")
)
RUNS_CODE = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve", "yaml"}
"""Modules that read objects, and with them code."""

CALLS = {
    *("eval", "exec", "compile", "__import__"),
    *("torch.load", "np.load", "numpy.load", "torch.hub.load", "os.system", "os.popen"),
    *("shutil.unpack_archive", "torch.serialization.load"),
}
EXTRACTS = {"extract", "extractall"}
"""Methods of archives, which write where the archive says."""

HARMLESS = {"propagate.extract"}
"""OpenTelemetry's reading of a request's headers."""


def dangers(tree: ast.AST) -> Iterator[str]:
    """Yield what could run code of a file, or write where it says."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (a.name for a in node.names if a.name.split(".")[0] in RUNS_CODE)
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in RUNS_CODE:
            yield str(node.module)
        if isinstance(node, ast.keyword):
            value = ast.unparse(node.value)
            if node.arg == "trust_remote_code" and value != "False":
                yield f"trust_remote_code={value}"
            if (node.arg, value) in (("shell", "True"), ("weights_only", "False")):
                yield f"{node.arg}={value}"
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            if name in CALLS or (name.rpartition(".")[2] in EXTRACTS and name not in HARMLESS):
                yield name
            if name.endswith(".from_pretrained"):
                given = {keyword.arg for keyword in node.keywords}
                if "gguf_file" not in given and None not in given:
                    wanted = {"trust_remote_code"}
                    if "Tokenizer" not in name and "Config" not in name:
                        wanted.add("use_safetensors")
                    yield from (f"{name} without {missing}" for missing in wanted - given)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_file_is_read_as_code(path: Path) -> None:
    assert list(dangers(ast.parse(path.read_text(encoding="utf-8")))) == []


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("import pickle", ["pickle"]),
        ("from yaml import load", ["yaml"]),
        ("eval(text)", ["eval"]),
        ("model.eval()", []),
        ("torch.load(path)", ["torch.load"]),
        ("f(trust_remote_code=True)", ["trust_remote_code=True"]),
        ("AutoConfig.from_pretrained(x)", ["AutoConfig.from_pretrained without trust_remote_code"]),
        ("AutoConfig.from_pretrained(x, trust_remote_code=False)", []),
        ("M.from_pretrained(x, trust_remote_code=False, use_safetensors=True)", []),
        ("archive.extractall(x)", ["archive.extractall"]),
        ("run(command, shell=True)", ["shell=True"]),
    ],
)
def test_the_test_finds_what_it_looks_for(code: str, found: list[str]) -> None:
    assert list(dangers(ast.parse(code))) == found
