/* engine_store_test.c -- files and directories that appear whole: killed at every system call, with failing calls, with
 * synced data only, and at random moments; checkpoints by number; metrics.jsonl.
 *
 * The calls that change the file system are defined here, before the C library's, to count them, to kill or fail at
 * one, and to see what is on disk when a name is given. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/random.h"
#include "store/directory.h"
#include "store/metrics.h"

/* ---- the system calls ---- */

static long kill_at, calls;                     /* kill_at 0: never */
static int fail_fsync, fail_rename, fail_link;  /* an errno: the call fails with it */
static bool no_exchange, free_fsync;
static ino_t synced[256];                       /* inodes without writes since their last fsync */
static size_t synced_count;
static bool unsynced_rename;                    /* something took its name before all of it was synced */

static void call(void)
{
    if (kill_at > 0 && ++calls == kill_at)
        kill(getpid(), SIGKILL);
}

static int refuse(int error)
{
    errno = error;
    return -1;
}

static void forget(ino_t inode)
{
    for (size_t i = 0; i < synced_count; i++)
        if (synced[i] == inode)
            synced[i--] = synced[--synced_count];
}

static bool is_synced(ino_t inode)
{
    for (size_t i = 0; i < synced_count; i++)
        if (synced[i] == inode)
            return true;
    return false;
}

/* Every file and directory below `name`, itself included. */
static bool all_synced(int at, const char *name)
{
    struct stat about;
    if (fstatat(at, name, &about, AT_SYMLINK_NOFOLLOW) != 0 || !is_synced(about.st_ino))
        return false;
    if (!S_ISDIR(about.st_mode))
        return true;
    bool all = true;
    DIR *d = fdopendir(openat(at, name, O_RDONLY | O_DIRECTORY));
    for (struct dirent *e; d != NULL && (e = readdir(d)) != NULL;)
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            all = all && all_synced(dirfd(d), e->d_name);
    closedir(d);
    return all;
}

ssize_t write(int fd, const void *data, size_t bytes)
{
    struct stat about;
    call();
    if (fstat(fd, &about) == 0)
        forget(about.st_ino);
    return syscall(SYS_write, fd, data, bytes);
}

int fsync(int fd)
{
    struct stat about;
    call();
    if (fail_fsync != 0)
        return refuse(fail_fsync);
    const int result = free_fsync ? 0 : (int)syscall(SYS_fsync, fd);
    if (result == 0 && fstat(fd, &about) == 0 && !is_synced(about.st_ino) && synced_count < 256)
        synced[synced_count++] = about.st_ino;
    return result;
}

int renameat2(int from_at, const char *from, int to_at, const char *to, unsigned flags)
{
    call();
    if (flags != 0 && no_exchange)
        return refuse(EINVAL);
    if (fail_rename != 0)
        return refuse(fail_rename);
    if (strstr(to, TG_TEMPORARY) == NULL && !all_synced(from_at, from))
        unsynced_rename = true;
    return (int)syscall(SYS_renameat2, from_at, from, to_at, to, flags);
}

int renameat(int from_at, const char *from, int to_at, const char *to)
{
    return renameat2(from_at, from, to_at, to, 0);
}

int rename(const char *from, const char *to) { return renameat2(AT_FDCWD, from, AT_FDCWD, to, 0); }

int unlinkat(int at, const char *name, int flags)
{
    struct stat about;
    call();
    if (fstatat(at, name, &about, AT_SYMLINK_NOFOLLOW) == 0 && about.st_nlink <= 1 + (flags == AT_REMOVEDIR))
        forget(about.st_ino); /* the number may come again */
    return (int)syscall(SYS_unlinkat, at, name, flags);
}

int unlink(const char *name) { return unlinkat(AT_FDCWD, name, 0); }

int mkdir(const char *name, mode_t mode)
{
    call();
    return (int)syscall(SYS_mkdirat, AT_FDCWD, name, mode);
}

int link(const char *from, const char *to)
{
    call();
    return fail_link != 0 ? refuse(fail_link) : (int)syscall(SYS_linkat, AT_FDCWD, from, AT_FDCWD, to, 0);
}

/* ---- small tools ---- */

static char home[64];

static int enter(void **state)
{
    (void)state;
    snprintf(home, sizeof home, "/tmp/tiger-store-XXXXXX");
    return mkdtemp(home) == NULL ? -1 : chdir(home);
}

static int leave(void **state)
{
    (void)state;
    return chdir("/") != 0 || tg_directory_remove(home) != TG_OK ? -1 : 0;
}

