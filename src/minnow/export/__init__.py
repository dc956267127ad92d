"""Write a model in the form that another library loads, proven by that library."""

from enum import Enum
from typing import Literal

Target = Literal["mnn-llm"]
"""The loaders that `minnow export` writes for."""


class WordKind(str, Enum):
    """How an exported word table stores its numbers."""

    FP16 = "fp16"
    BF16 = "bf16"
    INT8 = "int8"
    INT4 = "int4"
