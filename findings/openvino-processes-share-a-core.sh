#!/usr/bin/env bash
# OpenVINO processes with one thread each all compute on the same core.
#
# Expected: four worker processes (of Ray, Spark, gunicorn, multiprocessing) that were given one thread each
#   (INFERENCE_NUM_THREADS=1) compute on four cores.
# Happens: each process binds the thread that calls infer() to the first CPU that it may use, for as long as the call
#   lasts; the others stay idle. ENABLE_CPU_PINNING=False leaves the choice to the kernel.
# Versions: openvino 2026.4.1, its defaults on Linux.
# Seen: during infer() the CPU affinity of the calling thread of every process is {0}; outside of it, and without
#   pinning, it is that of the process.
# Matters: one worker for each core is how clusters and servers scale; with these defaults n workers have the rate of one.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check openvino==2026.4.1 numpy==2.4.6
cat > worker.py <<'PROGRAM'
import os
import sys
import threading
import time

import numpy as np
import openvino
from openvino import opset13 as ops

hints = {"INFERENCE_NUM_THREADS": 1, "PERFORMANCE_HINT": "LATENCY"}
if sys.argv[1] == "unbound":
    hints["ENABLE_CPU_PINNING"] = False
width = 768
weights = np.random.default_rng(0).normal(size=(width, width)).astype(np.float32)
given = state = ops.parameter([-1, width], np.float32)
for n in range(6):
    state = ops.relu(ops.matmul(state, ops.constant(weights + n), False, False))
compiled = openvino.Core().compile_model(openvino.Model([state], [given]), "CPU", hints)
request, rows = compiled.create_infer_request(), np.ones((128, width), np.float32)
main, seen, done = threading.get_native_id(), set(), threading.Event()
running = threading.Event()


def watch() -> None:
    while not done.is_set():
        cpus = frozenset(os.sched_getaffinity(main))
        if running.is_set():
            seen.add(cpus)
        time.sleep(0.002)


watcher = threading.Thread(target=watch)
watcher.start()
request.infer({0: rows})
running.set()
count, until = 0, time.monotonic() + 4
while time.monotonic() < until:
    request.infer({0: rows})
    count += 1
running.clear()
done.set()
watcher.join()
mine = frozenset(os.sched_getaffinity(0))
bound = {frozenset([min(mine)])}
shown = ", ".join(str(sorted(cpus)) for cpus in sorted(seen, key=len))
print(f"{sys.argv[1]}: the process may use CPUs {sorted(mine)}; during infer() its thread had {shown}; {count / 4:.0f} runs/s")
if len(mine) < 2:
    sys.exit("This needs two CPUs.")
sys.exit(not (bound <= seen if sys.argv[1] == "default" else seen == {mine}))
PROGRAM
for mode in default unbound; do
    venv/bin/python worker.py "$mode" & first=$!
    venv/bin/python worker.py "$mode" & second=$!
    wait "$first"
    wait "$second"
done
