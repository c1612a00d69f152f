/* Preloaded: every sync of a file takes GWE_SLOW_SYNC_MS more, as on the volumes of a cloud. */
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

static void wait_longer(void) {
  const char *text = getenv("GWE_SLOW_SYNC_MS");
  if (text != NULL) usleep(1000 * (useconds_t)atoi(text));
}

int fsync(int fd) {
  wait_longer();
  return (int)syscall(SYS_fsync, fd);
}

int fdatasync(int fd) {
  wait_longer();
  return (int)syscall(SYS_fdatasync, fd);
}
