"""Loads latest/ and resume/ of a mounted run over and over, while a trainer saves and dies, until SIGTERM.

One line per look, its first word: "seen", "absent" or "broken". Run it as reader.py DIR, or call look().
"""

import os
import signal
import sys
import time
from dataclasses import dataclass

import common

VIEWS = ("latest", "resume")


@dataclass
class Sight:
    """What one look at a view found. name is the checkpoint that it resolved to, None if it was absent;
    broken is why it did not load. since is the CLOCK_MONOTONIC time at which the look began."""

    since: float
    view: str
    name: str = None
    progress: int = None
    broken: str = None

    def __str__(self):
        if self.broken:
            return f"broken {self.since:.6f} {self.view} {self.name} {self.broken}"
        if self.name is None:
            return f"absent {self.since:.6f} {self.view}"
        return f"seen {self.since:.6f} {self.view} {self.name} {self.progress}"

    @classmethod
    def parse(cls, line):
        word, since, rest = line.split(" ", 2)
        view, name, more = (rest.split(" ", 2) + [None, None])[:3]
        if word == "broken":
            return cls(float(since), view, name, broken=more)
        return cls(float(since), view, name, int(more) if more else None)


def look(run, view):
    """Loads a view from within: a process that stands in a view keeps its version, whatever is committed
    meanwhile. Files opened by path one after the other may come from two versions, both of them whole."""
    sight = Sight(time.monotonic(), view)
    try:
        os.chdir(os.path.join(run, view))
    except FileNotFoundError:
        return sight
    try:
        sight.name = os.getxattr(".", "user.ckptfs.target").decode()
        sight.progress = common.load(".").progress
    except (OSError, common.Broken) as e:
        sight.broken = str(e).replace("\n", " ")
    finally:
        os.chdir("/")  # a working directory in the mount would keep it busy
    return sight


def main():
    going = True

    def stop(*_):
        nonlocal going
        going = False

    signal.signal(signal.SIGTERM, stop)
    run = os.path.abspath(sys.argv[1])
    while going:
        for view in VIEWS:
            print(look(run, view), flush=True)
        time.sleep(0.05)  # leaves the processors to the trainer


if __name__ == "__main__":
    main()
