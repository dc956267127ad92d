"""What documentation of sentence-transformers and fastembed shows, with one changed import line.

Each snippet of sentence-transformers runs twice, on the class itself and on an embedder; `answer`
has to be the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from minnow import Embedder

if TYPE_CHECKING:
    from pathlib import Path

    from fakes.bundles import Tiny

pytestmark = pytest.mark.extra("convert")

IMPORT = "from sentence_transformers import SentenceTransformer"
CHANGED = "from minnow import Embedder as SentenceTransformer"
TEXTS = """
sentences = ["how do fish sleep?", "two small fish run", "the big ship", "red", "big red ship",
             "what is deep?", "the river", "small fish", "the deep river", "fish"]
"""
SNIPPETS = {
    "quickstart": """
model = SentenceTransformer(MODEL)
embeddings = model.encode(sentences)
similarities = model.similarity(embeddings, embeddings)
assert embeddings.shape == (10, 32)
answer = similarities
""",
    "questions and passages": """
model = SentenceTransformer(MODEL)
query_embeddings = model.encode_query(sentences[:2])
document_embeddings = model.encode_document(sentences[2:])
answer = model.similarity(query_embeddings, document_embeddings)
""",
    "semantic_search": """
from sentence_transformers import util
model = SentenceTransformer(MODEL)
corpus_embeddings = model.encode_document(sentences, convert_to_tensor=True)
query_embedding = model.encode_query("how do fish sleep?", convert_to_tensor=True)
hits = util.semantic_search(query_embedding, corpus_embeddings, top_k=3)
answer = [[hit["corpus_id"], round(hit["score"], 4)] for hit in hits[0]]
""",
    "topk of similarity": """
import torch
model = SentenceTransformer(MODEL)
corpus_embeddings = model.encode(sentences, convert_to_tensor=True)
query_embedding = model.encode("deep river", convert_to_tensor=True)
similarity_scores = model.similarity(query_embedding, corpus_embeddings)[0]
scores, indices = torch.topk(similarity_scores, k=4)
answer = scores
""",
    "paraphrase_mining": """
from sentence_transformers.util import paraphrase_mining
model = SentenceTransformer(MODEL)
paraphrases = paraphrase_mining(model, sentences, top_k=3)
answer = [[i, j, round(score, 4)] for score, i, j in paraphrases[:8]]
""",
    "community_detection": """
from sentence_transformers import util
model = SentenceTransformer(MODEL)
corpus_embeddings = model.encode(sentences, batch_size=64, show_progress_bar=False,
                                 convert_to_tensor=True)
answer = util.community_detection(corpus_embeddings, min_community_size=2, threshold=0.4)
""",
    "clustering": """
from sklearn.cluster import AgglomerativeClustering
model = SentenceTransformer(MODEL)
corpus_embeddings = model.encode(sentences)
corpus_embeddings = corpus_embeddings / np.linalg.norm(corpus_embeddings, axis=1, keepdims=True)
clustering_model = AgglomerativeClustering(n_clusters=3).fit(corpus_embeddings)
answer = clustering_model.labels_.tolist()
""",
    "prompts": """
model = SentenceTransformer(MODEL, prompts={"query": "red ", "clustering": "big "},
                            default_prompt_name="clustering")
answer = np.stack([model.encode("fish"), model.encode("fish", prompt_name="query"),
                   model.encode("fish", prompt="small "), model.encode_query("fish")])
""",
    "truncate_dim": """
model = SentenceTransformer(MODEL, truncate_dim=8)
embeddings = model.encode(sentences, normalize_embeddings=True)
assert model.get_embedding_dimension() == 8
answer = model.similarity(embeddings[0], embeddings[1:])
""",
    "binary embeddings": """
from sentence_transformers.quantization import quantize_embeddings
model = SentenceTransformer(MODEL)
binary_embeddings = model.encode(sentences, precision="binary")
answer = [binary_embeddings.tolist(),
          quantize_embeddings(model.encode(sentences), precision="ubinary").tolist()]
""",
    "max_seq_length": """
model = SentenceTransformer(MODEL)
model.max_seq_length = 5
answer = model.encode(["the big ship of the deep river", "fish"])
""",
    "InformationRetrievalEvaluator": """
from sentence_transformers.sentence_transformer.evaluation import InformationRetrievalEvaluator
model = SentenceTransformer(MODEL)
corpus = {str(n): text for n, text in enumerate(sentences)}
ir_evaluator = InformationRetrievalEvaluator(
    queries={"a": "deep river", "b": "fish sleep"}, corpus=corpus,
    relevant_docs={"a": {"8", "6"}, "b": {"0"}}, name="tiny", show_progress_bar=False,
    accuracy_at_k=[1, 3], precision_recall_at_k=[3], mrr_at_k=[3], ndcg_at_k=[3], map_at_k=[5],
    write_csv=False)
results = ir_evaluator(model)
answer = [[name, round(value, 4)] for name, value in results.items()]
assert model.evaluate(ir_evaluator) == results
""",
    "EmbeddingSimilarityEvaluator": """
