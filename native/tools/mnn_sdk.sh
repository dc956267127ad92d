#!/usr/bin/env bash
# Makes an MNN SDK of MNN's Python wheel and a git clone of MNN: mnn_sdk.sh CLONE PYTHON FOLDER
#
# Prints the variables that make the tests and CMake use it. For Linux: the wheel's extension exports MNN's functions, in the
# C++ ABI from before GCC 5, and needs Python's library. An app links a build of MNN instead (README.md).
set -euo pipefail

[[ $# == 3 ]] || { sed -n 2p "$0" >&2; exit 2; }
clone=$1 python=$2 folder=$3
read -r version extension library < <("$python" - <<'END'
import importlib.metadata, importlib.util, sysconfig
from pathlib import Path
found = importlib.util.find_spec("_mnncengine").origin
library = Path(sysconfig.get_config_var("LIBDIR"), sysconfig.get_config_var("INSTSONAME"))
print(importlib.metadata.version("MNN"), found, library)
END
)
mkdir -p "$folder/lib"
git -C "$clone" archive "$version" include transformers/llm/engine/include/llm | tar -x -C "$folder"
rm -rf "$folder/include/llm"
mv "$folder/transformers/llm/engine/include/llm" "$folder/include/llm"
rm -r "$folder/transformers"
ln -sf "$library" "$folder/lib/"
echo "INPUT( $extension $library )" > "$folder/lib/libMNN.so"
folder=$(cd "$folder" && pwd)
echo "export MNN_ROOT=$folder CXXFLAGS=-D_GLIBCXX_USE_CXX11_ABI=0"
