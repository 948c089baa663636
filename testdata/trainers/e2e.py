"""Runs real torch trainers over a mount, kills them in the middle of saves, and lets them resume.

For each way of writing a checkpoint: the trainer is killed several times at a random moment of a save and
restarted from resume/ every time, while a second process loads latest/ and resume/ without a break. Whatever
loads has to be whole and of one save, and progress that a view has shown is not lost. At the end the trainer
has to arrive bit for bit where one arrives that was never killed, and the unmounted directory has to hold
nothing but whole checkpoints.
"""

import argparse
import datetime
import os
import random
import signal
import statistics
import sys
import tempfile
import time

import common
import reader
from floor import Floor
from mounted import Mount, Script

HERE = os.path.dirname(os.path.abspath(__file__))
PATTERNS = ("tmp_rename", "rename_aside", "in_place_new", "overwrite", "rmtree_rewrite")
BATCHES = 10  # in an epoch
SETTLE = 1.5  # seconds until a save that is complete has been committed


class Pattern:
    """The test of one pattern. wrong collects its violations, in words."""

    def __init__(self, name, args, dir):
        self.name, self.args, self.rng = name, args, random.Random(f"{args.seed} {name}")
        self.run, self.log = os.path.join(dir, name), os.path.join(dir, name + ".log")
        self.kills = self.inside = self.loads = 0
        self.wrong = []
        self._floor = Floor(BATCHES)
        self._durations = [0.3]  # of the saves so far, seconds
        self._shown = {}  # by each view, at last

    def test(self, expected):
        """expected is the digest of a run that was never killed."""
        os.mkdir(self.run)
        with Mount(self.args.ckptfs, self.run, self.log) as mount:
            with Script(os.path.join(HERE, "reader.py"), self.run) as self._reader:
                for _ in range(self.args.rounds):
                    self._kill_in_a_save()
                self._finish()
                self._reader.stop()
                self._take_sights(self._reader.lines())
            self.wrong += mount.umount()
        self._judge_plain(expected)
        if self.loads == 0:
            self.wrong.append("no view has ever loaded")

    def _kill_in_a_save(self):
        """One round: a trainer that dies at a random moment of a random save, and what is left after it."""
        victim, saves, saving, removing, began = self.rng.randint(1, 6), 0, None, None, 0
        with self._trainer(self.rng.choice([0, 0.4])) as trainer:
            for at, line in self._hear(trainer):
                word, name = line.split()[:2]
                saving = {"saving": name, "saved": None}.get(word, saving)
                removing = {"removing": name, "removed": None}.get(word, removing)
                if word == "saving":
                    saves, began = saves + 1, at
                    if saves == victim:
                        time.sleep(self.rng.random() * statistics.median(self._durations))
                        trainer.kill()
                        self._note("killed")
                elif word == "saved":
                    self._durations.append(at - began)
        if removing:
            self._floor.hear(time.monotonic(), f"removed {removing}")  # it may have come as far as that
        if saves < victim:
            self.wrong.append(f"the trainer ended before save {victim}; more --epochs are needed")
            return
        self.kills += 1
        self.inside += saving is not None
        self._judge_views()
        time.sleep(SETTLE)
        self._judge_views()

    def _finish(self):
        """A last trainer runs to its end, and the views have to follow."""
        with self._trainer(0) as trainer:
            for _ in self._hear(trainer):
                pass
            if (status := trainer.wait()) != 0:
                self.wrong.append(f"the trainer ended with {status}")
        end = time.monotonic() + 10
        while {reader.look(self.run, view).progress for view in reader.VIEWS} != {self.args.epochs * BATCHES}:
            if time.monotonic() > end:
                self.wrong.append("the views never came to show the end of the training")
                return
            time.sleep(0.1)

    def _trainer(self, batch_time):
        """A trainer. With a batch_time of 0 a save begins before the last one has settled."""
        return Script(os.path.join(HERE, self.name + ".py"), "--output_dir", self.run,
                      "--resume", os.path.join(self.run, "resume"), "--epochs", str(self.args.epochs),
                      "--batches", str(BATCHES), "--size", str(self.args.size), "--pause", str(self.args.pause),
                      "--batch_time", str(batch_time))

    def _hear(self, trainer):
        """The lines of a trainer. Where it resumes must not be below the floor."""
        needed, resumed = self._floor.of("resume"), 0
        for at, line in trainer.lines():
            self._floor.hear(at, line)
            self._note(line, at)
            word, *rest = line.split()
            if word == "resumed":
                resumed = int(rest[rest.index("progress") + 1])
            elif word == "saving" and resumed < needed:
                self.wrong.append(f"the trainer resumed at batch {resumed}, resume/ had shown {needed}")
                needed = resumed
            yield at, line

    def _judge_views(self):
        """After the death of a trainer: a view is whole and not below its floor."""
        self._take_sights(self._reader.printed())
        for view in reader.VIEWS:
            needed, sight = self._floor.of(view), reader.look(self.run, view)
            self._take_sight(sight)
            if not sight.broken and (sight.progress or 0) < needed:
                now = f"{sight.name} with batch {sight.progress}" if sight.name else "nothing"
                self.wrong.append(f"{view}/ shows {now}, it had shown batch {needed}")

    def _take_sights(self, lines):
        for _, line in lines:
            self._take_sight(reader.Sight.parse(line))

    def _take_sight(self, sight):
        self._floor.show(sight)
        if self._shown.get(sight.view) != (sight.name, sight.progress):
            self._shown[sight.view] = sight.name, sight.progress
            self._note(f"{sight.view}/ shows {sight.name or 'nothing'}, progress {sight.progress or 0}", sight.since)
        self.loads += sight.progress is not None
        if sight.broken:
            self.wrong.append(f"{sight.view}/ as {sight.name} did not load: {sight.broken}")

    def _judge_plain(self, expected):
        """The unmounted directory: every entry is a whole checkpoint, the best of them the end of training."""
        last = None
        for name in sorted(os.listdir(self.run)):
            if name == ".ckptfs":
                continue
            try:
                found = common.load(os.path.join(self.run, name))
            except common.Broken as e:
                self.wrong.append(f"{name} in the unmounted directory does not load: {e}")
                continue
            if last is None or found.progress > last.progress:
                last = found
        if last is None or last.digest() != expected:
            self.wrong.append("the training has not arrived where one arrives that was never killed")

    def _note(self, text, at=None):
        """Tells what happened, with the time of day as in the log: at is on the monotonic clock."""
        if self.args.verbose:
            ago = 0 if at is None else time.monotonic() - at
            when = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(seconds=ago)
            print(f"  {when:%T.%f} {text}", flush=True)