static void ok(tg_status status)
{
    if (status != TG_OK)
        fail_msg("%s", tg_message());
}

static size_t entries(const char *directory)
{
    size_t n = 0;
    DIR *d = opendir(directory);
    for (struct dirent *e; d != NULL && (e = readdir(d)) != NULL;)
        n += strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
    if (d != NULL)
        closedir(d);
    return n;
}

static bool exists(const char *path) { return access(path, F_OK) == 0; }

static char *contents(const char *path)
{
    static char text[4096];
    FILE *f = fopen(path, "rb");
    const size_t n = f == NULL ? 0 : fread(text, 1, sizeof text - 1, f);
    if (f != NULL)
        fclose(f);
    text[n] = 0;
    return text;
}

/* ---- a directory of three files that all tell its generation ---- */

#define RUN "run"
#define NAME "checkpoint-00000007"
static const char *const parts[] = {"model", "states", "inside/trainer"};
enum { PARTS = 3, ABSENT = -1, BROKEN = -2 };

static void put(const char *path, const char *text)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    fputs(text, f);
    assert_int_equal(fclose(f), 0);
}

static tg_status save(int generation)
{
    tg_directory dir = {0};
    char text[32], path[256];
    snprintf(text, sizeof text, "generation %d", generation);
    tg_status status = tg_directory_begin(&dir, RUN, NAME);
    if (status == TG_OK) {
        snprintf(path, sizeof path, "%s/inside", dir.temporary);
        status = tg_directory_make(path);
    }
    for (int i = 0; i < PARTS && status == TG_OK; i++) {
        snprintf(path, sizeof path, "%s/%s", dir.temporary, parts[i]);
        if (i == 1)
            put(path, text); /* a writer that does not sync */
        else
            status = tg_file_write_whole(path, text, strlen(text));
    }
    if (status == TG_OK)
        status = tg_directory_commit(&dir);
    tg_directory_abort(&dir);
    return status;
}

static int generation_found(void)
{
    int found = BROKEN;
    if (!exists(RUN "/" NAME))
        return ABSENT;
    for (int i = 0; i < PARTS; i++) {
        char path[128];
        int generation = BROKEN;
        snprintf(path, sizeof path, RUN "/" NAME "/%s", parts[i]);
        if (sscanf(contents(path), "generation %d", &generation) != 1 || (i > 0 && generation != found))
            return BROKEN;
        found = generation;
    }
    return entries(RUN "/" NAME) == PARTS ? found : BROKEN;
}

static int fresh(void **state)
{
    (void)state;
    kill_at = fail_fsync = fail_rename = fail_link = 0;
    no_exchange = free_fsync = unsynced_rename = false;
    synced_count = 0;
    ok(tg_directory_remove(RUN));
    ok(tg_directory_make(RUN));
    return 0;
}

static void commit_and_replace(void **state)
{
    (void)state;
    for (int g = 3; g < 9; g++) {
        no_exchange = g % 2 == 0;
        ok(save(g));
        assert_int_equal(generation_found(), g);
        assert_int_equal(entries(RUN), 1);
    }
    ok(tg_file_write_whole(RUN "/single", "one", 3));
    assert_string_equal(contents(RUN "/single"), "one");
    assert_false(unsynced_rename);
    struct stat about;
    assert_int_equal(stat(RUN, &about), 0);
    assert_true(is_synced(about.st_ino));
}

static void abort_leaves_nothing(void **state)
{
    (void)state;
    tg_directory dir;
    char path[256];
    ok(save(4));
    ok(tg_directory_begin(&dir, RUN, NAME));
    snprintf(path, sizeof path, "%s/half", dir.temporary);
    put(path, "half");
    tg_directory_abort(&dir);
    tg_directory_abort(&dir);
    assert_int_equal(entries(RUN), 1);
    assert_int_equal(generation_found(), 4);
    assert_int_equal(tg_directory_begin(&dir, RUN, ""), TG_EINVAL);
    assert_int_equal(tg_directory_begin(&dir, RUN, ".."), TG_EINVAL);
    assert_int_equal(tg_directory_begin(&dir, RUN, "a/b"), TG_EINVAL);
    assert_int_equal(tg_directory_begin(&dir, "absent", NAME), TG_ENOTFOUND);
    tg_directory_abort(&dir);
}

