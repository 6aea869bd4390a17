#!/usr/bin/env bash
# mutation.sh -- breaks optimizers and schedules on purpose, one line at a time, and expects the tests to notice each time.
#
#   tests/mutation.sh [WORD]...   only the mutations whose file or expression holds one of the words
#
# Works in a copy; the tree is not touched. A mutation is a file under src/ and a sed expression; one that changes nothing
# any more is an error too: it must follow the code.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp -r "$root/CMakeLists.txt" "$root/cmake" "$root/include" "$root/src" "$root/tests" "$root/bench" "$root/docs" "$work/"
export OMP_WAIT_POLICY=passive
tests=(optim_golden_test optim_rules_test optim_tiger_test optim_guard_test optim_edge_test optim_misuse_test
    optim_format_test optim_bits_test optim_resume_test optim_memory_test optim_observe_test format_test schedule_test)

mutations() {
    cat <<'M'
optim/rule/sgd.c s/first ? 0 : mu;/first ? mu : 0;/
optim/rule/sgd.c s/ema ? 1 - mu : first ? 1 : 1 - v/ema ? 1 - mu : 1 - v/
optim/rule/sgd.c s/k\[K_LOOK\] \* g\[i\] + k\[K_MU\] \* m\[i\]/k[K_MU] * m[i]/
optim/rule/sgd.c s/v->option\[EMA\] != 0 ? (float)(1 - mu) : 1.0f/1.0f/
optim/rule/sgd.c s/x\[i\] -= k\[K_LR\] \* g\[i\];/x[i] += k[K_LR] * g[i];/
optim/rule/sgd.c s/TG_DECAY_COUPLED/TG_DECAY_DECOUPLED/
optim/rule/adam.c s/1 - pow(b1, t)/1 - pow(b1, t - 1 + (t == 1))/
optim/rule/adam.c s/sqrt(1 - pow(b2, t))/(1 - pow(b2, t))/
optim/rule/adam.c s/h\[i\] > v\[i\] ? h\[i\] : v\[i\]/v[i]/
optim/rule/adam.c s/\* k\[K_ROOT\] + k\[K_EPS\]/* k[K_ROOT]/
optim/rule/adam.c s/k\[K_A2\] \* (g\[i\] \* g\[i\])/k[K_A2] * g[i]/
optim/rule/adam.c s/(float)(1 - b1);/1.0f;/
optim/rule/adam.c s/\.decay = TG_DECAY_DECOUPLED/.decay = TG_DECAY_COUPLED/
optim/rule/adam.c s/ADAM_OPTIONS(0, 1)/ADAM_OPTIONS(0, 0)/
optim/rule/adam.c s/ADAM_OPTIONS(0, 1)/ADAM_OPTIONS(1e-2, 1)/
optim/rule/adam.c s/sqrtf(h\[i\])/sqrtf(v[i])/
optim/rule/adam.c s/h\[i\] > v\[i\] ? h\[i\] : v\[i\]/h[i] < v[i] ? h[i] : v[i]/
optim/rule/adam.c s/amsgrad(b, k);/plain(b, k);/
optim/rule/adagrad.c s/x\[i\] -= k/x[i] += k/
optim/rule/adagrad.c s/(double)(v->t - 1) \*/(double)v->t */
optim/rule/adagrad.c s/s\[i\] < k\[K_INITIAL\] ? k\[K_INITIAL\] : s\[i\]/s[i]/
optim/rule/adagrad.c s/sqrtf(s\[i\]) + k\[K_EPS\]/sqrtf(s[i] + k[K_EPS])/
optim/rule/adagrad.c s/TG_DECAY_COUPLED/TG_DECAY_DECOUPLED/
optim/rule/adagrad.c s/i < b->n; i++/i + 1 < b->n; i++/
optim/rule/adagrad.c s/role == TG_EMBEDDING \&\& option\[EMBEDDING_UPDATE\] == UPDATE_LAZY/role == TG_EMBEDDING \&\& option[LR] >= 0/
optim/rule/adagrad.c s/role == TG_EMBEDDING \&\& option\[EMBEDDING_UPDATE\] == UPDATE_LAZY/role == TG_BIAS \&\& option[EMBEDDING_UPDATE] == UPDATE_LAZY/
optim/rule/rmsprop.c s/x\[i\] -= lr/x[i] += lr/
optim/rule/rmsprop.c s/(float)(1 - v->option\[ALPHA\])/(float)v->option[ALPHA]/
optim/rule/rmsprop.c s/spread -= a\[i\] \* a\[i\];/spread -= a[i];/
optim/rule/rmsprop.c s/spread < v\[i\] \* 0x1p-24f ? v\[i\] \* 0x1p-24f : spread/spread/
optim/rule/rmsprop.c s/spread < v\[i\] \* 0x1p-24f ? v\[i\] \* 0x1p-24f : spread/spread < 0 ? 0 : spread/
optim/rule/rmsprop.c s/mu \* m\[i\] + d/mu * m[i] + (1 - mu) * d/
optim/rule/rmsprop.c s/sqrtf(spread) + eps/sqrtf(spread + eps)/
optim/rule/rmsprop.c s/walk(b, k, true, false)/walk(b, k, false, false)/
optim/rule/rmsprop.c s/i < n; i++/i < n - n % 8; i++/
optim/rule/rmsprop.c s/TG_DECAY_COUPLED/TG_DECAY_DECOUPLED/
optim/rule/adadelta.c s/x\[i\] -= k/x[i] += k/
optim/rule/adadelta.c s/k\[K_TAKE\] \* (d \* d)/k[K_TAKE] * (g[i] * g[i])/
optim/rule/adadelta.c s/(float)(1 - v->option\[RHO\])/1.0f/
optim/rule/adadelta.c s/(v\[i\] + k\[K_EPS\])/v[i]/
optim/rule/adadelta.c s/i < b->n; i++/i + 1 < b->n; i++/
optim/rule/adadelta.c s/TG_DECAY_COUPLED/TG_DECAY_DECOUPLED/
optim/rule/adamax.c s/x\[i\] -= k/x[i] += k/
optim/rule/adamax.c s/(1 - pow(b1, (double)v->t))/1/
optim/rule/adamax.c s/faded > now ? faded : now/now/
optim/rule/adamax.c s/fabsf(g\[i\]) + k\[K_EPS\]/fabsf(g[i])/
optim/rule/adamax.c s/i < b->n; i++/i + 1 < b->n; i++/
optim/rule/adamax.c s/TG_DECAY_COUPLED/TG_DECAY_DECOUPLED/
optim/rule/nadam.c s/momentum(v, t + 1)/momentum(v, t)/
optim/rule/nadam.c s/\*v->scalar\[PRODUCT\] \* mu;/pow(mu, t);/
optim/rule/nadam.c s/\*v->scalar\[PRODUCT\] = product;/;/
optim/rule/nadam.c s/k\[K_G\] \* g\[i\] + k\[K_M\] \* m\[i\]/k[K_M] * m[i]/
optim/rule/nadam.c s/1 \/ sqrt(1 - pow(b2, t))/1/
optim/rule/nadam.c s/i < b->n; i++/i + 1 < b->n; i++/
optim/rule/nadam.c s/TG_DECAY_COUPLED/TG_DECAY_DECOUPLED/
optim/rule/radam.c s/x\[i\] -= k/x[i] += k/
optim/rule/radam.c s/rho > 5/rho > 4/
optim/rule/radam.c s/(1 - pow(b1, t))/1/
optim/rule/radam.c s/(1 - fading) \* (rho - 4)/(rho - 4)/
optim/rule/radam.c s/walk(b, k, false)/walk(b, k, true)/
optim/rule/radam.c s/k\[K_A2\] \* (g\[i\] \* g\[i\])/k[K_A2] * g[i]/
optim/rule/radam.c s/i < b->n; i++/i + 1 < b->n; i++/
optim/rule/radam.c s/TG_DECAY_COUPLED/TG_DECAY_DECOUPLED/
optim/rule/asgd.c s/- k\[K_ETA\] \* g/+ k[K_ETA] * g/
optim/rule/asgd.c s/(float)(1 - lambd \* eta)/1.0f/
optim/rule/asgd.c s/v->t == 1 ? lr : \*v->scalar\[ETA\]/lr/
optim/rule/asgd.c s/pow(1 + lambd \* lr \* t, /pow(1 + lambd * lr * (t - 1), /
optim/rule/asgd.c s/1 \/ fmax(1, t - /1 \/ fmax(1, t + 1 - /
optim/rule/asgd.c s/k\[K_MU\] == 1.0f ? 0.0f : 1.0f/0.0f/
optim/rule/asgd.c s/i < b->n; i++/i + 1 < b->n; i++/
optim/rule/asgd.c s/TG_DECAY_COUPLED/TG_DECAY_DECOUPLED/
optim/rule/rprop.c s/c > 0.0f ? plus : c < 0.0f ? minus/c < 0.0f ? plus : c > 0.0f ? minus/
optim/rule/rprop.c s/kept = c < 0.0f ? 0.0f : g\[i\]/kept = g[i]/
optim/rule/rprop.c s/prev\[i\] = kept/prev[i] = g[i]/
optim/rule/rprop.c s/v->t == 1 ? (float)v->option\[LR\] : 0.0f/0.0f/
optim/rule/rprop.c s/step > most ? most : step/step/
optim/rule/rprop.c s/step < least ? least : step/step/
optim/rule/rprop.c s/option\[STEP_MIN\] > option\[STEP_MAX\]/option[STEP_MIN] < 0/
optim/rule/rprop.c s/i < b->n; i++/i + 1 < b->n; i++/
optim/rule/rprop.c s/TG_DECAY_COUPLED/TG_DECAY_DECOUPLED/
optim/rule/signsgd.c s/x\[i\] -= k/x[i] += k/
optim/rule/signsgd.c s/tg_sign(g\[i\]) + k\[K_WD\]/tg_sign(g[i]) - k[K_WD]/
optim/rule/signsgd.c s/tg_sign(g\[i\])/g[i]/
optim/rule/signsgd.c s/(float)v->option\[DECAY\]/0.0f/
optim/rule/signsgd.c s/i < b->n; i++/i + 1 < b->n; i++/
optim/rule/signsgd.c s/TG_DECAY_OWN/TG_DECAY_DECOUPLED/
optim/rule/lion.c s/m\[i\] = k\[K_B2\] \* m\[i\]/m[i] = k[K_B1] * m[i]/
optim/rule/lion.c s/tg_sign(k\[K_B1\]/tg_sign(k[K_B2]/
optim/rule/lion.c s/(u + k\[K_WD\] \* x\[i\])/(u - k[K_WD] * x[i])/
optim/rule/lion.c s/(u + k\[K_WD\] \* x\[i\])/u/
optim/rule/lion.c s/m\[i\] = k\[K_B2\].*/;/
optim/rule/signum.c s/tg_sign(m\[i\]) + k\[K_WD\] \* x\[i\]/tg_sign(m[i])/
optim/rule/signum.c s/k\[K_B\] \* m\[i\] + k\[K_A\] \* g\[i\]/k[K_A] * g[i]/
optim/rule/signum.c s/(float)(1 - v->option\[BETA\])/1.0f/
optim/rule/signum.c s/i < b->n; i++/i < b->n - b->n % 8; i++/
optim/rule/signum.c s/\*scale = 1 - v->option\[BETA\]/*scale = v->option[BETA]/
optim/rule/tiger.c s/fmax(v->rms, v->option\[RMS_FLOOR\])/v->rms/
optim/rule/tiger.c s/vector ? 0.0f :/0 ? 0.0f :/
optim/rule/tiger.c s/return v->option\[BIAS_LR\];/return 1;/
optim/rule/tiger.c s/1 \/ sqrt((double)v->fan_in)/1 \/ (double)v->fan_in/
optim/rule/tiger.c s/role == TG_EMBEDDING \&\& option\[EMBEDDING_UPDATE\] == UPDATE_LAZY/0 * (role + option[0]) != 0/
optim/rule/tiger.c s/\*scale = 1 - v->option\[BETA\]/*scale = 1/
optim/rule/tiger.c s/(float)(1 - v->option\[GAMMA\])/(float)(0.5 - v->option[GAMMA] \/ 2)/
optim/rule.h s/__builtin_islessgreater(v, 0.0f) ? one : 0.0f/one/
optim/rule.h s/\& 0x80000000u) | 0x3f800000u/\& 0x80000000u) | 0xbf800000u/
optim/guard.c s/s->centre) \* s->factor + s->centre/s->centre) * s->factor/
optim/guard.c s/e->accepted += e->seen \&\& !e->bad;/e->accepted += e->seen;/
optim/guard.c s/else if (e->accepted > 0)/else if (0)/
optim/tiles.c s/missed + 1)/missed)/
optim/tiles.c s/count == 0 ? (float)t->decay : 1.0f/(float)t->decay/
optim/tiles.c s/<< 8 | count;/<< 8;/
optim/tiles.c s/o->update + 1) << 32/(uint64_t)1) << 32/
optim/pass.c s/TG_STREAM_WEIGHT, o->update + 1, entry/TG_STREAM_WEIGHT, 1, entry/
optim/pass.c s/TG_STREAM_WEIGHT, o->update + 1, entry/TG_STREAM_WEIGHT, o->update + 1, 0/
optim/update.c s/most \/ (norm + 1e-6)/most \/ (norm * norm + 1e-6)/
optim/update.c s/e->accepted < o->window/e->accepted == 0/
optim/inspect.c s/sum \/ (scale \* scale)/sum/
schedule/plateau.c s/loss < state->best \* (1 - stage->option\[THRESHOLD\])/loss < state->best/
schedule/plateau.c s/        state->best = loss;/;/
schedule/plateau.c s/<= stage->option\[PATIENCE\]/< stage->option[PATIENCE]/
schedule/plateau.c s/        state->cooldown--;/        state->cooldown = 0;/
schedule/plateau.c s/, stage->option\[MIN\])/, 0)/
schedule/plateau.c s/state->cooldown = (uint64_t)stage->option\[COOLDOWN\];/;/
schedule/as_lr.c s/pow(stage->lr, stage->option\[POWER\])/stage->lr/
schedule/as_lr.c s/fmin(pow(stage->lr, stage->option\[POWER\]), DBL_MAX)/pow(stage->lr, stage->option[POWER])/
schedule/onecycle.c s/counter ? stage->option\[COUNTER\] : 1/1/
schedule/onecycle.c s/end = counter ? 1 : start/end = start/
schedule/compose.c s/if (c->state.stage == i + 1)/if (c->state.stage != 0)/
schedule/compose.c s/if (c->state.stage != j + 1)/if (c->state.stage == 0)/
schedule/compose.c s/schedule->lr = c;/schedule->lr = schedule->at;/
schedule/compose.c s/now - placed->start > placed->stage.length/false/
schedule/compose.c s/state->factor <= 1)/state->factor <= 2)/
schedule/compose.c s/name.at\[i\] == '-' ? '_' : name.at\[i\]/name.at[i]/
schedule/compose.c s/placed->kind->observe == NULL || //
schedule/cosine.c s/stage->option\[MIN\]/0/
schedule/wsd.c s/sqrt(x)/x/
base/kernels.c s/(u\[i\] \& 0x7f800000u) == 0x7f800000u/(u[i] \& 0x7fffffffu) > 0x7f800000u/
base/half.h s/+ ((magnitude >> 13) \& 1u) -/-/
M
}

build() { cmake --build "$work/build" -j "$(nproc)" --target "${tests[@]}" >"$work/log" 2>&1; }

# The name of the first test that fails; nothing when all pass.
first_failure() {
    local test
    for test in "${tests[@]}"; do
        timeout 300 "$work/build/$test" >"$work/log" 2>&1 || { echo "$test"; return; }
    done
}

wanted() { # MUTATION [WORD]...
    local mutation=$1 word
    shift
    [ $# -gt 0 ] || return 0
    for word in "$@"; do
        [[ "$mutation" != *"$word"* ]] || return 0
    done
    return 1
}

cmake -S "$work" -B "$work/build" -DTIGER_ENGINE=OFF >"$work/log" 2>&1 && build || { cat "$work/log"; exit 1; }
broken=$(first_failure)
[ -z "$broken" ] || { echo "mutation.sh: $broken fails before anything is broken"; exit 1; }

caught=0 survived=0
while read -r file expression; do
    wanted "$file $expression" "$@" || continue
    cp "$root/src/$file" "$work/original"
    sed "$expression" "$work/original" >"$work/src/$file"
    if cmp -s "$work/original" "$work/src/$file"; then
        echo "STALE     $file $expression"
        survived=$((survived + 1))
    else
        by=$(build && first_failure || echo compiler)
        [ -n "$by" ] && caught=$((caught + 1)) || survived=$((survived + 1))
        echo "$([ -n "$by" ] && echo "caught    " || echo 'SURVIVED  ')$file $expression${by:+   by $by}"
    fi
    cp "$work/original" "$work/src/$file"
done < <(mutations)
echo "$caught caught, $survived not"
[ "$survived" -eq 0 ]
