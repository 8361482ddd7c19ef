/* The long runs at a size for every day.
 * ctest: serial */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <string.h>

#include "stress/limits.h"

TestSuite(stress_limits, .timeout = 60);

static void run(const char *name) {
  char message[512] = "";
  bool found = false, ok = false;
  for (int i = 0; i < limit_runs_count; i++) {
    if (strcmp(limit_runs[i].name, name) != 0) continue;
    found = true;
    ok = limit_runs[i].run(limit_runs[i].small, message, sizeof message);
  }
  cr_assert(found, "there is no run named %s", name);
  cr_assert(ok, "%s: %s", name, message);
}

Test(stress_limits, exits) { run("exits"); }
Test(stress_limits, forks) { run("forks"); }
Test(stress_limits, forklocks) { run("forklocks"); }
Test(stress_limits, nested) { run("nested"); }
Test(stress_limits, reads) { run("reads"); }
Test(stress_limits, readers) { run("readers"); }
Test(stress_limits, pending) { run("pending"); }
Test(stress_limits, crosses) { run("crosses"); }
Test(stress_limits, random) { run("random"); }
