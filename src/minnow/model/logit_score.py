"""Causal language models that rerank: the score is the logit of a token that says yes.

Source: `LogitScore` of sentence-transformers 6.2 (cross_encoder/modules/logit_score.py): the logit
of one token after the last one of the text, less that of another if there is one. Both are products
of the last state with rows of a table, so their difference is one row, and the other words of the
vocabulary are never computed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from minnow.errors import SourceError, UnsupportedModelError
from minnow.model.checkpoint import read_named
from minnow.model.config import read_object
from minnow.model.config_keys import shown, unknown_keys
from minnow.model.kinds import CAUSAL_RERANKERS
from minnow.model.listing import CONFIG
from minnow.model.modules import (
    GENERATION,
    LOGIT_SCORE,
    module_config,
    read_limits,
    read_modules,
    refuse_keys,
)
from minnow.model.tokenizer import load_whole_tokenizer

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from minnow.model.source import ModelSource
    from minnow.model.spec import EncoderSpec
    from minnow.model.tokenizer_adoption import SourceTokenizer

_TABLE = "lm_head.weight"


@dataclass(frozen=True)
class LogitScore:
    """What makes a score of the last state.

    Attributes:
        yes: The id whose logit is the score.
        no: The id whose logit is subtracted, or None.
        label: The token of `yes`, as the vocabulary spells it.
        tied: Whether the table is that of words.
    """

    yes: int
    no: int | None
    label: str
    tied: bool

    def row(self, source: ModelSource, words: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the row whose product with a state is the score: float32 of shape (1, width).

        Args:
            source: The model's files.
            words: The table of words.

        Raises:
            CheckpointError: The checkpoint lacks a table of its own, or it does not fit.
        """
        table = words
        if not self.tied:
            table = read_named(source, {_TABLE: _TABLE}, {_TABLE: words.shape})[_TABLE]
        row: NDArray[np.float32] = (
            table[self.yes] if self.no is None else table[self.yes] - table[self.no]
        )
        return row.reshape(1, -1).copy()


def read_logit_score(
    source: ModelSource, encoder: EncoderSpec, tokenizer: SourceTokenizer
) -> LogitScore:
    """Read how a causal language model makes scores.

    Args:
        source: The model's files.
        encoder: The network.
        tokenizer: The model's tokenizer.

    Raises:
        SourceError: A file contradicts itself or another.
        UnsupportedModelError: They ask for something that minnow does not compute.
    """
    config = read_object(source.file(CONFIG))
    stated = config.get("architectures") or []
    if len(stated) != 1 or stated[0] not in CAUSAL_RERANKERS:
        raise UnsupportedModelError(
            f"{source.name} is a reranker of the class {', '.join(map(str, stated)) or 'none'}; "
            f"of causal language models minnow converts {', '.join(CAUSAL_RERANKERS)}."
        )
    modules = read_modules(source) or ()
    if [module.kind for module in modules] != ["Transformer", LOGIT_SCORE]:
        raise UnsupportedModelError(
            f"{source.name} has the modules {', '.join(module.kind for module in modules)}, not "
            f"Transformer and {LOGIT_SCORE}."
        )
    limits = read_limits(source, GENERATION)
    if limits.get("transformer_task") != "text-generation" or "module_output_name" not in limits:
        raise UnsupportedModelError(
            f"{source.name}: sentence_bert_config.json should have transformer_task "
            "text-generation, and module_output_name causal_logits."
        )
    path = module_config(source, modules[1])
    score = read_object(path)
    read = score.get("module_input_name", "causal_logits")
    faults = unknown_keys(score, ("true_token_id", "false_token_id", "module_input_name"))
    refuse_keys(path, faults + [shown("module_input_name", read)] * (read != "causal_logits"))
    yes = _token(path, score.get("true_token_id"), encoder)
    no = score.get("false_token_id")
    no = None if no is None else _token(path, no, encoder)
    label = load_whole_tokenizer(tokenizer.content).id_to_token(yes)
    return LogitScore(
        yes,
        no,
        label or f"token {yes}",
        tied=bool(config.get("tie_word_embeddings", False)),
    )


def _token(path: Path, number: object, encoder: EncoderSpec) -> int:
    if type(number) is not int or not 0 <= number < encoder.vocab_size:
        raise SourceError(
            f"{path} names the token {number!r}; the table has {encoder.vocab_size} rows."
        )
    return number
