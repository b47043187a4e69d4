"""Checkpoints: a pytree of arrays and its JSON companion in a folder that is there whole or not at all."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

from qgen.types import PyTree


def save(path: Path, arrays: PyTree, meta: Any = None) -> None:
    """Writes a pytree of arrays with orbax, and `meta` as JSON, and then renames the folder into place.

    Args:
        path: the folder to make; an earlier checkpoint there is replaced.
        arrays: a pytree of arrays (dicts, lists and tuples come back as dicts and lists).
        meta: anything that JSON can hold.
    """
    import orbax.checkpoint as ocp

    path = path.resolve()
    work = path.with_name(path.name + ".partial")
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    if arrays is not None:
        with ocp.PyTreeCheckpointer() as checkpointer:
            checkpointer.save(work / "arrays", arrays)
    (work / "meta.json").write_text(json.dumps({"meta": meta, "has_arrays": arrays is not None}), encoding="utf-8")
    shutil.rmtree(path, ignore_errors=True)
    os.replace(work, path)


def exists(path: Path) -> bool:
    """Whether a whole checkpoint is at `path`."""
    return (path / "meta.json").exists()


def restore(path: Path) -> tuple[PyTree, Any]:
    """Reads `(arrays, meta)` back; arrays come as numpy arrays of the dtype that was saved.

    Raises:
        FileNotFoundError: if there is no whole checkpoint at `path`.
    """
    import numpy as np
    import orbax.checkpoint as ocp

    if not exists(path):
        raise FileNotFoundError(f"There is no checkpoint at {path}.")
    content = json.loads((path / "meta.json").read_text(encoding="utf-8"))
    arrays = None
    if content["has_arrays"]:
        import jax

        with ocp.PyTreeCheckpointer() as checkpointer:
            saved = checkpointer.metadata((path / "arrays").resolve()).item_metadata.tree
            plain = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), saved)
            arrays = checkpointer.restore((path / "arrays").resolve(), restore_args=plain)
    return arrays, content["meta"]
