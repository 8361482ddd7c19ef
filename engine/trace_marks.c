/* Owns what a program says about itself in a trace: ranges, and where it waits. All of it is the calling thread's own. */
#include "engine/trace_marks.h"

#include <stdio.h>
#include <string.h>

#include "engine/state.h"
#include "engine/trace.h"

enum { MOST_RANGES = 64 };

static __thread struct {
  struct {
    const char *name;
    uint64_t begin; /* th__ticks(); 0 = not recorded */
  } open[MOST_RANGES];
  uint32_t depth; /* may be more than there are places */
} ranges;

static __thread struct {
  const char *call, *file; /* call NULL: nothing was said */
  int line;
  char text[160];
} site;

void th_profile_push(const char *name) {
  uint32_t i = ranges.depth++;
  if (i >= MOST_RANGES) return;
  ranges.open[i].name = name;
  ranges.open[i].begin = th__trace_on(TH_PROFILE_RANGES) ? th__ticks() : 0;
}

void th_profile_pop(void) {
  if (ranges.depth == 0) return;
  uint32_t i = --ranges.depth;
  if (i >= MOST_RANGES || ranges.open[i].begin == 0 || !th__trace_on(TH_PROFILE_RANGES)) return;
  th__trace_range(ranges.open[i].name, ranges.open[i].begin, th__ticks());
}

const char *th__trace_range_now(void) {
  uint32_t i = ranges.depth;
  return i == 0 || i > MOST_RANGES ? NULL : ranges.open[i - 1].name;
}

void th_profile_work(th_task_context *context, int64_t flops, int64_t bytes, const char *note) {
  if (context != NULL && th__trace_on(TH_PROFILE_OPS))
    th__trace_work(th__load(&context->task->sequence, TH__RELAXED), flops, bytes, note);
}

bool th_profile_shapes(void) { return th__trace_on(TH_PROFILE_SHAPES); }

void th_profile_site(const char *call, const char *file, int line) {
  site.call = call;
  site.file = file;
  site.line = line;
}

const char *th__trace_site(const char *where) {
  const char *call = site.call, *file = site.file;
  site.call = NULL;
  if (call == NULL || file == NULL || where == NULL || strcmp(call, where) != 0) return where;
  const char *slash = strrchr(file, '/');
  snprintf(site.text, sizeof(site.text), "%s at %s:%d", where, slash == NULL ? file : slash + 1,
           site.line);
  return site.text;
}
