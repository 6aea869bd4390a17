/* optim_golden_test.c -- every rule against its golden trajectories (tests/golden/RULE.txt, made in float64 by
 * tests/oracle/optimizers.py): 50 updates, weights and states, gradients as arrays and as tiles. A rule without a golden
 * file fails. */
#include "optim_support.h"

#define UPDATES 50
#define CHUNK 1024
#define MAX_ARRAYS 8

/* Half a unit in the last place at each of 50 updates, for values around 1; and averages with rounded coefficients. */
static const double weight_tolerance = UPDATES * 0x1p-24, state_tolerance = 4e-6;
/* Eigenvectors are as exact as their values lie apart: what is told in a basis of them. (Products by plain loops come to 5.6e-5.) */
static const double basis_tolerance = 8e-5;

typedef struct golden_array {
    size_t values, sums;
    size_t at[16];
    double value[16], sum[80];
} golden_array;

typedef struct golden_case {
    char name[64], option_name[WORK_OPTIONS][32], option_value[WORK_OPTIONS][32];
    int micro, gaps, anneal, bad;
    size_t options, tensors, states[WORK_TENSORS];
    size_t rows[WORK_TENSORS], cols[WORK_TENSORS];
    uint32_t seed[WORK_TENSORS];
    tg_role role[WORK_TENSORS];
    golden_array array[WORK_TENSORS][MAX_ARRAYS];
} golden_case;

static tg_role role_of(const char *name)
{
    for (int r = 0; r < TG_ROLE_COUNT; r++)
        if (strcmp(tg_role_name((tg_role)r), name) == 0)
            return (tg_role)r;
    fail_msg("no role '%s'", name);
    return TG_MATRIX;
}

static void read_array(FILE *f, golden_array *a)
{
    assert_int_equal(fscanf(f, " values %zu", &a->values), 1);
    assert_true(a->values <= 16);
    for (size_t i = 0; i < a->values; i++)
        assert_int_equal(fscanf(f, " %zu:%lf", &a->at[i], &a->value[i]), 2);
    assert_int_equal(fscanf(f, " sums %zu", &a->sums), 1);
    assert_true(a->sums <= 80);
    for (size_t i = 0; i < a->sums; i++)
        assert_int_equal(fscanf(f, " %lf", &a->sum[i]), 1);
}

static void read_tensor(FILE *f, golden_case *c)
{
    char role[32];
    const size_t k = c->tensors++;
    assert_true(k < WORK_TENSORS);
    assert_int_equal(fscanf(f, " %zu %zu %31s seed %u states %zu", &c->rows[k], &c->cols[k], role, &c->seed[k],
                            &c->states[k]), 5);
    assert_true(c->states[k] < MAX_ARRAYS);
    c->role[k] = role_of(role);
    for (size_t a = 0; a <= c->states[k]; a++)
        read_array(f, &c->array[k][a]);
}

/* Reads what follows the word "case", up to the next one; true when there is a next one. */
static bool read_case(FILE *f, golden_case *c)
{
    char word[64];
    *c = (golden_case){0};
    assert_int_equal(fscanf(f, " %63s micro %d gaps %d anneal %d bad %d", c->name, &c->micro, &c->gaps, &c->anneal,
                            &c->bad), 5);
    while (fscanf(f, " %63s", word) == 1 && strcmp(word, "case") != 0 && strcmp(word, "end") != 0) {
        if (strcmp(word, "option") == 0) {
            assert_true(c->options < WORK_OPTIONS);
            assert_int_equal(fscanf(f, " %31s %31s", c->option_name[c->options], c->option_value[c->options]), 2);
            c->options++;
        } else {
            assert_string_equal(word, "tensor");
            read_tensor(f, c);
        }
    }
    return strcmp(word, "case") == 0;
}

static bool is_bad(const golden_case *c, size_t k, size_t update, int micro)
{
    if (!c->bad || k % 3 != 1)
        return false;
    return (update % 11 == 4 && micro == 0) || (update % 13 == 6 && micro == c->micro - 1) || update % 17 == 9;
}

