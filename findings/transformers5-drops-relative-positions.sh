#!/usr/bin/env bash
# transformers 5 computes a BERT with relative positions as one with absolute positions.
#
# Expected: a checkpoint that says position_embedding_type "relative_key" in its config.json gives the states that it
#   gave in transformers 4, or is refused.
# Happens: transformers 5 does not read position_embedding_type any more. It reports the tensors distance_embedding as
#   unexpected and returns other states. A null, for which transformers 4 adds no positions at all, differs too.
# Versions: transformers 5.24.0, compared with 4.57.6; torch 2.13.0.
# Seen: when configurations with null were compared in both versions.
# Matters: retrieval models of that kind lose what they learned about word order with an update of a library, and only
#   a table on stderr says so. Read position_embedding_type yourself before you trust the vectors.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check \
    torch==2.13.0 transformers==4.57.6
cat > states.py <<'PROGRAM'
"""Make the models with --make; print the first numbers of their states."""
import json
import sys
from pathlib import Path

import torch
from transformers import BertConfig, BertModel, __version__

KINDS = ("absolute", "relative_key", None)
if "--make" in sys.argv:
    for kind in KINDS:
        torch.manual_seed(0)
        sizes = dict(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32)
        config = BertConfig(vocab_size=30, max_position_embeddings=16, initializer_range=0.5, **sizes,
                            position_embedding_type=kind or "absolute")
        BertModel(config).save_pretrained(str(kind))
        path = Path(str(kind), "config.json")
        path.write_text(json.dumps({**json.loads(path.read_text()), "position_embedding_type": kind}))
found = {}
for kind in KINDS:
    model = BertModel.from_pretrained(str(kind)).eval()
    with torch.no_grad():
        states = model(torch.tensor([[2, 11, 12, 13, 14, 3]])).last_hidden_state
    found[str(kind)] = [round(number, 4) for number in states[0, 0, :4].tolist()]
    print("transformers", __version__, "position_embedding_type", kind, found[str(kind)])
Path(f"found{__version__[0]}.json").write_text(json.dumps(found))
PROGRAM
export HF_HUB_OFFLINE=1 TRANSFORMERS_VERBOSITY=error
venv/bin/python states.py --make
venv/bin/pip install --quiet --disable-pip-version-check transformers==5.24.0
venv/bin/python states.py
venv/bin/python - <<'PROGRAM'
import json
import sys

old, new = (json.load(open(f"found{version}.json")) for version in (4, 5))
same = {kind: max(abs(a - b) for a, b in zip(old[kind], new[kind])) < 1e-3 for kind in old}
print("the same states in both versions:", same)
if same != {"absolute": True, "relative_key": False, "None": False}:
    sys.exit("The behaviour has changed.")
PROGRAM
