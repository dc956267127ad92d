"""Bundles over HTTP, with OpenAI's embeddings API: `minnow serve`.

It needs the extra `serve`. `settings.py` holds its `Settings` and `Limits`.
"""
