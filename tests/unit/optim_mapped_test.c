/* optim_mapped_test.c -- weights and states in mapped files: the bits that memory gives, and little of them in memory.
 */
#include <unistd.h>

#include "base/memory.h"
#include "optim_support.h"

enum { ROWS = 385, COLS = 4096, UPDATES = 3 };

#define BYTES ((size_t)ROWS * COLS * sizeof(float))

static tg_allocator paged;

static void open_file(void)
{
    char path[] = "/tmp/tiger_mapped_XXXXXX";
    const int file = mkstemp(path);
    assert_true(file >= 0);
    close(file);
    unlink(path);
    must(tg_paged_create(&paged, path));
}

/* Bytes of mapped memory that the process's page tables show as present. */
static size_t resident(const void *at, size_t bytes)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE), first = (uintptr_t)at / page, pages = bytes / page;
    FILE *file = fopen("/proc/self/pagemap", "rb");
    size_t count = 0;
    if (file == NULL)
        skip();
    assert_int_equal(fseek(file, (long)(first * 8), SEEK_SET), 0);
    for (size_t i = 0; i < pages; i++) {
        uint64_t entry;
        assert_int_equal(fread(&entry, sizeof entry, 1, file), 1);
        count += (size_t)(entry >> 63);
    }
    fclose(file);
    return count * page;
}

static tg_optim *trainer(const char *rule, const char *gradients, float *weights, const tg_allocator *allocator)
{
    tg_optim *o;
    must(tg_optim_create(&o, rule, allocator));
    must(tg_optim_set(o, TG_ALL_GROUPS, "gradients", gradients));
    must(tg_optim_add(
        o,
        &(tg_param){
            .name = "w", .data = weights, .format = TG_F32, .rows = ROWS, .cols = COLS, .mapped = allocator != NULL},
        NULL));
    must(tg_optim_start(o));
    return o;
}

static void train(tg_optim *o, const float *g)
{
    for (size_t u = 0; u < UPDATES; u++) {
        must(tg_optim_begin(o, 1));
        must(tg_optim_accumulate(o, 0, 0, 200, g));
        must(tg_optim_accumulate(o, 0, 200, ROWS - 200, g + 200 * COLS));
        must(tg_optim_micro_end(o));
        must(tg_optim_end(o));
    }
}

static void check_rests(const char *rule, const char *name, const void *data, size_t bytes)
{
    if (bytes >= BYTES && resident(data, bytes) > bytes / 40) /* neighbours bring 16 pages along */
        fail_msg("%s: %zu of %zu bytes of %s stay in memory", rule, resident(data, bytes), bytes, name);
}

static void check_states(const char *rule, const tg_optim *o, const tg_optim *other)
{
    for (size_t s = 0; s < tg_optim_state_count(o); s++) {
        const tg_named_tensor *t = tg_optim_state(o, s);
        check_rests(rule, t->name, t->data, t->bytes);
        assert_memory_equal(t->data, tg_optim_state(other, s)->data, t->bytes);
    }
}

static void test_rules(void **state)
{
    (void)state;
    static const char *const rules[][2] = {{"adamw", "buffered"},
                                           {"tiger", "folded"},
                                           {"lamb", "buffered"},
                                           {"adafactor", "released"},
                                           {"sgd", "released"}};
    for (size_t r = 0; r < sizeof rules / sizeof *rules; r++) {
        open_file();
        float *plain = tg_alloc(NULL, BYTES, 1), *mapped = tg_alloc(&paged, BYTES, 1), *g = tg_alloc(NULL, BYTES, 1);
        for (size_t i = 0; i < (size_t)ROWS * COLS; i++) {
            plain[i] = mapped[i] = 0.02385f * (float)sin((double)i);
            g[i] = 0.0113f * (float)cos(1.7 * (double)i);
        }
        tg_optim *in_memory = trainer(rules[r][0], rules[r][1], plain, NULL);
        tg_optim *in_file = trainer(rules[r][0], rules[r][1], mapped, &paged);
        train(in_memory, g);
        train(in_file, g);
        check_rests(rules[r][0], "the weights", mapped, BYTES);
        check_states(rules[r][0], in_file, in_memory);
        assert_memory_equal(plain, mapped, BYTES);
        tg_optim_destroy(in_memory);
        tg_optim_destroy(in_file);
        tg_free(NULL, plain, BYTES, 1);
        tg_free(NULL, g, BYTES, 1);
        tg_free(&paged, mapped, BYTES, 1);
        tg_paged_destroy(&paged);
    }
}

/* States go to and come from a checkpoint piece by piece. */
static void test_checkpoint(void **state)
{
    (void)state;
    char path[] = "/tmp/tiger_mapped_states_XXXXXX";
    const int file = mkstemp(path);
    assert_true(file >= 0);
    close(file);
    open_file();
    float *w = tg_alloc(NULL, BYTES, 1), *g = tg_alloc(NULL, BYTES, 1), *mapped = tg_alloc(&paged, BYTES, 1);
    for (size_t i = 0; i < (size_t)ROWS * COLS; i++)
        g[i] = 0.0113f * (float)cos(1.7 * (double)i);
    tg_optim *saved = trainer("adamw", "buffered", w, NULL);
    train(saved, g);
    must(tg_optim_save(saved, path));
    tg_optim *loaded = trainer("adamw", "buffered", mapped, &paged);
    must(tg_optim_load(loaded, path));
    check_states("adamw", loaded, saved);
    must(tg_optim_save(loaded, path));
    check_states("adamw", loaded, saved);
    tg_optim_destroy(saved);
    saved = trainer("adamw", "buffered", w, NULL);
    must(tg_optim_load(saved, path));
    for (size_t s = 0; s < tg_optim_state_count(saved); s++)
        assert_memory_equal(tg_optim_state(saved, s)->data, tg_optim_state(loaded, s)->data,
                            tg_optim_state(saved, s)->bytes);
    tg_optim_destroy(saved);
    tg_optim_destroy(loaded);
    tg_free(NULL, w, BYTES, 1);
    tg_free(NULL, g, BYTES, 1);
    tg_free(&paged, mapped, BYTES, 1);
    tg_paged_destroy(&paged);
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_rules), cmocka_unit_test(test_checkpoint)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
