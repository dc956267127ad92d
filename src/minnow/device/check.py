"""Program that runs a bundle's encoder on the texts of probes.json, and writes vectors or logits.

    python check.py [--precision low|normal|high] [--threads N] [--memory normal|high|low]
                    [--shape BxT] [--name answer]

This program runs on the device; it needs Python 3.8, MNN and NumPy only. Texts are run as
probes.json says, alone and in padded batches. With --shape, the fixed-shape file of that shape runs
the batches that fit. NAME.json and NAME.f32 are written at the end, or not at all.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
MEMORY = {"normal": 0, "high": 1, "low": 2}
ROUNDING, BY_BLOCK = 5, 2
TUNABLES = "GLIBC_TUNABLES"


def import_mnn() -> Any:
    """Import MNN; where Linux refuses to load it, start this program again with that allowed.

    MNN's wheels for x86-64 ask for an executable stack, which glibc from 2.41 refuses by default.
    """
    try:
        import MNN
    except ImportError as error:
        if "executable stack" not in str(error) or TUNABLES in os.environ:
            raise
        allowed = {**os.environ, TUNABLES: "glibc.rtld.execstack=2"}
        os.execve(sys.executable, [sys.executable, *sys.argv], allowed)  # noqa: S606
    return MNN


class Encoder:
    """An MNN file in a session."""

    def __init__(self, path: Path, output: str, precision: str, threads: int, memory: str) -> None:
        mnn = import_mnn()
        if not path.is_file():
            raise SystemExit(f"There is no {path}.")
        self.mnn, self.output = mnn, output
        self.shape: Any = None
        self.interpreter = mnn.Interpreter(str(path))
        if memory == "low":
            self.interpreter.setSessionHint(ROUNDING, BY_BLOCK)
        config = {"backend": "CPU", "numThread": threads, "precision": precision}
        self.session = self.interpreter.createSession({**config, "memory": MEMORY[memory]})
        self.names = sorted(self.interpreter.getSessionInputAll(self.session))

    def run(self, feeds: Any) -> Any:
        """Run int32 arrays of shape (batch, tokens); return the output, float32."""
        mnn, ids = self.mnn, feeds["input_ids"]
        if ids.shape != self.shape:
            for name in self.names:
                tensor = self.interpreter.getSessionInput(self.session, name)
                self.interpreter.resizeTensor(tensor, ids.shape)
            self.interpreter.resizeSession(self.session)
            self.shape = ids.shape
        for name in self.names:
            host = mnn.Tensor(
                ids.shape, mnn.Halide_Type_Int, feeds[name], mnn.Tensor_DimensionType_Caffe
            )
            self.interpreter.getSessionInput(self.session, name).copyFrom(host)
        code = self.interpreter.runSession(self.session)
        if code != 0:
            raise SystemExit(f"MNN failed with code {code} on shape {ids.shape}.")
        output = self.interpreter.getSessionOutput(self.session, self.output)
        room = np.empty(output.getShape(), np.float32)
        host = mnn.Tensor(room.shape, mnn.Halide_Type_Float, room, mnn.Tensor_DimensionType_Caffe)
        output.copyToHostTensor(host)
        return np.array(host.getNumpyData(), np.float32).reshape(room.shape)


def pool(states: Any, mask: Any, how: str) -> Any:
    """Pool states of shape (batch, tokens, width) to vectors of (batch, width), in float64."""
    states = states.astype(np.float64)
    weights = mask.astype(np.float64)
    if how == "cls":
        return states[:, 0]
    if how == "lasttoken":
        return states[np.arange(len(mask)), mask.sum(1) - 1]
    if how == "max":
        return np.where(mask[:, :, None] > 0, states, -np.inf).max(1)
    if how == "weightedmean":
        weights *= np.arange(1, mask.shape[1] + 1)
    total = weights.sum(1, keepdims=True)
    if how not in ("mean", "weightedmean", "mean_sqrt_len_tokens"):
        raise SystemExit(f"check.py knows no pooling {how!r}.")
    weights /= np.sqrt(total) if how == "mean_sqrt_len_tokens" else total
    return (weights[:, None, :] @ states)[:, 0]


def pad(texts: Any, pad_id: int, shape: Any) -> Any:
    """Return the encoder's inputs, int32 of the shape; pooling_mask is 1 for the tokens to pool.

    The first text is repeated where texts are missing.
    """
    ids = np.full(shape, pad_id, np.int32)
    mask, types, pooled = (np.zeros(shape, np.int32) for _ in range(3))
    for i in range(shape[0]):
        text = texts[i] if i < len(texts) else texts[0]
        row, kinds = text["ids"], text.get("types", [])
        ids[i, : len(row)] = row
        types[i, : len(kinds)] = kinds
        mask[i, : len(row)] = 1
        pooled[i, text.get("left_out", 0) : len(row)] = 1
    return {
        "input_ids": ids, "attention_mask": mask, "token_type_ids": types, "pooling_mask": pooled,
    }  # fmt: skip


def digest(path: Path) -> str:
    """Return the SHA-256 of a file."""
    found = hashlib.sha256()
    with path.open("rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            found.update(block)
    return found.hexdigest()


def read_manifest(path: Path) -> Any:
    """Read the bundle's manifest; stop if it has changed since the bundle was sealed.

    It ends with the SHA-256 of its bytes, computed with zeros in place of these 64 digits.
    """
    content = path.read_bytes()
    manifest = json.loads(content.decode("utf-8"))
    stated = manifest.get("digest", "").encode("ascii")
    found = hashlib.sha256(content.replace(stated, b"0" * 64) if stated else b"")
    if stated and found.hexdigest().encode("ascii") != stated:
        raise SystemExit("bundle/minnow.json is damaged: copy the folder again.")
    return manifest


def check_copy(manifest: Any) -> None:
    """Stop if a file of the bundle was not copied completely."""
    for name, record in sorted(manifest["files"].items()):
        path = HERE / "bundle" / name
        if not path.is_file() or digest(path) != record["sha256"]:
            raise SystemExit(f"bundle/{name} is missing or damaged: copy the folder again.")


def batches_for(probes: Any, shape: Any) -> list[Any]:
    """Return (number, indices) of the batches to run: all, or those that fit a fixed shape."""
    lengths = [len(text["ids"]) for text in probes["texts"]]
    return [
        (number, batch)
        for number, batch in enumerate(probes["batches"])
        if shape is None or (len(batch) <= shape[0] and max(lengths[i] for i in batch) <= shape[1])
    ]


def answer(options: Any, manifest: Any, probes: Any) -> Any:
    """Return the vectors or logits, the (text, batch) of each, and the ends of their lengths."""
    interface = manifest["recipe"].get("interface", "last_hidden_state")
    embedding, pad_id = manifest["embedding"], manifest["encoder"]["pad_token_id"]
    written = options.shape and "-{}x{}".format(*options.shape)
    path = HERE / "bundle" / f"encoder{written or ''}.mnn"
    encoder = Encoder(path, interface, options.precision, options.threads, options.memory)
    found: list[Any] = []
    rows: list[list[int]] = []
    batches = batches_for(probes, options.shape)
    for done, (number, batch) in enumerate(batches, 1):
        texts = [probes["texts"][i] for i in batch]
        longest = max(len(text["ids"]) for text in texts)
        feeds = pad(texts, pad_id, options.shape or (len(texts), longest))
        output = encoder.run(feeds)
        if interface == "last_hidden_state":
            output = pool(output, feeds["attention_mask"], embedding["pooling"])
        found.append(np.asarray(output, np.float64)[: len(batch)])
        rows += [[i, number] for i in batch]
        if done % 20 == 0 or done == len(batches):
            sys.stderr.write(f"{done} of {len(batches)} batches\n")
            sys.stderr.flush()
    if not found:
        raise SystemExit("No batch of probes.json fits this shape.")
    vectors = np.concatenate(found)
    if interface == "scores":
        return vectors.astype("<f4"), rows, None
    lengths = np.linalg.norm(vectors, axis=1)
    if embedding["normalize"]:
        vectors = vectors / np.where(lengths > 0, lengths, 1)[:, None]
    if interface == "last_hidden_state":
        vectors = vectors[:, : embedding.get("truncate_dim")]
    ends = (lengths.min(), lengths.max())
    return vectors.astype("<f4"), rows, [float(n) if np.isfinite(n) else None for n in ends]


def write(path: Path, content: bytes) -> None:
    """Write a file completely or not at all."""
    part = path.with_name(path.name + ".part")
    with part.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def shape_of(written: str) -> tuple[int, int]:
    """Parse `1x32` as (1, 32)."""
    try:
        batch, tokens = map(int, written.split("x"))
    except ValueError:
        batch = tokens = 0
    if batch < 1 or tokens < 1:
        raise argparse.ArgumentTypeError(f"give a shape as 1x32, not {written!r}")
    return batch, tokens


def read_options() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description="Run a bundle on the texts of probes.json.")
    parser.add_argument("--precision", choices=["low", "normal", "high"], default="low")
    parser.add_argument("--memory", choices=sorted(MEMORY), default="normal")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--shape", type=shape_of, help="run encoder-SHAPE.mnn, as 1x32")
    parser.add_argument(
        "--name", default="answer", help="of the answer's files; begins with answer"
    )
    options = parser.parse_args()
    if not options.name.startswith("answer") or Path(options.name).name != options.name:
        parser.error("--name has to begin with answer, and is no path")
    if options.threads < 1:
        parser.error("--threads is at least 1")
    return options


def mnn_version() -> str:
    """Return the version of MNN's package."""
    try:
        return version("MNN")
    except PackageNotFoundError:
        return "unknown"


