"""writer.py WAY FROM TO

writes the files of the checkpoint FROM over those of TO as a Python trainer does,
the last one in the way that is asked for. Python closes files by itself when it
unwinds, so what is no success looks like one.
"""

import os
import pathlib
import signal
import subprocess
import sys
import threading
import time

LAST = "training_state.pth"


def main(way, source, target):
    for name in ["config.json", "pytorch_model.bin"]:
        (target / name).write_bytes((source / name).read_bytes())
    data = (source / LAST).read_bytes()
    half = len(data) // 2
    path = target / LAST

    def around(body):
        with open(path, "wb") as f:
            f.write(data[:half])
            f.flush()
            body()
            f.write(data[half:])

    def in_thread(body, daemon=False):
        began = threading.Event()
        t = threading.Thread(target=body, args=(began,), daemon=daemon)
        t.start()
        began.wait()
        if not daemon:
            t.join()

    def raises(_):
        raise ValueError("of no consequence")

    def thread_raises(began):
        began.set()
        threading.excepthook = lambda _: None
        around(lambda: raises(0))

    def thread_writes(began):
        began.set()
        path.write_bytes(data)

    def thread_in_the_middle(began):
        with open(path, "wb", buffering=0) as f:
            f.write(data[:half])
            began.set()
            time.sleep(3600)

    def forgotten():
        global kept
        kept = open(path, "wb")
        kept.write(data)

    def replaced():
        tmp = target / "training_state.pth.tmp"
        with open(tmp, "wb") as f:
            f.write(data)
            f.flush()
            os.fsync(f.fileno())
        os.replace(tmp, path)

    def child():
        pid = os.fork()
        if pid == 0:
            os._exit(0)
        os.waitpid(pid, 0)

    def interrupted():
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(3600)

    sys.excepthook = lambda *_: None  # the way is known; its traceback is noise
    {
        "with": lambda: path.write_bytes(data),
        "an exception in with": lambda: around(lambda: raises(0)),
        "sys.exit(1) in with": lambda: around(lambda: sys.exit(1)),
        "Ctrl-C in with": lambda: around(interrupted),
        "SIGTERM in with": lambda: around(lambda: os.kill(os.getpid(), signal.SIGTERM)),
        "SIGKILL in with": lambda: around(lambda: os.kill(os.getpid(), signal.SIGKILL)),
        "os._exit(1) in with": lambda: around(lambda: os._exit(1)),
        "os._exit(0) in with": lambda: around(lambda: os._exit(0)),
        "a thread writes": lambda: in_thread(thread_writes),
        "a thread raises, main ends with 0": lambda: in_thread(thread_raises),
        "a daemon thread is in the middle, main ends with 0": lambda: in_thread(thread_in_the_middle, daemon=True),
        "never closed": forgotten,
        "written beside and replaced": replaced,
        "os.system in with": lambda: around(lambda: os.system("true")),
        "subprocess in with": lambda: around(lambda: subprocess.run(["true"], check=True)),
        "a forked child exits in with": lambda: around(child),
    }[way]()


main(sys.argv[1], pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3]))
