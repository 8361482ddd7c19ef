/* Figures of a trace whose figures are known, and every form they are shown in. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdlib.h>
#include <string.h>

#include "support/json.h"
#include "support/traces.h"
#include "trace/figures.h"
#include "trace/html.h"
#include "trace/report.h"
#include "trace/text.h"

TestSuite(trace_reports, .timeout = 60);

static trace *the_trace;
static figures *the_figures;

static void open_trace(const char *text) {
  char error[256];
  the_trace = trace_parse("t", text, strlen(text), error, sizeof error);
  cr_assert(the_trace != NULL, "%s", error);
  the_figures = figures_make(the_trace);
  cr_assert(the_figures != NULL);
}

static void close_trace(void) {
  figures_free(the_figures);
  trace_free(the_trace);
}

Test(trace_reports, figures_of_the_diamond) {
  open_trace(traces_diamond);
  const figures *f = the_figures;
  cr_assert(eq(i64, f->end - f->begin, 500));
  cr_assert(eq(i64, f->sum, 460));
  cr_assert(eq(i64, f->critical, 360)); /* make, the long add, multiply */
  cr_assert(eq(sz, f->n_path, 3));
  cr_assert(eq(int, (int)the_trace->ops[f->path[0]].id, 1));
  cr_assert(eq(int, (int)the_trace->ops[f->path[1]].id, 3));
  cr_assert(eq(int, (int)the_trace->ops[f->path[2]].id, 4));
  cr_assert(eq(i64, f->waited, 470));
  cr_assert(eq(sz, f->n_edges, 4));
  cr_assert(eq(sz, f->n_lost_edges, 0));
  /* worker 0: ready at 0, 0..100 queued; 200..210 queued; 310..430 blocked (D), 430..440 queued, 440..500 nothing. */
  const lane_figures *l = &f->lanes[0];
  cr_assert(eq(i64, l->busy, 200));
  cr_assert(eq(i64, l->idle[IDLE_QUEUED], 120));
  cr_assert(eq(i64, l->idle[IDLE_BLOCKED], 120));
  cr_assert(eq(i64, l->idle[IDLE_NOTHING], 60));
  /* worker 1: 0..100 queued, 100..200 blocked, 200..230 queued, 430..440 queued. */
  l = &f->lanes[1];
  cr_assert(eq(i64, l->busy, 260));
  cr_assert(eq(i64, l->idle[IDLE_QUEUED], 140));
  cr_assert(eq(i64, l->idle[IDLE_BLOCKED], 100));
  cr_assert(eq(i64, l->idle[IDLE_NOTHING], 0));
  double sum = 0;
  for (int i = 0; i < FIGURES_SLICES; i++) sum += f->parallel[i];
  cr_assert(epsilon_eq(dbl, sum / FIGURES_SLICES, 460.0 / 500, 1e-9));
  cr_assert(epsilon_eq(dbl, f->most_parallel, 2, 1e-9));
  cr_assert(eq(sz, f->n_names, 3));
  cr_assert(eq(str, the_trace->names[f->names[0].name], "add"));
  cr_assert(eq(i64, f->names[0].total, 300));
  cr_assert(eq(i64, f->names[0].p50, 100));
  cr_assert(eq(i64, f->names[0].p99, 200));
  cr_assert(eq(i64, f->names[0].queued, 40));
  cr_assert(eq(i64, f->names[0].blocked, 370));
  close_trace();
}

Test(trace_reports, why_lanes_are_idle) {
  open_trace(traces_rich);
  /* both workers: 0..100 the copy is ready; then, while add waits for it, a copy; 200..210 queued, 210..300 memory. */
  static const int64_t
      zero[IDLE_CAUSES] = {[IDLE_QUEUED] = 110, [IDLE_MEMORY] = 90},
      one[IDLE_CAUSES] = {
          [IDLE_QUEUED] = 110, [IDLE_MEMORY] = 90, [IDLE_COPY] = 100, [IDLE_NOTHING] = 100};
  for (int c = 0; c < IDLE_CAUSES; c++) {
    cr_assert(eq(i64, the_figures->lanes[0].idle[c], zero[c]), "%s", idle_names[c]);
    cr_assert(eq(i64, the_figures->lanes[1].idle[c], one[c]), "%s", idle_names[c]);
  }
  cr_assert(eq(sz, the_figures->lanes[1].ops, 0));
  close_trace();
}

