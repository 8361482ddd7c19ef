/* The aggregate table. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdlib.h>
#include <string.h>

#include "support/tracing.h"

TestSuite(trace_table, .timeout = 60);

/* The line that begins with name, copied; "" if none. */
static const char *line_of(const char *text, const char *name) {
  static char line[256];
  line[0] = 0;
  for (const char *s = text; s != NULL && *s != 0;) {
    const char *end = strchrnul(s, '\n');
    if (strncmp(s, name, strlen(name)) == 0) {
      snprintf(line, sizeof(line), "%.*s", (int)(end - s), s);
      break;
    }
    s = *end == 0 ? end : end + 1;
  }
  return line;
}

Test(trace_table, sums) {
  tracing_use_ns();
  uint64_t start = tracing_start(0, 20000000);
  for (uint64_t i = 0; i < 4; i++) {
    th__trace_task task = {.name = "add",
                           .submitted = start,
                           .ready = start + i * 1000000,
                           .started = start + i * 1000000 + 500,
                           .finished = start + i * 1000000 + 500 + 150000 * (i + 1)};
    th__trace_task_done(&task);
  }
  tracing_task(9, "matmul", 1, start, start + 4500000);
  char *text = tracing_text(th_profile_table);
  cr_assert(text != NULL);
  const char *line = line_of(text, "add");
  char name[16], units[6][4];
  double count, total, mean, p50, p99, most, queued, share;
  int n = sscanf(line, "%15s %lf %lf %3s %lf %3s %lf %3s %lf %3s %lf %3s %lf %3s %lf%%", name,
                 &count, &total, units[0], &mean, units[1], &p50, units[2], &p99, units[3], &most,
                 units[4], &queued, units[5], &share);
  cr_assert(eq(int, n, 15), "%s", line);
  cr_assert(epsilon_eq(dbl, count, 4, 0));
  cr_assert(epsilon_eq(dbl, total, 1.5, 0.02));
  cr_assert(eq(str, units[0], "ms"));
  cr_assert(epsilon_eq(dbl, mean, 375, 1));
  cr_assert(eq(str, units[1], "us"));
  cr_assert(epsilon_eq(dbl, p50, 300, 1));
  cr_assert(epsilon_eq(dbl, p99, 600, 1));
  cr_assert(epsilon_eq(dbl, most, 600, 1));
  cr_assert(epsilon_eq(dbl, queued, 500, 5));
  cr_assert(eq(str, units[5], "ns"));
  cr_assert(epsilon_eq(dbl, share, 25, 0.2));
  cr_assert(
      lt(ptr, (void *)strstr(text, "matmul"), (void *)strstr(text, "\nadd"))); /* longest first */
  cr_assert(strstr(text, "5 tasks in ") != NULL);
  free(text);
}

Test(trace_table, columns_line_up) {
  th_profile_start(0);
  const char *names[] = {"a", "an operation with quite a long name that is cut", "tab\there",
                         "\x1b[31mred"};
  for (int i = 0; i < 4000; i++) tracing_task(1, names[i % 4], 0, th__ticks(), th__ticks());
  char *text = tracing_text(th_profile_table);
  size_t width = strcspn(text, "\n");
  int lines = 0;
  for (const char *s = text; strstr(s, "tasks in") != s && lines < 5; lines++) {
    cr_assert(eq(sz, strcspn(s, "\n"), width), "line %d of\n%s", lines, text);
    s += width + 1;
  }
  cr_assert(eq(int, lines, 5));
  cr_assert(strchr(text, '\x1b') == NULL);
  cr_assert(strchr(text, '\t') == NULL);
  free(text);
}

Test(trace_table, empty_and_failures) {
  cr_assert(eq(int, th_profile_table(NULL), TH_EINVAL));
  char *text = tracing_text(th_profile_table);
  cr_assert(strstr(text, "0 tasks in 0 ns") != NULL, "%s", text);
  free(text);
  th_profile_start(0);
  th__trace_task task = {.name = "f", .status = TH__TRACE_FAILED};
  th__trace_task_done(&task);
  task.status = TH__TRACE_SKIPPED;
  th__trace_task_done(&task);
  th__trace_task_done(&task);
  text = tracing_text(th_profile_table);
  cr_assert(strstr(text, ", 1 failed, 2 skipped\n") != NULL, "%s", text);
  free(text);
}

Test(trace_table, a_full_device_is_an_error) {
  FILE *full = fopen("/dev/full", "w");
  if (full == NULL) return;
  th_profile_start(0);
  tracing_task(1, "a", 0, th__ticks(), th__ticks());
  cr_assert(eq(int, th_profile_table(full), TH_EIO));
  cr_assert(strstr(th_last_error(), "th_profile_table: cannot write") != NULL, "%s",
            th_last_error());
  fclose(full);
}
