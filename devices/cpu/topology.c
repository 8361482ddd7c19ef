/* Asks the system how much memory this process may have. Stateless. */
#include <unistd.h>

#include "devices/cpu/cpu.h"
#include "engine/base/cgroup.h"

int64_t th__cpu_default_limit(void) {
  long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
  int64_t bytes = pages > 0 && page > 0 ? (int64_t)pages * page : INT64_C(1) << 32;
  th__cgroup group;
  th__cgroup_read("", &group);
  if (group.memory > 0 && group.memory < bytes) bytes = group.memory;
  return bytes / 10 * 9;
}
