"""Overwrites the files in place in a directory that exists already (save_pretrained and torch.save to a
fixed path). On a plain disk every moment of a save is one with a broken checkpoint."""

import os

import loop


def save(run, name):
    os.makedirs(run.path(name), exist_ok=True)
    run.pause()
    run.write(run.path(name))


loop.train(save)
