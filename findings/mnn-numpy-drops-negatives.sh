#!/usr/bin/env bash
# MNN.numpy has NumPy's names for other functions: trunc rounds up, nonzero finds no negative numbers, and std ignores ddof.
#
# Expected: MNN's documentation says of each function of MNN.numpy that it "does the same as" NumPy's of that name; what is not supported
#   raises an error, and arguments that have no effect are named.
# Happens: trunc and fix round to the nearest (0.64 becomes 1). nonzero and flatnonzero take negative numbers for zeros. mod of floats has
#   the sign of the number, not of the divisor. copysign multiplies by the sign, cbrt of a negative number is NaN, std and var
#   ignore ddof and keepdims, linalg.norm(x, 1) of a matrix is None. No error, no warning.
# Versions: mnn 3.6.1 (PyPI wheel), numpy 2.4.6.
# Seen: every function that the two have in common, on the same arrays, on x86-64.
# Matters: MNN.numpy is there for devices without NumPy. Code that was tested with NumPy on a computer and reads "import MNN.numpy as np"
#   there makes other codes of a vector, other sparse vectors and other statistics. Floor, sums and products are right.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check mnn==3.6.1 numpy==2.4.6
venv/bin/python -W ignore - <<'PROGRAM'
import sys
from importlib.metadata import version

import MNN.numpy as other
import numpy as np

x = np.float32([0.64, -0.64, 1.6, -1.6, 0, -3])
rows = np.float32([[1, 2, 4], [3, 3, 9]])
cases = {
    "trunc(x)": lambda n, x, rows: n.trunc(x),
    "fix(x)": lambda n, x, rows: n.fix(x),
    "nonzero(x)[0]": lambda n, x, rows: n.nonzero(x)[0],
    "flatnonzero(x)": lambda n, x, rows: n.flatnonzero(x),
    "mod(x, 1.0)": lambda n, x, rows: n.mod(x, n.array([1.0] * 6, dtype=n.float32)),
    "copysign(x, -1)": lambda n, x, rows: n.copysign(x, n.array([-1.0] * 6, dtype=n.float32)),
    "cbrt(x)": lambda n, x, rows: n.cbrt(x),
    "std(rows, axis=1, ddof=1)": lambda n, x, rows: n.std(rows, axis=1, ddof=1),
    "floor(x)": lambda n, x, rows: n.floor(x),
    "sum(rows, axis=1)": lambda n, x, rows: n.sum(rows, axis=1),
}


def read(value):
    """Return a variable of MNN, or a number, as an array."""
    return np.array(value.read() if hasattr(value, "read") else value)


print("mnn", version("mnn"), "numpy", np.__version__)
given = [other.array(array.tolist(), dtype=other.float32) for array in (x, rows)]
found = {}
for name, function in cases.items():
    right, found[name] = np.asarray(function(np, x, rows)), read(function(other, *given))
    print(f"{name}: NumPy {right.round(3).tolist()}, MNN {found[name].round(3).tolist()}")
    same = right.shape == found[name].shape and np.allclose(right, found[name], atol=1e-3)
    if same != name.startswith(("floor", "sum")):
        sys.exit("The behaviour has changed.")
norm = other.linalg.norm(given[1], 1)
print("linalg.norm(rows, 1): NumPy", float(np.linalg.norm(rows, 1)), "MNN", norm)
known = {"trunc(x)": [1, -1, 2, -2, 0, -3], "nonzero(x)[0]": [0, 2], "mod(x, 1.0)": [0.64, -0.64, 0.6, -0.6, 0, 0]}
if norm is not None or any(not np.allclose(found[name], value, atol=1e-3) for name, value in known.items()):
    sys.exit("The behaviour has changed.")
PROGRAM
