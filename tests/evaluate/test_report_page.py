"""The page of a comparison as a document: well-formed, safe and small."""

from __future__ import annotations

import re
from html import unescape
from importlib.resources import files

import pytest
from fakes import comparisons
from fakes.pages import made, page, words

from minnow.evaluate.report import render_report

pytestmark = pytest.mark.extra("evaluate")

every_kind = pytest.mark.parametrize("kind", comparisons.KINDS)


@every_kind
class TestDocument:
    def test_it_has_one_heading_landmarks_and_a_title(self, kind: str) -> None:
        root = page(kind)
        assert root.attrib["lang"] == "en"
        for tag in ("h1", "header", "main", "footer", "head/title", "head/style"):
            assert len(list(root.iterfind(f".//{tag}"))) == 1
        assert words(next(root.iter("h1"))) == words(root.findall("./head/title")[0])

    def test_tables_have_captions_and_cells_have_headings(self, kind: str) -> None:
        for found in page(kind).iter("table"):
            assert words(found.findall("caption")[0])
            assert all("scope" in heading.attrib for heading in found.iter("th"))
            widths = set()
            for row in found.iter("tr"):
                widths.add(sum(int(cell.attrib.get("colspan", 1)) for cell in row))
            held = 1 if any("rowspan" in th.attrib for th in found.iter("th")) else 0
            assert max(widths) - min(widths) <= held

    def test_ids_are_unique_and_what_is_referred_to_is_there(self, kind: str) -> None:
        elements = list(page(kind).iter())
        ids = [e.attrib["id"] for e in elements if "id" in e.attrib]
        assert len(ids) == len(set(ids))
        assert {e.attrib["aria-labelledby"] for e in elements if "aria-labelledby" in e.attrib} <= (
            set(ids)
        )

    def test_it_refers_to_nothing_outside(self, kind: str) -> None:
        root = page(kind)
        policy = next(e for e in root.iter("meta") if "http-equiv" in e.attrib)
        assert policy.attrib["content"].startswith("default-src 'none'")
        assert not {"script", "iframe", "img", "object", "base", "form", "a"} & {
            e.tag for e in root.iter()
        }
        names = {name for e in root.iter() for name in e.attrib}
        assert not {name for name in names if name.startswith("on") or name in ("src", "style")}
        assert [e.attrib["href"] for e in root.iter() if "href" in e.attrib] == ["data:,"]
        assert not re.search(r"url\(|@import|https?:", next(root.iter("style")).text or "")

    def test_nothing_that_is_no_number_is_shown(self, kind: str) -> None:
        shown = words(page(kind).findall("body")[0])
        assert not re.search(r"\b(nan|inf|infinity|none)\b", shown, re.IGNORECASE)

    def test_plots_are_pictures_with_a_name(self, kind: str) -> None:
        for svg in page(kind).iter("svg"):
            if svg.attrib["class"] == "plot":
                assert svg.attrib["role"] == "img"
                assert svg[0].tag == "title"
            else:
                assert svg.attrib["aria-hidden"] == "true"

    def test_the_same_again(self, kind: str) -> None:
        assert render_report(made(kind)) == render_report(made(kind))


@pytest.mark.parametrize("kind", [kind for kind in comparisons.KINDS if kind != "hostile"])
def test_no_address_is_in_it(kind: str) -> None:
    assert not re.search(r"https?://|//[a-z]", render_report(made(kind)))


def test_names_stay_names() -> None:
    root = page("hostile")
    shown = words(root.findall("body")[0])
    assert "<script>alert('1')</script>" in shown
    assert "\"quoted\" & 'quoted' <b>bold" in shown
    assert "{{ label }}{% raw %}" in shown
    assert "b" not in {element.tag for element in root.iter()}
    markup = render_report(made("hostile"))
    assert "<script" not in markup
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]", markup)


def test_it_stays_small() -> None:
    """Seven systems, two thousand queries and five thousand documents: binned, not dumped."""
    comparison = comparisons.seven(queries=2000, documents=5000)
    assert len(render_report(comparison).encode()) < 300_000


# --- colours -----------------------------------------------------------------------------


def luminance(colour: str) -> float:
    parts = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def test_marks_stand_out_in_both_schemes() -> None:
    css = (files("minnow.reporting") / "templates" / "page.css").read_text(encoding="utf-8")
    schemes = re.findall(r":root \{(.*?)\}", css, re.DOTALL)
    assert len(schemes) == 2
    for scheme in schemes:
        colours = dict(re.findall(r"--(\w+): (#[0-9a-f]{6});", scheme))
        for name in (f"s{look}" for look in range(8)):
            assert contrast(colours[name], colours["page"]) >= 3
            assert contrast(colours[name], colours["band"]) >= 2.5
        for name in ("ink", "quiet", "good", "bad"):
            assert contrast(colours[name], colours["page"]) >= 4.5


def test_titles_are_escaped_once() -> None:
    title = re.search("<title>(.*?)</title>", render_report(made("hostile")))
    assert title is not None
    assert "&amp;amp;" not in title[1]
    assert "<script>" in unescape(title[1])
