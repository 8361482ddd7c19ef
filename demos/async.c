/* Calling is not computing: how long calls take, how long results take, and what waiting costs. */
#include "common/demo.h"

enum { SIDE = 1000, MOST = 20 }; /* MOST tries where others may have the machine for a while */

static th_device
    device; /* of the arrays; the parts about memory and about functions of the host stay on cpu:0 */

/* n times a random matrix and its square; only the last result is kept (+1). */
static th_array *random_squares(long n, th_device d) {
  th_array *last = NULL;
  for (long i = 0; i < n; i++) {
    th_array *a = DEMO_MAKE(th_normal(NULL, TH_SHAPE(SIDE, SIDE), 0, 1, TH_F32, d));
    th_release(last);
    last = DEMO_MAKE(th_matmul(a, a));
    th_release(a); /* the engine keeps what pending operations need */
  }
  return last;
}

/* Ten times "random matrix, multiply": the calls return long before the work is done. */
static void calling_and_finishing(void) {
  double calls = 1e9, finish = 1e9;
  /* More often when the machine was not ours. */
  for (int try = 0; try < 5 || (try < MOST && calls >= 1e-3); try++) {
    double start = demo_seconds();
    th_array *last = random_squares(10, device);
    double called = demo_seconds() - start;
    DEMO_TRY(th_wait_all());
    double finished = demo_seconds() - start;
    th_release(last);
    if (called < calls) calls = called, finish = finished;
  }
  printf("10 x (normal %d x %d, matmul): calls %.3f ms, finished after %.1f ms\n", SIDE, SIDE,
         calls * 1e3, finish * 1e3);
  demo_check(calls < 1e-3, "all 20 calls returned within 1 ms");
}

static th_status sleep_200_ms(void *arg, th_task_context *context) {
  demo_sleep(0.2);
  return TH_OK;
}

/* z = x * y + 2, then a sleep; how long the waits for z and for all took. Returns z. */
static th_array *wait_for_one(th_array *x, th_array *y, double *early, double *all) {
  double start = demo_seconds();
  th_array *xy = DEMO_MAKE(th_multiply(x, y));
  th_array *z = DEMO_MAKE(th_add_scalar(xy, 2));
  DEMO_TRY(th_push(&(th_task){.name = "sleep", .run = sleep_200_ms}));
  DEMO_TRY(th_wait(z));
  *early = demo_seconds() - start;
  DEMO_TRY(th_wait_all());
  *all = demo_seconds() - start;
  th_release(xy);
  return z;
}

/* Waiting for one array does not wait for what came later. */
static void waiting_for_one(void) {
  th_array *x = DEMO_MAKE(th_ones(TH_SHAPE(1, 2), TH_F32, device));
  th_array *y = DEMO_MAKE(th_ones(TH_SHAPE(1, 2), TH_F32, device)), *z = NULL;
  double early = 1, all = 0;
  for (int try = 0; try < MOST && early >= 0.15; try++) {
    th_release(z);
    z = wait_for_one(x, y, &early, &all);
  }
  printf("th_wait(z) after %.1f ms, th_wait_all() after %.1f ms\nz = x * y + 2 = ", early * 1e3,
         all * 1e3);
  DEMO_TRY(th_print(z, stdout));
  float got[2];
  DEMO_TRY(th_read(z, got, sizeof got));
  demo_check(got[0] == 3 && got[1] == 3, "z is [[3 3]]");
  demo_check(early < 0.15 && all >= 0.195, "th_wait(z) did not wait for the later sleep");
  th_array *arrays[] = {x, y, z};
  for (int i = 0; i < 3; i++) th_release(arrays[i]);
}

/* The time of n steps is t1 + n t2 + t3: t1 to start, t2 per step, t3 to see the result. With a wait in every step, each
 * one pays t3 as well. */
