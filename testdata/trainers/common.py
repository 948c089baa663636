"""A small but real training state, the files of a save, and the proof that a checkpoint is one save.

Every save draws a random token and writes it into each of its files, as a value and as ballast that fills
most of the file. load() refuses a checkpoint whose files do not carry the same token through and through,
or whose weights, optimizer and scheduler have not seen the same number of batches.
"""

import hashlib
import json
import os
import secrets
from dataclasses import dataclass

import torch

CONFIG, WEIGHTS, STATE = "config.json", "pytorch_model.bin", "training_state.pth"


class Broken(Exception):
    """A checkpoint that is torn, mixed or incomplete; the text says which file and why."""


class Training:
    """Model, optimizer, scheduler and progress. The same batches in the same order give the same bits,
    so a run that was killed and resumed can be compared with one that never was."""

    def __init__(self, batches):
        torch.manual_seed(1)
        torch.set_num_threads(1)
        self.model = torch.nn.Sequential(torch.nn.Linear(8, 32), torch.nn.Tanh(), torch.nn.Linear(32, 1))
        self.model.register_buffer("batches_seen", torch.zeros((), dtype=torch.int64))
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=0.01)
        self.scheduler = torch.optim.lr_scheduler.StepLR(self.optimizer, step_size=10, gamma=0.9)
        self.batches = batches  # in an epoch
        self.epoch, self.step = 1, 0  # step 0: the epoch is finished, or nothing is done yet
        self.best_val_f1 = self.best_val_acc = 0.0

    def batch(self, epoch, step):
        """Trains on one batch; which one depends on epoch and step alone."""
        self.epoch, self.step = epoch, step
        x, y = self._data(seed=(epoch - 1) * self.batches + step)
        self.optimizer.zero_grad()
        torch.nn.functional.binary_cross_entropy_with_logits(self.model(x), y).backward()
        self.optimizer.step()
        self.scheduler.step()
        self.model.batches_seen += 1

    def finish_epoch(self):
        """Validates, and says whether the model is the best so far."""
        self.step = 0
        x, y = self._data(seed=0)
        with torch.no_grad():
            guess = (self.model(x) > 0).float()
        hits, guessed, wanted = (guess * y).sum().item(), guess.sum().item(), y.sum().item()
        f1, acc = 2 * hits / max(guessed + wanted, 1), (guess == y).float().mean().item()
        best = f1 > self.best_val_f1
        self.best_val_f1, self.best_val_acc = max(f1, self.best_val_f1), max(acc, self.best_val_acc)
        return best

    def write(self, directory, size, pause):
        """Writes the files of one save in EnStack's order, state last, and returns the token. size is the
        ballast in bytes; pause is called between any two operations."""
        token = secrets.token_hex(16)
        with open(os.path.join(directory, CONFIG), "w") as f:
            json.dump({"model_type": "tiny", "epoch": self.epoch, "step": self.step, "save_token": token}, f)
        pause()
        torch.save({**self.model.state_dict(), "save_token": token, "ballast": _ballast(token, size // 2)},
                   os.path.join(directory, WEIGHTS))
        pause()
        torch.save({
            "epoch": self.epoch, "step": self.step, "total_batches": self.batches,
            "best_val_f1": self.best_val_f1, "best_val_acc": self.best_val_acc,
            "optimizer_state_dict": self.optimizer.state_dict(),
            "scheduler_state_dict": self.scheduler.state_dict(),
            "save_token": token, "ballast": _ballast(token, size // 2),
        }, os.path.join(directory, STATE))
        return token

    def restore(self, checkpoint):
        """Takes over a loaded checkpoint."""
        self.model.load_state_dict(checkpoint.weights)
        self.optimizer.load_state_dict(checkpoint.state["optimizer_state_dict"])
        self.scheduler.load_state_dict(checkpoint.state["scheduler_state_dict"])
        self.epoch, self.step = checkpoint.epoch, checkpoint.step
        self.best_val_f1, self.best_val_acc = checkpoint.state["best_val_f1"], checkpoint.state["best_val_acc"]

    def digest(self):
        """A hash over the bits of weights and optimizer and the state of the scheduler."""
        return _digest(self.model.state_dict(), self.optimizer.state_dict(), self.scheduler.state_dict())

    @staticmethod
    def _data(seed):
        x = torch.randn(64, 8, generator=torch.Generator().manual_seed(seed))
        return x, (x.prod(dim=1, keepdim=True) > 0).float()


@dataclass
class Checkpoint:
    """One loaded checkpoint, known to be whole."""

    token: str
    epoch: int
    step: int  # 0 is the end of the epoch
    progress: int  # batches seen
    weights: dict
    state: dict

    def digest(self):
        """Training.digest of the run that saved it."""
        return _digest(self.weights, self.state["optimizer_state_dict"], self.state["scheduler_state_dict"])

    def __str__(self):
        return f"epoch {self.epoch} step {self.step}"


def load(directory):
    """Loads a checkpoint and raises Broken unless all of it comes from one save. It opens the files by
    path, as trainers do: to be sure of one version while saves go on, stand in the view and load "."."""
    try:
        with open(os.path.join(directory, CONFIG)) as f:
            config = json.load(f)
        weights = torch.load(os.path.join(directory, WEIGHTS))
        state = torch.load(os.path.join(directory, STATE))
        tokens = [part["save_token"] for part in (config, weights, state)]
        for name, part in ((WEIGHTS, weights), (STATE, state)):
            if not bool((part.pop("ballast") == _fill(part.pop("save_token"))).all()):
                raise Broken(f"{name} holds bytes of another save")
        progress = (state["epoch"] - 1) * state["total_batches"] + (state["step"] or state["total_batches"])
        seen = {"weights": int(weights["batches_seen"]),
                "optimizer": int(state["optimizer_state_dict"]["state"][0]["step"]),
                "scheduler": state["scheduler_state_dict"]["last_epoch"]}
    except Broken:
        raise
    except Exception as e:  # whatever torch, zip, pickle or json think of a torn file
        raise Broken(f"{type(e).__name__}: {e}") from e
    if len(set(tokens)) != 1:
        raise Broken("files of different saves: " + ", ".join(token[:8] for token in tokens))
    if (config["epoch"], config["step"]) != (state["epoch"], state["step"]):
        raise Broken(f"{CONFIG} is of another step than {STATE}")
    if set(seen.values()) != {progress}:
        raise Broken(f"{STATE} says {progress} batches, but {seen}")
    return Checkpoint(tokens[0], state["epoch"], state["step"], progress, weights, state)


def _fill(token):
    return int(token[:15], 16)


def _ballast(token, size):
    return torch.full((max(size // 8, 1),), _fill(token), dtype=torch.int64)


def _digest(weights, optimizer, scheduler):
    h = hashlib.sha256()
    for name in sorted(weights):
        h.update(name.encode() + weights[name].numpy().tobytes())
    for _, moments in sorted(optimizer["state"].items()):
        for name in sorted(moments):
            h.update(name.encode() + torch.as_tensor(moments[name]).numpy().tobytes())
    h.update(repr(sorted(scheduler.items())).encode())
    return h.hexdigest()
