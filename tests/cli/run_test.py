#!/usr/bin/env python3
"""The command doing its work: training, stopping, going on, sampling, evaluating.

    run_test.py TIGER [-v] [NAME...]       NAME as unittest takes it, for one test: Training.test_resume
"""
import fcntl
import gzip
import hashlib
import json
import math
import os
import pty
import random
import re
import resource
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time
import unittest
from pathlib import Path

if len(sys.argv) < 2 or not os.access(sys.argv[1], os.X_OK):
    sys.exit(f"run_test.py: name the command tiger first\n{__doc__}")
TIGER = str(Path(sys.argv.pop(1)).resolve())
ONE_HEAD = ["--layers", "2", "--width", "24", "--context", "20", "--batch", "3", "--threads", "2"]
TINY = [*ONE_HEAD, "--heads", "2"]


def make_text(path, lines=600):
    chance = random.Random(2385)
    words = "the lion and tiger lay down with a lamb in green pastures beside still waters".split()
    path.write_text("".join(" ".join(chance.choices(words, k=9)) + ".\n" for _ in range(lines)))


def read_f32(path):
    """All numbers of a safetensors file whose arrays are fp32, in their order."""
    data = Path(path).read_bytes()
    numbers = data[8 + struct.unpack("<Q", data[:8])[0]:]
    return struct.unpack(f"<{len(numbers) // 4}f", numbers)


def digest(folder):
    """Of everything a run goes on from."""
    return {f.name: hashlib.sha256(f.read_bytes()).hexdigest() for f in sorted(Path(folder).glob("*.safetensors"))}


class Case(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.at = Path(self.folder.name)
        make_text(self.at / "text.txt")

    def tiger(self, *arguments, status=0, **more):
        done = subprocess.run([TIGER, *map(str, arguments)], cwd=self.at, stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, errors="replace", timeout=300, **more)
        self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        return done

    def train(self, out, *arguments, **more):
        tiny = ONE_HEAD if {"gau", "gau_encoder"} & set(arguments) else TINY
        return self.tiger("train", "--data", "text.txt", "--out", out, *tiny, *arguments, **more)

    def start(self, *arguments):
        process = subprocess.Popen([TIGER, "train", *map(str, arguments)], cwd=self.at, stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.stderr.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process

    def wait_for(self, process, pattern):
        for line in process.stdout:
            if re.search(pattern, line):
                return
        self.fail(f"no line with {pattern}: {process.stderr.read()}")

    def model_of(self, stdout):
        return self.at / re.search(r"^model: +(.*)$", stdout, re.MULTILINE).group(1)


class Training(Case):
    def test_output_and_files(self):
        done = self.train("run", "--updates", 40, "--log-every", 10, "--eval-every", 20)
        self.assertEqual(done.stderr, "")
        for wanted in (r"^memory plan$", r"^  peak +[\d.]+ MiB", r"^update 10/40 loss [\d.]+ lr ",
                       r"^update 20: validation loss", r"^validation loss [\d.]+ \(perplexity",
                       r"^peak memory [\d.]+ MiB \(planned [\d.]+ MiB"):
            self.assertRegex(done.stdout, re.compile(wanted, re.MULTILINE))
        self.assertNotIn("\r", done.stdout)
        rows = [json.loads(line) for line in (self.at / "run/metrics.jsonl").read_text().splitlines()]
        self.assertTrue(rows)
        model = self.model_of(done.stdout)
        self.assertTrue((model / "model.safetensors").exists())
        json.loads((model / "config.json").read_text())

    def test_loss_falls_with_every_model_and_precision(self):
        for model in ("gpt2", "llama", "bert", "gau"):
            for precision in ("fp32", "mixed", "bf16", "fp16"):
                with self.subTest(model=model, precision=precision):
                    out = self.train(f"{model}-{precision}", "--model", model, "--precision", precision, "--updates",
                                     150, "--lr", "1e-2", "--schedule", "warmup:10 > cosine:min=0.1").stdout
                    loss = float(re.search(r"^validation loss ([\d.]+)", out, re.MULTILINE).group(1))
                    self.assertLess(loss, 3.2)  # a uniform guess is ln 256 = 5.5

    def test_same_flags_same_bits(self):
        one = self.train("one", "--updates", 12, "--dropout", "0.1", "--precision", "bf16").stdout
        two = self.train("two", "--updates", 12, "--dropout", "0.1", "--precision", "bf16").stdout
        self.assertEqual(digest(self.model_of(one)), digest(self.model_of(two)))
        other = self.train("other", "--updates", 12, "--dropout", "0.1", "--precision", "bf16", "--seed", 2).stdout
        self.assertNotEqual(digest(self.model_of(one)), digest(self.model_of(other)))

    def live_line(self, columns):
        parent, child = pty.openpty()
        fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack("4H", 24, columns, 0, 0))
        process = subprocess.Popen([TIGER, "train", "--data", "text.txt", "--out", "run", *TINY, "--updates", "60"],
                                   cwd=self.at, stdin=subprocess.DEVNULL, stdout=child, stderr=child)
        os.close(child)
        seen = b""
        try:
            while chunk := os.read(parent, 65536):
                seen += chunk
        except OSError:  # how a terminal's end shows
            pass
        os.close(parent)
        self.assertEqual(process.wait(), 0, seen)
        return seen

    def test_live_line(self):
        for columns, share in ((80, rb""), (130, rb"MFU \d+ % ")):
            seen = self.live_line(columns)
            self.assertRegex(seen, rb"\r\x1b\[Kupdate \d+/60 \[=*>? *\] loss ")
            self.assertRegex(seen, rb"update 60/60 \[=+\] loss [^\r\n]* tok/s " + share + rb"[\d.]+ MiB ")
            shutil.rmtree(self.at / "run")


class Stopping(Case):
    def test_signal_saves_and_resume_gives_the_same_bits(self):
        flags = ["--updates", 300, "--save-every", 100000, "--eval-every", 100, "--dropout", "0.1",
                 "--precision", "bf16"]
        whole = digest(self.model_of(self.train("whole", *flags).stdout))
        for number in (signal.SIGINT, signal.SIGTERM):
            out = f"run{int(number)}"
            process = self.start("--data", "text.txt", "--out", out, *TINY, *flags, "--log-every", "1")
            self.wait_for(process, r"^update 20/")
            process.send_signal(number)
            rest = process.stdout.read()
            self.assertEqual(process.wait(60), 0, process.stderr.read())
            self.assertRegex(rest, rf"stopped after update \d+ of 300; go on with: tiger train --out {out} --resume\n$")
            done = self.tiger("train", "--out", out, "--resume")
            self.assertEqual(digest(self.model_of(done.stdout)), whole)

    def test_second_signal_stops_at_once(self):
        """Whichever it is, and nothing is half-written: there is the checkpoint of before, or none."""
        flags = ["--data", "text.txt", "--out", "run", *TINY, "--accumulate", "1000000"]  # an update of minutes
        process = self.start(*flags)
        self.wait_for(process, r"bytes each while training")
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        time.sleep(0.5)
        self.assertIsNone(process.poll())
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(10), -signal.SIGTERM)  # a shell shows 128 + 15
        self.assertEqual([p.name for p in (self.at / "run").iterdir()], ["metrics.jsonl"])

    def test_max_time(self):
        flags = ["--updates", 1000000, "--save-every", 0, "--eval-every", 0, "--dropout", "0.1", "--schedule", "cosine"]
        out = self.train("run", *flags, "--max-time", "0.5s").stdout
        made = int(re.search(r"^stopped after update (\d+) of 1000000", out, re.MULTILINE).group(1))
        self.assertTrue(self.model_of(out).name.endswith(f"{made:08d}"))
        out = self.tiger("train", "--out", "run", "--resume", "--max-time", "0.0001m").stdout  # one update at least
        self.assertIn(f"stopped after update {made + 1} of 1000000", out)
        left = [line.split()[-2] for line in out.splitlines() if line.endswith(" left")]
        self.assertTrue(all(x == "0:00" for x in left), out)
        model = self.model_of(out)
        self.assertNotIn("max_time", (model / "trainer.json").read_text())

    def test_plateau_goes_on_with_what_it_remembers(self):
        flags = ["--updates", 400, "--save-every", 100000, "--eval-every", 4, "--eval-batches", 2, "--lr", "1e-2",
                 "--schedule", "warmup:10 > plateau:0.5,patience=2,cooldown=3,threshold=0.02; gamma=as_lr:0.5"]
        whole = self.train("whole", *flags).stdout
        self.assertGreater(whole.count("lr goes on with"), 3)
        process = self.start("--data", "text.txt", "--out", "run", *TINY, *flags, "--log-every", "1")
        self.wait_for(process, r"lr goes on with 0.25 ")
        self.wait_for(process, r"^update \d+: validation")
        process.send_signal(signal.SIGINT)
        process.stdout.read()
        self.assertEqual(process.wait(60), 0, process.stderr.read())
        done = self.tiger("train", "--out", "run", "--resume")
        self.assertEqual(digest(self.model_of(done.stdout)), digest(self.model_of(whole)))

        trainer = self.model_of(done.stdout) / "trainer.json"
        trainer.write_text(re.sub(r'"stage": 2', '"stage": 1', trainer.read_text()))
        done = self.tiger("train", "--out", "run", "--resume", "--updates", 401, status=1)
        self.assertIn("trainer.json: the schedule of lr has no stage 1 that watches evaluations", done.stderr)


class GoingOn(Case):
    """Runs with a checkpoint in the middle, taken up again from there."""
    FLAGS = ["--data", "text.txt", "--threads", "1", "--layers", "1", "--heads", "2", "--width", "16", "--context", "8",
             "--batch", "2", "--schedule", "constant", "--updates", "6", "--save-every", "3"]

    def whole_and_resumed(self, name, *flags, resume=()):
        """The run's output, after a check that going on from its third update ends in the same bits."""
        done = self.tiger("train", "--out", name, *self.FLAGS, *flags)
        whole = digest(self.model_of(done.stdout))
        losses = [float(x) for x in re.findall(r"loss ([-\w.]+)", done.stdout)]
        self.assertTrue(losses and all(math.isfinite(x) for x in losses), done.stdout)
        shutil.rmtree(self.at / name / "checkpoint-00000006")
        again = self.tiger("train", "--out", name, "--resume", *resume)
        self.assertIn("resuming after update 3", again.stdout)
        self.assertEqual(digest(self.model_of(again.stdout)), whole)
        return done

    def test_every_optimizer(self):
        names = re.findall(r"^  (\w+) ", self.tiger("list", "optimizers").stdout, re.MULTILINE)
        minimizers = re.findall(r"^  (\w+) ", self.tiger("list", "minimizers").stdout, re.MULTILINE)
        self.assertLess(set(minimizers), set(names))
        names = [name for name in names if name not in minimizers] # of those: class WholeModel
        self.assertGreater(len(names), 20)
        for name in names:
            for precision in ("fp32", "bf16"):
                with self.subTest(optimizer=name, precision=precision):
                    self.whole_and_resumed(f"{name}-{precision}", "--optimizer", name, "--precision", precision)

    def test_sophia_with_every_estimate(self):
        for hessian, precision in (("gnb", "fp32"), ("gnb", "bf16"), ("gnb", "fp16"), ("hutchinson", "fp32"),
                                   ("hutchinson", "mixed")):
            with self.subTest(hessian=hessian, precision=precision):
                self.whole_and_resumed(f"{hessian}-{precision}", "--optimizer", "sophia", "--hessian", hessian,
                                       "--interval", 2, "--precision", precision, "--accumulate", 2)

    def test_fp16(self):
        for optimizer in ("tiger", "adamw"):
            with self.subTest(optimizer=optimizer):
                self.whole_and_resumed(optimizer, "--precision", "fp16", "--optimizer", optimizer, "--dropout", "0.1",
                                       "--accumulate", 2)

    def test_state_file(self):
        for optimizer in ("tiger", "adamw"):
            flags = ["--optimizer", optimizer]
            plain = self.tiger("train", "--out", f"{optimizer}-plain", *self.FLAGS, *flags)
            whole = digest(self.model_of(plain.stdout))
            file = ("--state-file", "states")
            done = self.whole_and_resumed(optimizer, *flags, *file, resume=file)
            self.assertFalse((self.at / "states").exists())
            self.assertEqual(digest(self.model_of(done.stdout)), whole)  # the resumed run's, by the same name

    def test_state_file_is_refused(self):
        (self.at / "taken").write_text("mine")
        for name, message in (("taken", "taken: there is a file of that name already"),
                              ("nowhere/states", "nowhere/states: No such file or directory")):
            done = self.tiger("train", "--out", "run", *self.FLAGS, "--state-file", name, status=1)
            self.assertEqual(done.stderr, f"tiger train: {message}\n")
            self.assertFalse((self.at / "run").exists())
        self.assertEqual((self.at / "taken").read_text(), "mine")

    def test_what_cannot_be_estimated_is_refused_before_anything_is_written(self):
        for flags, message in ((["--gradients", "released"], "it needs gradients=buffered"),
                               (["--hessian", "hutchinson", "--precision", "bf16"], "or hessian=gnb"),
                               (["--hessian", "hutchinson", "--precision", "fp16"], "or hessian=gnb")):
            done = self.tiger("train", "--out", "run", *self.FLAGS, "--optimizer", "sophia", *flags, status=2)
            self.assertEqual(len(done.stderr.splitlines()), 1)
            self.assertIn(message, done.stderr)
            self.assertFalse((self.at / "run").exists())


class WholeModel(GoingOn):
    """Minimizers move the weights: whole losses, several times an update."""
    FLAGS = [f for f in GoingOn.FLAGS if f not in ("--schedule", "constant")]
    test_every_optimizer = test_sophia_with_every_estimate = test_fp16 = None
    test_state_file = test_state_file_is_refused = None
    test_what_cannot_be_estimated_is_refused_before_anything_is_written = None

    def lines(self, out):
        found = [json.loads(line) for line in (self.at / out / "metrics.jsonl").read_text().splitlines()]
        return [line for line in found if "evaluations" in line]

    def test_going_on_gives_the_same_bits(self):
        for name, flags in {"gd": [], "cg": ["--accumulate", 2], "lbfgs": ["--dropout", 0.1],
                            "lbfgs-fixed": ["--closure", "fixed", "--history-size", 2],
                            "newton_cg": ["--closure", "all", "--batch", 40],
                            "natgrad": ["--samples", 9, "--dropout", 0.1, "--accumulate", 2],
                            "natgrad-all": ["--samples", 11, "--damping", 0.1, "--closure", "all", "--batch", 40],
                            "hybrid": ["--min-steps", 2, "--window", 1, "--switch-grad", 1, "--switch-change", 1],
                            "genetic": ["--popsize", 6, "--elite", 1], "anneal": ["--chains", 3, "--steps", 2]}.items():
            with self.subTest(name=name):
                self.whole_and_resumed(name, "--optimizer", name.split("-")[0], *flags)

    def test_small_ones(self):
        """Those with matrices of n x n numbers, on a model of few weights."""
        (self.at / "text.txt").write_text("abba cab bacca " * 60)
        small = ["--width", 4, "--hidden", 4, "--context", 6]
        for name, flags in {"newton": ["--updates", 4], "cmaes": ["--popsize", 5]}.items():
            with self.subTest(name=name):
                done = self.tiger("train", "--out", name, *self.FLAGS, *small, "--optimizer", name, "--closure", "fixed",
                                  *flags)
                self.assertIn("evals step", done.stdout)

    def test_lbfgs_falls_at_every_update_and_below_gd(self):
        """On fixed sequences, by equal evaluations."""
        least = {}
        for name in ("lbfgs", "gd"):
            self.train(name, "--optimizer", name, "--closure", "fixed", "--updates", 200, "--max-eval", 90, "--log-every", 1,
                       "--eval-every", 0, "--save-every", 0)
            losses = [line["loss"] for line in self.lines(name)]
            self.assertGreater(len(losses), 20)
            self.assertTrue(all(b <= a for a, b in zip(losses, losses[1:])), losses)
            self.assertLessEqual(self.lines(name)[-1]["all_evaluations"], 90)
            least[name] = losses[-1]
        self.assertLess(least["lbfgs"], 0.8 * least["gd"])

    def test_natgrad_becomes_newton(self):
        """The Fisher matrix of a logistic model is its Hessian: with enough samples the first steps are Newton's."""
        rows = [(i * 7 % 13 / 3.1 - 2, i * 5 % 11 / 2.7 - 2, "yes" if (i * 11 % 17) > 4 + i * 7 % 13 / 2 else "no")
                for i in range(120)]
        (self.at / "t.csv").write_text("a,b,c\n" + "".join(f"{a},{b},{c}\n" for a, b, c in rows))
        weights = {}
        for name, flags in {"newton": [], "natgrad": ["--samples", 2000, "--damping", 1e-4], "gd": []}.items():
            done = self.tiger("train", "--model", "logistic", "--data", "t.csv", "--target", "c", "--batch", 96, "--closure",
                              "all", "--updates", 1, "--eval-every", 0, "--log-every", 1, "--optimizer", name, "--out", name,
                              *flags)
            w = read_f32(self.model_of(done.stdout) / "model.safetensors")  # two rows, then two biases
            weights[name] = w[2] - w[0], w[3] - w[1], w[5] - w[4]  # all that the probabilities depend on
        away = lambda name: math.dist(weights[name], weights["newton"]) / math.hypot(*weights["newton"])
        self.assertLess(away("natgrad"), 0.15)
        self.assertGreater(away("gd"), 0.3)

    def test_all_of_the_text_however_it_is_cut(self):
        """The loss is that of the text: batches of 7 and of 50 make the same steps, up to rounding."""
        losses = []
        for batch in (7, 50):
            self.train(f"all-{batch}", "--optimizer", "lbfgs", "--closure", "all", "--updates", 3, "--log-every", 1,
                       "--batch", batch, "--eval-every", 0)
            losses.append([line["loss"] for line in self.lines(f"all-{batch}")])
        for a, b in zip(*losses):
            self.assertAlmostEqual(a, b, delta=2e-4)  # sums of fp32 in another order
        self.assertLess(losses[0][2], losses[0][0])

    def test_an_end_is_told_and_final(self):
        done = self.train("end", "--optimizer", "gd", "--closure", "fixed", "--minimizer-target", 2.9, "--updates", 300)
        reached = int(re.search(r"ended after update (\d+): converged: the value has reached the target", done.stdout)[1])
        self.assertTrue((self.at / "end" / f"checkpoint-{reached:08}").is_dir())
        again = self.tiger("train", "--out", "end", "--resume")
        self.assertIn(f"ended after update {reached}: converged", again.stdout)

    def test_what_does_not_go_with_them_is_refused_before_anything_is_written(self):
        for words, complaint in {"lbfgs --precision bf16": "take precision fp32", "cg --schedule cosine": "for a schedule",
                                 "gd --loss-guard 6": "loss_guard leaves", "lbfgs --state-file s": "tensor by tensor",
                                 "natgrad --damping 0": "it must be above 0", "natgrad --solver cg": "use solver=woodbury",
                                 "genetic --closure fresh": "closure fixed or all",
                                 "newton": "2000 numbers", "cmaes": "weights: 500 at most",
                                 "lion --closure all": "takes each batch once",
                                 "lbfgs --c1 0.3 --c2 0.2": "c1 must be below c2"}.items():
            with self.subTest(words=words):
                done = self.train("refused", "--optimizer", *words.split(), status=2)
                self.assertIn(complaint, done.stderr)
                self.assertFalse((self.at / "refused").exists())

    def test_damage_is_refused(self):
        self.tiger("train", "--out", "hurt", *self.FLAGS, "--optimizer", "lbfgs")
        states = self.at / "hurt" / "checkpoint-00000006" / "optimizer.safetensors"
        states.write_bytes(states.read_bytes()[:-8])
        done = self.tiger("train", "--out", "hurt", "--resume", "--updates", 9, status=1)
        self.assertIn("optimizer.safetensors", done.stderr)


