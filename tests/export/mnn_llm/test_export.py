"""A bundle's model in MNN's own engine: proven, whole, or not written at all."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from fakes.bundles import quick_recipe
from fakes.checkpoint import edit_json, source_of, write_json, write_model
from fakes.decoders import write_published
from fakes.sealed import change_record
from native.test_cpp_bpe_unigram import MAKERS
from tokenizers import normalizers, pre_tokenizers, trainers

import minnow.export.mnn_llm
from minnow import Embedder
from minnow.convert import convert
from minnow.errors import (
    BundleError,
    ConversionError,
    InputError,
    MinnowError,
    OutputError,
    ParityError,
    SourceError,
)
from minnow.export.mnn_llm import EXPRESSED, Export, WordKind, export_mnn_llm
from minnow.export.mnn_llm.engine import engine_ids, engine_vectors
from minnow.export.mnn_llm.proof import FORM_C
from minnow.export.mnn_llm.word_table import store_words
from minnow.export.mnn_llm.wordpiece import wordpiece_file
from minnow.graph.embedded import build_embedded_graph
from minnow.graph.packed import pack_table
from minnow.manifest import ENCODER, MANIFEST
from minnow.model.original import read_original
from minnow.model.spec import Interface
from minnow.model.tokenizer import load_whole_tokenizer
from minnow.recipe import RECIPES, Graph
from minnow.records import replace
from minnow.vectors import Pooling, rowwise_cosine

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from fakes.bundles import BundleStore
    from tokenizers import Tokenizer

    from minnow.bundle import Bundle
    from minnow.export.mnn_llm.mtok import TokenizerFile

pytestmark = pytest.mark.extra("convert")

FILES = {
    "README.md", "config.json", "embeddings.bin", "llm.mnn", "llm_config.json", "tokenizer.mtok",
}  # fmt: skip
MADE: dict[str, TokenizerFile] = {}
TEXTS = ["", "fish sleep in the river", "What do fish eat? [SEP] not red", "é 鱼 🦊 xyz"]


def made_once(tokenizer: Tokenizer, template: str) -> TokenizerFile:
    key = str(tokenizer.to_str())
    MADE[key] = MADE.get(key) or wordpiece_file(tokenizer, template)
    return MADE[key]


@pytest.fixture(autouse=True)
def one_table(monkeypatch: pytest.MonkeyPatch) -> None:
    """Express the same tokenizer only once, since it takes a second or two."""
    monkeypatch.setitem(EXPRESSED, "WordPiece", made_once)


def make(folder: Path, precision: str = "fp32", **model: Any) -> Bundle:
    source = write_model(folder / "model", **model)
    return convert(str(source), folder / "tiny.minnow", recipe=quick_recipe(precision))


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A bundle with mean pooling and prompts; for reading only."""
    folder = tmp_path_factory.mktemp("export")
    return make(folder, "fp16", pooling="mean", prompts={"query": 'say "fish": '})


