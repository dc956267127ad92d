"""HTML as text and sections: what a browser shows, without the frame around it."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minnow.chunks.webpage import read_html
from minnow.errors import MissingExtraError

with_parser = pytest.mark.extra("index")

PAGE = """<!doctype html>
<html><head><title>Alerting | Docs</title><style>p { color: red }</style></head>
<body>
<nav><ul><li>Home</li></ul></nav><div role="navigation">Sidebar</div>
<h1>The site</h1>
<main>
<h1>Alerting<a class="headerlink" href="#alerting">¶</a></h1>
<p>Alerts are <b>sent</b> to
the <a href="x">Alertmanager</a>.</p><!-- a comment -->
<h2>Using C#<a href="#c"></a></h2>
<pre><span>if (a</span>  &lt; b)
    c();</pre>
<ul><li><p>one</p></li><li>two<ol start="4"><li>three</li></ol></li></ul>
<table><thead><tr><th><p>Key</p></th><th><p>Value</p></th></tr></thead>
<tbody><tr><td>a</td><td><p>1</p></td></tr><tr><td></td><td>2<br>3</td></tr></tbody></table>
<div hidden>no</div><p style="display: none">no</p><span aria-hidden="true">no</span>
<script>no()</script><template><p>no</p></template><noscript>no</noscript>
<dl><dt>term</dt><dd>meaning</dd></dl>
<section hidden="until-found">found</section>
</main><footer>Everywhere</footer></body></html>
"""


def read(source: str) -> list[tuple[str, str]]:
    document = read_html("a.html", source)
    return [
        (" > ".join(section.headings), document.text[section.start : section.end].strip("\n"))
        for section in document.sections
    ]


@with_parser
class TestHtml:
    def test_a_page(self) -> None:
        assert read(PAGE) == [
            ("Alerting", "Alerts are sent to the Alertmanager."),
            (
                "Alerting > Using C#",
                "if (a  < b)\n    c();\n\n- one\n\n- two\n  4. three\n\n"
                "Key | Value\na | 1\n | 2\n3\n\nterm\nmeaning\n\nfound",
            ),
        ]

    def test_a_page_without_a_top_heading_stands_under_its_title(self) -> None:
        source = "<title> The\npage </title><svg><title>no</title></svg><p>a<h2>B</h2>b"
        assert read(source) == [("The page", "a"), ("The page > B", "b")]

    @pytest.mark.parametrize(
        ("source", "expected"),
        [
            ("", []),
            ("a", [("", "a")]),
            ("<p>a<p>b<li>c", [("", "a\n\nb\n\n- c")]),
            ("a<h2>B<p>b</h2>c", [("", "a"), ("B b", "c")]),
            ("<h2><div>A</div>\n<div>B</div></h2>c", [("A B", "c")]),
            ("a<br><br><br>b<pre>\n\nc\n\n</pre>", [("", "a\n\nb\n\nc")]),
            ("<table><tr><td><p>a<p>b<table><tr><td>c<td>d</table><td>e",
             [("", "a\n\nb\n\nc | d | e")]),
            ("a<main> <br></main><nav>no</nav>", [("", "a")]),
            ("a<div role=navigation>no</div>", [("", "a")]),
            ("a<div role=main>b</div>", [("", "b")]),
            ("<img src=x alt='a fish'> <a href='#1'>[1]</a>", [("", "a fish [1]")]),
        ],
    )  # fmt: skip
    def test_odd_pages(self, source: str, expected: list[tuple[str, str]]) -> None:
        assert read(source) == expected

    def test_elements_deeper_than_pythons_stack(self) -> None:
        assert read("<div>" * 3000 + "deep") == [("", "deep")]

    @given(st.text(alphabet="ab<>/=\"'! -#&;\n", max_size=60))
    def test_anything_is_a_page(self, source: str) -> None:
        for _, text in read(source):
            assert text == text.strip("\n")


def test_without_the_parser(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "selectolax.lexbor", None)
    with pytest.raises(MissingExtraError, match=r"^Reading HTML needs .*minnow-embed\[index\]"):
        read_html("a.html", "<p>a")