/* Another process, or thread, at work in the same parent is not disturbed. */
static void two_at_once(void **state)
{
    (void)state;
    tg_directory a, b, c;
    ok(tg_directory_begin(&a, RUN, "a"));
    ok(tg_directory_begin(&b, RUN, "b"));
    ok(tg_directory_begin(&c, RUN, "a"));
    assert_true(exists(a.temporary) && exists(b.temporary) && exists(c.temporary));
    ok(tg_directory_recover(RUN));
    assert_true(exists(a.temporary) && exists(b.temporary) && exists(c.temporary));
    ok(tg_directory_commit(&a));
    ok(tg_directory_commit(&b));
    ok(tg_directory_commit(&c));
    assert_int_equal(entries(RUN), 2);
}

/* A child saves generation 2 over `before` and is killed at its n-th system call, for every n. */
static void kill_everywhere(int before, bool whole_without_recovery)
{
    int seen_old = 0, seen_new = 0;
    free_fsync = true; /* only the process dies here */
    for (long n = 1;; n++) {
        ok(tg_directory_remove(RUN "/" NAME));
        if (before != ABSENT)
            ok(save(before));
        const pid_t child = fork();
        if (child == 0) {
            kill_at = n;
            calls = 0;
            _exit(save(2) == TG_OK ? 0 : 1);
        }
        int end;
        assert_int_equal(waitpid(child, &end, 0), child);
        if (whole_without_recovery)
            assert_in_range(generation_found() + 1, before == ABSENT ? 0 : before + 1, 3);
        ok(tg_directory_recover(RUN));
        const int found = generation_found();
        if (found != before && found != 2)
            fail_msg("killed at call %ld: found %d", n, found);
        seen_old += found == before;
        seen_new += found == 2;
        assert_int_equal(entries(RUN), found == ABSENT ? 0 : 1);
        if (WIFEXITED(end)) {
            assert_int_equal(WEXITSTATUS(end), 0);
            assert_int_equal(found, 2);
            break;
        }
        assert_int_equal(WTERMSIG(end), SIGKILL);
    }
    assert_true(seen_old > 10 && seen_new > 1);
}

static void killed_replacing(void **state)
{
    (void)state;
    kill_everywhere(1, true);
}

static void killed_replacing_in_two(void **state)
{
    (void)state;
    no_exchange = true;
    kill_everywhere(1, false);
}

static void killed_making(void **state)
{
    (void)state;
    kill_everywhere(ABSENT, true);
}

static void killed_at_random(void **state)
{
    (void)state;
    const tg_key key = tg_key_make(2385, 1, 0, 0);
    int last = ABSENT;
    free_fsync = true; /* the machine lives on: more saves, more places to be killed at */
    for (uint32_t k = 0; k < 50; k++) {
        const pid_t child = fork();
        if (child == 0)
            for (int g = last + 1;; g++)
                if (save(g) != TG_OK)
                    _exit(1);
        const struct timespec wait = {0, (long)tg_random_below(key, k, 12000000)};
        nanosleep(&wait, NULL);
        kill(child, SIGKILL);
        int end;
        assert_int_equal(waitpid(child, &end, 0), child);
        assert_true(WIFSIGNALED(end));
        const int found = generation_found();
        assert_true(found >= last && found != BROKEN); /* never back */
        last = found;
    }
    assert_true(last > 10);
    ok(save(7000000));
    assert_int_equal(entries(RUN), 1);
}

/* What must hold after a save that did not succeed. */
static void still(int generation)
{
    fail_fsync = fail_rename = 0;
    assert_int_equal(generation_found(), generation);
    assert_int_equal(entries(RUN), 1);
}

static void failing_calls(void **state)
{
    (void)state;
    ok(save(5));
    fail_fsync = EIO;
    assert_int_equal(save(6), TG_EIO);
    still(5);
    fail_rename = EIO;
    assert_int_equal(save(6), TG_EIO);
    still(5);
    no_exchange = true;
    fail_rename = EACCES;
    assert_int_equal(save(6), TG_EIO);
    still(5);
    ok(tg_directory_remove(RUN "/" NAME));
    put(RUN "/" NAME, "a file stands there");
    assert_int_equal(save(6), TG_EIO);
    assert_string_equal(contents(RUN "/" NAME), "a file stands there");
    assert_int_equal(entries(RUN), 1);
}

