/* optim_soap_test.c -- soap against its equations in float64, an update at a time and with the bases that it has: which of
 * a factor's eigenvectors LAPACK finds where several have the same value is its own affair. Goldens hold the rest. */
#include "optim_support.h"

#define STEP_TOLERANCE 3e-5    /* of steps of size 1, from products in fp32 */
#define FACTOR_TOLERANCE 1e-4  /* of sums of squares that come to some 50 */
#define BASIS_TOLERANCE 2e-5   /* of products of unit vectors */
#define LR 0.0137
#define WEIGHT_DECAY 0.21
#define BETA1 0.8
#define BETA2 0.9
#define FACTOR_BETA 0.7
#define EPS 1e-4
#define MOST 40

typedef struct square {
    double at[MOST][MOST];
} square;

/* All of one matrix, in float64. `turned`: the side has a basis; otherwise it is the identity. */
typedef struct picture {
    size_t rows, cols;
    bool turned[2];
    square x, g, m, v, factor[2], basis[2];
} picture;

static void read_square(square *to, const work *w, const char *name, size_t rows, size_t cols)
{
    const tg_named_tensor *state = work_state(w, 0, name);
    assert_non_null(state);
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < cols; j++)
            to->at[i][j] = work_value(state->data, state->format, i * cols + j);
}

static void take(picture *p, const work *w)
{
    static const char *const factor[] = {"left", "right"}, *const basis[] = {"left_basis", "right_basis"};
    const work_tensor *t = &w->t[0];
    *p = (picture){.rows = t->rows, .cols = t->cols};
    for (size_t i = 0; i < t->n; i++) {
        p->x.at[i / t->cols][i % t->cols] = (double)((float *)t->data)[i];
        p->g.at[i / t->cols][i % t->cols] = (double)t->g[i];
    }
    read_square(&p->m, w, "exp_avg", t->rows, t->cols);
    read_square(&p->v, w, "exp_avg_sq", t->rows, t->cols);
    for (int side = 0; side < 2; side++) {
        const size_t n = side == 0 ? t->rows : t->cols;
        p->turned[side] = work_state(w, 0, factor[side]) != NULL;
        assert_int_equal(p->turned[side], work_state(w, 0, basis[side]) != NULL);
        for (size_t i = 0; !p->turned[side] && i < n; i++)
            p->basis[side].at[i][i] = 1;
        if (p->turned[side]) {
            read_square(&p->factor[side], w, factor[side], n, n);
            read_square(&p->basis[side], w, basis[side], n, n);
        }
    }
}

static size_t side_of(const picture *p, int side) { return side == 0 ? p->rows : p->cols; }

/* into the bases of `p`, or back from them. */
static void turn(square *to, const square *from, const picture *p, bool back)
{
    static square half;
    for (size_t i = 0; i < p->rows; i++)
        for (size_t j = 0; j < p->cols; j++) {
            half.at[i][j] = 0;
            for (size_t l = 0; l < p->rows; l++)
                half.at[i][j] += (back ? p->basis[0].at[l][i] : p->basis[0].at[i][l]) * from->at[l][j];
        }
    for (size_t i = 0; i < p->rows; i++)
        for (size_t j = 0; j < p->cols; j++) {
            to->at[i][j] = 0;
            for (size_t l = 0; l < p->cols; l++)
                to->at[i][j] += half.at[i][l] * (back ? p->basis[1].at[l][j] : p->basis[1].at[j][l]);
        }
}

static void expect(double got, double want, double tolerance, const char *what, size_t update)
{
    if (!(fabs(got - want) <= tolerance))
        fail_msg("%s after update %zu: %.9g, not %.9g", what, update, got, want);
}

/* factor <- b factor + (1-b) of the gradient's. */
static void check_factors(const picture *before, const picture *now, size_t update)
{
    for (int side = 0; side < 2; side++)
        for (size_t i = 0; now->turned[side] && i < side_of(now, side); i++)
            for (size_t j = 0; j < side_of(now, side); j++) {
                double gram = 0;
                for (size_t l = 0; l < side_of(now, 1 - side); l++)
                    gram += side == 0 ? now->g.at[i][l] * now->g.at[j][l] : now->g.at[l][i] * now->g.at[l][j];
                expect(now->factor[side].at[i][j], FACTOR_BETA * before->factor[side].at[i][j] + (1 - FACTOR_BETA) * gram,
                       FACTOR_TOLERANCE, "a factor", update);
            }
}

static void check_orthonormal(const picture *p, size_t update)
{
    for (int side = 0; side < 2; side++)
        for (size_t i = 0; i < side_of(p, side); i++)
            for (size_t j = 0; j <= i; j++) {
                double product = 0;
                for (size_t l = 0; l < side_of(p, side); l++)
                    product += p->basis[side].at[i][l] * p->basis[side].at[j][l];
                expect(product, i == j, BASIS_TOLERANCE, "a product of directions", update);
            }
}

