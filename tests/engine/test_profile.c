/* The engine seen through a profile: stamps, lanes, arrows, waits, TH_PROFILE. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/base/atomic.h"
#include "engine/base/thread.h"
#include "engine/trace_view.h"
#include "support/tracing.h"
#include "thrum/engine.h"

TestSuite(profile, .timeout = 60);

static th_status nap(void *arg, th_task_context *context) {
  (void)context;
  th__sleep_ns(*(const int64_t *)arg);
  return TH_OK;
}

static _Atomic int submitted, met; /* of a diamond: all of it; its sides, when they have begun */

static th_status nap_once_submitted(void *arg, th_task_context *context) {
  while (th__load(&submitted, TH__ACQUIRE) == 0) th__sleep_ns(100000);
  return nap(arg, context);
}

static th_status nap_together(void *arg, th_task_context *context) {
  th__fetch_add(&met, 1, TH__ACQ_REL);
  while (th__load(&met, TH__ACQUIRE) < 2) th__sleep_ns(100000);
  return nap(arg, context);
}

/* A task that sleeps in the end. out NULL: writes nothing. */
static th_status push_run(th_task_fn run, const char *name, int64_t ns, th_var *in, th_var *in2,
                          th_var *out, uint32_t flags) {
  th_var *reads[] = {in, in2};
  th_task task = {.name = name,
                  .run = run,
                  .arg = &ns,
                  .arg_size = sizeof(ns),
                  .reads = reads,
                  .n_reads = (in != NULL) + (size_t)(in2 != NULL),
                  .writes = &out,
                  .n_writes = out != NULL,
                  .flags = flags};
  return th_push(&task);
}

static th_status push_nap(const char *name, int64_t ns, th_var *in, th_var *in2, th_var *out,
                          uint32_t flags) {
  return push_run(nap, name, ns, in, in2, out, flags);
}

static void start(int workers, const char *engine) {
  th_config config = {.size = sizeof(config), .workers = workers, .engine = engine};
  cr_assert(eq(int, th_init(&config), TH_OK), "%s", th_last_error());
}

/* A = 2; C = A + 2; B = A + 1; D = B * C, each 20 ms at least: A from when all are submitted, B and C from when both have begun. */
static void push_diamond(void) {
  th_var *v[4];
  for (int i = 0; i < 4; i++) v[i] = th_var_new();
  push_run(nap_once_submitted, "A", 20000000, NULL, NULL, v[0], 0);
  push_run(nap_together, "C", 20000000, v[0], NULL, v[1], 0);
  push_run(nap_together, "B", 20000000, v[0], NULL, v[2], 0);
  push_nap("D", 20000000, v[1], v[2], v[3], 0);
  for (int i = 0; i < 4; i++) th_var_release(v[i]);
  th__store(&submitted, 1, TH__RELEASE);
}

/* In ns, which us with three digits and their sums are only almost. */
static double begin_of(const json *e) { return rint(json_number(e, "ts", -1) * 1e3); }
static double end_of(const json *e) { return begin_of(e) + rint(json_number(e, "dur", -1) * 1e3); }

Test(profile, diamond) {
  start(2, "threads");
  cr_assert(eq(int, th_profile_start(0), TH_OK));
  push_diamond();
  cr_assert(eq(int, th_wait_all(), TH_OK));
  cr_assert(eq(int, th_profile_stop(NULL), TH_OK));
  json *trace = tracing_json();
  cr_assert(eq(str, (char *)tracing_check(trace), ""));
  const json *a = tracing_find(trace, "X", "A"), *b = tracing_find(trace, "X", "B");
  const json *c = tracing_find(trace, "X", "C"), *d = tracing_find(trace, "X", "D");
  cr_assert(a != NULL && b != NULL && c != NULL && d != NULL);
  cr_assert(le(dbl, end_of(a), begin_of(b)));
  cr_assert(le(dbl, end_of(a), begin_of(c)));
  cr_assert(le(dbl, end_of(b), begin_of(d)));
  cr_assert(le(dbl, end_of(c), begin_of(d)));
  cr_assert(lt(dbl, begin_of(b), end_of(c)), "B and C one after the other");
  cr_assert(lt(dbl, begin_of(c), end_of(b)), "B and C one after the other");
  cr_assert(ge(dbl, json_number(a, "dur", 0), 19900));
  cr_assert(eq(int, tracing_count(trace, "s"), 4)); /* A-B, A-C, B-D, C-D */
  cr_assert(eq(int, tracing_count(trace, "f"), 4));
  cr_assert(ge(dbl, json_number(json_get(d, "args"), "blocked_us", 0), 39000));
  cr_assert(epsilon_eq(dbl, json_number(json_get(d, "args"), "reads", 0), 2, 0));
  cr_assert(epsilon_eq(dbl, json_number(json_get(d, "args"), "writes", 0), 1, 0));
  json_free(trace);
  char *text = tracing_text(tracing_ascii);
  cr_assert(strstr(text, "A A (1)") != NULL && strstr(text, "D D (1)") != NULL, "%s", text);
  free(text);
  th_shutdown();
}

