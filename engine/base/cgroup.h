/* What the control group of this process allows, version 1 and 2. */
#ifndef THRUM_ENGINE_BASE_CGROUP_H
#define THRUM_ENGINE_BASE_CGROUP_H

#include "thrum/base.h"

typedef struct th__cgroup {
  int cores;      /* CPU quota in cores, rounded up; 0 = no quota */
  int64_t memory; /* bytes; 0 = no limit */
} th__cgroup;

/* root is put before /proc and /sys: "" for the real ones, a folder in tests. Never fails: what cannot be read limits
 * nothing. */
void th__cgroup_read(const char *root, th__cgroup *out);

#endif
