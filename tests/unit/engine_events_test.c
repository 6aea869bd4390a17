/* TensorBoard's event files, read back by a decoder that shares nothing with the writer: framing, checksums bit by bit,
 * every field of every message, names, and what a full disk leaves. */
#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <signal.h>
#include <sys/resource.h>

#include "base/memory.h"
#include "home_support.h"
#include "store/crc32c.h"
#include "store/events.h"

/* ---- an independent decoder ------------------------------------------------------------------------------------------ */

static uint32_t slow_crc32c(const unsigned char *at, size_t n)
{
    uint32_t crc = ~0u;
    for (size_t i = 0; i < 8 * n; i++) {
        const uint32_t bit = (crc ^ (uint32_t)(at[i / 8] >> i % 8)) & 1;
        crc = (crc >> 1) ^ (bit ? 0x82f63b78u : 0);
    }
    return ~crc;
}

static uint64_t little(const unsigned char *at, int n)
{
    uint64_t v = 0;
    for (int i = n - 1; i >= 0; i--)
        v = v << 8 | at[i];
    return v;
}

static uint32_t unmasked(const unsigned char *at)
{
    const uint32_t rotated = (uint32_t)little(at, 4) - 0xa282ead8u;
    return rotated >> 17 | rotated << 15;
}

typedef struct field {
    unsigned number, type;
    uint64_t value;            /* varint, fixed */
    const unsigned char *bytes; /* of length `value` */
} field;

/* Reads the field at *at; false at the end. */
static bool next_field(field *f, const unsigned char **at, const unsigned char *end)
{
    uint64_t v[2] = {0, 0};
    if (*at == end)
        return false;
    for (int k = 0; k < 2; k++) {
        for (int shift = 0;; shift += 7) {
            assert_true(*at < end && shift < 64);
            v[k] |= (uint64_t)(**at & 0x7f) << shift;
            if ((*(*at)++ & 0x80) == 0)
                break;
        }
        f->number = (unsigned)(v[0] >> 3);
        f->type = (unsigned)(v[0] & 7);
        f->bytes = NULL;
        if (k == 0 && (f->type == 1 || f->type == 5)) {
            const int n = f->type == 1 ? 8 : 4;
            f->value = little(*at, n);
            *at += n;
            return true;
        }
    }
    f->value = v[1];
    if (f->type == 2) {
        f->bytes = *at;
        *at += v[1];
        assert_true(*at <= end);
    } else
        assert_int_equal(f->type, 0);
    return true;
}

static double as_double(uint64_t bits)
{
    double d;
    memcpy(&d, &bits, sizeof d);
    return d;
}

static double as_float(uint64_t bits)
{
    const uint32_t low = (uint32_t)bits;
    float f;
    memcpy(&f, &low, sizeof f);
    return (double)f;
}

/* What a file said, value by value. */
typedef struct said {
    uint64_t step;
    char tag[32];
    double simple, number[6], limit[64], bucket[64];
    size_t limits, buckets;
    bool version, start;
} said;

static void read_histogram(said *s, const field *h)
{
    const unsigned char *at = h->bytes, *end = at + h->value;
    field f;
    while (next_field(&f, &at, end)) {
        if (f.number < 6)
            s->number[f.number] = as_double(f.value);
        for (size_t i = 0; f.number >= 6 && i < f.value / 8; i++)
            (f.number == 6 ? s->limit : s->bucket)[i] = as_double(little(f.bytes + 8 * i, 8));
        if (f.number == 6)
            s->limits = f.value / 8;
        if (f.number == 7)
            s->buckets = f.value / 8;
    }
}

static size_t read_summary(said *out, size_t count, uint64_t step, const field *summary)
{
    const unsigned char *at = summary->bytes, *end = at + summary->value;
    field value, f;
    while (next_field(&value, &at, end)) {
        const unsigned char *inner = value.bytes, *inner_end = inner + value.value;
        said *s = &out[count++];
        *s = (said){.step = step, .simple = -99};
        while (next_field(&f, &inner, inner_end)) {
            if (f.number == 1)
                memcpy(s->tag, f.bytes, f.value);
            if (f.number == 2)
                s->simple = as_float(f.value);
            if (f.number == 5)
                read_histogram(s, &f);
        }
    }
    return count;
}

