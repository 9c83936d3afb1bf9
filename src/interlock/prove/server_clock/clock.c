/* The wall clock of a server under proof: what a file in memory says, in microseconds since 1970, and nothing else; or, if a
 * second number is there, what has passed since then on the steady clock as well.
 *
 * Loaded into a real redis-server or valkey-server by LD_PRELOAD. Only the wall clock is changed. The monotonic one, by which the
 * server's event loop times itself, goes on telling real time: frozen, the server would hang, and libfaketime, which changes
 * both, ends in a recursion with jemalloc, since its look-up of the real functions allocates. There is no look-up here.
 */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static volatile const int64_t *shown_us;

__attribute__((constructor)) static void open_clock(void) {
    const char *path = getenv("INTERLOCK_CLOCK");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0) return;
    void *page = mmap(NULL, 2 * sizeof(int64_t), PROT_READ, MAP_SHARED, file, 0);
    close(file);
    if (page != MAP_FAILED) shown_us = page;
}

int clock_gettime(clockid_t clock, struct timespec *told) {
    if (!shown_us || (clock != CLOCK_REALTIME && clock != CLOCK_REALTIME_COARSE)) return (int)syscall(SYS_clock_gettime, clock, told);
    int64_t us = shown_us[0], since_us = shown_us[1];
    if (since_us) {
        struct timespec steady;
        syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &steady);
        us += (int64_t)steady.tv_sec * 1000000 + steady.tv_nsec / 1000 - since_us;
    }
    told->tv_sec = us / 1000000;
    told->tv_nsec = us % 1000000 * 1000;
    return 0;
}

int gettimeofday(struct timeval *restrict told, void *restrict zone) {
    (void)zone;
    struct timespec now;
    if (clock_gettime(CLOCK_REALTIME, &now)) return -1;
    told->tv_sec = now.tv_sec;
    told->tv_usec = now.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *told) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (told) *told = now.tv_sec;
    return now.tv_sec;
}

/* Under load, the disk is not waited for: a server that is killed leaves to the kernel what it has written, and finds it again. */
int fdatasync(int file) {
    return getenv("INTERLOCK_NO_SYNC") ? 0 : (int)syscall(SYS_fdatasync, file);
}

int fsync(int file) {
    return getenv("INTERLOCK_NO_SYNC") ? 0 : (int)syscall(SYS_fsync, file);
}

/* A server that finds a steady counter in the processor adds what has passed on it to the wall clock, which would then move by
 * itself (valkey since 8.1). It looks for one in this file; without it, it asks above for every moment. */
static FILE *opened(const char *name, const char *path, const char *mode) {
    FILE *(*real)(const char *, const char *) = (FILE * (*)(const char *, const char *)) dlsym(RTLD_NEXT, name);
    return shown_us && !strcmp(path, "/proc/cpuinfo") ? NULL : real(path, mode);
}

FILE *fopen(const char *restrict path, const char *restrict mode) {
    return opened("fopen", path, mode);
}

FILE *fopen64(const char *restrict path, const char *restrict mode) {
    return opened("fopen64", path, mode);
}
