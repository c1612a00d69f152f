/*
 * Test-only fault injector, preloaded into gwe alone (gwe does not hand LD_PRELOAD on to its children).
 * Counts, process-wide, every call that changes the file system below GWE_SHIM_ROOT and every send on a socket.
 *   GWE_SHIM_COUNT=FILE   holds the count as a native 64-bit number; mapped, so that it outlives a SIGKILL
 *   GWE_SHIM_AT=N         the call that is hit, from 1; nothing is hit without it
 *   GWE_SHIM_ACTION=kill|EIO|ENOSPC|EROFS|short
 *   GWE_SHIM_FOR=M        how many calls in a row are hit; 1 unless told otherwise
 *   GWE_SHIM_LOG=FILE     one line for each call that succeeded: operation, paths, numbers, bytes in hex
 * "kill" strikes before the call has any effect.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static char root[PATH_MAX];
static size_t root_length;
static _Atomic long own_count;
static _Atomic long *count = &own_count;
static long hit_at, hit_for = 1;
static int hit_errno, hit_short;
static int log_fd = -1;

#define REAL(name) \
  static __typeof__(name) *real; \
  if (!real) real = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)

__attribute__((constructor)) static void start(void) {
  const char *text = getenv("GWE_SHIM_ROOT");
  if (!text || !realpath(text, root)) return;
  root_length = strlen(root);
  if ((text = getenv("GWE_SHIM_AT"))) hit_at = atol(text);
  if ((text = getenv("GWE_SHIM_FOR"))) hit_for = atol(text);
  text = getenv("GWE_SHIM_ACTION");
  if (text && !strcmp(text, "EIO")) hit_errno = EIO;
  if (text && !strcmp(text, "ENOSPC")) hit_errno = ENOSPC;
  if (text && !strcmp(text, "EROFS")) hit_errno = EROFS;
  if (text && !strcmp(text, "short")) hit_short = 1;
  if ((text = getenv("GWE_SHIM_COUNT"))) {
    int fd = (int)syscall(SYS_openat, AT_FDCWD, text, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd >= 0 && syscall(SYS_ftruncate, fd, sizeof(long)) == 0) {
      void *at = mmap(0, sizeof(long), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
      if (at != MAP_FAILED) count = at;
    }
    if (fd >= 0) syscall(SYS_close, fd);
  }
  if ((text = getenv("GWE_SHIM_LOG")))
    log_fd = (int)syscall(SYS_openat, AT_FDCWD, text, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

static int inside(const char *path) {
  return root_length > 0 && strncmp(path, root, root_length) == 0 &&
         (path[root_length] == '/' || path[root_length] == 0);
}

/* The path of a descriptor, or of a name below one. */
static int resolve(int directory, const char *name, char *out) {
  int below = 0, used = 0;
  /* A name below an open directory, as who has no openat writes it. */
  if (name && sscanf(name, "/proc/self/fd/%d%n", &below, &used) == 1 && (name[used] == '/' || name[used] == 0))
    return resolve(below, name[used] ? name + used + 1 : 0, out);
  if (name && name[0] == '/') return snprintf(out, PATH_MAX, "%s", name) < PATH_MAX;
  char link[64];
  snprintf(link, sizeof link, directory == AT_FDCWD ? "/proc/self/cwd" : "/proc/self/fd/%d", directory);
  ssize_t length = readlink(link, out, PATH_MAX - 1);
  if (length < 0) return 0;
  out[length] = 0;
  if (name && name[0]) {
    size_t left = PATH_MAX - (size_t)length;
    if ((size_t)snprintf(out + length, left, "/%s", name) >= left) return 0;
  }
  return 1;
}

static int is_socket(int fd) {
  struct stat found;
  return fstat(fd, &found) == 0 && S_ISSOCK(found.st_mode);
}

/* 0: go on; 1: fail with errno set; 2: do half of it. */
static int strike(void) {
  long n = atomic_fetch_add(count, 1) + 1;
  if (hit_at == 0 || n < hit_at || n >= hit_at + hit_for) return 0;
  if (hit_short) return 2;
  if (hit_errno == 0) {
    kill(getpid(), SIGKILL);
    for (;;) pause();
  }
  errno = hit_errno;
  return 1;
}

static void emit(const char *head, const void *bytes, size_t length) {
  static const char digits[] = "0123456789abcdef";
  if (log_fd < 0) return;
  size_t head_length = strlen(head);
  char *line = malloc(head_length + 2 * length + 2);
  if (!line) return;
  memcpy(line, head, head_length);
  size_t at = head_length;
  line[at++] = '\t';
  for (size_t i = 0; i < length; i++) {
    unsigned char byte = ((const unsigned char *)bytes)[i];
    line[at++] = digits[byte >> 4];
    line[at++] = digits[byte & 15];
  }
  line[at++] = '\n';
  syscall(SYS_write, log_fd, line, at);
  free(line);
}

