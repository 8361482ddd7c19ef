/* Recording: rings, sessions, names, the clock. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/base/error.h"
#include "engine/base/mem.h"
#include "engine/base/thread.h"
#include "support/sanitizers.h"
#include "support/tracing.h"

TestSuite(trace, .timeout = 60);

enum { RING = 262144 }; /* records one thread can keep */

Test(trace, off_records_nothing) {
  cr_assert(not(th__trace_on(TH_PROFILE_ALL)));
  tracing_task(1, "a", 0, th__ticks(), th__ticks());
  th__trace_work(1, 2, 3, "n");
  th__trace_host_wait("w", 1, 2);
  th__trace_counter("c", 1);
  json *trace = tracing_json();
  cr_assert(eq(str, (char *)tracing_check(trace), ""));
  cr_assert(eq(int, tracing_count(trace, "X"), 0));
  cr_assert(eq(u64, th_profile_dropped(), 0));
  json_free(trace);
}

Test(trace, only_what_was_asked_for) {
  cr_assert(eq(int, th_profile_start(TH_PROFILE_WAITS), TH_OK));
  cr_assert(th__trace_on(TH_PROFILE_WAITS));
  cr_assert(not(th__trace_on(TH_PROFILE_OPS | TH_PROFILE_EDGES | TH_PROFILE_COUNTERS)));
  tracing_task(1, "a", 0, th__ticks(), th__ticks());
  th__trace_counter("c", 1);
  th__trace_host_wait("th_item", th__ticks(), th__ticks());
  json *trace = tracing_json();
  cr_assert(eq(int, tracing_count(trace, "X"), 1));
  cr_assert(eq(int, tracing_count(trace, "C"), 0));
  cr_assert(tracing_find(trace, "X", "th_item") != NULL);
  json_free(trace);
  cr_assert(eq(int, th_profile_start(128), TH_EINVAL));
  cr_assert(strstr(th_last_error(), "th_profile_start") != NULL, "%s", th_last_error());
}

Test(trace, starting_again_clears) {
  th_profile_start(0);
  tracing_task(1, "old", 0, th__ticks(), th__ticks());
  th_profile_start(0);
  tracing_task(2, "new", 0, th__ticks(), th__ticks());
  cr_assert(eq(int, th_profile_stop(NULL), TH_OK));
  tracing_task(3, "late", 0, th__ticks(), th__ticks());
  for (int i = 0; i < 2; i++) { /* reading changes nothing */
    json *trace = tracing_json();
    cr_assert(eq(int, tracing_count(trace, "X"), 1));
    cr_assert(tracing_find(trace, "X", "new") != NULL);
    json_free(trace);
  }
}

Test(trace, a_full_ring_counts_what_it_drops) {
  th_profile_start(0);
  for (int i = 0; i < RING + 10; i++) tracing_task((uint64_t)i, "a", 0, th__ticks(), th__ticks());
  cr_assert(eq(u64, th_profile_dropped(), 10));
  th_profile_start(0);
  cr_assert(eq(u64, th_profile_dropped(), 0));
}

Test(trace, names_are_copied_when_recorded) {
  char name[16] = "first";
  th_profile_start(0);
  tracing_task(1, name, 0, th__ticks(), th__ticks());
  strcpy(name, "second"); /* the same pointer with another text */
  tracing_task(2, name, 0, th__ticks(), th__ticks());
  strcpy(name, "first");
  tracing_task(3, name, 0, th__ticks(), th__ticks());
  strcpy(name, "never");
  json *trace = tracing_json();
  int first = 0, second = 0;
  for (const json *e = json_get(trace, "traceEvents")->first; e != NULL; e = e->next) {
    if (strcmp(json_text(e, "ph"), "X") != 0) continue;
    first += strcmp(json_text(e, "name"), "first") == 0;
    second += strcmp(json_text(e, "name"), "second") == 0;
  }
  cr_assert(eq(int, first, 2));
  cr_assert(eq(int, second, 1));
  json_free(trace);
}