Test(trace_reports, counters_are_thinned_and_keep_their_peaks) {
  enum { MANY = 10000 };
  trace t = {.n_samples = MANY};
  t.samples = calloc(MANY, sizeof *t.samples);
  for (int i = 0; i < MANY; i++)
    t.samples[i] = (trace_sample){i * 10, i == 1234 ? 99 : i % 7, 1 + (uint32_t)i % 2};
  size_t n;
  trace_sample *kept = figures_counters(&t, &n);
  cr_assert(kept != NULL);
  cr_assert(lt(sz, n, 6100));
  int peaks = 0;
  for (size_t i = 1; i < n; i++) {
    peaks += kept[i].value == 99;
    cr_assert(kept[i].name > kept[i - 1].name ||
              (kept[i].name == kept[i - 1].name && kept[i].at > kept[i - 1].at));
  }
  cr_assert(eq(int, peaks, 1));
  cr_assert(eq(i64, kept[n - 1].at, (MANY - 1) * 10));
  free(kept);
  free(t.samples);
}

Test(trace_reports, empty) {
  open_trace("{\"traceEvents\":[]}");
  char *text = NULL;
  size_t size;
  FILE *out = open_memstream(&text, &size);
  report_summary(the_trace, the_figures, out);
  report_path(the_trace, the_figures, 10, out);
  report_table(the_trace, the_figures, REPORT_TEXT, 10, out);
  cr_assert(report_ascii(the_trace, the_figures, (report_window){0, -1}, 100, true, out));
  cr_assert(report_svg(the_trace, the_figures, (report_window){0, -1}, 800, out));
  cr_assert(html_write(the_trace, the_figures, "empty", out));
  fclose(out);
  cr_assert(strstr(text, "0 ops on 0 lanes") != NULL);
  free(text);
  close_trace();
}

static char *written(bool (*write)(FILE *out)) {
  char *text = NULL;
  size_t size;
  FILE *out = open_memstream(&text, &size);
  cr_assert(write(out));
  fclose(out);
  return text;
}

static bool write_summary(FILE *out) { return report_summary(the_trace, the_figures, out), true; }
static bool write_path(FILE *out) { return report_path(the_trace, the_figures, 10, out), true; }
static bool write_json(FILE *out) {
  return report_table(the_trace, the_figures, REPORT_JSON, 10, out), true;
}
static bool write_csv(FILE *out) {
  return report_table(the_trace, the_figures, REPORT_CSV, 10, out), true;
}
static bool write_ascii(FILE *out) {
  return report_ascii(the_trace, the_figures, (report_window){0, -1}, 77, false, out);
}
static bool write_svg(FILE *out) {
  return report_svg(the_trace, the_figures, (report_window){0, -1}, 800, out);
}
static bool write_part(FILE *out) {
  return report_svg(the_trace, the_figures, (report_window){205, 320}, 800, out);
}
static bool write_html(FILE *out) { return html_write(the_trace, the_figures, "the <title>", out); }

/* That what write() writes holds all these texts. */
static void holds(bool (*write)(FILE *out), const char *const *wanted, size_t n) {
  char *text = written(write);
  for (size_t i = 0; i < n; i++)
    cr_assert(strstr(text, wanted[i]) != NULL, "'%s' is missing in:\n%s", wanted[i], text);
  free(text);
}
#define HOLDS(write, ...)                                                                          \
  holds(write, (const char *const[]){__VA_ARGS__},                                                 \
        sizeof((const char *const[]){__VA_ARGS__}) / sizeof(const char *))

