/* Owns how files are replaced. No lock: a target is its user's. */
#include "ndarray/target.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/base/atomic.h"
#include "engine/base/error.h"
#include "engine/base/mem.h"

th_status th__file_error(const char *who, const char *path, const char *reason) {
  return th__fail(TH_EIO, "%s: '%s': %s", who, path, reason);
}

static th_status system_error(const th__target *t) {
  if (errno == ENOMEM) return th__fail(TH_ENOMEM, "%s: '%s': no memory", t->who, t->path);
  return th__file_error(t->who, t->path, strerror(errno));
}

/* --- opening --- */

/* A descriptor for the folder, so that the file goes there even if the process changes its own meanwhile. */
static bool open_folder(th__target *t) {
  char *slash = strrchr(t->path, '/');
  t->name = slash ? slash + 1 : t->path;
  if (slash == t->path) {
    t->folder = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  } else {
    if (slash) *slash = 0;
    t->folder = open(slash ? t->path : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (slash) *slash = '/';
  }
  return t->folder >= 0;
}

/* A new file, without a name where the file system can do that and it can get one later. */
static bool open_beside(th__target *t, mode_t mode) {
  static _Atomic uint32_t count; /* relaxed: only uniqueness matters */
  if (!open_folder(t)) return false;
  size_t room = strlen(t->name) + 48;
  t->beside = th__alloc(room);
  if (!t->beside) {
    errno = ENOMEM;
    return false;
  }
  (void)snprintf(t->beside, room, "%s.%ld.%u.tmp", t->name, (long)getpid(),
                 th__fetch_add(&count, 1, TH__RELAXED));
  if (access("/proc/self/fd", X_OK) == 0)
    t->descriptor = openat(t->folder, ".", O_TMPFILE | O_WRONLY | O_CLOEXEC, mode);
  t->unnamed = t->descriptor >= 0;
  if (!t->unnamed)
    t->descriptor = openat(t->folder, t->beside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
  return t->descriptor >= 0;
}

th_status th__target_open(th__target *t, const char *path, const char *who) {
  struct stat info;
  *t = (th__target){.who = who, .folder = -1, .descriptor = -1};
  t->path = th__strdup(path);
  if (!t->path) return th__fail(TH_ENOMEM, "%s: no memory for a path", who);
  bool exists = lstat(path, &info) == 0;
  size_t length = strlen(path);
  bool good = false;
  if (exists && !S_ISREG(info.st_mode)) {
    t->descriptor = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
    good = t->descriptor >= 0;
  } else if (length > 0 && path[length - 1] == '/') {
    errno = EISDIR;
  } else if (exists ? access(path, W_OK) == 0 : length > 0) {
    good = open_beside(t, exists ? info.st_mode & 0777 : 0666);
  }
  if (good) return TH_OK;
  th_status status = system_error(t);
  th__target_drop(t);
  return status;
}

/* --- writing and ending --- */

th_status th__target_write(th__target *t, const void *data, size_t bytes) {
  const char *at = data;
  while (bytes > 0) {
    ssize_t n = write(t->descriptor, at, bytes);
    if (n < 0 && errno != EINTR) return system_error(t);
    at += n < 0 ? 0 : n;
    bytes -= n < 0 ? 0 : (size_t)n;
  }
  return TH_OK;
}

/* The name that version i has, 0 being the newest. */
static const char *version_name(const th__target *t, int i, char *buffer, size_t room) {
  if (i == 0) return t->name;
  (void)snprintf(buffer, room, "%s.%d", t->name, i);
  return buffer;
}

/* path.1 becomes path.2 and so on; the file at path gets path.1 as a second name, so that path is never without one. */
static void keep_versions(const th__target *t, int keep) {
  char from[4096], to[4096];
  if (keep < 2 || faccessat(t->folder, t->name, F_OK, 0) != 0) return;
  if (strlen(t->name) + 16 > sizeof from) return; /* no file system has such names */
  for (int i = keep - 1; i > 1; i--)
    (void)renameat(t->folder, version_name(t, i - 1, from, sizeof from), t->folder,
                   version_name(t, i, to, sizeof to));
  (void)unlinkat(t->folder, version_name(t, 1, to, sizeof to), 0);
  (void)linkat(t->folder, t->name, t->folder, to, 0);
}

/* Gives the new file its name beside the old one. */
static bool give_name(th__target *t) {
  if (!t->unnamed) return true;
  char self[64];
  (void)snprintf(self, sizeof self, "/proc/self/fd/%d", t->descriptor);
  if (linkat(AT_FDCWD, self, t->folder, t->beside, AT_SYMLINK_FOLLOW) != 0) return false;
  t->unnamed = false;
  return true;
}

/* Bytes first, then the name, then the folder: whatever ends the machine in between, path names a whole file. */
static bool replace(th__target *t, int keep) {
  if (fsync(t->descriptor) != 0 || !give_name(t)) return false;
  bool closed = close(t->descriptor) == 0;
  t->descriptor = -1;
  if (!closed) return false;
  keep_versions(t, keep);
  if (renameat(t->folder, t->beside, t->folder, t->name) != 0) return false;
  th__free(t->beside);
  t->beside = NULL;
  (void)fsync(t->folder); /* some file systems cannot; the file stands all the same */
  return true;
}

/* Of a link's file or a device: nothing was written before, so what was there is cut off behind what is new. */
static bool close_in_place(th__target *t) {
  struct stat info;
  bool good = fstat(t->descriptor, &info) == 0;
  if (good && S_ISREG(info.st_mode)) {
    off_t end = lseek(t->descriptor, 0, SEEK_CUR);
    good = end >= 0 && ftruncate(t->descriptor, end) == 0 && fsync(t->descriptor) == 0;
  }
  good = close(t->descriptor) == 0 && good;
  t->descriptor = -1;
  return good;
}

th_status th__target_commit(th__target *t, int keep) {
  bool good = t->beside ? replace(t, keep) : close_in_place(t);
  th_status status = good ? TH_OK : system_error(t);
  th__target_drop(t);
  return status;
}

void th__target_drop(th__target *t) {
  if (t->descriptor >= 0) (void)close(t->descriptor);
  if (t->beside && t->folder >= 0 && !t->unnamed) (void)unlinkat(t->folder, t->beside, 0);
  if (t->folder >= 0) (void)close(t->folder);
  th__free(t->beside);
  th__free(t->path);
  *t = (th__target){.folder = -1, .descriptor = -1};
}
