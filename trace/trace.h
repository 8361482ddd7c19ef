/* A trace as the tools see it: what th_profile_write() put into a file, read back and put in order. Knows the format of the
 * file only, nothing of the library that wrote it. */
#ifndef THRUM_TRACE_TRACE_H
#define THRUM_TRACE_TRACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum {
  TRACE_ROWS = 16384, /* at most */
  TRACE_NAME = 256,   /* bytes kept of a name, terminator included */
  TRACE_ABSENT = -1   /* index of an op that is not in the trace */
};

typedef enum trace_status { TRACE_OK, TRACE_FAILED, TRACE_SKIPPED } trace_status;
typedef enum trace_row_kind {
  ROW_WORKER,
  ROW_LANE,
  ROW_HOST,
  ROW_WAITS,
  ROW_RANGES
} trace_row_kind;
enum { STAMP_SUBMITTED, STAMP_READY, STAMP_STARTED, STAMP_FINISHED, STAMPS };

/* Times are ns since recording began. */
typedef struct trace_op {
  uint64_t id;
  int64_t begin, end;     /* where the slice lies in its row */
  int64_t stamps[STAMPS]; /* as recorded */
  int64_t bytes;
  int64_t flops,
      moved; /* what it did: operations, bytes read and written; -1 = the trace does not say */
  int64_t starved;    /* since when it waited for memory until it started; -1 = it did not */
  int64_t self;       /* end - begin without what nests in it */
  size_t first_after; /* in trace.after: ids it waited for, then, in trace.waited, their indexes */
  uint32_t n_after;
  uint32_t name, row,
      device;    /* device: of the lane it belongs to, also where a host thread ran it */
  uint32_t note; /* index of a name; 0 = none */
  uint32_t reads, writes;
  uint16_t depth; /* how many ops of its row it lies in */
  uint8_t status;
  bool copies;  /* it moves data between devices, or from and to the host */
  bool crosses; /* it begins within an op of its row and ends behind that one */
} trace_op;

typedef struct trace_wait { /* a host thread waited in the call or at the place `name` */
  int64_t begin, end;
  uint32_t name, row;
} trace_wait;

typedef struct trace_range { /* of the program: th_profile_push() to th_profile_pop() */
  int64_t begin, end;
  uint32_t name, row;
} trace_range;

typedef struct trace_sample { /* a counter's value from here on */
  int64_t at, value;
  uint32_t name;
} trace_sample;

/* Memory of a device that ops of a name, or a range, took. All lines of a device have its peak. */
typedef struct trace_memory {
  uint32_t device, tag;   /* indexes of names */
  uint64_t count;         /* blocks */
  int64_t taken, at_peak; /* bytes in all, and of those live when the device held most */
  int64_t peak, peak_at;  /* bytes; ns */
} trace_memory;

typedef struct trace_flow { /* one end of an arrow */
  uint64_t id;
  int64_t at;
  bool is_end;
} trace_flow;

typedef struct trace_row {
  char *label;
  uint32_t lane; /* index in trace.lanes */
  uint32_t tid;
  trace_row_kind kind;
  bool used; /* something lies in it */
} trace_row;

typedef struct trace_lane { /* rows of the same worker, device lane or host thread */
  char *label;
  trace_row_kind kind; /* ROW_HOST also for waits and ranges */
  uint32_t device;     /* index in trace.names; 0 = none */
} trace_lane;

typedef struct trace {
  trace_op *ops; /* in the order of (row, begin, longest first, id) */
  size_t n_ops;
  uint32_t *by_id; /* [n_ops] indexes of ops in the order of ids */
  uint64_t *after; /* [n_after] */
  int64_t *waited; /* [n_after] indexes of ops, TRACE_ABSENT where the file has none of that id */
  size_t n_after;
  trace_wait *waits; /* in the order of (row, begin, longest first) */
  size_t n_waits;
  trace_range *ranges;
  size_t n_ranges;
  trace_sample *samples; /* in the order of the file */
  size_t n_samples;
  trace_flow *flows;
  size_t n_flows;
  trace_memory *memory; /* in the order of the file: by device, what held most at its peak first */
  size_t n_memory;
  trace_row *rows;
  size_t n_rows;
  trace_lane *lanes;
  size_t n_lanes;
  char **names; /* names[0] is "" */
  size_t n_names;
  uint64_t dropped; /* records that the recording had no place for */
  char version[32];
} trace;

/* Reads the file, "-" for the standard input. NULL with a message in error. */
trace *trace_read(const char *path, char *error, size_t bytes);
/* The same from text[0..size), which a byte 0 follows. source: what to call it in messages. */
trace *trace_parse(const char *source, const char *text, size_t size, char *error, size_t bytes);
void trace_free(trace *t);

/* a + b, at the end of the range where that does not fit: files may claim anything. */
static inline int64_t trace_add(int64_t a, int64_t b) {
  int64_t sum;
  return __builtin_add_overflow(a, b, &sum) ? (b < 0 ? INT64_MIN : INT64_MAX) : sum;
}

/* Index of the op with this id, TRACE_ABSENT if none. */
int64_t trace_find(const trace *t, uint64_t id);

/* --- arrange.c, for load.c only --- */
/* Sorts, nests, resolves ids. False when out of memory. */
bool trace_arrange(trace *t);

#endif
