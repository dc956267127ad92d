"""Pages in the encoding that browsers read them in, and refusals that name what is wrong."""

from __future__ import annotations

import sys

import pytest

from minnow.chunks.html_encoding import decode_html
from minnow.errors import InputError

pytestmark = pytest.mark.extra("index")


def meta(label: str) -> str:
    return f'<!doctype html><html><head><meta charset="{label}"></head>'


@pytest.mark.parametrize(
    ("label", "codec", "text"),
    [
        ("iso-8859-1", "cp1252", "“café” – 5 €"),
        ("us-ascii", "cp1252", "“café”"),
        ("LATIN1", "cp1252", "‘x’"),
        ("iso-8859-15", "iso-8859-15", "5 €"),
        ("iso-8859-9", "cp1254", "ışık “”"),
        ("windows-1251", "cp1251", "паром"),
        ("koi8-r", "koi8-r", "паром"),
        ("gb2312", "gb18030", "渡轮 € 㐀 镕"),
        ("x-gbk", "gbk", "目录"),
        ("big5", "big5hkscs", "渡輪 㗎"),
        ("shift_jis", "cp932", "①フェリー㈱"),
        ("x-sjis", "cp932", "表示"),
        ("euc-jp", "euc_jp", "フェリー"),
        ("iso-2022-jp", "iso2022_jp", "フェリー"),
        ("euc-kr", "cp949", "여객선 똠방각하"),
        ("ks_c_5601-1987", "cp949", "여객선"),
        ("tis-620", "cp874", "เรือ “”"),
        ("utf-16", "utf-8", "паром 渡轮"),
        ("utf-16le", "utf-8", "паром"),
        ("x-user-defined", "cp1252", "café"),
        ("utf8", "utf-8", "паром"),
    ],
)
def test_labels_mean_what_browsers_take_them_for(label: str, codec: str, text: str) -> None:
    page = meta(label) + f"<p>{text}"
    assert decode_html(page.encode(codec), "a.html") == page


@pytest.mark.parametrize(
    "start",
    [
        '<META HTTP-EQUIV="Content-Type" CONTENT="text/html; charset=windows-1251">',
        "<meta content='text/html; charset = \"windows-1251\"' http-equiv=content-type>",
        "<!-- <meta charset=koi8-r> --><meta charset='windows-1251'>",
        "<title><meta charset=koi8-r></title><script>'<meta charset=koi8-r>'</script>"
        "<meta charset=windows-1251>",
        "<meta charset=klingon><meta charset=windows-1251>",
        "<?xml version='1.0' encoding='windows-1251'?><html>",
        f"<script>{'x' * 3000}</script><meta charset=windows-1251>",
    ],
)
def test_where_an_encoding_is_declared(start: str) -> None:
    page = start + "<p>паром"
    assert decode_html(page.encode("cp1251"), "a.html") == page


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_a_byte_order_mark_counts_first(encoding: str) -> None:
    page = meta("windows-1251") + "<p>паром café 渡"
    assert decode_html(page.encode(encoding), "a.html") == page


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_xml_in_utf16_without_a_mark(encoding: str) -> None:
    page = "<?xml version='1.0'?><html><p>паром"
    assert decode_html(page.encode(encoding), "a.html") == page


def test_utf8_under_the_label_that_servers_put_on_everything() -> None:
    page = meta("iso-8859-1") + "<p>café – паром"
    assert decode_html(page.encode(), "a.html") == page


def test_a_few_broken_characters_cost_only_themselves() -> None:
    page = meta("utf-8").encode() + b"<p>The ferry\x92s bell. " + "é".encode() * 900
    assert decode_html(page, "a.html").count("\ufffd") == 1
    with pytest.raises(InputError, match=r"^a\.html says that it is utf-8, but 9 of its char"):
        decode_html(meta("utf-8").encode() + "cafééééééééé".encode("cp1252"), "a.html")


def test_line_ends() -> None:
    content = (meta("windows-1251") + "a\r\nб\rc").encode("cp1251")
    assert decode_html(content, "a.html").endswith("a\nб\nc")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"<p>caf\xe9", r"^a\.html is not UTF-8 \(byte 6: .*\) and names no encoding; save it as"),
        (b"<meta charset=klingon>\xe9", "names no encoding"),
        (b"<meta charset=iso-2022-kr>x", "says that it is iso-2022-kr, which browsers refuse"),
        (b"<p>a\0b" + b"c" * 90, "holds a NUL byte"),
        (b"<meta charset=iso-8859-1><p>a\0b\xe9" + b"c" * 90, "holds a NUL byte"),
        (b"<meta charset=koi8-r><p>a\0b\xe9" + b"c" * 90, "holds a NUL byte"),
        ("<p>text".encode("utf-16-le"), "looks like UTF-16 without a byte order mark"),
    ],
)
def test_what_cannot_be_read_is_named(content: bytes, message: str) -> None:
    with pytest.raises(InputError, match=message):
        decode_html(content, "a.html")


def test_without_the_package_of_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "webencodings", None)
    assert decode_html(meta("utf-8").encode(), "a.html") == meta("utf-8")
    with pytest.raises(InputError, match=r"koi8-r, which needs the package webencodings: pip"):
        decode_html(meta("koi8-r").encode(), "a.html")