static void without_memory(void **state)
{
    (void)state;
    free_fsync = true;
    ok(save(11));
    for (int two = 0; two < 2; two++)
        for (long n = 1;; n++) {
            no_exchange = two != 0;
            tg_memory_fail_at(n);
            const tg_status status = save(12 + two);
            tg_memory_fail_at(0);
            if (status == TG_OK) {
                assert_int_equal(generation_found(), 12 + two);
                assert_true(n > 10);
                break;
            }
            assert_int_equal(status, TG_ENOMEM);
            assert_int_equal(generation_found(), 11 + two);
            assert_int_equal(entries(RUN), 1);
        }
}

static void removing(void **state)
{
    (void)state;
    ok(tg_directory_make(RUN "/a/b/c/"));
    ok(tg_directory_make(RUN "/a/b"));
    put(RUN "/keep", "kept");
    put(RUN "/a/b/file", "x");
    assert_int_equal(symlink("../../keep", RUN "/a/b/link"), 0);
    assert_int_equal(symlink("..", RUN "/a/up"), 0);
    ok(tg_directory_remove(RUN "/a"));
    ok(tg_directory_remove(RUN "/a"));
    assert_string_equal(contents(RUN "/keep"), "kept");
    assert_int_equal(entries(RUN), 1);
    assert_int_equal(tg_directory_make(RUN "/keep"), TG_EIO);
    assert_int_equal(tg_directory_make(RUN "/keep/below"), TG_EIO);
    assert_int_equal(tg_directory_make(""), TG_ENOTFOUND);
}

/* ---- checkpoints by number ---- */

static void make_checkpoints(void)
{
    static const char *const names[] = {"checkpoint-00000250", "checkpoint-123456789", "checkpoint-00000001",
                                        "checkpoint-00002500", "checkpoint-18446744073709551614",
                                        /* no checkpoints: */
                                        "checkpoint-1", "checkpoint-000000007", "checkpoint-0000000x", "checkpoint-",
                                        "checkpoint-18446744073709551616", "checkpoint-99999999999999999999999999999",
                                        "checkpoints", "xcheckpoint-00000250"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char path[128];
        snprintf(path, sizeof path, RUN "/%s/inside", names[i]);
        ok(tg_directory_make(path));
    }
    put(RUN "/checkpoint-00000999", "a file");
}

static void check_list(const uint64_t *wanted, size_t count)
{
    uint64_t *updates = NULL;
    size_t found = 77;
    ok(tg_checkpoint_list(&updates, &found, RUN));
    assert_int_equal(found, count);
    for (size_t i = 0; i < count; i++)
        assert_true(updates[i] == wanted[i]);
    tg_heap_free(updates);
}

static void checkpoints(void **state)
{
    (void)state;
    make_checkpoints();
    const size_t before = entries(RUN);
    check_list((uint64_t[]){UINT64_MAX - 1, 123456789, 2500, 250, 1}, 5);
    ok(tg_checkpoint_prune(RUN, 7, TG_SPARE_NONE));
    check_list((uint64_t[]){UINT64_MAX - 1, 123456789, 2500, 250, 1}, 5);
    ok(tg_checkpoint_prune(RUN, 3, 1));
    check_list((uint64_t[]){UINT64_MAX - 1, 123456789, 2500, 1}, 4);
    ok(tg_checkpoint_prune(RUN, 0, TG_SPARE_NONE));
    check_list((uint64_t[]){UINT64_MAX - 1}, 1);
    assert_int_equal(entries(RUN), before - 4);
    ok(tg_directory_remove(RUN));
    check_list(NULL, 0);
    assert_int_equal(tg_checkpoint_prune(RUN, 2, TG_SPARE_NONE), TG_ENOTFOUND);
    char name[TG_CHECKPOINT_NAME_BYTES];
    tg_checkpoint_name(name, 2500);
    assert_string_equal(name, "checkpoint-00002500");
    tg_checkpoint_name(name, UINT64_MAX);
    assert_string_equal(name, "checkpoint-18446744073709551615");
}

/* Killed while it removes old checkpoints: what is listed is whole. */
static void killed_pruning(void **state)
{
    (void)state;
    for (long n = 1;; n++) {
        ok(tg_directory_remove(RUN));
        ok(tg_directory_make(RUN "/checkpoint-00000002/inside"));
        ok(tg_directory_make(RUN "/checkpoint-00000003/inside"));
        put(RUN "/checkpoint-00000002/file", "x");
        const pid_t child = fork();
        if (child == 0) {
            kill_at = n;
            calls = 0;
            _exit(tg_checkpoint_prune(RUN, 1, TG_SPARE_NONE) == TG_OK ? 0 : 1);
        }
        int end;
        assert_int_equal(waitpid(child, &end, 0), child);
        assert_true(exists(RUN "/checkpoint-00000003/inside"));
        assert_true(!exists(RUN "/checkpoint-00000002") || (exists(RUN "/checkpoint-00000002/inside") &&
                                                            exists(RUN "/checkpoint-00000002/file")));
        ok(tg_directory_recover(RUN));
        assert_int_equal(entries(RUN), exists(RUN "/checkpoint-00000002") ? 2 : 1);
        if (WIFEXITED(end)) {
            assert_int_equal(WEXITSTATUS(end), 0);
            assert_true(n > 4);
            break;
        }
    }
}

