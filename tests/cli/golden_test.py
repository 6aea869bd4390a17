#!/usr/bin/env python3
"""Help pages, error lines and exit statuses of the command, against the files in golden/.

    golden_test.py TIGER            compares
    golden_test.py TIGER --update   writes the files anew: look at `git diff` before you believe them

A file holds the command line, what came on stdout, what came on stderr (behind '! '), and the exit status.
"""
import difflib
import os
import subprocess
import sys
import tempfile
from pathlib import Path

GOLDEN = Path(__file__).resolve().parent / "golden"
SEEDS = Path(__file__).resolve().parents[1] / "fuzz" / "corpus" / "engine_gguf"

CASES = {
    # help
    "help": ["help"],
    "help_train": ["help", "train"],
    "help_train_adamw_llama": ["train", "--help", "--optimizer", "adamw", "--model=llama"],
    "help_train_lion": ["help", "train", "--optimizer", "lion"],
    "help_sample": ["sample", "--help"],
    "help_eval": ["eval", "-h"],
    "help_attack": ["attack", "--help"],
    "help_plan": ["plan", "--help"],
    "help_plot": ["plot", "--help"],
    "help_lr_range": ["help", "lr-range"],
    "help_lr_range_adamw": ["lr-range", "--help", "--optimizer", "adamw"],
    "help_list": ["list", "--help"],
    "help_race": ["help", "race"],
    "help_race_problem": ["help", "race", "--problem", "quadratic"],
    "help_search": ["help", "search"],
    "help_minimize": ["help", "minimize"],
    "help_minimize_quadratic": ["help", "minimize", "quadratic", "--optimizer", "sgd,lion"],
    "help_check": ["check", "--help"],
    "help_inspect": ["help", "inspect"],
    "help_convert": ["help", "convert"],
    # families
    "list_optimizers": ["list", "optimizers"],
    "list_optimizers_tiger": ["list", "optimizers", "tiger"],
    "list_optimizers_adamw": ["list", "optimizers", "adamw"],
    "list_schedules": ["list", "schedules"],
    "list_schedules_wsd": ["list", "schedules", "wsd"],
    "list_schedules_plateau": ["list", "schedules", "plateau"],
    "list_schedules_as_lr": ["list", "schedules", "as_lr"],
    "list_schedules_onecycle": ["list", "schedules", "onecycle"],
    "list_layers": ["list", "layers"],
    "list_layers_attention": ["list", "layers", "attention"],
    "list_layers_gau": ["list", "layers", "gau"],
    "list_models": ["list", "models"],
    "list_models_gpt2": ["list", "models", "gpt2"],
    "list_models_bert": ["list", "models", "bert"],
    "list_models_gau": ["list", "models", "gau"],
    "list_models_mlp": ["list", "models", "mlp"],
    "list_models_resnet": ["list", "models", "resnet"],
    "list_models_linear": ["list", "models", "linear"],
    "list_models_llama": ["list", "models", "llama"],
    "list_minimizers": ["list", "minimizers"],
    "list_minimizers_natgrad": ["list", "minimizers", "natgrad"],
    "list_minimizers_lbfgs": ["list", "minimizers", "lbfgs"],
    "list_problems": ["list", "problems"],
    "list_problems_quadratic": ["list", "problems", "quadratic"],
    "list_problems_himmelblau": ["list", "problems", "himmelblau"],
    # wrong usage
    "bad_no_command": [],
    "bad_command": ["trian"],
    "bad_command_far": ["xyzzy"],
    "bad_help_command": ["help", "evl"],
    "bad_option": ["train", "--weigt-decay", "0.1"],
    "bad_option_equals": ["train", "--weigt_decay=0.1"],
    "bad_option_far": ["train", "--qqqqqqqq", "1"],
    "bad_option_other_optimizer": ["train", "--optimizer", "tiger", "--beta2", "0.9"],
    "bad_short_option": ["train", "-lr", "1"],
    "bad_value_missing": ["train", "--data"],
    "bad_value_missing_next": ["train", "--data", "--out", "x"],
    "bad_value_word": ["train", "--lr", "fast"],
    "bad_value_empty": ["train", "--lr="],
    "bad_value_nan": ["train", "--lr", "nan"],
    "bad_value_range": ["train", "--lr=-2.385"],
    "bad_value_fraction": ["train", "--batch", "2.5"],
    "bad_value_zero": ["train", "--batch", "0"],
    "bad_value_choice": ["train", "--precision", "fp64"],
    "bad_value_of_flag": ["train", "--resume=1"],
    "bad_optimizer": ["train", "--optimizer", "tigre"],
    "bad_model": ["plan", "--model", "gpt3"],
    "bad_model_far": ["plan", "--model", "mamba"],
    "bad_model_and_init": ["train", "--model", "gpt2", "--init", "x"],
    "bad_argument": ["train", "text.txt"],
    "bad_max_time": ["train", "--data", "text.txt", "--out", "run", "--max-time", "5 weeks"],
    "bad_max_time_nothing": ["train", "--data", "text.txt", "--out", "run", "--max-time", "0m"],
    "bad_peak": ["train", "--data", "text.txt", "--out", "run", "--peak", "fast"],
    "bad_best_value": ["sample", "run", "--best=2"],
    "fail_eval_data_and_validation": ["train", "--data", "text.txt", "--out", "run", "--eval-data", "text.txt",
                                      "--validation", "0.2"],
    "fail_sample_prompt": ["train", "--data", "text.txt", "--out", "run", "--sample-prompt", "42"],
    "fail_best_nowhere": ["eval", "folder", "--best", "--data", "text.txt"],
    "bad_no_out": ["train", "--data", "text.txt"],
    "bad_no_data": ["train", "--out", "run"],
    "bad_plan_samples": ["plan", "--model", "mlp"],
    "bad_norm": ["plan", "--model", "mlp", "--norm", "weight"],
    "bad_depth": ["plan", "--model", "resnet", "--depth", "21", "--outputs", "10"],
    "bad_plan_images": ["plan", "--model", "resnet", "--outputs", "10"],
    "help_train_resnet": ["train", "--help", "--model", "resnet"],
    "help_train_mlp": ["train", "--help", "--model", "mlp"],
    "bad_eval_no_directory": ["eval", "--data", "text.txt"],
    "bad_eval_no_data": ["eval", "run"],
    "bad_attack_no_data": ["attack", "run"],
    "bad_attack_no_directory": ["attack", "--data", "text.txt"],
    "bad_attack_eps": ["attack", "run", "--data", "text.txt", "--eps", "0.1,few"],
    "bad_attack_eps_fraction": ["attack", "run", "--data", "text.txt", "--eps", "8/"],
    "bad_attack_norm": ["attack", "run", "--data", "text.txt", "--norm", "l1"],
    "bad_attack_fgsm": ["attack", "run", "--data", "text.txt", "--method", "fgsm", "--steps", "7"],
    "bad_attack_examples": ["attack", "run", "other", "--data", "text.txt", "--examples", "e.png"],
    "fail_attack_nowhere": ["attack", "nowhere", "--data", "text.txt"],
    "bad_adversarial_text": ["train", "--data", "text.txt", "--out", "run", "--adversarial", "0.1"],
    "bad_sample_two": ["sample", "run", "other"],
    "bad_plot_none": ["plot"],
    "bad_plot_schedule_none": ["plot", "schedule"],
    "bad_plot_updates_of_run": ["plot", "folder", "--updates", "10"],
    "bad_plot_suffix": ["plot", "surface", "beale", "--out", "picture.jpg"],
    "bad_plot_surface_option": ["plot", "surface", "beale", "--bins", "3"],
    "bad_plot_surface_variables": ["plot", "surface", "x*y*z"],
    "bad_plot_surface_range": ["plot", "surface", "beale", "--x-range", "3,1"],
    "bad_plot_minimize_none": ["plot", "minimize"],
    "bad_plot_histogram_two": ["plot", "histogram", "a", "b"],
    "bad_minimize_none": ["minimize"],
    "bad_minimize_problem": ["minimize", "rosenbruck"],
    "bad_minimize_both": ["minimize", "beale", "--f", "x^2"],
    "bad_minimize_f": ["minimize", "--f", "100*(y-x^2)^2 + (1-x)^"],
    "bad_minimize_f_name": ["minimize", "--f", "x^2 + sine(y)"],
    "bad_minimize_f_long": ["minimize", "--f", "+".join(["x^2"] * 30) + " x"],
    "bad_minimize_optimizer": ["minimize", "beale", "--optimizer", "sgd,addam"],
    "bad_minimize_twice": ["minimize", "beale", "--optimizer", "sgd,sgd"],
    "bad_minimize_option": ["minimize", "beale", "--n", "3"],
    "bad_minimize_prefix": ["minimize", "beale", "--optimizer", "sgd,adamw", "--lion-lr", "3"],
    "bad_minimize_start_count": ["minimize", "beale", "--start", "3"],
    "bad_minimize_start_word": ["minimize", "beale", "--start", "3,here"],
    "bad_minimize_start_name": ["minimize", "beale", "--start", "z=3"],
    "bad_minimize_starts": ["minimize", "beale", "--start", "3,3", "--random-starts", "5"],
    "bad_lr_range_no_data": ["lr-range"],
    "bad_lr_range_lr": ["lr-range", "--data", "text.txt", "--lr", "1"],
    "bad_lr_range_order": ["lr-range", "--data", "text.txt", "--from", "0.5", "--to", "0.25"],
    "bad_lr_range_schedule": ["lr-range", "--data", "text.txt", "--schedule", "cosine"],
    "bad_list_none": ["list"],
    "bad_inspect_none": ["inspect"],
    "bad_inspect_option": ["inspect", "values.gguf", "--statistic"],
    "bad_convert_one": ["convert", "values.gguf"],
    "bad_convert_format": ["convert", "values.gguf", "out", "--format", "fp8"],
    "bad_list_family": ["list", "optimisers"],
    "bad_list_member": ["list", "optimizers", "adamm"],
    # failures
    "fail_no_data_file": ["train", "--data", "nowhere.txt", "--out", "run"],
    "fail_empty_data_file": ["train", "--data", "empty.txt", "--out", "run"],
    "fail_short_data_file": ["train", "--data", "short.txt", "--out", "run"],
    "fail_not_utf8": ["train", "--data", "latin1.txt", "--tokenizer", "char", "--out", "run"],
    "fail_data_is_directory": ["train", "--data", "folder", "--out", "run"],
    "fail_schedule": ["train", "--data", "text.txt", "--out", "run", "--schedule", "warmup:10 > cosinus"],
    "fail_schedule_course": ["train", "--data", "text.txt", "--out", "run", "--schedule", "cosine; gama=constant:0.5"],
    "fail_schedule_twice": ["plan", "--schedule", "cosine; lr=constant"],
    "fail_schedule_too_far": ["plan", "--schedule", "cosine; gamma=constant:1.5"],
    "fail_schedule_plateau": ["train", "--data", "text.txt", "--out", "run", "--schedule", "plateau", "--eval-every", "0"],
    "fail_plot_minimize": ["plot", "minimize", "bad.jsonl"],
    "fail_plot_surface_flat": ["plot", "surface", "0*x*y"],
    "fail_plot_histogram": ["plot", "histogram", "empty_folder"],
    "fail_plot_histogram_pattern": ["plot", "histogram", "values.gguf"],
    "fail_minimize_schedule": ["minimize", "beale", "--schedule", "cosinus"],
    "fail_minimize_value": ["minimize", "beale", "--optimizer", "signsgd,sgd", "--sgd-momentum", "1.5"],
    "fail_minimize_double": ["minimize", "beale", "--optimizer", "lbfgs", "--weights", "bf16"],
    "fail_minimize_out": ["minimize", "beale", "--updates", "3", "--out", "nowhere/paths.jsonl"],
    "fail_minimize_diverged": ["minimize", "sphere", "--optimizer", "sgd", "--lr", "2.385"],
    "minimize_sgd": ["minimize", "ravine", "--optimizer", "sgd", "--lr", "0.5", "--updates", "40", "--every", "8"],
    "minimize_two": ["minimize", "--f", "(x-3)^2 + 10*(y+1)^2", "--optimizer", "sgd,signsgd", "--lr", "0.05",
                     "--signsgd-lr", "0.03125", "--start", "y=2", "--updates", "100"],
    "fail_plot_schedule": ["plot", "schedule", "cosine", "warmup"],
    "fail_plot_no_run": ["plot", "folder"],
    "fail_plot_no_directory": ["plot", "schedule", "cosine", "--out", "nowhere/picture.png"],
    "bad_lr_range_updates": ["lr-range", "--data", "text.txt", "--updates", "9"],
    "fail_lr_range_out": ["lr-range", "--data", "text.txt", "--out", "nowhere/deeper"],
    "fail_tokenizer": ["train", "--data", "text.txt", "--out", "run", "--tokenizer", "word"],
    "fail_tokenizer_file": ["train", "--data", "text.txt", "--out", "run", "--tokenizer", "text.txt"],
    "fail_tokenizer_nowhere": ["train", "--data", "text.txt", "--out", "run", "--tokenizer", "no/where"],
    "fail_jsonl_line": ["train", "--data", "bad.jsonl", "--format", "jsonl", "--out", "run"],
    "fail_lines_not_utf8": ["train", "--data", "latin1.txt", "--format", "lines", "--out", "run"],
    "fail_heads": ["plan", "--width", "100", "--heads", "7"],
    "fail_resume_nothing": ["train", "--out", "empty_folder", "--resume"],
    "fail_init_nowhere": ["train", "--data", "text.txt", "--out", "run", "--init", "nowhere"],
    "fail_eval_nowhere": ["eval", "nowhere", "--data", "text.txt"],
    "fail_eval_no_model": ["eval", "empty_folder", "--data", "text.txt"],
    "fail_sample_nowhere": ["sample", "nowhere"],
    "inspect_values": ["inspect", "values.gguf"],
    "inspect_blocks": ["inspect", "blocks.gguf"],
    "inspect_statistics": ["inspect", "rank4.gguf", "--statistics"],
    "fail_inspect_nowhere": ["inspect", "nowhere"],
    "fail_inspect_no_model": ["inspect", "empty_folder"],
    "fail_inspect_text": ["inspect", "text.txt"],
    "fail_inspect_overlap": ["inspect", "overlap.gguf"],
    "fail_inspect_hole": ["inspect", "hole.gguf"],
    "fail_inspect_short": ["inspect", "short.gguf"],
    "fail_inspect_statistics": ["inspect", "blocks.gguf", "--statistics"],
    "fail_convert_no_architecture": ["convert", "blocks.gguf", "out"],
    "fail_convert_keys": ["convert", "version2.gguf", "out"],
    "fail_convert_exists": ["convert", "values.gguf", "folder"],
    "fail_convert_no_model": ["convert", "empty_folder", "out"],
}


