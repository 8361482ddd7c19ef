/* The timeline in letters. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdlib.h>
#include <string.h>

#include "support/tracing.h"

TestSuite(trace_ascii, .timeout = 60);

/* What stands between the bars of the line that holds label; "" if there is none. */
static const char *cells_of(const char *text, const char *label) {
  static char cells[128];
  cells[0] = 0;
  const char *line = strstr(text, label);
  const char *bar = line == NULL ? NULL : strchr(line, '|');
  if (bar != NULL) snprintf(cells, sizeof(cells), "%.*s", (int)strcspn(bar + 1, "|\n"), bar + 1);
  return cells;
}

static int count(const char *text, char c) {
  int n = 0;
  for (; *text != 0; text++) n += *text == c;
  return n;
}

/* A = 2; C = A + 2; B = A + 1; D = B * C, each 3 ms. */
Test(trace_ascii, diamond_shows_b_and_c_side_by_side) {
  tracing_use_ns();
  uint64_t start = tracing_start(0, 12000000), ms = 1000000;
  tracing_task(1, "A", 0, start, start + 3 * ms);
  tracing_task(2, "C", 0, start + 3 * ms, start + 6 * ms);
  tracing_task(3, "B", 1, start + 3 * ms, start + 6 * ms);
  tracing_task(4, "D", 1, start + 6 * ms, start + 9 * ms);
  char *text = tracing_text(tracing_ascii);
  char zero[128], one[128];
  strcpy(zero, cells_of(text, "worker 0"));
  strcpy(one, cells_of(text, "worker 1"));
  cr_assert(eq(sz, strlen(zero), strlen(one)));
  int width = (int)strlen(zero);
  cr_assert(gt(int, width, 70), "%s", text);
  int both = 0;
  for (int i = 0; i < width; i++) both += zero[i] == 'C' && one[i] == 'B';
  cr_assert(ge(int, both, width / 3 - 2), "%s", text);
  cr_assert(ge(int, count(zero, 'A'), width / 3 - 2), "%s", text);
  cr_assert(ge(int, count(one, 'D'), width / 3 - 2), "%s", text);
  cr_assert(zero[width - 1] == '.' && one[0] == '.', "%s", text);
  cr_assert(strstr(text, "B B (1)") != NULL, "%s", text);
  for (const char *s = text; *s != 0; s += strcspn(s, "\n") + 1)
    cr_assert(le(sz, strcspn(s, "\n"), 140), "line too long in\n%s", text);
  free(text);
}

Test(trace_ascii, letters_come_from_names_and_differ) {
  tracing_use_ns();
  uint64_t start = tracing_start(0, 2000000);
  const char *names[] = {"add", "abs", "all", "matmul", "mean", "A"};
  for (uint64_t i = 0; i < 6; i++)
    tracing_task(i, names[i], 0, start + i * 100000, start + (i + 1) * 100000);
  char *text = tracing_text(tracing_ascii);
  cr_assert(strstr(text, "A A (1)") != NULL, "%s", text); /* single letters first */
  cr_assert(strstr(text, "D add (1)") != NULL, "%s", text);
  cr_assert(strstr(text, "B abs (1)") != NULL, "%s", text);
  cr_assert(strstr(text, "L all (1)") != NULL, "%s", text);
  cr_assert(strstr(text, "M matmul (1)") != NULL, "%s", text);
  cr_assert(strstr(text, "E mean (1)") != NULL, "%s", text);
  free(text);
}

Test(trace_ascii, helped_tasks_show_inside_the_waiting_one) {
  tracing_use_ns();
  uint64_t start = tracing_start(0, 2000000);
  tracing_task(1, "outer", 0, start, start + 900000);
  tracing_task(2, "inner", 0, start + 300000, start + 600000);
  th__trace_host_wait("th_wait", start, start + 900000);
  char *text = tracing_text(tracing_ascii);
  const char *cells = cells_of(text, "worker 0");
  int inner = count(cells, 'I'), outer = count(cells, 'O');
  cr_assert(ge(int, inner, 20), "%s", text);
  cr_assert(ge(int, outer, 2 * inner - 4), "%s", text);
  cr_assert(eq(int, count(cells_of(text, "waits"), '.'), 0), "%s", text);
  free(text);
}

Test(trace_ascii, more_names_than_letters) {
  tracing_use_ns();
  uint64_t start = tracing_start(0, 2000000);
  for (uint64_t i = 0; i < 80; i++) {
    char name[16];
    snprintf(name, sizeof(name), "op%d", (int)i);
    tracing_task(i, name, 0, start + i * 10000, start + (i + 1) * 10000);
  }
  char *text = tracing_text(tracing_ascii);
  cr_assert(strchr(cells_of(text, "worker 0"), '#') != NULL, "%s", text);
  cr_assert(strstr(text, "18 other names") != NULL, "%s", text);
  free(text);
}

Test(trace_ascii, bad_arguments_and_nothing_to_show) {
  cr_assert(eq(int, th_profile_ascii(NULL, 0), TH_EINVAL));
  cr_assert(eq(int, th_profile_ascii(stderr, -1), TH_EINVAL));
  cr_assert(eq(int, th_profile_ascii(stderr, 39), TH_EINVAL));
  cr_assert(strstr(th_last_error(), "columns is 39") != NULL, "%s", th_last_error());
  cr_assert(eq(int, th_profile_ascii(stderr, 100000), TH_EINVAL));
  char *text = tracing_text(tracing_ascii);
  cr_assert(text != NULL);
  free(text);
}

Test(trace_ascii, a_full_device_is_an_error) {
  FILE *full = fopen("/dev/full", "w");
  if (full == NULL) return;
  th_profile_start(0);
  tracing_task(1, "a", 0, th__ticks(), th__ticks());
  cr_assert(eq(int, th_profile_ascii(full, 0), TH_EIO));
  cr_assert(strstr(th_last_error(), "th_profile_ascii: cannot write") != NULL, "%s",
            th_last_error());
  fclose(full);
}
