/* Any bytes as a file of paths give runs on problems that can be evaluated, or are refused with a message. */
#include <stdint.h>
#include <stdlib.h>

#include "tiger/engine/descent.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    tg_traces traces = {0};
    if (tg_traces_parse(&traces, (const char *)data, size, "paths.jsonl") == TG_OK) {
        for (size_t i = 0; i < traces.count; i++) {
            const tg_trace *t = &traces.at[i];
            if (t->n != tg_problem_variables(t->problem) ||
                (t->count > 0 && (t->x == NULL) != (t->n > TG_TRACE_VARIABLES)))
                abort();
            for (size_t k = 0; k < t->count && t->x != NULL; k++)
                tg_problem_evaluate(t->problem, t->x + k * t->n, NULL);
        }
        tg_traces_fini(&traces);
    } else if (traces.count != 0 || *tg_message() == '\0') {
        abort();
    }
    return 0;
}
