/* The device cuda:0 as it is found: copies, order, memory, errors, training, starting again.
 * ctest: timeout 300 */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "engine/device.h"
#include "gpu/gpu.h"
#include "support/sanitizers.h"
#include "thrum/thrum.h"

static void start(void) {
  gpu_or_skip();
  setenv("TH_STRICT_DEVICE", "1", 1); /* nothing may go over the CPU */
  th_config config = {.size = sizeof config};
  cr_assert(th_init(&config) == TH_OK, "%s", th_last_error());
}

static void stop(void) { (void)th_shutdown(); }

TestSuite(gpu_device, .timeout = 120, .init = start, .fini = stop);

static th_array *must(th_array *a) {
  cr_assert(a != NULL, "%s", th_last_error());
  return a;
}

static void ok(th_status status) { cr_assert(status == TH_OK, "%s", th_last_error()); }

/* --- copies --- */

Test(gpu_device, there_and_back) {
  static const int64_t sizes[] = {1, 1000, 1 << 20, (3 << 20) + 5}; /* the last in several pieces */
  for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
    size_t bytes = (size_t)sizes[s] * 4;
    int32_t *in = malloc(bytes), *out = calloc(1, bytes);
    cr_assert(in != NULL && out != NULL);
    for (int64_t i = 0; i < sizes[s]; i++) in[i] = (int32_t)(i * 2654435761u);
    th_array *a = must(th_from_host(in, &sizes[s], 1, TH_I32, th_cuda(0)));
    th_array *b = must(th_copy(a)), *c = must(th_copy_to(b, th_cpu(0)));
    ok(th_read(a, out, bytes));
    cr_assert(memcmp(in, out, bytes) == 0);
    memset(out, 0, bytes);
    ok(th_read(c, out, bytes));
    cr_assert(memcmp(in, out, bytes) == 0);
    th_array *const all[] = {a, b, c};
    for (int i = 0; i < 3; i++) th_release(all[i]);
    free(in);
    free(out);
  }
}

/* --- order --- */

enum { ARRAYS = 12, N = 1000, STEPS = 2000 };

static uint32_t next_random(uint64_t *state) {
  *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
  return (uint32_t)(*state >> 33);
}

/* One random operation of integers, which have one right result in whatever order they should not be run. */
static void step(th_array **a, uint64_t *random) {
  uint32_t kind = next_random(random) % 6, x = next_random(random) % ARRAYS,
           y = next_random(random) % ARRAYS, to = next_random(random) % ARRAYS;
  th_array *made = NULL;
  switch (kind) {
  case 0: made = th_add(a[x], a[y]); break;
  case 1: made = th_multiply(a[x], a[y]); break;
  case 2: made = th_copy(a[x]); break;
  case 3: ok(th_subtract_inplace(a[to], a[x])); return;
  case 4: ok(th_add_scalar_inplace(a[to], x)); return;
  default: ok(th_assign(a[to], a[x])); return;
  }
  must(made);
  th_release(a[to]);
  a[to] = made;
}

static uint64_t hash_of(th_array *const *a) {
  uint64_t h = 1;
  int32_t out[N];
  for (int i = 0; i < ARRAYS; i++) {
    ok(th_read(a[i], out, sizeof out));
    for (int j = 0; j < N; j++) h = h * 31 + (uint32_t)out[j];
  }
  return h;
}

static uint64_t run_program(uint64_t seed, th_device d) {
  th_array *a[ARRAYS];
  uint64_t random = seed;
  for (int i = 0; i < ARRAYS; i++) {
    th_array *here = must(th_arange(i, i + N, 1, TH_I32, th_cpu(0)));
    a[i] = must(th_copy_to(here, d));
    th_release(here);
  }
  for (int i = 0; i < STEPS; i++) step(a, &random);
  uint64_t h = hash_of(a);
  for (int i = 0; i < ARRAYS; i++) th_release(a[i]);
  return h;
}

Test(gpu_device, random_programs_agree_with_the_cpu) {
  for (uint64_t seed = 1; seed <= 5; seed++)
    cr_assert(eq(u64, run_program(seed, th_cuda(0)), run_program(seed, th_cpu(0))), "seed %d",
              (int)seed);
}

