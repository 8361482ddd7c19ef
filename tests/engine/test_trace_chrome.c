/* The Chrome trace format: schema, hostile names, rows, arrows, counters. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "support/tracing.h"

TestSuite(trace_chrome, .timeout = 60);

Test(trace_chrome, empty_is_valid) {
  json *trace = tracing_json();
  cr_assert(eq(str, (char *)tracing_check(trace), ""));
  json_free(trace);
  th_profile_start(0);
  trace = tracing_json();
  cr_assert(eq(str, (char *)tracing_check(trace), ""));
  cr_assert(eq(int, tracing_count(trace, "X"), 0));
  json_free(trace);
  cr_assert(eq(int, th_profile_write(NULL), TH_EINVAL));
}

Test(trace_chrome, hostile_names) {
  static const struct {
    const char *name, *shown;
  } cases[] = {
      {"plain", "plain"},
      {"", ""},
      {NULL, "task"},
      {"\"},{\"ph\":\"X", "\"},{\"ph\":\"X"},
      {"back\\slash\\", "back\\slash\\"},
      {"line\nfeed\ttab\rreturn", "line\nfeed\ttab\rreturn"},
      {"\x01\x1f\x7f", "\x01\x1f\x7f"},
      {"bad \xff byte", "bad \xef\xbf\xbd byte"},
      {"cut \xe2\x82", "cut \xef\xbf\xbd\xef\xbf\xbd"},
      {"overlong \xc0\xaf", "overlong \xef\xbf\xbd\xef\xbf\xbd"},
      {"surrogate \xed\xa0\x80", "surrogate \xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
      {"too high \xf4\x90\x80\x80", "too high \xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
      {"fine \xe2\x82\xac \xf0\x9f\x98\x80", "fine \xe2\x82\xac \xf0\x9f\x98\x80"},
      {"</script>", "</script>"},
  };
  enum { N = sizeof(cases) / sizeof(*cases) };
  th_profile_start(0);
  for (int i = 0; i < N; i++) {
    char *copy = cases[i].name == NULL ? NULL : strdup(cases[i].name);
    tracing_task((uint64_t)i, copy, 0, th__ticks(), th__ticks());
    free(copy); /* a task's name need not outlive it */
  }
  json *trace = tracing_json();
  cr_assert(eq(str, (char *)tracing_check(trace), ""));
  cr_assert(eq(int, tracing_count(trace, "X"), N));
  for (int i = 0; i < N; i++)
    cr_assert(tracing_find(trace, "X", cases[i].shown) != NULL, "case %d", i);
  json_free(trace);
}

Test(trace_chrome, long_names_are_cut) {
  char name[5000];
  memset(name, 'x', sizeof(name));
  name[sizeof(name) - 1] = 0;
  memcpy(name + 198, "\xc3\xa9", 2); /* the cut falls into a character */
  th_profile_start(0);
  tracing_task(1, name, 0, th__ticks(), th__ticks());
  tracing_task(2, name, 0, th__ticks(), th__ticks());
  json *trace = tracing_json();
  cr_assert(eq(str, (char *)tracing_check(trace), ""));
  cr_assert(lt(sz, strlen(json_text(tracing_find(trace, "X", NULL), "name")), 210));
  json_free(trace);
}

Test(trace_chrome, arguments_of_a_task) {
  tracing_use_ns();
  uint64_t start = tracing_start(0, 1000000);
  th__trace_task task = {.id = 42,
                         .name = "matmul",
                         .submitted = start + 1000,
                         .ready = start + 2500,
                         .started = start + 10000,
                         .finished = start + 110001,
                         .bytes = 4096,
                         .lane = 3,
                         .n_reads = 2,
                         .n_writes = 7,
                         .status = TH__TRACE_FAILED};
  th__trace_task_done(&task);
  json *trace = tracing_json();
  const json *e = tracing_find(trace, "X", "matmul"), *args = json_get(e, "args");
  cr_assert(epsilon_eq(dbl, json_number(e, "dur", 0), 100.001, 0.002));
  cr_assert(epsilon_eq(dbl, json_number(args, "id", 0), 42, 0));
  cr_assert(epsilon_eq(dbl, json_number(args, "blocked_us", 0), 1.5, 0.002));
  cr_assert(epsilon_eq(dbl, json_number(args, "queue_us", 0), 7.5, 0.002));
  cr_assert(epsilon_eq(dbl, json_number(args, "reads", 0), 2, 0));
  cr_assert(epsilon_eq(dbl, json_number(args, "writes", 0), 7, 0));
  cr_assert(epsilon_eq(dbl, json_number(args, "bytes", 0), 4096, 0));
  cr_assert(eq(str, (char *)json_text(args, "status"), "failed"));
  const char *row = tracing_row(trace, e);
  cr_assert(strstr(row, ":0 worker 3") != NULL, "row is %s", row);
  json_free(trace);
}

