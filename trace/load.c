/* Owns reading the Chrome trace format as far as the library writes it. Unknown keys are passed over, as the format demands; a
 * known one of the wrong kind, or an op without its stamps, refuses the file. */
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "trace/scan.h"
#include "trace/trace.h"

enum { MOST_TID = 65535, TEXT = TRACE_NAME };

/* One entry of traceEvents, as it stands in the file. */
typedef struct entry {
  char ph[8], name[TEXT], cat[16];
  double ts, dur, tid;
  uint64_t flow;
  bool has_ts, has_dur, has_tid, has_flow;
  struct { /* args */
    uint64_t id;
    int64_t ns[STAMPS], bytes, value, flops, moved, starved;
    int n_ns;
    bool has_id, has_value, has_flops, has_moved, has_starved, copies;
    uint32_t reads, writes;
    char status[12], name[TEXT], kind[12], lane[TEXT], device[64], note[TEXT];
    size_t first_after, n_after;
  } args;
} entry;

typedef struct loader {
  trace *t;
  scanner scan;
  entry e;
  size_t room_ops, room_after, room_waits, room_ranges, room_samples, room_flows, room_rows,
      room_lanes, room_names, room_memory;
  uint32_t *row_of; /* [MOST_TID + 1] index + 1, 0 = none yet */
  uint32_t *slots;  /* of names: open addressing, index + 1 */
  size_t n_slots;
  bool has_events, no_memory;
} loader;

static bool out_of_memory(loader *l) {
  l->no_memory = true;
  return scan_refuse(&l->scan, "out of memory");
}

/* Makes room for one more item behind n. */
static bool grow(loader *l, void *array, size_t *room, size_t n, size_t item) {
  if (n < *room) return true;
  size_t more = *room < 64 ? 64 : *room * 2;
  void *old; /* array points to a pointer of any type, which only memcpy may touch as another */
  memcpy(&old, array, sizeof old);
  void *grown = realloc(old, more * item);
  if (grown == NULL) return out_of_memory(l);
  memcpy(array, &grown, sizeof grown);
  *room = more;
  return true;
}

/* --- names, rows, lanes --- */

static size_t slot_of(const loader *l, const char *text) {
  uint64_t h = 14695981039346656037u; /* FNV-1a */
  for (const char *s = text; *s != 0; s++) h = (h ^ (uint8_t)*s) * 1099511628211u;
  size_t i = (h ^ h >> 32) & (l->n_slots - 1);
  while (l->slots[i] != 0 && strcmp(l->t->names[l->slots[i] - 1], text) != 0)
    i = (i + 1) & (l->n_slots - 1);
  return i;
}

static bool rehash(loader *l) {
  if (l->t->n_names * 2 < l->n_slots) return true;
  size_t more = l->n_slots == 0 ? 256 : l->n_slots * 2;
  uint32_t *slots = calloc(more, sizeof *slots);
  if (slots == NULL) return out_of_memory(l);
  free(l->slots);
  l->slots = slots;
  l->n_slots = more;
  for (size_t i = 0; i < l->t->n_names; i++) slots[slot_of(l, l->t->names[i])] = (uint32_t)(i + 1);
  return true;
}

/* Index of a name; false when out of memory. */
static bool intern(loader *l, const char *text, uint32_t *index) {
  trace *t = l->t;
  if (!rehash(l)) return false;
  size_t slot = slot_of(l, text);
  if (l->slots[slot] == 0) {
    if (!grow(l, &t->names, &l->room_names, t->n_names, sizeof *t->names)) return false;
    char *copy = strdup(text);
    if (copy == NULL) return out_of_memory(l);
    t->names[t->n_names++] = copy;
    l->slots[slot] = (uint32_t)t->n_names;
  }
  *index = l->slots[slot] - 1;
  return true;
}

/* "cpu:0" of "cpu:0 worker 1". */
static bool device_of(loader *l, const char *lane, uint32_t *device) {
  char text[TEXT];
  snprintf(text, sizeof text, "%.*s", (int)strcspn(lane, " "), lane);
  return intern(l, text, device);
}

