"""Exports of a model in the form that another library loads, proven by that library."""

from enum import Enum
from typing import Literal

Target = Literal["mnn-llm"]
"""The loaders that `minnow export` writes for."""


class WordKind(str, Enum):
    """Storage of the numbers in an exported word table."""

    FP16 = "fp16"
    BF16 = "bf16"
    INT8 = "int8"
    INT4 = "int4"
