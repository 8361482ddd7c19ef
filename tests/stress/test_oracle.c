/* Random programs give the same bits in every mode, with any number of workers and submitters, errors included.
 * ctest: timeout 300 */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "stress/oracle.h"
#include "thrum/base.h"

TestSuite(stress_oracle, .timeout = 120);

/* Runs seeds first.. with every number of workers in turn. */
static void try_mode(const char *mode, int submitters, uint64_t first, int seeds, int ops) {
  static const int workers[] = {1, 2, 4, TH_NO_WORKERS};
  for (int i = 0; i < seeds; i++) {
    char message[512] = "";
    oracle_config config = {.seed = first + (uint64_t)i,
                            .submitters = submitters,
                            .ops = ops,
                            .errors = i % 2 ? 20 : 0,
                            .mode = mode,
                            .workers = workers[i % 4]};
    cr_assert(oracle_run(&config, message, sizeof message), "%s", message);
  }
}

Test(stress_oracle, threads_one_submitter) { try_mode("threads", 1, 100, 12, 1500); }
Test(stress_oracle, threads_four_submitters) { try_mode("threads", 4, 200, 12, 2000); }
Test(stress_oracle, serial) { try_mode("serial", 1, 300, 4, 1500); }
Test(stress_oracle, serial_four_submitters) { try_mode("serial", 4, 350, 4, 2000); }
Test(stress_oracle, shuffle_one_submitter) { try_mode("shuffle", 1, 400, 8, 1500); }
Test(stress_oracle, shuffle_four_submitters) { try_mode("shuffle", 4, 500, 8, 2000); }
Test(stress_oracle, shuffle_threads_one_submitter) { try_mode("shuffle-threads", 1, 600, 8, 1500); }
Test(stress_oracle, shuffle_threads_four_submitters) {
  try_mode("shuffle-threads", 4, 700, 8, 2000);
}
