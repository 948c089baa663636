"""Writes into a temporary directory, then renames it into place; what the name held is removed first,
because rename(2) does not replace a directory that is not empty (Orbax, OLMo)."""

import os
import tempfile

import loop


def save(run, name):
    tmp = tempfile.mkdtemp(prefix=f".tmp_{name}_", dir=run.dir)
    run.pause()
    run.write(tmp)
    if os.path.exists(run.path(name)):
        run.remove(name)
        run.pause()
    os.rename(tmp, run.path(name))


loop.train(save)