class Memory(Case):
    SHAPE = ["--data", "text.txt", "--layers", "4", "--heads", "2", "--width", "96", "--context", "64", "--batch", "24",
             "--threads", "2"]
    RUN = SHAPE + ["--updates", "3", "--eval-batches", "1"]
    UNITS = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}

    def planned(self, *flags, **more):
        """The plan's peak in bytes, and the line that tells what was chosen ("" without one)."""
        text = self.tiger("plan", *self.SHAPE, *flags, **more).stdout
        number, unit = re.search(r"^  peak +([\d.]+) (\w+)", text, re.MULTILINE).groups()
        chosen = re.search(r"^(chosen to stay|stays) within .*$", text, re.MULTILINE)
        return float(number) * self.UNITS[unit], chosen.group(0) if chosen else ""

    def chosen(self, limit, *flags):
        found = re.search(r"batch (\d+) x accumulate (\d+), recompute (\w+)",
                          self.planned("--memory", str(int(limit)), *flags)[1])
        return int(found[1]), int(found[2]), found[3]

    def test_fits_in_what_it_is_given(self):
        whole, nothing = self.planned()
        self.assertEqual(nothing, "")
        least = min(self.planned("--batch", 1, "--recompute", way)[0] for way in ("none", "block", "sqrt"))
        self.assertLess(least, 0.6 * whole)
        self.assertEqual(self.chosen(1.01 * whole), (24, 1, "none"))
        self.assertRegex(self.planned("--memory", str(int(1.01 * whole)))[1], "^stays within .*, as asked$")
        seen = set()
        for share in (0.95, 0.8, 0.6, 0.4, 0.2, 0.1):
            limit = least + share * (whole - least)
            peak, line = self.planned("--memory", str(int(limit)))
            batch, accumulate, recompute = self.chosen(limit)
            self.assertEqual(batch * accumulate, 24)
            self.assertLess(peak, 1.005 * limit)  # printed with three digits
            self.assertRegex(line, r"^chosen to stay within .*\(as asked it would take [\d.]+ MiB\)$")
            seen.add((batch, recompute))
        self.assertGreater(len(seen), 2)
        self.assertEqual(self.chosen(0.8 * whole, "--batch", 12, "--accumulate", 1, "--recompute", "block"), (12, 1, "block"))
        self.assertEqual(self.chosen(0.8 * whole, "--recompute", "sqrt")[2], "sqrt")
        self.assertEqual(self.chosen(0.8 * whole, "--accumulate", 1)[:2], (24, 1))

    def test_what_is_chosen_trains_and_goes_on(self):
        limit = 0.75 * self.planned()[0]
        memory = ["--memory", int(limit)]
        whole = self.tiger("train", "--out", "whole", *self.RUN).stdout
        split = self.tiger("train", "--out", "split", *self.RUN, *memory).stdout
        peak = float(re.search(r"^peak memory .*\(planned ([\d.]+) MiB", split, re.MULTILINE).group(1)) * 2**20
        self.assertLess(peak, 1.005 * limit)  # printed with three digits; memory_test.py holds plans to what is measured
        losses = [[float(x) for x in re.findall(r"training loss ([\d.]+)", out)] for out in (whole, split)]
        self.assertEqual(len(losses[0]), 1)
        self.assertAlmostEqual(losses[0][0], losses[1][0], delta=2e-3)  # the same rows, summed in another order
        saved = json.loads((self.model_of(split) / "trainer.json").read_text())["options"]
        self.assertEqual(int(saved["batch"]) * int(saved["accumulate"]), 24)
        self.assertNotIn("memory", saved)
        # Room to spare: what a process has in memory before it trains differs a little from one to the next.
        again = self.tiger("train", "--out", "split", *self.RUN[:-4], "--memory", int(1.05 * limit), "--updates", 4,
                           "--resume").stdout
        self.assertIn("resuming after update 3", again)
        later = json.loads((self.model_of(again) / "trainer.json").read_text())["options"]
        self.assertEqual((later["batch"], later["accumulate"]), (saved["batch"], saved["accumulate"]))
        done = self.tiger("train", "--out", "split", "--resume", "--updates", 5, "--batch", 24, status=2)
        self.assertIn(f"the run to resume has batch {saved['batch']}, not 24", done.stderr)
        self.tiger("train", "--out", "split", "--resume", "--updates", 5)

    def test_nothing_fits(self):
        done = self.tiger("train", "--out", "run", *self.RUN, "--memory", "9M", status=1)
        self.assertEqual(len(done.stderr.splitlines()), 1)
        self.assertRegex(done.stderr, r"^tiger train: nothing stays within 9.0 MiB: the least is [\d.]+ MiB \(.*\) with batch 1, "
                                      r"accumulate 24, recompute \w+; what helps: --precision bf16 .*--state-file FILE")
        self.assertFalse((self.at / "run").exists())
        done = self.tiger("plan", *self.SHAPE, "--memory", "9M", "--gradients", "released", "--recompute", "none", status=1)
        self.assertIn("with batch 24, accumulate 1, recompute none; what helps: a smaller --batch, --recompute block", done.stderr)
        done = self.tiger("plan", *self.SHAPE, "--memory", "9X", status=2)
        self.assertIn("memory must be a number of bytes, as 800M or 1.5G, not '9X'", done.stderr)

    def test_more_than_the_machine_has(self):
        done = self.tiger("plan", "--model", "llama", "--layers", 400, "--width", 16384, "--heads", 128, "--context", 256,
                          "--batch", 1)
        self.assertRegex(done.stdout, r"(?m)^warning: the plan takes [\d.]+ TiB and this machine has [\d.]+ [GM]iB available")
        self.assertNotIn("warning", self.tiger("plan", *self.SHAPE).stdout)

    def test_beside_the_usual(self):
        out = self.tiger("plan", *self.SHAPE, "--precision", "bf16").stdout
        each = re.search(r"^  a parameter +([\d.]+) +([\d.]+) +([\d.]+) +([\d.]+)  bytes", out, re.MULTILINE)
        self.assertAlmostEqual(float(each[1]), 4.1, delta=0.15)
        self.assertEqual(float(each[2]), 16)
        self.assertAlmostEqual(float(each[3]), 16.1, delta=0.15)  # 4 + 8 + 4, and a little bookkeeping
        self.assertAlmostEqual(float(each[4]), 14.1, delta=2.2)
        self.assertRegex(out, r"(?m)^  master copy +0 B +0\.0 % +[1-9][\d.]+ [KM]iB")

    def test_weight_file(self):
        for optimizer, flags in (("tiger", ["--precision", "bf16"]), ("adamw", ["--gradients", "released"]), ("lamb", [])):
            with self.subTest(optimizer=optimizer):
                words = ["--optimizer", optimizer, *flags, "--recompute", "block", "--save-every", 2]
                plain = self.tiger("train", "--out", f"{optimizer}-plain", *self.RUN, *words)
                files = ["--weight-file", "weights", "--state-file", "states"]
                done = self.tiger("train", "--out", f"{optimizer}-mapped", *self.RUN, *words, *files)
                self.assertEqual(digest(self.model_of(plain.stdout)), digest(self.model_of(done.stdout)))
                self.assertRegex(done.stdout, r"(?m)^  weights +[\d.]+ [KM]iB  on disk$")
                self.assertRegex(done.stdout, r"(?m)^  states +[\d.]+ [KM]iB  on disk$")
                self.assertEqual([name for name in ("weights", "states") if (self.at / name).exists()], [])
                shutil.rmtree(self.model_of(done.stdout))
                again = self.tiger("train", "--out", f"{optimizer}-mapped", "--resume", *files)
                self.assertIn("resuming after update 2", again.stdout)
                self.assertEqual(digest(self.model_of(plain.stdout)), digest(self.model_of(again.stdout)))

    def test_weight_file_is_refused(self):
        (self.at / "taken").write_text("mine")

        def small_disk():
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (100000, 100000))

        for name, message, more in (
                ("taken", "taken: there is a file of that name already", {}),
                ("nowhere/weights", "nowhere/weights: No such file or directory", {}),
                ("weights", r"weights: no memory for the model's weights \([\d.]+ MiB\): is the disk full\?",
                 {"preexec_fn": small_disk})):
            done = self.tiger("train", "--out", "run", *self.RUN, "--weight-file", name, status=1, **more)
            self.assertRegex(done.stderr, f"^tiger train: {message}\n$")
            self.assertFalse((self.at / "run").exists())
        self.assertEqual((self.at / "taken").read_text(), "mine")
        self.tiger("plan", *self.SHAPE, "--weight-file", "nowhere/weights", "--state-file", "nowhere/states")  # makes no file

    def test_recompute_gives_the_same_bits(self):
        ways = (["--optimizer", "tiger", "--precision", "bf16"], ["--optimizer", "signum", "--gradients", "folded"],
                ["--optimizer", "adamw", "--gradients", "buffered", "--precision", "mixed"],
                ["--optimizer", "adafactor", "--gradients", "released"], ["--optimizer", "lion", "--model", "llama"])
        for i, flags in enumerate(ways):
            bits = [digest(self.model_of(self.tiger("train", "--out", f"{i}-{way}", *self.RUN, *flags, "--recompute", way).stdout))
                    for way in ("none", "block", "sqrt")]
            with self.subTest(flags=flags):
                self.assertEqual(bits[0], bits[1])
                self.assertEqual(bits[0], bits[2])

    def test_recompute_may_change_on_resume(self):
        self.tiger("train", "--out", "run", *self.RUN)
        done = self.tiger("train", "--out", "run", "--resume", "--updates", 5, "--recompute", "sqrt")
        other = self.tiger("train", "--out", "other", *self.RUN, "--updates", 3)
        other = self.tiger("train", "--out", "other", "--resume", "--updates", 5)
        self.assertEqual(digest(self.model_of(done.stdout)), digest(self.model_of(other.stdout)))

    def test_no_save(self):
        done = self.tiger("train", "--out", "run", *self.RUN, "--no-save", "--save-every", 1)
        self.assertNotIn("model: ", done.stdout)
        self.assertEqual(sorted(f.name for f in (self.at / "run").iterdir()), ["metrics.jsonl"])


class Guarding(Case):
    """Losses far above the mean are left out."""

    def setUp(self):
        super().setUp()
        chance = random.Random(3)  # rare lines of digits after hundreds of words: what is drawn of them spikes
        text = (self.at / "text.txt").read_text().splitlines(True)
        for i in range(40, len(text), 60):
            text[i] = "".join(chance.choices("0123456789#", k=60)) + "\n"
        (self.at / "text.txt").write_text("".join(text))

    FLAGS = ["--lr", "1e-2", "--bias-lr", "0.5", "--schedule", "constant", "--validation", 0]

    def spikes(self, name):
        rows = [json.loads(line) for line in (self.at / name / "metrics.jsonl").read_text().splitlines()]
        return [row for row in rows if row.get("event") == "loss_spike"]

    def test_spikes_are_told_counted_and_resumed(self):
        for accumulate in (1, 3):
            flags = [*self.FLAGS, "--loss-guard", 3, "--accumulate", accumulate, "--save-every", 130]
            name = f"run{accumulate}"
            out = self.train(name, *flags, "--updates", 260).stdout
            spikes = self.spikes(name)
            self.assertGreater(len(spikes), 1)
            self.assertEqual(len(re.findall(r"^update \d+: a loss of [\d.]+, [\d.]+ standard deviations above the mean, "
                                            r"was left out$", out, re.MULTILINE)), len(spikes))
            for row in spikes:
                self.assertGreater(row["deviations"], 3)
                self.assertLessEqual(row["micro_step"], accumulate)
            model = self.model_of(out)
            guard = json.loads((model / "trainer.json").read_text())["loss_guard"]
            self.assertEqual((guard["seen"], guard["skipped"]), (260 * accumulate, len(spikes)))
            whole = digest(model), (model / "trainer.json").read_text()
            shutil.rmtree(model)
            self.tiger("train", "--out", name, "--resume")
            self.assertEqual((digest(model), (model / "trainer.json").read_text()), whole)
            self.assertEqual(self.spikes(name), spikes)

    def test_what_is_left_out_moves_nothing(self):
        """The checkpoints around an update whose only micro-batch was left out hold the same weights and momentum."""
        self.train("look", *self.FLAGS, "--loss-guard", 3, "--updates", 200)
        update = self.spikes("look")[0]["update"]
        for every, name in ((update - 1, "before"), (update, "after")):
            self.train(name, *self.FLAGS, "--loss-guard", 3, "--updates", 200, "--save-every", every, "--keep", 100)
        before = self.at / f"before/checkpoint-{update - 1:08d}/model.safetensors"
        after = self.at / f"after/checkpoint-{update:08d}/model.safetensors"
        self.assertEqual(before.read_bytes(), after.read_bytes())

    def test_off_and_without_a_spike_it_changes_nothing(self):
        plain = digest(self.model_of(self.train("plain", *self.FLAGS, "--updates", 120).stdout))
        far = digest(self.model_of(self.train("far", *self.FLAGS, "--updates", 120, "--loss-guard", 1000).stdout))
        near = digest(self.model_of(self.train("near", *self.FLAGS, "--updates", 120, "--loss-guard", "0.5").stdout))
        self.assertEqual(plain, far)
        self.assertNotEqual(plain, near)
        # It may be wanted when a run goes on, and damage is refused.
        done = self.tiger("train", "--out", "plain", "--resume", "--updates", 130, "--loss-guard", 6)
        trainer = self.model_of(done.stdout) / "trainer.json"
        whole = trainer.read_text()
        self.assertEqual(json.loads(whole)["loss_guard"]["seen"], 10)
        for key, to in (("mean", '"x"'), ("variance", "-1.0"), ("seen", "-3"), ("skipped", "11")):
            text, count = re.subn(rf'("loss_guard": \{{[^}}]*"{key}": )[^,\s]+', rf"\g<1>{to}", whole)
            self.assertEqual(count, 1)
            trainer.write_text(text)
            done = self.tiger("train", "--out", "plain", "--resume", "--updates", 140, status=1)
            self.assertIn('trainer.json: "loss_guard" is missing or not what it should be', done.stderr)

    def test_gradients_that_are_never_finite(self):
        done = self.train("run", "--optimizer", "sgd", "--lr", "1e30", "--schedule", "constant", "--updates", 60, "--save-every",
                          1, "--keep", 30, status=1)
        told = re.findall(r"^update (\d+): (\d+) gradients are not finite, the first of (\S+) \((\d+) updates in a row\): guarded$",
                          done.stdout, re.MULTILINE)
        self.assertEqual([int(row[3]) for row in told], list(range(1, 21)))  # one line an update
        self.assertGreater(int(told[0][1]), 5)
        last = int(told[-1][0])
        self.assertRegex(done.stderr, rf"^tiger train: the gradient of {told[0][2]} was not finite in 20 updates in a row \(up to "
                                      rf"update {last}\): lower lr, clip gradients \(clip_norm\), .*; a new run may begin with the "
                                      rf"model from before: --init run/checkpoint-{last - 20:08}\n$")
        self.tiger("train", "--init", f"run/checkpoint-{last - 20:08}", "--data", "text.txt", "--out", "new", "--updates", 2)
        done = self.train("few", "--optimizer", "sgd", "--lr", "1e30", "--schedule", "constant", "--updates", 60, "--save-every",
                          1, "--keep", 2, status=1)
        self.assertTrue(done.stderr.endswith("calculate in fp32\n"), done.stderr)  # it is gone


