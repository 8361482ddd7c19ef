/* Owns how files are replaced. No lock: a target is its user's. */
#include "ndarray/target.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
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
  char *slash = strrchr(t->file, '/');
  t->name = slash ? slash + 1 : t->file;
  if (slash == t->file) {
    t->folder = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  } else {
    if (slash) *slash = 0;
    t->folder = open(slash ? t->file : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (slash) *slash = '/';
  }
  return t->folder >= 0;
}

/* Whether the link stands for a file that a process has open: its text need not lead there, and others write to that file, too. */
static bool is_of_proc(const char *link) {
  struct statfs system;
  int descriptor = open(link, O_PATH | O_NOFOLLOW | O_CLOEXEC);
  bool proc = descriptor >= 0 && fstatfs(descriptor, &system) == 0 &&
              (unsigned long)system.f_type == PROC_SUPER_MAGIC;
  if (descriptor >= 0) (void)close(descriptor);
  return proc;
}

/* The text of the link at t->file in place of its name. 1; 0: that is no link to follow; -1: errno. */
static int follow_one(th__target *t) {
  char text[4096];
  ssize_t n = readlink(t->file, text, sizeof text);
  if (n < 0) return errno == EINVAL || errno == ENOENT ? 0 : -1;
  t->open_already = is_of_proc(t->file);
  if (t->open_already) return 0;
  const char *slash = strrchr(t->file, '/');
  size_t folder = slash && text[0] != '/' ? (size_t)(slash + 1 - t->file) : 0;
  char *joined = (size_t)n < sizeof text ? th__alloc(folder + (size_t)n + 1) : NULL;
  if (!joined) {
    errno = (size_t)n < sizeof text ? ENOMEM : ENAMETOOLONG;
    return -1;
  }
  memcpy(joined, t->file, folder);
  memcpy(joined + folder, text, (size_t)n);
  joined[folder + (size_t)n] = 0;
  th__free(t->file);
  t->file = joined;
  return 1;
}

/* Sets t->file to where links at the end of path lead. */
static bool follow(th__target *t) {
  enum { MOST_LINKS = 40 }; /* as Linux */
  int more = 1;
  t->file = th__strdup(t->path);
  if (!t->file) errno = ENOMEM;
  for (int i = 0; t->file && more == 1; i++)
    more = i < MOST_LINKS ? follow_one(t) : (errno = ELOOP, -1);
  return t->file && more == 0;
}

/* Another name to try beside the file. It may be taken: a process of the same number that was killed left it. */
static void next_name(const th__target *t, char *name, size_t room) {
  static _Atomic uint32_t count; /* relaxed: only uniqueness matters */
  (void)snprintf(name, room, "%s.%ld.%u.tmp", t->name, (long)getpid(),
                 th__fetch_add(&count, 1, TH__RELAXED));
}

static size_t name_room(const th__target *t) { return strlen(t->name) + 48; }

