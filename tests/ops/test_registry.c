/* The list of operators: additions at run time, kernels of other device kinds. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include <pthread.h>
#include <string.h>

#include "ops/op.h"
#include "support/fardevice.h"
#include "thrum/thrum.h"

/* A scope around each test releases what it makes. */
static th_scope around;
static void begin(void) { around = th_scope_begin(); }
static void end(void) {
  th_scope_end(around);
  (void)th_wait_all();
}

TestSuite(registry, .timeout = 60, .init = begin, .fini = end);

static th_status infer(th_infer *io, const void *params) { return th__infer_same(io, params); }

static th_op made[600];
static char names[600][24];

Test(registry, additions_are_found_and_refused_twice) {
  int before = th__op_count();
  for (int i = 0; i < 600; i++) {
    snprintf(names[i], sizeof names[i], "made_%d", i);
    made[i] = (th_op){.name = names[i], .in = {1}, .out = {1}, .infer = infer};
    cr_assert(eq(int, th__op_add(&made[i]), TH_OK), "%d: %s", i, th_last_error());
  }
  cr_assert(eq(int, th__op_count(), before + 600));
  for (int i = 0; i < 600; i++) cr_assert(th__op_find(names[i]) == &made[i], "%d", i);
  cr_assert(eq(int, th__op_add(&made[3]), TH_EBUSY));
  static const th_op taken = {.name = "add"};
  cr_assert(eq(int, th__op_add(&taken), TH_EBUSY));
  cr_assert(strstr(th_last_error(), "'add'") != NULL, "%s", th_last_error());
  cr_assert(strcmp(th__op_find("add")->name, "add") == 0);
}

static void *add_some(void *arg) {
  int first = *(int *)arg;
  for (int i = first; i < first + 100; i++) (void)th__op_add(&made[i]);
  return NULL;
}

Test(registry, threads_add_and_find) {
  pthread_t threads[4];
  int first[] = {0, 100, 200, 300};
  for (int i = 0; i < 400; i++) {
    snprintf(names[i], sizeof names[i], "thread_%d", i);
    made[i] = (th_op){.name = names[i]};
  }
  for (int t = 0; t < 4; t++)
    cr_assert(eq(int, pthread_create(&threads[t], NULL, add_some, &first[t]), 0));
  for (int i = 0; i < 2000; i++) cr_assert(th__op_find("multiply") != NULL);
  for (int t = 0; t < 4; t++) pthread_join(threads[t], NULL);
  for (int i = 0; i < 400; i++) cr_assert(th__op_find(names[i]) == &made[i], "%d", i);
}

static int kernel_calls;

/* The far device's memory is out of reach, so its kernel only counts. */
static th_status far_kernel(const th_kernel_args *k) {
  kernel_calls++; /* ordered by the wait */
  return TH_OK;
}

Test(registry, kernels_of_other_kinds) {
  far_install();
  const th_op *op = th__op_find("negative");
  th_array *a = th_copy_to(th_ones(TH_SHAPE(3), TH_F32, th_cpu(0)), far_device(0));
  cr_assert(th__kernel_get(op, TH_CPU) == op->cpu);
  cr_assert(th__kernel_get(op, TH_KIND_EXTERNAL) == NULL);
  th__kernel_set(op, TH_KIND_EXTERNAL, far_kernel);
  cr_assert(th__kernel_get(op, TH_KIND_EXTERNAL) == far_kernel);
  cr_assert(th__kernel_get(op, TH_CPU) == op->cpu);
  th_array *b = th_negative(a);
  cr_assert(eq(int, th_wait(b), TH_OK));
  cr_assert(eq(int, kernel_calls, 1));
  th_engine_stats stats = {.size = sizeof stats};
  cr_assert(eq(int, th_engine_get_stats(&stats), TH_OK));
  cr_assert(eq(u64, stats.fallbacks, 0));
}
