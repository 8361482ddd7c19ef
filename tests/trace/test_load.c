/* thrum-trace reads what the library writes and refuses the rest with the line and the reason. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdlib.h>
#include <string.h>

#include "support/json.h"
#include "support/traces.h"
#include "trace/scan.h"
#include "trace/trace.h"

TestSuite(trace_load, .timeout = 60);

static trace *parse(const char *text, char error[256]) {
  error[0] = 0;
  return trace_parse("t", text, strlen(text), error, 256);
}

Test(trace_load, the_diamond) {
  char error[256];
  trace *t = parse(traces_diamond, error);
  cr_assert(t != NULL, "%s", error);
  cr_assert(eq(sz, t->n_ops, 4));
  cr_assert(eq(sz, t->n_rows, 3));
  cr_assert(eq(sz, t->n_lanes, 3));
  cr_assert(eq(sz, t->n_waits, 1));
  cr_assert(eq(sz, t->n_flows, 2));
  cr_assert(eq(sz, t->n_samples, 1));
  cr_assert(eq(str, t->version, "0.1.0"));
  const trace_op *d = &t->ops[trace_find(t, 4)];
  cr_assert(eq(str, t->names[d->name], "multiply"));
  cr_assert(eq(str, t->rows[d->row].label, "cpu:0 worker 1"));
  cr_assert(eq(str, t->names[d->device], "cpu:0"));
  cr_assert(eq(i64, d->begin, 440));
  cr_assert(eq(i64, d->end, 500));
  cr_assert(eq(i64, d->stamps[STAMP_SUBMITTED], 30));
  cr_assert(eq(int, (int)d->n_after, 2));
  cr_assert(eq(i64, t->waited[d->first_after], trace_find(t, 2)));
  cr_assert(eq(i64, t->waited[d->first_after + 1], trace_find(t, 3)));
  cr_assert(eq(i64, trace_find(t, 5), TRACE_ABSENT));
  trace_free(t);
}

Test(trace_load, what_ops_did) {
  char error[256];
  trace *t = parse(traces_rich, error);
  cr_assert(t != NULL, "%s", error);
  const trace_op *copy = &t->ops[trace_find(t, 1)], *add = &t->ops[trace_find(t, 2)];
  cr_assert(copy->copies && !add->copies);
  cr_assert(eq(i64, copy->moved, 1000));
  cr_assert(eq(i64, copy->starved, -1));
  cr_assert(eq(i64, add->flops, 1500));
  cr_assert(eq(i64, add->starved, 210));
  cr_assert(eq(str, t->names[copy->note], ""));
  cr_assert(eq(str, t->names[add->note], "f32(8,4) -> f32(8)"));
  cr_assert(eq(sz, t->n_memory, 2));
  cr_assert(eq(str, t->names[t->memory[1].tag], "copy"));
  cr_assert(eq(str, t->names[t->memory[1].device], "cpu:0"));
  cr_assert(eq(i64, t->memory[0].taken, 3072));
  cr_assert(eq(i64, t->memory[0].peak_at, 300));
  cr_assert(t->rows[1].used); /* a worker without ops */
  trace_free(t);
}

