/* A clock that runs HURRY times as fast, for a process of a demo, by LD_PRELOAD.
 *
 * Rust's standard library asks clock_gettime() for the time, and waits by the system call futex until a time of the
 * monotonic clock. Both are translated; everything else keeps its own time. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <linux/futex.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>

static const long long SECOND = 1000000000;

static long (*real)(long, ...);
static long long hurry, monotonic, wall;

static long long now(clockid_t id)
{
    struct timespec t;
    real(SYS_clock_gettime, id, &t, 0, 0, 0, 0);
    return t.tv_sec * SECOND + t.tv_nsec;
}

__attribute__((constructor)) static void begin(void)
{
    const char *given = getenv("HURRY");
    real = (long (*)(long, ...))dlsym(RTLD_NEXT, "syscall");
    hurry = given ? atoll(given) : 1;
    monotonic = now(CLOCK_MONOTONIC);
    wall = now(CLOCK_REALTIME);
}

int clock_gettime(clockid_t id, struct timespec *t)
{
    long long begun = id == CLOCK_REALTIME ? wall : monotonic;
    if (!real)
        begin();
    if (id != CLOCK_REALTIME && id != CLOCK_MONOTONIC)
        return (int)real(SYS_clock_gettime, id, t, 0, 0, 0, 0);
    long long time = begun + (now(id) - begun) * hurry;
    t->tv_sec = time / SECOND;
    t->tv_nsec = time % SECOND;
    return 0;
}

long syscall(long number, ...)
{
    va_list list;
    long a[6];
    struct timespec until;
    va_start(list, number);
    for (int i = 0; i < 6; i++)
        a[i] = va_arg(list, long);
    va_end(list);
    if (!real)
        begin();
    if (number == SYS_futex && (a[1] & FUTEX_CMD_MASK) == FUTEX_WAIT_BITSET && a[3]) {
        const struct timespec *given = (const struct timespec *)a[3];
        long long begun = a[1] & FUTEX_CLOCK_REALTIME ? wall : monotonic;
        long long time = begun + (given->tv_sec * SECOND + given->tv_nsec - begun) / hurry;
        until.tv_sec = time / SECOND;
        until.tv_nsec = time % SECOND;
        a[3] = (long)&until;
    }
    return real(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}
