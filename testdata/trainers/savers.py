"""How other trainers save, step by step, with real torch. Each is a generator that yields after every operation
that a kill could follow; n is the number of the save, from 1, and everything that is written of it says so."""

import json
import os
import shutil
import tempfile

import torch


def state(n, **scalars):
    """What goes into a file of save n."""
    return {"save": n, "weights": torch.full((64, 64), float(n)), **scalars}


def put(path, n, **scalars):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    torch.save(state(n, **scalars), path)


def text(path, content):
    with open(path, "w") as f:
        f.write(content)


def transformers(run, n):
    to = f"{run}/checkpoint-{n}"
    os.makedirs(to)
    text(f"{to}/config.json", "{}")
    yield
    for name in ("pytorch_model.bin", "training_args.bin", "optimizer.pt", "scheduler.pt", "rng_state.pth"):
        put(f"{to}/{name}", n)
        yield
    text(f"{to}/trainer_state.json", json.dumps({"global_step": n, "epoch": n / 2, "log_history": []}))
    yield


def accelerate(run, n):
    to = f"{run}/checkpoint_{n}"
    os.makedirs(to)
    for name in ("pytorch_model.bin", "optimizer.bin", "scheduler.bin", "random_states_0.pkl"):
        put(f"{to}/{name}", n, step=n)
        yield


def lightning(run, n):
    """On a FUSE mount the file is copied onto its name from elsewhere, and last.ckpt is a second copy."""
    with tempfile.TemporaryDirectory() as elsewhere:
        put(f"{elsewhere}/x", n, **{"epoch": n - 1, "global_step": n, "pytorch-lightning_version": "2.6.2"})
        for name in (f"epoch={n - 1}-step={n}.ckpt", "last.ckpt"):
            shutil.copy2(f"{elsewhere}/x", f"{run}/{name}")
            yield
            os.chmod(f"{run}/{name}", 0o644)
            yield


def deepspeed(run, n):
    to = f"{run}/global_step{n}"
    os.makedirs(to)
    put(f"{to}/mp_rank_00_model_states.pt", n, global_steps=n, dp_world_size=2, mp_world_size=1)
    yield
    for rank in range(2):
        put(f"{to}/zero_pp_rank_{rank}_mp_rank_00_optim_states.pt", n)
        yield
    text(f"{run}/latest", f"global_step{n}")
    yield


def megatron(run, n):
    for rank in range(2):
        put(f"{run}/iter_{n:07}/mp_rank_{rank:02}/model_optim_rng.pt", n, iteration=n)
        yield
    text(f"{run}/latest_checkpointed_iteration.txt", str(n))
    yield


def fairseq(run, n):
    first = f"{run}/checkpoint{n}.pt"
    put(f"{first}.tmp", n, extra_state={"train_iterator": {"epoch": n + 1, "iterations_in_epoch": 0}},
        optimizer_history=[{"num_updates": n}])
    yield
    os.rename(f"{first}.tmp", first)
    yield
    for name in ("checkpoint_best.pt", "checkpoint_last.pt"):
        shutil.copyfile(first, f"{run}/{name}")
        yield


def detectron2(run, n):
    put(f"{run}/model_{n - 1:07}.pth", n, iteration=n - 1)
    yield
    text(f"{run}/last_checkpoint", f"model_{n - 1:07}.pth")
    yield


def mmengine(run, n):
    put(f"{run}/epoch_{n}.pth", n, meta={"epoch": n, "iter": n})
    yield
    text(f"{run}/last_checkpoint", f"{run}/epoch_{n}.pth")
    yield


def ultralytics(run, n):
    for name in ("last.pt", "best.pt", f"epoch{n - 1}.pt"):
        put(f"{run}/{name}", n, epoch=n - 1, train_args={}, best_fitness=0.5)
        yield


def timm(run, n):
    put(f"{run}/tmp.pth.tar", n, epoch=n - 1, metric=float(n), arch="resnet")
    yield
    last = f"{run}/last.pth.tar"
    if os.path.exists(last):
        os.unlink(last)
        yield
    os.rename(f"{run}/tmp.pth.tar", last)
    yield
    for name in (f"checkpoint-{n - 1}.pth.tar", "model_best.pth.tar"):
        if os.path.exists(f"{run}/{name}"):
            os.unlink(f"{run}/{name}")
            yield
        os.link(last, f"{run}/{name}")
        yield


def torchtune(run, n):
    to = f"{run}/epoch_{n - 1}"
    for name in ("ft-model-00001-of-00001.bin", "recipe_state.pt"):
        put(f"{to}/{name}", n, epochs_run=n, steps_run=n)
        yield


def verl(run, n):
    for rank in range(2):
        for part in ("model", "optim", "extra_state"):
            put(f"{run}/global_step_{n}/actor/{part}_world_size_2_rank_{rank}.pt", n)
            yield
    put(f"{run}/global_step_{n}/data.pt", n)
    yield
    text(f"{run}/latest_checkpointed_iteration.txt", str(n))
    yield


def composer(run, n):
    put(f"{run}/ep0-ba{n}-rank0.pt", n)
    yield
    link = f"{run}/latest-rank0.pt"
    if os.path.lexists(link):
        os.remove(link)
        yield
    os.symlink(f"ep0-ba{n}-rank0.pt", link)
    yield


def olmo(run, n):
    to = f"{run}/step{n}"
    for name in ("model.pt", "optim.pt", "train.pt"):
        put(f"{to}-tmp/{name}", n)
        yield
    text(f"{to}-tmp/config.yaml", "model: {}\n")
    yield
    os.rename(f"{to}-tmp", to)
    yield
    if os.path.lexists(f"{run}/latest"):
        os.unlink(f"{run}/latest")
        yield
    os.symlink(f"step{n}", f"{run}/latest")
    yield


def generic(run, n):
    """nanoGPT, which overwrites one file."""
    put(f"{run}/ckpt.pt", n, iter_num=n, best_val_loss=1 / n)
    yield


TRAINERS = {f.__name__: f for f in (
    transformers, accelerate, lightning, deepspeed, megatron, fairseq, detectron2, mmengine, ultralytics, timm,
    torchtune, verl, composer, olmo, generic)}
