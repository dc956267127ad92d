"""Bundles over HTTP, with OpenAI's embeddings API: `minnow serve`.

`serve` needs the extra `serve`; `Settings` and `Limits` are what it is told.
"""
