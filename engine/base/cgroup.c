/* Reads the limits of this process's control group. Limits of all ancestors hold too, so each is the smallest on the way up to
 * the root of its mount. In a container the path in /proc may lie outside the mount: its missing folders are passed over. */
#include "engine/base/cgroup.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/base/error.h"

#define PATH_BYTES 1024

/* Reads a small file as text; false when there is none or the path was too long. */
static bool read_text(const char *path, char *text, size_t bytes) {
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return false;
  size_t used = 0;
  for (ssize_t got = 1; got > 0 && used<bytes - 1; used += got> 0 ? (size_t)got : 0)
    got = read(fd, text + used, bytes - 1 - used);
  text[used] = 0;
  close(fd);
  return used > 0;
}

static bool read_in(const char *folder, const char *file, char *text, size_t bytes) {
  char path[PATH_BYTES + 64];
  if (snprintf(path, sizeof path, "%s/%s", folder, file) >= (int)sizeof path) return false;
  return read_text(path, text, bytes);
}

static void limit_cores(th__cgroup *out, int64_t quota, int64_t period) {
  if (quota <= 0 || period <= 0) return; /* -1 = none */
  int64_t cores = quota / period + (quota % period != 0);
  if (cores > 1 << 20) return;
  if (out->cores == 0 || cores < out->cores) out->cores = (int)cores;
}

static void limit_memory(th__cgroup *out, int64_t bytes) {
  /* Version 1 says "none" with a number just under INT64_MAX. */
  if (bytes <= 0 || bytes >= INT64_MAX / 2) return;
  if (out->memory == 0 || bytes < out->memory) out->memory = bytes;
}

/* strtoll() reads "max" as 0 and a number too large as INT64_MAX; both mean no limit. */
static void read_folder(const char *folder, th__cgroup *out) {
  char text[128], *end;
  if (read_in(folder, "cpu.max", text, sizeof text)) {
    int64_t quota = strtoll(text, &end, 10);
    if (end != text) limit_cores(out, quota, strtoll(end, NULL, 10));
  }
  if (read_in(folder, "memory.max", text, sizeof text)) limit_memory(out, strtoll(text, NULL, 10));
  if (read_in(folder, "cpu.cfs_quota_us", text, sizeof text)) {
    int64_t quota = strtoll(text, NULL, 10);
    if (read_in(folder, "cpu.cfs_period_us", text, sizeof text))
      limit_cores(out, quota, strtoll(text, NULL, 10));
  }
  if (read_in(folder, "memory.limit_in_bytes", text, sizeof text))
    limit_memory(out, strtoll(text, NULL, 10));
}

/* Reads the folder of group below mount, and all folders above it down to mount itself. */
static void read_branch(const char *root, const char *mount, const char *group, th__cgroup *out) {
  char folder[PATH_BYTES];
  int prefix = snprintf(folder, sizeof folder, "%s/sys/fs/cgroup%s", root, mount);
  if (prefix >= (int)sizeof folder) return;
  size_t length = strlen(group);
  if ((size_t)prefix + length < sizeof folder) memcpy(folder + prefix, group, length + 1);
  for (char *slash = folder + strlen(folder); slash >= folder + prefix;) {
    *slash = 0;
    read_folder(folder, out);
    do slash--;
    while (slash >= folder + prefix && *slash != '/');
  }
}

/* One line of /proc/self/cgroup: "number:controllers:path"; no controllers means version 2. */
static void read_line(const char *root, char *line, th__cgroup *out) {
  char *controllers = strchr(line, ':');
  char *group = controllers ? strchr(controllers + 1, ':') : NULL;
  if (!group) return;
  *controllers++ = 0;
  *group++ = 0;
  if (*controllers == 0) {
    read_branch(root, "", group, out);
    read_branch(root, "/unified", group, out);
    return;
  }
  char mount[128];
  if (snprintf(mount, sizeof mount, "/%s", controllers) < (int)sizeof mount)
    read_branch(root, mount, group, out);
  /* Several controllers may share one mount and each has a link to it. */
  char *rest = controllers;
  for (char *name; (name = strsep(&rest, ",")) != NULL;) {
    bool known = strcmp(name, "cpu") == 0 || strcmp(name, "memory") == 0;
    if (known && snprintf(mount, sizeof mount, "/%s", name) < (int)sizeof mount)
      read_branch(root, mount, group, out);
  }
}

void th__cgroup_read(const char *root, th__cgroup *out) {
  *out = (th__cgroup){0};
  char path[PATH_BYTES], text[4096];
  if (snprintf(path, sizeof path, "%s/proc/self/cgroup", root) >= (int)sizeof path) return;
  if (!read_text(path, text, sizeof text)) return;
  char *rest = text;
  for (char *line; (line = strsep(&rest, "\n")) != NULL;)
    if (*line) read_line(root, line, out);
}
