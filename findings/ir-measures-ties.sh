#!/usr/bin/env bash
# One call of ir-measures ranks tied documents in two opposite orders.
#
# Expected: Recall@1 and reciprocal rank of one run are about the same ranking. A relevant document that is not
#   the first (Recall@1 of 0) cannot have a reciprocal rank of 1.
# Happens: ir-measures gives each measure to one of several libraries, and they break ties differently: trec_eval
#   takes the document ids in reverse alphabetical order, the other in alphabetical order; neither keeps the order
#   of the run. trec_eval also compares scores in float32, so scores that differ by less are ties for it, too.
# Versions: ir-measures 0.4.3, pytrec-eval-terrier 0.5.11.
# Seen: evaluating embeddings that store vectors in 8 bits, where equal scores are common.
# Matters: measures of one report contradict each other, and renaming documents changes them. Pass scores without
#   ties in float32, such as the negative rank.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check ir-measures==0.4.3 pytrec-eval-terrier==0.5.11
venv/bin/python - <<'PROGRAM'
import sys
from importlib.metadata import version

import ir_measures
from ir_measures import RR, R

print("ir-measures", version("ir-measures"), "pytrec-eval-terrier", version("pytrec-eval-terrier"))
judgements = [ir_measures.Qrel("query", "m", 1)]


def measures(other, lead):
    """Return Recall@1 and RR@10 of a run in which m leads another document by so much."""
    run = [ir_measures.ScoredDoc("query", "m", 0.9 + lead), ir_measures.ScoredDoc("query", other, 0.9)]
    found = ir_measures.calc_aggregate([R @ 1, RR @ 10], judgements, run)
    return found[R @ 1], found[RR @ 10]


results = {}
for lead in (0.0, 1e-9, 1e-6):
    for other in ("a", "z"):
        results[lead, other] = measures(other, lead)
        recall, rank = results[lead, other]
        print(f"m relevant, {lead:g} ahead of {other!r}: Recall@1 {recall:.0f}, RR@10 {rank:.1f}")
contradicts = results[1e-9, "z"] == (0, 1)
if not (contradicts and results[0.0, "z"] == (0, 1) and results[0.0, "a"] == (1, 0.5)):
    sys.exit("The behaviour has changed.")
if results[1e-6, "z"] != (1, 1):
    sys.exit("The behaviour has changed.")
PROGRAM
