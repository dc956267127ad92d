r"""Words that a typesetter cut at the end of a line, made whole again.

"adminis-" and "tration" are "administration", but "well-" and "known" are "well-known". What the
document spells elsewhere decides; else a hyphen is the typesetter's unless the parts are of the
kind that authors put together. docs/benchmarks.md says how often that is right.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

_LINE_END = re.compile(
    r"(?P<alone>[ \t]*\n)?(?P<mark>[-\u2010\u2013\u00ad])[ \t]*\n[ \t]*(?P<right>[^\W\d_]+|\d)"
)
_PAINTED = re.compile(r"(?<=[\dA-Z])\u00ad(?=\w)|(?<=\w)\u00ad(?=[\dA-Z])")
"""Soft hyphens that fonts use as hyphens, as in part numbers."""

_LEFT = re.compile(r"(?P<before>\S*?)(?P<left>[^\W\d_]+|\d)\Z")
_LONGEST = 100
"""Characters of a word that are looked at."""

_WORDS = re.compile(r"[^\W\d_]+(?:[-\u2010][^\W\d_]+)*")
_SHORT = 3
"""Letters of a part between hyphens, as in "up-to-date"."""

_LONG = 8
"""Fewest letters of a word in capitals; the parts of a shorter one may be acronyms."""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_FIRST = _words(
    "all double eight five four full half high ill large long low meta modern near next nine non "
    "one post quasi real second self semi seven short single six small socio ten tenth third three "
    "time two user well whole wild"
)
"""First parts of compounds, where a typesetter hardly ever cuts a word."""

_ENDINGS = ("bolic", "en", "er", "est", "light", "ly", "ness", "teen")
"""Beginnings of what follows these in a word of its own, such as "highest"."""

_LAST = _words(
    "adjusted associated aware based bearing bound built centered century class coded "
    "containing controlled coupled deficient defined dependent derived dimensional directed driven "
    "effective efficient encoded expressing facing fed free friendly grade half hand independent "
    "induced infected inducible known led length level like linked lived long looking made "
    "making mediated minded negative neutral old only onset operated oriented out phase point "
    "positive proof quality ready related resistant responsive rich risk run scale sectional "
    "sensitive shaped side sized specific speed standing stimulated term threatening throughput "
    "time treated type up value wide year years"
)
"""Last parts of compounds."""

_PREFIXES = _words(
    "al be cor dam dis en fore hypothe im in mis out over re some sub through un under up with"
)
"""Beginnings of words that end like a compound: "in-dependent", "under-standing"."""

_SUSPENDED = _words("and or to und oder bis bzw et ou y o e")
"""Words after a hyphen that stands for a missing part, as in "pre- and post-war"."""


def join_words(text: str) -> str:
    """Join the words that line ends cut, and take soft hyphens out.

    A hyphen may stand on a line of its own, as some PDFs yield it: that is the author's. A soft
    hyphen beside a digit or a capital is a hyphen, which some fonts store so.

    Source: TeX cuts no word so that one letter is left on a line, and puts its own hyphen only
        between letters (The TeXbook, appendix H).
    """
    known = {found[0].lower().replace("\u2010", "-") for found in _WORDS.finditer(text)}
    pieces, done = [], 0
    for found in _LINE_END.finditer(text):
        at = found.start()
        left = _LEFT.search(text[max(0, at - _LONGEST) : at])
        mark = found["mark"]
        if left is None or (found["right"].lower() in _SUSPENDED and mark != "\u00ad"):
            continue
        is_cut = (
            mark != "\u2013"
            and not found["alone"]
            and _is_cut(left["before"], left["left"], found["right"], known)
        )
        pieces += [text[done:at], "" if is_cut or mark == "\u00ad" else mark]
        done = found.start("right")
    text = _PAINTED.sub("-", "".join([*pieces, text[done:]]))
    return text.replace("\u00ad", "")


def _is_cut(before: str, left: str, right: str, known: Collection[str]) -> bool:
    """Return whether a typesetter put the hyphen between two parts of a word."""
    whole, compound = (left + right).lower(), f"{left}-{right}".lower()
    if whole in known or compound in known:
        return whole in known
    if left.isupper() and right.isupper():
        return len(whole) >= _LONG and len(left) > 1
    if len(left) == 1 or not right[0].islower() or not left[-1].islower():
        return False
    if before.endswith("-") and len(left) <= _SHORT:
        return False
    if any(character.isdigit() or character in "/@._=" for character in before):
        return False
    if left.lower() in _FIRST:
        return right.startswith(_ENDINGS)
    return right not in _LAST or left.lower() in _PREFIXES
