"""Page at `/`: one file, which loads nothing else."""

from __future__ import annotations

import base64
import hashlib
import html
import re
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from starlette.responses import Response

if TYPE_CHECKING:
    from minnow.serve.service import Service

HTML = "text/html"
_QUESTION = 'value="how do fish sleep?"'


def page(service: Service) -> Response:
    """Return the page, with a policy that lets it call this server and nothing else.

    The question that stands in it at first fits the index, if there is one.
    """
    content, policy = _page()
    if service.searcher is not None and service.searcher.example:
        question = f'value="{html.escape(service.searcher.example)}"'
        content = content.replace(_QUESTION, question, 1)
    headers = {
        "Content-Security-Policy": policy,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-cache",
    }
    return Response(content, headers=headers, media_type=HTML)


@cache
def _page() -> tuple[str, str]:
    content = (files("minnow.serve") / "templates" / "page.html").read_text(encoding="utf-8")
    script, style = (
        _hash(re.search(f"<{tag}>(.*?)</{tag}>", content, re.DOTALL)) for tag in ("script", "style")
    )
    policy = (
        f"default-src 'none'; script-src {script}; style-src {style}; connect-src 'self'; "
        "img-src data:; form-action 'none'; frame-ancestors 'none'; base-uri 'none'"
    )
    return content, policy


def _hash(found: re.Match[str] | None) -> str:
    assert found is not None
    digest = hashlib.sha256(found[1].encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"
