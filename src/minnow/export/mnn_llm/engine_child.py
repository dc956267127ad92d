"""The program that runs MNN's own embedding engine: native code may crash or hang.

Usage: python engine_child.py ids CONFIG.json THREADS TEXTS.json ANSWER
       python engine_child.py vectors CONFIG.json THREADS TEXTS.json ANSWER

`ids` writes JSON, a list for each text; `vectors` a .npy of shape (texts, width). Using a model
that could not be loaded crashes the process.
"""

import json
import sys
from pathlib import Path
from typing import Any

from minnow.mnn_modules import import_mnn_package


def main() -> int:
    """Load, run and write; return 0 on success."""
    job, config, threads, question, answer = sys.argv[1:]
    texts = json.loads(Path(question).read_text(encoding="utf-8"))
    {"ids": write_ids, "vectors": write_vectors}[job](
        Path(config), int(threads), texts, Path(answer)
    )
    return 0


def write_ids(config: Path, threads: int, texts: list[str], answer: Path) -> None:
    """Tokenise.

    From Python the embedding engine returns no ids. The class for LLMs does, with the same
    tokenizer, which it reads before it reports that the model has no logits.
    """
    llm = import_mnn_package("MNN.llm")
    changed = _changed(config, thread_num=threads, llm_weight=config.name)  # any file that exists
    engine = llm.create(str(changed), False)
    engine.load()
    ids = [engine.tokenizer_encode(engine.apply_chat_template(text)) for text in texts]
    answer.write_text(json.dumps(ids), encoding="utf-8")


def write_vectors(config: Path, threads: int, texts: list[str], answer: Path) -> None:
    """Embed, one text at a time."""
    import numpy as np

    llm = import_mnn_package("MNN.llm")
    engine = llm.create(str(_changed(config, thread_num=threads)), True)
    rows = [np.array(engine.txt_embedding(text).read(), np.float32).reshape(-1) for text in texts]
    with answer.open("wb") as file:
        np.save(file, np.stack(rows))


def _changed(config: Path, **settings: Any) -> Path:
    """Write a copy of the settings with some changed, into this process's folder."""
    content = json.loads(config.read_text(encoding="utf-8"))
    content |= {"base_dir": f"{config.parent}/", **settings}
    changed = Path("settings.json").absolute()
    changed.write_text(json.dumps(content), encoding="utf-8")
    return changed


if __name__ == "__main__":
    sys.exit(main())
