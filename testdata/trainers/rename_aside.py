"""Writes into a temporary directory, renames what the name holds aside to .backup_<name>, renames the new
directory into place and removes the backup (EnStack, step by step). Between the two renames the name does
not exist."""

import os
import shutil
import tempfile

import loop


def save(run, name):
    final, backup = run.path(name), run.path(f".backup_{name}")
    tmp = tempfile.mkdtemp(prefix=f".tmp_{name}_", dir=run.dir)
    run.pause()
    run.write(tmp)
    if os.path.exists(final):
        if os.path.exists(backup):
            shutil.rmtree(backup)
        shutil.move(final, backup)
        run.pause()
    shutil.move(tmp, final)
    run.pause()
    if os.path.exists(backup):
        shutil.rmtree(backup)


loop.train(save)