def main() -> None:
    """Check the copy, run the texts, write the answer."""
    options = read_options()
    manifest_path, probes_path = HERE / "bundle" / "minnow.json", HERE / "probes.json"
    manifest = read_manifest(manifest_path)
    probes = json.loads(probes_path.read_text(encoding="utf-8"))
    if probes["format"] not in (1, 2):
        raise SystemExit("probes.json has a format that this check.py does not know.")
    check_copy(manifest)
    vectors, rows, lengths = answer(options, manifest, probes)
    answer_json = {
        "format": 1,
        "runner": "check.py",
        "machine": f"{platform.system()} {platform.release()} {platform.machine()}",
        "mnn": mnn_version(),
        "precision": options.precision,
        "memory": options.memory,
        "threads": options.threads,
        "shape": options.shape,
        "rows": rows,
        "lengths": lengths,
        "manifest_sha256": digest(manifest_path),
        "probes_sha256": digest(probes_path),
    }
    answer_path = HERE / f"{options.name}.json"
    if answer_path.exists():
        answer_path.unlink()
    write(HERE / f"{options.name}.f32", vectors.tobytes())
    write(answer_path, json.dumps(answer_json).encode("utf-8"))
    sys.stderr.write(f"{len(rows)} rows are in {options.name}.f32\n")


if __name__ == "__main__":
    main()