/* A new file under a name that nobody has. */
static int create_named(const th__target *t, char *name, size_t room, mode_t mode) {
  int descriptor;
  do {
    next_name(t, name, room);
    descriptor = openat(t->folder, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
  } while (descriptor < 0 && errno == EEXIST);
  return descriptor;
}

/* A new file, without a name where the file system can do that and it can get one later. */
static bool open_beside(th__target *t, mode_t mode) {
  if (!open_folder(t)) return false;
  t->beside = th__alloc(name_room(t));
  if (!t->beside) {
    errno = ENOMEM;
    return false;
  }
  t->unnamed = true;
  if (access("/proc/self/fd", X_OK) == 0)
    t->descriptor = openat(t->folder, ".", O_TMPFILE | O_WRONLY | O_CLOEXEC, mode);
  if (t->descriptor < 0) {
    t->descriptor = create_named(t, t->beside, name_room(t), mode);
    t->unnamed = t->descriptor < 0;
  }
  return t->descriptor >= 0;
}

th_status th__target_open(th__target *t, const char *path, const char *who) {
  struct stat info;
  *t = (th__target){.who = who, .folder = -1, .descriptor = -1};
  t->path = th__strdup(path);
  if (!t->path) return th__fail(TH_ENOMEM, "%s: no memory for a path", who);
  bool exists = stat(path, &info) == 0, good = false;
  bool followed = (exists || errno == ENOENT) && follow(t); /* only where the system would, too */
  size_t length = followed ? strlen(t->file) : 0;
  if (followed && exists && (!S_ISREG(info.st_mode) || t->open_already)) {
    t->descriptor = open(path, O_WRONLY | O_CLOEXEC);
    good = t->descriptor >= 0;
  } else if (length > 0 && t->file[length - 1] == '/') {
    errno = EISDIR;
  } else if (followed && (exists ? access(path, W_OK) == 0 : length > 0)) {
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

/* A second name for the file `from` of `folder`, one that nobody has. */
static bool link_named(const th__target *t, int folder, const char *from, int flags, char *name,
                       size_t room) {
  int failed;
  do {
    next_name(t, name, room);
    failed = linkat(folder, from, t->folder, name, flags);
  } while (failed && errno == EEXIST);
  return !failed;
}

/* All of one file into another, which is on the disk then. */
static bool copy_bytes(int from, int to) {
  char buffer[16384];
  ssize_t n, written = 0;
  while ((n = read(from, buffer, sizeof buffer)) != 0) {
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return false;
    for (ssize_t at = 0; at < n; at += written) {
      written = write(to, buffer + at, (size_t)(n - at));
      if (written < 0 && errno != EINTR) return false;
      if (written < 0) written = 0;
    }
  }
  return fsync(to) == 0;
}

static void close_quietly(int descriptor) {
  int kept = errno;
  (void)close(descriptor);
  errno = kept;
}

static void unlink_quietly(const th__target *t, const char *name) {
  int kept = errno;
  (void)unlinkat(t->folder, name, 0);
  errno = kept;
}

/* A copy of the file, where it cannot have a second name: without hard links, nothing else leaves path a file at every moment. */
static bool copy_named(const th__target *t, char *name, size_t room) {
  struct stat info;
  int from = openat(t->folder, t->name, O_RDONLY | O_CLOEXEC);
  if (from < 0) return false;
  int to = fstat(from, &info) == 0 ? create_named(t, name, room, info.st_mode & 0777) : -1;
  bool good = to >= 0 && copy_bytes(from, to);
  if (to >= 0) good = close(to) == 0 && good;
  if (to >= 0 && !good) unlink_quietly(t, name);
  close_quietly(from);
  return good;
}

/* path.1 becomes path.2 and so on, as far as that goes: a save must not fail because an old version is in the way. */
static void shift_versions(const th__target *t, int keep, char *from, char *to, size_t room) {
  for (int i = keep - 1; i > 1; i--)
    (void)renameat(t->folder, version_name(t, i - 1, from, room), t->folder,
                   version_name(t, i, to, room));
}

/* The file at path becomes path.1 and stays at path, too, so that neither is ever without one. */
static bool keep_versions(const th__target *t, int keep) {
  char from[4096], to[4096], old[4096]; /* no file system has longer names */
  if (keep < 2 || faccessat(t->folder, t->name, F_OK, 0) != 0) return true;
  if (!link_named(t, t->folder, t->name, 0, old, sizeof old) && !copy_named(t, old, sizeof old))
    return false;
  shift_versions(t, keep, from, to, sizeof from);
  bool good = renameat(t->folder, old, t->folder, version_name(t, 1, to, sizeof to)) == 0;
  unlink_quietly(t, old); /* there still where path.1 had been the same file */
  return good;
}

/* Gives the new file its name beside the old one. */
static bool give_name(th__target *t) {
  if (!t->unnamed) return true;
  char self[64];
  (void)snprintf(self, sizeof self, "/proc/self/fd/%d", t->descriptor);
  t->unnamed = !link_named(t, AT_FDCWD, self, AT_SYMLINK_FOLLOW, t->beside, name_room(t));
  return !t->unnamed;
}

/* Bytes first, then the name, then the folder: whatever ends the machine in between, path names a whole file. */
static bool replace(th__target *t, int keep) {
  if (fsync(t->descriptor) != 0 || !give_name(t)) return false;
  bool closed = close(t->descriptor) == 0;
  t->descriptor = -1;
  if (!closed) return false;
  if (!keep_versions(t, keep)) return false;
  if (renameat(t->folder, t->beside, t->folder, t->name) != 0) return false;
  th__free(t->beside);
  t->beside = NULL;
  (void)fsync(t->folder); /* some file systems cannot; the file stands all the same */
  return true;
}

/* Of a device, or a file without a name: nothing was written before, so what was there is cut off behind what is new. */
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
  th__free(t->file);
  th__free(t->path);
  *t = (th__target){.folder = -1, .descriptor = -1};
}
