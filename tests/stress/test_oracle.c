/* Random programs give the same bits in every mode, with any number of workers and submitters, errors included.
 * ctest: timeout 300 */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "stress/oracle.h"
#include "support/fakedriver.h"
#include "thrum/base.h"

TestSuite(stress_oracle, .timeout = 120);

/* Runs seeds first.. with every number of workers in turn. */
static void try_devices(bool cuda, const char *mode, int submitters, uint64_t first, int seeds,
                        int ops) {
  static const int workers[] = {1, 2, 4, TH_NO_WORKERS};
  for (int i = 0; i < seeds; i++) {
    char message[512] = "";
    oracle_config config = {.seed = first + (uint64_t)i,
                            .submitters = submitters,
                            .ops = ops,
                            .errors = i % 2 ? 20 : 0,
                            .cuda = cuda,
                            .mode = mode,
                            .workers = workers[i % 4]};
    cr_assert(oracle_run(&config, message, sizeof message), "%s", message);
  }
}

/* Recorded, with thrum-trace looking at the trace of each; ./run ci has 100 seeds of either kind. */
static void try_traces(bool cuda, const char *mode, int submitters, uint64_t first) {
  const char *why = NULL;
  if (cuda && !fake_install(&why)) cr_skip_test("the fake driver cannot be loaded: %s", why);
  for (uint64_t i = 0; i < 6; i++) {
    char message[512] = "";
    oracle_config config = {.seed = first + i,
                            .submitters = submitters,
                            .ops = 1000,
                            .errors = i % 2 ? 20 : 0,
                            .cuda = cuda,
                            .mode = mode,
                            .workers = 1 + (int)i % 4,
                            .look = oracle_trace_is_true};
    cr_assert(oracle_run(&config, message, sizeof message), "%s", message);
  }
}

static void try_mode(const char *mode, int submitters, uint64_t first, int seeds, int ops) {
  try_devices(false, mode, submitters, first, seeds, ops);
}

/* A few; ./run ci has the program `oracle` do more. */
static void try_cuda(const char *mode, int submitters, uint64_t first) {
  const char *why = NULL;
  if (!fake_install(&why)) cr_skip_test("the fake driver cannot be loaded: %s", why);
  try_devices(true, mode, submitters, first, 4, 800);
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

Test(stress_oracle, cuda_threads_one_submitter) { try_cuda("threads", 1, 1000); }
Test(stress_oracle, cuda_threads_four_submitters) { try_cuda("threads", 4, 2000); }
Test(stress_oracle, cuda_serial) { try_cuda("serial", 1, 3000); }
Test(stress_oracle, cuda_shuffle) { try_cuda("shuffle", 1, 4000); }
Test(stress_oracle, cuda_shuffle_threads) { try_cuda("shuffle-threads", 4, 5000); }

Test(stress_oracle, traces_of_lag_devices) { try_traces(false, "threads", 4, 6000); }
Test(stress_oracle, traces_of_shuffled_threads) { try_traces(false, "shuffle-threads", 1, 6100); }
Test(stress_oracle, traces_of_the_serial_mode) { try_traces(false, "serial", 1, 6200); }
Test(stress_oracle, traces_of_cuda) { try_traces(true, "threads", 4, 6300); }
