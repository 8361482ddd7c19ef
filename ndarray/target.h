/* Owns where a file goes that is written: into a new one beside the old one, which it replaces in one step when it is whole and
 * on the disk; a link stays and its file is replaced; a device or the like, and what a process has open (/dev/stdout), is written to. Used by one thread at a time. */
#ifndef THRUM_NDARRAY_TARGET_H
#define THRUM_NDARRAY_TARGET_H

#include "thrum/base.h"

typedef struct th__target {
  const char *who;  /* the public call, for messages: a literal */
  char *path;       /* owned */
  char *file;       /* where links at the end of path lead; owned */
  const char *name; /* the last part of file */
  char *beside;     /* the new file's name in the folder, owned; NULL: path itself is written */
  bool unnamed; /* the new file has no name yet: killed now, the process leaves nothing behind */
  bool open_already; /* path is a process's descriptor, as /dev/stdout */
  int folder, descriptor;
} th__target;

/* Finds out whether path can be written, and changes nothing there yet. TH_EIO. */
th_status th__target_open(th__target *t, const char *path, const char *who);
/* TH_EIO; the target stays open. */
th_status th__target_write(th__target *t, const void *data, size_t bytes);
/* Puts the new file in the old one's place and ends the target, also when that fails. keep > 1: as many versions stay, the older
 * ones as path.1, path.2 and so on (of a link: beside its file), by a hard link or, where there are none, a copy. Where neither can
 * be made, TH_EIO, and nothing was replaced. */
th_status th__target_commit(th__target *t, int keep);
/* Ends a target without one: what is there so far is of no use to anybody. */
void th__target_drop(th__target *t);

/* "th_save: 'path': reason", TH_EIO. */
th_status th__file_error(const char *who, const char *path, const char *reason);

#endif