static size_t read_event(said *out, size_t count, const unsigned char *data, size_t bytes)
{
    const unsigned char *at = data, *end = data + bytes;
    uint64_t step = 0;
    field f;
    while (next_field(&f, &at, end)) {
        if (f.number == 1)
            assert_true(as_double(f.value) > 1.6e9);
        if (f.number == 2)
            step = f.value;
        if (f.number == 3) {
            assert_memory_equal(f.bytes, "brain.Event:2", 13);
            out[count++] = (said){.step = step, .version = true};
        }
        if (f.number == 5)
            count = read_summary(out, count, step, &f);
        if (f.number == 7) {
            assert_true(f.value == 2 && f.bytes[0] == 0x08 && f.bytes[1] == 1);
            out[count++] = (said){.step = step, .start = true};
        }
    }
    return count;
}

static size_t read_file(said *out, const char *path)
{
    static unsigned char data[1 << 16];
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    const size_t size = fread(data, 1, sizeof data, file);
    fclose(file);
    size_t count = 0;
    for (size_t at = 0; at < size;) {
        const size_t bytes = little(data + at, 8);
        assert_true(at + bytes + 16 <= size);
        assert_int_equal(slow_crc32c(data + at, 8), unmasked(data + at + 8));
        assert_int_equal(slow_crc32c(data + at + 12, bytes), unmasked(data + at + 12 + bytes));
        count = read_event(out, count, data + at + 12, bytes);
        at += bytes + 16;
    }
    return count;
}

/* The names of event files in "m", in order; how many. */
static size_t names(char name[8][300])
{
    struct dirent **list;
    const int found = scandir("m", &list, NULL, alphasort);
    size_t count = 0;
    for (int i = 0; i < found; i++) {
        if (strstr(list[i]->d_name, "tfevents") != NULL)
            snprintf(name[count++], 300, "m/%s", list[i]->d_name);
        free(list[i]);
    }
    free(list);
    return count;
}

static void clear(void)
{
    char name[8][300];
    const size_t count = names(name);
    for (size_t i = 0; i < count; i++)
        unlink(name[i]);
}

/* ---- tests ------------------------------------------------------------------------------------------------------------- */

static void checksums(void **state)
{
    (void)state;
    unsigned char bytes[32];
    memset(bytes, 0, sizeof bytes); /* RFC 3720, B.4 */
    assert_int_equal(tg_crc32c(bytes, 32), 0x8a9136aau);
    memset(bytes, 0xff, sizeof bytes);
    assert_int_equal(tg_crc32c(bytes, 32), 0x62a8ab43u);
    assert_int_equal(tg_crc32c("123456789", 9), 0xe3069283u);
}

