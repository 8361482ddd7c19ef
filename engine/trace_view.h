/* What was recorded, copied out, converted to ns and laid out in rows: the one source of all ways to show a trace. */
#ifndef THRUM_ENGINE_TRACE_VIEW_H
#define THRUM_ENGINE_TRACE_VIEW_H

#include "engine/trace.h"

enum { TH__TRACE_NAME = 200 }; /* bytes kept of a name, terminator included */

typedef enum th__trace_kind {
  TH__TRACE_TASK,
  TH__TRACE_WAIT,
  TH__TRACE_COUNTER,
  TH__TRACE_RANGE
} th__trace_kind;

/* The rows of a host thread, from top to bottom: the lowest bits of their keys. */
enum { TH__TRACE_RANGES, TH__TRACE_OPS, TH__TRACE_WAITS };

typedef struct th__trace_pair {
  uint64_t from, to; /* task ids */
} th__trace_pair;

/* A task, wait or range in a view; times in ns since recording started, submitted <= ready <= started <= finished. */
typedef struct th__trace_event {
  uint64_t id, ref;
  int64_t submitted, ready, started, finished, bytes;
  int64_t flops, moved; /* -1 = not known */
  int64_t starved;      /* since when it waited for memory until it began; -1 = it did not */
  int64_t began, ended; /* started and finished as stamped; the others may move for the picture */
  uint64_t key;         /* of its lane or thread; rows are in the order of keys */
  uint32_t name;
  uint32_t note; /* index of a name; UINT32_MAX = none */
  int32_t row;   /* index of a th__trace_row */
  int32_t depth; /* how many events of the same row it lies in */
  uint16_t n_reads, n_writes;
  uint8_t kind, status;
  uint8_t device_kind, device_index;
  bool copies; /* moves data between devices or from and to the host */
} th__trace_event;

typedef struct th__trace_sample { /* one value of a counter */
  int64_t at, value;
  uint32_t name;
} th__trace_sample;

typedef struct th__trace_tag { /* memory of a device that tasks of a name, or a range, took */
  uint32_t name;
  uint64_t count;        /* blocks taken */
  int64_t taken;         /* their bytes */
  int64_t live;          /* when the device held most */
  int64_t peak, peak_at; /* of the device: bytes, and when */
  uint8_t device_kind, device_index;
} th__trace_tag;

/* A line of the picture: events in it nest or follow each other. A lane whose events overlap otherwise (tasks that foreign code
 * completes) takes several rows. */
typedef struct th__trace_row {
  uint64_t key;
  int sub;          /* 0, or the number of the extra row */
  const char *kind; /* "worker", "lane", "host", "waits" or "ranges" */
  char lane[48];    /* what the rows of one lane, or of one host thread, have in common */
  char label[64];
} th__trace_row;

typedef struct th__trace_view {
  uint32_t what; /* TH_PROFILE_* that were recorded */
  uint64_t dropped;
  th__trace_event *events; /* in the order of (started, key, depth) */
  size_t n_events;
  th__trace_pair *pairs;
  size_t n_pairs;
  th__trace_sample *samples; /* in the order of time */
  size_t n_samples;
  th__trace_row *rows;
  size_t n_rows;
  th__trace_tag *tags; /* in the order of (device, live) */
  size_t n_tags;
  const char **names; /* texts stay valid until the engine stops */
  size_t n_names;
} th__trace_view;

/* Fills *out; every part may be empty. TH_ENOMEM, TH_EFORK. Recording may go on meanwhile. */
th_status th__trace_view_make(th__trace_view *out);
void th__trace_view_free(th__trace_view *view);

/* The key of a worker or, from TH__TRACE_LANES on, a lane of a device. */
static inline uint64_t th__trace_key(int device_kind, int device_index, int lane) {
  return (uint64_t)device_kind << 40 | (uint64_t)device_index << 32 | (uint32_t)lane;
}

/* --- trace_collect.c, for trace_view.c only --- */
/* Copies events, pairs and samples of the running or last recording into *out: raw stamps converted, rows not yet laid out. */
th_status th__trace_collect(th__trace_view *out);

/* --- trace.c, for profile.c only --- */
th_status th__trace_begin(
    uint32_t what); /* opens a new session: what was recorded before is gone */
th_status th__trace_end(void);

/* --- trace_memory.c, for trace_collect.c only --- */
struct th__trace_change;
/* Sums blocks up by device and by who took them; times are in ns. Sorts them. */
th_status th__trace_sum_memory(th__trace_view *view, struct th__trace_change *blocks, size_t n);

/* --- trace_view.c --- */
/* Lays events out in rows; names the rows. */
th_status th__trace_layout(th__trace_view *view);
/* "12.3 us" and the like; returns buffer. Never depends on the locale. */
const char *th__trace_time_text(int64_t ns, char *buffer, size_t bytes);

/* --- trace_chrome.c --- */
th_status th__trace_write_chrome(const th__trace_view *view, FILE *out);

#endif