static bool lane_of(loader *l, trace_row *row, const char *label) {
  trace *t = l->t;
  for (row->lane = 0; row->lane < t->n_lanes; row->lane++)
    if (strcmp(t->lanes[row->lane].label, label) == 0) return true;
  if (!grow(l, &t->lanes, &l->room_lanes, t->n_lanes, sizeof *t->lanes)) return false;
  trace_lane *lane = &t->lanes[t->n_lanes];
  lane->kind = row->kind >= ROW_HOST ? ROW_HOST : row->kind;
  lane->device = 0;
  if (lane->kind != ROW_HOST && !device_of(l, label, &lane->device)) return false;
  lane->label = strdup(label);
  if (lane->label == NULL) return out_of_memory(l);
  t->n_lanes++;
  return true;
}

/* The row of the entry's tid, made when it is new. */
static bool row_of(loader *l, uint32_t *index) {
  trace *t = l->t;
  if (!l->e.has_tid || !(l->e.tid >= 0 && l->e.tid <= MOST_TID))
    return scan_refuse(&l->scan, "an entry whose tid is none of 0 to 65535");
  uint32_t tid = (uint32_t)l->e.tid;
  if (l->row_of[tid] == 0) {
    if (t->n_rows == TRACE_ROWS) return scan_refuse(&l->scan, "too many rows");
    if (!grow(l, &t->rows, &l->room_rows, t->n_rows, sizeof *t->rows)) return false;
    t->rows[t->n_rows] = (trace_row){.tid = tid, .kind = ROW_HOST};
    l->row_of[tid] = (uint32_t)++t->n_rows;
  }
  *index = l->row_of[tid] - 1;
  return true;
}

static bool name_row(loader *l) {
  static const char *const kinds[] = {"worker", "lane", "host", "waits", "ranges"};
  uint32_t index;
  if (!row_of(l, &index)) return false;
  trace_row *row = &l->t->rows[index];
  if (row->label != NULL) return scan_refuse(&l->scan, "a row with two names");
  for (int i = 0; i < 5; i++)
    if (strcmp(l->e.args.kind, kinds[i]) == 0) row->kind = (trace_row_kind)i;
  row->used = row->used || row->kind <= ROW_LANE; /* a lane without ops is idle, not absent */
  row->label = strdup(l->e.args.name);
  if (row->label == NULL) return out_of_memory(l);
  return lane_of(l, row, l->e.args.lane[0] != 0 ? l->e.args.lane : l->e.args.name);
}

/* --- entries --- */

/* Microseconds with decimals to ns. */
static bool to_ns(loader *l, double us, int64_t *ns) {
  if (!(us >= 0 && us < 9e12)) return scan_refuse(&l->scan, "a time out of range");
  *ns = llround(us * 1000);
  return true;
}

static bool span_of(loader *l, int64_t *begin, int64_t *end) {
  if (!l->e.has_ts || !l->e.has_dur) return scan_refuse(&l->scan, "a slice without ts and dur");
  int64_t length = 0;
  if (!to_ns(l, l->e.ts, begin) || !to_ns(l, l->e.dur, &length)) return false;
  *end = *begin + length;
  return true;
}

static bool add_op(loader *l) {
  static const char *const statuses[] = {"ok", "failed", "skipped"};
  trace *t = l->t;
  const entry *e = &l->e;
  if (!e->args.has_id || e->args.n_ns != STAMPS)
    return scan_refuse(&l->scan, "an op without id and four stamps (written by an older version?)");
  if (!grow(l, &t->ops, &l->room_ops, t->n_ops, sizeof *t->ops)) return false;
  trace_op o = {.id = e->args.id,
                .bytes = e->args.bytes,
                .first_after = e->args.first_after,
                .n_after = (uint32_t)e->args.n_after,
                .reads = e->args.reads,
                .writes = e->args.writes,
                .copies = e->args.copies};
  o.flops = e->args.has_flops && e->args.has_moved ? e->args.flops : -1;
  o.moved = e->args.has_flops && e->args.has_moved ? e->args.moved : -1;
  o.starved = e->args.has_starved ? e->args.starved : -1;
  memcpy(o.stamps, e->args.ns, sizeof o.stamps);
  for (uint8_t i = 0; i < 3; i++)
    if (strcmp(e->args.status, statuses[i]) == 0) o.status = i;
  if (!span_of(l, &o.begin, &o.end) || !row_of(l, &o.row) || !intern(l, e->name, &o.name) ||
      !intern(l, e->args.note, &o.note))
    return false;
  t->rows[o.row].used = true;
  if (e->args.device[0] != 0 && !intern(l, e->args.device, &o.device)) return false;
  t->ops[t->n_ops++] = o;
  return true;
}

