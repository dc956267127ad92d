"""Routers: an encoder of queries and one of documents in one bundle."""

from __future__ import annotations

import json
import re
import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from fakes.bundles import quick_recipe
from fakes.checkpoint import edit_json, source_of, write_json, write_model
from fakes.sealed import change_record
from fakes.serving import serving

from minnow import Embedder
from minnow.bundle import Bundle
from minnow.convert import convert, verify
from minnow.device import write_check
from minnow.errors import (
    BundleError,
    IndexFileError,
    InputError,
    SourceError,
    UnsupportedModelError,
)
from minnow.export.mnn_llm import export_mnn_llm
from minnow.indexfile.fingerprint import Fingerprint, check_fingerprint
from minnow.indexfile.models import open_model
from minnow.manifest import ENCODER, MANIFEST, QUERIES
from minnow.model.original import read_original
from minnow.model.router import read_routes
from minnow.recipe import RECIPES
from minnow.records import replace
from minnow.vectors import rowwise_cosine

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from minnow.options import Role

TEXTS = ["fish sleep", "how do fish sleep in the big blue river?", "water", "a small red fish " * 9]
PROMPTS = {"query": "a big query: ", "document": "the small zoo "}


def _modules(folder: Path, **options: Any) -> list[Any]:
    from sentence_transformers import SentenceTransformer

    return list(SentenceTransformer(str(write_model(folder, **options)), device="cpu"))