Test(trace, thousands_of_names) {
  th_profile_start(0);
  for (int i = 0; i < 40000; i++) { /* more than are told apart */
    char name[16];
    snprintf(name, sizeof(name), "n%d", i);
    tracing_task((uint64_t)i, name, 0, th__ticks(), th__ticks());
  }
  json *trace = tracing_json();
  cr_assert(eq(int, tracing_count(trace, "X"), 40000));
  cr_assert(tracing_find(trace, "X", "n31999") != NULL);
  cr_assert(tracing_find(trace, "X", "(other)") != NULL);
  json_free(trace);
}

static void *record_once(void *arg) {
  tracing_task((uint64_t)(uintptr_t)arg, "t", TH__TRACE_HOST, th__ticks(), th__ticks());
  return NULL;
}

Test(trace, rings_of_ended_threads_are_used_again) {
  th_profile_start(0);
  record_once(NULL);
  int64_t live = 0;
  for (uintptr_t i = 1; i <= 50; i++) {
    pthread_t thread;
    cr_assert(eq(int, pthread_create(&thread, NULL, record_once, (void *)i), 0));
    pthread_join(thread, NULL);
    if (i == 1) live = th__mem_live();
  }
  cr_assert(eq(i64, th__mem_live(), live));
  json *trace = tracing_json();
  cr_assert(eq(int, tracing_count(trace, "X"), 51));
  int rows = 0;
  for (const json *e = json_get(trace, "traceEvents")->first; e != NULL; e = e->next)
    rows += strcmp(json_text(e, "name"), "thread_name") == 0;
  cr_assert(eq(int, rows, 2));
  json_free(trace);
}

static _Atomic int stop_recording;

static void *record_on(void *arg) {
  char name[16];
  for (uint64_t i = 0; !stop_recording; i++) {
    snprintf(name, sizeof(name), "n%d", (int)(i % 100));
    uint64_t now = th__ticks();
    tracing_task(i, name, TH__TRACE_HOST, now, th__ticks());
    th__trace_work(i, 1, 2, name);
    th__trace_block_changed(th_cpu(0), i, 64, name);
    th__trace_counter("c", (int64_t)i);
    th__trace_host_wait(arg, now, th__ticks());
    if (i % 16 == 0) th__sleep_ns(100000);
  }
  return NULL;
}

Test(trace, shown_and_restarted_while_threads_record) {
  pthread_t threads[3];
  th_profile_start(0);
  for (int i = 0; i < 3; i++)
    cr_assert(eq(int, pthread_create(&threads[i], NULL, record_on, (void *)"where"), 0));
  const char *wrong = "";
  for (int i = 0; i < 12 && wrong[0] == 0; i++) {
    th_profile_start(0);
    th__sleep_ns(200000);
    json *trace = tracing_json();
    wrong = tracing_check(trace);
    json_free(trace);
    if (i % 4 == 3) th_profile_stop(NULL);
  }
  stop_recording = 1;
  for (int i = 0; i < 3; i++) pthread_join(threads[i], NULL);
  cr_assert(eq(str, (char *)wrong, ""));
}

Test(trace, memory_comes_back) {
  int64_t live = th__mem_live();
  th_profile_start(0);
  for (int i = 0; i < 10000; i++) tracing_task((uint64_t)i, "a", 0, th__ticks(), th__ticks());
  cr_assert(gt(i64, th__mem_live(), live));
  free(tracing_text(th_profile_write));
  free(tracing_text(th_profile_table));
  free(tracing_text(tracing_ascii));
  th__trace_shutdown();
  cr_assert(eq(i64, th__mem_live(), live));
  th_profile_start(0); /* and it can start again, on the same thread */
  tracing_task(1, "again", 0, th__ticks(), th__ticks());
  json *trace = tracing_json();
  cr_assert(tracing_find(trace, "X", "again") != NULL);
  json_free(trace);
  th__trace_shutdown();
  cr_assert(eq(i64, th__mem_live(), live));
}

