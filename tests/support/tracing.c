/* Owns the helpers of the trace tests, the schema check among them. */
#include "support/tracing.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/thread.h"

void tracing_use_ns(void) { th__store(&th__trace_clock, 2, TH__RELAXED); }

uint64_t tracing_start(uint32_t what, int64_t span) {
  if (th_profile_start(what) != TH_OK) return 0;
  uint64_t start = th__ticks();
  th__sleep_ns(span);
  return start;
}

void tracing_task(uint64_t id, const char *name, int worker, uint64_t started, uint64_t finished) {
  th__trace_task task = {.id = id,
                         .ref = id,
                         .name = name,
                         .submitted = started,
                         .ready = started,
                         .started = started,
                         .finished = finished,
                         .lane = worker,
                         .n_reads = 1,
                         .n_writes = 1};
  th__trace_task_done(&task);
}

void tracing_task_behind(uint64_t id, const char *name, uint64_t started, uint64_t finished,
                         uint64_t first, uint64_t second) {
  const uint64_t edges[] = {first, second};
  th__trace_task task = {.id = id,
                         .ref = id,
                         .name = name,
                         .submitted = started,
                         .ready = started,
                         .started = started,
                         .finished = finished,
                         .lane = 1,
                         .edges = edges,
                         .n_edges = 2};
  th__trace_task_done(&task);
}

char *tracing_text(th_status (*write)(FILE *out)) {
  char *text = NULL;
  size_t size = 0;
  FILE *out = open_memstream(&text, &size);
  th_status status = out == NULL ? TH_EIO : write(out);
  if (out != NULL) fclose(out);
  if (status == TH_OK) return text;
  free(text);
  return NULL;
}

th_status tracing_ascii(FILE *out) { return th_profile_ascii(out, 100); }

json *tracing_json(void) {
  char *text = tracing_text(th_profile_write);
  json *trace = text == NULL ? NULL : json_parse(text, strlen(text));
  free(text);
  return trace;
}

static const json *first_event(const json *trace) {
  const json *list = json_get(trace, "traceEvents");
  return list == NULL || list->kind != JSON_LIST ? NULL : list->first;
}

const json *tracing_find(const json *trace, const char *ph, const char *name) {
  for (const json *e = first_event(trace); e != NULL; e = e->next)
    if (strcmp(json_text(e, "ph"), ph) == 0 &&
        (name == NULL || strcmp(json_text(e, "name"), name) == 0))
      return e;
  return NULL;
}

int tracing_count(const json *trace, const char *ph) {
  int n = 0;
  for (const json *e = first_event(trace); e != NULL; e = e->next)
    n += strcmp(json_text(e, "ph"), ph) == 0;
  return n;
}

const char *tracing_row(const json *trace, const json *event) {
  double tid = json_number(event, "tid", -1);
  for (const json *e = first_event(trace); e != NULL; e = e->next)
    if (strcmp(json_text(e, "ph"), "M") == 0 && strcmp(json_text(e, "name"), "thread_name") == 0 &&
        fabs(json_number(e, "tid", -2) - tid) < 0.5)
      return json_text(json_get(e, "args"), "name");
  return "";
}

/* Exact in ns: times are written with three decimals of a microsecond. */
static int64_t ns_of(const json *event, const char *key) {
  return (int64_t)llround(json_number(event, key, -1e9) * 1000);
}

enum { MOST_ROWS = 4096, MOST_OPEN = 64, MOST_FLOWS = 65536 };

typedef struct open_row {
  int64_t ends[MOST_OPEN];
  int depth;
} open_row;

static const char *check_span(open_row *rows, const json *e) {
  int tid = (int)json_number(e, "tid", -1);
  int64_t start = ns_of(e, "ts"), length = ns_of(e, "dur");
  if (length < 0) return "X without dur >= 0";
  if (tid <= 0 || tid >= MOST_ROWS) return "X with an odd tid";
  open_row *row = &rows[tid];
  while (row->depth > 0 && row->ends[row->depth - 1] <= start) row->depth--;
  if (row->depth > 0 && start + length > row->ends[row->depth - 1])
    return "events of one row overlap without nesting";
  if (row->depth == MOST_OPEN) return "nesting too deep";
  row->ends[row->depth++] = start + length;
  return "";
}

/* A begin comes before its end, each exactly once. states: 0 unseen, 1 begun, 2 ended. */
static const char *check_flow(char *states, const json *e, bool begin) {
  double id = json_number(e, "id", -1);
  if (id < 0 || id >= MOST_FLOWS) return "flow with an odd id";
  if (states[(int)id] != (begin ? 0 : 1)) return "flow begun or ended out of turn";
  if (!begin && strcmp(json_text(e, "bp"), "e") != 0) return "flow end does not bind to its slice";
  states[(int)id]++;
  return "";
}

static const char *check_event(const json *trace, const json *e, open_row *rows, char *flows,
                               int64_t *last) {
  const char *ph = json_text(e, "ph");
  if (json_get(e, "name") == NULL) return "event without name";
  if (fabs(json_number(e, "pid", -1) - 1) > 0.5) return "event without pid";
  if (json_number(e, "tid", -1) < 0) return "event without tid";
  if (strcmp(ph, "M") == 0) return "";
  int64_t at = ns_of(e, "ts");
  if (at < 0) return "event without ts";
  if (at < *last) return "events out of order";
  *last = at;
  if (strcmp(ph, "C") == 0)
    return json_get(json_get(e, "args"), "value") == NULL ? "counter without value" : "";
  if (tracing_row(trace, e)[0] == 0) return "row without a name";
  if (strcmp(ph, "X") == 0) return check_span(rows, e);
  if (strcmp(ph, "s") == 0 || strcmp(ph, "f") == 0) return check_flow(flows, e, *ph == 's');
  return "event of an unknown phase";
}

const char *tracing_check(const json *trace) {
  if (trace == NULL) return "not JSON";
  if (json_get(trace, "traceEvents") == NULL) return "no traceEvents";
  open_row *rows = calloc(MOST_ROWS, sizeof(*rows));
  char *flows = calloc(1, MOST_FLOWS);
  const char *wrong = rows == NULL || flows == NULL ? "no memory" : "";
  int64_t last = 0;
  for (const json *e = first_event(trace); e != NULL && wrong[0] == 0; e = e->next)
    wrong = check_event(trace, e, rows, flows, &last);
  for (int i = 0; i < MOST_FLOWS && wrong[0] == 0; i++)
    if (flows[i] == 1) wrong = "flow without an end";
  free(rows);
  free(flows);
  return wrong;
}