static void *run_in_thread(void *arg) {
  uint64_t *seed = arg;
  *seed = run_program(*seed, th_cuda(0));
  return NULL;
}

Test(gpu_device, four_threads_submit) {
  pthread_t threads[4];
  uint64_t seeds[4] = {11, 12, 13, 14};
  for (int i = 0; i < 4; i++)
    cr_assert(pthread_create(&threads[i], NULL, run_in_thread, &seeds[i]) == 0);
  for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
  for (int i = 0; i < 4; i++)
    cr_assert(eq(u64, seeds[i], run_program(11 + (uint64_t)i, th_cpu(0))));
}

/* A program that uses no CPU device has a run-ahead limit, too, and not one of nothing. */
Test(gpu_device, the_program_runs_ahead) {
  th_engine_stats stats = {.size = sizeof stats};
  th_array *x = must(th_ones(TH_SHAPE(1000), TH_F32, th_cuda(0)));
  for (int i = 0; i < 1000; i++) {
    th_array *y = must(th_add_scalar(x, 1));
    th_release(x);
    x = y;
  }
  ok(th_engine_get_stats(&stats));
  cr_assert(zero(u64, (uint64_t)stats.limit_waits));
  cr_assert(th_wait(x) == TH_OK, "%s", th_last_error());
  th_release(x);
}

/* --- memory --- */

static th_memory_info figures(void) {
  th_memory_info m;
  ok(th_memory_get(th_cuda(0), &m));
  return m;
}

Test(gpu_device, memory_comes_back) {
  int64_t before = figures().live;
  for (int i = 0; i < 200; i++) {
    th_array *a = must(th_ones(TH_SHAPE(1 << 18), TH_F32, th_cuda(0)));
    th_array *b = must(th_add_scalar(a, 1));
    th_release(a);
    th_release(b);
  }
  ok(th_wait_all());
  th_memory_info after = figures();
  cr_assert(eq(i64, after.live, before));
  cr_assert(after.hits > 100, "%llu hits", (unsigned long long)after.hits);
  ok(th_memory_trim(th_cuda(0)));
  cr_assert(eq(i64, figures().cached, 0));
}

Test(gpu_device, short_of_memory) {
  enum { BLOCK = 4 << 20 };
  ok(th_memory_set_limit(th_cuda(0), figures().live + figures().cached + (INT64_C(96) << 20)));
  /* Each result is let go before the next can be needed: what is pending must be waited for. Six blocks fit. */
  for (int i = 0; i < (THREAD_SANITIZER ? 30 : 100); i++) {
    th_array *a = must(th_full(TH_SHAPE(BLOCK), i, TH_F32, th_cuda(0)));
    th_array *b = must(th_add(a, a)), *one = must(th_slice(b, "77"));
    if (i % 10 == 0) cr_assert(th_item(one) == 2 * i);
    th_array *const all[] = {a, b, one};
    for (int j = 0; j < 3; j++) th_release(all[j]);
  }
  ok(th_wait_all());
  /* More at once than fits fails, and only that. */
  th_array *held[12];
  int failed = 0;
  for (int i = 0; i < 12; i++) held[i] = th_full(TH_SHAPE(BLOCK), i, TH_F32, th_cuda(0));
  for (int i = 0; i < 12; i++) {
    failed += held[i] == NULL || th_wait(held[i]) == TH_ENOMEM;
    th_release(held[i]);
  }
  cr_assert(failed > 0 && failed < 12, "%d failed", failed);
  (void)th_wait_all();
  th_array *again = must(th_full(TH_SHAPE(BLOCK), 3, TH_F32, th_cuda(0)));
  ok(th_wait(again));
  th_release(again);
}

