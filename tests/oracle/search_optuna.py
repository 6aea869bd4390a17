#!/usr/bin/env python3
"""Studies of `tiger search` in Optuna, and Optuna's in tiger: what one writes, the other reads, and goes on with.

    search_optuna.py TIGER
"""
import math
import subprocess
import sys
import tempfile
from pathlib import Path

import optuna
from optuna.storages import JournalStorage
from optuna.trial import TrialState

try:
    from optuna.storages.journal import JournalFileBackend
except ImportError:  # before 4.0
    from optuna.storages import JournalFileStorage as JournalFileBackend

TIGER = str(Path(sys.argv[1]).resolve())
RUN = ["--data", "text.txt", "--layers", "1", "--heads", "2", "--width", "16", "--context", "12", "--updates", "8",
       "--eval-every", "2", "--eval-batches", "2", "--schedule", "constant", "--out", "s", "--jobs", "2"]
SPACE = ["--space", "lr=1e-4..1e-1 scale=rms/none batch=1..4"]


def search(folder, *arguments):
    done = subprocess.run([TIGER, "search", *RUN, *SPACE, *arguments], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def load(folder):
    storage = JournalStorage(JournalFileBackend(str(Path(folder) / "s/study.journal")))
    return optuna.load_study(study_name="tiger", storage=storage)


def suggest(trial):
    return (trial.suggest_float("lr", 1e-4, 1e-1, log=True), trial.suggest_categorical("scale", ["rms", "none"]),
            trial.suggest_int("batch", 1, 4))


def objective(trial):
    lr, scale, _ = suggest(trial)
    trial.report(float("nan"), 2)
    trial.report(9.5, 4)
    if trial.number % 3 == 0:
        raise optuna.TrialPruned()
    return 9 + lr + (scale == "none")


def main():
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "text.txt").write_text("the tiger walks by night and sleeps by day; " * 60)
        search(folder, "--trials", "6", "--pruner", "asha")
        study = load(folder)
        assert len(study.trials) == 6 and study.direction == optuna.study.StudyDirection.MINIMIZE
        for trial in study.trials:
            assert trial.state in (TrialState.COMPLETE, TrialState.PRUNED), trial
            assert 1e-4 <= trial.params["lr"] <= 1e-1 and trial.params["scale"] in ("rms", "none")
            assert trial.params["batch"] in (1, 2, 3, 4) and 2 in trial.intermediate_values
            assert trial.value == trial.intermediate_values[max(trial.intermediate_values)]
            assert trial.datetime_complete >= trial.datetime_start
        assert study.user_attrs["settings"].startswith("--optimizer tiger --data text.txt")
        study.optimize(objective, n_trials=4)  # the same distributions, or it would refuse
        study.enqueue_trial({"lr": 0.0123, "scale": "none", "batch": 3})
        out = search(folder, "--trials", "12", "--sampler", "gp")
        assert "; 10 are there already" in out, out
        study = load(folder)
        assert len(study.trials) == 12, [trial.state for trial in study.trials]
        assert study.trials[10].params == {"lr": 0.0123, "scale": "none", "batch": 3}
        assert study.trials[10].state in (TrialState.COMPLETE, TrialState.PRUNED)
        assert math.isnan(study.trials[7].intermediate_values[2])
        assert f"{study.best_value:.4f}" in out
    print("studies of both agree")


if __name__ == "__main__":
    main()