from sentence_transformers.sentence_transformer.evaluation import EmbeddingSimilarityEvaluator
model = SentenceTransformer(MODEL)
evaluator = EmbeddingSimilarityEvaluator(
    sentences[:4], sentences[4:8], scores=[0.1, 0.9, 0.3, 0.7], name="tiny", write_csv=False)
answer = [[name, round(float(value), 4)] for name, value in evaluator(model).items()]
""",
    "mine_hard_negatives": """
from datasets import Dataset
from sentence_transformers.util import mine_hard_negatives
model = SentenceTransformer(MODEL)
dataset = Dataset.from_dict({"query": sentences[:3], "answer": sentences[3:6]})
mined = mine_hard_negatives(dataset, model, corpus=sentences, num_negatives=2, range_max=6,
                            sampling_strategy="top", verbose=False)
answer = mined.to_list()
""",
}


def run(code: str, model: Path) -> Any:
    names: dict[str, Any] = {"MODEL": str(model), "np": np}
    exec(compile(f"{code}", "snippet", "exec"), names)
    return names["answer"]


@pytest.mark.extra("sentence-transformers")
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", SNIPPETS)
def test_a_snippet_of_sentence_transformers_gives_the_same_answer(name: str, made: Tiny) -> None:
    if name == "mine_hard_negatives":
        pytest.importorskip("datasets.arrow_dataset", reason="needs the package datasets")
    snippet = f"{IMPORT}\n{TEXTS}{SNIPPETS[name]}"
    expected = run(snippet, made.source.folder)
    found = run(snippet.replace(IMPORT, CHANGED), made.bundle.folder)
    if isinstance(expected, list):
        assert found == expected
    else:
        np.testing.assert_allclose(np.asarray(found), np.asarray(expected), atol=2e-5)


@pytest.mark.extra("sentence-transformers")
def test_the_snippet_of_many_processes_starts_none(made: Tiny) -> None:
    code = """
model = SentenceTransformer(MODEL)
pool = model.start_multi_process_pool()
embeddings = model.encode(sentences, pool=pool, chunk_size=3)
model.stop_multi_process_pool(pool)
answer = embeddings, model.encode(sentences)
"""
    found, expected = run(f"{CHANGED}\n{TEXTS}{code}", made.bundle.folder)
    assert np.array_equal(found, expected)


FASTEMBED = {
    "quickstart": "answer = list(TextEmbedding(MODEL).embed(sentences))",
    "model_name": "answer = list(TextEmbedding(model_name=MODEL).embed(sentences))",
    "a generator": """
embeddings_generator = TextEmbedding(model_name=MODEL).embed(sentences)
answer = [next(iter(embeddings_generator))] + list(embeddings_generator)
""",
    "an array": "answer = np.array(list(TextEmbedding(MODEL).embed(sentences)))",
    "batches in parallel": """
model = TextEmbedding(model_name=MODEL, threads=2)
answer = list(model.embed(sentences, batch_size=4, parallel=0))
""",
    "passages": "answer = list(TextEmbedding(MODEL).passage_embed(sentences))",
    "queries": "answer = list(TextEmbedding(MODEL).query_embed(sentences))",
    "one query": """
model = TextEmbedding(MODEL)
answer = [list(model.query_embed(text))[0] for text in sentences]
""",
    "an iterable": "answer = list(TextEmbedding(MODEL).embed(text for text in sentences))",
    "its size": """
model = TextEmbedding(MODEL, lazy_load=True)
answer = list(model.embed(sentences))
assert len(answer[0]) == model.embedding_size == 32
assert model.token_count("fish") == 3
""",
    "retrieval": """
model = TextEmbedding(model_name=MODEL)
answer = list(model.embed(sentences))
query_embedding = list(model.query_embed("the deep river"))[0]
scores = np.dot(answer, query_embedding)
assert sentences[np.argsort(scores)[::-1][0]] == "the deep river"
""",
}


@pytest.mark.parametrize("name", FASTEMBED)
def test_a_snippet_of_fastembed_runs(name: str, made: Tiny) -> None:
    code = f"from minnow.adapters.fastembed import TextEmbedding\n{TEXTS}{FASTEMBED[name]}"
    found = run(code, made.bundle.folder)
    with Embedder.open(made.bundle) as embedder:
        sentences: dict[str, Any] = {}
        exec(TEXTS, sentences)
        expected = embedder.encode(sentences["sentences"], prompt="")
    assert all(vector.dtype == np.float32 for vector in found)
    np.testing.assert_allclose(np.stack(list(found)), expected, atol=1e-5)


@pytest.mark.parametrize(
    "options", [{"cuda": True}, {"providers": ["CUDAExecutionProvider"]}, {"cache_dir": "x"}]
)
def test_what_fastembed_has_and_a_bundle_has_not_is_refused(
    options: dict[str, Any], made: Tiny
) -> None:
    from minnow.adapters.fastembed import TextEmbedding
    from minnow.errors import InputError

    with pytest.raises(InputError, match=f"{next(iter(options))} is not possible here"):
        TextEmbedding(str(made.bundle.folder), **options)