static bool add_slice(loader *l) {
  trace *t = l->t;
  if (strcmp(l->e.cat, "op") == 0) return add_op(l);
  trace_wait w;
  if (!span_of(l, &w.begin, &w.end) || !row_of(l, &w.row) || !intern(l, l->e.name, &w.name))
    return false;
  if (strcmp(l->e.cat, "wait") == 0) {
    if (!grow(l, &t->waits, &l->room_waits, t->n_waits, sizeof *t->waits)) return false;
    t->waits[t->n_waits++] = w;
  } else {
    if (!grow(l, &t->ranges, &l->room_ranges, t->n_ranges, sizeof *t->ranges)) return false;
    t->ranges[t->n_ranges++] = (trace_range){w.begin, w.end, w.name, w.row};
  }
  t->rows[w.row].used = true;
  return true;
}

static bool add_flow(loader *l) {
  trace *t = l->t;
  trace_flow f = {.id = l->e.flow, .is_end = l->e.ph[0] == 'f'};
  if (!l->e.has_flow || !l->e.has_ts) return scan_refuse(&l->scan, "an arrow without id and ts");
  if (!to_ns(l, l->e.ts, &f.at)) return false;
  if (!grow(l, &t->flows, &l->room_flows, t->n_flows, sizeof *t->flows)) return false;
  t->flows[t->n_flows++] = f;
  return true;
}

static bool add_sample(loader *l) {
  trace *t = l->t;
  trace_sample s = {.value = l->e.args.value};
  if (!l->e.has_ts || !l->e.args.has_value)
    return scan_refuse(&l->scan, "a counter without ts and value");
  if (!to_ns(l, l->e.ts, &s.at) || !intern(l, l->e.name, &s.name)) return false;
  if (!grow(l, &t->samples, &l->room_samples, t->n_samples, sizeof *t->samples)) return false;
  t->samples[t->n_samples++] = s;
  return true;
}

static bool add_entry(loader *l) {
  const char *ph = l->e.ph;
  if (strcmp(ph, "X") == 0) return add_slice(l);
  if (strcmp(ph, "s") == 0 || strcmp(ph, "f") == 0) return add_flow(l);
  if (strcmp(ph, "C") == 0) return add_sample(l);
  if (strcmp(ph, "M") == 0 && strcmp(l->e.name, "thread_name") == 0) return name_row(l);
  return true; /* other kinds of entries say nothing we show */
}

/* --- the text --- */

/* A value of a known key; false when it is of another kind. */
static bool get_text(loader *l, scan_token token, char *out, size_t bytes) {
  if (token != SCAN_STRING) return scan_refuse(&l->scan, "a text was expected");
  scan_decode(&l->scan, out, bytes);
  return true;
}

static bool get_number(loader *l, scan_token token, double *out) {
  if (token != SCAN_NUMBER) return scan_refuse(&l->scan, "a number was expected");
  *out = scan_number(&l->scan);
  return true;
}

static bool get_unsigned(loader *l, scan_token token, uint64_t *out) {
  if (token == SCAN_NUMBER && scan_unsigned(&l->scan, out)) return true;
  return scan_refuse(&l->scan, "a whole number from 0 to 2^64-1 was expected");
}

static bool get_signed(loader *l, scan_token token, int64_t *out) {
  if (token == SCAN_NUMBER && scan_signed(&l->scan, out)) return true;
  return scan_refuse(&l->scan, "a whole number was expected");
}

static bool get_count(loader *l, scan_token token, uint32_t *out) {
  uint64_t value;
  if (!get_unsigned(l, token, &value)) return false;
  if (value > UINT32_MAX) return scan_refuse(&l->scan, "a count out of range");
  *out = (uint32_t)value;
  return true;
}

