/* Times of CUDA devices in traces, on the fake driver, whose clock has another origin and rate than the host's. "Fake" results: no GPU
 * took part. */
#include <stdlib.h>
#include <string.h>

#include "devices/cuda/device.h"
#include "devices/cuda/parts.h"
#include "engine/base/thread.h"
#include "engine/state.h"
#include "support/cudaworld.h"
#include "support/tracing.h"

static void tracing_off(void) {
  th_status status = th_profile_stop(NULL);
  (void)status;
}

TestSuite(cuda_trace, .timeout = 60, .fini = tracing_off);

static const char *const modes[] = {"threads", "serial", "shuffle:7", "shuffle-threads:7"};
enum { SLOW_US = 300, ARRAYS = 3, OPS = 24 };
/* Clocks are compared as closely as the machine lets one, so who loses his core at that moment tries again. */
enum { ATTEMPTS = 10 };

typedef struct span {
  double begin, end; /* us */
} span;

/* The mixes of a trace, by the order of submission. */
static int spans_of(const json *trace, span *out) {
  double ids[OPS];
  int n = 0;
  const json *list = json_get(trace, "traceEvents");
  for (const json *e = list->first; e != NULL; e = e->next) {
    if (strcmp(json_text(e, "ph"), "X") != 0 || strcmp(json_text(e, "name"), "mix") != 0) continue;
    cr_assert(not(zero(ptr, strstr(tracing_row(trace, e), "cuda:0"))), "%s", tracing_row(trace, e));
    const json *args = json_get(e, "args");
    cr_assert(ge(dbl, json_number(args, "queue_us", -1), 0));
    double id = json_number(args, "id", -1);
    int at = n++;
    for (; at > 0 && ids[at - 1] > id; at--) {
      ids[at] = ids[at - 1];
      out[at] = out[at - 1];
    }
    ids[at] = id;
    double ts = json_number(e, "ts", -1);
    out[at] = (span){ts, ts + json_number(e, "dur", -1)};
  }
  return n;
}

/* Operation i works on array i % ARRAYS and reads the one before. */
static void run_ops(void) {
  th_array *a[ARRAYS];
  for (int i = 0; i < ARRAYS; i++) a[i] = numbers(i, 0);
  for (int i = 0; i < OPS; i++) mix(a[(i + ARRAYS - 1) % ARRAYS], a[i % ARRAYS], 1);
  cr_assert(eq(int, th_wait_all(), TH_OK));
  for (int i = 0; i < ARRAYS; i++) th_release(a[i]);
}

/* How many operations of a recording took too little time or began before what they depend on had ended. */
static int wrong_spans(const json *trace, int m, int mode) {
  span s[OPS];
  int wrong = 0;
  cr_assert(eq(int, spans_of(trace, s), OPS));
  for (int i = 0; i < OPS; i++) {
    bool took = s[i].end - s[i].begin >= SLOW_US - 30; /* an end that is put too late is cut off */
    bool behind = i == 0 || s[i].begin >= s[i - 1].end - 2;
    if (took && behind) continue;
    wrong++;
    fprintf(stderr, "%s, %d: operation %d took %g us, begins %g us early\n", modes[m], mode, i,
            s[i].end - s[i].begin, behind ? 0 : s[i - 1].end - s[i].begin);
  }
  return wrong;
}

static int record_ops(int m, int mode) {
  start(modes[m], 1 + (uint64_t)m, 1);
  fake_setting("mode", mode);
  fake_setting("memops", m % 2);
  fake_setting("slow", SLOW_US * 1000);
  cr_assert(eq(int, th_profile_start(0), TH_OK));
  run_ops();
  json *trace = tracing_json();
  cr_assert(eq(str, (char *)tracing_check(trace), ""));
  int wrong = wrong_spans(trace, m, mode);
  json_free(trace);
  tracing_off();
  stop();
  return wrong;
}

/* However late the host learns of it, each takes its time, behind what it depends on. */
Test(cuda_trace, operations_have_the_times_of_the_device) {
  for (int m = 0; m < 4; m++) {
    for (int mode = FAKE_MIXED; mode <= FAKE_STARVE; mode++) {
      int wrong = OPS;
      for (int i = 0; i < ATTEMPTS && wrong > 0; i++) wrong = record_ops(m, mode);
      cr_assert(eq(int, wrong, 0), "%s, %d", modes[m], mode);
    }
  }
}

Test(cuda_trace, nothing_is_timed_without_a_recording) {
  start("threads", 1, 1);
  run_ops();
  cr_assert(eq(int, th_profile_start(TH_PROFILE_EDGES), TH_OK));
  run_ops();
  tracing_off();
  run_ops();
  cr_assert(eq(i64, fake_counted("timed"), 0));
  stop();
}

