/* search/study.h -- a study as its journal tells it. */
#ifndef TG_SEARCH_STUDY_H
#define TG_SEARCH_STUDY_H

#include "search/journal.h"
#include "search/search.h"

#define TG_NO_STUDY ((size_t)-1)

/* What a journal holds, as far as one study needs it. */
struct tg_study {
    tg_journal journal;
    const tg_space *space;
    const tg_sampler *sampler;
    const tg_pruner *pruner;
    uint64_t seed;
    char *name, *worker, *settings; /* settings: of the study in the file; NULL: it has none */
    char **known;      /* names of studies in the order they were made; NULL: deleted */
    size_t studies;
    size_t mine;       /* this one among them; TG_NO_STUDY: not there */
    bool minimises;
    size_t *owner;     /* of every trial in the file: its index in `trial`, or SIZE_MAX for another study's */
    size_t owners, owner_room;
    tg_trial *trial;
    size_t trials, trial_room;
};

/* Takes a record of the journal in. TG_EFORMAT for what no writer of journals makes. */
tg_status tg_study_replay(void *study, const json_t *record);
void tg_trial_fini(tg_trial *trial);

static inline bool tg_trial_ended(const tg_trial *trial)
{
    return trial->state == TG_TRIAL_COMPLETE || trial->state == TG_TRIAL_PRUNED || trial->state == TG_TRIAL_FAILED;
}

#endif
