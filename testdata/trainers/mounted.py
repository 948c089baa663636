"""A mount over a directory, and the processes at work in it, for as long as a with block lasts."""

import os
import queue
import subprocess
import sys
import threading
import time


class Mount:
    """ckptfs over dir. Leaving the block without umount() takes it down by force."""

    def __init__(self, ckptfs, dir, log):
        self.ckptfs, self.dir, self.log = ckptfs, dir, log

    def __enter__(self):
        with open(self.log, "w") as log:
            self._daemon = subprocess.Popen([self.ckptfs, "mount", "--foreground", self.dir], stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log, start_new_session=True)
        end = time.monotonic() + 20
        while not is_mounted(self.dir):
            if self._daemon.poll() is not None or time.monotonic() > end:
                self.__exit__()
                raise RuntimeError(f"{self.dir} was not mounted:\n{self.tail()}")
            time.sleep(0.02)
        return self

    def umount(self):
        """Settles and unmounts as a user would, and returns what was not as it should be."""
        done = subprocess.run([self.ckptfs, "umount", self.dir], capture_output=True, text=True, timeout=60)
        if done.returncode != 0:
            return [f"umount ended with {done.returncode}: {done.stderr.strip()}"]
        try:
            status = self._daemon.wait(20)
        except subprocess.TimeoutExpired:
            return [f"the daemon, pid {self._daemon.pid}, outlived the unmount"]
        wrong = [f"the daemon ended with {status}"] if status else []
        return wrong + ([f"{self.dir} is still mounted"] if is_mounted(self.dir) else [])

    def tail(self):
        """The end of the daemon's log."""
        with open(self.log) as f:
            return "".join(f.readlines()[-20:])

    def __exit__(self, *_):
        if is_mounted(self.dir):
            lazy = ["umount", "-l"] if os.geteuid() == 0 else ["fusermount3", "-uz"]
            subprocess.run([*lazy, self.dir], stderr=subprocess.DEVNULL)
        if self._daemon.poll() is None:
            self._daemon.kill()
            self._daemon.wait()


class Script:
    """A Python script and the lines that it prints, each with the CLOCK_MONOTONIC time at which it came.
    Leaving the block kills it."""

    def __init__(self, path, *args):
        self._process = subprocess.Popen([sys.executable, "-B", path, *args], stdin=subprocess.DEVNULL, cwd="/",
                                         stdout=subprocess.PIPE, text=True)
        self._lines = queue.SimpleQueue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self._process.stdout:
            self._lines.put((time.monotonic(), line.rstrip("\n")))
        self._lines.put(None)

    def lines(self):
        """The lines not yet taken, up to the end of the script."""
        while (line := self._lines.get()) is not None:
            yield line

    def printed(self):
        """The lines not yet taken that are there now."""
        while not self._lines.empty() and (line := self._lines.get()) is not None:
            yield line

    def kill(self):
        """Ends it with SIGKILL; what it printed before can still be read."""
        self._process.kill()
        self._process.wait()

    def stop(self):
        self._process.terminate()

    def wait(self):
        return self._process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()
        self._process.stdout.close()


def is_mounted(dir):
    with open("/proc/self/mounts") as f:
        return any(line.split()[1] == dir for line in f)