@pytest.fixture(scope="module")
def exported(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Export:
    return export_mnn_llm(bundle, tmp_path_factory.mktemp("made") / "llm")


def agree(bundle: Bundle, export: Export, work: Path, bar: float) -> None:
    """Check that the engine agrees with minnow's embedder on the bundle."""
    work.mkdir()
    ids, vectors = engine_ids(export.folder, TEXTS, work), None
    with Embedder.open(bundle.folder) as embedder:
        assert ids == embedder.token_ids(TEXTS)
        vectors = embedder.encode(TEXTS, prompt="")
    found = engine_vectors(export.folder, TEXTS, 1, work)
    lengths = np.linalg.norm(found, axis=1) * np.linalg.norm(vectors, axis=1)
    assert ((found * vectors).sum(1) / lengths).min() >= bar


class TestWhatIsWritten:
    def test_all_files_are_recorded(self, exported: Export) -> None:
        assert set(exported.record.files) == FILES
        assert {path.name for path in exported.folder.iterdir()} == FILES | {"export.json"}
        exported.check_files()
        assert Export.open(exported.folder) == exported
        assert exported.size == sum(
            path.stat().st_size for path in exported.folder.iterdir() if path.name != "export.json"
        )

    def test_the_record_says_what_an_app_needs(self, exported: Export, bundle: Bundle) -> None:
        record = json.loads((exported.folder / "export.json").read_text())
        assert (record["format"], record["target"]) == (1, "mnn-llm")
        assert record["source"]["weights_sha256"] == bundle.manifest.source.weights_sha256
        assert record["recipe"]["precision"] == "fp16"
        assert record["prompts"] == {"query": 'say "fish": '}
        assert (record["max_tokens"], record["width"], record["words"]) == (24, 32, "bf16")
        assert record["parity"]["texts"] > 20
        assert {run["threads"] > 1 for run in record["parity"]["runs"]} == {False, True}

    def test_the_card_shows_how(self, exported: Export) -> None:
        card = (exported.folder / "README.md").read_text()
        assert 'txt_embedding("say \\"fish\\": how do fish sleep?")' in card
        assert "ids.size() > 24" in card
        assert f"{exported.record.parity.worst.worst:.7f}" in card

    def test_the_engine_agrees_with_the_embedder(
        self, exported: Export, bundle: Bundle, tmp_path: Path
    ) -> None:
        agree(bundle, exported, tmp_path / "work", 0.9999)


@pytest.mark.parametrize("pooling", list(Pooling), ids=lambda pooling: pooling.value)
def test_every_pooling(bundle_store: BundleStore, pooling: Pooling, tmp_path: Path) -> None:
    normalize = pooling in (Pooling.CLS, Pooling.MEAN, Pooling.MAX)
    states = Interface.LAST_HIDDEN_STATE
    bundle = bundle_store.pooling(pooling.value, states, normalize=normalize)
    record = export_mnn_llm(bundle, tmp_path / "llm").record
    assert record.parity.worst.worst > 0.999999
    assert (record.pooling, record.normalize) == (pooling.value, normalize)
    assert record.words == "fp16"


def test_a_network_without_token_types(tmp_path: Path) -> None:
    bundle = make(tmp_path, family="distilbert", pooling="mean")
    assert export_mnn_llm(bundle, tmp_path / "llm").record.parity.worst.worst > 0.999999


def test_tables_that_are_narrower_than_the_states(tmp_path: Path) -> None:
    bundle = make(tmp_path, family="electra", pooling="mean")
    assert export_mnn_llm(bundle, tmp_path / "llm").record.parity.worst.worst > 0.999999


def make_with(folder: Path, family: str, tokenizer: Tokenizer) -> Bundle:
    """Convert a tiny model that has a tokenizer of another kind than WordPiece."""
    rows, pad = tokenizer.get_vocab_size(), tokenizer.token_to_id("<pad>")
    source = write_model(
        folder / "model", family=family, pooling="mean", vocab_size=rows, pad_token_id=pad
    )
    for path in (*source.glob("*token*"), source / "vocab.txt"):
        path.unlink()
    tokenizer.save(str(source / "tokenizer.json"))
    stated = {"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": "<pad>"}
    write_json(source / "tokenizer_config.json", stated)
    return convert(str(source), folder / "tiny.minnow", recipe=quick_recipe("fp16"))


def a_byte_level_tokenizer() -> Tokenizer:
    """Train one of whole words, so that a text of exactly as many tokens as the limit is found."""
    tokenizer = MAKERS["RoBERTa"]()
    words = "the fish sleep in a river and not there . , ! ? ; : a x - ) "
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=600, show_progress=False, initial_alphabet=alphabet,
        special_tokens=["<s>", "<pad>", "</s>", "<unk>", "<mask>"],
    )  # fmt: skip
    tokenizer.train_from_iterator([words * 9, words.replace(" ", "")], trainer)
    return tokenizer


@pytest.fixture(scope="module", params=["qwen3", "gemma3"])
def decoder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A bundle of a decoder as its repository has it: tokenizer, pooling, prompts and head."""
    folder = tmp_path_factory.mktemp("decoder")
    source = write_published(folder / "model", request.param)
    return convert(str(source), folder / "tiny.minnow", recipe=quick_recipe("fp16"))


@pytest.mark.extra("sentence-transformers")
class TestDecoders:
    def test_the_engine_proves_them(self, decoder: Bundle, tmp_path: Path) -> None:
        record = export_mnn_llm(decoder, tmp_path / "llm").record
        is_qwen = decoder.manifest.encoder.family == "qwen3"
        assert record.parity.worst.worst >= 0.9999
        assert record.pooling.partition(",")[0] == ("lasttoken" if is_qwen else "mean")
        assert record.normal_form == ("NFC" if is_qwen else None)
        assert record.normalize
        stated = json.loads((tmp_path / "llm/llm_config.json").read_text())
        around = "{{ messages[0]['content'] }}"
        around = f"{around}<|endoftext|>" if is_qwen else f"<bos>{around}<eos>"
        assert stated["jinja"]["chat_template"] == around

    def test_another_sight_of_tokens_fails(
        self, decoder: Bundle, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A decoder that sees what follows, or a Gemma that does not."""

        def build(network: Any, *given: Any, **options: Any) -> Any:
            blocks = tuple(
                replace(block, attention=replace(block.attention, causal=not network.is_causal))
                for block in network.blocks
            )
            return build_embedded_graph(replace(network, blocks=blocks), *given, **options)

        monkeypatch.setattr(minnow.export.mnn_llm, "build_embedded_graph", build)
        assert "has cosine" in refuse(decoder, ParityError)