static void waiting_each_time(void) {
  enum { STEPS = 10000 };
  double each = 1e9, once = 1e9, submit = 1e9, see = 1e9;
  demo_others();
  for (int try = 0; try < 5; try++) {
    th_array *x = DEMO_MAKE(th_zeros(TH_SHAPE(1, 2), TH_F32, device));
    DEMO_TRY(th_wait(x));
    double start = demo_seconds();
    for (int i = 0; i < STEPS; i++) {
      DEMO_TRY(th_add_scalar_inplace(x, 1));
      DEMO_TRY(th_wait(x));
    }
    double seconds = demo_seconds() - start;
    if (seconds < each) each = seconds;
    start = demo_seconds();
    for (int i = 0; i < STEPS; i++) DEMO_TRY(th_add_scalar_inplace(x, 1));
    double called = demo_seconds() - start;
    DEMO_TRY(th_wait(x));
    seconds = demo_seconds() - start;
    if (seconds < once) once = seconds, submit = called, see = seconds - called;
    float got[2];
    DEMO_TRY(th_read(x, got, sizeof got));
    if (got[0] != 2 * STEPS) demo_check(false, "x is %g", (double)got[0]);
    th_release(x);
  }
  printf("%d increments: waiting each time %.2f ms, waiting once %.2f ms (%.1f times faster)\n",
         STEPS, each * 1e3, once * 1e3, each / once);
  printf("per step: %.0f ns to submit, %.0f ns in all; %.1f us from the last call to the result\n",
         submit / STEPS * 1e9, once / STEPS * 1e9, see * 1e6);
  double others = demo_others();
  if (others < 0.2) {
    demo_check(once < each, "waiting once is faster");
  } else {
    printf("  not judged: other programs took %.0f %% of the machine\n", others * 100);
  }
}

static long long peak_of_squares(long n) {
  th_memory_info info;
  DEMO_TRY(th_memory_trim(th_cpu(0)));
  DEMO_TRY(th_memory_reset_peak(th_cpu(0)));
  th_array *last = random_squares(n, th_cpu(0));
  th_release(last);
  DEMO_TRY(th_wait_all());
  DEMO_TRY(th_memory_get(th_cpu(0), &info));
  return (long long)info.peak;
}

/* The program may run far ahead of the engine; memory is taken when operations run, and never beyond the limit. */
static void running_ahead(long n) {
  const int64_t limit = 24 << 20; /* six matrices */
  long long free_peak = peak_of_squares(n);
  DEMO_TRY(th_memory_set_limit(th_cpu(0), limit));
  long long limited = peak_of_squares(n);
  printf("%ld x (normal, matmul), no wait between: peak %.1f MiB; under a limit of %.0f MiB: %.1f "
         "MiB\n",
         n, (double)free_peak / (1 << 20), (double)limit / (1 << 20), (double)limited / (1 << 20));
  demo_check(limited <= limit, "the limit holds");
}

static double nap(double x, void *user) {
  demo_sleep(5e-3);
  return x + 1;
}

/* Waits that the engine counts in a loop of slow operations. */
static int waits_in_loop(int steps, bool reading) {
  th_engine_stats before = {.size = sizeof before}, after = {.size = sizeof after};
  th_array *x = DEMO_MAKE(th_zeros(TH_SCALAR, TH_F32, th_cpu(0)));
  DEMO_TRY(th_wait_all());
  DEMO_TRY(th_engine_get_stats(&before));
  for (int i = 0; i < steps; i++) {
    th_array *next = DEMO_MAKE(th_map(x, nap, NULL));
    th_release(x);
    x = next;
    if (reading) demo_item(x);
  }
  DEMO_TRY(th_engine_get_stats(&after));
  DEMO_TRY(th_wait(x));
  th_release(x);
  return (int)(after.host_waits - before.host_waits);
}

/* Reading a value is a wait in disguise. */
static void hidden_waits(void) {
  enum { STEPS = 20 };
  int without = waits_in_loop(STEPS, false), with = 0;
  /* Again when this thread was kept off its core so long that a result was there before it asked. */
  for (int try = 0; try < MOST && with != STEPS; try++) with = waits_in_loop(STEPS, true);
  demo_check(without == 0, "a loop of %d operations: %d waits", STEPS, without);
  demo_check(with == STEPS, "the same with th_item() in it: %d waits", with);
}

int main(int argc, char **argv) {
  long n = 40;
  const demo_option options[] = {
      {"n", "products in the memory part", .integer = &n},
      {"device", "where the arrays are: cpu:0, cuda:0", .device = &device},
  };
  DEMO_OPTIONS(argc, argv, "Time of calls against time of results; waits; memory of run-ahead.",
               options);
  if (n < 1) demo_die("--n must be at least 1");
  calling_and_finishing();
  waiting_for_one();
  waiting_each_time();
  hidden_waits();
  running_ahead(n);
  return demo_finish();
}