/* Places a NaN or an Inf in some element of every bad tensor's gradient; with `reject` they are only marked. */
static void spoil(const golden_case *c, work *w, size_t update, int micro, bool reject)
{
    for (size_t k = 0; k < w->count; k++) {
        w->t[k].bad = is_bad(c, k, update, micro) && reject;
        if (is_bad(c, k, update, micro)) {
            size_t at = (update * 31 + 7) % w->t[k].n;
            if (w->t[k].role == TG_EMBEDDING) /* in a row that is handed over */
                at = (update * (size_t)c->micro + (size_t)micro) % w->t[k].rows * w->t[k].cols;
            w->t[k].g[at] = update % 2 ? NAN : -INFINITY;
        }
    }
}

static void run_update(const golden_case *c, work *w, size_t u, work_way way)
{
    for (size_t k = 0; k < w->count; k++)
        w->t[k].absent = c->gaps && (u + k) % 5 == 3;
    must(tg_optim_scale(w->o, "lr", c->anneal ? 1 / (1 + (double)u / 16) : 1.0));
    if (way == WORK_ARRAYS) {
        work_fill(w, u);
        spoil(c, w, u, 0, false);
        must(work_arrays(w));
        return;
    }
    must(tg_optim_begin(w->o, (uint32_t)c->micro));
    for (int j = 0; j < c->micro; j++) {
        const size_t step = u * (size_t)c->micro + (size_t)j;
        work_fill(w, step);
        spoil(c, w, u, j, way == WORK_ROWS);
        work_micro(w, step, way);
    }
    must(tg_optim_end(w->o));
}

static void check_value(double got, double want, double tolerance, const char *what, size_t at)
{
    if (!(fabs(got - want) <= tolerance)) /* NaN fails too */
        fail_msg("%s: element or sum %zu is %.9g, golden %.9g", what, at, got, want);
}

static void check_array(const golden_array *a, const void *data, tg_format format, size_t n, double tolerance,
                        const char *what)
{
    for (size_t i = 0; i < a->values; i++)
        check_value(work_value(data, format, a->at[i]), a->value[i], tolerance * fmax(1, fabs(a->value[i])), what,
                    a->at[i]);
    assert_int_equal(a->sums, (n + CHUNK - 1) / CHUNK);
    for (size_t s = 0; s < a->sums; s++) {
        double sum = 0, size = 0;
        const size_t end = (s + 1) * CHUNK < n ? (s + 1) * CHUNK : n;
        for (size_t i = s * CHUNK; i < end; i++) {
            const double v = work_value(data, format, i);
            sum += v * (double)(1 + i % 7);
            size += fmax(1, fabs(v));
        }
        check_value(sum, a->sum[s], tolerance * size + tolerance, what, s);
    }
}

/* Each way of handing over with a place of its own for gradients: arrays, an array of ours, the momentum, one at a time. */
static const char *const place[WORK_WAYS] = {[WORK_ARRAYS] = "auto", [WORK_TILE] = "buffered", [WORK_ROWS] = "auto",
                                             [WORK_PANELS] = "released"};

/* The slot behind golden state `index`: those that exist are in the table's order. */
static const tg_slot *slot_at(const work *w, size_t k, const tg_rule_info *info, size_t index)
{
    for (size_t s = 0; s < info->slot_count; s++)
        if (work_state(w, k, info->slots[s].name) != NULL && index-- == 0)
            return &info->slots[s];
    return NULL;
}

/* Sums of products cancel: a factor's elements are as exact as its largest allows. */
static double tolerance_of(const work *w, size_t k, const tg_slot *slot, const tg_named_tensor *state)
{
    const bool factor = strcmp(slot->name, "left") == 0 || strcmp(slot->name, "right") == 0;
    const bool bases = work_state(w, k, "left_basis") != NULL || work_state(w, k, "right_basis") != NULL;
    double largest = 1;
    if (slot->shape == TG_SLOT_LEFT || slot->shape == TG_SLOT_RIGHT)
        for (size_t i = 0; i < state->bytes / sizeof(float); i++)
            largest = fmax(largest, fabs(work_value(state->data, TG_F32, i)));
    return (bases && !factor ? basis_tolerance : state_tolerance) * largest;
}