/* What update `update` (from 2 on) makes of states and weights while the bases stay: m and v of `want`. */
static void check_step(const picture *before, const picture *now, picture *want, size_t update)
{
    static square turned, step;
    const double s = (double)update - 1;
    *want = *before;
    turn(&turned, &now->g, before, false);
    for (size_t i = 0; i < now->rows; i++)
        for (size_t j = 0; j < now->cols; j++) {
            want->m.at[i][j] = BETA1 * before->m.at[i][j] + (1 - BETA1) * turned.at[i][j];
            want->v.at[i][j] = BETA2 * before->v.at[i][j] + (1 - BETA2) * turned.at[i][j] * turned.at[i][j];
            step.at[i][j] = want->m.at[i][j] / (1 - pow(BETA1, s)) / (sqrt(want->v.at[i][j] / (1 - pow(BETA2, s))) + EPS);
        }
    turn(&turned, &step, before, true);
    for (size_t i = 0; i < now->rows; i++)
        for (size_t j = 0; j < now->cols; j++)
            expect(now->x.at[i][j], (1 - LR * WEIGHT_DECAY) * before->x.at[i][j] - LR * turned.at[i][j], LR * STEP_TOLERANCE + 1e-7,
                   "a weight", update);
}

/* factor q for the directions q of the old basis, sorted by q^T factor q; order[i]: the old number. */
static void power(square *to, size_t *order, const picture *before, const picture *now, int side)
{
    static square unsorted;
    const size_t n = side_of(now, side);
    double along[MOST] = {0};
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++) {
            unsorted.at[i][j] = 0;
            for (size_t l = 0; l < n; l++)
                unsorted.at[i][j] += before->basis[side].at[i][l] * now->factor[side].at[l][j];
            along[i] += unsorted.at[i][j] * before->basis[side].at[i][j];
        }
    for (size_t i = 0; i < n; i++) {
        size_t rank = 0;
        for (size_t j = 0; j < n; j++)
            rank += along[j] > along[i] || (along[j] == along[i] && j < i);
        order[rank] = i;
        memcpy(to->at[rank], unsorted.at[i], sizeof to->at[rank]);
    }
}

/* The new basis is QR's: orthonormal, and R upper triangular with a diagonal that is not negative. */
static void check_triangular(const square *powers, const picture *now, int side, size_t update)
{
    for (size_t i = 0; i < side_of(now, side); i++)
        for (size_t j = 0; j <= i; j++) {
            double r = 0, size = 0;
            for (size_t l = 0; l < side_of(now, side); l++) {
                r += now->basis[side].at[i][l] * powers->at[j][l];
                size += powers->at[j][l] * powers->at[j][l];
            }
            if (i != j)
                expect(r, 0, BASIS_TOLERANCE * sqrt(size), "a product below R's diagonal", update);
            else if (!(r >= -BASIS_TOLERANCE * sqrt(size)))
                fail_msg("R's diagonal holds %g after update %zu", r, update);
        }
}

/* After `renewal` bases are new, v follows the directions and m goes from the old bases into the new ones. */
static void check_states(const picture *before, const picture *now, const picture *want, bool renewal, size_t update)
{
    static square powers, plain, m;
    size_t order[2][MOST];
    for (int side = 0; side < 2; side++) {
        for (size_t i = 0; i < MOST; i++)
            order[side][i] = i;
        if (renewal && now->turned[side]) {
            power(&powers, order[side], before, now, side);
            check_triangular(&powers, now, side, update);
        } else {
            assert_memory_equal(&before->basis[side], &now->basis[side], sizeof(square));
        }
    }
    turn(&plain, &want->m, before, true);
    turn(&m, &plain, now, false);
    for (size_t i = 0; i < now->rows; i++)
        for (size_t j = 0; j < now->cols; j++) {
            expect(now->m.at[i][j], m.at[i][j], STEP_TOLERANCE, "an average", update);
            expect(now->v.at[i][j], want->v.at[order[0][i]][order[1][j]], STEP_TOLERANCE, "a square", update);
        }
}

/* Eigenvectors: the basis makes the factor diagonal, and its values descend. */
static void check_eigenvectors(const picture *p)
{
    for (int side = 0; side < 2; side++) {
        const size_t n = side_of(p, side);
        double last = INFINITY, size = 0;
        for (size_t i = 0; p->turned[side] && i < n; i++)
            size = fmax(size, p->factor[side].at[i][i]);
        for (size_t i = 0; p->turned[side] && i < n; i++)
            for (size_t j = 0; j <= i; j++) {
                double value = 0;
                for (size_t l = 0; l < n; l++)
                    for (size_t q = 0; q < n; q++)
                        value += p->basis[side].at[i][l] * p->factor[side].at[l][q] * p->basis[side].at[j][q];
                if (i != j)
                    expect(value, 0, BASIS_TOLERANCE * size * (double)n, "a factor between two eigenvectors", 1);
                else if (value > last + BASIS_TOLERANCE * size)
                    fail_msg("eigenvalue %zu, %g, is larger than the one before, %g", i, value, last);
                else
                    last = value;
            }
    }
}

