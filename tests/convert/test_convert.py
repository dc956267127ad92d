"""The pipeline: every kind of source to a sealed bundle, and its proof repeated."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from fakes.bundles import quick_recipe
from fakes.checkpoint import (
    random_tensors,
    write_json,
    write_model,
    write_tokenizer,
    write_weights,
)
from fakes.hub import FakeHub
from fakes.network import forbid_network
from fakes.pairs import pairwise
from fakes.sealed import change_record, set_in_record
from tokenizers import Tokenizer

from minnow import RECIPES, Bundle, Embedder
from minnow.convert import Choices, convert, verify
from minnow.errors import (
    AmbiguousModelError,
    BundleError,
    CheckpointError,
    InputError,
    MinnowError,
    OutputError,
    ParityError,
    SourceError,
    SourceNotFoundError,
    UnsupportedModelError,
)
from minnow.model.spec import EMBEDDING_INTERFACES, Interface
from minnow.recipe import Graph
from minnow.records import replace
from minnow.vectors import Pooling

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from fakes.bundles import BundleStore

pytestmark = pytest.mark.extra("convert")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_model(tmp_path / "model")


def test_a_tokenizer_of_all_files_is_adopted_aloud(model: Path, tmp_path: Path) -> None:
    edit_json(model / "tokenizer_config.json", do_lower_case=False)
    steps: list[str] = []

    bundle = convert(
        str(model), tmp_path / "out", recipe=quick_recipe("fp16"), progress=steps.append
    )

    note = bundle.manifest.source.tokenizer
    assert str(note).startswith(
        "BertTokenizer of transformers 5, in which 'The lamp' has the ids ["
    )
    assert [step for step in steps if str(note) in step]
    assert f"| tokenizer | built of all the source's files: {note} |" in (
        bundle.folder / "README.md"
    ).read_text(encoding="utf-8")
    carried = Tokenizer.from_file(str(bundle.folder / "tokenizer.json"))
    assert carried.encode("LAMP").ids != carried.encode("lamp").ids
    assert (model / "tokenizer.json").read_bytes() != (
        bundle.folder / "tokenizer.json"
    ).read_bytes()
    verify(bundle)
    edit_json(model / "tokenizer_config.json", do_lower_case=True)
    with pytest.raises(ParityError, match="rebuilt_tokenizer True, its source False"):
        verify(bundle)


def test_a_bundle_holds_the_field_s_files(model: Path, tmp_path: Path) -> None:
    (model / "LICENSE").write_text("MIT")
    (model / "pytorch_model.bin").write_text("a pickle")
    bundle = convert(str(model), tmp_path / "out")
    names = {path.relative_to(bundle.folder).as_posix() for path in bundle.folder.rglob("*.*")}
    assert names == {
        "encoder.mnn", "minnow.json", "README.md", "conversion.log", "config.json",
        "modules.json", "1_Pooling/config.json", "sentence_bert_config.json", "tokenizer.json",
        "config_sentence_transformers.json", "special_tokens_map.json", "tokenizer_config.json",
        "vocab.txt", "canaries.json", "canaries.f32",
    }  # fmt: skip
    assert (bundle.folder / "LICENSE").read_text() == "MIT"
    assert set(bundle.manifest.files) == (names | {"LICENSE"}) - {"minnow.json"}
    bundle.check_files()
    assert Bundle.open(bundle.folder).manifest == bundle.manifest


def test_the_manifest_says_where_it_comes_from(model: Path, tmp_path: Path) -> None:
    recipe = replace(RECIPES["fp32"], biz_code="shop")
    manifest = convert(str(model), tmp_path / "out", recipe=recipe).manifest
    assert manifest.source.kind == "folder"
    assert manifest.source.license == "mit"
    assert len(manifest.source.weights_sha256) == 64
    assert manifest.recipe == recipe
    assert manifest.encoder.layers == 2
    assert manifest.embedding.pooling is Pooling.CLS
    assert {"python", "minnow", "mnn", "onnx", "numpy", "tokenizers"} <= set(manifest.tools)
    assert b"shop" in (tmp_path / "out/encoder.mnn").read_bytes()


@pytest.mark.whole_proof
def test_the_parity_covers_threads_and_batches(model: Path, tmp_path: Path) -> None:
    parity = convert(str(model), tmp_path / "out").manifest.parity
    ways = {(min(run.threads, 2), run.batching) for run in parity.runs}
    assert ways == {(1, "one by one"), (1, "mixed"), (2, "one by one"), (2, "mixed")}
    assert parity.texts >= 64
    for run in parity.runs:
        assert parity.bar <= run.worst <= run.p5 <= run.mean <= 1 + 1e-9


def test_the_conversion_log_names_no_folder_of_this_machine(bundle_store: BundleStore) -> None:
    bundle = bundle_store.bundle(RECIPES["fp16"])
    log = (bundle.folder / "conversion.log").read_text()
    assert "Converted Success" in log
    assert str(bundle_store.folder) not in log


@pytest.mark.whole_proof
@pytest.mark.parametrize(
    ("recipe", "family", "interface"),
    pairwise(list(RECIPES), ["bert", "roberta", "distilbert"], EMBEDDING_INTERFACES),
)
def test_families_and_recipes(
    tmp_path: Path, family: str, recipe: str, interface: Interface
) -> None:
    """Every recipe as it is on one family; the others are rounded and proven as recipe int8 says.

    Calibration and the search take most of the time, and depend on the family in their tensors.
    """
    model = write_model(tmp_path / "model", family=family)
    whole = family == "bert" or recipe == "int8"
    chosen = RECIPES[recipe] if whole else quick_recipe(recipe)
    chosen = replace(chosen, interface=interface)
    bundle = convert(str(model), tmp_path / "out", recipe=chosen)
    assert bundle.manifest.parity.worst.worst >= RECIPES[recipe].bar
    searched = whole and recipe not in ("fp32", "fp16")
    assert (bundle.manifest.parity.retrieval is not None) is searched


@pytest.mark.parametrize(
    ("pooling", "normalize", "interface"),
    pairwise([p.value for p in Pooling], [True, False], EMBEDDING_INTERFACES),
)
def test_poolings(
    bundle_store: BundleStore, pooling: str, normalize: bool, interface: Interface
) -> None:
    bundle = bundle_store.pooling(pooling, interface, normalize=normalize)
    assert Bundle.open(bundle.folder).manifest.recipe.interface is interface
    with Embedder.open(bundle) as embedder:
        length = float(np.linalg.norm(embedder.encode("fish sleep")))
    assert (abs(length - 1) < 1e-5) is normalize


def test_choices_replace_what_the_source_says_and_verify_knows(model: Path, tmp_path: Path) -> None:
    choices = Choices(
        pooling=Pooling.MEAN, normalize=False, max_tokens=16, query_prompt="query ",
        document_prompt="",
    )  # fmt: skip
    bundle = convert(str(model), tmp_path / "out", choices=choices)
    embedding = bundle.manifest.embedding
    assert (embedding.pooling, embedding.normalize) == (Pooling.MEAN, False)
    assert embedding.max_tokens == 16
    assert embedding.prompts == {"query": "query ", "document": ""}
    assert bundle.manifest.choices == choices
    verify(bundle.folder)
    with Embedder.open(bundle) as embedder:
        asked = embedder.encode_query("fish")
        np.testing.assert_array_equal(asked, embedder.encode("query fish"))


def test_a_half_precision_checkpoint(model: Path, tmp_path: Path) -> None:
    halves = {k: v.astype(np.float16) for k, v in random_tensors(model).items()}
    write_weights(model, halves)
    convert(str(model), tmp_path / "out")


def test_a_hub_model_is_pinned_and_verified_offline(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FakeHub() as hub:
        commit = hub.add("minnow/tiny", model)
        hub.use(monkeypatch, tmp_path / "home")
        bundle = convert("minnow/tiny", tmp_path / "out")
    source = bundle.manifest.source
    assert (source.kind, source.name, source.model_id) == ("hub", "minnow/tiny", "minnow/tiny")
    assert source.revision == commit
    card = (bundle.folder / "README.md").read_text()
    assert "base_model: minnow/tiny" in card
    assert commit in card
    forbid_network(monkeypatch)
    verify(bundle, offline=True)
    convert("minnow/tiny", tmp_path / "again", offline=True)


def test_a_local_source_touches_no_network(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forbid_network(monkeypatch)
    bundle = convert(str(model), tmp_path / "out")
    verify(bundle)
    with Embedder.open(bundle) as embedder:
        embedder.encode(["fish", "water"])


@pytest.mark.weights
def test_a_packaged_model(bundle_store: BundleStore) -> None:
    bundle = bundle_store.packaged()
    assert bundle.manifest.source.kind == "package"
    assert bundle.manifest.source.license == "apache-2.0"
    assert bundle.manifest.embedding.max_tokens == 256
    with Embedder.open(bundle) as embedder:
        query = embedder.encode_query("how do fish sleep?")
        passages = embedder.encode_document(["Fish rest with open eyes.", "Ships have keels."])
        close, far = embedder.similarity(query, passages)[0]
    assert close > far + 0.3


def test_verify_checks_hashes_first(model: Path, tmp_path: Path) -> None:
    bundle = convert(str(model), tmp_path / "out")
    assert verify(bundle.folder).worst.worst >= RECIPES["fp16"].bar
    encoder = bundle.encoder
    content = bytearray(encoder.read_bytes())
    content[len(content) // 2] ^= 1
    encoder.write_bytes(content)
    shutil.rmtree(model)
    with pytest.raises(BundleError, match=r"encoder\.mnn has changed"):
        verify(bundle.folder)


def test_verify_needs_the_same_source(model: Path, tmp_path: Path) -> None:
    bundle = convert(str(model), tmp_path / "out")
    moved = model.rename(tmp_path / "moved")
    with pytest.raises(SourceNotFoundError, match="`source=`"):
        verify(bundle)
    verify(bundle, source=str(moved))
    other = write_model(tmp_path / "other", seed=1)
    with pytest.raises(BundleError, match="does not hold the weights"):
        verify(bundle, source=str(other))


def test_verify_finds_what_hashes_cannot(model: Path, tmp_path: Path) -> None:
    """A manifest that was sealed again around other settings is compared with the source."""
    bundle = convert(str(model), tmp_path / "out")
    path = bundle.folder / "minnow.json"
    sealed = path.read_bytes()
    claims: list[tuple[str, str, object]] = [
        ("embedding", "pooling", "mean"),
        ("embedding", "normalize", False),
        ("embedding", "max_tokens", 23),
        ("embedding", "lowercase", True),
        ("embedding", "prompts", {"query": "Query: "}),
        ("embedding", "default_prompt_name", "query"),
        ("embedding", "similarity", "dot"),
        ("encoder", "layer_norm_eps", 1e-9),
        ("encoder", "pad_token_id", 1),
        ("source", "license", "gpl-3.0"),
    ]
    for part, name, value in claims:
        set_in_record(path, part, name, value)
        with pytest.raises(ParityError, match=f"Refused: the manifest says {name} "):
            verify(bundle.folder)
        path.write_bytes(sealed)
    verify(bundle.folder)


def test_verify_compares_the_files_that_a_bundle_took_over(model: Path, tmp_path: Path) -> None:
    bundle = convert(str(model), tmp_path / "out")
    with (model / "tokenizer_config.json").open("a") as file:
        file.write("\n")
    with pytest.raises(ParityError, match=r"Refused: tokenizer_config\.json of .* is not what"):
        verify(bundle.folder)


@pytest.mark.parametrize(
    ("said", "fault"),
    [
        ({"pooling": "mean"}, "pooling mean, its source cls"),
        ({"normalize": False}, "normalize False, its source True"),
    ],
    ids=str,
)
def test_verify_checks_the_manifest_of_a_graph_that_pools(
    model: Path, tmp_path: Path, said: dict[str, Any], fault: str
) -> None:
    """Nothing else would: the vectors are right."""
    recipe = replace(RECIPES["fp16"], interface=Interface.SENTENCE_EMBEDDING)
    bundle = convert(str(model), tmp_path / "out", recipe=recipe)
    assert verify(bundle.folder).worst.worst >= recipe.bar
    path = bundle.folder / "minnow.json"
    change_record(path, lambda manifest: manifest["embedding"].update(said))
    with pytest.raises(ParityError, match=f"Refused: the manifest says .*{fault}"):
        verify(bundle.folder)


def test_an_author_s_graph_does_not_pool(model: Path, tmp_path: Path) -> None:
    recipe = replace(RECIPES["fp16"], graph=Graph.AUTHOR, interface=Interface.SENTENCE_EMBEDDING)
    with pytest.raises(InputError, match="author's graph gives last_hidden_state"):
        convert(str(model), tmp_path / "out", recipe=recipe)
    assert {path.name for path in tmp_path.iterdir()} == {"model"}


def test_a_failed_run_keeps_the_older_bundle(model: Path, tmp_path: Path) -> None:
    bundle = convert(str(model), tmp_path / "out")
    tensors = random_tensors(model)
    tensors["embeddings.LayerNorm.bias"][3] = np.nan
    write_weights(model, tensors)
    with pytest.raises(CheckpointError, match=r"embeddings\.LayerNorm\.bias holds NaN"):
        convert(str(model), tmp_path / "out")
    assert Bundle.open(tmp_path / "out").manifest == bundle.manifest
    bundle.check_files()
    assert {path.name for path in tmp_path.iterdir()} == {"model", "out"}


def test_a_lower_bar_is_in_the_manifest(model: Path, tmp_path: Path) -> None:
    bundle = convert(str(model), tmp_path / "out", recipe=replace(RECIPES["fp16"], bar=0.5))
    assert Bundle.open(bundle.folder).manifest.recipe.bar == 0.5
    assert Bundle.open(bundle.folder).manifest.parity.bar == 0.5


def test_an_impossible_bar_is_refused_with_the_figures(model: Path, tmp_path: Path) -> None:
    with pytest.raises(ParityError) as caught:
        convert(str(model), tmp_path / "out", recipe=replace(RECIPES["fp16"], bar=1.1))
    lines = str(caught.value).splitlines()
    assert "the bar is 1.1" in lines[0]
    assert all("cosine 0.99" in line or "cosine 1.0" in line for line in lines[1:9])
    assert "in shape (1, " in lines[1] or "in shape (4, " in lines[1]


def edit_json(path: Path, **changes: Any) -> None:
    write_json(path, {**json.loads(path.read_text()), **changes})


BAD_SOURCES: dict[str, tuple[Callable[[Path], object], type[MinnowError], str]] = {
    "no weights": (lambda m: (m / "model.safetensors").unlink(), UnsupportedModelError, "safetens"),
    "an unknown architecture": (
        lambda m: edit_json(m / "config.json", model_type="mamba"), UnsupportedModelError, "mamba",
    ),
    "a decoder": (
        lambda m: edit_json(m / "config.json", is_decoder=True), UnsupportedModelError, "is_deco",
    ),
    "another size": (
        lambda m: edit_json(m / "config.json", intermediate_size=128), CheckpointError, "shape",
    ),
    "no pooling": (
        lambda m: shutil.rmtree(m / "1_Pooling"), SourceNotFoundError, "1_Pooling/config.json",
    ),
    "no modules": (
        lambda m: (m / "modules.json").unlink(), AmbiguousModelError, "`normalize=True`",
    ),
    "no tokenizer": (
        lambda m: (m / "tokenizer.json").unlink(), SourceNotFoundError, "tokenizer.json",
    ),
    "a tokenizer of another model": (
        lambda m: write_tokenizer(m, (*_tokens(m), "extra")), SourceError, "word table",
    ),
    "a truncated checkpoint": (
        lambda m: (m / "model.safetensors").write_bytes(
            (m / "model.safetensors").read_bytes()[:-99]
        ),
        CheckpointError, "model.safetensors",
    ),
    "broken JSON": (
        lambda m: (m / "config.json").write_text("{"), SourceError, "config.json",
    ),
}  # fmt: skip


def _tokens(model: Path) -> list[str]:
    return (model / "vocab.txt").read_text().split()


@pytest.mark.parametrize("fault", BAD_SOURCES)
def test_bad_sources(model: Path, tmp_path: Path, fault: str) -> None:
    spoil, error, message = BAD_SOURCES[fault]
    spoil(model)
    with pytest.raises(error, match=message) as caught:
        convert(str(model), tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert {path.name for path in tmp_path.iterdir()} == {"model"}


def test_an_unknown_reference_and_an_unwritable_place(model: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="checkpoint, sentence-transformers, author-onnx"):
        convert(str(model), tmp_path / "out", reference="guess")  # type: ignore[arg-type]
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="file"):
        convert(str(model), tmp_path / "file/out")


@pytest.mark.extra("sentence-transformers")
def test_sentence_transformers_as_the_reference(tmp_path: Path) -> None:
    model = write_model(tmp_path / "model", pooling="mean", prompts={"query": "query: "})
    edit_json(model / "config_sentence_transformers.json", default_prompt_name="query")
    bundle = convert(str(model), tmp_path / "out", reference="sentence-transformers")
    assert bundle.manifest.parity.reference.startswith("sentence-transformers ")
    assert bundle.manifest.parity.worst.worst >= 0.99999


def test_a_local_source_converts_on_a_machine_without_a_network(
    model: Path, tmp_path: Path
) -> None:
    """The whole program, converter included, in a network namespace that holds no interface."""
    alone = ["unshare", "--net", "--map-root-user"]
    if shutil.which("unshare") is None or subprocess.run([*alone, "true"], check=False).returncode:
        pytest.skip("network namespaces cannot be made here")
    command = [sys.executable, "-m", "minnow", "convert", str(model), "-o", str(tmp_path / "o")]
    traced = subprocess.run([*alone, *command], capture_output=True, text=True, check=False)
    assert traced.returncode == 0, traced.stderr
    Bundle.open(tmp_path / "o").check_files()


def test_a_missing_reference_is_reported_before_the_conversion(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("minnow.convert.write_encoders", lambda *_, **__: pytest.fail("too late"))
    with pytest.raises(MinnowError, match=r"no ONNX graph|minnow-embed\[onnxruntime\]"):
        convert(str(model), tmp_path / "out", reference="author-onnx")
    assert {path.name for path in tmp_path.iterdir()} == {"model"}
