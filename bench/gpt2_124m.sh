#!/usr/bin/env bash
# gpt2_124m.sh -- training at the shape of GPT-2 124M: 12 layers, 12 heads, width 768, vocabulary 50304, batch 4, context
# 256. Tokens a second and peak resident memory of `tiger train` in bf16, its plan beside the peak, accumulation of 1 beside
# 32; then PyTorch at its best settings, and llm.c's CPU trainer when LLMC names one.
#
#   bench/gpt2_124m.sh FILE
#
# TIGER names the command (build/tiger), PYTHON an interpreter with torch (skipped without one). LLMC is the path of llm.c's
# train_gpt2, built from its public repository for context 256 and run in its own directory, where its files lie; it is
# stopped after LLMC_SECONDS (240), so a whole step must fit. Machines drift: compare only figures of one run.
set -euo pipefail
[ $# -eq 1 ] || { sed -n '2,12s/^# \{0,1\}//p' "$0" >&2; exit 2; }
file=$1
here=$(cd "$(dirname "$0")" && pwd)
tiger=${TIGER:-build/tiger}
[ -r "$file" ] || { echo "gpt2_124m.sh: cannot read $file" >&2; exit 1; }
[ -x "$tiger" ] || { echo "gpt2_124m.sh: no command $tiger: build it with ./run build, or set TIGER" >&2; exit 1; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

echo "machine: $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1), $(nproc) threads, load $(cut -d' ' -f1-3 /proc/loadavg)"

# Peak resident kB of a command: the kernel's own count, by the shell's child.
peak() { # LOG COMMAND...
    local log=$1
    shift
    python3 - "$log" "$@" <<'P'
import resource, subprocess, sys
with open(sys.argv[1], "w") as log:
    code = subprocess.run(sys.argv[2:], stdout=log, stderr=subprocess.STDOUT).returncode
print(f"peak resident {resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e6:.3f} GB")
sys.exit(code)
P
}

ours() { # PRECISION ACCUMULATE UPDATES [more flags]
    local precision=$1 accumulate=$2 updates=$3 log=$work/log
    shift 3
    local command=("$tiger" train --data "$file" --model gpt2 --layers 12 --heads 12 --width 768 --context 256
        --vocab 50304 --batch 4 --precision "$precision" --accumulate "$accumulate" --updates "$updates"
        --eval-every 0 --save-every 0 "$@" --out "$work/run")
    echo "== ${command[*]}"
    peak "$log" "${command[@]}" || { cat "$log" >&2; exit 1; }
    grep -E 'tok/s$|peak memory|parameters,' "$log" || tail -n 5 "$log"
    rm -rf "$work/run"
}

ours bf16 1 12
ours bf16 32 1
ours mixed 1 12
ours bf16 1 12 --optimizer adamw --lr 3e-4

if "${PYTHON:-python3}" -c 'import torch' 2>/dev/null; then
    for flags in "--precision bf16" "--precision bf16 --compile" "--precision fp32"; do
        echo "== torch_train.py $flags"
        # shellcheck disable=SC2086
        "${PYTHON:-python3}" "$here/torch_train.py" $flags || echo "(did not run)"
    done
else
    echo "== PyTorch is not there: set PYTHON to an interpreter that has it"
fi

if [ -n "${LLMC:-}" ]; then
    echo "== llm.c ($LLMC), batch 4, context 256 as it was built: 1024 tokens a step"
    (cd "$(dirname "$LLMC")" && OMP_NUM_THREADS=$(nproc) timeout -s INT "${LLMC_SECONDS:-240}" stdbuf -oL "$LLMC" || true) |
        tee "$work/llmc" | grep -E '^step' || true
    sed -n 's/.*(took \([0-9.]*\) ms).*/\1/p' "$work/llmc" | sort -n |
        awk '{ t[NR] = $1 } END { if (NR) printf "  %.1f tokens/s (median of %d steps)\n", 1024 / (t[int((NR + 1) / 2)] / 1000), NR }'
fi