Test(trace_reports, texts) {
  open_trace(traces_diamond);
  HOLDS(write_summary, "4 ops on 3 lanes, 4 edges, 1 host waits", "wall time          500 ns",
        "critical path      360 ns   72.0 %", "all ops            460 ns   92.0 %", "th_wait_all",
        "cpu:0 worker 0                   2     200 ns  40.0 %            12.0 %    24.0 %     0.0 "
        "%     0.0 %    24.0 %");
  HOLDS(write_path, "critical path: 3 ops, 360 ns of 500 ns wall time (72.0 %)",
        "mostly add 55.6 %, make 27.8 %, multiply 16.7 %");
  HOLDS(write_csv,
        "name,count,failed,total_ns,mean_ns,min_ns,p50_ns,p99_ns,max_ns,queued_ns,blocked_ns,bytes,"
        "share,gflops,gbs\n",
        "\"add\",2,0,300,150,100,100,200,200,20,185,16,0.652174,0,0\n");
  HOLDS(write_ascii,
        "cpu:0 worker 0           |..........MMMMMMMMMM.AAAAAAAAAA...................|\n",
        "A add (2)  M make (1)  U multiply (1)\n");
  char *text = written(write_json);
  json *table = json_parse(text, strlen(text));
  cr_assert(table != NULL, "%s", text);
  const json *line = json_get(table, "operations")->first;
  cr_assert(eq(str, (char *)json_text(line, "name"), "add"));
  cr_assert(epsilon_eq(dbl, json_number(line, "p99_ns", 0), 200, 0));
  json_free(table);
  free(text);
  close_trace();
}

static bool write_memory(FILE *out) { return report_memory(the_trace, the_figures, 10, out), true; }

Test(trace_reports, rates_and_memory) {
  open_trace(traces_rich);
  HOLDS(write_csv, "\"add\",1,0,100,100,100,100,100,100,100,190,0,0.500000,15,4\n",
        "\"copy\",1,0,100,100,100,100,100,100,100,0,0,0.500000,0,10\n");
  HOLDS(write_summary, " 50.0 %     15.0     4.00\n", " 50.0 %        -     10.0\n");
  HOLDS(write_memory, "memory of cpu:0: at most 2.5 KiB, at 300 ns\n",
        "add                                      2      3.0 KiB      2.0 KiB\n");
  HOLDS(write_html, "\"memory\":[{\"device\":", "\"atPeak\":2048,\"peak\":2560,\"peakAt\":300}",
        "\"gflops\":15,\"gbs\":4}", "waiting for a copy");
  char *text = written(write_json);
  json *table = json_parse(text, strlen(text));
  cr_assert(table != NULL, "%s", text);
  const json *line = json_get(table, "memory")->first;
  cr_assert(eq(str, (char *)json_text(line, "tag"), "add"));
  cr_assert(epsilon_eq(dbl, json_number(line, "at_peak", 0), 2048, 0));
  cr_assert(epsilon_eq(dbl, json_number(json_get(table, "operations")->first, "gflops", 0), 15, 0));
  json_free(table);
  free(text);
  close_trace();
}

Test(trace_reports, svg_is_small_and_always_the_same) {
  open_trace(traces_diamond);
  char *first = written(write_svg), *second = written(write_svg), *part = written(write_part);
  cr_assert(eq(str, first, second));
  cr_assert(lt(sz, strlen(first), 6000));
  cr_assert(strstr(first, "<svg ") == first && strstr(first, "</svg>\n") != NULL);
  cr_assert(strstr(first, "class=\"path\"") != NULL && strstr(first, "class=\"wait\"") != NULL);
  cr_assert(strstr(first, ">make<") != NULL && strstr(part, ">make<") == NULL, "%s", part);
  cr_assert(strstr(part, ">add<") != NULL);
  free(first);
  free(second);
  free(part);
  close_trace();
}

Test(trace_reports, html_holds_all_it_needs) {
  open_trace(traces_diamond);
  char *text = written(write_html);
  cr_assert(strncmp(text, "<!doctype html>", 15) == 0);
  cr_assert(strstr(text, "<title>the &#60;title&#62; - Thrum trace</title>") != NULL);
  cr_assert(strstr(text, "@DATA@") == NULL && strstr(text, "@SCRIPT@") == NULL &&
            strstr(text, "@STYLE@") == NULL);
  cr_assert(strstr(text, "src=") == NULL && strstr(text, "<link") == NULL &&
            strstr(text, "import ") == NULL);
  const char *begin = strstr(text, "id=\"data\">"), *end = strstr(begin, "</script>");
  begin += strlen("id=\"data\">");
  json *data = json_parse(begin, (size_t)(end - begin));
  cr_assert(data != NULL);
  cr_assert(epsilon_eq(dbl, json_number(data, "wall", 0), 500, 0));
  cr_assert(epsilon_eq(dbl, json_number(data, "critical", 0), 360, 0));
  cr_assert(eq(str, (char *)json_text(data, "title"), "the <title>"));
  const json *lengths = json_get(data, "length"); /* make, add, add, multiply: 100 100 200 60 */
  cr_assert(eq(str, (char *)json_text(lengths, "type"), "u1"));
  cr_assert(eq(str, (char *)json_text(lengths, "data"), "ZGTIPA=="));
  cr_assert(eq(str, (char *)json_text(json_get(data, "path"), "data"), "AAID"));
  json_free(data);
  free(text);
  close_trace();
}