static bool get_stamps(loader *l, scan_token token) {
  enum { YEARS = 100 };
  if (token != SCAN_LIST) return scan_refuse(&l->scan, "a list of four stamps was expected");
  l->e.args.n_ns = 0;
  while ((token = scan_next(&l->scan)) != SCAN_LIST_END) {
    int64_t ns;
    if (token == SCAN_ERROR || !get_signed(l, token, &ns)) return false;
    if (l->e.args.n_ns == STAMPS || ns < 0 || ns > YEARS * INT64_C(31556952) * 1000000000)
      return scan_refuse(&l->scan, "stamps out of range");
    l->e.args.ns[l->e.args.n_ns++] = ns;
  }
  return true;
}

static bool get_after(loader *l, scan_token token) {
  trace *t = l->t;
  if (token != SCAN_LIST) return scan_refuse(&l->scan, "a list of ids was expected");
  if (l->e.args.n_after > 0) return scan_refuse(&l->scan, "two lists of predecessors");
  l->e.args.first_after = t->n_after;
  while ((token = scan_next(&l->scan)) != SCAN_LIST_END) {
    uint64_t id;
    if (token == SCAN_ERROR || !get_unsigned(l, token, &id)) return false;
    if (!grow(l, &t->after, &l->room_after, t->n_after, sizeof *t->after)) return false;
    t->after[t->n_after++] = id;
    if (l->e.args.n_after++ == UINT32_MAX) return scan_refuse(&l->scan, "too many predecessors");
  }
  return true;
}

/* A count of something that was done. */
static bool get_amount(loader *l, scan_token token, int64_t *out) {
  if (!get_signed(l, token, out)) return false;
  return *out >= 0 || scan_refuse(&l->scan, "a negative amount");
}

static bool get_flag(loader *l, scan_token token, bool *out) {
  if (token != SCAN_WORD) return scan_refuse(&l->scan, "true or false was expected");
  *out = l->scan.text[0] == 't';
  return true;
}

static bool parse_arg(loader *l) {
  static const char *const keys[] = {"id",     "ns",    "bytes", "value",  "reads",  "writes",
                                     "status", "name",  "kind",  "lane",   "device", "after",
                                     "flops",  "moved", "note",  "copies", "starved"};
  enum { N = sizeof keys / sizeof *keys };
  int key = 0;
  while (key < N && !scan_is(&l->scan, keys[key])) key++;
  scan_token token = scan_next(&l->scan);
  switch (key) {
  case 0: return l->e.args.has_id = get_unsigned(l, token, &l->e.args.id);
  case 1: return get_stamps(l, token);
  case 2: return get_signed(l, token, &l->e.args.bytes);
  case 3: return l->e.args.has_value = get_signed(l, token, &l->e.args.value);
  case 4: return get_count(l, token, &l->e.args.reads);
  case 5: return get_count(l, token, &l->e.args.writes);
  case 6: return get_text(l, token, l->e.args.status, sizeof l->e.args.status);
  case 7: return get_text(l, token, l->e.args.name, sizeof l->e.args.name);
  case 8: return get_text(l, token, l->e.args.kind, sizeof l->e.args.kind);
  case 9: return get_text(l, token, l->e.args.lane, sizeof l->e.args.lane);
  case 10: return get_text(l, token, l->e.args.device, sizeof l->e.args.device);
  case 11: return get_after(l, token);
  case 12: return l->e.args.has_flops = get_amount(l, token, &l->e.args.flops);
  case 13: return l->e.args.has_moved = get_amount(l, token, &l->e.args.moved);
  case 14: return get_text(l, token, l->e.args.note, sizeof l->e.args.note);
  case 15: return get_flag(l, token, &l->e.args.copies);
  case 16: return l->e.args.has_starved = get_amount(l, token, &l->e.args.starved);
  default: return token != SCAN_ERROR && scan_skip(&l->scan, token);
  }
}

static bool parse_args(loader *l, scan_token token) {
  if (token != SCAN_OBJECT) return scan_refuse(&l->scan, "args that are no object");
  while ((token = scan_next(&l->scan)) != SCAN_OBJECT_END)
    if (token == SCAN_ERROR || !parse_arg(l)) return false;
  return true;
}

