"""Models from strangers: folders and GGUF files, of which no code is run."""

from __future__ import annotations

import json
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mutations import CORPUS, changed_bytes, changed_json, fuzzed, reads, within

from corll.errors import CorllError, DeviceMemoryError, InputError, ModelNotFoundError
from corll.model.gguf_header import read_header
from corll.model.loading import load_model
from corll.model.stored_weights import check_folder, parameters_in
from tiny_gguf import write_tiny_gguf

SETTINGS = ("config.json", "generation_config.json", "tokenizer_config.json", "tokenizer.json")


@pytest.fixture
def model(tiny_model_folder: Path, tmp_path: Path) -> Path:
    """A copy to be changed."""
    return Path(shutil.copytree(tiny_model_folder, tmp_path / "model"))


@pytest.fixture(scope="module")
def gguf_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_gguf(tmp_path_factory.mktemp("gguf") / "tiny.gguf")


def load(folder: Path) -> None:
    load_model(folder, dtype="float32", device="cpu")


@fuzzed
@given(st.data())
def test_changed_settings_are_loaded_or_refused(
    tiny_model_folder: Path, tmp_path: Path, data: st.DataObject
) -> None:
    folder = Path(shutil.copytree(tiny_model_folder, tmp_path / "model", dirs_exist_ok=True))
    name = data.draw(st.sampled_from([n for n in SETTINGS if (folder / n).exists()]))
    fields = json.loads((tiny_model_folder / name).read_text())
    (folder / name).write_text(json.dumps(data.draw(changed_json(fields))))
    reads(lambda: load(folder))
    assert {path.name for path in tmp_path.iterdir()} == {"model"}


@fuzzed
@given(st.data())
def test_changed_headers_are_counted_or_refused(
    tiny_model_folder: Path, tmp_path: Path, data: st.DataObject
) -> None:
    content = (tiny_model_folder / "model.safetensors").read_bytes()
    (header,) = struct.unpack("<Q", content[:8])
    changed = data.draw(changed_bytes(content[: 8 + header])) + content[8 + header :]
    (tmp_path / "model.safetensors").write_bytes(changed)
    reads(lambda: parameters_in(tmp_path))


@pytest.mark.parametrize("path", sorted(CORPUS.glob("model/*")), ids=lambda path: path.name)
def test_what_was_once_found_is_an_error_of_ours(model: Path, path: Path) -> None:
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps({**config, **json.loads(path.read_text())}))
    with pytest.raises(CorllError):
        load(model)


def test_more_layers_than_tensors_are_refused(model: Path) -> None:
    config = json.loads((model / "config.json").read_text())
    for layers, refused in ((1000, False), (1001, True)):
        (model / "config.json").write_text(json.dumps({**config, "num_hidden_layers": layers}))
        if refused:
            with pytest.raises(ModelNotFoundError, match="says num_hidden_layers=1001"):
                check_folder(model)
        else:
            check_folder(model)


def test_a_configuration_takes_no_more_memory_than_is_free(model: Path) -> None:
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps({**config, "vocab_size": 10**11}))
    with pytest.raises(DeviceMemoryError, match="GB are free"):
        load(model)


def test_no_code_of_a_model_is_run_or_offered(model: Path, tmp_path: Path) -> None:
    (model / "own.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass Config: pass\n")
    config = json.loads((model / "config.json").read_text())
    own = {"model_type": "own", "auto_map": {"AutoConfig": "own.Config"}}
    (model / "config.json").write_text(json.dumps({**config, **own}))
    with pytest.raises(ModelNotFoundError, match="cannot be loaded"):
        load(model)
    assert not (tmp_path / "ran").exists()


def test_weights_as_pickles_are_not_read(model: Path) -> None:
    (model / "model.safetensors").rename(model / "pytorch_model.bin")
    with pytest.raises(ModelNotFoundError, match=r"as pickles \(pytorch_model\.bin\), which can"):
        load(model)


@pytest.mark.parametrize("name", ["../outside.safetensors", "/etc/passwd", "model.bin", 7])
def test_an_index_that_leads_elsewhere_is_refused(model: Path, name: Any) -> None:
    index = model / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"x": "model.safetensors"}}))
    check_folder(model)
    index.write_text(json.dumps({"weight_map": {"x": "model.safetensors", "y": name}}))
    with pytest.raises(ModelNotFoundError, match="which is no safetensors file beside it"):
        load(model)
    index.write_text("{}")
    with pytest.raises(ModelNotFoundError, match="has no weight_map"):
        load(model)