static void check_state(const char *rule, const golden_case *c, work_way way, const work *w, size_t k, size_t index)
{
    char what[200];
    const tg_slot *slot = slot_at(w, k, tg_rule_find(rule), index);
    if (slot == NULL)
        fail_msg("%s, case %s: golden state %zu of tensor %zu does not exist", rule, c->name, index, k);
    const tg_named_tensor *state = work_state(w, k, slot->name);
    snprintf(what, sizeof what, "%s, case %s, way %d, tensor %zu (%zu, %zu), %s", rule, c->name, (int)way, k,
             c->rows[k], c->cols[k], slot->name);
    assert_int_equal(state->format, slot->shape == TG_SLOT_SCALAR ? TG_F64 : TG_F32);
    check_array(&c->array[k][index + 1], state->data, state->format, (size_t)(state->bytes / tg_format_bytes(state->format)),
                tolerance_of(w, k, slot, state), what);
}

static void check_results(const char *rule, const golden_case *c, work_way way, const work *w)
{
    assert_int_equal(tg_optim_updates(w->o), UPDATES);
    for (size_t k = 0; k < w->count; k++) {
        char what[200];
        snprintf(what, sizeof what, "%s, case %s, way %d, tensor %zu (%zu, %zu), weights", rule, c->name, (int)way, k,
                 c->rows[k], c->cols[k]);
        check_array(&c->array[k][0], w->t[k].data, TG_F32, w->t[k].n, weight_tolerance, what);
        for (size_t s = 0; s < c->states[k]; s++)
            check_state(rule, c, way, w, k, s);
        if (slot_at(w, k, tg_rule_find(rule), c->states[k]) != NULL)
            fail_msg("%s, case %s: tensor %zu has more states than the golden", rule, c->name, k);
    }
}

static void check_case(const char *rule, const golden_case *c, work_way way)
{
    work w;
    work_option options[WORK_OPTIONS + 1] = {0};
    for (size_t i = 0; i < c->options; i++)
        options[i] = (work_option){c->option_name[i], c->option_value[i]};
    work_create(&w, rule, options);
    must(tg_optim_set(w.o, TG_ALL_GROUPS, "nan_budget", "0"));
    must(tg_optim_set(w.o, TG_ALL_GROUPS, "threads", "1"));
    const bool waits = way == WORK_PANELS && tg_rule_find(rule)->layers; /* layers release nothing */
    must(tg_optim_set(w.o, TG_ALL_GROUPS, "gradients", waits ? "buffered" : place[way]));
    for (size_t k = 0; k < c->tensors; k++)
        work_add(&w, c->rows[k], c->cols[k], c->role[k], c->seed[k], TG_F32);
    work_start(&w);
    if (way != WORK_ROWS || tg_optim_gradient_place(w.o) == TG_FOLDED) {
        for (size_t u = 0; u < UPDATES; u++)
            run_update(c, &w, u, way);
        check_results(rule, c, way, &w);
    }
    work_destroy(&w);
}

static void check_rule(const char *rule)
{
    char path[500], line[200];
    snprintf(path, sizeof path, "%s/golden/%s.txt", TG_TESTS_DIR, rule);
    if (tg_rule_find(rule)->slot_count > 0 && tg_rule_find(rule)->slots[0].codes != TG_CODES_NONE)
        return; /* 8 bits follow no golden: optim_code8_test */
    FILE *f = fopen(path, "r");
    if (f == NULL)
        fail_msg("rule '%s' has no golden trajectory %s: add it to tests/oracle/optimizers.py", rule, path);
    assert_non_null(fgets(line, sizeof line, f));
    assert_int_equal(fscanf(f, " case%n", &(int){0}), 0);
    golden_case *c = malloc(sizeof *c);
    assert_non_null(c);
    size_t cases = 0;
    for (bool more = true; more; cases++) {
        more = read_case(f, c);
        check_case(rule, c, WORK_TILE);
        check_case(rule, c, WORK_ROWS);
        if (c->micro == 1) {
            check_case(rule, c, WORK_ARRAYS);
            check_case(rule, c, WORK_PANELS);
        }
    }
    print_message("%s: %zu cases\n", rule, cases);
    assert_true(cases >= 8);
    free(c);
    fclose(f);
}

static void test_golden(void **state)
{
    (void)state;
    assert_true(tg_rule_count() >= 6);
    for (size_t r = 0; r < tg_rule_count(); r++)
        if (rule_wanted(tg_rule_at(r)->name))
            check_rule(tg_rule_at(r)->name);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_golden)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
