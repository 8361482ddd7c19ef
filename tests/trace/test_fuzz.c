/* Whatever stands in the file, thrum-trace says so or shows it: changed traces, some seconds of them, through everything.
 * FUZZ_SECONDS and FUZZ_SEED choose how many and which. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "support/traces.h"
#include "trace/check.h"
#include "trace/figures.h"
#include "trace/html.h"
#include "trace/report.h"

TestSuite(trace_fuzz, .timeout = 3600);

static uint64_t state;
static uint64_t draw(uint64_t below) { /* xorshift64* */
  state ^= state >> 12;
  state ^= state << 25;
  state ^= state >> 27;
  return (state * 2685821657736338717u >> 16) % below;
}

/* Pieces that mean something at the right place. */
static const char *const pieces[] = {"0",
                                     "-1",
                                     "1e308",
                                     "1e-308",
                                     "18446744073709551615",
                                     "9223372036854775807",
                                     "4294967296",
                                     "65535",
                                     "65536",
                                     "9e12",
                                     "0.0001",
                                     "[",
                                     "]",
                                     "{",
                                     "}",
                                     ",",
                                     ":",
                                     "\"",
                                     "\\",
                                     "\\u0000",
                                     "\\ud800",
                                     "\xff",
                                     "\xf0\x9f\x98\x80",
                                     "null",
                                     "\"after\":[4,3,2,1]",
                                     "\"ns\":[0,0,0,0]",
                                     "\"dur\":9e11",
                                     "\"ts\":0",
                                     "\"tid\":1",
                                     "\"tid\":2",
                                     "\"kind\":\"lane\"",
                                     "\"lane\":\"x\"",
                                     "\"status\":\"failed\"",
                                     "\"cat\":\"wait\"",
                                     "\"cat\":\"range\"",
                                     "\"ph\":\"f\"",
                                     "\"id\":2",
                                     "\"bytes\":-9223372036854775807",
                                     "\"device\":\"cpu:1\"",
                                     "\"flops\":9223372036854775807",
                                     "\"moved\":9223372036854775807",
                                     "\"moved\":-1",
                                     "\"note\":\"</script>\"",
                                     "\"copies\":true",
                                     "\"copies\":1",
                                     "\"starved\":1",
                                     "\"starved\":9223372036854775807",
                                     "\"memory\":[{\"device\":\"x\",\"tag\":\"y\",\"peak\":1}]",
                                     "\"at_peak\":9223372036854775807",
                                     "\"value\":-9223372036854775807"};

/* One change of text[0..*size), which has room for more. */
static void change(char *text, size_t *size) {
  const char *piece = pieces[draw(sizeof pieces / sizeof *pieces)];
  size_t n = strlen(piece), at = draw(*size + 1), length;
  switch (draw(6)) {
  case 0: /* a byte */
    if (at < *size) text[at] = (char)draw(256);
    return;
  case 1: /* cut */
    length = draw(20);
    if (at + length > *size) length = *size - at;
    memmove(text + at, text + at + length, *size - at - length);
    *size -= length;
    return;
  case 2: /* copied to elsewhere */
    length = draw(200);
    if (at + length > *size) return;
    size_t to = draw(*size - length + 1);
    memmove(text + to, text + at, length);
    return;
  case 3: { /* a number replaced */
    while (at < *size && (text[at] < '0' || text[at] > '9')) at++;
    size_t end = at;
    while (end < *size && ((text[end] >= '0' && text[end] <= '9') || text[end] == '.')) end++;
    memmove(text + at + n, text + end, *size - end);
    memcpy(text + at, piece, n);
    *size += n - (end - at);
    return;
  }
  default: /* inserted, often behind a comma */
    while (at < *size && text[at] != ',' && draw(20) != 0) at++;
    if (at < *size) at++;
    bool member = piece[0] == '"' && n > 3;
    memmove(text + at + n + member, text + at, *size - at);
    memcpy(text + at, piece, n);
    if (member) text[at + n] = ',';
    *size += n + member;
  }
}

static bool show(const char *text, size_t size, FILE *out) {
  char error[256] = "";
  trace *t = trace_parse("t", text, size, error, sizeof error);
  if (t == NULL) {
    cr_assert(error[0] != 0);
    return false;
  }
  figures *f = figures_make(t);
  cr_assert(f != NULL);
  rewind(out);
  trace_check(t, out, 10);
  report_summary(t, f, out);
  report_path(t, f, 10, out);
  report_memory(t, f, 10, out);
  for (int format = REPORT_TEXT; format <= REPORT_CSV; format++)
    report_table(t, f, (report_format)format, 10, out);
  cr_assert(ge(i64, figures_busiest(t, f, (int64_t)draw(5000) + 1), 0));
  report_window w = {(int64_t)draw(1000) - 100, draw(2) ? -1 : (int64_t)draw(1000000) + 1000};
  cr_assert(report_ascii(t, f, w, 60 + (int)draw(60), draw(2) != 0, out));
  cr_assert(report_svg(t, f, w, 400, out));
  cr_assert(html_write(t, f, "t", out));
  figures_free(f);
  trace_free(t);
  return true;
}

Test(trace_fuzz, changed_traces) {
  const char *seconds = getenv("FUZZ_SECONDS"), *seed = getenv("FUZZ_SEED");
  double most = seconds == NULL ? 3 : atof(seconds);
  uint64_t first = seed == NULL ? 1 : strtoull(seed, NULL, 10), n = 0, accepted = 0;
  size_t size = strlen(traces_rich), room = size + 8192;
  char *text = malloc(room + 1);
  FILE *out = fopen("/dev/null", "w");
  cr_assert(text != NULL && out != NULL);
  for (clock_t began = clock(); (double)(clock() - began) < most * CLOCKS_PER_SEC; n++) {
    state = (first + n) * 0x9e3779b97f4a7c15u | 1; /* a failure can be had again with FUZZ_SEED */
    size_t length = size;
    memcpy(text, traces_rich, size);
    for (uint64_t i = draw(8) + 1; i > 0; i--) change(text, &length);
    text[length] = 0;
    char *exact = malloc(length + 1); /* so that a step beyond the end is seen */
    memcpy(exact, text, length + 1);
    accepted += show(exact, length, out);
    free(exact);
  }
  fclose(out);
  free(text);
  printf("%llu traces, %llu accepted\n", (unsigned long long)n, (unsigned long long)accepted);
  cr_assert(ge(u64, n, 100));
  cr_assert(ge(u64, accepted, n / 50), "only %llu of %llu", (unsigned long long)accepted,
            (unsigned long long)n);
}
