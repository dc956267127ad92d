"""Things that turn text or token ids into vectors."""

from minnow.engines.base import Engine, TextEmbedder, TokenBatch

__all__ = ["Engine", "TextEmbedder", "TokenBatch"]