Test(trace_reports, names_cannot_break_out) {
  char *hostile = traces_replace(traces_diamond, "\"name\":\"make\"",
                                 "\"name\":\"</script><b>&\\u001b[31m\\\"'\"");
  open_trace(hostile);
  char *html = written(write_html), *svg = written(write_svg), *summary = written(write_summary);
  cr_assert(strstr(html, "</script><b>") == NULL);
  cr_assert(strstr(html, "\\u003c/script\\u003e\\u003cb\\u003e\\u0026\\u001b[31m") != NULL);
  cr_assert(strstr(svg, "</script>") == NULL && strchr(svg, 0x1b) == NULL);
  cr_assert(strchr(summary, 0x1b) == NULL);
  free(html);
  free(svg);
  free(summary);
  free(hostile);
  close_trace();
  /* U+FFFE and U+FFFF, which are no XML; U+FFFD and U+1FFFE are */
  hostile = traces_replace(traces_diamond, "\"name\":\"make\"",
                           "\"name\":\"\\uffffm\xef\xbf\xbe\\ufffd\xf0\x9f\xbf\xbe\"");
  open_trace(hostile);
  svg = written(write_svg);
  cr_assert(strstr(svg, "\xef\xbf\xbe") == NULL && strstr(svg, "\xef\xbf\xbf") == NULL);
  cr_assert(strstr(svg, ">?m?\xef\xbf\xbd\xf0\x9f\xbf\xbe #1") != NULL, "%s", svg);
  free(svg);
  free(hostile);
  close_trace();
}

/* Ranges and waits alone, and with ops: entries of a trace as text, times in us; the op was submitted at 50. */
#define RANGE(ts, dur, name)                                                                       \
  "{\"ph\":\"X\",\"tid\":5,\"ts\":" ts ",\"dur\":" dur ",\"cat\":\"range\",\"name\":\"" name "\"}"
#define WAIT(ts, dur, name)                                                                        \
  "{\"ph\":\"X\",\"tid\":6,\"ts\":" ts ",\"dur\":" dur ",\"cat\":\"wait\",\"name\":\"" name "\"}"
#define ROWS                                                                                       \
  "{\"ph\":\"M\",\"tid\":5,\"name\":\"thread_name\",\"args\":{\"name\":\"host "                    \
  "ranges\",\"kind\":\"ranges\"}},"                                                                \
  "{\"ph\":\"M\",\"tid\":6,\"name\":\"thread_name\",\"args\":{\"name\":\"host "                    \
  "waits\",\"kind\":\"waits\"}},"

#define ADD                                                                                        \
  "{\"ph\":\"X\",\"tid\":1,\"ts\":60,\"dur\":20,\"cat\":\"op\",\"name\":\"add\","                  \
  "\"args\":{\"id\":1,\"ns\":[50000,50000,60000,80000]}}"

static bool write_all_ascii(FILE *out) {
  return report_ascii(the_trace, the_figures, (report_window){-1, -1}, 77, false, out);
}
static bool write_all_svg(FILE *out) {
  return report_svg(the_trace, the_figures, (report_window){-1, -1}, 800, out);
}

