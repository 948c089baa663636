"""Writes the small real files of the traces, with torch: python3 files.py"""

import os

import torch

here = os.path.join(os.path.dirname(os.path.abspath(__file__)), "files")
weights = {"layer.weight": torch.arange(6, dtype=torch.float32).reshape(2, 3)}
optimizer = {"state": {0: {"exp_avg": torch.zeros(2, 3)}}, "param_groups": [{"lr": 0.001, "params": [0]}]}


def save(name, state):
    torch.save(state, os.path.join(here, name))


os.makedirs(here, exist_ok=True)
save("weights.pt", weights)
save("optimizer.pt", optimizer)
save("random_states.pkl", {"step": 1, "torch_manual_seed": torch.zeros(4, dtype=torch.uint8)})
for n in (1, 2, 3):
    step = 100 * n
    save(f"lightning_{n}.ckpt", {
        "epoch": n - 1, "global_step": step, "pytorch-lightning_version": "2.6.2",
        "state_dict": weights, "optimizer_states": [optimizer], "loops": {}, "lr_schedulers": [],
        "callbacks": {"ModelCheckpoint{'monitor': 'val_loss'}": {
            "monitor": "val_loss", "current_score": torch.tensor(1.0 / n), "best_model_score": torch.tensor(1.0 / n),
            "best_model_path": f"/somewhere/epoch={n - 1}-step={step}.ckpt"}}})
    save(f"lightning_meta_{n}.pt", {"epoch": n - 1, "global_step": step, "pytorch-lightning_version": "2.6.2", "loops": {}})
    save(f"deepspeed_{n}.pt", {
        "module": weights, "global_steps": step, "global_samples": 8 * step, "dp_world_size": 2, "mp_world_size": 1,
        "ds_version": "0.19.6"})
    save(f"fairseq_{n}.pt", {
        "model": weights, "optimizer_history": [{"criterion_name": "CrossEntropy", "num_updates": step}],
        "extra_state": {"train_iterator": {"epoch": n + 1, "iterations_in_epoch": 0, "shuffle": True},
                        "val_loss": 3.0 / n, "best": 3.0 / n},
        "last_optimizer_state": optimizer})
    save(f"detectron_{n}.pth", {"model": weights, "optimizer": optimizer, "iteration": step - 1})
    save(f"mmengine_{n}.pth", {
        "meta": {"epoch": n, "iter": step, "time": "20260101_000000"}, "state_dict": weights, "optimizer": optimizer,
        "message_hub": {"runtime_info": {"best_score": 0.1 * n}}})
    save(f"yolo_{n}.pt", {
        "epoch": n - 1, "best_fitness": 0.1 * n, "model": None, "ema": weights, "optimizer": optimizer,
        "train_args": {"epochs": 3}, "train_metrics": {"fitness": 0.1 * n}, "version": "8.3.0", "date": "2026-01-01"})
    save(f"timm_{n}.pth.tar", {
        "epoch": n - 1, "metric": 70.0 + n, "arch": "resnet10t", "version": 2, "state_dict": weights, "optimizer": optimizer})
    save(f"torchtune_{n}.pt", {"epochs_run": n, "steps_run": step, "total_epochs": 3, "max_steps_per_epoch": None, "optimizer": optimizer})
    save(f"composer_{n}.pt", {
        "state": {"model": weights, "timestamp": {"Timestamp": {"epoch": n, "batch": step}}}, "rng": [torch.zeros(4, dtype=torch.uint8)]})
    save(f"loop_{n}.pt", {"model": weights, "optimizer": optimizer, "iter_num": step, "best_val_loss": 2.0 / n})
    save(f"enstack_{n}.pth", {
        "epoch": n, "step": 0, "total_batches": 10, "best_val_f1": 0.5 + 0.1 * n, "best_val_acc": 0.5, "optimizer_state_dict": optimizer})
    save(f"enstack_mid_{n}.pth", {
        "epoch": n, "step": 5, "total_batches": 10, "best_val_f1": 0.5, "best_val_acc": 0.5, "optimizer_state_dict": optimizer})
