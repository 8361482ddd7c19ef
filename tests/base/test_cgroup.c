/* Limits of the control group, read from made-up trees of /proc and /sys. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "engine/base/cgroup.h"

static char root[64];

static void make_root(void) {
  strcpy(root, "/tmp/thrum-cgroup-XXXXXX");
  cr_assert(not(zero(ptr, mkdtemp(root))));
}

static void remove_root(void) {
  char command[128];
  snprintf(command, sizeof command, "rm -r %s", root);
  cr_expect(eq(int, system(command), 0));
}

TestSuite(cgroup, .timeout = 60, .init = make_root, .fini = remove_root);

/* Writes a file below root and makes its folders. */
static void put(const char *path, const char *text) {
  char full[512];
  snprintf(full, sizeof full, "%s/%s", root, path);
  for (char *slash = full + strlen(root) + 1; (slash = strchr(slash, '/')) != NULL; slash++) {
    *slash = 0;
    mkdir(full, 0700);
    *slash = '/';
  }
  FILE *f = fopen(full, "w");
  cr_assert(not(zero(ptr, f)), "%s", full);
  fputs(text, f);
  fclose(f);
}

static void expect(int cores, int64_t memory) {
  th__cgroup g;
  memset(&g, 0xFF, sizeof g);
  th__cgroup_read(root, &g);
  cr_assert(eq(int, g.cores, cores));
  cr_assert(eq(i64, g.memory, memory));
}

Test(cgroup, nothing_limits_nothing) { expect(0, 0); }

Test(cgroup, version_2) {
  put("proc/self/cgroup", "0::/a/b\n");
  put("sys/fs/cgroup/a/b/cpu.max", "150000 100000\n");
  put("sys/fs/cgroup/a/b/memory.max", "1048576\n");
  expect(2, 1048576);
}

Test(cgroup, version_2_without_limits) {
  put("proc/self/cgroup", "0::/\n");
  put("sys/fs/cgroup/cpu.max", "max 100000\n");
  put("sys/fs/cgroup/memory.max", "max\n");
  expect(0, 0);
}

Test(cgroup, ancestors_limit_too) {
  put("proc/self/cgroup", "0::/a/b/c\n");
  put("sys/fs/cgroup/a/b/c/cpu.max", "max 100000\n");
  put("sys/fs/cgroup/a/b/cpu.max", "800000 100000\n");
  put("sys/fs/cgroup/a/cpu.max", "300000 100000\n");
  put("sys/fs/cgroup/a/b/c/memory.max", "4096\n");
  put("sys/fs/cgroup/a/memory.max", "9000\n");
  expect(3, 4096);
}

Test(cgroup, namespaced_path_outside_the_mount) {
  put("proc/self/cgroup", "0::/docker/0123456789\n");
  put("sys/fs/cgroup/cpu.max", "50000 100000\n");
  put("sys/fs/cgroup/memory.max", "7777\n");
  expect(1, 7777);
}

Test(cgroup, version_1) {
  put("proc/self/cgroup", "5:cpu,cpuacct:/job\n4:memory:/job\n3:pids:/\n");
  put("sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_quota_us", "400000\n");
  put("sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_period_us", "100000\n");
  put("sys/fs/cgroup/memory/job/memory.limit_in_bytes", "12345\n");
  put("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
  expect(4, 12345);
}

Test(cgroup, version_1_without_limits) {
  put("proc/self/cgroup", "2:cpu:/\n4:memory:/\n");
  put("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n");
  put("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
  put("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
  expect(0, 0);
}

Test(cgroup, nonsense_limits_nothing) {
  put("proc/self/cgroup", "\n:\nhello\n0:\n0::/x\n9:memory\n");
  put("sys/fs/cgroup/x/cpu.max", "lots 0\n");
  put("sys/fs/cgroup/x/memory.max", "-5\n");
  put("sys/fs/cgroup/cpu.max", "100000 0\n");
  expect(0, 0);
}
