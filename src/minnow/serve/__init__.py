"""Bundles over HTTP, as OpenAI's embeddings are used: `minnow serve`.

`serve` needs the extra `serve`; `Settings`, `Limits` and `EngineOptions` are what it is told.
"""