static bool parse_member(loader *l) {
  static const char *const keys[] = {"ph", "name", "cat", "ts", "dur", "tid", "id", "args"};
  enum { N = sizeof keys / sizeof *keys };
  int key = 0;
  while (key < N && !scan_is(&l->scan, keys[key])) key++;
  scan_token token = scan_next(&l->scan);
  switch (key) {
  case 0: return get_text(l, token, l->e.ph, sizeof l->e.ph);
  case 1: return get_text(l, token, l->e.name, sizeof l->e.name);
  case 2: return get_text(l, token, l->e.cat, sizeof l->e.cat);
  case 3: return l->e.has_ts = get_number(l, token, &l->e.ts);
  case 4: return l->e.has_dur = get_number(l, token, &l->e.dur);
  case 5: return l->e.has_tid = get_number(l, token, &l->e.tid);
  case 6: return l->e.has_flow = get_unsigned(l, token, &l->e.flow);
  case 7: return parse_args(l, token);
  default: return token != SCAN_ERROR && scan_skip(&l->scan, token);
  }
}

static bool parse_events(loader *l, scan_token token) {
  if (token != SCAN_LIST) return scan_refuse(&l->scan, "traceEvents is no list");
  if (l->has_events) return scan_refuse(&l->scan, "two lists of traceEvents");
  l->has_events = true;
  while ((token = scan_next(&l->scan)) != SCAN_LIST_END) {
    if (token != SCAN_OBJECT) return scan_refuse(&l->scan, "an entry that is no object");
    memset(&l->e, 0, sizeof l->e);
    while ((token = scan_next(&l->scan)) != SCAN_OBJECT_END)
      if (token == SCAN_ERROR || !parse_member(l)) return false;
    if (!add_entry(l)) return false;
  }
  return true;
}

static bool parse_memory_line(loader *l) {
  static const char *const keys[] = {"device",  "tag",  "count",  "taken",
                                     "at_peak", "peak", "peak_ns"};
  enum { N = sizeof keys / sizeof *keys };
  trace_memory m = {.tag = 0};
  char text[TEXT];
  scan_token token;
  while ((token = scan_next(&l->scan)) != SCAN_OBJECT_END) {
    if (token == SCAN_ERROR) return false;
    int key = 0;
    while (key < N && !scan_is(&l->scan, keys[key])) key++;
    token = scan_next(&l->scan);
    int64_t *const amounts[] = {&m.taken, &m.at_peak, &m.peak, &m.peak_at};
    bool ok = key < 2 ? get_text(l, token, text, sizeof text) &&
                            intern(l, text, key == 0 ? &m.device : &m.tag)
              : key == 2 ? get_unsigned(l, token, &m.count)
              : key < N  ? get_amount(l, token, amounts[key - 3])
                         : token != SCAN_ERROR && scan_skip(&l->scan, token);
    if (!ok) return false;
  }
  if (!grow(l, &l->t->memory, &l->room_memory, l->t->n_memory, sizeof m)) return false;
  l->t->memory[l->t->n_memory++] = m;
  return true;
}

static bool parse_memory(loader *l, scan_token token) {
  if (token != SCAN_LIST) return scan_refuse(&l->scan, "memory that is no list");
  while ((token = scan_next(&l->scan)) != SCAN_LIST_END) {
    if (token != SCAN_OBJECT) return scan_refuse(&l->scan, "a line of memory that is no object");
    if (!parse_memory_line(l)) return false;
  }
  return true;
}

static bool parse_other(loader *l, scan_token token) {
  if (token != SCAN_OBJECT) return scan_skip(&l->scan, token);
  while ((token = scan_next(&l->scan)) != SCAN_OBJECT_END) {
    if (token == SCAN_ERROR) return false;
    bool version = scan_is(&l->scan, "version"), dropped = scan_is(&l->scan, "dropped");
    bool memory = scan_is(&l->scan, "memory");
    token = scan_next(&l->scan);
    bool ok = token != SCAN_ERROR;
    if (ok && version)
      ok = get_text(l, token, l->t->version, sizeof l->t->version);
    else if (ok && dropped)
      ok = get_unsigned(l, token, &l->t->dropped);
    else if (ok && memory)
      ok = parse_memory(l, token);
    else if (ok)
      ok = scan_skip(&l->scan, token);
    if (!ok) return false;
  }
  return true;
}

