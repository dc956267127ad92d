"""Each formula of a page once, as its source in TeX or as MathML in one line."""

from __future__ import annotations

import pytest

from minnow.chunks.webpage import read_html

pytestmark = pytest.mark.extra("index")

MATHML = "<mi>E</mi><mo>=</mo><mi>m</mi><msup><mi>c</mi><mn>2</mn></msup>"
TEX = '<annotation encoding="application/x-tex">E=mc^2</annotation>'
SEMANTICS = f"<math><semantics><mrow>{MATHML}</mrow>{TEX}</semantics></math>"
WIKIPEDIA = (
    '<span class="mwe-math-element"><span style="display: none;"><math alttext="{TEX}">'
    '<semantics><mi>E</mi><annotation encoding="application/x-tex">{TEX}</annotation></semantics>'
    '</math></span><img src="x" aria-hidden="true" alt="{TEX}"></span>'
).replace("{TEX}", r"{\displaystyle E=mc^{2}}")
MATHJAX_2 = (
    '<span class="MathJax_Preview">E=mc2</span><span class="MathJax"><nobr aria-hidden="true">E=mc2'
    f'</nobr><span class="MJX_Assistive_MathML"><math>{MATHML}</math></span></span>'
)


@pytest.mark.parametrize(
    ("formula", "text"),
    [
        (SEMANTICS, "E=mc^2"),
        (f'<math alttext="E=mc^2">{MATHML}<annotation-xml>E m c</annotation-xml></math>', "E=mc^2"),
        (f'<span class="katex"><span class="katex-mathml">{SEMANTICS}</span>'
         '<span class="katex-html" aria-hidden="true">E=mc2</span></span>', "E=mc^2"),
        ('<span class="katex"><span class="katex-html" aria-hidden="true">E=mc2</span></span>',
         "E=mc2"),
        (WIKIPEDIA, "E=mc^{2}"),
        (MATHJAX_2 + '<script type="math/tex; mode=display">E = mc^2</script>', "E = mc^2"),
        (MATHJAX_2.replace("MathJax_Preview", ""), "E=mc2E=mc^2"),
        ('<mjx-container class="MathJax" jax="CHTML"><mjx-math aria-hidden="true"></mjx-math>'
         f"<mjx-assistive-mml><math>{MATHML}</math></mjx-assistive-mml></mjx-container>", "E=mc^2"),
        ('<mjx-container><mjx-math data-latex="E=mc^2"><mjx-mi data-latex="E"></mjx-mi></mjx-math>'
         "</mjx-container>", "E=mc^2"),
        ("<math><mfrac><mrow><mi>a</mi><mo>+</mo><mi>b</mi></mrow><mi>c</mi></mfrac></math>",
         "(a+b)/c"),
        ("<math><msqrt><mi>a</mi><mi>b</mi></msqrt><msubsup><mi>x</mi><mn>1</mn><mi>n</mi></msubsup>"
         "</math>", "√abx_1^n"),
        ("<math><munderover><mo>∑</mo><mrow><mi>i</mi><mo>=</mo><mn>1</mn></mrow><mi>n</mi>"
         "</munderover><mi>i</mi></math>", "∑_(i=1)^ni"),
        ("<math></math>", ""),
        ("<math>" + "<mrow>" * 500 + "<mi>x</mi>", "x"),
    ],
)  # fmt: skip
def test_a_formula_is_read_once(formula: str, text: str) -> None:
    page = f"<p>The energy {formula}"
    assert read_html("a.html", page).text == f"The energy {text}".strip()


def test_text_around_formulas_keeps_its_spaces() -> None:
    page = f"<p>Where {SEMANTICS}, and <b>{SEMANTICS}</b> holds.</p>"
    assert read_html("a.html", page).text == "Where E=mc^2, and E=mc^2 holds."
