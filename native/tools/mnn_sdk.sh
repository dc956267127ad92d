#!/usr/bin/env bash
# Makes an MNN SDK of MNN's Python wheel and a git clone of MNN: mnn_sdk.sh CLONE PYTHON FOLDER
#
# Prints the variables that make the tests and CMake use it. For Linux: the wheel's extension exports MNN's functions, in the
# C++ ABI from before GCC 5, and needs Python's library. An app links a build of MNN instead (README.md). PYTHON has minnow: the
# SDK's copy of the extension asks for no executable stack, which glibc 2.41 refuses.
set -euo pipefail

[[ $# == 3 ]] || { sed -n 2p "$0" >&2; exit 2; }
clone=$1 python=$2 folder=$3
mkdir -p "$folder/lib"
folder=$(cd "$folder" && pwd)
read -r version extension library < <("$python" - "$folder/lib" <<'END'
import importlib.metadata, importlib.util, shutil, sys, sysconfig
from pathlib import Path
from minnow.mnn_modules import without_executable_stack
found, folder = Path(importlib.util.find_spec("_mnncengine").origin), Path(sys.argv[1])
content = found.read_bytes()
copy = folder / found.name
copy.write_bytes(without_executable_stack(content) or content)
shutil.copytree(found.parent / "mnn.libs", folder / "mnn.libs", dirs_exist_ok=True)
library = Path(sysconfig.get_config_var("LIBDIR"), sysconfig.get_config_var("INSTSONAME"))
print(importlib.metadata.version("MNN"), copy, library)
END
)
git -C "$clone" archive "$version" include transformers/llm/engine/include/llm | tar -x -C "$folder"
rm -rf "$folder/include/llm"
mv "$folder/transformers/llm/engine/include/llm" "$folder/include/llm"
rm -r "$folder/transformers"
ln -sf "$library" "$folder/lib/"
echo "INPUT( $extension $library )" > "$folder/lib/libMNN.so"
echo "export MNN_ROOT=$folder CXXFLAGS=-D_GLIBCXX_USE_CXX11_ABI=0"