Test(profile, failed_skipped_and_hidden_tasks) {
  start(1, "threads");
  th_profile_start(0);
  th_var *v = th_var_new();
  push_nap("seen", 0, NULL, NULL, v, 0);
  push_nap("hidden", 0, v, NULL, NULL, TH_TASK_INTERNAL);
  push_nap("after", 0, NULL, NULL, v, 0);
  cr_assert(eq(int, th_profile_stop(NULL), TH_OK));
  cr_assert(eq(int, th_wait_all(), TH_OK));
  th_var_release(v);
  json *trace = tracing_json();
  cr_assert(tracing_find(trace, "X", "hidden") == NULL);
  json_free(trace);
  th_shutdown();
}

static const th__trace_event *event_of(const th__trace_view *v, uint64_t id) {
  for (size_t i = 0; i < v->n_events; i++)
    if (v->events[i].kind == TH__TRACE_TASK && v->events[i].id == id) return &v->events[i];
  return NULL;
}

/* There the thread that ended all of them stamps a task ready without a look at the clock. */
Test(profile, without_workers_ready_is_behind_all_that_was_waited_for) {
  start(TH_NO_WORKERS, "threads");
  cr_assert(eq(int, th_profile_start(0), TH_OK));
  th_var *v[8];
  for (int i = 0; i < 8; i++) v[i] = th_var_new();
  for (int i = 0; i < 500; i++)
    push_nap("op", 0, v[i * 5 % 8], v[(i * 3 + 1) % 8], v[(i * 7 + 2) % 8], 0);
  cr_assert(eq(int, th_wait_all(), TH_OK));
  cr_assert(eq(int, th_profile_stop(NULL), TH_OK));
  th__trace_view view;
  cr_assert(eq(int, th__trace_view_make(&view), TH_OK));
  cr_assert(gt(sz, view.n_pairs, 500));
  for (size_t i = 0; i < view.n_pairs; i++) {
    const th__trace_event *from = event_of(&view, view.pairs[i].from);
    const th__trace_event *to = event_of(&view, view.pairs[i].to);
    cr_assert(from != NULL && to != NULL);
    cr_assert(le(i64, from->ended, to->ready));
  }
  th__trace_view_free(&view);
  for (int i = 0; i < 8; i++) th_var_release(v[i]);
  th_shutdown();
}

static th_status fail(void *arg, th_task_context *context) {
  (void)arg;
  return th_context_fail(context, TH_EKERNEL, "no");
}

Test(profile, states_of_tasks) {
  start(1, "threads");
  th_profile_start(0);
  th_var *v = th_var_new();
  th_task task = {.name = "fails", .run = fail, .writes = &v, .n_writes = 1};
  cr_assert(eq(int, th_push(&task), TH_OK));
  push_nap("skips", 0, v, NULL, NULL, 0);
  cr_assert(eq(int, th_wait_all(), TH_EKERNEL));
  json *trace = tracing_json();
  cr_assert(eq(str, (char *)tracing_check(trace), ""));
  const json *e = tracing_find(trace, "X", "fails");
  cr_assert(eq(str, (char *)json_text(json_get(e, "args"), "status"), "failed"));
  e = tracing_find(trace, "X", "skips");
  cr_assert(eq(str, (char *)json_text(json_get(e, "args"), "status"), "skipped"));
  json_free(trace);
  th_var_release(v);
  th_shutdown();
}

