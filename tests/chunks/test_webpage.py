"""HTML as text and sections: what a browser shows, without the frame around it."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minnow.chunks.webpage import explain_missing_text, read_html
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

    @pytest.mark.parametrize(
        "nested",
        ["<div>", "<div aria-hidden=true><p>", "<div role=dialog>", "<div class=modal>", "<math>",
         "<div class=cookie-banner><button>", "<main>", "<math><mrow>", "<a href=#x>"],
    )  # fmt: skip
    def test_elements_of_all_kinds_deeper_than_pythons_stack(self, nested: str) -> None:
        assert "deep" in read_html("a.html", nested * 1500 + "deep<p>deep").text or "a" in nested

    def test_elements_deeper_than_pythons_stack(self) -> None:
        assert read("<div>" * 3000 + "deep") == [("", "deep")]

    @given(st.text(alphabet="ab<>/=\"'! -#&;\n", max_size=60))
    def test_anything_is_a_page(self, source: str) -> None:
        for _, text in read(source):
            assert text == text.strip("\n")


ARTICLE = "<h1>Ferry times</h1><p>The ferry leaves at noon.</p>"
CONSENT = "<p>We value your privacy.</p><button>Accept</button>"


@with_parser
class TestDialogs:
    """Whatever lies over a page when it is saved, the page is read, and that is not."""

    @pytest.mark.parametrize(
        "page",
        [
            f"<div aria-hidden=true>{ARTICLE}</div><div role=dialog>{CONSENT}</div>",
            f"<body aria-hidden=TRUE>{ARTICLE}<dialog open>{CONSENT}</dialog>",
            f"<div aria-hidden=true><div>{ARTICLE}</div></div>",
            f"<div aria-hidden=true><main>{ARTICLE}</main></div><div aria-modal=true>{CONSENT}",
            f"<div inert aria-hidden=true>{ARTICLE}</div><section role=alertdialog>{CONSENT}",
            f"{ARTICLE}<div class='modal fade'><div class=modal-dialog>{CONSENT}</div></div>",
            f"<div id=CybotCookiebotDialog>{CONSENT}</div>{ARTICLE}",
            f"<div id=onetrust-consent-sdk><div><h2>Cookies</h2>{CONSENT}</div></div>{ARTICLE}",
            f"<div class='x cookie-banner'>{CONSENT}</div>{ARTICLE}",
            f"{ARTICLE}<div id=gdpr-cookie-message>{CONSENT}</div>",
            f"<aside class=cookieConsent__box>{CONSENT}</aside>{ARTICLE}",
            f"<div role=region aria-label='Cookie banner'>{CONSENT}</div>{ARTICLE}",
            f"{ARTICLE}<div popover><p>Menu</p></div><dialog>{CONSENT}</dialog>",
        ],
    )
    def test_the_article_is_read_and_the_dialog_is_not(self, page: str) -> None:
        assert read(page) == [("Ferry times", "The ferry leaves at noon.")]

    def test_all_parts_that_a_dialog_hides(self) -> None:
        page = "".join(f"<div aria-hidden=true><p>{part}</p></div>" for part in ("one", "two"))
        assert read(page + f"<div role=dialog>{CONSENT}</div>") == [("", "one\n\ntwo")]

    def test_a_page_that_a_dialog_which_is_gone_had_hidden(self) -> None:
        page = "<div><div aria-hidden=true><p>The ferry leaves at noon.</div><p>Menu</div>"
        assert read(page) == [("", "The ferry leaves at noon.\n\nMenu")]

    def test_an_article_in_plain_divisions_that_waits_for_a_script(self) -> None:
        letter = "<div><div>Hello, we write letters about ferries.</div></div>"
        page = f"<div class=overlay aria-hidden=true>{letter}</div><div>FPS: --</div>"
        assert read(page) == [("", "Hello, we write letters about ferries.\nFPS: --")]

    def test_characters_under_their_readings(self) -> None:
        page = (
            "<ruby><rb aria-hidden=true>竹取</rb><rp>(</rp><rt>たけとり</rt><rp>)</rp></ruby>の翁"
        )
        assert read(page) == [("", "竹取(たけとり)の翁")]

    def test_decoration_stays_hidden(self) -> None:
        page = "<p>The ferry leaves at noon, and comes back.<i aria-hidden=true>*</i>"
        slides = "<div aria-hidden=true><p>again</div>"
        assert read(page + slides) == [("", "The ferry leaves at noon, and comes back.")]

    @pytest.mark.parametrize(
        "page",
        [
            f"<main><section id=cookie-notice><h2>Cookies</h2>{CONSENT}</section></main>",
            f"<article><div class=cookie-banner><h2>Cookies</h2>{CONSENT}</div></article>",
            "<div id=cookie-notice><h2>Cookies</h2><p>We value your privacy.<a href=x>Accept</a>",
            f"<div class=cookie-banner><h1>Cookies</h1>{CONSENT}</div>",
            f"<div role=dialog><h2>Cookies</h2>{CONSENT}</div>",
        ],
    )
    def test_an_article_about_cookies_is_read(self, page: str) -> None:
        ((heading, text),) = read(page)
        assert heading == "Cookies"
        assert text.startswith("We value your privacy.")

    @pytest.mark.parametrize(
        "banner",
        [
            "<div class=privacy-banner>We use cookies. <button>Accept</button></div>",
            "<div id=hinweis-overlay>Wir verwenden Cookies. <button>OK</button></div>",
            "<div class=js-bar>You agree to our use of cookies. <button>Got it</button></div>",
        ],
    )
    def test_a_banner_of_any_name_that_asks_for_cookies(self, banner: str) -> None:
        assert read(f"{banner}<p>Fish swim.") == [("", "Fish swim.")]

    def test_a_notice_about_baked_cookies_is_read(self) -> None:
        page = "<div class=notice>Our cookies have real butter. <button>Add</button></div>"
        assert read(page) == [("", "Our cookies have real butter. Add")]

    def test_text_for_browsers_without_scripts_is_read_if_there_is_no_other(self) -> None:
        fallback = "<noscript><h2>Minnows</h2><p>Small fish.</noscript>"
        assert read(f"<div id=root></div>{fallback}<script>") == [("Minnows", "Small fish.")]
        assert read(f"<p>Text.</p>{fallback}<script></script>") == [("", "Text.")]

    def test_an_article_about_javascript_is_read(self) -> None:
        page = "<h1>JavaScript</h1><p>It must be enabled.<script></script>"
        assert read(page) == [("JavaScript", "It must be enabled.")]
        assert read("<p>Loading docks are for lorries.") == [("", "Loading docks are for lorries.")]

    def test_a_main_part_that_is_hidden_or_empty(self) -> None:
        assert read("<div hidden><main>old</main></div><main>new</main><p>no") == [("", "new")]
        assert read("<main><script>no()</script></main><article>new</article>") == [("", "new")]

    def test_a_shadow_root_that_the_page_declares(self) -> None:
        page = "<div><template shadowrootmode=open><p>shown<template>no</template></template>light"
        assert read(page) == [("", "shown\n\nlight")]

    def test_a_title_behind_an_image_in_the_head(self) -> None:
        page = "<head><noscript><img src=x></noscript><title>The page</title></head><p>a"
        assert read(page) == [("The page", "a")]


@with_parser
@pytest.mark.parametrize(
    ("page", "reason"),
    [
        ("<noscript>Enable JavaScript.</noscript><div id=root></div>", "before its scripts run"),
        ("<div id=root></div><script>app()</script>", "before its scripts run"),
        ("<body style='visibility:hidden'><p>a", "that is shown: it is hidden"),
        ("<body hidden><p>a", "that is shown: it is hidden"),
        (f"<div id=onetrust-banner-sdk>{CONSENT}</div>", "that is shown: it is hidden"),
        ("<div id=app>Loading…</div><script>app()</script>", "before its scripts run"),
        ("<p>Please enable JavaScript to continue.<script>app()</script>", "before its scripts"),
        ("<p>Bitte aktivieren Sie JavaScript.<script>app()</script>", "before its scripts"),
        ("<p>JavaScript is disabled.<p>Help Center<script>app()</script>", "before its scripts"),
        ("<div id=app><h1>{{ title }}</h1>{{ text }}</div><script>app()</script>", "before its"),
        ("<noscript><p>JavaScript is off.</noscript><script>app()</script>", "before its scripts"),
        ("<noscript><a href=x>Statistics</a></noscript><script>app()</script>", "before its"),
        ("<title>a</title>", "at all"),
    ],
)
def test_why_a_page_has_no_text(page: str, reason: str) -> None:
    assert not read_html("a.html", page).has_text
    assert explain_missing_text(page).startswith(reason)


def test_without_the_parser(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "selectolax.lexbor", None)
    with pytest.raises(MissingExtraError, match=r"^Reading HTML needs .*minnow-embed\[index\]"):
        read_html("a.html", "<p>a")
