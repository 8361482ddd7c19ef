/* The proof: a true trace passes, each kind of lie is found. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdlib.h>
#include <string.h>

#include "support/traces.h"
#include "trace/check.h"

TestSuite(trace_check, .timeout = 60);

/* Findings in the diamond with one change. */
static size_t check_with(const char *from, const char *to, char **findings) {
  char *text = traces_replace(traces_diamond, from, to), error[256];
  cr_assert(text != NULL);
  trace *t = trace_parse("t", text, strlen(text), error, sizeof error);
  cr_assert(t != NULL, "%s", error);
  size_t size;
  FILE *out = open_memstream(findings, &size);
  size_t n = trace_check(t, out, 20);
  fclose(out);
  trace_free(t);
  free(text);
  return n;
}

Test(trace_check, lies_are_found) {
  static const struct {
    const char *from, *to, *finding;
  } cases[] = {
      {"\"name\":\"make\"", "\"name\":\"made\"", ""}, /* no lie */
      {"[10,200,210,310]", "[10,200,150,310]",
       "op 2 (add) started at 150 ns on cpu:0 worker 0, before op 1 (make), for which it waited, "
       "finished at 200 ns"},
      {"\"after\":[2,3]", "\"after\":[2,4]",
       "op 4 (multiply) waited for op 4 (multiply), which came later"},
      {"\"ns\":[0,0,100,200]", "\"ns\":[0,0,100,200],\"after\":[4]",
       "op 1 (make) started at 100 ns on cpu:0 worker 0, before op 4"},
      {"[10,200,210,310]", "[10,220,210,310]", "op 2 (add): ready at 220 ns but started at 210 ns"},
      {"[10,200,210,310]", "[300,250,260,310]",
       "op 2 (add): submitted at 300 ns but ready at 250 ns"},
      {"[10,200,210,310]", "[10,200,220,310]",
       "op 2 (add): drawn from 210 to 310 ns but ran from 220 to 310 ns"},
      {"\"id\":3,", "\"id\":2,", "two ops have the id 2 (add, add)"},
      {"\"ts\":0.100,\"dur\":0.100", "\"ts\":0.100,\"dur\":0.150",
       "overlaps another one in row 'cpu:0 worker 0'"},
      {"\"ph\":\"f\"", "\"ph\":\"s\"", "arrow 0 has 2 ends, not a beginning and an end"},
      {"\"ph\":\"f\"", "\"ph\":\"i\"", "arrow 0 has 1 ends"},
      {"\"ts\":0.199", "\"ts\":0.299", "arrow 0 ends before it begins"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    char *findings;
    size_t n = check_with(cases[i].from, cases[i].to, &findings);
    cr_assert(eq(int, n > 0, cases[i].finding[0] != 0), "case %zu: %s", i, findings);
    cr_assert(strstr(findings, cases[i].finding) != NULL, "case %zu: %s", i, findings);
    free(findings);
  }
}

/* Slices of one row, in us; how many of them cross another one. */
Test(trace_check, slices_nest_at_every_depth) {
  static const struct {
    int spans[5][2], n;
    size_t findings;
  } cases[] = {
      {{{0, 10}, {1, 5}, {5, 8}, {6, 8}, {9, 9}}, 5, 0},
      {{{0, 10}, {0, 10}, {0, 4}, {4, 10}, {10, 12}}, 5, 0},
      {{{0, 10}, {5, 12}}, 2, 1},
      {{{0, 10}, {1, 5}, {3, 8}}, 3, 1},
      {{{0, 20}, {1, 10}, {2, 5}, {3, 8}, {7, 9}}, 5, 2},
      {{{0, 20}, {1, 10}, {2, 5}, {3, 12}, {12, 15}}, 5, 1},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    char text[2048] = "{\"traceEvents\":[", error[256], *findings;
    for (int j = 0; j < cases[i].n; j++) {
      int begin = cases[i].spans[j][0], end = cases[i].spans[j][1];
      size_t n = strlen(text);
      snprintf(text + n, sizeof text - n,
               "%s{\"ph\":\"X\",\"tid\":1,\"ts\":%d,\"dur\":%d,\"cat\":\"op\",\"name\":\"f\","
               "\"args\":{\"id\":%d,\"ns\":[0,0,%d,%d]}}",
               j == 0 ? "" : ",", begin, end - begin, j + 1, begin * 1000, end * 1000);
    }
    strcat(text, "]}");
    trace *t = trace_parse("t", text, strlen(text), error, sizeof error);
    cr_assert(t != NULL, "%s", error);
    size_t size;
    FILE *out = open_memstream(&findings, &size);
    size_t n = trace_check(t, out, 20);
    fclose(out);
    cr_assert(eq(sz, n, cases[i].findings), "case %zu: %s", i, findings);
    if (n > 0) cr_assert(strstr(findings, "overlaps another one in row 'row 1'") != NULL);
    free(findings);
    trace_free(t);
  }
}

Test(trace_check, lanes_of_one_device_keep_their_own_order) {
  char *one = traces_replace(traces_diamond, "\"kind\":\"worker\"", "\"kind\":\"lane\"");
  char *lanes = traces_replace(one, "\"kind\":\"worker\"", "\"kind\":\"lane\""), *findings,
       error[256];
  /* issued behind A, before the host knew of A's end */
  char *early = traces_replace(lanes, "[10,200,210,310]", "[10,120,150,310]");
  char *wrong = traces_replace(lanes, "[10,200,210,310]", "[10,20,90,310]"); /* before A began */
  const char *texts[] = {lanes, early, wrong};
  for (int i = 0; i < 3; i++) {
    trace *t = trace_parse("t", texts[i], strlen(texts[i]), error, sizeof error);
    cr_assert(t != NULL, "%s", error);
    size_t size;
    FILE *out = open_memstream(&findings, &size);
    cr_assert(eq(sz, trace_check(t, out, 20), i == 2), "%d: %s", i, findings);
    fclose(out);
    free(findings);
    trace_free(t);
  }
  free(one);
  free(lanes);
  free(early);
  free(wrong);
}