static void note(const char *operation, const char *one, const char *two, long number) {
  char head[2 * PATH_MAX + 128];
  if (log_fd < 0) return;
  int saved = errno;
  snprintf(head, sizeof head, "%s\t%s\t%s\t%ld", operation, one, two ? two : "", number);
  emit(head, "", 0);
  errno = saved;
}

static void note_data(const char *operation, const char *path, long offset, const struct iovec *parts, int n, ssize_t done) {
  char head[PATH_MAX + 128];
  if (log_fd < 0) return;
  int saved = errno;
  char *all = malloc((size_t)done + 1);
  size_t at = 0;
  for (int i = 0; all && i < n && at < (size_t)done; i++) {
    size_t some = parts[i].iov_len < (size_t)done - at ? parts[i].iov_len : (size_t)done - at;
    memcpy(all + at, parts[i].iov_base, some);
    at += some;
  }
  snprintf(head, sizeof head, "%s\t%s\t\t%ld", operation, path, offset);
  if (all) emit(head, all, at);
  free(all);
  errno = saved;
}

/* --- opening --- */

static int do_open(int directory, const char *name, int flags, mode_t mode) {
  char path[PATH_MAX];
  int changes = flags & (O_CREAT | O_TRUNC);
  if ((flags & O_TMPFILE) == O_TMPFILE) changes = 0;
  if (!changes || !resolve(directory, name, path) || !inside(path))
    return (int)syscall(SYS_openat, directory, name, flags, mode);
  struct stat before;
  int was = fstatat(directory, name, &before, AT_SYMLINK_NOFOLLOW) == 0;
  if (strike() == 1) return -1;
  int fd = (int)syscall(SYS_openat, directory, name, flags, mode);
  if (fd >= 0 && !was) note("create", path, 0, (long)mode);
  if (fd >= 0 && was && (flags & O_TRUNC)) note("truncate", path, 0, 0);
  return fd;
}

#define OPEN_MODE \
  mode_t mode = 0; \
  if (flags & (O_CREAT | O_TMPFILE)) { va_list list; va_start(list, flags); mode = va_arg(list, mode_t); va_end(list); }

int open(const char *name, int flags, ...) { OPEN_MODE return do_open(AT_FDCWD, name, flags, mode); }
int open64(const char *name, int flags, ...) { OPEN_MODE return do_open(AT_FDCWD, name, flags | O_LARGEFILE, mode); }
int openat(int directory, const char *name, int flags, ...) { OPEN_MODE return do_open(directory, name, flags, mode); }
int openat64(int directory, const char *name, int flags, ...) { OPEN_MODE return do_open(directory, name, flags | O_LARGEFILE, mode); }
int creat(const char *name, mode_t mode) { return do_open(AT_FDCWD, name, O_CREAT | O_WRONLY | O_TRUNC, mode); }

/* --- writing and sending --- */

static long position_of(int fd) { return (long)lseek(fd, 0, SEEK_CUR); }

static ssize_t do_write(int fd, const struct iovec *parts, int n, long offset, int positioned) {
  char path[PATH_MAX];
  int socket = !positioned && is_socket(fd);
  int counts = socket || (resolve(fd, 0, path) && inside(path));
  int struck = counts ? strike() : 0;
  if (struck == 1) {
    if (socket) errno = ECONNRESET;
    return -1;
  }
  struct iovec half;
  if (struck == 2 && n > 0 && parts[0].iov_len > 1) {
    half = parts[0];
    half.iov_len /= 2;
    parts = &half;
    n = 1;
  }
  long at = counts && !socket && !positioned ? position_of(fd) : offset;
  ssize_t done = positioned ? syscall(SYS_pwritev, fd, parts, n, offset, 0) : syscall(SYS_writev, fd, parts, n);
  if (counts && done > 0) note_data(socket ? "send" : "write", socket ? "-" : path, at, parts, n, done);
  return done;
}

ssize_t write(int fd, const void *bytes, size_t length) {
  struct iovec part = {(void *)bytes, length};
  return do_write(fd, &part, 1, 0, 0);
}
ssize_t writev(int fd, const struct iovec *parts, int n) { return do_write(fd, parts, n, 0, 0); }
ssize_t pwrite(int fd, const void *bytes, size_t length, off_t offset) {
  struct iovec part = {(void *)bytes, length};
  return do_write(fd, &part, 1, offset, 1);
}
ssize_t pwrite64(int fd, const void *bytes, size_t length, off64_t offset) { return pwrite(fd, bytes, length, offset); }
ssize_t pwritev(int fd, const struct iovec *parts, int n, off_t offset) { return do_write(fd, parts, n, offset, 1); }
ssize_t pwritev64(int fd, const struct iovec *parts, int n, off64_t offset) { return do_write(fd, parts, n, offset, 1); }