def main():
    args = arguments()
    began, total = time.monotonic(), {"kills": 0, "inside": 0, "loads": 0, "wrong": 0}
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the with blocks come to their ends
    print(f"seed {args.seed}")
    expected = uninterrupted(args.epochs)
    with tempfile.TemporaryDirectory(prefix="ckptfs-e2e-") as made:
        dir = os.path.realpath(made)  # as the mount table has it
        for name in args.patterns:
            pattern = Pattern(name, args, dir)
            pattern.test(expected)
            print(f"{name:15} {pattern.kills} kills, {pattern.inside} inside a save, {pattern.loads} loads, "
                  f"{len(pattern.wrong)} violations", flush=True)
            for wrong in pattern.wrong:
                print(f"  {wrong}")
            if pattern.wrong:
                with open(pattern.log) as log:
                    print("  its log ends with:\n" + "".join(log.readlines()[-40:]))
            for what in ("kills", "inside", "loads"):
                total[what] += getattr(pattern, what)
            total["wrong"] += len(pattern.wrong)
    print("{} patterns, {kills} kills, {inside} inside a save, {loads} loads, {wrong} violations, {:.0f} s".format(
        len(args.patterns), time.monotonic() - began, **total))
    return 1 if total["wrong"] else 0


def uninterrupted(epochs):
    """The digest at the end of a training that nobody kills."""
    training = common.Training(BATCHES)
    for epoch in range(1, epochs + 1):
        for step in range(1, BATCHES + 1):
            training.batch(epoch, step)
    return training.digest()


def arguments():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("patterns", nargs="*", default=PATTERNS, help="default: all")
    p.add_argument("--ckptfs", default=os.path.join(HERE, "../../bin/ckptfs"), help="the binary to test")
    p.add_argument("--rounds", type=int, default=4, help="kills per pattern")
    p.add_argument("--epochs", type=int, default=8)
    p.add_argument("--size", type=int, default=16, metavar="MB", help="of a save")
    p.add_argument("--pause", type=float, default=0.03, metavar="SECONDS", help="between two operations of a save")
    p.add_argument("--seed", type=int, default=random.randrange(1 << 31), help="of the moments of the kills")
    p.add_argument("-v", "--verbose", action="store_true", help="print every kill")
    args = p.parse_args()
    args.ckptfs = os.path.abspath(args.ckptfs)
    for name in args.patterns:
        if name not in PATTERNS:
            p.error(f"{name} is none of {', '.join(PATTERNS)}")
    return args


if __name__ == "__main__":
    sys.exit(main())
