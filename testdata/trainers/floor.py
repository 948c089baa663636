"""The progress that a view may not lose."""

import reader


class Floor:
    """The floor of a view is the most progress that it has shown. A checkpoint no longer counts once the
    trainer itself has taken it back: deleted it in order to save under its name, or begun to save less
    progress there. One that it deletes because it has saved a newer one does count: the newer one has to
    be there then."""

    def __init__(self, batches):
        self._batches, self._events = batches, []

    def show(self, sight):
        """Notes what a view has shown."""
        self._events.append((sight.since, sight))

    def hear(self, at, line):
        """Notes a line of the trainer and when it came. It may come later than what it speaks of, never
        earlier: the floor is at worst too low."""
        self._events.append((at, line))

    def of(self, view):
        """The floor of a view now, 0 where there is none. Right while no trainer runs."""
        shown, saving = {}, None
        for _, event in sorted(self._events, key=lambda e: e[0]):
            if isinstance(event, reader.Sight):
                if event.view == view and event.progress:
                    shown[event.name] = event.progress
                continue
            what, name, *at = event.split()
            if what == "saving":
                saving = name
                if self._progress(at) < shown.get(name, 0):
                    del shown[name]
            elif what == "saved":
                saving = None
            elif what in ("removing", "removed") and name == saving:
                shown.pop(name, None)
        return max(shown.values(), default=0)

    def _progress(self, at):
        _, epoch, _, step = at[:4]  # "epoch 2 step 4"
        return progress(int(epoch), int(step), self._batches)


def progress(epoch, step, batches):
    """The batches seen at a step of an epoch; step 0 is its end."""
    return (epoch - 1) * batches + (step or batches)
