/* Faults of a disk and a clock, switched on by files while a program runs: for LD_PRELOAD.

   FAULTS_FOLDER names the folder of the switches, FAULTS_UNDER the folder that falls ill:
     full      what would write gets ENOSPC
     unsynced  fsync and fdatasync get EIO
     readonly  what would open for writing, write, make, move or remove gets EROFS
     clock     holds by how many seconds the time of day is off
   Without FAULTS_FOLDER nothing is changed. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

static int switch_path(char *path, const char *name) {
  const char *folder = getenv("FAULTS_FOLDER");
  return folder != NULL && snprintf(path, PATH_MAX, "%s/%s", folder, name) < PATH_MAX;
}

static int is_on(const char *name) {
  char path[PATH_MAX];
  int before = errno;
  int on = switch_path(path, name) && syscall(SYS_faccessat, AT_FDCWD, path, F_OK) == 0;
  errno = before;
  return on;
}

static int is_under(const char *path) {
  const char *folder = getenv("FAULTS_UNDER");
  size_t length = folder == NULL ? 0 : strlen(folder);
  return length > 0 && strncmp(path, folder, length) == 0 &&
         (path[length] == '/' || path[length] == 0);
}

static int names_ill(int folder, const char *path) {
  char whole[PATH_MAX * 2], link[64];
  if (path[0] == '/') return is_under(path);
  if (folder == AT_FDCWD) {
    if (getcwd(whole, PATH_MAX) == NULL) return 0;
  } else {
    snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
    ssize_t size = readlink(link, whole, PATH_MAX - 1);
    if (size < 0) return 0;
    whole[size] = 0;
  }
  size_t size = strlen(whole);
  snprintf(whole + size, sizeof whole - size, "/%s", path);
  return is_under(whole);
}

static int is_ill(int file) {
  char link[64], path[PATH_MAX];
  int before = errno;
  snprintf(link, sizeof link, "/proc/self/fd/%d", file);
  ssize_t size = readlink(link, path, sizeof path - 1);
  errno = before;
  if (size < 0) return 0;
  path[size] = 0;
  return is_under(path);
}

static int refuses_writes(int file) {
  int readonly = is_on("readonly");
  if (!readonly && !is_on("full")) return 0;
  if (!is_ill(file)) return 0;
  errno = readonly ? EROFS : ENOSPC;
  return 1;
}

static int refuses_sync(int file) {
  if (!is_on("unsynced") || !is_ill(file)) return 0;
  errno = EIO;
  return 1;
}

static int refuses_change(int folder, const char *path) {
  if (!is_on("readonly") || !names_ill(folder, path)) return 0;
  errno = EROFS;
  return 1;
}

#define REAL(name) \
  static __typeof__(&name) real; \
  if (real == NULL) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

#define SYNC(name) \
  int name(int file) { REAL(name); return refuses_sync(file) ? -1 : real(file); }
SYNC(fsync)
SYNC(fdatasync)

ssize_t write(int file, const void *from, size_t size) {
  REAL(write);
  return refuses_writes(file) ? -1 : real(file, from, size);
}
ssize_t pwrite(int file, const void *from, size_t size, off_t at) {
  REAL(pwrite);
  return refuses_writes(file) ? -1 : real(file, from, size, at);
}
ssize_t pwrite64(int file, const void *from, size_t size, off64_t at) {
  REAL(pwrite64);
  return refuses_writes(file) ? -1 : real(file, from, size, at);
}
ssize_t writev(int file, const struct iovec *parts, int count) {
  REAL(writev);
  return refuses_writes(file) ? -1 : real(file, parts, count);
}
ssize_t sendfile64(int to, int from, off64_t *at, size_t size) {
  static ssize_t (*real)(int, int, off64_t *, size_t);
  if (real == NULL) real = (ssize_t(*)(int, int, off64_t *, size_t))dlsym(RTLD_NEXT, "sendfile64");
  return refuses_writes(to) ? -1 : real(to, from, at, size);
}
ssize_t sendfile(int to, int from, off_t *at, size_t size) { return sendfile64(to, from, at, size); }
int ftruncate(int file, off_t size) {
  REAL(ftruncate);
  return refuses_writes(file) ? -1 : real(file, size);
}
int ftruncate64(int file, off64_t size) {
  REAL(ftruncate64);
  return refuses_writes(file) ? -1 : real(file, size);
}
int posix_fallocate(int file, off_t at, off_t size) {
  REAL(posix_fallocate);
  return refuses_writes(file) ? errno : real(file, at, size);
}

#define OPENS(flags) (((flags) & (O_WRONLY | O_RDWR | O_CREAT | O_TRUNC)) != 0)
#define MODE(flags) \
  mode_t mode = 0; \
  if ((flags) & (O_CREAT | O_TMPFILE)) { \
    va_list more; \
    va_start(more, flags); \
    mode = va_arg(more, mode_t); \
    va_end(more); \
  }
#define OPEN(name) \
  int name(const char *path, int flags, ...) { \
    REAL(name); \
    MODE(flags) \
    return OPENS(flags) && refuses_change(AT_FDCWD, path) ? -1 : real(path, flags, mode); \
  }
#define OPENAT(name) \
  int name(int folder, const char *path, int flags, ...) { \
    REAL(name); \
    MODE(flags) \
    return OPENS(flags) && refuses_change(folder, path) ? -1 : real(folder, path, flags, mode); \
  }
OPEN(open)
OPEN(open64)
OPENAT(openat)
OPENAT(openat64)

int mkdir(const char *path, mode_t mode) {
  REAL(mkdir);
  return refuses_change(AT_FDCWD, path) ? -1 : real(path, mode);
}
int chmod(const char *path, mode_t mode) {
  REAL(chmod);
  return refuses_change(AT_FDCWD, path) ? -1 : real(path, mode);
}
int unlink(const char *path) {
  REAL(unlink);
  return refuses_change(AT_FDCWD, path) ? -1 : real(path);
}
int unlinkat(int folder, const char *path, int flags) {
  REAL(unlinkat);
  return refuses_change(folder, path) ? -1 : real(folder, path, flags);
}
int rmdir(const char *path) {
  REAL(rmdir);
  return refuses_change(AT_FDCWD, path) ? -1 : real(path);
}
int rename(const char *from, const char *to) {
  REAL(rename);
  return refuses_change(AT_FDCWD, to) ? -1 : real(from, to);
}

static long clock_is_off(void) {
  char path[PATH_MAX], text[32];
  int before = errno;
  long off = 0;
  if (is_on("clock") && switch_path(path, "clock")) {
    int file = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
    if (file >= 0) {
      ssize_t size = syscall(SYS_read, file, text, sizeof text - 1);
      syscall(SYS_close, file);
      if (size > 0) {
        text[size] = 0;
        off = atol(text);
      }
    }
  }
  errno = before;
  return off;
}

int clock_gettime(clockid_t clock, struct timespec *now) {
  REAL(clock_gettime);
  int failed = real(clock, now);
  if (!failed && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
    now->tv_sec += clock_is_off();
  return failed;
}
int gettimeofday(struct timeval *restrict now, void *restrict zone) {
  static int (*real)(struct timeval *, void *);
  if (real == NULL) real = (int (*)(struct timeval *, void *))dlsym(RTLD_NEXT, "gettimeofday");
  int failed = real(now, zone);
  if (!failed) now->tv_sec += clock_is_off();
  return failed;
}
time_t time(time_t *to) {
  struct timespec now;
  if (clock_gettime(CLOCK_REALTIME, &now) != 0) return (time_t)-1;
  if (to != NULL) *to = now.tv_sec;
  return now.tv_sec;
}
