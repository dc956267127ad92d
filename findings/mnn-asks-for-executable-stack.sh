#!/usr/bin/env bash
# MNN's wheel for x86-64 cannot be imported on Linux with glibc 2.41 or newer.
#
# Expected: a wheel tagged manylinux2014 can be imported on every Linux with glibc 2.17 or newer.
# Happens: both extension modules ask for an executable stack (the flag X of PT_GNU_STACK), as the linker writes
#   where an assembly file does not say that it needs none. glibc 2.41 loads no such library into a running
#   process: `import MNN` is an ImportError, "cannot enable executable stack as shared object requires". Nothing
#   in MNN runs code on the stack: the variable GLIBC_TUNABLES=glibc.rtld.execstack=2 allows the import, and so does a
#   copy of the files without the flag. The wheel for aarch64 does not ask.
# Versions: mnn 3.6.1 (PyPI wheels for x86-64 and aarch64); glibc 2.36 (imports) and 2.41 (does not).
# Seen: on Debian 13 no model could be converted or run; the same environment did both on Debian 12.
# Matters: Debian 13, Ubuntu from 25.04 and Fedora from 42 have that glibc. pip installs the wheel there without a
#   word, and the message names neither the package nor a cure.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"${PYTHON:-python3}" -m venv venv
pip() { venv/bin/pip "$1" --quiet --disable-pip-version-check "${@:2}"; }
pip install mnn==3.6.1 numpy==2.4.6
pip download --no-deps --only-binary=:all: --platform manylinux2014_aarch64 --dest arm mnn==3.6.1
cat > program.py <<'PROGRAM'
import importlib.util
import os
import platform
import struct
import subprocess
import sys
import zipfile
from importlib.metadata import version
from pathlib import Path


def stack_flags(library):
    """Return the flags of PT_GNU_STACK in an ELF file of 64 bits: 1 executable, 2 writable, 4 readable."""
    (start,) = struct.unpack_from("<Q", library, 0x20)
    size, count = struct.unpack_from("<HH", library, 0x36)
    headers = (struct.unpack_from("<II", library, start + n * size) for n in range(count))
    return next(flags for kind, flags in headers if kind == 0x6474E551)


def outcome(**variables):
    """Import MNN in a new process; return "imported", or the error."""
    command = [sys.executable, "-c", "import MNN; print('imported')"]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **variables})
    return (done.stdout if done.returncode == 0 else done.stderr).strip().splitlines()[-1]


glibc = tuple(map(int, platform.libc_ver()[1].split(".")))
print("mnn", version("mnn"), "glibc", ".".join(map(str, glibc)))
names = ("_mnncengine", "_tools")
here = {n: stack_flags(Path(importlib.util.find_spec(n).origin).read_bytes()) for n in names}
(wheel,) = Path("arm").glob("*.whl")
with zipfile.ZipFile(wheel) as files:
    arm = {n: stack_flags(files.read(f)) for n in names for f in files.namelist() if f.startswith(n)}
print("flags of the stack, x86-64:", here, "aarch64:", arm)
plain, allowed = outcome(), outcome(GLIBC_TUNABLES="glibc.rtld.execstack=2")
print("import MNN:", plain)
print("with GLIBC_TUNABLES=glibc.rtld.execstack=2:", allowed)
refused = "cannot enable executable stack" in plain
if not (here == dict.fromkeys(names, 7) and arm == dict.fromkeys(names, 6)):
    sys.exit("The behaviour has changed.")
if refused != (glibc >= (2, 41)) or allowed != "imported":
    sys.exit("The behaviour has changed.")
PROGRAM
venv/bin/python program.py