static void everything_reads_back(void **state)
{
    (void)state;
    static said got[16];
    char name[8][300];
    tg_events *e;
    const float values[] = {-1.5f, 0.25f, 6.5f, 0.25f, NAN, INFINITY, 2.385f}, same[] = {3, 3}, none[] = {NAN};
    ok(tg_events_create(&e, "m", 301));
    ok(tg_events_flush(e, 300)); /* nothing was collected: nothing is written */
    tg_events_scalar(e, "loss", 2.385);
    tg_events_histogram(e, "weights/w", values, 7);
    ok(tg_events_flush(e, 12345678901));
    tg_events_scalar(e, "loss", (double)NAN);
    tg_events_histogram(e, "same", same, 2);
    tg_events_histogram(e, "none", none, 1);
    ok(tg_events_flush(e, 12345678902));
    ok(tg_events_sync(e));
    tg_events_destroy(e);
    assert_int_equal(names(name), 1);
    assert_int_equal(read_file(got, name[0]), 6);
    assert_true(got[0].version && got[1].start && got[1].step == 301);
    assert_true(got[2].step == 12345678901 && strcmp(got[2].tag, "loss") == 0 && got[2].simple == (double)2.385f);
    const said *h = &got[3];
    assert_string_equal(h->tag, "weights/w");
    const double x = (double)2.385f, sum = -1.5 + 0.25 + 6.5 + 0.25 + x, squares = 2.25 + 0.125 + 42.25 + x * x;
    assert_true(h->number[1] == -1.5 && h->number[2] == 6.5 && h->number[3] == 5);
    assert_true(fabs(h->number[4] - sum) < 1e-12 && fabs(h->number[5] - squares) < 1e-12);
    assert_true(h->limits == 40 && h->buckets == 40 && h->limit[39] == 6.5);
    double all = 0;
    for (size_t i = 0; i < 40; i++) {
        assert_true(fabs(h->limit[i] - (-1.5 + 0.2 * (double)(i + 1))) < 1e-12);
        all += h->bucket[i];
    }
    assert_true(all == 5 && h->bucket[0] == 1 && h->bucket[8] == 2 && h->bucket[19] == 1 && h->bucket[39] == 1);
    assert_true(got[4].step == 12345678902 && isnan(got[4].simple));
    assert_true(got[5].limits == 1 && got[5].limit[0] == 3 && got[5].bucket[0] == 2);
    clear();
}

/* A run that is resumed at once, or after the clock was put back, is read last. */
static void later_files_are_named_behind(void **state)
{
    (void)state;
    static said got[4];
    char name[8][300];
    tg_events *e;
    FILE *old = fopen("m/events.out.tfevents.8888888888.host.1", "wb");
    assert_true(old != NULL && fclose(old) == 0);
    for (uint64_t i = 0; i < 3; i++) {
        ok(tg_events_create(&e, "m", 500 - 100 * i));
        tg_events_destroy(e);
    }
    assert_int_equal(names(name), 4);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(read_file(got, name[i + 1]), 2);
        assert_int_equal(got[1].step, 500 - 100 * i);
    }
    clear();
}

static void what_cannot_be_written_leaves_whole_records(void **state)
{
    (void)state;
    static said got[300];
    char name[8][300];
    tg_events *e = NULL;
    struct rlimit old, small;
    refused(tg_events_create(&e, "nowhere", 1), TG_ENOTFOUND, "nowhere");
    assert_null(e);
    ok(tg_events_create(&e, "m", 1));
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    small = (struct rlimit){.rlim_cur = 1000, .rlim_max = old.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    tg_status status = TG_OK;
    size_t written = 0;
    for (; status == TG_OK && written < 200; written++) {
        tg_events_scalar(e, "loss", 2.385);
        status = tg_events_flush(e, written);
    }
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    refused(status, TG_EIO, "cannot write 'm/events|File too large");
    assert_true(written > 5 && written < 100);
    tg_events_destroy(e);
    assert_int_equal(names(name), 1);
    assert_int_equal(read_file(got, name[0]), 2 + written - 1);
    clear();
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    const float values[] = {-1.5f, 0.25f};
    bool done = false;
    for (size_t at = 1; !done; at++) {
        tg_events *e = NULL;
        tg_memory_fail_at(at);
        tg_status status = tg_events_create(&e, "m", 1);
        if (status == TG_OK) {
            tg_events_scalar(e, "loss", 2.385);
            tg_events_histogram(e, "h", values, 2);
            status = tg_events_flush(e, 1);
        }
        tg_memory_fail_at(0);
        assert_true(status == TG_OK || status == TG_ENOMEM);
        done = status == TG_OK;
        assert_true(at < 100);
        tg_events_destroy(e);
        clear();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(checksums),
        cmocka_unit_test(everything_reads_back),
        cmocka_unit_test(later_files_are_named_behind),
        cmocka_unit_test(what_cannot_be_written_leaves_whole_records),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, enter, leave);
}
