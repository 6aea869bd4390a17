#!/usr/bin/env python3
"""The command doing its work: training, stopping, going on, sampling, evaluating.

    run_test.py TIGER [-v] [NAME...]       NAME as unittest takes it, for one test: Training.test_resume
"""
import hashlib
import json
import math
import os
import pty
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

TIGER = str(Path(sys.argv.pop(1)).resolve())
TINY = ["--layers", "2", "--heads", "2", "--width", "24", "--context", "20", "--batch", "3", "--threads", "2"]


def make_text(path, lines=600):
    chance = random.Random(2385)
    words = "the lion and tiger lay down with a lamb in green pastures beside still waters".split()
    path.write_text("".join(" ".join(chance.choices(words, k=9)) + ".\n" for _ in range(lines)))


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
        return self.tiger("train", "--data", "text.txt", "--out", out, *TINY, *arguments, **more)

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
        for model in ("gpt2", "llama", "bert"):
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

    def test_live_line(self):
        parent, child = pty.openpty()
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
        self.assertRegex(seen, rb"\r\x1b\[Kupdate \d+/60 \[=*>? *\] loss ")
        self.assertRegex(seen, rb"update 60/60 \[=+\] loss ")

    def test_reader_goes_away(self):
        process = self.start("--data", "text.txt", "--out", "run", *TINY, "--updates", "100000", "--log-every", "1")
        self.wait_for(process, r"^update 3/")
        process.stdout.close()
        process.wait(60)
        self.assertEqual(process.stderr.read(), "")
        self.assertTrue((self.at / "run").is_dir())


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
            self.assertEqual(process.wait(60), 128 + number, process.stderr.read())
            self.assertIn(f"go on with: tiger train --out {out} --resume", rest)
            done = self.tiger("train", "--out", out, "--resume")
            self.assertEqual(digest(self.model_of(done.stdout)), whole)


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
        self.assertEqual(process.wait(60), 128 + signal.SIGINT, process.stderr.read())
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
            done = self.tiger("train", "--out", "run", *self.FLAGS, "--optimizer", "sophia", *flags, status=1)
            self.assertEqual(len(done.stderr.splitlines()), 1)
            self.assertIn(message, done.stderr)
            self.assertFalse((self.at / "run").exists())


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
        self.assertEqual(plain[3]["lr"], 1e-3)

    def test_what_cannot_be_driven_is_refused_before_anything_is_written(self):
        for schedule, message in (
                ("gamm=cosine", "the schedule drives gamm, which tiger does not have (did you mean gamma?)"),
                ("scale=cosine", "the schedule drives scale, which is no real number"),
                ("piecewise:0=0,1=1; gamma=piecewise:0=1,40=1,41=1.5", "the schedule goes too far at update 41: gamma"),
                ("plateau", "it needs validation > 0 and 0 < eval_every < updates")):
            done = self.train("run", "--updates", 50, "--schedule", schedule, status=1)
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
        done = self.tiger("sample", self.model, "--prompt", "the \u2603", status=1)
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
        done = self.tiger("convert", self.model, "made/anew", status=1)
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
        self.assertIn("[MASK]", self.tiger("sample", "straight", "--prompt", "plain", status=1).stderr)

    def test_options_of_masking(self):
        self.train("more", "--model", "bert", "--updates", 2, "--mask-rate", "0.4", "--mask-random", "0", "--mask-keep", "0")
        error = self.tiger("train", "--data", "text.txt", "--out", "no", "--mask-rate", "0.4", status=1).stderr
        self.assertIn("mask_rate", error)
        error = self.tiger("train", "--data", "text.txt", "--out", "no", "--model", "bert", "--mask-keep", "0.6",
                           "--mask-random", "0.6", status=1).stderr
        self.assertIn("mask_random", error)


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
        flags = ["--tokenizer", self.vocabulary, "--lr", "1e-2", "--schedule", "constant"]
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
        loss, perplexity, bits, tokens = (float(line.split()[-1] if "loss" not in line else line.split()[1])
                                          for line in result.splitlines())
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
        done = self.tiger("train", "--out", "run", "--resume", "--format", "lines", status=1)
        self.assertIn("the run to resume has format jsonl, not lines", done.stderr)


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
        for model in ("gpt2", "llama", "bert"):
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
        done = self.tiger("plot", "schedule", text, "--out", "x.png", status=1)
        self.assertEqual(done.stderr, "tiger plot: more than 128 curves in one picture\n")


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


class Pipes(Case):
    def test_closed_pipe_is_silent(self):
        read, write = os.pipe()
        os.close(read)
        done = subprocess.run([TIGER, "list", "optimizers", "tiger"], stdout=write, stderr=subprocess.PIPE, text=True)
        os.close(write)
        self.assertEqual(done.stderr, "")

    def test_full_disk_is_told(self):
        with open("/dev/full", "w") as full:
            done = subprocess.run([TIGER, "help"], stdout=full, stderr=subprocess.PIPE, text=True)
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stderr, r"^tiger: cannot write the output: .*\n$")


if __name__ == "__main__":
    unittest.main()