Test(trace_reports, without_ops_the_rest_is_shown) {
  open_trace(
      "{\"traceEvents\":[" ROWS RANGE("10", "90", "epoch") "," WAIT("60", "50", "th_wait") "]}");
  cr_assert(eq(i64, the_figures->begin, 10000));
  cr_assert(eq(i64, the_figures->end, 110000));
  HOLDS(write_summary, "0 ops on 2 lanes, 0 edges, 1 host waits", "wall time          100 us",
        "th_wait ");
  HOLDS(write_all_ascii,
        "host ranges              |=============================================.....|\n",
        "host waits               |.........................-------------------------|\n");
  HOLDS(write_all_svg, ">epoch</text>",
        "<rect class=\"range\" x=\"150.0\" y=\"36\" width=\"576.0\"",
        "<rect class=\"wait\" x=\"470.0\" y=\"67\" width=\"320.0\"", ">100 us</text>");
  HOLDS(write_html, "\"ops\":0,\"wall\":100000,\"from\":0,\"to\":100000,");
  close_trace();
  open_trace("{\"traceEvents\":[{\"ph\":\"C\",\"tid\":0,\"name\":\"live\",\"args\":{\"value\":1},"
             "\"ts\":4},"
             "{\"ph\":\"C\",\"tid\":0,\"name\":\"live\",\"args\":{\"value\":2},\"ts\":9}]}");
  HOLDS(write_html, "\"ops\":0,\"wall\":5000,\"from\":0,\"to\":5000,");
  close_trace();
}

Test(trace_reports, pictures_show_the_ranges_around_the_ops) {
  open_trace("{\"traceEvents\":[" ROWS RANGE("10", "90", "epoch") "," ADD "," WAIT("70", "50",
                                                                                   "th_wait") "]}");
  const figures *f = the_figures; /* are of the ops, as without the range */
  cr_assert(eq(i64, f->begin, 50000));
  cr_assert(eq(i64, f->end, 80000));
  cr_assert(eq(i64, f->shown_begin, 10000));
  cr_assert(eq(i64, f->shown_end, 100000));
  HOLDS(write_summary, "wall time         30.0 us", " 66.7 %");
  HOLDS(write_all_ascii, "|-40.0 us", "50.0 us|  one column = 1.80 us",
        "host ranges              |==================================================|\n");
  HOLDS(write_ascii, "|0 ns", "50.0 us|  one column = 1.00 us",
        "row 1                    |..........AAAAAAAAAAAAAAAAAAAA....................|\n");
  HOLDS(write_all_svg, "<rect class=\"range\" x=\"150.0\" y=\"36\" width=\"640.0\"",
        ">-40 us</text>", ">0 us</text>");
  HOLDS(write_html, "\"wall\":30000,\"from\":-40000,\"to\":50000,");
  close_trace();
}

Test(trace_reports, the_busiest_stretch) {
  enum { MANY = 40 };
  char text[16384] = "{\"traceEvents\":[";
  for (int i = 0; i < MANY; i++) { /* 1 us each, and one second between them, but for five */
    size_t n = strlen(text);
    long long at = 1000000000LL * i - (i >= 20 && i < 25 ? (i - 20) * 999997000LL : 0);
    snprintf(text + n, sizeof text - n,
             "%s{\"ph\":\"X\",\"tid\":1,\"ts\":%lld.000,\"dur\":1,\"cat\":\"op\",\"name\":\"f\","
             "\"args\":{\"id\":%d,\"ns\":[0,0,%lld,%lld]}}",
             i == 0 ? "" : ",", at / 1000, i + 1, at, at + 1000);
  }
  strcat(text, "]}");
  open_trace(text);
  int64_t burst = 20000000000;
  cr_assert(eq(i64, figures_busiest(the_trace, the_figures, 13000), burst));
  cr_assert(eq(i64, figures_busiest(the_trace, the_figures, 5000), burst));
  cr_assert(eq(i64, figures_busiest(the_trace, the_figures, INT64_C(39000001000)), 0));
  cr_assert(eq(i64, figures_busiest(the_trace, the_figures, INT64_C(9000000000000000)), 0));
  int64_t from = figures_busiest(the_trace, the_figures, 1000000000);
  cr_assert(le(i64, from, burst));
  cr_assert(gt(i64, from + 1000000000, burst + 12000));
  close_trace();
}

Test(trace_reports, times) {
  static const struct {
    int64_t ns;
    const char *text;
  } cases[] = {{0, "0 ns"},         {999, "999 ns"},
               {1000, "1.00 us"},   {999499, "999 us"},
               {999960, "1.00 ms"}, {12345, "12.3 us"},
               {99960, "100 us"},   {1234567890, "1.23 s"},
               {-1500, "-1.50 us"}, {INT64_MAX, "9223372037 s"}};
  char out[TEXT_TIME];
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    cr_assert(eq(str, (char *)text_time(cases[i].ns, out), (char *)cases[i].text));
}
