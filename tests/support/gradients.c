/* Owns what tests of gradients share. */
#include "support/gradients.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "engine/base/mem.h"
#include "ndarray/array.h"
#include "thrum/thrum.h"

static th_status run_opaque(const th_kernel_args *k) {
  th__copy_elements(&k->in[0], k->in_data[0], &k->out[0], k->out_data[0]);
  return TH_OK;
}
const th_op opaque = {.name = "opaque",
                      .in = {1},
                      .out = {1},
                      .dtypes = TH_SINGLES,
                      .infer = th__infer_same,
                      .cpu = run_opaque};

void gradients_without_memory(th_status (*program)(void), int most) {
  th_config config = {.size = sizeof config, .engine = "serial"};
  cr_assert(eq(int, th_init(&config), TH_OK), "%s", th_last_error());
  cr_assert(eq(int, program(), TH_OK), "%s", th_last_error());
  cr_assert(eq(int, th_wait_all(), TH_OK));
  bool finished = false;
  int failures = 0;
  for (int n = 0; n < most && !finished; n++) {
    th__mem_fail_after(n);
    th_status status = program();
    th__mem_fail_after(-1);
    cr_assert(status == TH_OK || status == TH_ENOMEM, "allocation %d: %d %s", n, (int)status,
              th_last_error());
    finished = status == TH_OK && th_wait_all() == TH_OK;
    failures += !finished;
  }
  cr_assert(finished);
  cr_assert(gt(int, failures, 50), "only %d allocations were tried", failures);
  cr_assert(eq(int, program(), TH_OK), "%s", th_last_error());
}