static bool parse_all(loader *l) {
  scan_token token = scan_next(&l->scan);
  if (token == SCAN_ERROR) return false;
  if (token != SCAN_OBJECT) return scan_refuse(&l->scan, "no object with traceEvents");
  while ((token = scan_next(&l->scan)) != SCAN_OBJECT_END) {
    if (token == SCAN_ERROR) return false;
    bool events = scan_is(&l->scan, "traceEvents"), other = scan_is(&l->scan, "otherData");
    token = scan_next(&l->scan);
    bool ok = token != SCAN_ERROR && (events  ? parse_events(l, token)
                                      : other ? parse_other(l, token)
                                              : scan_skip(&l->scan, token));
    if (!ok) return false;
  }
  if (scan_next(&l->scan) != SCAN_END) return false;
  return l->has_events || scan_refuse(&l->scan, "no traceEvents");
}

/* --- files --- */

/* Rows that only counters use, or that have no name, still need a label. */
static bool complete_rows(loader *l) {
  for (size_t i = 0; i < l->t->n_rows; i++) {
    trace_row *row = &l->t->rows[i];
    char label[32];
    if (row->label != NULL) continue;
    snprintf(label, sizeof label, "row %u", row->tid);
    row->label = strdup(label);
    if (row->label == NULL || !lane_of(l, row, label)) return out_of_memory(l);
  }
  return true;
}

trace *trace_parse(const char *source, const char *text, size_t size, char *error, size_t bytes) {
  loader l = {.t = calloc(1, sizeof(trace))};
  uint32_t empty;
  l.row_of = calloc(MOST_TID + 1, sizeof *l.row_of);
  scan_begin(&l.scan, text, size);
  bool ok = l.t != NULL && l.row_of != NULL && intern(&l, "", &empty) && parse_all(&l) &&
            complete_rows(&l) && (trace_arrange(l.t) || out_of_memory(&l));
  free(l.row_of);
  free(l.slots);
  if (ok) return l.t;
  trace_free(l.t);
  size_t line = 1;
  for (const char *s = text; s < l.scan.at; s++) line += *s == '\n';
  if (l.no_memory || l.scan.error == NULL) {
    snprintf(error, bytes, "%s: out of memory", source);
  } else {
    snprintf(error, bytes, "%s:%zu: %s", source, line, l.scan.error);
  }
  return NULL;
}

static char *read_all(FILE *in, size_t *size) {
  size_t room = 1 << 16;
  char *text = malloc(room + 1);
  *size = 0;
  while (text != NULL) {
    size_t n = fread(text + *size, 1, room - *size, in);
    *size += n;
    if (n == 0) break;
    if (*size < room) continue;
    char *grown = realloc(text, room * 2 + 1);
    if (grown == NULL) free(text);
    text = grown;
    room *= 2;
  }
  if (text != NULL) text[*size] = 0;
  return text;
}

trace *trace_read(const char *path, char *error, size_t bytes) {
  bool standard = strcmp(path, "-") == 0;
  FILE *in = standard ? stdin : fopen(path, "rb");
  if (in == NULL) {
    snprintf(error, bytes, "%s: %s", path, strerror(errno));
    return NULL;
  }
  size_t size;
  char *text = read_all(in, &size);
  bool failed = ferror(in) != 0;
  int reason = errno;
  if (!standard) fclose(in);
  trace *t = NULL;
  if (text == NULL || failed) {
    snprintf(error, bytes, "%s: %s", path, failed ? strerror(reason) : "out of memory");
  } else {
    t = trace_parse(standard ? "standard input" : path, text, size, error, bytes);
  }
  free(text);
  return t;
}

void trace_free(trace *t) {
  if (t == NULL) return;
  for (size_t i = 0; i < t->n_names; i++) free(t->names[i]);
  for (size_t i = 0; i < t->n_rows; i++) free(t->rows[i].label);
  for (size_t i = 0; i < t->n_lanes; i++) free(t->lanes[i].label);
  void *parts[] = {t->ops,   t->by_id, t->after, t->waited, t->waits,  t->ranges, t->samples,
                   t->flows, t->rows,  t->lanes, t->names,  t->memory, t};
  for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) free(parts[i]);
}