@pytest.mark.parametrize("kind", ["BPE", "WordPiece"])
def test_padding_inside_a_text_takes_no_position(kind: str, tmp_path: Path) -> None:
    """Probes spell the padding token; the graph knows it by its row of the word table."""
    if kind == "BPE":
        bundle = make_with(tmp_path, "roberta", a_byte_level_tokenizer())
    else:
        bundle = make(tmp_path, "fp16", family="mpnet", pooling="mean")
    export = export_mnn_llm(bundle, tmp_path / "llm")
    tokenizer = load_whole_tokenizer(bundle.folder / "tokenizer.json")
    pad = tokenizer.id_to_token(bundle.manifest.encoder.pad_token_id)
    (tmp_path / "work").mkdir()
    texts = [f"fish {pad}{pad} sleep {pad} in the river", "fish sleep in the river"]
    with Embedder.open(bundle.folder) as embedder:
        right = embedder.encode(texts, prompt="")
    found = engine_vectors(export.folder, texts, 1, tmp_path / "work")
    assert rowwise_cosine(found, right).min() >= 0.9999
    assert rowwise_cosine(right[:1], right[1:]).max() < 0.9999


def test_a_row_that_equals_paddings_is_refused(tmp_path: Path) -> None:
    original = read_original(source_of(write_model(tmp_path / "model", family="roberta")))
    words = original.tensors["embeddings.word"].copy()
    words[7] = words[original.encoder.pad_token_id]
    with pytest.raises(InputError, match=r"the same row for padding .* and for token 7"):
        build_embedded_graph(
            original.network, {**original.tensors, "embeddings.word": words}, original.head
        )


def test_texts_are_given_in_form_c_where_the_tokenizer_makes_it(tmp_path: Path) -> None:
    tokenizer = a_byte_level_tokenizer()
    tokenizer.normalizer = normalizers.NFC()
    bundle = make_with(tmp_path, "modernbert", tokenizer)
    record = export_mnn_llm(bundle, tmp_path / "llm").record
    assert record.parity.worst.worst >= 0.9999
    assert (record.normal_form, record.limits[-1]) == ("NFC", FORM_C)
    assert FORM_C in (tmp_path / "llm/README.md").read_text()


def test_unigram_is_refused_with_the_reason(tmp_path: Path) -> None:
    bundle = make_with(tmp_path, "bert", MAKERS["XLM-R"]())
    assert "its model is Unigram, and the engine divides" in refuse(bundle, InputError)


@pytest.mark.parametrize(
    ("precision", "words", "stored"),
    [
        ("int8", None, "int8"),
        ("int6", "fp16", "fp16"),
        ("int5", WordKind.BF16, "bf16"),
        ("int4", "int4", "int4"),
    ],
)
def test_every_rounded_precision_and_kind_of_words(
    precision: str, words: WordKind | str | None, stored: str, tmp_path: Path
) -> None:
    bundle = make(tmp_path, precision, pooling="mean")
    export = export_mnn_llm(bundle, tmp_path / "llm", words=words)
    assert export.record.words == stored
    assert export.record.parity.bar == RECIPES[precision].bar
    agree(bundle, export, tmp_path / "work", 0.9)


def test_text_is_lowered_where_the_source_asks(tmp_path: Path) -> None:
    source = write_model(tmp_path / "model", pooling="mean")
    edit_json(source / "sentence_bert_config.json", do_lower_case=True)
    bundle = convert(str(source), tmp_path / "tiny.minnow", recipe=quick_recipe("fp32"))
    assert export_mnn_llm(bundle, tmp_path / "llm").record.lowercase


def refuse(bundle: Bundle, error: type[MinnowError], **options: Any) -> str:
    """Export, expect a refusal, and check that nothing at all was left behind."""
    before = sorted(path.name for path in bundle.folder.parent.iterdir())
    with pytest.raises(error) as caught:
        export_mnn_llm(bundle, bundle.folder.parent / "refused", **options)
    assert sorted(path.name for path in bundle.folder.parent.iterdir()) == before
    return str(caught.value)