def test_an_adapter_within_a_model_would_load_another_base_and_is_refused(model: Path) -> None:
    adapter = {"peft_type": "LORA", "base_model_name_or_path": "someone/else"}
    (model / "adapter_config.json").write_text(json.dumps(adapter))
    with pytest.raises(ModelNotFoundError, match="a model and an adapter in one; move"):
        load(model)


def test_a_link_to_a_device_is_no_file(model: Path) -> None:
    (model / "tokenizer.json").unlink()
    (model / "tokenizer.json").symlink_to("/dev/zero")
    with pytest.raises(ModelNotFoundError, match=r"tokenizer\.json cannot be read"):
        load(model)


@pytest.mark.parametrize(
    "header",
    [
        {"a": {"dtype": "F32", "shape": "abc", "data_offsets": [0, 0]}},
        {"a": {"shape": [1], "data_offsets": [0, 0]}},
        {"a": {"dtype": "F32", "shape": [10**9, 10**9], "data_offsets": [0, 0]}},
        {"a": {"dtype": "F32", "shape": [-4], "data_offsets": [0, 0]}},
        {"a": {"dtype": ["F32"], "shape": [1], "data_offsets": [0, 0]}},
        {"a": {"dtype": "F32", "shape": [1], "data_offsets": []}},
        {"a": 7},
        [],
    ],
)
def test_a_header_that_lies_is_named(tmp_path: Path, header: Any) -> None:
    content = json.dumps(header).encode()
    path = tmp_path / "model.safetensors"
    path.write_bytes(struct.pack("<Q", len(content)) + content)
    with pytest.raises(ModelNotFoundError, match=r"model\.safetensors is damaged"):
        parameters_in(tmp_path)


class TestGguf:
    def test_the_header_says_what_the_file_holds(self, gguf_file: Path) -> None:
        header = read_header(gguf_file)
        assert header.tensors == 12
        assert header.parameters == 2 * 400 * 32 + 4 * 32 * 32 + 3 * 64 * 32 + 3 * 32

    @fuzzed
    @given(st.data())
    def test_changed_files_are_read_or_refused(
        self, gguf_file: Path, tmp_path: Path, data: st.DataObject
    ) -> None:
        path = tmp_path / "changed.gguf"
        path.write_bytes(data.draw(changed_bytes(gguf_file.read_bytes()[:20_000])))
        reads(lambda: read_header(path))

    @pytest.mark.parametrize(
        ("change", "problem"),
        [
            (lambda b: b"GGML" + b[4:], "does not begin with GGUF"),
            (lambda b: b[:4] + struct.pack("<I", 1) + b[8:], "its version is 1"),
            (lambda b: b[:8] + struct.pack("<Q", 2**60) + b[16:], "1152921504606846976 tensors"),
            (lambda b: b[:16] + struct.pack("<Q", 2**60) + b[24:], "1152921504606846976 fields"),
            (lambda b: b[:24] + struct.pack("<Q", 2**60) + b[32:], "bytes of a text"),
            (lambda b: b[:24], "within its header"),
            (lambda b: b[:-5000], "its tensors end at byte"),
            (lambda b: b"", "does not begin with GGUF|within its header"),
        ],
    )
    def test_a_header_that_lies_is_named(
        self, gguf_file: Path, tmp_path: Path, change: Callable[[bytes], bytes], problem: str
    ) -> None:
        path = tmp_path / "odd.gguf"
        path.write_bytes(change(gguf_file.read_bytes()))
        with pytest.raises(InputError, match=problem):
            read_header(path)

    def test_a_list_without_end_takes_no_memory(self, tmp_path: Path) -> None:
        """The library that converts would go on listing what the file does not have."""
        path = tmp_path / "endless.gguf"
        field = struct.pack("<Q", 1) + b"x" + struct.pack("<IIQ", 9, 4, 2**40)
        path.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + field)
        code = (
            "from pathlib import Path\nfrom corll.model.gguf_header import read_header\n"
            "read(read_header, Path(sys.argv[1]))"
        )
        said = within(2000, code, path)
        assert said.startswith(f"refused {path} is no GGUF file that can be read")
        assert "1099511627776 items of an array" in said