/* ---- single files ---- */

static void linking(void **state)
{
    (void)state;
    put(RUN "/a", "first");
    put(RUN "/b", "second");
    for (int copied = 0; copied < 2; copied++) {
        fail_link = copied != 0 ? EXDEV : 0;
        for (int again = 0; again < 2; again++) {
            ok(tg_file_link(RUN "/c", RUN "/a"));
            assert_string_equal(contents(RUN "/c"), "first");
        }
        ok(tg_file_link(RUN "/c", RUN "/b"));
        assert_string_equal(contents(RUN "/c"), "second");
        assert_int_equal(entries(RUN), 3);
        assert_int_equal(tg_file_link(RUN "/c", RUN "/none"), TG_ENOTFOUND);
        assert_int_equal(tg_file_link(RUN "/no/c", RUN "/a"), TG_ENOTFOUND);
        fail_rename = EIO;
        assert_int_equal(tg_file_link(RUN "/c", RUN "/a"), TG_EIO);
        fail_rename = 0;
        assert_string_equal(contents(RUN "/c"), "second");
        assert_int_equal(entries(RUN), 3);
    }
    for (long n = 1;; n++) {
        tg_memory_fail_at(n);
        const tg_status status = tg_file_link(RUN "/c", RUN "/a");
        tg_memory_fail_at(0);
        assert_int_equal(entries(RUN), 3);
        if (status == TG_OK)
            break;
        assert_int_equal(status, TG_ENOMEM);
    }
}

static void paths(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {{"a", "."}, {"a/b", "a"}, {"a/b/", "a"}, {"/a", "/"}, {"/", "/"},
                                           {"a//b", "a"}, {"/a/b//", "/a"}, {"", "."}};
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        char *parent = tg_file_parent(pairs[i][0]);
        assert_string_equal(parent, pairs[i][1]);
        tg_heap_free(parent);
    }
}

/* ---- metrics ---- */

#define METRICS RUN "/metrics.jsonl"

static const double irregular[] = {0.1,  2.385,     1.0 / 3.0, 6.02214076e23, 5e-324, -1.7976931348623157e308,
                                   1e-5, 12345678.0};
enum { IRREGULAR = sizeof irregular / sizeof *irregular };

static void metrics_round_trip(void **state)
{
    (void)state;
    tg_metrics *m;
    put(METRICS, "{\"update\":9}\n");
    ok(tg_metrics_create(&m, METRICS)); /* a new run */
    assert_string_equal(contents(METRICS), "");
    for (size_t i = 0; i < IRREGULAR; i++) {
        ok(tg_metrics_append(m, i + 1, (tg_metric[]){{"loss", irregular[i], NULL, NULL}, {"rate", NAN, NULL, NULL},
                                                     {"memory", -INFINITY, NULL, NULL}, {"note \"q\"", 0, "\xc3\xa9\n", NULL}}, 4));
        char *line = contents(METRICS), *last = line;
        for (size_t k = 0; k < i; k++)
            last = strchr(last, '\n') + 1;
        json_t *object = json_loads(last, 0, NULL); /* visible at once, and whole */
        assert_non_null(object);
        assert_int_equal(json_integer_value(json_object_get(object, "update")), i + 1);
        assert_true(json_number_value(json_object_get(object, "loss")) == irregular[i]);
        assert_true(json_is_null(json_object_get(object, "rate")) && json_is_null(json_object_get(object, "memory")));
        assert_string_equal(json_string_value(json_object_get(object, "note \"q\"")), "\xc3\xa9\n");
        json_decref(object);
    }
    assert_int_equal(tg_metrics_append(m, 9, (tg_metric[]){{"\xff", 1, NULL, NULL}}, 1), TG_EINVAL);
    assert_int_equal(tg_metrics_append(m, 9, (tg_metric[]){{"a", 1, "\xff", NULL}}, 1), TG_EINVAL);
    ok(tg_metrics_sync(m));
    tg_metrics_destroy(m);
    tg_metrics_destroy(NULL);
    assert_int_equal(tg_metrics_create(&m, RUN "/none/metrics"), TG_ENOTFOUND);
}

