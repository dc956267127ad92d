"""Train a small reranker on all-MiniLM-L6-v2, for measurements of rerankers on real text.

    python benchmarks/train_reranker.py MODEL DATASET OUTPUT [--epochs 2] [--seconds 1800]

MODEL is the folder of all-MiniLM-L6-v2, DATASET a directory in BEIR's layout whose documents have
titles, such as squad_dev. Articles (documents of one title) are split by the hash of the title:
questions of six tenths of the articles train, all others are written to OUTPUT/held-out in BEIR's
layout, with the whole corpus. No held-out question and no document judged for one is a positive
in training; such documents do occur as negatives.

A question is trained against its paragraph and paragraphs that the embedding model ranks high:
the loss is the cross-entropy of the right one among them. OUTPUT/model is a cross-encoder of
sentence-transformers. Nothing is downloaded. One run takes half an hour on two cores.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import shutil
import time
from pathlib import Path

import torch
from sentence_transformers import CrossEncoder, SentenceTransformer

NEGATIVES = 7
HARDEST = 40
MAX_LENGTH = 192
RATE = 6e-5
WARM_UP = 0.1


def main() -> None:
    """Train, and write the model and the held-out questions."""
    parser = argparse.ArgumentParser()
    parser.add_argument("model", type=Path)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=1800.0)
    given = parser.parse_args()
    torch.manual_seed(7)
    random.seed(7)

    corpus = {row["_id"]: row for row in _lines(given.dataset / "corpus.jsonl")}
    queries = {row["_id"]: row["text"] for row in _lines(given.dataset / "queries.jsonl")}
    relevant = _judgements(given.dataset / "qrels" / "test.tsv")
    training = [name for name in queries if _trains(corpus[relevant[name]]["title"])]
    _write_held_out(given.output / "held-out", given.dataset, set(queries) - set(training))
    print(f"{len(training)} questions train, {len(queries) - len(training)} are held out")

    texts = {name: f"{row['title']} {row['text']}".strip() for name, row in corpus.items()}
    hard = _hard_negatives(given.model, texts, queries, training)
    encoder = CrossEncoder(str(given.model), num_labels=1, max_length=MAX_LENGTH)
    _train(encoder, [(queries[q], relevant[q], hard[q]) for q in training], texts, given)
    encoder.save_pretrained(str(given.output / "model"))


def _lines(path: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def _judgements(path: Path) -> dict[str, str]:
    """Return the one relevant document of each question."""
    rows = [line.split("\t") for line in path.read_text("utf-8").splitlines()[1:]]
    return {query: document for query, document, grade in rows if int(grade) > 0}


def _trains(title: str) -> bool:
    return hashlib.sha256(title.encode()).digest()[0] < 0.6 * 256


def _write_held_out(folder: Path, dataset: Path, held_out: set[str]) -> None:
    """Write the data set with the judgements and the questions of `held_out` alone."""
    (folder / "qrels").mkdir(parents=True, exist_ok=True)
    shutil.copyfile(dataset / "corpus.jsonl", folder / "corpus.jsonl")
    rows = [row for row in _lines(dataset / "queries.jsonl") if row["_id"] in held_out]
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    (folder / "queries.jsonl").write_text(lines, "utf-8")
    head, *judged = (dataset / "qrels" / "test.tsv").read_text("utf-8").splitlines(keepends=True)
    kept = [line for line in judged if line.split("\t")[0] in held_out]
    (folder / "qrels" / "test.tsv").write_text(head + "".join(kept), "utf-8")


def _hard_negatives(
    model: Path, texts: dict[str, str], queries: dict[str, str], training: list[str]
) -> dict[str, list[str]]:
    """Return the documents that the embedding model ranks highest for each question."""
    embedder = SentenceTransformer(str(model))
    names = list(texts)
    documents = embedder.encode([texts[name] for name in names], normalize_embeddings=True)
    questions = embedder.encode([queries[q] for q in training], normalize_embeddings=True)
    best = (questions @ documents.T).argsort(axis=1)[:, ::-1][:, : HARDEST + 1]
    return {q: [names[i] for i in row] for q, row in zip(training, best, strict=True)}


def _train(
    encoder: CrossEncoder,
    rows: list[tuple[str, str, list[str]]],
    texts: dict[str, str],
    given: argparse.Namespace,
) -> None:
    network = encoder.model
    assert network is not None
    network.train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=RATE, weight_decay=0.01)
    total, start, step, losses = len(rows) * given.epochs, time.monotonic(), 0, 0.0
    for epoch in range(given.epochs):
        for question, positive, hard in random.sample(rows, len(rows)):
            # The learning rate falls to zero over whichever ends first: the epochs or the time.
            done = max(step / total, (time.monotonic() - start) / given.seconds)
            if done >= 1:
                return
            for group in optimizer.param_groups:
                group["lr"] = RATE * min(done / WARM_UP, (1 - done) / (1 - WARM_UP))
            others = random.sample([name for name in hard if name != positive], NEGATIVES)
            loss = _loss(encoder, network, question, [texts[n] for n in (positive, *others)])
            loss.backward()  # type: ignore[no-untyped-call]
            step += 1
            losses += loss.item()
            if step % 4 == 0:
                torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
                optimizer.step()
                optimizer.zero_grad()
            if step % 100 == 0:
                spent = time.monotonic() - start
                print(f"epoch {epoch} step {step}: loss {losses / 100:.3f}, {spent:.0f} s")
                losses = 0.0


def _loss(
    encoder: CrossEncoder, network: torch.nn.Module, question: str, passages: list[str]
) -> torch.Tensor:
    """Return the cross-entropy of the first passage among all."""
    pairs = [question] * len(passages)
    tokens = encoder.tokenizer(
        pairs,
        passages,
        padding=True,
        truncation="longest_first",
        max_length=MAX_LENGTH,
        return_tensors="pt",
    )
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = network(**tokens).logits
    return torch.nn.functional.cross_entropy(logits.float().reshape(1, -1), torch.tensor([0]))


if __name__ == "__main__":
    main()
