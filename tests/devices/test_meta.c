/* The device of shapes: present, without memory, without tasks. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <string.h>

#include "devices/meta/meta.h"
#include "engine/engine.h"

/* Threads are not left to the end of the process: the thread sanitizer calls them leaked. */
static void stop(void) { th_shutdown(); }

TestSuite(meta, .timeout = 60, .fini = stop);

Test(meta, is_always_there) {
  cr_assert(eq(int, th_device_count(TH_META), 1));
  const th__device_ops *ops = NULL;
  void *state = NULL;
  cr_assert(eq(int, th__device_open(th_meta(), &ops, &state), TH_OK), "%s", th_last_error());
  cr_assert(eq(ptr, (void *)ops, (void *)&th__meta_ops));
  cr_assert(eq(int, (int)ops->caps, TH__CAP_NO_DATA));
}

Test(meta, holds_no_memory) {
  th_memory_info m;
  memset(&m, 0xFF, sizeof m);
  cr_assert(eq(int, th_memory_get(th_meta(), &m), TH_OK));
  cr_assert(eq(i64, m.live, 0));
  cr_assert(eq(i64, m.peak, 0));
  cr_assert(eq(i64, m.cached, 0));
  cr_assert(eq(u64, m.hits + m.misses, 0));
  cr_assert(eq(int, th_memory_trim(th_meta()), TH_OK));
  cr_assert(eq(int, th_memory_reset_peak(th_meta()), TH_OK));
  cr_assert(eq(int, th_memory_set_limit(th_meta(), 100), TH_OK));
}

static th_status body(void *arg, th_task_context *context) { return TH_OK; }

Test(meta, runs_no_tasks) {
  th_task task = {.run = body, .device = th_meta()};
  cr_assert(eq(int, th_push(&task), TH_EDEVICE), "%s", th_last_error());
}
