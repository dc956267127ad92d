"""Reader of the modules between pooling and vector: Dense, LayerNorm, Normalize, Dropout.

Source: `Dense` and `LayerNorm` of sentence-transformers 6.2 (base/modules/dense.py and
sentence_transformer/modules/layer_norm.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from minnow.errors import CheckpointError, SourceError, UnsupportedModelError
from minnow.model.checkpoint import open_weights, weight_files
from minnow.model.config import read_object
from minnow.model.config_keys import shown, unknown_keys
from minnow.model.head import Head, Layer, LayerActivation, LayerKind, layer_shapes
from minnow.model.layout import WEIGHTS
from minnow.model.modules import LAYERS, check_normalize, module_config, read_modules, refuse_keys

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from minnow.model.modules import Module
    from minnow.model.source import ModelSource

_FLOATS = ("F64", "F32", "F16", "BF16")
_WITH_WEIGHTS = ("Dense", "LayerNorm")
_DENSE_KEYS = (
    "in_features",
    "out_features",
    "bias",
    "activation_function",
    "module_input_name",
    "module_output_name",
    "use_residual",
)


_VECTOR = "sentence_embedding"


def read_layers(
    source: ModelSource, pooled: int, output: str = _VECTOR
) -> tuple[tuple[Layer, ...], bool]:
    """Read the modules that follow Pooling.

    Args:
        source: The model's files.
        pooled: Length of the pooled vector.
        output: The name that the last Dense gives its output.

    Returns:
        The layers, without a last normalisation; and whether there is one.

    Raises:
        SourceError: A module is made for vectors of another length.
        SourceNotFoundError: A module's config.json is missing.
        UnsupportedModelError: A module asks for more than minnow computes.
    """
    layers: list[Layer] = []
    modules = layer_modules(source)
    for module in modules:
        width = layers[-1].width if layers else pooled
        layer = _read_layer(source, module, width, output if module is modules[-1] else _VECTOR)
        if layer is not None:
            layers.append(layer)
    normalizes = bool(layers) and layers[-1].kind is LayerKind.UNIT_LENGTH
    return tuple(layers[:-1] if normalizes else layers), normalizes


def layer_modules(source: ModelSource) -> list[Module]:
    """Return the rows of modules.json that follow Pooling."""
    return [module for module in read_modules(source) or () if module.kind in LAYERS]


def _read_layer(source: ModelSource, module: Module, width: int, output: str) -> Layer | None:
    """Read one module; None for one that changes no vector."""
    if module.kind == "Dropout":  # of training
        return None
    if module.kind == "Normalize":
        check_normalize(source, module.folder)
        return Layer(LayerKind.UNIT_LENGTH, width)
    path = module_config(source, module)
    config = read_object(path)
    if module.kind == "LayerNorm":
        refuse_keys(path, unknown_keys(config, ("dimension",)))
        _check_width(path, "dimension", config.get("dimension"), width)
        return Layer(LayerKind.LAYER_NORM, width)
    return _read_dense(config, path, width, output)


def _read_dense(config: dict[str, Any], path: Path, width: int, output: str) -> Layer:
    faults = unknown_keys(config, _DENSE_KEYS)
    for key, name in (("module_input_name", _VECTOR), ("module_output_name", output)):
        if (config.get(key) or _VECTOR) != name:
            faults.append(shown(key, config.get(key)))
    refuse_keys(path, faults)
    _check_width(path, "in_features", config.get("in_features"), width)
    out, bias, residual = (
        config.get("out_features"), config.get("bias", True), config.get("use_residual", False)
    )  # fmt: skip
    if not isinstance(out, int) or isinstance(out, bool) or out < 1:
        raise SourceError(f"{path}: out_features should be a positive integer, not {out!r}.")
    for key, value in (("bias", bias), ("use_residual", residual)):
        if not isinstance(value, bool):
            raise SourceError(f"{path}: {key} should be true or false, not {value!r}.")
    return Layer(LayerKind.DENSE, out, _activation(config, path), bias, residual)


def _activation(config: dict[str, Any], path: Path) -> LayerActivation:
    """Read the class of an activation; sentence-transformers takes Tanh where none is named."""
    named = config.get("activation_function", "torch.nn.modules.activation.Tanh")
    package, _, name = str(named).rpartition(".")
    if package == "torch.nn" or package.startswith("torch.nn.modules."):
        for activation in LayerActivation:
            if name.lower() == activation.value:
                return activation
    known = ", ".join(activation.value for activation in LayerActivation)
    raise UnsupportedModelError(
        f"{path} asks for the activation {named!r}, which minnow does not compute; it knows "
        f"torch's {known}."
    )


def _check_width(path: Path, key: str, stated: object, width: int) -> None:
    if stated != width:
        raise SourceError(f"{path}: {key} is {stated!r}, but the vectors have {width} numbers.")


# --- weights -----------------------------------------------------------------------------


def model_weight_files(source: ModelSource) -> list[Path]:
    """Locate all safetensors files of a model: those of the network, then those of its head.

    Raises:
        SourceNotFoundError: There is no safetensors file, or a shard is missing.
        SourceError: The index cannot be read.
        UnsupportedModelError: The weights of a layer are a pickle only.
    """
    modules = layer_modules(source)
    weights = [_weight_file(source, m) for m in modules if m.kind in _WITH_WEIGHTS]
    return [*weight_files(source), *weights]


def _weight_file(source: ModelSource, module: Module) -> Path:
    path = source.optional_file(f"{module.folder}/{WEIGHTS}")
    if path is not None:
        return path
    pickle = source.optional_file(f"{module.folder}/pytorch_model.bin")
    raise UnsupportedModelError(
        f"{source.name} has no {module.folder}/{WEIGHTS}, the weights of its {module.kind}"
        + (
            ", but a pickle only. A pickle can run code, so minnow reads safetensors only. Load "
            "the model with sentence-transformers, and save it again with save_pretrained(FOLDER)."
            if pickle
            else ". Copy or download the model again, with its subfolders."
        )
    )


def read_layer_tensors(
    source: ModelSource, head: Head, states: int
) -> dict[str, NDArray[np.float32]]:
    """Read and check every tensor of a head's layers.

    Args:
        source: The model's files.
        head: The head that was read from them.
        states: Length of a token state.

    Returns:
        Our name (see `minnow.model.head.layer_shapes`) -> float32 array.

    Raises:
        CheckpointError: Tensors are missing, left over, misshapen, not floating point, or hold
            NaN or infinity; the message names all faults.
        UnsupportedModelError: The weights of a layer are a pickle only.
        MissingExtraError: The extra `convert` is not installed.
    """
    modules = [module for module in layer_modules(source) if module.kind != "Dropout"]
    shapes, tensors, faults = layer_shapes(head, states), {}, []
    for i, (layer, module) in enumerate(zip(head.layers, modules, strict=False)):
        ours = [name for name in shapes if name.startswith(f"head.{i}.")]
        if layer.kind is LayerKind.UNIT_LENGTH:
            continue
        path = _weight_file(source, module)
        stem = "linear" if layer.kind is LayerKind.DENSE else "norm"
        theirs = {our: _their_name(our.removeprefix(f"head.{i}."), stem) for our in ours}
        with open_weights(path, source.name) as handle:
            stored = set(handle.keys())
            left = sorted(stored - set(theirs.values()))
            faults += [f"{module.folder}: {name} is left over" for name in left]
            for our, name in theirs.items():
                found = _read_one(handle, name, shapes[our]) if name in stored else "is missing"
                if isinstance(found, str):
                    faults.append(f"{module.folder}: {name} {found}")
                else:
                    tensors[our] = found
    if faults:
        raise CheckpointError(
            f"The weights of {source.name} do not fit its modules: {'; '.join(faults)}."
        )
    return tensors


def _their_name(name: str, stem: str) -> str:
    return name if name.startswith("residual.") else f"{stem}.{name}"


def _read_one(handle: Any, name: str, shape: tuple[int, ...]) -> NDArray[np.float32] | str:
    """Read a tensor, or say what is wrong with it."""
    view = handle.get_slice(name)
    if tuple(view.get_shape()) != shape:
        return f"has shape {tuple(view.get_shape())}, not {shape}"
    if view.get_dtype() not in _FLOATS:
        return f"is stored as {view.get_dtype()}, not as floating point"
    with np.errstate(over="ignore"):
        tensor = np.ascontiguousarray(handle.get_tensor(name), dtype=np.float32)
    return tensor if np.isfinite(tensor).all() else "holds NaN or infinity"
