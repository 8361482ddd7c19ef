/* Scratch files for tests of readers and writers. */
#ifndef THRUM_TESTS_SUPPORT_FILES_H
#define THRUM_TESTS_SUPPORT_FILES_H

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* Where scratch files go: into memory, where there is such a folder, because a busy disk takes long to synchronize. */
static inline const char *scratch_folder(void) {
  return access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
}

/* Writes bytes to a new file, whose name goes to path. */
static inline bool scratch_file(char path[64], const void *bytes, size_t n) {
  snprintf(path, 64, "%s/thrum-test-XXXXXX", scratch_folder());
  int fd = mkstemp(path);
  if (fd < 0) return false;
  bool written = write(fd, bytes, n) == (ssize_t)n;
  return close(fd) == 0 && written;
}

/* A new folder, whose name goes to path. */
static inline bool scratch_directory(char path[64]) {
  snprintf(path, 64, "%s/thrum-test-XXXXXX", scratch_folder());
  return mkdtemp(path) != NULL;
}

static inline bool scratch_remove(const char *folder) {
  char command[128];
  snprintf(command, sizeof command, "rm -rf %s", folder);
  return system(command) == 0;
}

/* How many files there are in a folder; -1 when it cannot be listed. */
static inline int scratch_count(const char *folder) {
  char command[128];
  int n = -1;
  snprintf(command, sizeof command, "ls -A %s | wc -l", folder);
  FILE *pipe = popen(command, "r");
  if (pipe == NULL || fscanf(pipe, "%d", &n) != 1) n = -1;
  if (pipe != NULL) pclose(pipe);
  return n;
}

/* Path of a file of the real data sets, or NULL when TH_TEST_DATA does not name their folder. */
static inline const char *real_file(char path[512], const char *name) {
  const char *folder = getenv("TH_TEST_DATA");
  if (folder == NULL || *folder == '\0') return NULL;
  snprintf(path, 512, "%s/%s", folder, name);
  return access(path, R_OK) == 0 ? path : NULL;
}

#endif