/* Recording begins and ends while work is issued; events must not be lost or mixed up. */
Test(cuda_trace, recording_comes_and_goes) {
  for (int m = 0; m < 4; m++) {
    start(modes[m], 3, 1);
    th_array *a = numbers(1, 0), *b = numbers(2, 0);
    for (int i = 0; i < 200; i++) {
      if (i % 20 == 5) cr_assert(eq(int, th_profile_start(0), TH_OK));
      if (i % 20 == 15) tracing_off();
      mix(i % 3 ? a : NULL, i % 2 ? a : b, 1);
    }
    cr_assert(eq(int, th_wait_all(), TH_OK));
    json *trace = tracing_json();
    cr_assert(eq(str, (char *)tracing_check(trace), ""));
    json_free(trace);
    th_release(a);
    th_release(b);
    stop();
  }
}

/* A device that is lost and reset while recording goes on. */
Test(cuda_trace, across_a_reset) {
  start("threads", 3, 1);
  cr_assert(eq(int, th_profile_start(0), TH_OK));
  for (int round = 0; round < 3; round++) {
    th_array *a = numbers(1, 0);
    for (int i = 0; i < 10; i++) mix(NULL, a, 1);
    fake_setting("kill", 3);
    for (int i = 0; i < 10; i++) mix(NULL, a, 1);
    cr_assert(eq(int, th_wait(a), TH_EDEVICE));
    cr_assert(eq(int, th_device_reset(th_cuda(0)), TH_OK), "%s", th_last_error());
    th_release(a);
    th_status status = th_wait_all();
    (void)status;
  }
  fake_setting("slow", SLOW_US * 1000);
  th_array *b = numbers(1, 0);
  mix(NULL, b, 1);
  (void)hash_of(b);
  th_release(b);
  json *trace = tracing_json();
  cr_assert(eq(str, (char *)tracing_check(trace), ""));
  json_free(trace);
  stop();
}

/* ---- the table by itself ---- */

typedef struct job {
  void *y;
  th_status status;
} job;

static void run_job(void *arg, void *lane_handle) {
  job *j = arg;
  th_task_context context = {.lane_handle = lane_handle};
  j->status = fake_launch_mix(&context, NULL, 0, j->y, 16, 1);
}

/* Issues two jobs; whether the times of the second are those that the host saw. */
static bool times_fit(void *state, void *block, int lane) {
  const th__device_ops *ops = &th__cuda_ops;
  const uint64_t error = 50000;
  uint64_t before, after, started, finished;
  job j = {block, TH_OK};
  th_point point;
  for (int k = 0; k < 2; k++) { /* nobody asks for the times of the first */
    cr_assert(eq(int, ops->issue(state, lane, run_job, &j, &point), TH_OK));
    cr_assert(eq(int, j.status, TH_OK));
    while (k == 0 && !ops->point_done(state, point)) continue;
    th__sleep_ns(1000000);
  }
  before = th__ticks();
  while (!ops->point_done(state, point)) continue;
  after = th__ticks();
  cr_assert(ops->point_times(state, point, &started, &finished));
  cr_assert(not(ops->point_times(state, point, &started, &finished))); /* it is asked once */
  cr_assert(finished - started >= SLOW_US * 1000 - 1000);
  bool fit = started + error >= before && finished <= after + error;
  if (!fit)
    fprintf(stderr, "%llu: %llu..%llu, host %llu\n", (unsigned long long)before,
            (unsigned long long)(started - before), (unsigned long long)(finished - before),
            (unsigned long long)(after - before));
  return fit;
}

static bool all_times_fit(void) {
  fake_begin(1);
  fake_setting("mode", FAKE_LATE);
  fake_setting("slow", SLOW_US * 1000);
  const th__device_ops *ops = &th__cuda_ops;
  void *state, *block = NULL;
  bool fit = true;
  cr_assert(eq(int, ops->open(0, &state), TH_OK), "%s", th_last_error());
  cr_assert(eq(int, ops->alloc(state, 64, &block), TH_OK));
  cr_assert(eq(int, th_profile_start(0), TH_OK));
  for (int i = 0; i < 4; i++) {
    if (i == 2) th__sleep_ns(1100000000); /* the reference is old */
    fit = times_fit(state, block, i % 2) && fit;
  }
  tracing_off();
  ops->free(state, block, 64);
  ops->close(state);
  const char *findings = fake_findings(true);
  cr_assert(findings[0] == 0, "%s", findings);
  return fit;
}

/* The error of the mapping. */
Test(cuda_trace, device_times_are_the_times_of_the_host) {
  const char *why = NULL;
  if (!fake_install(&why)) cr_skip_test("the fake driver cannot be loaded: %s", why);
  tracing_use_ns();
  bool fit = false;
  for (int i = 0; i < ATTEMPTS && !fit; i++) fit = all_times_fit();
  cr_assert(fit);
}