static void resume_from(const char *before, uint64_t update, const char *after)
{
    tg_metrics *m = NULL;
    put(METRICS, before);
    ok(tg_metrics_resume(&m, METRICS, update));
    assert_string_equal(contents(METRICS), after);
    ok(tg_metrics_append(m, update + 1, (tg_metric[]){{"loss", 2.5, NULL, NULL}}, 1));
    const char *end = strrchr(contents(METRICS), '{');
    char wanted[64];
    snprintf(wanted, sizeof wanted, "{\"update\":%llu,\"loss\":2.5}\n", (unsigned long long)update + 1);
    assert_string_equal(end, wanted);
    assert_memory_equal(contents(METRICS), after, strlen(after));
    tg_metrics_destroy(m);
    assert_int_equal(entries(RUN), 1);
}

static void metrics_resume(void **state)
{
    (void)state;
    const char *a = "{\"update\":1,\"loss\":4.5}\n{\"update\":2,\"loss\":4.25}\n";
    char text[512];
    resume_from("", 3, "");
    resume_from(a, 2, a);
    resume_from(a, 1, "{\"update\":1,\"loss\":4.5}\n");
    resume_from(a, 0, "");
    snprintf(text, sizeof text, "%s{\"update\":3,\"lo", a); /* torn */
    resume_from(text, 5, a);
    snprintf(text, sizeof text, "%s{\"update\":3}", a); /* whole but for its end */
    resume_from(text, 5, "{\"update\":1,\"loss\":4.5}\n{\"update\":2,\"loss\":4.25}\n{\"update\":3}\n");
    resume_from("{\"update\":3}\n{\"update\":1}\n{\"note\":7}\nnonsense\n\n{\"update\":2}\n", 2,
                "{\"update\":1}\n{\"note\":7}\n{\"update\":2}\n");
    unlink(METRICS);
    tg_metrics *m = NULL;
    ok(tg_metrics_resume(&m, METRICS, 5));
    tg_metrics_destroy(m);
    assert_true(exists(METRICS));
}

static void metrics_without_memory(void **state)
{
    (void)state;
    put(METRICS, "{\"update\":1}\n{\"update\":2}\n");
    for (long n = 1;; n++) {
        tg_metrics *m = NULL;
        tg_memory_fail_at(n);
        tg_status status = tg_metrics_resume(&m, METRICS, 1);
        if (status == TG_OK)
            status = tg_metrics_append(m, 2, (tg_metric[]){{"loss", 1.5, NULL, NULL}}, 1);
        tg_memory_fail_at(0);
        tg_metrics_destroy(m);
        assert_int_equal(entries(RUN), 1);
        if (status == TG_OK)
            break;
        assert_int_equal(status, TG_ENOMEM);
    }
    assert_string_equal(contents(METRICS), "{\"update\":1}\n{\"update\":2,\"loss\":1.5}\n");
}

/* A limit on the size of files stands for a full disk: no half of a line stays. */
static void metrics_on_full_disk(void **state)
{
    (void)state;
    tg_metrics *m;
    struct rlimit before;
    ok(tg_metrics_create(&m, METRICS));
    ok(tg_metrics_append(m, 1, NULL, 0));
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &(struct rlimit){20, before.rlim_max}), 0);
    const tg_status status = tg_metrics_append(m, 2, NULL, 0);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(status, TG_EIO);
    assert_string_equal(contents(METRICS), "{\"update\":1}\n");
    ok(tg_metrics_append(m, 3, NULL, 0));
    assert_string_equal(contents(METRICS), "{\"update\":1}\n{\"update\":3}\n");
    tg_metrics_destroy(m);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup(name, fresh)
    const struct CMUnitTest tests[] = {
        TEST(commit_and_replace), TEST(abort_leaves_nothing), TEST(two_at_once), TEST(killed_replacing),
        TEST(killed_replacing_in_two), TEST(killed_making), TEST(killed_at_random), TEST(failing_calls),
        TEST(without_memory), TEST(removing), TEST(checkpoints), TEST(killed_pruning), TEST(linking), TEST(paths),
        TEST(metrics_round_trip), TEST(metrics_resume), TEST(metrics_without_memory), TEST(metrics_on_full_disk),
    };
    return cmocka_run_group_tests(tests, enter, leave);
}