def _static(width: int) -> Any:
    import torch
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = [
        "[UNK]",
        *[
            "a",
            "how",
            "do",
            "fish",
            "sleep",
            "in",
            "the",
            "big",
            "blue",
            "river",
            "?",
            "water",
            "small",
            "red",
            "query",
            ":",
            "zoo",
        ],
    ]
    tokenizer = Tokenizer(models.WordLevel({w: i for i, w in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    weights = torch.randn(len(words), width, generator=torch.Generator().manual_seed(3))
    return StaticEmbedding(tokenizer, embedding_weights=weights)


def _two_networks(folder: Path) -> list[Any]:
    from sentence_transformers.base.modules import Router

    return [
        Router.for_query_document(
            _modules(folder / "q", family="roberta", pooling="mean", seed=1, normalize=False),
            _modules(folder / "d", pooling="cls", normalize=False),
        )
    ]


def _inference_free(folder: Path) -> list[Any]:
    from sentence_transformers.base.modules import Normalize, Router

    documents = _modules(folder / "d", pooling="mean", normalize=False)
    router = Router(
        {"fast": [_static(32)], "deep": documents},
        route_mappings={
            ("query", "text"): "fast",
            ("document", None): "deep",
        },
        default_route="fast",
    )
    return [router, Normalize()]


def _one_network(folder: Path) -> list[Any]:
    import torch
    from sentence_transformers.base.modules import Dense, Normalize, Router

    def dense(seed: int) -> Any:
        torch.manual_seed(seed)
        return Dense(32, 24, activation_function=torch.nn.Tanh())

    router = Router({"query": [dense(0)], "document": [dense(1)]}, allow_empty_key=False)
    return [*_modules(folder / "d", pooling="mean", normalize=False), router, Normalize()]


ROUTERS: dict[str, Callable[[Path], list[Any]]] = {
    "two networks": _two_networks,
    "a table for queries": _inference_free,
    "a dense layer each": _one_network,
}


def save(folder: Path, kind: str) -> Path:
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(
        modules=ROUTERS[kind](folder), device="cpu", prompts=PROMPTS, similarity_fn_name="dot"
    )
    model.save_pretrained(str(folder / "model"))
    return folder / "model"


@pytest.mark.transformers_5
@pytest.mark.extra("convert", "sentence-transformers", "onnxruntime")
@pytest.mark.parametrize(
    ("kind", "precision"),
    [
        *((kind, "fp32") for kind in ROUTERS),
        ("two networks", "fp16"),
        ("a table for queries", "int8"),
    ],
)
def test_both_encoders_give_the_vectors_of_sentence_transformers(
    tmp_path: Path, kind: str, precision: str
) -> None:
    from sentence_transformers import SentenceTransformer

    folder = save(tmp_path, kind)
    theirs = SentenceTransformer(str(folder), device="cpu")
    recipe = quick_recipe(precision) if precision == "int8" else RECIPES[precision]

    bundle = convert(str(folder), tmp_path / "bundle", recipe=recipe)

    least = {"fp32": 0.999999, "fp16": 0.9999, "int8": 0.99}[precision]
    manifest = bundle.manifest
    assert manifest.queries is not None
    assert (manifest.format, manifest.width) == (5, manifest.queries.width)
    bundle.check_files()
    for engine in ("mnn", "onnxruntime") if precision == "fp32" else ("mnn",):
        with Embedder.open(bundle, engine=engine, on_truncate="ignore") as embedder:
            roles: tuple[tuple[Role, Any], ...] = (
                ("query", embedder.encode_query),
                ("document", embedder.encode_document),
            )
            for role, encode in roles:
                expected = getattr(theirs, f"encode_{role}")(TEXTS)
                alone = np.stack([encode(text) for text in TEXTS])
                for found in (
                    encode(TEXTS),
                    alone,
                    embedder.encode(TEXTS, **embedder.role_options(role, {})),
                ):
                    assert rowwise_cosine(found, expected).min() >= least
            if kind == "a dense layer each":
                assert manifest.default_role is None
                with pytest.raises(InputError, match="Give the role of the texts"):
                    embedder.encode(TEXTS)
            else:
                assert rowwise_cosine(embedder.encode(TEXTS), theirs.encode(TEXTS)).min() >= least
            embedder.warmup()
    assert rowwise_cosine(theirs.encode_query(TEXTS), theirs.encode_document(TEXTS)).max() < 0.99


@pytest.fixture(scope="module")
def router(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Bundle]:
    """Convert a model with a table for queries, once for all tests here."""
    folder = save(tmp_path_factory.mktemp("router"), "a table for queries")
    return folder, convert(str(folder), folder.parent / "bundle", recipe=RECIPES["fp32"])


@pytest.mark.transformers_5
@pytest.mark.extra("convert", "sentence-transformers")
class TestBundle:
    def test_it_is_verified_with_both(self, router: tuple[Path, Bundle], tmp_path: Path) -> None:
        folder, bundle = router
        assert verify(bundle).worst.worst >= 0.999999
        assert Bundle.open(bundle.folder).manifest == bundle.manifest
        card = (bundle.folder / "README.md").read_text(encoding="utf-8")
        assert "## Queries" in card
        assert "| network | static, 0 layers, 32 wide |" in card

        other = shutil.copytree(folder, tmp_path / "other")
        weights = other / "fast_0_StaticEmbedding/model.safetensors"
        weights.write_bytes(weights.read_bytes()[:-4] + b"\0\0\x80\x3f")
        with pytest.raises(BundleError, match="does not hold the weights"):
            verify(bundle, source=str(other))

    def test_a_damaged_part_is_noticed(self, router: tuple[Path, Bundle], tmp_path: Path) -> None:
        copied = tmp_path / "bundle"
        shutil.copytree(router[1].folder, copied)
        (copied / QUERIES / ENCODER).write_bytes(b"another")
        with pytest.raises(BundleError, match=r"query/encoder\.mnn has 7 bytes"):
            Embedder.open(copied)
        change_record(copied / MANIFEST, lambda record: record["files"].pop("query/encoder.mnn"))
        with pytest.raises(BundleError, match=r"it lists no query/encoder\.mnn"):
            Bundle.open(copied)

    def test_a_manifest_of_two_widths(self, router: tuple[Path, Bundle], tmp_path: Path) -> None:
        copied = tmp_path / "bundle"
        shutil.copytree(router[1].folder, copied)
        change_record(
            copied / MANIFEST, lambda record: record["queries"]["embedding"].update(truncate_dim=8)
        )
        with pytest.raises(BundleError, match="its vectors have 32 and 8 numbers"):
            Bundle.open(copied)

    def test_an_index_knows_both(self, router: tuple[Path, Bundle]) -> None:
        manifest = router[1].manifest
        ours = Fingerprint.of(manifest)
        assert manifest.queries is not None
        source = replace(manifest.queries.source, weights_sha256="0" * 64)
        theirs = Fingerprint.of(replace(manifest, queries=replace(manifest.queries, source=source)))
        with pytest.raises(IndexFileError, match="the weights"):
            check_fingerprint(ours, theirs, "an.index")
        assert "of queries mean" in ours.pooling
        assert Fingerprint.of(replace(manifest, queries=None)) != ours

    def test_search_and_memory_use_both(self, router: tuple[Path, Bundle], tmp_path: Path) -> None:
        bundle = router[1]
        with open_model(bundle) as model, Embedder.open(bundle) as embedder:
            for found, expected in (
                (model.encode_queries(TEXTS[:3]), embedder.encode_query(TEXTS[:3])),
                (model.encode_documents(TEXTS[:3]), embedder.encode_document(TEXTS[:3])),
            ):
                np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)

    def test_a_server_sends_texts_to_their_encoder(
        self, router: tuple[Path, Bundle], tmp_path: Path
    ) -> None:
        bundle, texts = router[1], TEXTS[:3]
        with (
            serving(tmp_path, f"tiny={bundle.folder}") as server,
            Embedder.open(bundle) as embedder,
        ):
            expected = {
                "query": embedder.encode_query(texts),
                "document": embedder.encode_document(texts),
                None: embedder.encode(texts),
            }
            for role, rows in expected.items():
                body = {"input": texts, **({"input_type": role} if role else {})}
                data = server.embed(**body).json["data"]
                found = np.array([row["embedding"] for row in data])
                np.testing.assert_allclose(found, rows, rtol=0, atol=1e-5)
            asked = {"model": "tiny", "query": texts[0], "documents": texts}
            scores = server.post("/similarity", asked).json["scores"]
            kinship = embedder.similarity(expected["query"][:1], expected["document"])
            np.testing.assert_allclose(scores, kinship, rtol=1e-4, atol=1e-4)
            tokens = {"model": "tiny", "input": texts[0], "input_type": "query"}
            (row,) = server.post("/tokenize", tokens).json["data"]
            assert embedder.queries is not None
            assert row["ids"] == embedder.queries.token_ids([PROMPTS["query"] + texts[0]])[0]

    def test_what_has_one_encoder_only(self, router: tuple[Path, Bundle], tmp_path: Path) -> None:
        folder, bundle = router
        with pytest.raises(InputError, match="a device check runs one"):
            write_check(bundle, tmp_path / "check")
        with pytest.raises(InputError, match="the mnn-llm layout holds one"):
            export_mnn_llm(bundle, tmp_path / "export")
        with pytest.raises(UnsupportedModelError, match="`minnow convert` makes a bundle of both"):
            read_original(source_of(folder))


# --- configurations ----------------------------------------------------------------------


def write_router(folder: Path, **parameters: Any) -> Path:
    """Write what a router's files are, without weights; `structure` replaces its routes."""
    types = "sentence_transformers.sentence_transformer.modules."
    write_json(
        folder / "modules.json", [{"idx": 0, "name": "0", "path": "", "type": f"{types}Router"}]
    )
    structure = parameters.pop("structure", {"query": ["a"], "document": ["b"]})
    kinds = {name: f"{types}Transformer" for names in structure.values() for name in names}
    write_json(
        folder / "router_config.json",
        {"types": kinds, "structure": structure, "parameters": parameters},
    )
    return folder


@pytest.mark.parametrize(
    ("parameters", "found"),
    [
        ({}, ("query", "document", "query")),
        ({"default_route": "document"}, ("query", "document", "document")),
        ({"allow_empty_key": False}, ("query", "document", None)),
        ({"structure": {"text": ["a"]}}, ("text", "text", "document")),
        (
            {"structure": {"x": ["a"], "y": ["b"]}, "route_mappings": {
                "('query', None)": "x", "(None, 'text')": "y", "('query', ('image', 'text'))": "y",
            }},
            ("x", "y", "document"),
        ),
        (
            {"route_mappings": {"('query', 'text')": "document", "('query', None)": "query"}},
            ("document", "document", "query"),
        ),
    ],
)  # fmt: skip
def test_routes_are_those_of_sentence_transformers(
    tmp_path: Path, parameters: dict[str, Any], found: tuple[str, str, str | None]
) -> None:
    if found == ("document", "document", "query"):  # the default route is no route of a role
        with pytest.raises(UnsupportedModelError, match="which is neither the route of queries"):
            read_routes(source_of(write_router(tmp_path, **parameters)))
        return
    routes = read_routes(source_of(write_router(tmp_path, **parameters)))
    assert routes is not None
    assert (routes.query.route, routes.document.route, routes.default) == found


@pytest.mark.parametrize(
    ("parameters", "error", "said"),
    [
        (
            {"structure": {"query": ["a"], "doc": ["b"]}},
            UnsupportedModelError,
            "has no route for a document, only query, doc: sentence-transformers' encode_document",
        ),
        ({"default_route": "x"}, SourceError, "names routes that it does not have: x"),
        ({"structure": {"query": ["../a"]}}, SourceError, "should have types, and a structure"),
        ({"structure": {}}, SourceError, "should have types, and a structure"),
        ({"route_mappings": {"import os": "query"}}, SourceError, "route_mappings should map"),
        ({"temperature": 2}, UnsupportedModelError, "asks for temperature: 2"),
    ],
)
def test_routers_that_are_refused(
    tmp_path: Path, parameters: dict[str, Any], error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=re.escape(said)):
        read_routes(source_of(write_router(tmp_path, **parameters)))


@pytest.mark.transformers_5
@pytest.mark.extra("convert", "sentence-transformers")
def test_the_layout_of_asym(tmp_path: Path) -> None:
    """Versions 2 to 4 named the class Asym, its file config.json, its folder after its place."""
    folder = save(tmp_path, "a dense layer each")
    rows = json.loads((folder / "modules.json").read_bytes())
    place = folder / rows[2]["path"]
    place.rename(folder / "2_Asym")
    rows[2] |= {"path": "2_Asym", "type": "sentence_transformers.models.Asym"}
    write_json(folder / "modules.json", rows)
    (folder / "2_Asym/router_config.json").rename(folder / "2_Asym/config.json")
    edit_json(folder / "2_Asym/config.json", parameters={"allow_empty_key": True})

    bundle = convert(str(folder), tmp_path / "bundle", recipe=RECIPES["fp32"])

    from sentence_transformers import SentenceTransformer

    theirs = SentenceTransformer(str(folder), device="cpu")
    assert bundle.manifest.default_role == "query"
    with Embedder.open(bundle, on_truncate="ignore") as embedder:
        for role in ("query", "document"):
            found, expected = (
                getattr(each, f"encode_{role}")(TEXTS) for each in (embedder, theirs)
            )
            assert rowwise_cosine(found, expected).min() >= 0.999999
