/* What a program says about itself in a trace: ranges, and the lines that wait. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdlib.h>
#include <string.h>

#include "support/tracing.h"
#include "thrum/thrum.h"
/* last */
#include "thrum/sites.h"

TestSuite(marks, .timeout = 60);

static double begin_of(const json *e) { return json_number(e, "ts", -1); }
static double end_of(const json *e) { return begin_of(e) + json_number(e, "dur", -1); }

Test(marks, ranges_nest) {
  cr_assert(eq(int, th_profile_start(0), TH_OK));
  th_profile_push("outer");
  th_profile_push("inner");
  tracing_task(1, "work", TH__TRACE_HOST, th__ticks(), th__ticks());
  th_profile_pop();
  th_profile_push(NULL);
  th_profile_pop();
  th_profile_pop();
  th_profile_pop(); /* one too many does no harm */
  json *trace = tracing_json();
  cr_assert(eq(str, (char *)tracing_check(trace), ""));
  const json *outer = tracing_find(trace, "X", "outer"), *inner = tracing_find(trace, "X", "inner");
  cr_assert(outer != NULL && inner != NULL && tracing_find(trace, "X", "range") != NULL);
  cr_assert(eq(str, (char *)json_text(outer, "cat"), "range"));
  cr_assert(eq(str, (char *)tracing_row(trace, outer), "host thread 0 ranges"));
  cr_assert(eq(str, (char *)tracing_row(trace, tracing_find(trace, "X", "work")), "host thread 0"));
  cr_assert(le(dbl, begin_of(outer), begin_of(inner)));
  cr_assert(le(dbl, end_of(inner), end_of(outer)));
  json_free(trace);
}

Test(marks, ranges_that_were_open_at_the_start_or_are_at_the_end) {
  th_profile_push("before");
  cr_assert(eq(int, th_profile_start(0), TH_OK));
  th_profile_push("within");
  th_profile_pop();
  th_profile_pop();
  th_profile_push("open");
  cr_assert(eq(int, th_profile_stop(NULL), TH_OK));
  th_profile_pop();
  json *trace = tracing_json();
  cr_assert(eq(int, tracing_count(trace, "X"), 1));
  cr_assert(tracing_find(trace, "X", "within") != NULL);
  json_free(trace);
}

Test(marks, only_where_asked_for) {
  cr_assert(eq(int, th_profile_start(TH_PROFILE_OPS), TH_OK));
  th_profile_push("a");
  th_profile_pop();
  json *trace = tracing_json();
  cr_assert(eq(int, tracing_count(trace, "X"), 0));
  json_free(trace);
}

Test(marks, very_deep) {
  cr_assert(eq(int, th_profile_start(0), TH_OK));
  for (int i = 0; i < 100; i++) th_profile_push("r");
  for (int i = 0; i < 100; i++) th_profile_pop();
  json *trace = tracing_json();
  cr_assert(ge(int, tracing_count(trace, "X"), 60));
  cr_assert(eq(u64, th_profile_dropped(), 0));
  json_free(trace);
}

static th_status nap(void *arg, th_task_context *context) {
  struct timespec time = {0, 2000000};
  nanosleep(&time, NULL);
  return TH_OK;
}

static void push_nap(th_var *v) {
  th_task task = {.name = "nap", .run = nap, .writes = &v, .n_writes = 1};
  cr_assert(eq(int, th_push(&task), TH_OK));
}

/* A loop that reads a value each time shows its line with as many waits; without reading there is none. No worker is there who
 * could be done before the wait begins. */
Test(marks, waits_tell_their_line) {
  enum { N = 5 };
  th_config config = {.size = sizeof config, .workers = TH_NO_WORKERS};
  cr_assert(eq(int, th_init(&config), TH_OK));
  cr_assert(eq(int, th_profile_start(0), TH_OK));
  th_var *v = th_var_new();
  int line = 0;
  for (int i = 0; i < N; i++) {
    push_nap(v);
    line = __LINE__ + 1;
    th_status status = th_wait_var(v);
    cr_assert(eq(int, status, TH_OK));
  }
  push_nap(v);
  th_profile_site("th_item", "nowhere.c", 1); /* of a call that does not wait */
  cr_assert(eq(int, (th_wait_all)(), TH_OK));
  char wanted[64];
  snprintf(wanted, sizeof wanted, "th_wait_var at test_marks.c:%d", line);
  json *trace = tracing_json();
  int n = 0;
  for (const json *e = json_get(trace, "traceEvents")->first; e != NULL; e = e->next)
    n += strcmp(json_text(e, "name"), wanted) == 0;
  cr_assert(eq(int, n, N), "%s", wanted);
  cr_assert(tracing_find(trace, "X", "th_wait_all") != NULL);
  json_free(trace);
  th_var_release(v);
  cr_assert(eq(int, th_shutdown(), TH_OK));
}