Test(trace, without_memory_records_are_lost_in_silence) {
  th_profile_start(0);
  th__fail(TH_ESHAPE, "kept");
  th__mem_fail_after(0);
  tracing_task(1, "a", 0, th__ticks(), th__ticks());
  th_status status = th_last_status();
  bool kept = strcmp(th_last_error(), "kept") == 0;
  th_status shown = th_profile_table(stderr);
  th__mem_fail_after(-1);
  cr_assert(eq(int, status, TH_ESHAPE));
  cr_assert(kept);
  cr_assert(eq(int, shown, TH_ENOMEM));
  cr_assert(eq(u64, th_profile_dropped(), 1));
}

Test(trace, stale_and_odd_stamps_are_clamped) {
  tracing_use_ns();
  uint64_t start = tracing_start(0, 1000000);
  th__trace_task task = {.id = 1,
                         .name = "odd",
                         .submitted = 5,
                         .ready = start + 900000,
                         .started = start + 500000,
                         .finished = start + 800000};
  th__trace_task_done(&task); /* submitted long ago, ready after it started */
  task = (th__trace_task){.id = 2, .name = "ended early", .started = start + 9, .finished = 7};
  th__trace_task_done(&task);
  task = (th__trace_task){.id = 3, .name = "zeros"};
  th__trace_task_done(&task);
  json *trace = tracing_json();
  cr_assert(eq(str, (char *)tracing_check(trace), ""));
  const json *odd = tracing_find(trace, "X", "odd");
  cr_assert(epsilon_eq(dbl, json_number(odd, "dur", -1), 300, 0.01));
  cr_assert(epsilon_eq(dbl, json_number(json_get(odd, "args"), "queue_us", -1), 0, 0.001));
  cr_assert(epsilon_eq(dbl, json_number(json_get(odd, "args"), "blocked_us", -1), 0, 0.001));
  cr_assert(eq(int, tracing_count(trace, "X"), 3));
  json_free(trace);
}

Test(trace, ticks_follow_the_clock) {
  th_profile_start(0);
  int64_t from = th__now_ns();
  uint64_t begin = th__ticks();
  th__sleep_ns(20000000);
  uint64_t end = th__ticks();
  int64_t took = th__now_ns() - from;
  tracing_task(1, "nap", 0, begin, end);
  json *trace = tracing_json();
  double shown = json_number(tracing_find(trace, "X", "nap"), "dur", -1) * 1000;
  cr_assert(ge(dbl, shown, 19990000));
  cr_assert(le(dbl, shown, (double)took + 10000));
  json_free(trace);
}

Test(trace, recording_is_cheap) {
  th_profile_start(0);
  int64_t best = INT64_MAX;
  for (int round = 0; round < 10; round++) {
    int64_t from = th__now_ns();
    for (int i = 0; i < 20000; i++) tracing_task((uint64_t)i, "add", 0, 1, 2);
    int64_t took = (th__now_ns() - from) / 20000;
    if (took < best) best = took;
  }
  /* About 20 on an idle machine; this only catches accidents. */
  cr_assert(lt(i64, best, THREAD_SANITIZER || ADDRESS_SANITIZER ? 100000 : 5000));
}

/* In the child; the number of the first check that failed, 0 if none. */
static int child_checks(void) {
  th__trace_after_fork(); /* as the engine does, which does not run here */
  if (th_profile_start(0) != TH_EFORK) return 1;
  if (th_profile_table(stderr) != TH_EFORK) return 2;
  if (th_profile_stop(NULL) != TH_EFORK) return 3;
  th__trace_reset();
  if (th_profile_start(0) != TH_OK) return 4;
  tracing_task(1, "b", 0, th__ticks(), th__ticks());
  json *trace = tracing_json();
  return tracing_count(trace, "X") == 1 ? 0 : 5;
}

Test(trace, a_forked_child_is_told) {
  th_profile_start(0);
  tracing_task(1, "a", 0, th__ticks(), th__ticks());
  pid_t child = fork();
  if (child == 0) _exit(child_checks());
  int status = 0;
  cr_assert(eq(int, waitpid(child, &status, 0), child));
  cr_assert(eq(int, WIFEXITED(status), 1));
  cr_assert(eq(int, WEXITSTATUS(status), 0), "check %d", WEXITSTATUS(status));
}