static void check_shape(size_t rows, size_t cols, const char *one_sided)
{
    static picture before, now, want;
    work w;
    work_create(&w, "soap",
                (work_option[]){{"lr", "0.0137"},
                                {"weight_decay", "0.21"},
                                {"beta1", "0.8"},
                                {"beta2", "0.9"},
                                {"shampoo_beta", "0.7"},
                                {"eps", "1e-4"},
                                {"interval", "3"},
                                {"max_dim", "30"},
                                {"one_sided", one_sided},
                                {NULL, NULL}});
    work_add(&w, rows, cols, TG_MATRIX, 17, TG_F32);
    work_start(&w);
    take(&before, &w);
    work_update(&w, 0, 1, WORK_ARRAYS);
    take(&now, &w);
    assert_memory_equal(&before.x, &now.x, sizeof before.x); /* nothing moves yet, decay neither */
    check_factors(&before, &now, 1);
    check_eigenvectors(&now);
    check_orthonormal(&now, 1);
    for (size_t update = 2; update <= 12; update++) {
        before = now;
        work_update(&w, update - 1, 1, WORK_ARRAYS);
        take(&now, &w);
        check_factors(&before, &now, update);
        check_step(&before, &now, &want, update);
        check_states(&before, &now, &want, (update - 1) % 3 == 0, update);
        check_orthonormal(&now, update);
    }
    work_destroy(&w);
}

static void test_equations(void **state)
{
    (void)state;
    if (tg_rule_find("soap") == NULL)
        skip();
    static const size_t shape[][2] = {{5, 13}, {13, 5}, {9, 9}, {2, 29}, {33, 7}, {7, 33}, {31, 33}};
    for (size_t s = 0; s < sizeof shape / sizeof *shape; s++) {
        check_shape(shape[s][0], shape[s][1], "off");
        check_shape(shape[s][0], shape[s][1], "on");
    }
}

/* Which sides are turned: those within max_dim; with one_sided the shorter one, of equal ones the rows. */
static void test_sides(void **state)
{
    (void)state;
    static const struct {
        size_t rows, cols;
        const char *max_dim, *one_sided;
        bool left, right;
    } cases[] = {{5, 13, "13", "off", true, true},  {5, 13, "12", "off", true, false}, {13, 5, "12", "off", false, true},
                 {5, 13, "4", "off", false, false}, {5, 13, "13", "on", true, false},  {13, 5, "13", "on", false, true},
                 {7, 7, "13", "on", true, false},   {13, 5, "4", "on", false, false},  {5, 13, "12", "on", true, false}};
    if (tg_rule_find("soap") == NULL)
        skip();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        work w;
        work_create(&w, "soap",
                    (work_option[]){{"max_dim", cases[i].max_dim}, {"one_sided", cases[i].one_sided}, {NULL, NULL}});
        work_add(&w, cases[i].rows, cases[i].cols, TG_MATRIX, 3, TG_F32);
        work_start(&w);
        assert_int_equal(work_state(&w, 0, "left") != NULL, cases[i].left);
        assert_int_equal(work_state(&w, 0, "left_basis") != NULL, cases[i].left);
        assert_int_equal(work_state(&w, 0, "right") != NULL, cases[i].right);
        assert_int_equal(work_state(&w, 0, "right_basis") != NULL, cases[i].right);
        work_destroy(&w);
    }
}

/* A direction and its opposite are one: turned round, with its averages, it makes the same steps. */
static void test_signs(void **state)
{
    (void)state;
    work w[2];
    if (tg_rule_find("soap") == NULL)
        skip();
    for (int k = 0; k < 2; k++) {
        work_create(&w[k], "soap", (work_option[]){{"interval", "4"}, {NULL, NULL}});
        work_add(&w[k], 9, 14, TG_MATRIX, 17, TG_F32);
        work_start(&w[k]);
        for (size_t u = 0; u < 3; u++)
            work_update(&w[k], u, 1, WORK_ARRAYS);
    }
    float *basis = (float *)work_state(&w[1], 0, "right_basis")->data;
    float *average = (float *)work_state(&w[1], 0, "exp_avg")->data;
    for (size_t i = 0; i < 14; i++)
        basis[6 * 14 + i] = -basis[6 * 14 + i];
    for (size_t r = 0; r < 9; r++)
        average[r * 14 + 6] = -average[r * 14 + 6];
    for (size_t u = 3; u < 5; u++) /* the second one makes bases anew */
        for (int k = 0; k < 2; k++)
            work_update(&w[k], u, 1, WORK_ARRAYS);
    for (size_t i = 0; i < w[0].t[0].n; i++)
        expect((double)((float *)w[1].t[0].data)[i], (double)((float *)w[0].t[0].data)[i], 1e-6, "a weight", 5);
    work_destroy(&w[0]);
    work_destroy(&w[1]);
}

