from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from fakes.checkpoint import encoder_of, write_model

from minnow.model.head import Head, Layer, LayerKind
from minnow.model.parameters import count_parameters
from minnow.vectors import Pooling

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.extra("convert", "sentence-transformers")
@pytest.mark.parametrize("family", ["bert", "albert", "t5"])
def test_parameters_are_counted_as_torch_counts_them(tmp_path: Path, family: str) -> None:
    """ALBERT's layers share theirs, and so do T5's in its word table alone."""
    from transformers import AutoModel, T5EncoderModel

    folder = write_model(tmp_path / "model", family=family)
    kind = T5EncoderModel if family == "t5" else AutoModel
    model = kind.from_pretrained(folder)
    unused = ("pooler.",)
    expected = sum(p.numel() for n, p in model.named_parameters() if not n.startswith(unused))
    head = Head(Pooling.CLS, layers=(Layer(LayerKind.DENSE, 16, bias=True, residual=True),))
    spec = encoder_of(folder)
    assert count_parameters(spec, Head(Pooling.CLS)) == expected
    assert count_parameters(spec, head) == expected + 2 * 32 * 16 + 16