/* Not a bound: a loaded machine must not fail it. gpu-check keeps what it prints. */
Test(gpu_device, time_of_a_pool_hit) {
  enum { ROUNDS = 100000 };
  const th__device_ops *ops;
  void *state, *block;
  ok(th__device_open(th_cuda(0), &ops, &state));
  ok(ops->alloc(state, 4096, &block));
  ops->free(state, block, 4096);
  uint64_t misses = figures().misses;
  struct timespec begin, end;
  clock_gettime(CLOCK_MONOTONIC, &begin);
  for (int i = 0; i < ROUNDS; i++) {
    ok(ops->alloc(state, 4096, &block));
    ops->free(state, block, 4096);
  }
  clock_gettime(CLOCK_MONOTONIC, &end);
  double ns = 1e9 * (double)(end.tv_sec - begin.tv_sec) + (double)(end.tv_nsec - begin.tv_nsec);
  fprintf(stderr, "pool hit%s: %.1f ns to take and give back\n", gpu_is_fake() ? " (fake)" : "",
          ns / ROUNDS);
  cr_assert(eq(u64, figures().misses, misses), "the driver was asked");
}

/* --- training --- */

static double train(th_device d) {
  enum { BATCH = 64, IN = 50, HIDDEN = 40, OUT = 10 };
  th_generator *g = th_generator_new(3);
  th_array *x = must(th_normal(g, TH_SHAPE(BATCH, IN), 0, 1, TH_F32, d));
  th_array *labels = must(th_from_host((int64_t[BATCH]){1, 2, 3, 4}, TH_SHAPE(BATCH), TH_I64, d));
  th_array *p[4] = {
      th_normal(g, TH_SHAPE(IN, HIDDEN), 0, 0.2, TH_F32, d), th_zeros(TH_SHAPE(HIDDEN), TH_F32, d),
      th_normal(g, TH_SHAPE(HIDDEN, OUT), 0, 0.2, TH_F32, d), th_zeros(TH_SHAPE(OUT), TH_F32, d)};
  for (int i = 0; i < 4; i++) ok(th_require_grad(must(p[i])));
  th_optimizer *optimizer = th_sgd(p, 4, 0.1, 0.9, 0, false);
  double loss = 0;
  for (int i = 0; i < 30; i++) {
    th_scope scope = th_scope_begin();
    th_array *hidden = th_relu(th_linear(x, p[0], p[1]));
    th_array *l = must(th_cross_entropy(th_linear(hidden, p[2], p[3]), labels));
    ok(th_backward(l, 0));
    ok(th_optimizer_step(optimizer));
    th_optimizer_zero_grad(optimizer);
    if (i == 29) loss = th_item(l);
    th_scope_end(scope);
  }
  th_optimizer_release(optimizer);
  for (int i = 0; i < 4; i++) th_release(p[i]);
  th_release(x);
  th_release(labels);
  th_generator_release(g);
  return loss;
}

Test(gpu_device, training_goes_as_on_the_cpu) {
  double there = train(th_cuda(0)), here = train(th_cpu(0));
  cr_assert(isfinite(there) && fabs(there - here) < 1e-3, "loss %g, on the CPU %g", there, here);
}

/* --- errors and ends --- */

static th_status fail(void *arg, th_task_context *context) {
  return th_context_fail(context, TH_EKERNEL, "failed on purpose");
}

Test(gpu_device, a_failure_travels_and_is_cured) {
  th_array *a = must(th_ones(TH_SHAPE(100), TH_F32, th_cuda(0)));
  th_var *var = th_array_var(a);
  ok(th_push(&(th_task){
      .name = "fails", .run = fail, .writes = &var, .n_writes = 1, .device = th_cuda(0)}));
  th_array *b = must(th_add_scalar(a, 1));
  cr_assert(eq(int, th_wait(b), TH_EKERNEL));
  cr_assert(strstr(th_last_error(), "failed on purpose") != NULL, "%s", th_last_error());
  ok(th_fill(a, 5));
  th_array *c = must(th_sum(a, NULL, 0, false));
  cr_assert(th_item(c) == 500);
  th_release(a);
  th_release(b);
  th_release(c);
  (void)th_wait_all();
}

Test(gpu_device, the_engine_starts_again) {
  for (int i = 0; i < 3; i++) {
    th_array *a = must(th_full(TH_SHAPE(1000), i, TH_F32, th_cuda(0)));
    th_array *sum = must(th_sum(a, NULL, 0, false));
    cr_assert(th_item(sum) == 1000 * i);
    th_release(a);
    th_release(sum);
    ok(th_shutdown());
    ok(th_init(NULL));
  }
}