def make_files(folder):
    (folder / "text.txt").write_text("It was the best of lines, it was the worst of lines.\n" * 200)
    (folder / "empty.txt").write_text("")
    (folder / "short.txt").write_text("short")
    (folder / "latin1.txt").write_bytes(b"caf\xe9 noir, caf\xe9 cr\xe8me\n" * 200)
    (folder / "bad.jsonl").write_text('{"text": "a line"}\n\n{"prompt": "a question"}\n')
    (folder / "folder").mkdir()
    (folder / "empty_folder").mkdir()
    for seed in SEEDS.iterdir():
        (folder / f"{seed.name}.gguf").write_bytes(seed.read_bytes())


def run(tiger, arguments, folder):
    environment = {**os.environ, "LC_ALL": "C", "COLUMNS": "100"}
    done = subprocess.run([tiger, *arguments], cwd=folder, env=environment, stdin=subprocess.DEVNULL,
                          capture_output=True, timeout=120)
    shown = " ".join(a if a and all(c.isalnum() or c in "-_=./:" for c in a) else repr(a) for a in arguments)
    errors = "".join(f"! {line}\n" for line in done.stderr.decode().splitlines())
    return f"$ tiger {shown}\n{done.stdout.decode()}{errors}[exit {done.returncode}]\n"


def main():
    if len(sys.argv) < 2 or sys.argv[2:] not in ([], ["--update"]):
        sys.exit(__doc__)
    tiger, update = str(Path(sys.argv[1]).resolve()), "--update" in sys.argv[2:]
    different = 0
    for name, arguments in CASES.items():
        with tempfile.TemporaryDirectory() as folder:
            make_files(Path(folder))
            got = run(tiger, arguments, folder)
        path = GOLDEN / f"{name}.txt"
        if update:
            path.write_text(got)
            continue
        wanted = path.read_text() if path.exists() else ""
        if got != wanted:
            different += 1
            sys.stdout.writelines(difflib.unified_diff(wanted.splitlines(True), got.splitlines(True),
                                                       f"golden/{path.name}", "now"))
    for path in GOLDEN.glob("*.txt"):
        if path.stem not in CASES:
            if update:
                path.unlink()
            else:
                different += 1
                print(f"{path.name} belongs to no case")
    print(f"{len(CASES)} cases, {different} different")
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