class Watching(Case):
    """Evaluation, the best model, samples, utilisation."""

    def setUp(self):
        super().setUp()
        make_text(self.at / "other.txt", 40)
        (self.at / "other.txt").write_text((self.at / "other.txt").read_text().replace("lion", "lamb lamb"))

    def losses(self, model, *flags):
        out = self.tiger("eval", model, "--data", "other.txt", *flags).stdout
        return {name: float(value) for name, value in re.findall(r"^([a-z ]+?) {2,}([\d.]+)", out, re.MULTILINE)}

    def test_eval_data_and_the_best_model(self):
        flags = ["--eval-data", "other.txt", "--eval-every", 5, "--lr", "0.3", "--schedule", "constant", "--keep", 1,
                 "--save-every", 5, "--seed", 4]
        out = self.train("run", *flags, "--updates", 30).stdout
        said = re.findall(r"^update (\d+): validation loss ([\d.]+), perplexity ([\d.]+), ([\d.]+) bits per byte(.*)$", out,
                          re.MULTILINE)
        self.assertEqual([int(s[0]) for s in said], [5, 10, 15, 20, 25, 30])
        losses = [float(s[1]) for s in said]
        for i, (_, loss, perplexity, bits, best) in enumerate(said):
            self.assertAlmostEqual(float(perplexity), math.exp(float(loss)), delta=2e-4 * math.exp(float(loss)) + 0.006)
            self.assertAlmostEqual(float(bits), float(loss) / math.log(2), delta=2e-4)
            self.assertEqual(best != "", i == 0 or losses[i] < min(losses[:i]), said)
        self.assertLess(min(losses), losses[-1])  # or the test would show nothing
        self.assertIn(f"best: {min(losses):.4f}, of update {5 * losses.index(min(losses)) + 5}\n", out)
        at_best, last = self.losses("run", "--best"), self.losses("run")
        self.assertAlmostEqual(at_best["loss"], min(losses), delta=2e-4)
        self.assertAlmostEqual(last["loss"], losses[-1], delta=2e-4)
        self.assertAlmostEqual(at_best["bits per char"], at_best["bits per byte"], delta=1e-9)
        text = self.tiger("sample", "run", "--best", "--prompt", "the", "--tokens", 9, "--precision", "fp32").stdout
        self.assertEqual(text, self.tiger("sample", "run/best", "--prompt", "the", "--tokens", 9).stdout)
        rows = [json.loads(line) for line in (self.at / "run/metrics.jsonl").read_text().splitlines()]
        self.assertEqual([round(r["validation_loss"], 4) for r in rows if "validation_loss" in r], losses)
        self.assertFalse((self.at / "run/best/optimizer.safetensors").exists())
        self.resumes_apart_from_the_best(flags)

    def resumes_apart_from_the_best(self, flags):
        """From the newest checkpoint; the best of before is remembered, and not replaced by something worse."""
        kept = (self.at / "run/best/model.safetensors").read_bytes()
        out = self.tiger("train", "--out", "run", "--resume", "--updates", 35).stdout
        self.assertIn("resuming after update 30\n", out)
        whole = self.train("whole", *flags, "--updates", 35).stdout
        self.assertEqual(digest(self.model_of(out)), digest(self.model_of(whole)))
        self.assertEqual(digest(self.at / "run/best"), digest(self.at / "whole/best"))
        if "the best so far" not in out:
            self.assertEqual((self.at / "run/best/model.safetensors").read_bytes(), kept)

    def test_eval_data_trains_on_the_whole_text(self):
        one = self.train("one", "--eval-data", "other.txt", "--updates", 9, "--eval-every", 3).stdout
        two = self.train("two", "--validation", 0, "--updates", 9).stdout
        three = self.train("three", "--updates", 9).stdout
        self.assertEqual(digest(self.model_of(one)), digest(self.model_of(two)))
        self.assertNotEqual(digest(self.model_of(one)), digest(self.model_of(three)))
        self.assertFalse((self.at / "two/best").exists())
        self.assertTrue((self.at / "three/best").exists())
        off = self.train("off", "--updates", 9, "--no-keep-best").stdout
        self.assertFalse((self.at / "off/best").exists())
        self.assertEqual(digest(self.model_of(off)), digest(self.model_of(three)))

    def test_eval_data_is_refused(self):
        done = self.train("run", "--eval-data", "other.txt", "--validation", "0.2", status=2)
        self.assertIn("either eval_data or validation", done.stderr)
        done = self.train("run", "--eval-data", "nowhere.txt", status=1)
        self.assertIn("nowhere.txt", done.stderr)
        self.assertFalse((self.at / "run").exists())
        self.train("run", "--eval-data", "other.txt", "--updates", 4)
        (self.at / "moved.txt").write_text((self.at / "other.txt").read_text())
        self.tiger("train", "--out", "run", "--resume", "--updates", 5, "--eval-data", "moved.txt")
        (self.at / "moved.txt").write_text((self.at / "other.txt").read_text() + "lion")
        done = self.tiger("train", "--out", "run", "--resume", "--updates", 6, status=2)
        self.assertIn("moved.txt is not the text that the run to resume was evaluated on", done.stderr)
        self.train("plain", "--updates", 4)
        done = self.tiger("train", "--out", "plain", "--resume", "--updates", 5, "--eval-data", "other.txt", status=2)
        self.assertIn("the run to resume has eval_data none, not other.txt", done.stderr)

    def test_samples_do_not_disturb(self):
        flags = ["--updates", 40, "--dropout", "0.1", "--precision", "bf16", "--save-every", 20, "--keep", 9]
        plain = digest(self.model_of(self.train("plain", *flags).stdout))
        more = ["--sample-every", 20, "--sample-tokens", 33, "--sample-prompt", "the \"tiger\""]
        done = self.train("run", *flags, *more, status=2)
        self.assertIn("character", done.stderr)  # the text has no quotation mark
        self.assertFalse((self.at / "run").exists())
        more[-1] = "the tiger"
        out = self.train("run", *flags, *more).stdout
        self.assertEqual(digest(self.model_of(out)), plain)
        rows = [json.loads(line) for line in (self.at / "run/metrics.jsonl").read_text().splitlines()]
        samples = {row["update"]: row["sample"] for row in rows if "sample" in row}
        self.assertEqual(list(samples), [20, 40])
        for update, text in samples.items():
            self.assertTrue(text.startswith("the tiger"))
            self.assertEqual(len(text), len("the tiger") + 33)
            self.assertIn(f"update {update}: sample\n{text}\n", out)
            again = self.tiger("sample", f"run/checkpoint-{update:08d}", "--prompt", "the tiger", "--tokens", 33, "--seed",
                               1 + update, "--precision", "bf16").stdout
            self.assertEqual(again, text + "\n")
        shutil.rmtree(self.at / "run/checkpoint-00000040")
        self.tiger("train", "--out", "run", "--resume")
        rows = [json.loads(line) for line in (self.at / "run/metrics.jsonl").read_text().splitlines()]
        self.assertEqual({row["update"]: row["sample"] for row in rows if "sample" in row}, samples)

    def test_utilisation(self):
        out = self.train("run", "--updates", 20, "--peak", "0.001").stdout  # a machine of a million operations a second
        self.assertRegex(out, r"model FLOP utilisation [\d.]+ % of 1.00 MFLOP/s, the machine's best product\n")
        rows = [json.loads(line) for line in (self.at / "run/metrics.jsonl").read_text().splitlines()]
        shares = [row["mfu"] for row in rows if "mfu" in row]
        self.assertEqual(len(shares), 2)
        flops = float(re.search(r"tokens, ([\d.]+) MFLOP", out).group(1)) * 1e6
        seconds = 10 * flops / (shares[0] * 1e6)  # ten updates
        self.assertTrue(0 < seconds < 60, (shares, seconds))
        measured = self.train("measured", "--updates", 20).stdout
        share = float(re.search(r"model FLOP utilisation ([\d.]+) % of [\d.]+ [MGT]FLOP/s", measured).group(1))
        self.assertTrue(0 <= share < 100, measured)
        self.assertRegex(measured, r"tok/s MFU \d+ % ")
        off = self.train("off", "--updates", 20, "--peak", "off").stdout
        self.assertNotIn("MFU", off)
        self.assertNotIn("utilisation", off)
        self.assertNotIn("mfu", (self.at / "off/metrics.jsonl").read_text())


