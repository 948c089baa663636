"""The training loop that the five trainers share: when EnStack saves, under which names, and what it deletes.

It follows TCTri205/EnStack-paper@69acba2, src/trainer.py: a mid-epoch save every save_steps batches and a
second one as recovery_checkpoint, of the mid-epoch ones only the most advanced is kept, best_model before
last_checkpoint at the end of an epoch, and leftovers of a crash are removed on start. How a save is written
is the pattern of the script that calls train().
"""

import argparse
import os
import re
import shutil
import time

import common

MID_EPOCH = re.compile(r"checkpoint_epoch(\d+)_step(\d+)")


class Run:
    """One run of a trainer: its directory, its state, and the lines that it prints."""

    def __init__(self, args, save):
        self.dir, self.training, self._save = args.output_dir, common.Training(args.batches), save
        self._size, self._pause = args.size << 20, args.pause

    def path(self, name):
        return os.path.join(self.dir, name)

    def write(self, directory):
        """Writes the files of a save into an existing directory."""
        self._token = self.training.write(directory, self._size, self.pause)
        self.pause()

    def pause(self):
        """The time a slow disk takes between two operations. It gives each gap of a save its share of the
        random moments at which the trainer is killed."""
        time.sleep(self._pause)

    def remove(self, name):
        """Deletes a checkpoint for good. The lines tell the driver that it is the trainer's own doing that
        this one is gone from the views."""
        say("removing", name)
        shutil.rmtree(self.path(name))
        say("removed", name)

    def save(self, name):
        at = f"{name} epoch {self.training.epoch} step {self.training.step}"
        say("saving", at)
        self._save(self, name)
        say("saved", f"{at} token {self._token[:8]}")

    def save_mid_epoch(self):
        self.save(f"checkpoint_epoch{self.training.epoch}_step{self.training.step}")
        names = [m for m in map(MID_EPOCH.fullmatch, os.listdir(self.dir)) if m]
        for old in sorted(names, key=lambda m: (int(m[1]), int(m[2])))[:-1]:
            self.remove(old[0])

    def clean_up(self):
        """What EnStack does before the first batch. After a crash between its two renames this removes the
        only copy of a checkpoint from a plain disk."""
        for name in os.listdir(self.dir):
            if name.startswith((".tmp_", ".backup_")):
                shutil.rmtree(self.path(name))


def train(save, numbered=False):
    """Trains with the arguments of the command line. save(run, name) writes one checkpoint under a name;
    with numbered, a name is never used twice: no last_checkpoint, no best_model, and the end of an epoch
    is saved as its last step."""
    args = arguments()
    run = Run(args, save)
    training, first, skip = run.training, 1, 0
    os.makedirs(args.output_dir, exist_ok=True)
    if args.resume and os.path.isdir(args.resume):
        found = common.load(args.resume)
        training.restore(found)
        skip = found.step if found.step < args.batches else 0
        first = found.epoch if skip else found.epoch + 1
        say("resumed", f"{found} progress {found.progress} token {found.token[:8]}")
    run.clean_up()

    for epoch in range(first, args.epochs + 1):
        for step in range(skip + 1, args.batches + 1):
            training.batch(epoch, step)
            time.sleep(args.batch_time)
            if step % args.save_steps == 0 or (numbered and step == args.batches):
                run.save_mid_epoch()
                if not numbered:
                    run.save("recovery_checkpoint")
        skip = 0
        best = training.finish_epoch()
        if numbered:
            continue
        if best:
            run.save("best_model")
        run.save("last_checkpoint")
        if os.path.isdir(run.path("recovery_checkpoint")):
            run.remove("recovery_checkpoint")
    say("finished", f"epoch {args.epochs}")


def arguments():
    p = argparse.ArgumentParser()
    p.add_argument("--output_dir", required=True)
    p.add_argument("--resume", help="a checkpoint to go on from, if it exists")
    p.add_argument("--epochs", type=int, default=3)
    p.add_argument("--batches", type=int, default=10, help="in an epoch")
    p.add_argument("--save_steps", type=int, default=4, help="batches between two mid-epoch saves")
    p.add_argument("--size", type=int, default=0, metavar="MB", help="ballast of a save")
    p.add_argument("--pause", type=float, default=0, metavar="SECONDS", help="between two operations of a save")
    p.add_argument("--batch_time", type=float, default=0, metavar="SECONDS", help="that a batch takes longer")
    return p.parse_args()


def say(what, about):
    print(what, about, flush=True)