static void count_stale(void *ctx, const tg_event *event)
{
    if (event->kind == TG_EVENT_STALE_ROOT && strcmp(event->param, "t0") == 0)
        *(double *)ctx = event->value;
}

/* A factor that has come to hold NaN: the last good basis stays to the bit and goes on being used, which is counted and told;
 * the other side's goes on. */
static void test_stale_bases(void **state)
{
    (void)state;
    work w;
    double told = 0;
    if (tg_rule_find("soap") == NULL)
        skip();
    work_create(&w, "soap", (work_option[]){{"interval", "2"}, {NULL, NULL}});
    work_add(&w, 5, 13, TG_MATRIX, 17, TG_F32);
    work_start(&w);
    tg_optim_on_event(w.o, count_stale, &told);
    for (size_t u = 0; u < 2; u++)
        work_update(&w, u, 1, WORK_ARRAYS);
    const tg_named_tensor *right = work_state(&w, 0, "right_basis"), *left = work_state(&w, 0, "left_basis");
    const tg_named_tensor *failures = work_state(&w, 0, "failures");
    float good[13 * 13], good_left[5 * 5];
    memcpy(good, right->data, sizeof good);
    memcpy(good_left, left->data, sizeof good_left);
    memcpy((float *)work_state(&w, 0, "right")->data + 7, &(float){NAN}, sizeof(float));
    for (size_t u = 2; u < 7; u++) { /* due at updates 3, 5 and 7 */
        work_update(&w, u, 1, WORK_ARRAYS);
        assert_memory_equal(right->data, good, sizeof good);
        assert_true(*(const double *)failures->data == (double)(u / 2) && told == (double)(u / 2));
    }
    assert_memory_not_equal(left->data, good_left, sizeof good_left);
    for (size_t i = 0; i < w.t[0].n; i++)
        assert_true(isfinite(((float *)w.t[0].data)[i]));
    work_destroy(&w);
}

/* The very first eigenvectors cannot be had: the identity, and adam in it. */
static void test_first_basis(void **state)
{
    (void)state;
    work w;
    double told = 0;
    if (tg_rule_find("soap") == NULL)
        skip();
    work_create(&w, "soap", (work_option[]){{"interval", "2"}, {NULL, NULL}});
    work_add(&w, 5, 13, TG_MATRIX, 17, TG_F32);
    work_start(&w);
    tg_optim_on_event(w.o, count_stale, &told);
    memcpy((float *)work_state(&w, 0, "left")->data + 3, &(float){INFINITY}, sizeof(float));
    work_update(&w, 0, 1, WORK_ARRAYS);
    const float *left = work_state(&w, 0, "left_basis")->data;
    for (size_t i = 0; i < 25; i++)
        assert_true(left[i] == (i % 6 == 0));
    assert_true(told == 1);
    work_destroy(&w);
}

/* Gradients of zeros: no step, only decay from the second update on, and bases that stay orthonormal. */
static void test_no_gradient(void **state)
{
    (void)state;
    static picture p;
    work w;
    if (tg_rule_find("soap") == NULL)
        skip();
    work_create(&w, "soap", (work_option[]){{"interval", "1"}, {"weight_decay", "0"}, {NULL, NULL}});
    work_add(&w, 5, 13, TG_MATRIX, 17, TG_F32);
    work_start(&w);
    for (size_t u = 0; u < 4; u++)
        must(work_arrays(&w)); /* g is zero from the start */
    for (size_t i = 0; i < w.t[0].n; i++)
        assert_true(((float *)w.t[0].data)[i] == input_weight(17, i, TG_MATRIX));
    take(&p, &w);
    check_orthonormal(&p, 4);
    work_destroy(&w);
}

static void test_without_lapack(void **state)
{
    (void)state;
    tg_optim *o;
    if (tg_rule_find("soap") != NULL)
        skip();
    assert_int_equal(tg_optim_create(&o, "soap", NULL), TG_EUNSUPPORTED);
    assert_non_null(strstr(tg_message(), "soap needs LAPACK"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_equations),   cmocka_unit_test(test_sides),
                                       cmocka_unit_test(test_signs),       cmocka_unit_test(test_stale_bases),
                                       cmocka_unit_test(test_first_basis), cmocka_unit_test(test_no_gradient),
                                       cmocka_unit_test(test_without_lapack)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
