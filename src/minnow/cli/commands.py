"""The table of commands, so that the program loads only the one that runs."""

from __future__ import annotations

from typing import NamedTuple


class Home(NamedTuple):
    """The module of a command, and what the program's help says of the command."""

    module: str
    summary: str
    """The first line of the command's own help."""


COMMANDS = {
    "convert": Home("bundles", "Convert a model to a bundle, and prove its vectors equal."),
    "verify": Home("bundles", "Repeat a bundle's proof: all hashes, all probe texts."),
    "audit": Home("auditing", "Say whether a published MNN model is right."),
    "embed": Home("embedding", "Embed texts: arguments, or a file's lines, streamed."),
    "info": Home("facts", "Show what a bundle is and what was proven of it."),
    "export": Home("exporting", "Write a bundle's model for MNN's own embedding engine."),
    "push": Home("pushing", "Publish a bundle on the Hugging Face Hub."),
    "distill": Home("distilling", "Make static queries of a bundle: a table, no runtime."),
    "prove": Home("device", "Prove a bundle in phones' modes: low precision, low memory."),
    "device-check": Home("device", "Check a bundle on a phone or a board."),
    "compare": Home("evaluation", "Put systems side by side, and say whether they differ."),
    "evaluate": Home("evaluation", "Measure one system, or the ways of searching an index."),
    "gguf": Home("evaluation", "Write a model as a GGUF for llama.cpp, to compare with."),
    "frontier": Home("ladder", "Make a model in every precision: size against fidelity."),
    "bench": Home("speed", "Measure how fast systems are, beside each other."),
    "rerank": Home("reranking", "Rank texts by a query with a reranker, the best first."),
    "index": Home("searching", "Put documents into an index, or bring it up to date."),
    "search": Home("searching", "Search an index for what answers a question."),
    "index migrate": Home("migrating", "Migrate an index to another model while both search it."),
    "ask": Home("asking", "Answer a question from an index, with an LLM on MNN."),
    "memory": Home("remembering", "Keep memories in a file, recall them, reflect on them."),
    "serve": Home("serving", "Serve bundles over HTTP, with OpenAI's embeddings API."),
    "cache": Home("caching", "Show and clear what minnow keeps to make only once."),
    "doctor": Home("doctor", "Say what works on this machine, and what is installed."),
}
"""Every command, in the order of the help."""
