/* Owns the counters of a trace as a picture needs them: by name, in the order of time, no more than can be told apart. */
#include <stdlib.h>
#include <string.h>

#include "trace/figures.h"

enum { BUCKETS = 1500, ALL_BELOW = 2 * BUCKETS };

static int by_name_and_time(const void *a, const void *b) {
  const trace_sample *x = a, *y = b;
  if (x->name != y->name) return x->name < y->name ? -1 : 1;
  return (x->at > y->at) - (x->at < y->at);
}

static size_t bucket_of(const trace_sample *first, const trace_sample *last, int64_t at) {
  double span = (double)(last->at - first->at) + 1;
  return (size_t)((double)(at - first->at) / span * BUCKETS);
}

/* Keeps, of each bucket of time, the largest value and the last one. In place; returns how many are left. */
static size_t thin(trace_sample *samples, size_t n) {
  trace_sample begin = samples[0], end = samples[n - 1];
  size_t kept = 0;
  for (size_t first = 0, next; first < n; first = next) {
    size_t bucket = bucket_of(&begin, &end, samples[first].at), most = first;
    for (next = first; next < n && bucket_of(&begin, &end, samples[next].at) == bucket; next++)
      if (samples[next].value > samples[most].value) most = next;
    trace_sample largest = samples[most], last = samples[next - 1];
    samples[kept++] = largest;
    if (most + 1 < next) samples[kept++] = last;
  }
  return kept;
}

trace_sample *figures_counters(const trace *t, size_t *n) {
  trace_sample *all = malloc((t->n_samples + 1) * sizeof *all);
  *n = 0;
  if (all == NULL) return NULL;
  if (t->n_samples > 0) memcpy(all, t->samples, t->n_samples * sizeof *all);
  qsort(all, t->n_samples, sizeof *all, by_name_and_time);
  for (size_t first = 0, next; first < t->n_samples; first = next) {
    for (next = first; next < t->n_samples && all[next].name == all[first].name;) next++;
    size_t length = next - first, left = length < ALL_BELOW ? length : thin(all + first, length);
    memmove(all + *n, all + first, left * sizeof *all);
    *n += left;
  }
  return all;
}