Test(trace_chrome, what_a_task_did) {
  tracing_use_ns();
  uint64_t start = tracing_start(0, 1000000);
  th__trace_work(7, 1, 1, "overwritten");
  th__trace_work(7, 400000, 100000, "f32(2) -> f32(2)");
  th__trace_work(8, 5, -1, "no bytes, so nothing");
  th__trace_task task = {.id = 7,
                         .name = "did",
                         .submitted = start,
                         .ready = start + 100,
                         .starved = start + 300,
                         .started = start + 1000,
                         .finished = start + 201000,
                         .status = TH__TRACE_OK | TH__TRACE_COPY};
  th__trace_task_done(&task);
  tracing_task(8, "silent", 0, start, start + 10);
  task = (th__trace_task){.id = 9,
                          .name = "stale",
                          .submitted = start,
                          .ready = start + 500,
                          .starved = start + 400,
                          .started = start + 600,
                          .finished = start + 700};
  th__trace_task_done(&task);
  json *trace = tracing_json();
  cr_assert(eq(str, (char *)tracing_check(trace), ""));
  const json *did = json_get(tracing_find(trace, "X", "did"), "args");
  cr_assert(epsilon_eq(dbl, json_number(did, "flops", 0), 400000, 0));
  cr_assert(epsilon_eq(dbl, json_number(did, "moved", 0), 100000, 0));
  cr_assert(epsilon_eq(dbl, json_number(did, "gflops", 0), 2, 0.01));
  cr_assert(epsilon_eq(dbl, json_number(did, "gbs", 0), 0.5, 0.01));
  double began = json_number(tracing_find(trace, "X", "did"), "ts", 0) * 1000;
  cr_assert(epsilon_eq(dbl, began - json_number(did, "starved", 0), 700, 5));
  cr_assert(eq(str, (char *)json_text(did, "note"), "f32(2) -> f32(2)"));
  cr_assert(eq(str, (char *)json_text(did, "status"), "ok"));
  cr_assert(json_get(did, "copies") != NULL);
  const json *silent = json_get(tracing_find(trace, "X", "silent"), "args");
  cr_assert(json_get(silent, "flops") == NULL && json_get(silent, "note") == NULL);
  cr_assert(json_get(silent, "copies") == NULL);
  cr_assert(json_get(json_get(tracing_find(trace, "X", "stale"), "args"), "starved") == NULL);
  json_free(trace);
}

/* The line of a tag in the sums of memory. */
static const json *memory_of(const json *trace, const char *tag) {
  const json *list = json_get(json_get(trace, "otherData"), "memory");
  for (const json *line = list == NULL ? NULL : list->first; line != NULL; line = line->next)
    if (strcmp(json_text(line, "tag"), tag) == 0) return line;
  return NULL;
}

Test(trace_chrome, memory_by_who_took_it) {
  th_profile_start(0);
  th_device d = th_cpu(0);
  th__trace_block_changed(d, 0, 1000, "(before the recording)");
  th__trace_block_changed(d, 0x100, 300, "a");
  th__trace_block_changed(d, 0x200, 50, "b");
  th__trace_block_changed(d, 0x900, -400, ""); /* of before */
  th__trace_block_changed(d, 0x200, -50, "");
  th__trace_block_changed(d, 0x200, 2000, "a"); /* the peak: 600 + 300 + 2000 */
  th__trace_block_changed(d, 0x100, -300, "");
  th__trace_block_changed(d, 0x100, 10, "b");
  th__trace_block_changed(th_cpu(1), 0x100, 7, "b");
  json *trace = tracing_json();
  cr_assert(eq(str, (char *)tracing_check(trace), ""));
  const json *a = memory_of(trace, "a"), *b = memory_of(trace, "b"),
             *before = memory_of(trace, "(before the recording)");
  cr_assert(epsilon_eq(dbl, json_number(a, "peak", 0), 2900, 0));
  cr_assert(epsilon_eq(dbl, json_number(a, "at_peak", 0), 2300, 0));
  cr_assert(epsilon_eq(dbl, json_number(a, "taken", 0), 2300, 0));
  cr_assert(epsilon_eq(dbl, json_number(a, "count", 0), 2, 0));
  cr_assert(epsilon_eq(dbl, json_number(b, "at_peak", 9), 0, 0));
  cr_assert(epsilon_eq(dbl, json_number(b, "taken", 0), 60, 0));
  cr_assert(epsilon_eq(dbl, json_number(before, "at_peak", 0), 600, 0));
  cr_assert(epsilon_eq(dbl, json_number(before, "count", 9), 0, 0));
  json_free(trace);
  char *text = tracing_text(th_profile_table);
  cr_assert(strstr(text, ":0: at most 2.8 KiB") != NULL, "%s", text);
  cr_assert(strstr(text, ":1: at most 7 B") != NULL, "%s", text);
  free(text);
}