Test(trace_load, refuses_what_ops_cannot_have_done) {
  static const struct {
    const char *from, *to, *error;
  } cases[] = {
      {"\"flops\":0", "\"flops\":-1", "t:8: a negative amount"},
      {"\"moved\":400", "\"moved\":0.5", "t:9: a whole number was expected"},
      {"\"copies\":true", "\"copies\":\"yes\"", "t:8: true or false was expected"},
      {"\"starved\":210", "\"starved\":-210", "t:9: a negative amount"},
      {"\"note\":\"f", "\"note\":7,\"x\":\"f", "t:9: a text was expected"},
      {"\"memory\":[", "\"memory\":7,\"x\":[", "t:1: memory that is no list"},
      {"\"memory\":[", "\"memory\":[7,", "t:1: a line of memory that is no object"},
      {"\"at_peak\":512", "\"at_peak\":-512", "t:3: a negative amount"},
      {"\"count\":2", "\"count\":-2", "t:2: a whole number from 0"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    char *text = traces_replace(traces_rich, cases[i].from, cases[i].to), error[256];
    cr_assert(text != NULL, "case %zu", i);
    cr_assert(parse(text, error) == NULL, "case %zu was accepted", i);
    cr_assert(strncmp(error, cases[i].error, strlen(cases[i].error)) == 0, "case %zu: %s", i,
              error);
    free(text);
  }
}

Test(trace_load, refuses_with_line_and_reason) {
  static const struct {
    const char *from, *to, *error;
  } cases[] = {
      {"\"ph\":\"X\",\"pid\":1,\"tid\":1", "\"ph\":\"X\",\"pid\":1,\"tid\":-1",
       "t:7: an entry whose tid"},
      {"\"ts\":0.100", "\"ts\":-0.1", "t:7: a time out of range"},
      {"\"ts\":0.100", "\"ts\":1e999", "t:7: a time out of range"},
      {"\"ts\":0.100,", "", "t:7: a slice without ts and dur"},
      {"\"ts\":0.100", "\"ts\":\"soon\"", "t:7: a number was expected"},
      {"\"id\":1,", "\"id\":-1,", "t:7: a whole number from 0"},
      {"\"id\":1,", "\"id\":1.5,", "t:7: a whole number from 0"},
      {"\"id\":1,", "\"id\":18446744073709551616,", "t:7: a whole number from 0"},
      {"\"id\":1,", "", "t:7: an op without id and four stamps"},
      {"[0,0,100,200]", "[0,100,200]", "t:7: an op without id and four stamps"},
      {"[0,0,100,200]", "[0,0,100,200,300]", "t:7: stamps out of range"},
      {"[0,0,100,200]", "[0,0,100,9223372036854775807]", "t:7: stamps out of range"},
      {"\"after\":[1]", "\"after\":1", "t:8: a list of ids was expected"},
      {"\"after\":[1]", "\"after\":[1],\"after\":[1]", "t:8: two lists of predecessors"},
      {"\"name\":\"cpu:0 worker 1\"", "\"name\":7", "t:4: a text was expected"},
      {"\"traceEvents\":[", "\"traceEvents\":[],\"x\":[", "?"},
      {"\"traceEvents\"", "\"events\"", "t:15: no traceEvents"},
      {"]}\n", "]", "t:14: the text ends early"},
      {"]}\n", "]}]", "t:14: more text behind"},
      {"\"value\":4", "\"value\":4.5", "t:13: a whole number was expected"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    char *text = traces_replace(traces_diamond, cases[i].from, cases[i].to), error[256];
    cr_assert(text != NULL, "case %zu", i);
    trace *t = parse(text, error);
    if (cases[i].error[0] == '?') {
      cr_assert(t != NULL && t->n_ops == 0, "case %zu: %s", i, error);
    } else {
      cr_assert(t == NULL, "case %zu was accepted", i);
      cr_assert(strncmp(error, cases[i].error, strlen(cases[i].error)) == 0, "case %zu: %s", i,
                error);
    }
    trace_free(t);
    free(text);
  }
  char error[256];
  static const char *const bad[] = {
      "", "[]", "{}", "null", "{\"traceEvents\":{}}", "{\"traceEvents\":[1]}", "\0"};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
    cr_assert(parse(bad[i], error) == NULL && error[0] != 0, "case %zu", i);
  cr_assert(trace_read("/nowhere/trace.json", error, sizeof error) == NULL);
  cr_assert(strstr(error, "/nowhere/trace.json: No such file") != NULL, "%s", error);
  cr_assert(trace_read("/", error, sizeof error) == NULL);
}

Test(trace_load, unknown_keys_are_passed_over) {
  char error[256];
  char *text = traces_replace(traces_diamond, "\"ph\":\"X\"",
                              "\"new\":{\"a\":[1,{\"b\":null}]},\"ph\":\"X\"");
  trace *t = parse(text, error);
  cr_assert(t != NULL && t->n_ops == 4, "%s", error);
  trace_free(t);
  free(text);
}

/* The scanner agrees with the strict reader of the tests on what is JSON. */
Test(trace_load, scanner_and_test_reader_agree) {
  static const char *const texts[] = {"[]",
                                      "{}",
                                      "0",
                                      "-0",
                                      "-1.5e+3",
                                      "01",
                                      "1.",
                                      ".5",
                                      "1e",
                                      "+1",
                                      "\"\\u00e9\\n\"",
                                      "\"\\x\"",
                                      "\"\\u12\"",
                                      "\"\t\"",
                                      "[null,true,false]",
                                      "[nul]",
                                      "[1,]",
                                      "[,1]",
                                      "{\"a\":1,}",
                                      "{\"a\"}",
                                      "{a:1}",
                                      "{\"a\":1 \"b\":2}",
                                      "[1 2]",
                                      "[1] 2",
                                      " [ 1 , 2 ] ",
                                      "]",
                                      "[}",
                                      "{]",
                                      "-",
                                      "\"open",
                                      "\"\\",
                                      "[[[[[[]]]]]]",
                                      "tru",
                                      "{\"a\":}",
                                      "[1",
                                      "{",
                                      "{\"a\":{\"b\":[{}]}}"};
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
    scanner s;
    scan_begin(&s, texts[i], strlen(texts[i]));
    scan_token token;
    do token = scan_next(&s);
    while (token != SCAN_END && token != SCAN_ERROR);
    json *value = json_parse(texts[i], strlen(texts[i]));
    cr_assert(eq(int, token == SCAN_END, value != NULL), "%s: %s", texts[i],
              s.error ? s.error : "accepted");
    json_free(value);
  }
}

Test(trace_load, depth_is_limited) {
  char deep[400];
  memset(deep, '[', 200);
  memset(deep + 200, ']', 199);
  deep[399] = 0;
  scanner s;
  scan_begin(&s, deep, 399);
  scan_token token;
  do token = scan_next(&s);
  while (token != SCAN_END && token != SCAN_ERROR);
  cr_assert(eq(int, token, SCAN_ERROR));
  cr_assert(eq(str, (char *)s.error, "nested too deeply"));
}

static void check_decoded(const char *json, size_t bytes, const char *wanted) {
  scanner s;
  char out[64];
  scan_begin(&s, json, strlen(json));
  cr_assert(eq(int, scan_next(&s), SCAN_STRING), "%s", json);
  size_t n = scan_decode(&s, out, bytes);
  cr_assert(eq(str, out, (char *)wanted));
  cr_assert(eq(sz, n, strlen(wanted)));
}

Test(trace_load, strings_are_decoded) {
  check_decoded("\"a\\n\\t\\\\\\/\\\"b\"", 64, "a\n\t\\/\"b");
  check_decoded("\"\\u00e9\\u20ac\\ud83d\\ude00\"", 64, "é€😀");
  check_decoded("\"\\ud83d!\\ude00\"", 64, "\xef\xbf\xbd!\xef\xbf\xbd");
  check_decoded("\"\\u0000\"", 64, "\xef\xbf\xbd");
  check_decoded("\"é€😀\"", 64, "é€😀");
  check_decoded("\"\xff\xc0\xaf\xe2\x82\"", 64,
                "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");
  check_decoded("\"€€€€\"", 10, "€€");
}
