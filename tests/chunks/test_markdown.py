"""Markdown as text and sections: what a reader sees, all of it, under the right headings."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minnow.chunks.markdown import read_markdown
from minnow.errors import InputError

if TYPE_CHECKING:
    from minnow.chunks import Document


def sections(document: Document) -> list[tuple[str, str]]:
    """Return the headings and text of every section."""
    return [
        (" > ".join(section.headings), document.text[section.start : section.end].strip("\n"))
        for section in document.sections
    ]


def read(source: str) -> list[tuple[str, str]]:
    return sections(read_markdown("a.md", source))


def text(source: str) -> str:
    return read_markdown("a.md", source).text


class TestHeadings:
    def test_they_make_paths(self) -> None:
        source = "before\n# A\na\n### B\nb\n## C\nc\n### D\nd\n# E\ne\n"
        assert read(source) == [
            ("", "before"),
            ("A", "a"),
            ("A > B", "b"),
            ("A > C", "c"),
            ("A > C > D", "d"),
            ("E", "e"),
        ]

    def test_underlined_closed_and_with_an_id(self) -> None:
        source = "Alerting\n========\na\n\nInhibition\n---\nb\n\n## Routes {#routes-id} ##\nc\n"
        assert read(source) == [
            ("Alerting", "a"),
            ("Alerting > Inhibition", "b"),
            ("Alerting > Routes", "c"),
        ]

    def test_their_markup_is_rendered(self) -> None:
        assert read("# The `up` *metric* [here](x) &amp; C#\nt") == [
            ("The up metric here & C#", "t")
        ]

    def test_one_without_text_is_an_empty_section(self) -> None:
        document = read_markdown("a.md", "# A\n## B\nb\n#\n## C")
        assert sections(document) == [("A", ""), ("A > B", "b"), ("A > C", "")]
        assert document.text == "A\n\nB\n\nb\n\nC"

    @pytest.mark.parametrize(
        "source", ["```\n# no\n```", "    # no", "~~~\n# no\n~~~", "`# no`", "#no", "\\# no"]
    )
    def test_what_only_looks_like_one(self, source: str) -> None:
        [(headings, content)] = read(f"# A\n\n{source}\n")
        assert headings == "A"
        assert "no" in content

    def test_raw_html_has_headings_too(self) -> None:
        source = '<h1 align="center">\n  <img alt="Logo" src="x.png"> Big\n</h1>\n\nt\n'
        assert read(source) == [("Logo Big", "t")]

    def test_one_as_long_as_a_paragraph_is_text(self) -> None:
        long = "word " * 61
        assert read(f"# A\n\n<h2>\n{long}\n\nmore") == [("A", f"{long}more")]


class TestFrontMatter:
    @pytest.mark.parametrize(
        "front",
        [
            "---\ntitle: The page\n---\n",
            "---\nsort_rank: 1\ntitle: 'The page'\ntags:\n  - a\n- b\n# c\n\n---\n",
            '---\n"x-y": 1\ntitle: "The page" \n...\n',
            '+++\ntitle = "The page"\n[extra]\nx = 1\n+++\n',
        ],
    )
    def test_its_title_is_the_outermost_heading(self, front: str) -> None:
        assert read(f"{front}\nt\n\n## B\nb") == [("The page", "t"), ("The page > B", "b")]

    def test_a_page_with_a_heading_of_its_own_needs_none(self) -> None:
        assert read("---\ntitle: Page\n---\n# The page\nt") == [("The page", "t")]

    def test_chapters_stand_under_it(self) -> None:
        source = "---\ntitle: Book\n---\n# A\na\n# B\nb"
        assert read(source) == [("Book > A", "a"), ("Book > B", "b")]

    @pytest.mark.parametrize("front", ["---\ntitle:\n---\n", "---\ntitle: >\n  x\n---\n"])
    def test_no_title(self, front: str) -> None:
        assert read(f"{front}t") == [("", "t")]

    @pytest.mark.parametrize(
        "source", ["---\nA text between rules\n\n---\n", "---\na: b\n", "\n---\na: b\n---\n"]
    )
    def test_what_only_looks_like_it_stays(self, source: str) -> None:
        assert any(word in text(source) for word in ("between", "a: b"))

    def test_it_alone(self) -> None:
        assert read("---\ntitle: Nothing\n---\n") == []
        assert read("---\ntitle: Nothing\n---") == []


class TestText:
    @pytest.mark.parametrize(
        ("source", "expected"),
        [
            ("one\ntwo  \nthree\\\nfour\n\n\nfive", "one two\nthree\nfour\n\nfive"),
            ("**b** _i_ ~~s~~ `c  d` [l](u 'T') <https://x.y> &lt;", "b i s c d l https://x.y <"),
            ("![a *small* fish](u)", "a small fish"),
            ("- a\n- b\n  - c\n\n    more\n- d", "- a\n- b\n  - c\n\nmore\n\n- d"),
            ("- a\n  1. b\n  2. c\n- d", "- a\n  1. b\n  2. c\n- d"),
            ("3. a\n\n4. b\n", "3. a\n\n4. b"),
            ("- [ ] todo\n- [x] done", "- [ ] todo\n- [x] done"),
            ("> quote\n> more\n\nafter", "quote more\n\nafter"),
            ("a\n\n***\n\nb", "a\n\nb"),
            ("| a | b |\n|--|:-:|\n| `x\\|y` | |\n| | z |", "a | b\nx|y\n | z"),
            ("a\n\n```yaml\nx:\n  - y\n\n\n  z\n```\nb", "a\n\nx:\n  - y\n\n\n  z\n\nb"),
            ("a\n\n\tindented\n\t  code\n", "a\n\nindented\n  code"),
            ("- a\n\n  ```\n  code\n  ```", "- a\n\ncode"),
        ],
    )
    def test_it_is_what_a_reader_sees(self, source: str, expected: str) -> None:
        assert text(source) == expected

    @pytest.mark.parametrize(
        ("source", "expected"),
        [
            ("a<br>b <b>c</b><!-- no --> d", "a\nb c d"),
            ("<div>\n<p>a</p><p>b\nc</p>\n</div>\n\n**d**", "a\n\nb c\n\nd"),
            ("a <script>no()</script> b", "a b"),
            ("<script>\nno()\n\nno()\n</script>\n\nb", "b"),
            ("<style>\nno\n</style>\na\n\n<div hidden>\n\nno\n\n</div>\n\nb", "a\n\nb"),
            ("<pre>\na  b\n  <b>c</b>\n</pre>", "a  b\n  c"),
            ('<iframe src="x"/>\n\na <iframe src="x"></iframe> b', "a b"),
            (
                "up to 2<sup>53</sup>, 2<sup>-3</sup>, the 1<sup>st</sup>",
                "up to 2^53, 2^-3, the 1st",
            ),
            ("<details><summary>More</summary>\n\ntext\n\n</details>", "More\n\ntext"),
            ("<table><tr><td>a</td><td>b</td></tr></table>", "a | b"),
            ("http://<host>:<port>/", "http://<host>:<port>/"),
            ("</p> a </li></td></tr></ul>", "a"),
        ],
    )
    def test_raw_html(self, source: str, expected: str) -> None:
        assert text(source) == expected

    def test_lists_deeper_than_the_default_limit(self) -> None:
        source = "\n".join("  " * depth + f"- level{depth}" for depth in range(40))
        assert "level39" in text(source)

    @pytest.mark.parametrize("mark", ["> ", "- "])
    def test_what_is_deeper_still_is_refused_rather_than_lost(self, mark: str) -> None:
        with pytest.raises(InputError, match=r"^a\.md nests lists or quotes more than"):
            text(mark * 200 + "deep")


WORD = st.from_regex(r"[a-z]{1,6}", fullmatch=True)


@st.composite
def pages(draw: st.DrawFn) -> tuple[list[str], str]:
    """Words, and a page that shows them in this order."""
    forms = (
        "{0} {1}", "# {0} {1}", "{0} {1}\n---", "- {0}\n- {1}", "1. {0}\n   - {1}", "> {0}\n> {1}",
        "```\n{0}\n{1}\n```", "    {0}  {1}", "| {0} | {1} |\n|---|---|", "**{0}**_{1}_",
        "<div>\n{0}\n</div>\n\n{1}", "<table><tr><td>{0}</td></tr>\n\n{1}", "[{0}](u) ![{1}](u)",
        "</ul>{0}<br>{1}", "<li>{0}\n\n{1}", "`{0}` <b>{1}", "{0}\\\n{1}", "+ {0}\n\n  # {1}",
    )  # fmt: skip
    blocks: list[str] = []
    words: list[str] = []
    for form in draw(st.lists(st.sampled_from(forms), max_size=8)):
        pair = draw(WORD), draw(WORD)
        words += pair
        blocks.append(form.format(*pair))
    return words, "\n\n".join(blocks)


class TestAnyMarkdown:
    @given(pages())
    def test_no_word_is_lost(self, page: tuple[list[str], str]) -> None:
        words, source = page
        letters = "".join(c for c in text(source) if c.isalpha())
        assert letters == "".join(words)

    @given(st.text(alphabet="ab# \n\t-*`<>/!|[]()&;:~=+_\\1.é鱼\x0c\xa0", max_size=60))
    def test_sections_lie_in_the_text_one_behind_the_other(self, source: str) -> None:
        document = read_markdown("a.md", source)
        ends = [0]
        for section in document.sections:
            ends += [section.start, section.end]
        assert ends == sorted(ends)
        assert ends[-1] <= len(document.text)
        assert document.text == document.text.strip("\n")
