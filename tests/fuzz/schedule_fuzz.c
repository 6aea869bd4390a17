/* Any text is a schedule or is refused; a schedule's factors are finite and not negative wherever one
 * looks, whatever evaluations it is told of; what it remembers of them can be put back. */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "tiger/schedule.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(double factor)
{
    if (!isfinite(factor) || factor < 0)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint64_t total = 0;
    if (size < sizeof total)
        return 0;
    memcpy(&total, data, sizeof total);
    total >>= total & 63; /* small runs as often as large ones */
    const size_t bytes = size - sizeof total;
    char *const text = malloc(bytes + 1);
    if (text == NULL)
        return 0;
    memcpy(text, data + sizeof total, bytes);
    text[bytes] = '\0';
    tg_schedule *schedule = NULL;
    if (tg_schedule_create(&schedule, text, total, NULL) == TG_OK) {
        const uint64_t looks[] = {0, 1, total / 3, total / 2, total - 1, total, UINT64_MAX};
        for (size_t i = 0; i < sizeof looks / sizeof *looks; i++) {
            for (size_t c = 0; c < tg_schedule_courses(schedule); c++)
                check(tg_schedule_course_factor(schedule, c, looks[i]));
            check(tg_schedule_factor(schedule, looks[i]));
            tg_schedule_observe(schedule, looks[i], i % 3 == 2 ? NAN : 2.385 - (double)(i % 2));
        }
        for (size_t c = 0; c < tg_schedule_courses(schedule); c++) {
            tg_schedule_state state;
            tg_schedule_get_state(schedule, c, &state);
            if (tg_schedule_set_state(schedule, c, &state) != TG_OK)
                abort();
        }
        tg_schedule_destroy(schedule);
    } else if (schedule != NULL || *tg_message() == '\0') {
        abort();
    }
    free(text);
    return 0;
}
