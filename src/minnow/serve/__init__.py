"""Bundles over HTTP, as OpenAI's embeddings are used: `minnow serve`.

`serve` needs the extra `serve`; `Settings` and `Limits` are what it is told.
"""