Test(trace_chrome, nested_tasks_share_a_row_and_overlapping_ones_do_not) {
  tracing_use_ns();
  uint64_t start = tracing_start(0, 1000000);
  tracing_task(1, "waits", 0, start + 100, start + 1000);
  tracing_task(2, "helped", 0, start + 200, start + 900);
  tracing_task(3, "also helped", 0, start + 300, start + 900);
  tracing_task(4, "next", 0, start + 1000, start + 2000);
  tracing_task(5, "token", 0, start + 1500, start + 2500); /* completed by foreign code */
  tracing_task(6, "other worker", 1, start + 1500, start + 2500);
  json *trace = tracing_json();
  cr_assert(eq(str, (char *)tracing_check(trace), ""));
  const char *names[] = {"waits", "helped", "also helped", "next", "token", "other worker"};
  const char *rows[6];
  for (int i = 0; i < 6; i++) rows[i] = tracing_row(trace, tracing_find(trace, "X", names[i]));
  for (int i = 1; i < 4; i++) cr_assert(eq(str, (char *)rows[i], (char *)rows[0]), "task %d", i);
  cr_assert(ne(str, (char *)rows[4], (char *)rows[0]));
  cr_assert(strstr(rows[4], "worker 0 (2)") != NULL, "row is %s", rows[4]);
  cr_assert(strstr(rows[5], "worker 1") != NULL, "row is %s", rows[5]);
  json_free(trace);
}

Test(trace_chrome, a_lane_does_one_thing_at_a_time) {
  tracing_use_ns();
  uint64_t start = tracing_start(0, 1000000);
  for (int i = 0; i < 10; i++) { /* all issued at once, done one after the other */
    tracing_task((uint64_t)i, "k", TH__TRACE_LANES + 2, start + 100 + (uint64_t)i,
                 start + 1000 * (uint64_t)(i + 1));
  }
  json *trace = tracing_json();
  cr_assert(eq(str, (char *)tracing_check(trace), ""));
  for (const json *e = json_get(trace, "traceEvents")->first; e != NULL; e = e->next) {
    if (strcmp(json_text(e, "ph"), "X") != 0) continue;
    cr_assert(strstr(tracing_row(trace, e), "lane 2") != NULL);
    cr_assert(le(dbl, json_number(e, "dur", 9), 1.001));
  }
  json_free(trace);
}

Test(trace_chrome, arrows_only_between_recorded_tasks) {
  tracing_use_ns();
  uint64_t start = tracing_start(0, 1000000);
  tracing_task(1, "a", 0, start + 100, start + 200);
  tracing_task_behind(2, "b", start + 200, start + 200, 1,
                      77); /* no time at all; 77 was never recorded */
  tracing_task_behind(3, "c", start + 250, start + 400, 1, 1);
  json *trace = tracing_json();
  cr_assert(eq(str, (char *)tracing_check(trace), ""));
  cr_assert(eq(int, tracing_count(trace, "s"), 3));
  cr_assert(eq(int, tracing_count(trace, "f"), 3));
  json_free(trace);
}

Test(trace_chrome, pending_tasks_and_counters) {
  tracing_use_ns();
  uint64_t start = tracing_start(0, 1000000);
  for (int i = 0; i < 5; i++) {
    th__trace_task task = {.id = (uint64_t)i,
                           .bytes = 100,
                           .submitted = start + 100 * (uint64_t)i,
                           .ready = start + 1000,
                           .started = start + 1000 * (uint64_t)(i + 1),
                           .finished = start + 1000 * (uint64_t)(i + 2)};
    th__trace_task_done(&task);
  }
  th__trace_counter("live \"bytes\"", -17);
  json *trace = tracing_json();
  cr_assert(eq(str, (char *)tracing_check(trace), ""));
  /* Tasks run one after the other, the first as soon as it is ready. */
  static const struct {
    const char *name;
    double most;
  } series[] = {{"run-ahead", 5}, {"ready", 4}, {"in flight", 1}, {"bytes of the run-ahead", 500}};
  for (int i = 0; i < 4; i++) {
    double last = -1, most = 0;
    for (const json *e = json_get(trace, "traceEvents")->first; e != NULL; e = e->next) {
      if (strcmp(json_text(e, "name"), series[i].name) != 0) continue;
      last = json_number(json_get(e, "args"), "value", -1);
      cr_assert(ge(dbl, last, 0));
      if (last > most) most = last;
    }
    cr_assert(epsilon_eq(dbl, last, 0, 0), "%s", series[i].name);
    cr_assert(epsilon_eq(dbl, most, series[i].most, 0), "%s", series[i].name);
  }
  const json *bytes = tracing_find(trace, "C", "live \"bytes\"");
  cr_assert(epsilon_eq(dbl, json_number(json_get(bytes, "args"), "value", 0), -17, 0));
  json_free(trace);
}

