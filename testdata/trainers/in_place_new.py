"""Writes the files in place in a new directory, whose name is used once (transformers, torchtune). A name
exists already only where a killed save of the same step has left it."""

import os

import loop


def save(run, name):
    os.makedirs(run.path(name), exist_ok=True)
    run.pause()
    run.write(run.path(name))


loop.train(save, numbered=True)
