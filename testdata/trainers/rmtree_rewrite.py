"""Removes the directory, then writes it again under the same name (accelerate with a fixed name, and many
scripts that call shutil.rmtree to start clean)."""

import os

import loop


def save(run, name):
    if os.path.exists(run.path(name)):
        run.remove(name)
        run.pause()
    os.mkdir(run.path(name))
    run.pause()
    run.write(run.path(name))


loop.train(save)
