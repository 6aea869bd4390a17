/* Any text is a function or is refused with a column that lies in it; a function can be evaluated anywhere, its
 * variables have names of their own, and reading what it kept gives it again. */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "tiger/engine/problem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void evaluate(const tg_problem *p)
{
    const size_t n = tg_problem_variables(p);
    double *x = calloc(n, sizeof *x), *g = calloc(n, sizeof *g), *again = calloc(n, sizeof *g);
    if (n == 0 || n > 512 || x == NULL || g == NULL || again == NULL)
        abort();
    for (unsigned long long number = 0; number < 3; number++) {
        tg_problem_random_start(p, x, 1, number);
        const double f = tg_problem_evaluate(p, x, g), value = tg_problem_evaluate(p, x, NULL);
        tg_problem *same = NULL;
        if (tg_problem_parse(&same, tg_problem_text(p), NULL) != TG_OK)
            abort();
        tg_problem_evaluate(same, x, again);
        if ((f != value && !(isnan(f) && isnan(value))) || memcmp(g, again, n * sizeof *g) != 0)
            abort();
        tg_problem_destroy(same);
    }
    free(x);
    free(g);
    free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *const text = malloc(size + 1);
    tg_problem *p = NULL;
    size_t column = 0;
    if (text == NULL)
        return 0;
    memcpy(text, data, size);
    text[size] = '\0';
    if (tg_problem_parse(&p, text, &column) == TG_OK) {
        evaluate(p);
        tg_problem_destroy(p);
    } else if (p != NULL || *tg_message() == '\0' || column > strlen(text) + 1) {
        abort();
    }
    free(text);
    return 0;
}