ssize_t sendmsg(int fd, const struct msghdr *message, int flags) {
  REAL(sendmsg);
  if (strike() == 1) { errno = ECONNRESET; return -1; }
  ssize_t done = real(fd, message, flags);
  if (done > 0) note_data("send", "-", 0, message->msg_iov, (int)message->msg_iovlen, done);
  return done;
}
ssize_t send(int fd, const void *bytes, size_t length, int flags) {
  REAL(send);
  if (strike() == 1) { errno = ECONNRESET; return -1; }
  struct iovec part = {(void *)bytes, length};
  ssize_t done = real(fd, bytes, length, flags);
  if (done > 0) note_data("send", "-", 0, &part, 1, done);
  return done;
}

/* --- names --- */

#define ON_PATH(directory, name) \
  char path[PATH_MAX]; \
  int counts = resolve(directory, name, path) && inside(path); \
  if (counts && strike() == 1) return -1

static int do_rename(int from_directory, const char *from, int to_directory, const char *to, unsigned flags) {
  char one[PATH_MAX], two[PATH_MAX];
  int counts = resolve(from_directory, from, one) && resolve(to_directory, to, two) && (inside(one) || inside(two));
  if (counts && strike() == 1) return -1;
  int result = (int)syscall(SYS_renameat2, from_directory, from, to_directory, to, flags);
  if (counts && result == 0) note("rename", one, two, 0);
  return result;
}
int rename(const char *from, const char *to) { return do_rename(AT_FDCWD, from, AT_FDCWD, to, 0); }
int renameat(int fd, const char *from, int fd2, const char *to) { return do_rename(fd, from, fd2, to, 0); }
int renameat2(int fd, const char *from, int fd2, const char *to, unsigned flags) { return do_rename(fd, from, fd2, to, flags); }

int unlinkat(int directory, const char *name, int flags) {
  ON_PATH(directory, name);
  int result = (int)syscall(SYS_unlinkat, directory, name, flags);
  if (counts && result == 0) note(flags & AT_REMOVEDIR ? "rmdir" : "unlink", path, 0, 0);
  return result;
}
int unlink(const char *name) { return unlinkat(AT_FDCWD, name, 0); }
int rmdir(const char *name) { return unlinkat(AT_FDCWD, name, AT_REMOVEDIR); }
int remove(const char *name) {
  int result = unlink(name);
  return result < 0 && errno == EISDIR ? rmdir(name) : result;
}

int mkdirat(int directory, const char *name, mode_t mode) {
  ON_PATH(directory, name);
  int result = (int)syscall(SYS_mkdirat, directory, name, mode);
  if (counts && result == 0) note("mkdir", path, 0, (long)mode);
  return result;
}
int mkdir(const char *name, mode_t mode) { return mkdirat(AT_FDCWD, name, mode); }

int symlinkat(const char *target, int directory, const char *name) {
  ON_PATH(directory, name);
  int result = (int)syscall(SYS_symlinkat, target, directory, name);
  if (counts && result == 0) note("symlink", path, target, 0);
  return result;
}
int symlink(const char *target, const char *name) { return symlinkat(target, AT_FDCWD, name); }

int linkat(int from_directory, const char *from, int to_directory, const char *to, int flags) {
  char one[PATH_MAX], two[PATH_MAX];
  int counts = resolve(from_directory, from, one) && resolve(to_directory, to, two) && inside(two);
  if (counts && strike() == 1) return -1;
  int result = (int)syscall(SYS_linkat, from_directory, from, to_directory, to, flags);
  if (counts && result == 0) note("link", one, two, 0);
  return result;
}
int link(const char *from, const char *to) { return linkat(AT_FDCWD, from, AT_FDCWD, to, 0); }

/* --- sizes, modes, syncing --- */

#define ON_FD(fd) \
  char path[PATH_MAX]; \
  int counts = resolve(fd, 0, path) && inside(path); \
  if (counts && strike() == 1) return -1

int ftruncate(int fd, off_t length) {
  ON_FD(fd);
  int result = (int)syscall(SYS_ftruncate, fd, length);
  if (counts && result == 0) note("truncate", path, 0, (long)length);
  return result;
}
int ftruncate64(int fd, off64_t length) { return ftruncate(fd, length); }
int fsync(int fd) {
  ON_FD(fd);
  int result = (int)syscall(SYS_fsync, fd);
  if (counts && result == 0) note("fsync", path, 0, 0);
  return result;
}
int fdatasync(int fd) {
  ON_FD(fd);
  int result = (int)syscall(SYS_fdatasync, fd);
  if (counts && result == 0) note("fsync", path, 0, 0);
  return result;
}
int fchmod(int fd, mode_t mode) {
  ON_FD(fd);
  int result = (int)syscall(SYS_fchmod, fd, mode);
  if (counts && result == 0) note("chmod", path, 0, (long)mode);
  return result;
}
int fchmodat(int directory, const char *name, mode_t mode, int flags) {
  ON_PATH(directory, name);
  (void)flags;
  int result = (int)syscall(SYS_fchmodat, directory, name, mode);
  if (counts && result == 0) note("chmod", path, 0, (long)mode);
  return result;
}
int chmod(const char *name, mode_t mode) { return fchmodat(AT_FDCWD, name, mode, 0); }