Test(profile, every_mode_gives_a_valid_trace) {
  static const char *const modes[] = {"threads", "serial", "shuffle:5", "shuffle-threads:5"};
  for (int m = 0; m < 4; m++) {
    start(2, modes[m]);
    th_profile_start(0);
    th_var *v[8];
    for (int i = 0; i < 8; i++) v[i] = th_var_new();
    for (int i = 0; i < 4000; i++)
      push_nap("op", 0, v[i * 5 % 8], v[i * 3 % 8], v[(i * 7 + 1) % 8], 0);
    for (int i = 0; i < 8; i++) cr_assert(eq(int, th_wait_var_idle(v[i]), TH_OK));
    for (int i = 0; i < 8; i++) th_var_release(v[i]);
    cr_assert(eq(int, th_profile_stop(NULL), TH_OK));
    char *text = tracing_text(th_profile_write);
    json *trace = json_parse(text, strlen(text));
    int ops = 0;
    for (const json *e = json_get(trace, "traceEvents")->first; e != NULL; e = e->next)
      ops += strcmp(json_text(e, "name"), "op") == 0;
    cr_assert(eq(int, ops, 4000), "%s", modes[m]);
    json_free(trace);
    free(text);
    cr_assert(eq(int, th_shutdown(), TH_OK));
  }
}

Test(profile, a_small_dag_checks_out) {
  start(2, "threads");
  th_profile_start(0);
  th_var *v[4];
  for (int i = 0; i < 4; i++) v[i] = th_var_new();
  for (int i = 0; i < 300; i++) push_nap("op", 0, v[i % 4], v[i / 3 % 4], v[i * 7 / 2 % 4], 0);
  cr_assert(eq(int, th_wait_all(), TH_OK));
  for (int i = 0; i < 4; i++) th_var_release(v[i]);
  json *trace = tracing_json();
  cr_assert(eq(str, (char *)tracing_check(trace), ""));
  json_free(trace);
  th_shutdown();
}

Test(profile, shown_while_the_engine_works) {
  start(2, "threads");
  th_profile_start(0);
  th_var *v = th_var_new();
  const char *wrong = "";
  for (int round = 0; round < 5 && wrong[0] == 0; round++) {
    for (int i = 0; i < 200; i++) push_nap("op", 0, NULL, NULL, i % 2 == 0 ? v : NULL, 0);
    json *trace = tracing_json();
    wrong = tracing_check(trace);
    json_free(trace);
  }
  cr_assert(eq(str, (char *)wrong, ""));
  th_var_release(v);
  cr_assert(eq(int, th_shutdown(), TH_OK));
}

Test(profile, stop_with_a_path_waits_and_keeps_failures) {
  char path[] = "/tmp/thrum-profile-XXXXXX";
  int fd = mkstemp(path);
  start(1, "threads");
  th_profile_start(0);
  th_var *v = th_var_new();
  push_nap("late", 20000000, NULL, NULL, v, 0);
  th_task task = {
      .name = "fails", .run = fail, .writes = &v, .n_writes = 1, .reads = &v, .n_reads = 1};
  cr_assert(eq(int, th_push(&task), TH_OK));
  cr_assert(eq(int, th_profile_stop(path), TH_OK));
  char text[8192];
  ssize_t n = pread(fd, text, sizeof(text), 0);
  json *trace = json_parse(text, (size_t)n);
  cr_assert(eq(str, (char *)tracing_check(trace), ""));
  cr_assert(tracing_find(trace, "X", "late") != NULL);
  cr_assert(tracing_find(trace, "X", "fails") != NULL);
  cr_assert(eq(int, th_wait_all(), TH_EKERNEL)); /* nobody has observed it */
  json_free(trace);
  close(fd);
  unlink(path);
  th_var_release(v);
  th_shutdown();
}

/* A child with TH_PROFILE set leaves a file behind, however it ends. */
static void check_autostart(bool shutdown) {
  char path[] = "/tmp/thrum-autostart-XXXXXX";
  int fd = mkstemp(path);
  pid_t child = fork();
  if (child == 0) {
    setenv("TH_PROFILE", path, 1);
    push_diamond();
    if (th_wait_all() != TH_OK) _exit(1);
    if (shutdown && th_shutdown() != TH_OK) _exit(2);
    exit(0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  cr_assert(eq(int, status, 0));
  static char text[65536];
  ssize_t n = pread(fd, text, sizeof(text), 0);
  json *trace = json_parse(text, (size_t)n);
  cr_assert(eq(str, (char *)tracing_check(trace), ""), "%.*s", (int)n, text);
  cr_assert(tracing_find(trace, "X", "D") != NULL);
  json_free(trace);
  close(fd);
  unlink(path);
}

Test(profile, autostart_writes_at_shutdown) { check_autostart(true); }
Test(profile, autostart_writes_at_exit) { check_autostart(false); }
