#!/usr/bin/env bash
# KeyBERT and BERTopic ignore an embedding model of a class that they do not know, and load another model.
#
# Expected: KeyBERT(model=MODEL) and BERTopic(embedding_model=MODEL) embed with MODEL, or say that they cannot.
# Happens: both look at the name of the object's class. An object of any other class, even one with SentenceTransformer's
#   methods, is dropped without a warning, and a model of their own is loaded from the Hub in its place.
# Versions: keybert 0.9.0; bertopic 0.17.4; sentence-transformers 6.2.0 with transformers 5.24.0 and torch 2.13.0.
# Seen: giving both an object with `encode`, as their documentation's custom models have `embed`.
# Matters: keywords and topics come from another model, in another language perhaps; only the download shows it.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check torch==2.13.0 sentence-transformers==6.2.0 \
    transformers==5.24.0 keybert==0.9.0 bertopic==0.17.4
HF_HUB_OFFLINE=1 venv/bin/python - <<'PROGRAM'
import sys
from importlib.metadata import version

from bertopic.backend._utils import select_backend
from keybert import KeyBERT
from sentence_transformers import SentenceTransformer

loaded = []


def note(self, name, *rest, **options):  # downloads nothing
    loaded.append(name)
    raise ConnectionError


class Model:
    def encode(self, texts, **options):
        raise AssertionError("the model that was given is used")


SentenceTransformer.__init__ = note
print(*(f"{name} {version(name)}" for name in ("keybert", "bertopic", "sentence-transformers")))
for name, use in (
    ("KeyBERT", lambda: KeyBERT(model=Model())),
    ("BERTopic", lambda: select_backend(Model(), language="english")),
):
    try:
        use()
    except ConnectionError:
        print(f"{name} was given a {Model.__name__}, and loads {loaded[-1]}")
if loaded != ["paraphrase-multilingual-MiniLM-L12-v2", "sentence-transformers/all-MiniLM-L6-v2"]:
    sys.exit(f"The behaviour has changed: {loaded}.")
PROGRAM