def changed(bundle: Bundle, **recipe: Any) -> Bundle:
    manifest = replace(bundle.manifest, recipe=replace(bundle.manifest.recipe, **recipe))
    return replace(bundle, manifest=manifest)


class TestRefusals:
    def test_an_unknown_kind_of_words(self, bundle: Bundle) -> None:
        assert "choose fp16, bf16, int8, int4" in refuse(bundle, InputError, words="int2")

    def test_an_unknown_reference(self, bundle: Bundle) -> None:
        assert "no reference 'x'" in refuse(bundle, InputError, reference="x")

    def test_the_authors_graph(self, bundle: Bundle) -> None:
        message = refuse(changed(bundle, graph=Graph.AUTHOR), InputError)
        assert "`graph=canonical`" in message

    def test_a_model_too_long(self, bundle: Bundle) -> None:
        embedding = replace(bundle.manifest.embedding, max_tokens=8192)
        long = replace(bundle, manifest=replace(bundle.manifest, embedding=embedding))
        assert "texts of 8192 tokens" in refuse(long, InputError)

    def test_text_of_the_users_that_is_not_given(self, bundle: Bundle) -> None:
        rounded = replace(RECIPES["int8"], calibration="7 texts of the user's")
        manifest = replace(bundle.manifest, recipe=rounded)
        calibrated = replace(bundle, manifest=manifest)
        assert "on 7 texts of the user's, not on built-in text" in refuse(calibrated, InputError)
        message = refuse(calibrated, InputError, calibration=["other text"])
        assert "not on 1 texts of the user's, SHA-256" in message

    def test_text_for_a_recipe_without(self, bundle: Bundle) -> None:
        assert "calibrates nothing" in refuse(bundle, InputError, calibration=["text"])

    def test_a_tokenizer_that_the_format_cannot_express(self, tmp_path: Path) -> None:
        source = write_model(tmp_path / "model")
        path = source / "tokenizer.json"
        content = json.loads(path.read_text())
        content["normalizer"] = {"type": "Lowercase"}
        path.write_text(json.dumps(content))
        edit_json(source / "tokenizer_config.json", tokenizer_class="PreTrainedTokenizerFast")
        bundle = convert(str(source), tmp_path / "tiny.minnow", recipe=quick_recipe("fp32"))
        assert "normalizer is Lowercase" in refuse(bundle, InputError)

    def test_a_changed_bundle(self, tmp_path: Path) -> None:
        bundle = make(tmp_path)
        (bundle.folder / ENCODER).write_bytes(b"other")
        assert "not the bundle that was proven" in refuse(bundle, BundleError)
        (bundle.folder / MANIFEST).unlink()
        with pytest.raises(BundleError, match="cannot be read"):
            export_mnn_llm(bundle.folder, tmp_path / "llm")

    def test_a_missing_or_different_source(self, tmp_path: Path) -> None:
        bundle = make(tmp_path)
        other = str(write_model(tmp_path / "other", seed=1))
        assert "does not hold the weights" in refuse(bundle, BundleError, source=other)
        assert "`source=`" in refuse(bundle, SourceError, source=str(tmp_path / "none"))

    def test_a_source_whose_other_files_changed(self, tmp_path: Path) -> None:
        bundle = make(tmp_path, pooling="mean")
        write_model(tmp_path / "model", pooling="cls")
        assert "its other files have changed" in refuse(bundle, BundleError)

    def test_a_destination_that_is_something_else(self, bundle: Bundle, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("mine")
        with pytest.raises(OutputError, match="not a folder"):
            export_mnn_llm(bundle, tmp_path / "file")
        with pytest.raises(OutputError, match="not an export"):
            export_mnn_llm(bundle, tmp_path)
        with pytest.raises(OutputError, match="not an export"):
            export_mnn_llm(bundle, bundle.folder)
        assert (tmp_path / "file").read_text() == "mine"


def test_an_older_export_is_replaced_but_no_file_of_the_users(
    bundle: Bundle, tmp_path: Path
) -> None:
    export_mnn_llm(bundle, tmp_path / "llm")
    assert export_mnn_llm(bundle, tmp_path / "llm", words="fp16").record.words == "fp16"
    (tmp_path / "llm/notes.txt").write_text("mine")
    with pytest.raises(OutputError, match=r"notes\.txt"):
        export_mnn_llm(bundle, tmp_path / "llm")
    assert Export.open(tmp_path / "llm").record.words == "fp16"


class TestFaults:
    """Planted one by one: none of them may pass the proof."""

    def test_another_pooling(self, bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
        def build(network: Any, tensors: Any, head: Any, *given: Any, **options: Any) -> Any:
            wrong = replace(head, pooling=Pooling.CLS)
            return build_embedded_graph(network, tensors, wrong, *given, **options)

        monkeypatch.setattr(minnow.export.mnn_llm, "build_embedded_graph", build)
        assert "has cosine" in refuse(bundle, ParityError)

    def test_other_words(self, bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(
            minnow.export.mnn_llm,
            "store_words",
            lambda table, kind: store_words(table[::-1].copy(), kind),
        )
        assert "has cosine" in refuse(bundle, ParityError)

    def test_a_fault_within_the_bar_of_few_bits(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Positions of another grid than the rounded numbers say."""
        bundle = make(tmp_path, "int4", pooling="mean")

        def build(
            network: Any, tensors: Any, head: Any, packed: Any, *given: Any, **options: Any
        ) -> Any:
            coarse = pack_table(tensors["embeddings.position"], 3)
            changed = {**packed, "embeddings.position": coarse}
            return build_embedded_graph(network, tensors, head, changed, *given, **options)

        monkeypatch.setattr(minnow.export.mnn_llm, "build_embedded_graph", build)
        assert "no matter of precision" in refuse(bundle, ParityError)

    @pytest.mark.parametrize(
        "change",
        [
            lambda file: replace(file, model=replace(file.model, longest_word=20)),
            lambda file: replace(file, added=file.added[:3]),
            lambda file: replace(file, template="{{ messages[0]['content'] }}"),
            lambda file: replace(file, normalizers=file.normalizers[:-2]),
        ],
        ids=["short words", "no separator", "nothing around", "no table"],
    )
    def test_another_tokenizer(
        self,
        change: Callable[[TokenizerFile], TokenizerFile],
        bundle: Bundle,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setitem(EXPRESSED, "WordPiece", lambda *given: change(made_once(*given)))
        message = refuse(bundle, ParityError)
        assert "MNN's own tokenizer gives other token ids" in message

    def test_a_crash_of_the_engine(self, bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
        def write(folder: Path, *_: object) -> None:
            (folder / "config.json").write_text("{}")
            (folder / "llm_config.json").write_text("{}")

        monkeypatch.setattr(minnow.export.mnn_llm, "write_settings", write)
        assert "does not run on the probe texts" in refuse(bundle, ParityError)

    def test_a_converter_that_fails(self, bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
        def write(_: object, path: Path, __: object) -> None:
            path.write_bytes(b"no graph")
            path.with_suffix(".tensors").touch()

        monkeypatch.setattr(minnow.export.mnn_llm, "write_graph", write)
        assert "MNN's converter" in refuse(bundle, ConversionError)


class TestRecords:
    def test_a_changed_file_is_named(self, bundle: Bundle, tmp_path: Path) -> None:
        made = export_mnn_llm(bundle, tmp_path / "llm")
        (made.folder / "llm_config.json").write_text("{}")
        (made.folder / "embeddings.bin").unlink()
        with pytest.raises(BundleError, match=r"embeddings\.bin, llm_config\.json missing or"):
            made.check_files()

    @pytest.mark.parametrize("content", [b"", b"[]", b"\xff", b'{"format": 1}'])
    def test_a_broken_record_is_no_export(self, content: bytes, tmp_path: Path) -> None:
        (tmp_path / "export.json").write_bytes(content)
        with pytest.raises(BundleError, match="not the record of an export"):
            Export.open(tmp_path)

    def test_a_changed_byte_of_the_record_is_noticed(
        self, exported: Export, tmp_path: Path
    ) -> None:
        content = (exported.folder / "export.json").read_bytes()
        for at in range(0, len(content), 7):
            changed = content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]
            (tmp_path / "export.json").write_bytes(changed)
            with pytest.raises(BundleError):
                Export.open(tmp_path)

    def test_a_record_of_another_form(self, exported: Export, tmp_path: Path) -> None:
        shutil.copy(exported.folder / "export.json", tmp_path)
        change_record(tmp_path / "export.json", lambda record: record.update(format=2))
        with pytest.raises(BundleError, match="has format 2"):
            Export.open(tmp_path)
