"""Saves as other trainers do, with real torch, over a mount: each trainer in a directory of its own, killed after
every step of a save in turn. Whatever a view shows has to load, whole and of one save, and never of one before the
last that was finished."""

import argparse
import os
import signal
import sys
import tempfile
import time
import traceback

import torch

import savers
from mounted import Mount

HERE = os.path.dirname(os.path.abspath(__file__))
BOUND = 45  # seconds: the first of a kind is waited for, for half a minute


class Trainer:
    """One trainer in its run directory. wrong collects its violations, in words."""

    def __init__(self, name, dir):
        self.name, self.run = name, os.path.join(dir, name)
        self.saves, self.kills, self.loads, self.n = 0, 0, 0, 0
        self.wrong = []
        os.mkdir(self.run)

    def test(self):
        self.save()
        self.save()
        for step in range(1, self.steps() + 1):
            self.save(step)
            self.save()

    def steps(self):
        """How many there are in a save."""
        with tempfile.TemporaryDirectory() as elsewhere:
            first = sum(1 for _ in savers.TRAINERS[self.name](elsewhere, 1))
            return max(first, sum(1 for _ in savers.TRAINERS[self.name](elsewhere, 2)))

    def save(self, steps=None):
        """One save, in a process of its own; with steps it is killed after so many, if there are."""
        self.n += 1
        child = os.fork()
        if child == 0:
            self._be(steps)
        _, status = os.waitpid(child, 0)
        if os.WIFSIGNALED(status):
            self.kills += 1
            shown = self.look()
            if shown is not None and shown < self.floor:
                self.wrong.append(f"killed after step {steps} of save {self.n}: latest/ shows save {shown}, not {self.floor}")
            return
        if status != 0:
            self.wrong.append(f"save {self.n} ended with {os.waitstatus_to_exitcode(status)}")
            return
        self.saves += 1
        end = time.monotonic() + BOUND
        while (shown := self.look()) != self.n and not self.wrong:
            if time.monotonic() > end:
                self.wrong.append(f"save {self.n} is not shown; latest/ shows save {shown}")
            time.sleep(0.1)
        self.floor = self.n

    def _be(self, steps):
        """The process of one save. It does not return."""
        try:
            for step, _ in enumerate(savers.TRAINERS[self.name](self.run, self.n), 1):
                if step == steps:
                    os.kill(os.getpid(), signal.SIGKILL)
        except Exception:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)

    def look(self):
        """The number of the save that latest/ shows, None for none."""
        self.load("resume")
        return self.load("@latest")

    def load(self, view):
        """Loads all that a view shows, from one directory that is opened once."""
        try:
            fd = os.open(os.path.join(self.run, view), os.O_RDONLY | os.O_DIRECTORY)
        except FileNotFoundError:
            return None
        saves = {}
        try:
            for dir, _, files in os.walk(f"/proc/self/fd/{fd}/"):
                for name in files:
                    if name.endswith((".pt", ".pth", ".bin", ".pkl", ".ckpt", ".tar")):
                        saves[name] = int(torch.load(os.path.join(dir, name))["save"])
        except Exception as e:
            self.wrong.append(f"{view}/{name} does not load: {e}")
        finally:
            os.close(fd)
        self.loads += 1
        if len(set(saves.values())) > 1:
            self.wrong.append(f"{view}/ is a mix: {saves}")
        return max(saves.values(), default=None)


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("trainers", nargs="*", default=list(savers.TRAINERS), help="default: all")
    p.add_argument("--ckptfs", default=os.path.join(HERE, "../../bin/ckptfs"), help="the binary to test")
    args = p.parse_args()
    began, total, wrong = time.monotonic(), {"saves": 0, "kills": 0, "loads": 0}, 0
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the with blocks come to their ends
    with tempfile.TemporaryDirectory(prefix="ckptfs-others-") as made:
        dir = os.path.realpath(made)  # as the mount table has it
        run = os.path.join(dir, "run")
        os.mkdir(run)
        with Mount(os.path.abspath(args.ckptfs), run, os.path.join(dir, "log")) as mount:
            for name in args.trainers:
                trainer = Trainer(name, run)
                trainer.test()
                print(f"{name:15} {trainer.saves} saves, {trainer.kills} kills, {trainer.loads} loads, "
                      f"{len(trainer.wrong)} violations", flush=True)
                for text in trainer.wrong:
                    print(f"  {text}")
                for what in total:
                    total[what] += getattr(trainer, what)
                wrong += len(trainer.wrong)
            left = mount.umount()
            print("".join(f"  {text}\n" for text in left), end="")
            wrong += len(left)
    print("{} trainers, {saves} saves, {kills} kills, {loads} loads, {} violations, {:.0f} s".format(
        len(args.trainers), wrong, time.monotonic() - began, **total))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