Test(trace_chrome, host_waits_have_their_own_row) {
  tracing_use_ns();
  uint64_t start = tracing_start(0, 1000000);
  tracing_task(1, "helped", TH__TRACE_HOST, start + 150, start + 300);
  th__trace_host_wait("th_item", start + 100, start + 250);
  json *trace = tracing_json();
  cr_assert(eq(str, (char *)tracing_check(trace), ""));
  const json *wait = tracing_find(trace, "X", "th_item");
  cr_assert(eq(str, (char *)tracing_row(trace, wait), "host thread 0 waits"));
  cr_assert(eq(str, (char *)json_text(wait, "cat"), "wait"));
  cr_assert(
      eq(str, (char *)tracing_row(trace, tracing_find(trace, "X", "helped")), "host thread 0"));
  json_free(trace);
}

Test(trace_chrome, numbers_do_not_follow_the_locale) {
  if (setlocale(LC_ALL, "de_DE.UTF-8") == NULL) setlocale(LC_ALL, "");
  th_profile_start(0);
  tracing_task(1, "a", 0, th__ticks(), th__ticks());
  char *text = tracing_text(th_profile_write);
  setlocale(LC_ALL, "C");
  json *trace = json_parse(text, strlen(text));
  cr_assert(eq(str, (char *)tracing_check(trace), ""));
  json_free(trace);
  free(text);
}

Test(trace_chrome, stop_writes_the_file) {
  char path[] = "/tmp/thrum-trace-XXXXXX";
  int fd = mkstemp(path);
  cr_assert(ge(int, fd, 0));
  th_profile_start(0);
  tracing_task(1, "a", 0, th__ticks(), th__ticks());
  for (int i = 0; i < 2; i++) { /* stopping twice writes twice */
    cr_assert(eq(int, th_profile_stop(path), TH_OK));
    char text[4096];
    ssize_t n = pread(fd, text, sizeof(text), 0);
    json *trace = json_parse(text, (size_t)n);
    cr_assert(eq(str, (char *)tracing_check(trace), ""));
    cr_assert(eq(int, tracing_count(trace, "X"), 1));
    json_free(trace);
  }
  close(fd);
  unlink(path);
}

Test(trace_chrome, a_path_that_cannot_be_written) {
  th_profile_start(0);
  cr_assert(eq(int, th_profile_stop("/nonexistent/folder/trace.json"), TH_EIO));
  cr_assert(strstr(th_last_error(), "/nonexistent/folder/trace.json") != NULL, "%s",
            th_last_error());
  cr_assert(not(th__trace_on(TH_PROFILE_ALL)));
  if (access("/dev/full", W_OK) == 0) {
    th_profile_start(0);
    tracing_task(1, "a", 0, th__ticks(), th__ticks());
    cr_assert(eq(int, th_profile_stop("/dev/full"), TH_EIO));
    cr_assert(strstr(th_last_error(), "/dev/full: No space left") != NULL, "%s", th_last_error());
  }
}

Test(trace_chrome, the_reader_of_these_tests_refuses_what_is_not_json) {
  static const char *const bad[] = {
      "",        "{",     "[1,]", "{\"a\":1,}", "{\"a\":1,\"a\":2}", "01",    "1.", "\"\n\"",
      "\"\\x\"", "[1] 2", "nul",  "\"\xff\"",   "\"\\ud800\"",       "{a:1}", "-"};
  for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
    cr_assert(json_parse(bad[i], strlen(bad[i])) == NULL, "case %zu accepted", i);
  static const char *const good[] = {
      "[]", "{}", "0", "-1.5e+3", "\"\\u00e9\\n\"", "[null,true,false]"};
  for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
    json *v = json_parse(good[i], strlen(good[i]));
    cr_assert(v != NULL, "case %zu refused", i);
    json_free(v);
  }
}
