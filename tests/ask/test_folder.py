"""An LLM's folder: what minnow reads from it, and folders that it refuses."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from minnow.ask.folder import changed_settings, markers_in, read_llm_folder
from minnow.errors import InputError, SourceError, SourceNotFoundError, UnsupportedModelError

if TYPE_CHECKING:
    from pathlib import Path

CONFIG: dict[str, Any] = {"tokenizer_file": "tokenizer.mtok", "embedding_file": "words.bin"}
MODEL: dict[str, Any] = {"hidden_size": 8}


def write(
    folder: Path, config: Any = None, model: Any = None, words: int = 160, **files: bytes
) -> Path:
    folder.mkdir()
    for name, content in (("config.json", config or CONFIG), ("llm_config.json", model or MODEL)):
        text = content if isinstance(content, str) else json.dumps(content)
        (folder / name).write_text(text, encoding="utf-8")
    for name in ("llm.mnn", "llm.mnn.weight", "tokenizer.mtok"):
        (folder / name).write_bytes(files.get(name.rpartition(".")[0], b"x"))
    (folder / "words.bin").write_bytes(bytes(words))
    return folder


class TestWhatItSays:
    def test_the_word_table(self, tmp_path: Path) -> None:
        assert read_llm_folder(write(tmp_path / "a")).rows == 10

    @pytest.mark.parametrize(
        ("tie", "rows"),
        [
            ({"quant_bit": 16}, 10),
            ({"quant_bit": 8, "alpha_offset": 120, "alpha_size": 40}, 15),
            ({"quant_bit": 4, "alpha_offset": 120, "alpha_size": 40}, 30),
            ([0, 120, 40, 8, 0], 15),
        ],
    )
    def test_a_table_of_whole_numbers(self, tmp_path: Path, tie: Any, rows: int) -> None:
        folder = write(tmp_path / "a", model={**MODEL, "tie_embeddings": tie})
        assert read_llm_folder(folder).rows == rows

    def test_a_table_within_the_weights(self, tmp_path: Path) -> None:
        tie = {"weight_offset": 20, "alpha_offset": 100, "alpha_size": 20, "quant_bit": 8}
        folder = write(tmp_path / "a", model={**MODEL, "tie_embeddings": tie})
        (folder / "words.bin").unlink()
        (folder / "llm.mnn.weight").write_bytes(bytes(120))
        assert read_llm_folder(folder).rows == 10

    @pytest.mark.parametrize(
        ("config", "model", "window"),
        [
            ({}, {}, 2048),
            ({"max_all_tokens": 4096}, {}, 4096),
            ({"max_all_tokens": 4096}, {"max_all_tokens": 1024}, 1024),
            ({}, {"max_position_embeddings": 512}, 512),
            ({"max_all_tokens": "many"}, {}, 2048),
        ],
    )
    def test_the_window(
        self, tmp_path: Path, config: dict[str, Any], model: dict[str, Any], window: int
    ) -> None:
        folder = write(tmp_path / "a", {**CONFIG, **config}, {**MODEL, **model})
        assert read_llm_folder(folder).window == window
        assert read_llm_folder(folder, 99).window == 99

    def test_our_settings_replace_the_folders(self) -> None:
        thinking = {"context": {"enable_thinking": False}}
        ours = {"reuse_kv": False, "all_logits": False, "speculative_type": "", "jinja": thinking}
        assert changed_settings({"thread_num": 3}) == ours
        assert changed_settings({"chunk_limits": [128, 1]})["chunk_limits"] == []

    def test_markers(self) -> None:
        frame = (
            "<s>[INST] <<SYS>>\n\n<</SYS>>\n a < b > c [/INST]<|eot|></s> [1] <\uff5cUser\uff5c>"
        )
        assert [*markers_in(frame)] == [
            "<s>", "[INST]", "<SYS>", "</SYS>", "[/INST]", "<|eot|>", "</s>", "<\uff5cUser\uff5c>",
        ]  # fmt: skip


class TestWhatIsRefused:
    def test_no_folder(self, tmp_path: Path) -> None:
        with pytest.raises(SourceNotFoundError, match=r"There is no folder .*nowhere; an LLM"):
            read_llm_folder(tmp_path / "nowhere")

    @pytest.mark.parametrize(
        ("name", "what"), [("minnow.json", "bundle"), ("export.json", "wrote")]
    )
    def test_an_embedding_model(self, tmp_path: Path, name: str, what: str) -> None:
        (write(tmp_path / "a") / name).touch()
        with pytest.raises(UnsupportedModelError, match=f"{what}.*makes vectors and no text"):
            read_llm_folder(tmp_path / "a")

    def test_no_config(self, tmp_path: Path) -> None:
        with pytest.raises(SourceNotFoundError, match=r"has no config\.json"):
            read_llm_folder(tmp_path)

    def test_all_that_is_missing(self, tmp_path: Path) -> None:
        folder = write(tmp_path / "a")
        for name in ("llm.mnn.weight", "tokenizer.mtok", "words.bin"):
            (folder / name).unlink()
        lacks = r"lacks llm\.mnn\.weight, tokenizer\.mtok, words\.bin"
        with pytest.raises(SourceNotFoundError, match=lacks):
            read_llm_folder(folder)

    @pytest.mark.parametrize("text", ["{", "[1]", "\udcff", "null"])
    @pytest.mark.parametrize("name", ["config.json", "llm_config.json"])
    def test_a_damaged_config(self, tmp_path: Path, name: str, text: str) -> None:
        folder = write(tmp_path / "a")
        (folder / name).write_text(text, encoding="utf-8", errors="surrogateescape")
        with pytest.raises(SourceError, match=rf"{name} is damaged.*Copy or export"):
            read_llm_folder(folder)

    @pytest.mark.parametrize("width", [None, 0, "8", True, 8.0])
    def test_no_width(self, tmp_path: Path, width: object) -> None:
        with pytest.raises(SourceError, match="hidden_size"):
            read_llm_folder(write(tmp_path / "a", model={"hidden_size": width}))

    @pytest.mark.parametrize(
        "tie", [{}, [], 3, None, {"quant_bit": 5}, {"quant_bit": 8, "weight_offset": -1}, ["x"]]
    )
    def test_a_damaged_description_of_words(self, tmp_path: Path, tie: Any) -> None:
        with pytest.raises(SourceError, match="tie_embeddings in llm_config"):
            read_llm_folder(write(tmp_path / "a", model={**MODEL, "tie_embeddings": tie}))

    @pytest.mark.parametrize(
        "tie", [{"quant_bit": 8, "alpha_offset": 120, "alpha_size": 41}, {"quant_bit": 8}]
    )
    def test_words_cut_off(self, tmp_path: Path, tie: Any) -> None:
        with pytest.raises(SourceError, match=r"words\.bin has 160 bytes"):
            read_llm_folder(write(tmp_path / "a", model={**MODEL, "tie_embeddings": tie}))

    def test_no_words(self, tmp_path: Path) -> None:
        with pytest.raises(SourceError, match="has 0 bytes"):
            read_llm_folder(write(tmp_path / "a", words=0))

    def test_an_empty_graph(self, tmp_path: Path) -> None:
        with pytest.raises(SourceError, match=r"llm\.mnn is empty"):
            read_llm_folder(write(tmp_path / "a", llm=b""))

    def test_a_window_of_nothing(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="window should be at least 1"):
            read_llm_folder(write(tmp_path / "a"), 0)
