/* race/race.h -- a run's own settings, and its file. */
#ifndef TG_RACE_RACE_H
#define TG_RACE_RACE_H

#include "tiger/engine/race.h"

/* What a run is made with: train's settings under the point's. Release with tg_race_setup_fini in any case. */
typedef struct tg_race_setup {
    tg_train_config config;
    tg_setting *setting; /* config.setting; the texts belong to the contender */
} tg_race_setup;
tg_status tg_race_setup_init(tg_race_setup *setup, const tg_race_config *race, const tg_race_run *run);
void tg_race_setup_fini(tg_race_setup *setup);

/* *text <- all that a run's result follows from, as a JSON object on one line. Heap. */
tg_status tg_race_settings(char **text, const tg_race_config *race, const tg_race_run *run);

/* OUT/runs/NAME, or a file in it. Heap; NULL when there is no memory. */
char *tg_race_path(const tg_race_config *race, const tg_race_run *run, const char *file);

/* run's results <- its file, when there is one that was ended; else it is TG_RACE_OPEN. `settings`, when not NULL, must
 * be those in the file: TG_EINVAL naming the first that differs. */
tg_status tg_race_read_run(tg_race_run *run, const tg_race_config *race, const char *settings);

#endif
