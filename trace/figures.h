/* What a trace says in numbers: the one source of the summary, the tables and the HTML page. */
#ifndef THRUM_TRACE_FIGURES_H
#define THRUM_TRACE_FIGURES_H

#include "trace/trace.h"

enum { FIGURES_SLICES = 120 }; /* of the time axis */

/* Why a lane that could have worked did not; what comes first counts where several are true. */
typedef enum idle_cause {
  IDLE_QUEUED,  /* an op was ready: waking up, or on its way from a queue */
  IDLE_MEMORY,  /* an op was ready and found no memory */
  IDLE_COPY,    /* ops were pending, and one of them waited for a copy */
  IDLE_BLOCKED, /* ops were pending, and all of them waited for others */
  IDLE_NOTHING, /* every op submitted so far was running or done */
  IDLE_CAUSES
} idle_cause;
/* As columns and in words. */
extern const char *const idle_names[IDLE_CAUSES], *const idle_texts[IDLE_CAUSES];

typedef struct lane_figures {
  int64_t busy; /* ns with an op */
  int64_t
      idle[IDLE_CAUSES]; /* zeros for host threads: what they do otherwise is not the engine's */
  size_t ops;
} lane_figures;

/* One line of the table: all ops, or all host waits, of a name. */
typedef struct name_figures {
  uint32_t name;
  size_t count, failed;
  int64_t total, least, p50, p99, most;
  int64_t queued;  /* from ready to started, summed up */
  int64_t blocked; /* from submitted to ready, summed up */
  int64_t bytes;
  double flops, moved; /* of the ops that tell, and */
  int64_t known;       /* the time these took */
} name_figures;

typedef struct figures {
  /* First submission to last end of an op: what all figures are of, and from where times are shown. Without ops, all of the waits,
   * ranges and counters; equal when there is nothing at all. */
  int64_t begin, end;
  int64_t shown_begin, shown_end; /* what pictures show: also ranges and waits around that */
  size_t failed, skipped, n_edges, n_lost_edges; /* lost: one of both ops is not in the trace */
  int64_t sum;      /* own time of all ops: with one worker it could not be less */
  int64_t critical; /* the longest chain through the recorded edges */
  uint32_t *path;   /* [n_path] its ops, first to last */
  size_t n_path;
  lane_figures *lanes;             /* [trace.n_lanes] */
  double parallel[FIGURES_SLICES]; /* ops running at the same time, mean of each slice */
  double most_parallel;            /* of the slices */
  name_figures *names;             /* of ops, longest total first */
  size_t n_names;
  name_figures *waits; /* of host waits, the same */
  size_t n_waits;
  int64_t waited; /* by host threads, all together */
} figures;

/* NULL when out of memory. */
figures *figures_make(const trace *t);
void figures_free(figures *f);

/* Where the stretch of so many ns begins in which most is going on; relative to f->begin. -1 when out of memory. */
int64_t figures_busiest(const trace *t, const figures *f, int64_t stretch);

/* The counters by name and time, thinned to some thousand values each; the caller frees them. NULL when out of memory. */
trace_sample *figures_counters(const trace *t, size_t *n);

/* flops or bytes per ns: in GFLOP/s, GB/s. 0 where nothing is known. */
static inline double figures_rate(double amount, int64_t ns) {
  return ns > 0 ? amount / (double)ns : 0;
}

/* --- idle.c, for figures.c only --- */
/* Fills f->lanes and f->parallel. False when out of memory. */
bool figures_lanes(const trace *t, figures *f);

#endif