class Filling(Case):
    """Disks that are full, simulated by a limit on the size of files, and directories that cannot be written."""

    def limit(self, size):
        return {"preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))}

    def test_what_cannot_be_saved_ends_the_run_and_costs_no_checkpoint(self):
        whole = digest(self.model_of(self.train("whole", "--updates", 9, "--save-every", 3).stdout))
        first = self.model_of(self.train("run", "--updates", 3, "--schedule", "warmup:100 > cosine:min=0.1").stdout)
        kept = digest(first)
        for eval_every in (0, 2):  # the best model is what fails to be written, then the checkpoint
            done = self.tiger("train", "--out", "run", "--resume", "--updates", 9, "--save-every", 3, "--eval-every",
                              eval_every, status=1, **self.limit(30000))
            self.assertRegex(done.stderr, r"^tiger train: cannot write '.*model.safetensors': File too large; the checkpoint "
                                          r"of update 3 is whole: when there is room, go on from it with --resume\n$")
            self.assertEqual(digest(first), kept)
            self.assertFalse([p for p in (self.at / "run").iterdir() if p.name.startswith(".")])
        done = self.tiger("train", "--out", "run", "--resume", "--updates", 9)
        self.assertEqual(digest(self.model_of(done.stdout)), whole)

    def test_metrics_that_cannot_be_written(self):
        self.train("run", "--updates", 3)
        for more in ((), ("--tensorboard", "--tensorboard-every", 1)):
            done = self.tiger("train", "--out", "run", "--resume", "--updates", 2000, "--log-every", 1, *more, status=1,
                              **self.limit(4000))
            self.assertRegex(done.stderr, r"^tiger train: cannot write 'run/(metrics.jsonl|events.out[^']*)': File too large")
            for line in (self.at / "run/metrics.jsonl").read_text().splitlines():
                json.loads(line)

    def test_directory_that_cannot_be_written(self):
        if os.geteuid() == 0:
            places = ["/proc/tiger"]  # root may write anywhere else
        else:
            (self.at / "closed").mkdir(mode=0o500)
            places = ["/proc/tiger", "closed/run", "closed"]
        for place in places:
            done = self.train(place, "--updates", 3, status=1)
            self.assertRegex(done.stderr, r"^tiger train: cannot [^\n]*\n$")
            self.assertNotIn("update 1", done.stdout)  # told before anything was trained


class Board(Case):
    """TensorBoard's files; tests/oracle/tensorboard_events.py opens them with the package itself."""

    def test_statistics_change_no_bit(self):
        for flags in (["--precision", "bf16", "--dropout", "0.1"], ["--optimizer", "adamw8bit", "--accumulate", 2],
                      ["--precision", "fp16", "--model", "llama", "--recompute", "block"],
                      ["--optimizer", "adafactor"], ["--gradients", "released"]):
            with self.subTest(flags=flags):
                plain = digest(self.model_of(self.train("plain", *flags, "--updates", 12).stdout))
                out = self.train("board", *flags, "--updates", 12, "--tensorboard", "--tensorboard-every", 3).stdout
                self.assertEqual(digest(self.model_of(out)), plain)
                files = list((self.at / "board").glob("events.out.tfevents.*"))
                self.assertEqual(len(files), 1)
                self.assertGreater(files[0].stat().st_size, 20000)
                self.assertFalse(list((self.at / "plain").glob("events*")))
                self.tiger("train", "--out", "board", "--resume", "--updates", 15)
                self.assertEqual(len(list((self.at / "board").glob("events.out.tfevents.*"))), 2)
                shutil.rmtree(self.at / "plain")
                shutil.rmtree(self.at / "board")


class LossScale(Case):
    def setUp(self):
        super().setUp()
        out = self.train("run", "--precision", "fp16", "--updates", 20, "--schedule", "constant").stdout
        self.trainer = self.model_of(out) / "trainer.json"

    def edit(self, pattern, to):
        text, count = re.subn(pattern, to, self.trainer.read_text())
        self.assertEqual(count, 1)
        self.trainer.write_text(text)

    def test_is_kept(self):
        self.assertEqual(json.loads(self.trainer.read_text())["loss_scale"], {"scale": 65536.0, "good": 20})
        plain = self.train("plain", "--updates", 2).stdout
        self.assertNotIn("loss_scale", json.loads((self.model_of(plain) / "trainer.json").read_text()))

    def test_overflows_halve_it_and_training_goes_on(self):
        self.edit(r'"scale": 65536.0', '"scale": 1099511627776.0')
        done = self.tiger("train", "--out", "run", "--resume", "--updates", 80)
        scales = re.findall(r"^update (\d+): gradients overflowed fp16 and were left out: the loss scale is (\S+) now$",
                            done.stdout, re.MULTILINE)
        self.assertGreater(len(scales), 5)
        for i, (update, scale) in enumerate(scales):
            self.assertEqual((int(update), float(scale)), (21 + i, float(f"{2.0 ** (39 - i):g}")))
        self.assertNotIn("nan", done.stdout)
        losses = [float(x) for x in re.findall(r"^update \d+/80 loss (\S+)", done.stdout, re.MULTILINE)]
        self.assertLess(losses[-1], losses[0])
        rows = [json.loads(line) for line in (self.at / "run/metrics.jsonl").read_text().splitlines()]
        self.assertEqual([row["loss_scale"] for row in rows if "loss_scale" in row],
                         [2.0 ** (39 - i) for i in range(len(scales))])
        self.assertFalse([row for row in rows if "event" in row])

    def test_nothing_helps_against_a_bad_model(self):
        done = self.train("bad", "--precision", "fp16", "--optimizer", "sgd", "--lr", "1e6", "--updates", 40,
                          "--schedule", "constant", status=1)
        self.assertIn("the loss scale is 1 now", done.stdout)
        self.assertEqual(done.stderr, "tiger train: gradients are not finite in fp16 even without loss scaling: lower "
                                      "the learning rate, or train with precision bf16\n")

    def test_damage_is_refused(self):
        whole = self.trainer.read_text()
        for to in ('{"scale": 3.0, "good": 4}', '{"scale": 0.5, "good": 4}', '{"scale": -65536.0, "good": 4}',
                   '{"scale": 65536.0}', '{"good": 4}', '{"scale": 65536.0, "good": -1}', '{"scale": "8", "good": 4}',
                   '{"scale": 1e300, "good": 4}', '7'):
            self.trainer.write_text(whole)
            self.edit(r'"loss_scale": \{[^}]*\}', f'"loss_scale": {to}')
            done = self.tiger("train", "--out", "run", "--resume", "--updates", 21, status=1)
            self.assertIn('trainer.json: "loss_scale" is missing or not what it should be', done.stderr, to)


class Scheduling(Case):
    def rows(self, *flags):
        self.train("run", "--updates", 24, "--log-every", 1, *flags)
        lines = (self.at / "run/metrics.jsonl").read_text().splitlines()
        return [row for row in map(json.loads, lines) if "loss" in row]

    def test_every_course_drives_its_option(self):
        rows = self.rows("--lr", "4e-3", "--weight-decay", "0.3", "--schedule",
                         "piecewise:0=0.5,10=1,20=0.25; gamma=as_lr:2; weight-decay=multistep:7,gamma=0.1")
        for u, row in enumerate(rows):
            factor = 0.5 + 0.05 * u if u < 10 else max(1 - 0.075 * (u - 10), 0.25)
            self.assertAlmostEqual(row["lr"], 4e-3 * factor, delta=1e-12)
            self.assertAlmostEqual(row["gamma"], factor**2, delta=1e-12)
            self.assertAlmostEqual(row["weight_decay"], 0.3 * (1 if u < 7 else 0.1), delta=1e-12)

    def test_a_course_changes_the_training(self):
        plain = self.rows("--schedule", "constant")
        driven = self.tiger("train", "--data", "text.txt", "--out", "driven", *TINY, "--updates", 24, "--log-every", 1,
                            "--schedule", "gamma=constant:0.5").stdout
        self.assertNotEqual(digest(self.at / "run"), digest(self.model_of(driven)))
        self.assertEqual(plain[3]["lr"], 1e-2)

    def test_what_cannot_be_driven_is_refused_before_anything_is_written(self):
        for schedule, message in (
                ("gamm=cosine", "the schedule drives gamm, which tiger does not have (did you mean gamma?)"),
                ("scale=cosine", "the schedule drives scale, which is no real number"),
                ("piecewise:0=0,1=1; gamma=piecewise:0=1,40=1,41=1.5", "the schedule goes too far at update 41: gamma"),
                ("plateau", "it needs validation > 0 or eval_data, and 0 < eval_every < updates")):
            done = self.train("run", "--updates", 50, "--schedule", schedule, status=2)
            self.assertIn(message, done.stderr)
            self.assertFalse((self.at / "run").exists())


class Using(Case):
    def setUp(self):
        super().setUp()
        out = self.train("run", "--updates", 60, "--tokenizer", "char", "--schedule", "constant", "--lr", "1e-2").stdout
        self.model = self.model_of(out)

    def test_sample(self):
        flags = ["--prompt", "the tiger", "--tokens", 40, "--temperature", "1.3"]
        one = self.tiger("sample", self.model, *flags, "--seed", 5).stdout
        self.assertTrue(one.startswith("the tiger"))
        self.assertEqual(len(one), len("the tiger") + 40 + 1)
        self.assertEqual(one, self.tiger("sample", self.model, *flags, "--seed", 5).stdout)
        self.assertNotEqual(one, self.tiger("sample", self.model, *flags, "--seed", 6).stdout)
        likeliest = self.tiger("sample", self.model, *flags, "--top-k", 1, "--seed", 7).stdout
        self.assertEqual(likeliest, self.tiger("sample", self.model, "--prompt", "the tiger", "--tokens", 40,
                                               "--temperature", 0).stdout)

    def test_sample_refuses_a_character_it_does_not_know(self):
        done = self.tiger("sample", self.model, "--prompt", "the \u2603", status=2)
        self.assertEqual(len(done.stderr.splitlines()), 1)

    def test_eval(self):
        done = self.tiger("eval", self.model, "--data", "text.txt").stdout
        number = {name: float(value) for name, value in re.findall(r"^([a-z ]+?) {2,}([\d.]+)", done, re.MULTILINE)}
        size = (self.at / "text.txt").stat().st_size
        self.assertEqual(number["tokens"], size - 1)
        self.assertLess(number["loss"], 3.2)
        self.assertAlmostEqual(number["perplexity"], math.exp(number["loss"]), delta=0.01)
        self.assertAlmostEqual(number["bits per byte"], number["loss"] / math.log(2), delta=0.001)

    def loss(self, model):
        out = self.tiger("eval", model, "--data", "text.txt").stdout
        return float(re.search(r"loss +([\d.]+)", out).group(1))

    def test_fine_tuning(self):
        out = self.tiger("train", "--data", "text.txt", "--init", self.model, "--out", "tuned", "--updates", 60,
                         "--batch", 3, "--schedule", "constant", "--lr", "5e-3").stdout
        self.assertLess(self.loss(self.model_of(out)), self.loss(self.model))

    def test_smaller_context(self):
        out = self.tiger("train", "--data", "text.txt", "--init", self.model, "--out", "short", "--updates", 40,
                         "--batch", 3, "--context", 11, "--schedule", "constant", "--lr", "5e-3").stdout
        model = self.model_of(out)
        self.assertIn('"n_positions": 11', (self.at / model / "config.json").read_text())
        self.assertLess(self.loss(model), 3.2)

    def test_converted_model(self):
        self.tiger("convert", self.model, "made/anew", "--format", "bf16")
        self.assertAlmostEqual(self.loss("made/anew"), self.loss(self.model), delta=0.02)
        self.assertIn(" BF16 ", self.tiger("inspect", "made/anew", "--statistics").stdout)
        done = self.tiger("convert", self.model, "made/anew", status=2)
        self.assertIn("exists already", done.stderr)

    def test_damaged_model(self):
        path = self.model / "model.safetensors"
        whole = path.read_bytes()
        for size in (0, 7, 100, len(whole) - 1):
            path.write_bytes(whole[:size])
            done = self.tiger("sample", self.model, status=1)
            self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
            self.assertIn("model.safetensors", done.stderr)


class Masked(Case):
    """Models that fill in masked tokens."""

    def test_from_training_to_filling(self):
        straight = self.train("straight", "--model", "bert", "--updates", 24, "--save-every", 12).stdout
        model = self.model_of(straight)
        self.assertEqual(json.loads((model / "tokenizer_config.json").read_text())["mask_token"], "[MASK]")
        self.train("run", "--model", "bert", "--updates", 12)
        resumed = self.tiger("train", "--out", "run", "--resume", "--updates", 24).stdout
        self.assertEqual(digest(model), digest(self.model_of(resumed)))
        one = self.tiger("eval", "straight", "--data", "text.txt").stdout
        self.assertEqual(one, self.tiger("eval", "straight", "--data", "text.txt", "--batch", 5).stdout)
        self.assertNotIn("bits per byte", one)
        done = self.tiger("sample", "straight", "--prompt", "a [MASK]b[MASK]", "--top-k", 3)
        self.assertEqual(len(re.findall(r'^ *[0-9.]+ %  ".+"$', done.stdout, re.MULTILINE)), 6)
        self.assertIn("[MASK]", self.tiger("sample", "straight", "--prompt", "plain", status=2).stderr)

    def test_a_family_of_both_kinds(self):
        for attention in ("squared_relu", "softmax"):
            model = self.model_of(self.train(attention, "--model", "gau_encoder", "--attention", attention, "--updates", 3).stdout)
            config = json.loads((model / "config.json").read_text())
            self.assertEqual((config["model_type"], config["attention"]), ("gau_encoder", attention))
            self.assertRegex(self.tiger("sample", attention, "--prompt", "a [MASK]").stdout, r'^ *[0-9.]+ %  ".+"\n')
        (model / "config.json").write_text(json.dumps({**config, "model_type": "gau"}))
        self.assertRegex(self.tiger("sample", model, "--prompt", "a ", "--tokens", 5, "--seed", 3).stdout, r"^a ")
        (model / "config.json").write_text(json.dumps({**config, "attention": "linear"}))
        self.assertIn('"attention" must be one of squared_relu|softmax', self.tiger("sample", model, status=1).stderr)

    def test_options_of_masking(self):
        self.train("more", "--model", "bert", "--updates", 2, "--mask-rate", "0.4", "--mask-random", "0", "--mask-keep", "0")
        error = self.tiger("train", "--data", "text.txt", "--out", "no", "--mask-rate", "0.4", status=2).stderr
        self.assertIn("mask_rate", error)
        error = self.tiger("train", "--data", "text.txt", "--out", "no", "--model", "bert", "--mask-keep", "0.6",
                           "--mask-random", "0.6", status=2).stderr
        self.assertIn("mask_random", error)


# The ten thousand test digits of MNIST; the test that wants them says so where they are missing.
MNIST = Path(os.environ.get("TIGER_MNIST", "none")) / "mnist-t10k-images-idx3-ubyte.gz"


def idx(values, *shape):
    return bytes([0, 0, 8, len(shape)]) + struct.pack(f">{len(shape)}I", *shape) + bytes(values)


class Samples(Case):
    """Models that learn from images and tables."""

    def setUp(self):
        super().setUp()
        chance = random.Random(2385)
        flowers, houses = ["length;width;kind"], ["rooms,age,price"]
        for i in range(300):
            kind = i * 3 // 300  # sorted, as such files are
            flowers.append(f"{chance.gauss(2 * kind, 0.5):.3f};{chance.gauss(3 * (kind % 2), 0.5):.3f};{'abc'[kind]}at")
            rooms, age = chance.randint(1, 9), chance.uniform(0, 100)
            houses.append(f"{rooms},{age:.2f},{1000 * rooms - 20 * age + chance.gauss(0, 100):.1f}")
        (self.at / "flowers.csv").write_text("\n".join(flowers) + "\n")
        (self.at / "houses.csv").write_text("\n".join(houses))
        labels = [chance.randrange(4) for _ in range(400)]  # a bright quarter of a 6 x 6 image
        pixels = [chance.randrange(150) + (100 if label == 2 * (r > 2) + (c > 2) else 0)
                  for label in labels for r in range(6) for c in range(6)]
        (self.at / "images").write_bytes(idx(pixels, 400, 6, 6))
        (self.at / "labels").write_bytes(gzip.compress(idx(labels, 400)))

    images = ("--data", "images", "--labels", "labels")

    def learn(self, out, *arguments, **more):
        return self.tiger("train", "--out", out, "--batch", 16, "--optimizer", "adamw", "--lr", "0.01", "--threads", 2,
                          "--schedule", "cosine:min=0.1", "--peak", "off", *arguments, **more)

    def hold_plan(self, stdout):
        """Within a tenth of what was measured, without a sanitizer."""
        measured, planned = (float(x) for x in
                             re.search(r"peak memory ([\d.]+) MiB \(planned ([\d.]+) MiB", stdout).groups())
        if "TIGER_SANITIZED" not in os.environ:
            self.assertLess(abs(planned / measured - 1), 0.1)

    def score(self, stdout, name):
        return float(re.search(rf"^{name} +(-?[\d.]+)", stdout, re.MULTILINE).group(1))

    def test_classes_of_images(self):
        out = self.learn("run", "--model", "mlp", *self.images, "--width", 24, "--updates", 120, "--eval-every", 60).stdout
        self.assertRegex(out, r"update 60: validation loss [\d.]+, accuracy [\d.]+ %")
        self.assertRegex(out, r"an update is 16 samples")
        self.assertRegex(out, r"samples/s")
        rows = [json.loads(line) for line in (self.at / "run/metrics.jsonl").read_text().splitlines()]
        last = [row for row in rows if "validation_loss" in row][-1]
        self.assertGreater(last["accuracy"], 0.9)
        self.assertNotIn("perplexity", last)
        self.assertGreater(rows[0]["samples_per_second"], 0)
        done = self.tiger("eval", "run", *self.images)
        self.assertGreater(self.score(done.stdout, "accuracy"), 90)
        self.assertEqual(self.score(done.stdout, "samples"), 400)
        self.assertIn("writes no text", self.tiger("sample", "run", status=1).stderr)

    def test_numbers_of_a_table(self):
        for model in ("linear", "mlp"):
            with self.subTest(model=model):
                table = ("--data", "houses.csv", "--target", "price")
                out = self.learn(model, "--model", model, *table, "--updates", 200).stdout
                self.assertRegex(out, r"validation loss [\d.]+ \(RMSE [\d.]+, R2 0.9\d+\)")
                whole = self.tiger("eval", model, "--data", "houses.csv").stdout
                self.assertLess(self.score(whole, "RMSE"), 400)  # of a noise of 100, and prices from -1000 to 9000
                self.assertGreater(self.score(whole, "R2"), 0.97)
                other = self.tiger("eval", model, *table, "--batch", 300).stdout
                self.assertEqual(whole, other)
        schema = json.loads((self.at / "linear/best/samples.json").read_text())
        self.assertEqual([c["name"] for c in schema["channels"]], ["rooms", "age"])

    def test_classes_of_a_table(self):
        for model in ("logistic", "mlp"):
            for optimizer in ("tiger", "sgd", "muon"):
                with self.subTest(model=model, optimizer=optimizer):
                    out = f"{model}-{optimizer}"
                    lr = {"tiger": "0.02", "sgd": "0.1", "muon": "0.02"}[optimizer]
                    self.tiger("train", "--out", out, "--model", model, "--data", "flowers.csv", "--target", "kind",
                               "--batch", 32, "--updates", 150, "--optimizer", optimizer, "--lr", lr, "--peak", "off")
                    done = self.tiger("eval", out, "--data", "flowers.csv")
                    self.assertGreater(self.score(done.stdout, "accuracy"), 90)

    def test_same_bits_after_resume_and_in_parts(self):
        flags = ("--model", "mlp", "--norm", "layer", "--dropout", "0.1", *self.images, "--updates", 40, "--save-every", 15)
        whole = self.model_of(self.learn("whole", *flags).stdout)
        self.assertNotEqual(digest(whole), {})
        self.learn("stopped", *flags, "--keep", 9)
        for update in (30, 40):  # as if it had been killed after the first checkpoint, of update 15
            shutil.rmtree(self.at / f"stopped/checkpoint-{update:08}")
        done = self.tiger("train", "--out", "stopped", "--resume", "--peak", "off")
        self.assertIn("resuming after update 15", done.stdout)
        self.assertEqual(digest(whole), digest(self.model_of(done.stdout)))
        # an update's samples do not depend on how it is cut into micro-batches
        plain = [f for f in flags if f not in ("--dropout", "0.1")]
        one = self.learn("one", *plain, "--log-every", 1)
        four = self.tiger("train", "--out", "four", "--batch", 4, "--accumulate", 4, "--optimizer", "adamw", "--lr", "0.01",
                          "--threads", 2, "--schedule", "cosine:min=0.1", "--peak", "off", *plain)
        self.assertAlmostEqual(self.final_loss(one.stdout), self.final_loss(four.stdout), delta=2e-4)

    def final_loss(self, stdout):
        return float(re.search(r"^validation loss ([\d.]+)", stdout, re.MULTILINE).group(1))

    def test_precisions(self):
        for precision in ("mixed", "bf16", "fp16"):
            with self.subTest(precision=precision):
                out = self.learn(precision, "--model", "mlp", "--precision", precision, *self.images, "--updates", 120).stdout
                self.assertGreater(float(re.search(r"\(accuracy ([\d.]+)", out).group(1)), 85)

    resnet = ("--model", "resnet", "--depth", 8, "--width", 8, "--threads", 1)

    def test_residual_networks(self):
        for norm in ("batch", "group"):
            for precision in ("fp32", "bf16"):
                with self.subTest(norm=norm, precision=precision):
                    out = f"{norm}-{precision}"
                    self.learn(out, *self.resnet, *self.images, "--norm", norm, "--precision", precision, "--updates", 60)
                    done = self.tiger("eval", out, *self.images)
                    self.assertGreater(self.score(done.stdout, "accuracy"), 90)
        self.tiger("convert", self.at / "batch-fp32/best", "converted", "--format", "bf16")
        self.assertGreater(self.score(self.tiger("eval", "converted", *self.images).stdout, "accuracy"), 90)
        tensors = self.tiger("inspect", "batch-bf16").stdout
        self.assertRegex(tensors, r"layer2\.0\.downsample\.0\.weight +BF16 +16 x 8 x 1 x 1 ")
        self.assertRegex(tensors, r"layer3\.0\.bn2\.running_var +F32 +32 ")

    def test_records_of_cifar(self):
        chance = random.Random(5)
        records = bytearray()
        for i in range(120):
            label = chance.randrange(3)  # the channel that is bright
            records += bytes([label]) + bytes(chance.randrange(120) + 100 * (c == label) for c in range(3) for _ in range(1024))
        (self.at / "batch.bin").write_bytes(records)
        self.learn("run", *self.resnet, "--data", "batch.bin", "--crop", 4, "--flip", "--norm", "layer", "--updates", 30)
        done = self.tiger("eval", "run", "--data", "batch.bin")
        self.assertGreater(self.score(done.stdout, "accuracy"), 90)
        self.assertEqual(self.score(done.stdout, "samples"), 120)
        records[3073 * 7] = 10
        (self.at / "batch.bin").write_bytes(records)
        done = self.tiger("eval", "run", "--data", "batch.bin", status=1)
        self.assertIn("'batch.bin' byte 21511: label 10, and there are 10 classes", done.stderr)

    def test_directories_of_cifar(self):
        """As unpacked: the batches are trained on and the test file is evaluated on, resumed as well, wherever it lies then."""
        def records(n):
            return b"".join(bytes([label]) + bytes(chance.randrange(120) + 100 * (c == label) for c in range(3) for _ in range(1024))
                            for label in (chance.randrange(3) for _ in range(n)))

        chance, batches = random.Random(7), self.at / "cifar-10-batches-bin"
        batches.mkdir()
        (batches / "batches.meta.txt").write_text("airplane\n")
        parts = [records(n) for n in (40, 17, 23, 31, 29)]
        for i, part in enumerate(parts):
            (batches / f"data_batch_{i + 1}.bin").write_bytes(part)
        (batches / "test_batch.bin").write_bytes(records(35))
        (self.at / "train.bin").write_bytes(b"".join(parts))
        flags = ("--model", "mlp", "--updates", 12, "--save-every", 5, "--eval-every", 4)
        held = ("--eval-data", batches / "test_batch.bin")
        whole = self.learn("one", *flags, "--data", "train.bin", *held).stdout
        losses = re.findall(r"validation loss [\d.]+, .*", whole)
        self.assertGreaterEqual(len(losses), 3)
        listed = ",".join(f"{batches.name}/data_batch_{i}.bin" for i in range(1, 6))
        for name, data in (("two", (batches.name,)), ("three", (listed, *held)), ("four", (batches.name, *held))):
            with self.subTest(name=name):
                out = self.learn(name, *flags, "--data", *data, "--keep", 9).stdout
                self.assertEqual(re.findall(r"validation loss [\d.]+, .*", out), losses)
                self.assertEqual(digest(self.model_of(out)), digest(self.model_of(whole)))
                for update in (10, 12):
                    shutil.rmtree(self.at / f"{name}/checkpoint-{update:08}")
                saved = json.loads((self.at / name / "checkpoint-00000005/trainer.json").read_text())["data"].split(",")
                self.assertTrue(all(Path(path).is_absolute() and Path(path).exists() for path in saved), saved)
                done = self.tiger("train", "--out", name, "--resume", "--peak", "off")
                self.assertEqual(digest(self.model_of(done.stdout)), digest(self.model_of(whole)))
        evaluated = [self.tiger("eval", "two", "--data", data).stdout for data in (batches.name, batches / "test_batch.bin")]
        self.assertEqual(*evaluated)
        self.assertEqual(self.score(evaluated[0], "samples"), 35)
        done = self.tiger("train", "--out", "no", *flags, "--data", batches.name, "--validation", 0.2, status=2)
        self.assertIn(f"validation: '{batches.name}' has a test file, which is held out", done.stderr)
        (batches / "data_batch_3.bin").write_bytes(parts[2][:-1])
        done = self.tiger("train", "--out", "no", *flags, "--data", batches.name, status=1)
        self.assertEqual(done.stderr, f"tiger train: '{batches.name}/data_batch_3.bin' has {3073 * 23 - 1} bytes, and CIFAR's "
                                      "files are records of 3073, or of 3074 with 100 classes: is it cut off?\n")
        (batches / "data_batch_3.bin").unlink()
        done = self.tiger("train", "--out", "two", "--resume", "--updates", 13, status=2)
        self.assertIn(f"{batches.name}' has no data_batch_3.bin", done.stderr)
        batches.rename(self.at / "moved")
        done = self.tiger("train", "--out", "two", "--resume", "--updates", 13, status=1)
        self.assertIn("if it has moved, say where with data", done.stderr)
        (self.at / "moved" / "data_batch_3.bin").write_bytes(parts[2])
        done = self.tiger("train", "--out", "two", "--resume", "--updates", 13, "--data", "moved", "--peak", "off")
        self.assertIn("resuming after update 12", done.stdout)
        (self.at / "moved" / "test_batch.bin").unlink()
        done = self.tiger("train", "--out", "two", "--resume", "--updates", 14, status=2, *("--data", "moved"))
        self.assertIn("is not the data that the run to resume was trained on", done.stderr)

    def test_statistics_resume_to_the_same_bits(self):
        for precision in ("fp32", "bf16"):
            with self.subTest(precision=precision):
                flags = (*self.resnet, *self.images, "--precision", precision, "--updates", 12, "--save-every", 5)
                whole = self.model_of(self.learn(f"whole-{precision}", *flags).stdout)
                again = self.model_of(self.learn(f"again-{precision}", *flags, "--recompute", "block").stdout)
                part = f"part-{precision}"
                self.learn(part, *flags, "--keep", 9)
                for update in (10, 12):
                    shutil.rmtree(self.at / f"{part}/checkpoint-{update:08}")
                done = self.tiger("train", "--out", part, "--resume", "--peak", "off")
                self.assertIn("resuming after update 5", done.stdout)
                self.assertEqual(digest(whole), digest(self.model_of(done.stdout)))
                self.assertEqual(digest(whole), digest(again))

    def test_threads_change_nothing(self):
        """Each convolution's dw is a sum over several parts of so large a batch, the last smaller than the others."""
        flags = (*self.resnet, "--width", 16, *self.images, "--batch", 310, "--updates", 2, "--eval-every", 0)
        for norm in ("batch", "group", "instance", "layer", "rms", "none"):
            for precision in ("fp32", "bf16") if norm == "batch" else ("fp32",):
                with self.subTest(norm=norm, precision=precision):
                    made = [digest(self.model_of(self.learn(f"{norm}-{precision}-{threads}", *flags, "--norm", norm,
                                                            "--precision", precision, "--threads", threads).stdout))
                            for threads in (1, 2, 3, 7)]
                    self.assertEqual(made[1:], made[:-1])
                    self.assertNotEqual(made[0], {})

    def test_curvature_of_convolutions(self):
        """kfac works kernels as layers of windows, and resumes to the same bits."""
        flags = (*self.resnet, *self.images, "--updates", 9, "--batch", 24, "--norm", "group", "--optimizer", "kfac",
                 "--interval", 2, "--save-every", 4)
        whole = self.model_of(self.learn("whole", *flags).stdout)
        self.assertGreater(self.score(self.tiger("eval", whole, *self.images).stdout, "accuracy"), 70)
        states = self.tiger("inspect", whole / "optimizer.safetensors").stdout
        self.assertRegex(states, r"layer3\.0\.conv1\.weight/right +F32 +144 x 144 ")
        self.learn("part", *flags, "--keep", 9)
        for update in (8, 9):
            shutil.rmtree(self.at / f"part/checkpoint-{update:08}")
        done = self.tiger("train", "--out", "part", "--resume", "--peak", "off")
        self.assertEqual(digest(whole), digest(self.model_of(done.stdout)))

    def test_augmentation_resumes_to_the_same_bits(self):
        flags = ("--model", "mlp", *self.images, "--crop", 2, "--flip", "--updates", 12, "--save-every", 5)
        whole = self.model_of(self.learn("whole", *flags).stdout)
        self.learn("part", *flags, "--keep", 9)
        for update in (10, 12):
            shutil.rmtree(self.at / f"part/checkpoint-{update:08}")
        done = self.tiger("train", "--out", "part", "--resume", "--peak", "off")
        self.assertEqual(digest(whole), digest(self.model_of(done.stdout)))
        plain = self.model_of(self.learn("plain", "--model", "mlp", *self.images, "--updates", 12).stdout)
        self.assertNotEqual(digest(whole), digest(plain))

    def test_small_batches_are_told_once(self):
        words = "batch norm estimates means and variances from 15 samples"
        for norm, batch, told in (("batch", 15, 1), ("batch", 16, 0), ("group", 15, 0)):
            with self.subTest(norm=norm, batch=batch):
                done = self.tiger("train", "--out", f"{norm}{batch}", *self.resnet, *self.images, "--norm", norm, "--batch",
                                  batch, "--updates", 3, "--peak", "off")
                self.assertEqual((done.stdout + done.stderr).count(words), told)

    def test_plan_of_convolutions(self):
        for precision in ("fp32", "bf16"):
            with self.subTest(precision=precision):
                done = self.learn(precision, *self.resnet, "--width", 40, *self.images, "--batch", 320, "--updates", 4,
                                  "--precision", precision)
                self.hold_plan(done.stdout)

    def test_other_data(self):
        (self.at / "more").write_bytes((self.at / "images").read_bytes())
        out = self.learn("run", "--model", "logistic", *self.images, "--eval-data", "more", "--eval-labels", "labels",
                         "--updates", 30).stdout
        self.assertIn("accuracy", out)
        done = self.tiger("train", "--out", "run", "--resume", "--updates", 31, "--peak", "off")
        self.assertIn("resuming after update 30", done.stdout)
        pixels = bytearray((self.at / "images").read_bytes())
        pixels[30] ^= 1
        (self.at / "images").write_bytes(pixels)
        done = self.tiger("train", "--out", "run", "--resume", "--updates", 32, status=2)
        self.assertIn("is not the data that the run to resume was trained on", done.stderr)

    def test_fine_tuning_keeps_the_schema(self):
        self.learn("one", "--model", "mlp", "--data", "houses.csv", "--target", "price", "--updates", 20)
        self.learn("two", "--init", "one", "--data", "houses.csv", "--target", "price", "--updates", 5, "--validation", "0.4")
        self.assertEqual((self.at / "one/samples.json").read_text(), (self.at / "two/samples.json").read_text())
        done = self.learn("three", "--init", "one", "--data", "flowers.csv", "--target", "kind", status=2)
        self.assertIn("'price', not 'kind'", done.stderr)

    def test_tools_know_samples(self):
        for model in ("mlp", "logistic", "linear"):
            self.assertIn("every gradient agrees", self.tiger("check", "--model", model).stdout)
        for extra in (("--task", "regression", "--norm", "layer"), ("--activation", "tanh", "--norm", "rms")):
            self.assertIn("every gradient agrees", self.tiger("check", "--model", "mlp", *extra).stdout)
        for norm in ("batch", "group"):
            self.assertIn("every gradient agrees",
                          self.tiger("check", "--model", "resnet", "--norm", norm, "--width", 8, "--probes", 2).stdout)
        self.assertIn("every gradient agrees",
                      self.tiger("check", "--model", "resnet", "--shortcut", "zeros", "--width", 8, "--probes", 2).stdout)
        self.assertIn("270k parameters", self.tiger("plan", "--model", "resnet", "--channels", 3, "--rows", 32, "--cols", 32,
                                                    "--outputs", 10, "--norm", "group", "--shortcut", "zeros").stdout)  # 0.27M in the paper
        self.assertIn("272k parameters", self.tiger("plan", "--model", "resnet", "--channels", 3, "--rows", 32, "--cols", 32,
                                                    "--outputs", 10, "--norm", "group").stdout)
        self.assertIn("204k parameters",
                      self.tiger("plan", "--model", "mlp", "--features", 784, "--outputs", 10).stdout)
        self.assertIn("samples", self.tiger("plan", "--model", "linear", "--data", "houses.csv", "--target", "price").stdout)
        done = self.tiger("lr-range", "--model", "logistic", *self.images, "--optimizer", "adamw", "--updates", 40, "--out", "r")
        self.assertIn("suggest", done.stdout)

    def test_races(self):
        for name, score, flags in (("accuracy", "accuracy", ("--model", "logistic", *self.images)),
                                   ("RMSE", "rmse", ("--model", "linear", "--data", "houses.csv", "--target", "price"))):
            with self.subTest(score=score):
                out = self.tiger("race", "adamw lr=1e-2/3e-2", "sgd lr=0.02", *flags, "--batch", 16, "--updates", 40, "--seeds", 2,
                                 "--reach", "0.5", "--out", score).stdout
                self.assertRegex(out, rf"contender +validation loss +{name} +best of its grid")
                self.assertIn("target: 0.5000", out)
                race = json.loads((self.at / score / "race.json").read_text())
                finals = [run[score][-1] for run in race["runs"] if run["name"].startswith("sgd")]
                row = next(row for row in race["rows"] if row["optimizer"] == "sgd")
                self.assertAlmostEqual(row[score]["mean"] / sum(finals) * 2, 1, places=6)

    def test_memory(self):
        done = self.learn("run", "--model", "mlp", *self.images, "--width", 2048, "--layers", 3, "--updates", 4)
        self.hold_plan(done.stdout)

    def test_losses_are_not_said_to_be_of_tokens(self):
        self.learn("run", "--model", "linear", "--data", "houses.csv", "--target", "price", "--updates", 20)
        self.tiger("plot", "run", "--out", "run.gp")
        self.assertIn('set ylabel "loss"\n', (self.at / "run.gp").read_text())
        shown = self.tiger("lr-range", "--model", "linear", "--data", "houses.csv", "--target", "price", "--updates", 30).stdout
        self.assertNotIn("nats a token", shown)

    def test_refusals(self):
        cases = [
            (("--model", "mlp", "--data", "flowers.csv"), "labels of images, or the target column"),
            (("--model", "mlp", "--data", "flowers.csv", "--target", "size"), "no column 'size'; there are: length, width, kind"),
            (("--model", "linear", "--data", "flowers.csv", "--target", "kind"), "'kind' has words"),
            (("--model", "logistic", *self.images, "--vocab", 7), "vocab is for models of language"),
            (("--model", "mlp", *self.images, "--format", "jsonl"), "format is for models of language"),
            (("--model", "mlp", *self.images, "--outputs", 7), "have 4 classes, and 7 were asked for"),
            (("--model", "mlp", *self.images, "--eval-data", "images"), "eval_labels"),
            ((*self.resnet, "--data", "flowers.csv", "--target", "kind"), "learns from images, and the data are a table"),
            (("--model", "mlp", "--data", "flowers.csv", "--target", "kind", "--flip"), "flip is for images"),
            (("--model", "mlp", *self.images, "--crop", 6), "crop: images of 6 x 6 cannot be moved by 6"),
            (("--model", "gpt2", "--data", "flowers.csv", "--crop", 2), "crop: gpt2 learns from a text"),
            ((*self.resnet, *self.images, "--rows", 7), "have 6 rows, and 7 were asked for"),
            ((*self.resnet, *self.images, "--batch", 19, "--optimizer", "lbfgs", "--closure", "all"), "whole batches of 19"),
            ((*self.resnet, *self.images, "--optimizer", "natgrad"), "with batch norm there are none"),
            (("--model", "mlp", "--data", "flowers.csv", "--target", "kind", "--adversarial", 0.1), "adversarial is for images"),
            (("--model", "gpt2", *self.images), "labels: gpt2 learns from a text"),
            (("--model", "mlp", "--data", "images", "--labels", "flowers.csv"), "flowers.csv' byte 0"),
        ]
        for arguments, words in cases:
            with self.subTest(words=words):
                done = self.tiger("train", "--out", "none", *arguments, status=1 if "byte 0" in words else 2)
                self.assertIn(words, done.stderr)
                self.assertEqual(done.stderr.count("\n"), 1)
        self.assertFalse((self.at / "none").exists())

    def table(self, stdout):
        return [[float(word) for word in line.replace("%", "").split()] for line in stdout.splitlines()
                if re.match(r" +[\d.]+ +[\d.]+ %", line)]

    def test_attacks(self):
        flags = ("--model", "mlp", *self.images, "--width", 24, "--updates", 120)
        self.learn("plain", *flags)
        self.learn("hardened", *flags, "--adversarial", 0.05)
        files = ("--json", "t.json", "--save", "s.safetensors", "--examples", "e.gp", "--plot", "p.gp")
        done = self.tiger("attack", "plain", *self.images, "--eps", "0,4/255,0.05,0.3", *files)
        rows = self.table(done.stdout)
        self.assertEqual([row[0] for row in rows], [0, 0.01569, 0.05, 0.3])
        self.assertGreater(rows[0][1], 90)
        self.assertTrue(rows[0][1] > rows[2][1] > rows[3][1] == 0, rows)
        table = json.loads((self.at / "t.json").read_text())
        self.assertEqual((table["method"], table["steps"], table["random_start"]), ("pgd", 20, True))
        for row, wanted in zip(table["models"][0]["rows"], rows):
            self.assertLess(abs(100 * row["accuracy"] - wanted[1]), 0.01)
        numbers = read_f32(self.at / "s.safetensors")
        clean, changed = numbers[:len(numbers) // 2], numbers[len(numbers) // 2:]
        self.assertEqual(len(numbers), 2 * 400 * 36)
        self.assertLess(max(abs(a - b) for a, b in zip(clean, changed)), 0.3 + 1e-5)
        self.assertIn('set label "clean', (self.at / "e.gp").read_text())
        self.assertIn("largest change of a pixel", (self.at / "p.gp").read_text())
        both = self.table(self.tiger("attack", "plain", "hardened", *self.images, "--eps", "0.05").stdout)
        self.assertEqual(both[0], rows[2])
        self.assertGreater(both[1][1], both[0][1])
        aimed = self.table(self.tiger("attack", "plain", *self.images, "--eps", "0,0.5", "--target-class", 2).stdout)
        self.assertTrue(aimed[0][3] < 20 and aimed[1][3] > 90, aimed)
        self.tiger("attack", "plain", *self.images, "--eps", "0.5", "--examples", "e.jpg", status=2)

    def test_attacks_are_refused(self):
        self.learn("flowers", "--model", "logistic", "--data", "flowers.csv", "--target", "kind", "--updates", 5)
        self.learn("seen", "--model", "logistic", *self.images, "--updates", 5)
        self.train("text", "--updates", 1)
        cases = [(("flowers", "--data", "flowers.csv"), "models that tell classes of images, not on logistic of a table"),
                 (("text", "--data", "text.txt"), "models that tell classes of images, not on gpt2 of a text"),
                 (("seen", "--data", "images"), "labels"),
                 (("seen", *self.images, "--target-class", "five"), "knows no class 'five'")]
        for arguments, words in cases:
            with self.subTest(words=words):
                done = self.tiger("attack", *arguments, status=2)
                self.assertIn(words, done.stderr)
                self.assertEqual(done.stderr.count("\n"), 1)

    def test_adversarial_training_resumes_to_the_same_bits(self):
        flags = ("--model", "mlp", *self.images, "--width", 24, "--flip", "--adversarial", 0.1, "--adversarial-steps", 2,
                 "--save-every", 4)
        self.hold_plan(self.learn("whole", *flags, "--updates", 10).stdout)
        self.learn("parts", *flags, "--updates", 10, "--accumulate", 2, "--batch", 8)
        self.learn("again", *flags, "--updates", 4, "--schedule", "constant")
        self.learn("once", *flags, "--updates", 10, "--schedule", "constant")
        self.tiger("train", "--out", "again", "--resume", "--updates", 10, "--peak", "off")
        last = f"checkpoint-{10:08}"
        self.assertEqual(digest(self.at / "once" / last), digest(self.at / "again" / last))
        rows = [[json.loads(line) for line in (self.at / name / "metrics.jsonl").read_text().splitlines()]
                for name in ("whole", "parts")] # images are attacked alike however an update is cut
        self.assertLess(abs(rows[0][0]["loss"] / rows[1][0]["loss"] - 1), 1e-3)
        self.tiger("train", "--out", "again", "--resume", "--adversarial", 0.2, "--updates", 12, status=2)

    @unittest.skipUnless(MNIST.exists(), "TIGER_MNIST names no folder with mnist-t10k-images-idx3-ubyte.gz")
    def test_digits(self):
        self.learn("run", "--model", "mlp", "--data", MNIST, "--labels", MNIST.with_name("mnist-t10k-labels-idx1-ubyte.gz"),
                   "--batch", 64, "--updates", 2000, "--lr", "1e-3")
        rows = [json.loads(line) for line in (self.at / "run/metrics.jsonl").read_text().splitlines()]
        self.assertGreater([row for row in rows if "accuracy" in row][-1]["accuracy"], 0.95)


class Tokenizers(Case):
    """Byte-level BPE, with a small vocabulary of tests/golden; documents as JSON Lines."""

    def setUp(self):
        super().setUp()
        self.vocabulary = Path(__file__).resolve().parents[1] / "golden" / "bpe_llama3.json"

    def make_jsonl(self):
        chance = random.Random(77)
        lines = []
        for _ in range(300):
            count = chance.randrange(1, 9)
            lines.append(json.dumps({"prompt": f"Say tiger {count} times:", "response": " tiger" * count}))
            lines.append(json.dumps({"text": "tiger, tiger " * count}))
        (self.at / "text.jsonl").write_text("\n".join(lines) + "\n")

    def test_train_resume_sample_eval(self):
        flags = ["--tokenizer", self.vocabulary, "--lr", "1e-2", "--bias-lr", "0.5", "--schedule", "constant"]
        whole = self.model_of(self.train("whole", *flags, "--updates", 120).stdout)
        self.model_of(self.train("part", *flags, "--updates", 50).stdout)
        model = self.model_of(self.tiger("train", "--out", "part", "--resume", "--updates", 120).stdout)
        self.assertEqual(digest(model), digest(whole))
        for folder in (model, self.at / "part"):
            self.assertEqual((folder / "tokenizer.json").read_bytes(), self.vocabulary.read_bytes())
            self.assertTrue((folder / "tokenizer_config.json").exists())
        out = self.tiger("sample", "part", "--prompt", "the tiger\u00e9", "--tokens", 30, "--temperature", "1.5").stdout
        self.assertTrue(out.startswith("the tiger\u00e9"))
        result = self.tiger("eval", "part", "--data", "text.txt").stdout
        number = {name: float(value) for name, value in re.findall(r"^([a-z ]+?) {2,}([\d.]+)", result, re.MULTILINE)}
        loss, bits, tokens = number["loss"], number["bits per byte"], number["tokens"]
        size = (self.at / "text.txt").stat().st_size
        self.assertLess(tokens, size / 1.5)
        self.assertLess(loss, 4.5)  # a uniform guess is ln 643 = 6.5
        self.assertAlmostEqual(bits, loss / math.log(2) * (tokens + 1) / size, delta=2e-4)

    def test_init_keeps_the_tokenizer_and_its_configuration(self):
        first = self.model_of(self.train("first", "--tokenizer", self.vocabulary, "--updates", 5).stdout)
        config = b'{"eos_token": "<|end|>", "model_max_length": 1000000000000000019884624838656}'
        (first / "tokenizer_config.json").write_bytes(config)
        tuned = self.model_of(self.tiger("train", "--init", first, "--data", "text.txt", "--out", "tuned", "--updates", 3,
                                         "--batch", 2).stdout)
        self.assertEqual((tuned / "tokenizer.json").read_bytes(), self.vocabulary.read_bytes())
        self.assertEqual((tuned / "tokenizer_config.json").read_bytes(), config)

    def test_jsonl(self):
        self.make_jsonl()
        for tokenizer in ("byte", "char", self.vocabulary):
            with self.subTest(tokenizer=tokenizer):
                out = f"run-{Path(str(tokenizer)).stem}"
                flags = ["--data", "text.jsonl", "--format", "jsonl", "--tokenizer", tokenizer, *TINY]
                self.tiger("train", "--out", out, *flags, "--updates", 30)
                model = self.model_of(self.tiger("train", "--out", out, "--resume", "--updates", 60).stdout)
                whole = self.model_of(self.tiger("train", "--out", out + "-whole", *flags, "--updates", 60).stdout)
                self.assertEqual(digest(model), digest(whole))
                done = self.tiger("eval", out, "--data", "text.jsonl", "--format", "jsonl")
                self.assertRegex(done.stdout, r"bits per byte  [\d.]+\n")
        rows = [json.loads(line) for line in (self.at / "text.jsonl").read_text().splitlines()]
        counted = sum(len(row.get("text", row.get("response")).encode()) + 1 for row in rows)
        tokens = int(self.tiger("eval", "run-byte", "--data", "text.jsonl", "--format", "jsonl").stdout.split()[-1])
        self.assertEqual(tokens, counted)  # the first token of all is a prompt's

    def test_resume_refuses_another_format(self):
        self.make_jsonl()
        self.tiger("train", "--data", "text.jsonl", "--format", "jsonl", "--out", "run", *TINY, "--updates", 3)
        done = self.tiger("train", "--out", "run", "--resume", "--format", "lines", status=2)
        self.assertIn("the run to resume has format jsonl, not lines", done.stderr)

    def test_resume_of_nothing_is_a_fresh_start(self):
        run = [*TINY, "--data", "text.txt", "--updates", 5, "--log-every", 1]
        plain = self.tiger("train", *run, "--out", "plain")
        begun = self.tiger("train", *run, "--out", "begun", "--resume")
        self.assertIn("starting from the beginning", begun.stdout)
        rates = [[json.loads(line).get("lr") for line in (self.at / out / "metrics.jsonl").read_text().splitlines()]
                 for out in ("plain", "begun")]
        self.assertEqual(*rates)
        self.assertEqual(digest(self.model_of(plain.stdout)), digest(self.model_of(begun.stdout)))

    def test_resume_refuses_another_model(self):
        run = ["--data", "text.txt", "--out", "run"]
        self.tiger("train", *run, *TINY, "--updates", 3)
        for flag, value, has in (("--width", 32, None), ("--context", 24, None), ("--hidden", 40, None),
                                 ("--model", "llama", "gpt2"), ("--tokenizer", "byte", "char"), ("--vocab", 999, None)):
            before = sorted(p.name for p in (self.at / "run").iterdir())
            done = self.tiger("train", *run, "--resume", "--updates", 4, flag, value, status=2)
            self.assertRegex(done.stderr, f"the run to resume has {flag[2:]} {has or '[0-9]+'}[^,]*, not {value}:")
            self.assertEqual(before, sorted(p.name for p in (self.at / "run").iterdir()))
        self.tiger("train", *run, *TINY, "--hidden", 0, "--model", "gpt2", "--tokenizer", "char", "--updates", 4, "--resume")

    def test_resume_refuses_another_beginning(self):
        for out, tokenizer in (("chars", "char"), ("bytes", "byte")):
            self.train(out, "--tokenizer", tokenizer, "--updates", 2)
        self.tiger("train", "--data", "text.txt", "--out", "run", "--init", "chars", "--tokenizer", "chars", "--updates", 2)
        resume = ["train", "--out", "run", "--resume", "--updates"]
        shutil.copytree(self.at / "chars", self.at / "moved")
        self.tiger(*resume, 3, "--init", "./chars", "--tokenizer", "moved/tokenizer.json")  # the same tokens
        for flag, value, has in (("--init", "bytes", "/.*/chars"), ("--tokenizer", "bytes", r"char of \d+ tokens")):
            done = self.tiger(*resume, 4, flag, value, status=2)
            self.assertRegex(done.stderr, f"^tiger train: the run to resume has {flag[2:]} {has}, not {value}:")
        done = self.tiger("train", "--out", "chars", "--resume", "--updates", 4, "--init", "bytes", status=2)
        self.assertIn("has init none, not bytes", done.stderr)

    def test_init_refuses_another_size(self):
        self.train("first", "--updates", 2)
        for flag, value, has, status in (("--layers", 3, 2, 1), ("--width", 32, 24, 2), ("--context", 40, 20, 1), ("--heads", 3, 2, 2)):
            done = self.tiger("train", "--init", "first", "--data", "text.txt", "--out", "run", flag, value, status=status)
            self.assertIn(f"the model in first has {flag[2:]} {has}, not {value}: leave it out", done.stderr)
            self.assertFalse((self.at / "run").exists())

    def test_data_that_moved(self):
        shutil.copy(self.at / "text.txt", self.at / "other.txt")
        self.tiger("train", "--data", "text.txt", "--eval-data", "other.txt", "--out", "run", *TINY, "--updates", 2)
        for name, flag in (("text.txt", "data"), ("other.txt", "eval_data")):
            (self.at / name).rename(self.at / f"moved_{name}")
            done = self.tiger("train", "--out", "run", "--resume", "--updates", 3, status=1)
            self.assertRegex(done.stderr, f"{name}': No such file or directory; if it has moved, say where with {flag}\n$")
            (self.at / f"moved_{name}").rename(self.at / name)

    def test_nothing_left_to_do_is_said(self):
        self.train("run", "--updates", 2)
        done = self.tiger("train", "--out", "run", "--resume")
        self.assertIn("all 2 updates had been made before: with more --updates the run goes on", done.stdout)

    def test_flags_beside_resume_are_those_of_the_run(self):
        self.train("run", "--model", "llama", "--kv-heads", 1, "--optimizer", "adamw", "--beta1", "0.8", "--updates", 2)
        self.tiger("train", "--out", "run", "--resume", "--updates", 3, "--kv-heads", 1, "--beta1", "0.8")
        done = self.tiger("train", "--out", "run", "--resume", "--updates", 4, "--beta1", "0.9", status=2)
        self.assertIn("has beta1 0.8, not 0.9", done.stderr)
        self.assertIn("Optimizer adamw:", self.tiger("train", "--out", "run", "--resume", "--help").stdout)
        plans = [self.tiger("plan", *flags).stdout for flags in
                 (("--out", "run", "--resume"), ("--model", "llama", "--kv-heads", 1, "--optimizer", "adamw", *TINY, "--data", "text.txt"))]
        self.assertEqual(*(re.search("^  weights .*?iB", plan, re.MULTILINE)[0] for plan in plans))
        self.assertEqual(*(re.search("^  states .*?iB", plan, re.MULTILINE)[0] for plan in plans))
        done = self.tiger("train", "--out", "run", "--resume", "--updates", 4, "--kv-heads", 2, status=2)
        self.assertIn("has kv_heads 1, not 2", done.stderr)

    def test_damage_names_the_way_on(self):
        self.train("run", "--updates", 6, "--save-every", 3)
        newest = self.at / "run/checkpoint-00000006"
        shutil.copytree(newest, self.at / "whole")
        for name, change in (("model.safetensors", lambda b: b[:-8]), ("optimizer.safetensors", lambda b: b[:-8]),
                             ("trainer.json", lambda b: b[:-8]), ("tokenizer.json", lambda b: b"{"),
                             ("config.json", lambda b: b"{}"), ("model.safetensors", None)):
            with self.subTest(name=name, change=change):
                path = newest / name
                whole = path.read_bytes()
                path.unlink()
                if change is not None:
                    path.write_bytes(change(whole))
                done = self.tiger("train", "--out", "run", "--resume", "--updates", 9, status=1)
                self.assertRegex(done.stderr, f"^tiger train: .*run/checkpoint-00000006.*; to go on from the checkpoint of "
                                              "update 3 instead, move run/checkpoint-00000006 away, then --resume\n$")
                path.write_bytes(whole)
        newest.rename(self.at / "gone")
        self.assertIn("resuming after update 3", self.tiger("train", "--out", "run", "--resume", "--updates", 6).stdout)
        self.assertEqual(digest(newest), digest(self.at / "whole"))


class Planning(Case):
    def test_plan(self):
        def peak(*flags):
            out = self.tiger("plan", *TINY, *flags).stdout
            number, unit = re.search(r"^  peak +([\d.]+) (\w+)", out, re.MULTILINE).groups()
            return float(number) * {"KiB": 2**-10, "MiB": 1, "GiB": 2**10}[unit]
        self.assertGreater(peak("--width", "512"), peak())
        self.assertAlmostEqual(peak("--accumulate", "32") / peak(), 1, delta=0.02)  # the process itself varies a little
        self.assertLess(peak("--width", "512", "--precision", "bf16"), peak("--width", "512"))
        self.assertGreater(peak("--width", "512", "--optimizer", "adamw"), peak("--width", "512"))
        self.assertFalse(any(p.name != "text.txt" for p in self.at.iterdir()))

    def test_check(self):
        for model in ("gpt2", "llama", "bert", "gau", "gau_encoder"):
            done = self.tiger("check", "--model", model)
            self.assertIn("every gradient agrees", done.stdout)
            self.assertGreater(done.stdout.count(" good\n"), 10)


class Pictures(Case):
    def setUp(self):
        super().setUp()
        if shutil.which("gnuplot") is None:
            self.skipTest("gnuplot is not installed")

    def is_png(self, name):
        self.assertEqual((self.at / name).read_bytes()[:8], b"\x89PNG\r\n\x1a\n")

    def test_schedules(self):
        out = self.tiger("plot", "schedule", "warmup:30 > cosine; gamma=as_lr:2", "wsd:0.2", "--updates", 300,
                         "--out", "a 'b' `touch c`.png").stdout
        self.assertEqual(out, "plot: a 'b' `touch c`.png\n")
        self.is_png("a 'b' `touch c`.png")
        self.assertEqual(sorted(p.name for p in self.at.iterdir()), ["a 'b' `touch c`.png", "text.txt"])
        shown = self.tiger("plot", "schedule", "warmup:30 > cosine; gamma=as_lr:2").stdout
        for wanted in ("factor of the base value", "update", "warmup:30 > cosine", "gamma=as_lr:2", "*****", "####"):
            self.assertIn(wanted, shown)

    def test_runs(self):
        self.train("one", "--updates", 12, "--log-every", 2, "--eval-every", 4)
        self.train("two", "--updates", 12, "--log-every", 3, "--validation", 0)
        self.tiger("plot", "one", "two", "--out", "runs.png")
        self.is_png("runs.png")
        shown = self.tiger("plot", "one", "two").stdout
        for wanted in ("loss (nats a token)", "one: training", "one: validation", "two: training"):
            self.assertIn(wanted, shown)
        self.assertNotIn("two: validation", shown)

    def test_too_many_curves(self):
        text = "; ".join(f"o{i}=constant" for i in range(200))
        done = self.tiger("plot", "schedule", text, "--out", "x.png", status=2)
        self.assertEqual(done.stderr, "tiger plot: more than 128 curves in one picture\n")


    def test_surfaces_and_histograms(self):
        self.tiger("plot", "surface", "himmelblau", "--out", "a.svg")
        self.assertIn("<svg", (self.at / "a.svg").read_text()[:200])
        self.tiger("plot", "surface", "sin(x) + y^2", "--x-range", "-6,6", "--out", "b.png")
        self.is_png("b.png")
        self.train("run", "--updates", 6, "--validation", 0)
        shown = self.tiger("plot", "histogram", "run", "--bins", 20).stdout
        self.assertRegex(shown, r"value \(\d+ values; [\d.]+ % lie outside\)")
        state = next((self.at / "run").glob("checkpoint-*")) / "optimizer.safetensors"
        shown = self.tiger("plot", "histogram", state, "--tensor", "*h.0.attn.*weight/exp_avg").stdout
        self.assertIn("transformer.h.0.attn.c_attn.weight/exp_avg", shown)

    def test_paths(self):
        flags = ["--optimizer", "sgd,adamw", "--lr", "1e-3", "--adamw-lr", "0.05", "--updates", 80]
        self.tiger("minimize", "rosenbrock", *flags, "--out", "one.jsonl")
        self.tiger("minimize", "--f", "x^2 + x*y + 3*y^2", *flags, "--out", "two.jsonl")
        self.tiger("minimize", "quadratic", *flags, "--out", "three.jsonl")
        self.tiger("plot", "minimize", "one.jsonl", "--out", "one.svg")
        drawn = (self.at / "one.svg").read_text()
        for wanted in ("sgd lr=1e-3", "adamw lr=0.05", "minimum", "rosenbrock"):
            self.assertIn(wanted, drawn)
        self.tiger("plot", "minimize", "two.jsonl", "--out", "two.png")
        self.is_png("two.png")
        for files in (["three.jsonl"], ["one.jsonl", "two.jsonl"]):
            self.assertIn("f", self.tiger("plot", "minimize", *files).stdout)
        done = self.tiger("plot", "minimize", "one.jsonl", "two.jsonl", "--kind", "surface", status=2)
        self.assertIn("different functions", done.stderr)

    def test_script_draws_the_picture(self):
        self.tiger("minimize", "booth", "--out", "p.jsonl", "--updates", 50)
        self.tiger("plot", "minimize", "p.jsonl", "--out", "p.gp")
        self.assertFalse((self.at / "p.png").exists())
        subprocess.run(["gnuplot", "p.gp"], cwd=self.at, check=True)
        self.is_png("p.png")


class Minimizing(Case):
    QUADRATIC = ["quadratic", "--optimizer", "tiger", "--beta", "0.9", "--lr", 0.01 / 1.01, "--weight-decay", "0.01",
                 "--schedule", f"inverse_time:{0.01 / 1.01}", "--updates", 1000]

    def distance(self, *flags):
        out = self.tiger("minimize", *flags).stdout
        return float(re.search(r"^distance +(\S+) ", out, re.MULTILINE).group(1))

    def test_quadratic_of_the_specification(self):
        """Q = diag(1..10), b = 1, alpha = 0.01 / (1 + 0.01 t), t from 1: in double here, in fp32 there."""
        x, m, far = [0.0] * 10, [0.0] * 10, []
        for t in range(1, 1001):
            alpha = 0.01 / (1 + 0.01 * t)
            for i in range(10):
                m[i] = 0.9 * m[i] + 0.1 * ((i + 1) * x[i] - 1)
                x[i] -= alpha * ((m[i] > 0) - (m[i] < 0) + 0.01 * x[i])
            far.append(math.dist(x, [1 / (i + 1) for i in range(10)]))
        self.assertAlmostEqual(far[-1], 3.6e-3, delta=5e-5)
        got = self.distance(*self.QUADRATIC, "--scale", "none")
        self.assertGreater(got, min(far[-60:]) / 1.5)  # where the oscillation stands is rounding's
        self.assertLess(got, 1.5 * max(far[-60:]))
        self.assertAlmostEqual(self.distance(*self.QUADRATIC, "--rms-floor", 0), 1.245, delta=5e-4)

    def test_path_and_end(self):
        done = self.tiger("minimize", "rosenbrock", "--optimizer", "sgd", "--lr", "1e-3", "--momentum", "0.9", "--updates",
                          5000, "--every", 500, "--out", "path.jsonl")
        self.assertEqual(done.stderr, "")
        rows = re.findall(r"^ +(\d+) +(\S+) +(\S+) +(\S+) +(\S+)$", done.stdout, re.MULTILINE)
        self.assertEqual([int(row[0]) for row in rows[:-1]], list(range(0, int(rows[-1][0]), 500)))
        for got, wanted in zip(rows[0][1:], [24.2, 232.8677, -1.2, 1.0]):
            self.assertAlmostEqual(float(got), wanted, delta=2e-6 * abs(wanted))  # -1.2 as fp32 has it
        self.assertIn(f"ended at update {rows[-1][0]}: the gradient's norm is not above the tolerance", done.stdout)
        self.assertIn("nearest known minimum, 1 1", done.stdout)
        self.assertIn(f"evaluations  {int(rows[-1][0]) + 1} of f", done.stdout)
        lines = [json.loads(line) for line in (self.at / "path.jsonl").read_text().splitlines()]
        self.assertEqual(lines[0], {"run": "sgd lr=1e-3 momentum=0.9", "problem": "rosenbrock", "options": {"n": 2}})
        self.assertEqual([line["update"] for line in lines[1:]], [int(row[0]) for row in rows])
        for line in lines[1:]:
            x, y = line["x"]
            self.assertAlmostEqual(line["f"], 100 * (y - x * x) ** 2 + (1 - x) ** 2, delta=1e-9)

    def test_options_reach_the_right_optimizer(self):
        flags = ["--updates", 30, "--tolerance", 0]
        def f(name, table):
            return re.search(rf"^{name} .*?(\d\S+e\S+)", table, re.MULTILINE).group(1)
        both = self.tiger("minimize", "beale", "--optimizer", "sgd,adamw", "--lr", "0.02", "--weight-decay", "0.1",
                          "--sgd-momentum", "0.5", "--adamw-weight-decay", "0.3", *flags).stdout
        sgd = self.tiger("minimize", "beale", "--optimizer", "sgd,signsgd", "--lr", "0.02", "--weight-decay", "0.1",
                         "--momentum", "0.5", *flags).stdout
        adamw = self.tiger("minimize", "beale", "--optimizer", "adamw,signsgd", "--lr", "0.02", "--weight-decay", "0.3",
                           *flags).stdout
        self.assertEqual(f("sgd", both), f("sgd", sgd))
        self.assertEqual(f("adamw", both), f("adamw", adamw))
        self.assertIn("adamw lr=0.02 weight_decay=0.3 ", both)
        self.assertIn("sgd lr=0.02 weight_decay=0.1 momentum=0.5 ", both)

    def test_minimizers_beside_optimizers(self):
        out = self.tiger("minimize", "rosenbrock", "--optimizer", "lbfgs,adamw", "--schedule", "cosine", "--lr", 1,
                         "--adamw-lr", "0.05", "--history-size", 4, "--out", "both.jsonl").stdout
        self.assertRegex(out, re.compile(r"^lbfgs lr=1 history_size=4 +\S+e-\d+ .* gradient$", re.MULTILINE))
        self.assertRegex(out, re.compile(r"^adamw lr=0.05 .* 1000 +1001  updates$", re.MULTILINE))
        self.assertLess(self.distance("rosenbrock", "--optimizer", "cmaes"), 1e-4)
        same = [self.tiger("minimize", "rastrigin", "--optimizer", "cmaes", "--seed", s).stdout for s in (4, 4, 5)]
        self.assertTrue(same[0] == same[1] != same[2])

    def test_random_starts(self):
        flags = ["himmelblau", "--optimizer", "sgd", "--lr", "0.01", "--random-starts", 12]
        one = self.tiger("minimize", *flags, "--seed", 5, "--out", "one.jsonl").stdout
        self.assertRegex(one, re.compile(r"^sgd lr=0.01 .* 12 +0 +12$", re.MULTILINE))
        self.assertEqual(one.replace("one", "two"), self.tiger("minimize", *flags, "--seed", 5, "--out", "two.jsonl").stdout)
        self.assertEqual((self.at / "one.jsonl").read_bytes(), (self.at / "two.jsonl").read_bytes())
        self.assertNotEqual(one, self.tiger("minimize", *flags, "--seed", 6, "--out", "one.jsonl").stdout)
        heads = [json.loads(l) for l in (self.at / "two.jsonl").read_text().splitlines() if '"run"' in l]
        self.assertEqual([h["run"] for h in heads], [f"sgd lr=0.01, start {i}" for i in range(1, 13)])

    def test_half_precision(self):
        flags = ["sphere", "--optimizer", "signsgd", "--lr", "1e-3", "--updates", 2000, "--weights"]
        self.assertLess(self.distance(*flags, "bf16"), 3.9)  # stochastic rounding moves on average
        self.assertGreater(self.distance(*flags, "bf16", "--rounding", "nearest"), 5.2)


class LearningRateRange(Case):
    def range(self, *flags, **more):
        return self.tiger("lr-range", "--data", "text.txt", *TINY, *flags, **more)

    def test_finds_a_rate_that_trains(self):
        out = self.range("--optimizer", "adamw", "--out", "range").stdout
        rate = {name: float(value) for name, value in re.findall(r"^(\w+).* ([\d.]+e[-+]\d+)$", out, re.MULTILINE)}
        self.assertLess(rate["suggested"], 0.7 * rate["last"])
        rows = [line.split("\t") for line in (self.at / "range/lr-range.tsv").read_text().splitlines()]
        self.assertEqual(rows[0], ["lr", "loss", "smoothed"])
        lr = [float(row[0]) for row in rows[1:]]
        for i in range(1, len(lr)):
            self.assertAlmostEqual(lr[i] / lr[i - 1], 1e7 ** (1 / 199), delta=1e-9)
        self.assertAlmostEqual(lr[0], 1e-7, delta=1e-15)
        names = ["lr-range.png", "lr-range.tsv"] if shutil.which("gnuplot") else ["lr-range.tsv"]
        self.assertEqual(sorted(p.name for p in (self.at / "range").iterdir()), names)
        self.assertEqual(sorted(p.name for p in self.at.iterdir()), ["range", "text.txt"])

        trained = self.train("run", "--optimizer", "adamw", "--lr", rate["suggested"], "--updates", 150).stdout
        self.assertLess(float(re.search(r"^validation loss ([\d.]+)", trained, re.MULTILINE).group(1)), 2.7)

    def test_same_bits(self):
        self.range("--out", "one", "--precision", "bf16", "--seed", 7)
        self.range("--out", "two", "--precision", "bf16", "--seed", 7)
        self.assertEqual(*((self.at / name / "lr-range.tsv").read_bytes() for name in ("one", "two")))

    def test_stops_where_the_loss_diverges(self):
        out = self.range("--optimizer", "sgd", "--to", "1e6", "--out", "range").stdout
        rows = (self.at / "range/lr-range.tsv").read_text().splitlines()
        self.assertLess(len(rows), 190)
        self.assertIn("diverged (4 times the least) at", out)

    def test_no_rate_lowers_the_loss(self):
        done = self.range("--maximize", "--out", "range", status=1)
        self.assertIn("no learning rate lowered the loss", done.stderr)
        self.assertFalse((self.at / "range").exists())

    def test_without_gnuplot(self):
        (self.at / "empty").mkdir()
        done = self.range("--out", "range", status=1, env={**os.environ, "PATH": str(self.at / "empty")})
        self.assertIn("suggested (steepest descent)", done.stdout)
        self.assertRegex(done.stderr, r"^tiger lr-range: gnuplot, which draws the plots, is not installed")
        self.assertEqual([p.name for p in (self.at / "range").iterdir()], ["lr-range.tsv"])

    def test_stopped(self):
        flags = [*TINY, "--updates", "1000000", "--out", "range", "--from", "1e-12", "--to", "1e-10"]
        process = subprocess.Popen([TIGER, "lr-range", "--data", "text.txt", *flags], cwd=self.at,
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        time.sleep(1)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
        self.assertEqual((process.returncode, err), (128 + signal.SIGINT, ""))
        self.assertRegex(out, r"^stopped after \d+ updates: nothing was written\n$")
        self.assertFalse((self.at / "range").exists())


class Race(Case):
    RUN = ["--data", "text.txt", "--out", "race", "--layers", "1", "--heads", "2", "--width", "16", "--context", "12",
           "--batch", "2", "--updates", "24", "--eval-every", "8", "--eval-batches", "2"]
    FIELD = ["adamw lr=1e-3/1e-2", "signum lr=1e-3"]

    def results(self):
        results = json.loads((self.at / "race/race.json").read_text())
        for run in results["runs"]:
            run["update_seconds"] = run["optimizer_seconds"] = run["seconds"] = None
        for row in results["rows"]:
            row["update_seconds"] = row["optimizer_seconds"] = row["seconds_to_target"] = None
        return results

    def test_table_and_files(self):
        done = self.tiger("race", *self.FIELD, *self.RUN, "--seeds", "2", "--jobs", "2")
        results = self.results()
        self.assertEqual(len(results["runs"]), 6)
        self.assertEqual(len(results["rows"]), 2)
        best = results["rows"][0]
        self.assertEqual(best["contender"], "adamw")
        self.assertEqual(best["best"], "lr=1e-2")
        finals = [r["final_loss"] for r in results["runs"] if r["settings"]["optimizer"] == {"optimizer": "adamw", "lr": "1e-2"}]
        self.assertAlmostEqual(best["final_loss"]["mean"], sum(finals) / 2, places=8)
        self.assertIn(f"{best['final_loss']['mean']:.4f} +- ", done.stdout)
        self.assertIn("paired t test", done.stdout)
        self.assertIn("! adamw: its best learning rate is the largest that was tried; the true best may lie beyond", done.stdout)
        turned = self.tiger("race", "adamw lr=1e-2/1e-3", "signum lr=1e-3", *self.RUN, "--seeds", "2")  # the same runs
        self.assertIn("6 are there already", turned.stdout)
        self.assertIn("! adamw: its best learning rate is the largest that was tried", turned.stdout)
        self.tiger("race", *self.FIELD, *self.RUN, "--seeds", "2")
        for run in results["runs"]:
            self.assertEqual(run["outcome"], "finished")
            self.assertEqual(run["update"], [8, 16, 24])
            self.assertEqual(run["settings"]["training"]["updates"], 24)
        for picture in ("curves.png", "rates.png"):
            self.assertTrue((self.at / "race" / picture).read_bytes().startswith(b"\x89PNG"))

    def test_a_run_is_the_training_it_says_it_is(self):
        self.tiger("race", "adamw lr=1e-2", *self.RUN, "--seeds", "1", "--seed", "3")
        train = ["--lr" if a == "race" else a for a in self.RUN]
        train[train.index("--lr")] = "alone"
        self.tiger("train", *train, "--optimizer", "adamw", "--lr", "1e-2", "--seed", "3", "--threads", "1")
        alone = [json.loads(line) for line in (self.at / "alone/metrics.jsonl").read_text().splitlines()]
        losses = [line["validation_loss"] for line in alone if "validation_loss" in line]
        self.assertEqual([round(v, 8) for v in losses], [round(v, 8) for v in self.results()["runs"][0]["validation_loss"]])

    def test_killed_and_made_again(self):
        self.tiger("race", *self.FIELD, *self.RUN, "--seeds", "2", "--out", "whole")
        (self.at / "whole").rename(self.at / "race")
        whole = self.results()
        shutil.rmtree(self.at / "race")
        for number in (signal.SIGKILL, signal.SIGTERM):
            process = subprocess.Popen([TIGER, "race", *self.FIELD, *self.RUN, "--seeds", "2", "--jobs", "1"], cwd=self.at,
                                       stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            for line in process.stdout:
                if "seed" in line and "left" in line:
                    break
            process.send_signal(number)
            process.communicate()
            self.assertNotEqual(process.returncode, 0)
        done = self.tiger("race", *self.FIELD, *self.RUN, "--seeds", "2")
        self.assertRegex(done.stdout, "; [1-6] (is|are) there already")
        self.assertEqual(self.results(), whole)

    def test_other_settings_are_refused(self):
        self.tiger("race", "adamw lr=1e-2", *self.RUN, "--seeds", "1")
        before = (self.at / "race/race.json").read_bytes()
        done = self.tiger("race", "adamw lr=1e-2", *self.RUN, "--seeds", "1", "--batch", "3", status=2)
        self.assertIn("made with batch 2, now it is 3", done.stderr)
        self.assertEqual(done.stderr.count("\n"), 1)
        self.assertEqual((self.at / "race/race.json").read_bytes(), before)
        more = self.tiger("race", "adamw lr=1e-2", "sgd lr=0.1", *self.RUN, "--seeds", "2")
        self.assertIn("4 runs of 24 updates", more.stdout)
        self.assertIn("1 is there already", more.stdout)

    def test_results_of_another_race_are_kept(self):
        """race.json may grow; what would lose a run of it, or mix two races, is refused before anything is made."""
        self.tiger("race", *self.FIELD, *self.RUN, "--seeds", "2")
        (self.at / "other.txt").write_text((self.at / "text.txt").read_text()[:-7])
        before = {p: p.read_bytes() for p in (self.at / "race").rglob("*") if p.is_file()}
        lost = "that this race is without"
        for contenders, more, words in (
            (["sgd lr=0.1"], [], f"race/race.json has 6 runs {lost}, as adamw_lr=1e-3_seed=1: name the contenders and seeds of all"),
            (["sgd lr=0.1", "adamw lr=1e-3/1e-2"], [], f"has 2 runs {lost}, as signum_lr=1e-3_seed=1"),
            (["sgd lr=0.1 batch=3"], [], f"has 6 runs {lost}"),
            (self.FIELD, ["--seed", "2"], f"has 3 runs {lost}, as adamw_lr=1e-3_seed=1"),
            (self.FIELD, ["--seeds", "1"], f"has 3 runs {lost}, as adamw_lr=1e-3_seed=2"),
            (["sgd lr=0.1"], ["--batch", "3"], "race/race.json was made with batch 2, now it is 3: name another --out"),
            (["sgd lr=0.1"], ["--schedule", "cosine"], 'race/race.json was made with schedule "'),
            (["sgd lr=0.1"], ["--width", "8"], "race/race.json was made with width 16, now it is 8"),
            (["sgd lr=0.1"], ["--data", "other.txt"], 'race/race.json was made with file "text.txt", now it is "other.txt"'),
        ):
            done = self.tiger("race", *contenders, *self.RUN, "--seeds", "2", *more, status=2)
            self.assertIn(words, done.stderr)
            self.assertEqual((done.stderr.count("\n"), done.stdout), (1, ""))
        problem = self.tiger("race", "adam lr=0.1", "--problem", "booth", "--out", "race", status=2)
        self.assertIn("race/race.json is of a race on a training, this one is on a problem: name another --out", problem.stderr)
        self.assertEqual({p: p.read_bytes() for p in (self.at / "race").rglob("*") if p.is_file()}, before)
        for text, words in (("", "line 1"), ('{"runs": ', "line 1"), ("[]", "not what a race writes"), ('{"runs": 3}', "not what a race")):
            (self.at / "race/race.json").write_text(text)
            broken = self.tiger("race", *self.FIELD, *self.RUN, "--seeds", "2", status=1 if "line" in words else 2)
            self.assertIn(words, broken.stderr)
            self.assertEqual(broken.stderr.count("\n"), 1)
            self.assertEqual((self.at / "race/race.json").read_text(), text)

    def test_divergence_is_a_result_and_failure_is_not(self):
        done = self.tiger("race", "sgd lr=1e30", "adamw lr=1e-2", *self.RUN, "--seeds", "2")
        self.assertIn("sgd lr=1e30: 2 of 2 runs diverged", done.stdout)
        failed = self.tiger("race", "sgd lr=0.1 clip_norm=1 gradients=released accumulate=2", *self.RUN, "--out", "bad",
                            "--seeds", "1", status=2)
        self.assertEqual(failed.stderr.count("\n"), 1, failed.stderr)
        self.assertIn("tiger race: sgd", failed.stderr)

    def test_usage(self):
        for arguments, words in ((["adamw", "--out", "race"], "--data FILE, what to train on"),
                                 (["adamw", "--data", "text.txt"], "--out DIR"),
                                 (["--data", "text.txt"], "CONTENDER")):
            self.assertIn(words, self.tiger("race", *arguments, status=2).stderr)
        self.assertIn("no optimizer 'adamx'", self.tiger("race", "adamx", *self.RUN, status=2).stderr)
        self.assertIn("--reach must be a number", self.tiger("race", "adamw", *self.RUN, "--reach", "x", status=2).stderr)
        for words, meant in (("adma lr=1", "adam"), ("adamw wieght_decay=0.1", "weight_decay"), ("sgd shedule=cosine", "schedule")):
            self.assertIn(f"(did you mean {meant}?)", self.tiger("race", words, *self.RUN, status=2).stderr)
        self.assertIn("two contenders", self.tiger("race", "adamw lr=1/2", "adamw lr=3/4", *self.RUN, status=2).stderr)
        for words, complaint in (("lbfgs schedule=cosine", "a schedule is for optimizers"),
                                 ("lbfgs precision=bf16", "take precision fp32"),
                                 ("adamw closure=all", "takes each batch once"),
                                 ("genetic closure=fresh", "closure fixed or all")):
            done = self.tiger("race", words, *self.RUN, "--seeds", "1", status=2)
            self.assertIn(complaint, done.stderr)
            self.assertEqual(done.stderr.count("\n"), 1, done.stderr)

    def test_minimizers_are_cut_by_cost(self):
        """Line by line they have cost what the optimizer has, and are what a training by them alone is."""
        field = ["adamw lr=1e-2", "lbfgs", "gd closure=fixed", "lbfgs closure=all", "anneal chains=6 closure=fixed",
                 "gd target=1e9"]
        run = [*self.RUN, "--closure", "fresh", "--seeds", "2"]
        done = self.tiger("race", *field, *run)
        results = self.results()
        self.assertRegex(done.stdout, "updates evaluations +seconds")
        self.assertIn("of these", done.stdout)
        self.assertTrue((self.at / "race" / "evaluations.png").exists())
        runs = {r["name"]: r for r in results["runs"]}
        self.assertEqual(runs["adamw_lr=1e-2_seed=2"]["evaluations"], [8, 16, 24])
        for name, r in runs.items():
            self.assertEqual((r["outcome"], len(r["validation_loss"])), ("finished", 3), name)
            if "target" not in name:
                for cost, budget in zip(r["evaluations"], (8, 16, 24)):
                    self.assertGreater(cost, budget - 1e-6, name)
        for name in ("gd_closure=fixed_seed=1", "lbfgs_seed=2"):  # no more than the update that came to it
            self.assertLess(runs[name]["evaluations"][-1], 24 + 20, name)
            self.assertLess(runs[name]["update"][-1], 24, name)
        one = runs["lbfgs_closure=all_seed=1"]  # an evaluation of all the text is dearer than the whole run may be
        self.assertEqual(one["update"], [1, 1, 1])
        self.assertGreater(one["evaluations"][0], 24)
        ended = runs["gd_target=1e9_seed=1"]  # and one that has converged stays there
        self.assertEqual((len(set(ended["validation_loss"])), len(set(ended["evaluations"]))), (1, 1))
        self.assertLess(ended["evaluations"][-1], 8)
        train = ["alone" if a == "race" else a for a in self.RUN]
        train[train.index("--eval-every") + 1] = "1"
        self.tiger("train", *train, "--optimizer", "lbfgs", "--seed", "2", "--threads", "1")
        alone = [json.loads(line) for line in (self.at / "alone/metrics.jsonl").read_text().splitlines()]
        losses = {line["update"]: line["validation_loss"] for line in alone if "validation_loss" in line}
        r = runs["lbfgs_seed=2"]
        for update, loss in zip(r["update"], r["validation_loss"]):
            self.assertAlmostEqual(losses[update], loss, places=7)
        again = self.tiger("race", *field, *run)
        self.assertIn("12 are there already", again.stdout)
        rules = self.tiger("race", "adamw lr=1e-2", *self.RUN, "--seeds", "2", "--out", "rules")
        self.assertNotIn("evaluations", rules.stdout)
        self.assertFalse((self.at / "rules" / "evaluations.png").exists())

    def test_eval_data_is_what_is_judged_by(self):
        held = (self.at / "text.txt").read_text()[:2000][::-1]
        (self.at / "held.txt").write_text(held)
        self.tiger("race", "adamw lr=1e-2", *self.RUN, "--seeds", "1", "--eval-data", "held.txt")
        train = [*self.RUN]
        train[train.index("race")] = "alone"
        self.tiger("train", *train, "--optimizer", "adamw", "--lr", "1e-2", "--threads", "1", "--eval-data", "held.txt")
        alone = [json.loads(line) for line in (self.at / "alone/metrics.jsonl").read_text().splitlines()]
        losses = [line["validation_loss"] for line in alone if "validation_loss" in line]
        run = self.results()["runs"][0]
        self.assertEqual([round(v, 8) for v in losses], [round(v, 8) for v in run["validation_loss"]])
        self.assertEqual(run["settings"]["data"]["eval_data_bytes"], len(held))
        again = self.tiger("race", "adamw lr=1e-2", *self.RUN, "--seeds", "1", status=2)
        self.assertIn("eval_data", again.stderr)


class Bench(Case):
    def test_operations_a_second(self):
        """Rules of matrices are shown beside products of their format; the others without."""
        few = ["--parameters", 9216, "--tensor", 4608, "--rounds", 3, "--threads", 1, "--weights", "fp32", "--json", "b.json"]
        for rule in ("muon", "tigermuon", "adamw"):
            done = self.tiger("bench", "optimizers", rule, *few)
            rows = json.loads((self.at / "b.json").read_text())["rows"]
            lines = done.stdout.splitlines()[2:]
            self.assertEqual(len(lines), len(rows))
            self.assertEqual("GFLOP/s  product    share" in done.stdout, rule != "adamw")
            for line, row in zip(lines, rows):
                multiplies = rule == "muon" or (rule == "tigermuon" and row["part"] == "update")
                self.assertEqual("flops_per_second" in row, "product_peak_flops_per_second" in row)
                if "flops_per_second" not in row:
                    self.assertFalse(multiplies, row)
                    self.assertEqual(line.count("%"), 1)
                    continue
                rate, peak = row["flops_per_second"], row["product_peak_flops_per_second"]
                self.assertGreater(peak, 1e8)
                self.assertRegex(line, rf"  {1e-9 * rate:.1f} +{1e-9 * peak:.1f} +{100 * rate / peak:.0f} %$")
                if rule == "muon":  # two tensors of 72 x 64, five steps of products; symmetry spares nothing of one tile
                    operations = 2 * 5 * 2 * (2 * 64 * 64 * 72 + 64 ** 3)
                    self.assertAlmostEqual(rate * row["seconds"] / operations, 1, delta=1e-9)


class Search(Case):
    RUN = ["--data", "text.txt", "--layers", "1", "--heads", "2", "--width", "16", "--context", "12", "--batch", "2",
           "--updates", "12", "--eval-every", "4", "--eval-batches", "2", "--schedule", "constant"]
    LION = ["search", *RUN, "--optimizer", "lion", "--out", "found"]

    def records(self, folder="found"):
        return [json.loads(line) for line in (self.at / folder / "study.journal").read_text().splitlines()]

    def params(self, folder="found"):
        """By trial, and what the complete ones came to; times and workers are left out."""
        params, values = {}, {}
        for record in self.records(folder):
            if record["op_code"] == 5:
                params.setdefault(record["trial_id"], {})[record["param_name"]] = record["param_value_internal"]
            if record["op_code"] == 6 and record["state"] == 1:
                values[record["trial_id"]] = record["values"][0]
        return params, values

    def test_own_ranges(self):
        done = self.tiger(*self.LION, "--trials", 6, "--pruner", "none", "--beta2", 0.99, "--jobs", 2)
        params, values = self.params()
        self.assertIn("searched: lr 1e-05..0.001 (log), beta1 0.85..0.97, weight_decay 0.001..1 (log)\n", done.stdout)
        self.assertEqual(len(values), 6)
        for trial in params.values():
            self.assertEqual(set(trial), {"lr", "beta1", "weight_decay"})
            self.assertTrue(1e-5 <= trial["lr"] <= 1e-3 and 0.85 <= trial["beta1"] <= 0.97 and 1e-3 <= trial["weight_decay"] <= 1)
        best = min(values, key=values.get)
        flags = re.search(r"the best as flags: (.*)", done.stdout).group(1).split()
        self.assertEqual([float(flag) for flag in flags[3::2]], [params[best][name] for name in ("lr", "beta1", "weight_decay")])
        alone = self.tiger("train", *self.RUN, *flags, "--beta2", 0.99, "--out", "alone", "--threads", 1)
        self.assertIn(f"validation loss {values[best]:.4f}", alone.stdout)  # what is told is what was run

    def test_goes_on(self):
        self.tiger(*self.LION, "--trials", 12, "--jobs", 1, "--sampler", "tpe")
        whole = self.params()
        (self.at / "found").rename(self.at / "whole")
        self.tiger(*self.LION, "--trials", 5, "--jobs", 1)
        again = self.tiger(*self.LION, "--trials", 12, "--jobs", 1)
        self.assertIn("; 5 are there already", again.stdout)
        self.assertEqual(self.params(), whole)
        before = (self.at / "found/study.journal").read_bytes()
        done = self.tiger(*self.LION, "--trials", 12)
        self.assertIn("; 12 are there already", done.stdout)
        self.assertIn("the best as flags: --optimizer lion --lr ", done.stdout)
        self.assertEqual((self.at / "found/study.journal").read_bytes(), before)
        other = self.tiger(*self.LION, "--trials", 12, "--width", 32, status=2)
        self.assertIn("was made with other settings: --optimizer lion --data text.txt", other.stderr)
        self.tiger(*self.LION, "--trials", 13, "--space", "lr=1e-4..2e-4", "--threads", 2)  # a smaller space is no other study
        self.assertTrue(1e-4 <= self.params()[0][12]["lr"] <= 2e-4)

    def test_stopped(self):
        process = subprocess.Popen([TIGER, *self.LION, "--trials", "100000", "--jobs", "2"], cwd=self.at, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, text=True)
        for line in process.stdout:
            if "/100000 " in line and int(line.split("/")[0]) >= 3:  # two that end together are told of with one number
                break
        process.send_signal(signal.SIGINT)
        out, errors = process.communicate()
        self.assertEqual((process.returncode, errors), (130, ""))
        self.assertIn("the same command goes on", out)
        begun = sum(record["op_code"] == 4 for record in self.records())
        ended = [record["state"] for record in self.records() if record["op_code"] == 6]
        self.assertEqual(len(ended), begun)  # what was cut short has failed: nobody waits for it
        self.assertFalse((self.at / "found/study.journal.lock").exists())
        count = sum(state in (1, 2) for state in ended)
        more = self.tiger(*self.LION, "--trials", count + 2)
        self.assertIn(f"; {count} are there already" if count > 1 else "; 1 is there already", more.stdout)

    def test_side_by_side(self):
        two = [subprocess.Popen([TIGER, *self.LION, "--trials", "9", "--jobs", "1"], cwd=self.at, stdout=subprocess.DEVNULL)
               for _ in range(2)]
        self.assertEqual([process.wait() for process in two], [0, 0])
        params, _ = self.params()
        self.assertEqual(len(params), 9)
        self.assertEqual(len({tuple(trial.values()) for trial in params.values()}), 9)

    def test_space_of_everything(self):
        run = [word for flag in zip(self.RUN[::2], self.RUN[1::2]) if flag[0] not in ("--width", "--batch") for word in flag]
        done = self.tiger("search", *run, "--out", "found", "--trials", 5, "--sampler", "gp", "--space",
                          "lr=1e-3..1e-1 scale=rms/dim/none batch=1..8 width=8/16 dropout=0..0.2 rounding=nearest/kahan")
        params, _ = self.params()
        self.assertTrue(all(trial["batch"] in range(1, 9) and trial["width"] in (0, 1) for trial in params.values()))
        self.assertRegex(done.stdout, r"as flags: --optimizer tiger --lr \S+ --scale (rms|dim|none) --batch [1-8] --width (8|16) "
                                      r"--dropout \S+ --rounding (nearest|kahan)\n")

    def test_grid_and_pruning(self):
        done = self.tiger("search", *self.RUN, "--out", "found", "--sampler", "grid", "--pruner", "asha", "--jobs", 1,
                          "--space", "lr=1e-3..1e-1 scale=rms/none")
        self.assertIn("10 trials of 12 updates", done.stdout)
        params, values = self.params()
        self.assertEqual({(f"{trial['lr']:.4g}", trial["scale"]) for trial in params.values()},
                         {(f"{10 ** (-3 + i / 2):.4g}", s) for i in range(5) for s in (0, 1)})
        self.assertRegex(done.stdout, r": pruned at update 4, \d")
        self.assertLess(len(values), 10)

    def test_divergence_is_a_result(self):
        done = self.tiger("search", *self.RUN, "--out", "found", "--optimizer", "sgd", "--space", "lr=1e-2/1e38", "--sampler",
                          "grid", "--jobs", 1)
        self.assertIn("lr=1e38: diverged", done.stdout)
        self.assertIn("1 complete, 0 pruned, 1 diverged, 0 failed", done.stdout)

    def test_refusals(self):
        for arguments, words in ((["--space", "lr=1"], "--space: lr: '1' is neither a range"),
                                 (["--space", "lrr"], "did you mean lr?"), (["--sampler", "tpee"], "did you mean tpe?"),
                                 (["--pruner", "x"], "no pruner 'x'"), (["--trials", "0"], "trials"),
                                 (["--lr", "1e-4", "--space", "lr"], "lr has a value and is to be searched"),
                                 (["--space", "seed=1..2"], "seed is no setting to search"), (["--validation", "0"], "nothing to judge by")):
            self.assertIn(words, self.tiger(*self.LION, *arguments, status=2).stderr)
        self.assertIn("--out DIR is missing", self.tiger("search", *self.RUN, status=2).stderr)
        self.assertIn("--data FILE is missing", self.tiger("search", "--out", "found", status=2).stderr)
        self.assertFalse((self.at / "found").exists())
        gone = self.tiger(*self.LION, "--data", "no.txt", "--trials", 3, "--jobs", 1, status=1)
        self.assertIn("no.txt", gone.stderr)
        (self.at / "found/study.journal").write_text("lr,loss\n")
        self.assertIn("line 1: no JSON object", self.tiger(*self.LION, status=1).stderr)


class RaceOnProblems(Case):
    FIELD = ["gd", "adam lr=0.03/0.3", "lbfgs", "cmaes"]
    RUN = ["--problem", "rosenbrock", "--updates", 120, "--out", "race"]

    def results(self):
        return json.loads((self.at / "race/race.json").read_text())

    def test_table_and_files(self):
        done = self.tiger("race", *self.FIELD, *self.RUN, "--seeds", 3)
        results = self.results()
        self.assertEqual((results["task"], results["measure"], results["logarithmic"]), ("problem", "above_least", True))
        self.assertEqual(len(results["runs"]), 15)
        rows = {row["contender"]: row for row in results["rows"]}
        self.assertEqual(set(rows), {"gd", "adam", "lbfgs", "cmaes"})
        self.assertEqual(rows["adam"]["best"], "lr=0.3")
        ends = [r["above_least"][-1] for r in results["runs"] if r["name"].startswith("adam_lr=0.3_")]
        self.assertEqual(len(ends), 3)
        geometric = math.prod(ends) ** (1 / 3)
        self.assertAlmostEqual(rows["adam"]["final_loss"]["mean"] / geometric, 1, places=6)
        self.assertIn(f"{geometric:.2e} (", done.stdout)
        self.assertIn("paired t test of logarithms", done.stdout)
        self.assertLess(rows["lbfgs"]["evaluations_to_target"], rows["gd"]["evaluations_to_target"])
        best = results["rows"][0]
        self.assertAlmostEqual(rows["adam"]["against_best"]["mean"] * best["final_loss"]["mean"] / geometric, 1, places=6)
        for run in results["runs"]:  # all are looked at after the same updates, whenever they have ended
            self.assertEqual(run["update"], list(range(121)), run["name"])
        for picture in ("curves.png", "evaluations.png", "rates.png"):
            self.assertTrue((self.at / "race" / picture).read_bytes().startswith(b"\x89PNG"))
        again = self.tiger("race", *self.FIELD, "lion lr=0.01", *self.RUN, "--seeds", 3)
        self.assertIn("18 runs of 120 updates", again.stdout)
        self.assertIn("15 are there already", again.stdout)

    def test_a_run_is_the_descent_it_says_it_is(self):
        self.tiger("race", "adam", "cmaes", *self.RUN, "--rates", 2, "--seeds", 2, "--seed", 5)
        runs = {run["name"]: run for run in self.results()["runs"]}
        for name, flags in (("cmaes_seed=6", ["cmaes"]), ("adam_lr=0.01_seed=6", ["adam", "--lr", "0.01"])):
            self.tiger("minimize", "rosenbrock", "--updates", 120, "--random-starts", 1, "--seed", 6, "--tolerance", 0,
                       "--optimizer", *flags, "--out", "path.jsonl")
            path = [json.loads(line) for line in (self.at / "path.jsonl").read_text().splitlines()][1:]
            run = runs[name]
            for update in (0, 1, 57, 119):
                point = min((p for p in path if p["update"] >= update), key=lambda p: p["update"], default=path[-1])
                self.assertAlmostEqual(run["above_least"][update] / max(point["f"], 2 ** -52), 1, 7, (name, update))
                self.assertAlmostEqual(run["distance"][update], math.dist(point["x"], [1, 1]), 7, (name, update))

    def test_functions_written_down(self):
        done = self.tiger("race", "sgd lr=0.05/0.1", "lbfgs", "--f", "(x-3)^2 + 10*(y+1)^2 + 7", "--updates", 90, "--every",
                          7, "--out", "race", status=2)
        self.assertIn("--every", done.stderr)
        self.tiger("race", "sgd lr=0.05/0.08", "lbfgs", "--f", "(x-3)^2 + 10*(y+1)^2 + 7", "--updates", 90, "--eval-every",
                   7, "--reach", 7.1, "--out", "race")
        results = self.results()
        self.assertEqual((results["measure"], results["logarithmic"], results["target"]), ("f", False, 7.1))
        for row in results["rows"]:
            self.assertAlmostEqual(row["final_loss"]["mean"], 7, delta=1e-4)
            self.assertIsNone(row["distance"])
            self.assertLess(row["updates_to_target"], 90)
        self.assertEqual(results["runs"][0]["update"], [*range(0, 90, 7), 90])

    def test_divergence_presets_and_natural_gradient(self):
        done = self.tiger("race", "sgd lr=1e9", "tiger preset=vision lr=0.01", "natgrad", "newton", "--problem", "logistic",
                          "--updates", 30, "--seeds", 2, "--out", "race")
        self.assertIn("sgd lr=1e9: 2 of 2 runs diverged", done.stdout)
        runs = {run["name"]: run for run in self.results()["runs"]}
        self.assertEqual(runs["tiger_preset=vision_lr=0.01_seed=1"]["settings"]["optimizer"]["beta"], "0.945")
        for seed in (1, 2):
            natural, newton = (runs[f"{name}_seed={seed}"]["above_least"] for name in ("natgrad", "newton"))
            self.assertLess(natural[-1], 1e-11)
            self.assertLess(newton[-1], 1e-11)

    def test_usage(self):
        for arguments, status, words in (
            (["adam", "--problem", "bth"], 2, "did you mean booth?"),
            (["adam", "--problem", "booth", "--f", "x^2"], 2, "--f and the problem 'booth' at once"),
            (["adam", "--problem", "booth", "--reach", 0], 2, "--reach must be a number > 0"),
            (["adam", "--problem", "booth", "--data", "text.txt"], 2, "--data"),
            (["adam batch=3", "--problem", "booth"], 2, "neither it nor a problem has an option 'batch'"),
            (["natgrad", "lbfgs", "--problem", "booth"], 2, "natgrad needs a Fisher matrix"),
            (["lbfgs weights=bf16", "--problem", "booth"], 2, "lbfgs works in double"),
            (["lion preset=vision", "--problem", "booth"], 2, "lion has no preset 'vision' (there are: language)"),
        ):
            done = self.tiger("race", *arguments, "--out", "race", status=status)
            self.assertIn(words, done.stderr)
            self.assertEqual(done.stderr.count("\n"), 1, done.stderr)
        column = self.tiger("race", "adam", "--f", "x^2+(", "--out", "race", status=2)
        self.assertIn("column 6", column.stderr)


class LogisticOnATable(Case):
    ROWS = [(0.31, -1.7, "yes"), (1.24, 0.6, "no"), (-0.85, 0.92, "no"), (2.1, -0.33, "yes"), (-1.4, -0.2, "no"),
            (0.07, 1.55, "yes"), (0.6, 0.4, "yes")]

    def setUp(self):
        super().setUp()
        (self.at / "t.csv").write_text("dose,age,ill\n" + "".join(f"{a},{b},{c}\n" for a, b, c in self.ROWS))

    def f(self, x):
        columns = list(zip(*self.ROWS))[:2]
        means = [sum(c) / 7 for c in columns]
        stds = [math.sqrt(sum((v - m) ** 2 for v in c) / 7) for c, m in zip(columns, means)]
        total = 0.0271 / 2 * sum(v * v for v in x)
        for row in self.ROWS:
            score = sum(w * (v - m) / s for w, v, m, s in zip(x, row, means, stds)) + x[2]
            total += math.log1p(math.exp(-score if row[2] == "yes" else score)) / 7
        return total

    def test_minimum(self):
        out = self.tiger("minimize", "logistic", "--data", "t.csv", "--target", "ill", "--l2", 0.0271, "--optimizer", "natgrad").stdout
        self.assertRegex(out, r"update +f +\|gradient\| +dose +age +constant")
        x = [float(v) for v in re.search(r"^x +(\S+) (\S+) (\S+)$", out, re.MULTILINE).groups()]
        least = float(re.search(r"^f +(\S+)$", out, re.MULTILINE).group(1))
        self.assertAlmostEqual(self.f(x), least, delta=1e-6)
        for i in range(3):
            for step in (-0.05, 0.05):
                self.assertGreater(self.f([v + step * (j == i) for j, v in enumerate(x)]), least)
        race = self.tiger("race", "natgrad", "lbfgs", "--problem", "logistic", "--data", "t.csv", "--target", "ill",
                          "--reach", 1e-9, "--updates", 50, "--seeds", 2, "--out", "race")
        self.assertIn("target: 1.000e-09", race.stdout)
        results = json.loads((self.at / "race/race.json").read_text())
        self.assertTrue(results["runs"][0]["settings"]["problem"]["data"].startswith("t.csv, ill, "))

    def test_usage(self):
        for arguments, status, words in (
            (["logistic", "--data", "t.csv"], 2, "--target COLUMN"),
            (["logistic", "--data", "t.csv", "--target", "il"], 2, "no column 'il'"),
            (["logistic", "--data", "none.csv", "--target", "ill"], 1, "none.csv"),
            (["logistic", "--data", "t.csv", "--target", "ill", "--out", "p.jsonl"], 2, "not on a table"),
            (["booth", "--data", "t.csv"], 2, "--data"),
        ):
            done = self.tiger("minimize", *arguments, status=status)
            self.assertIn(words, done.stderr)
            self.assertEqual(done.stderr.count("\n"), 1, done.stderr)
        (self.at / "t.csv").write_text("a,b\n1,x\n2,y\n3,z\n")
        self.assertIn("has 3", self.tiger("minimize", "logistic", "--data", "t.csv", "--target", "b", status=2).stderr)


class Presets(Case):
    def test_options_given_beside_one_win(self):
        done = self.tiger("minimize", "booth", "--optimizer", "tiger,adamw,sgd", "--preset", "language", "--updates", 3,
                          "--adamw-beta2", "0.9", "--tiger-preset", "reference")
        self.assertRegex(done.stdout, r"\ntiger lr=1e-3 beta=0.965 weight_decay=0.01 bias_ ")
        self.assertRegex(done.stdout, r"\nadamw beta2=0.9 weight_decay=0.1 ")
        self.assertRegex(done.stdout, r"\nsgd  ")
        preset = self.tiger("minimize", "booth", "--optimizer", "lion", "--preset", "language", "--lr", "0.02").stdout
        options = self.tiger("minimize", "booth", "--optimizer", "lion", "--beta1", "0.95", "--beta2", "0.98", "--lr", "0.02")
        self.assertEqual(preset.splitlines()[1:], options.stdout.splitlines()[1:])

    def test_training(self):
        small = [*TINY, "--data", "text.txt", "--updates", 6]
        self.tiger("train", *small, "--out", "a", "--preset", "reference", "--beta", "0.93")
        self.tiger("train", *small, "--out", "b", "--lr", "1e-3", "--rms-floor", 0, "--embedding-rms", "row",
                   "--embedding-update", "dense", "--beta", "0.93", "--bias-lr", "0.5", "--weight-decay", "0.01")
        weights = [sorted((self.at / run).rglob("model.safetensors")) for run in ("a", "b")]
        self.assertTrue(weights[0])
        self.assertEqual(weights[0][-1].read_bytes(), weights[1][-1].read_bytes())

    def test_a_range_test_looks_for_lr_whatever_the_preset_says(self):
        done = self.tiger("lr-range", "--data", "text.txt", *TINY, "--preset", "reference", "--updates", 40,
                          "--from", "1e-3", "--to", 5)
        self.assertRegex(done.stdout, r"\n +1\.000e-03 ")

    def test_usage(self):
        for arguments, words in (
            (["train", "--data", "text.txt", "--out", "a", "--preset", "languish"], "(there are: reference, finetune, small_batch, language, vision)"),
            (["train", "--data", "text.txt", "--out", "a", "--preset", "vision", "--optimizer", "sgd"], "sgd has no presets"),
            (["minimize", "booth", "--optimizer", "sgd,adamw", "--preset", "vision"], "has no preset"),
            (["minimize", "booth", "--optimizer", "tiger,adamw", "--adamw-preset", "vision"], "adamw has no preset 'vision'"),
        ):
            done = self.tiger(*arguments, status=2)
            self.assertIn(words, done.stderr)
            self.assertEqual(done.stderr.count("\n"), 1, done.stderr)


class Pipes(Case):
    def test_closed_pipe_is_silent(self):
        read, write = os.pipe()
        os.close(read)
        done = subprocess.run([TIGER, "list", "optimizers", "tiger"], stdout=write, stderr=subprocess.PIPE, text=True)
        os.close(write)
        self.assertEqual(done.stderr, "")

    def test_reader_of_a_training_goes_away(self):
        flags = ["--data", "text.txt", *TINY, "--log-every", 1, "--peak", "off"]
        process = self.start(*flags, "--out", "run", "--updates", 100000)
        self.wait_for(process, "^update 3/")
        process.stdout.close()
        error = process.stderr.read()
        self.assertEqual(process.wait(), 0)
        made = re.fullmatch(r"tiger train: nobody reads the output any more: stopped after update (\d+) of 100000; go on "
                            r"with: tiger train --out run --resume\n", error)
        self.assertTrue(made, error)
        self.assertTrue((self.at / f"run/checkpoint-{int(made[1]):08}").exists())
        self.assertIn(f"resuming after update {made[1]}",
                      self.tiger("train", "--out", "run", "--resume", "--updates", int(made[1]) + 1).stdout)

    def test_full_disk_is_told(self):
        with open("/dev/full", "w") as full:
            done = subprocess.run([TIGER, "help"], stdout=full, stderr=subprocess.PIPE, text=True)
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stderr, r"^tiger: cannot write the output: .*\n$")


if __name__ == "__main__":
    unittest.main()
