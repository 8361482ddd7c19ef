/* Owns the generators of the benchmark's graphs. All are the same in every run and on every machine.
 *
 * Random numbers: state = state * 6364136223846793005 + 1442695040888963407 (mod 2^64) from state 12345; each draw is
 * (state >> 33) mod range. GRAPH_RANDOM draws three variables per operation: read, read, write; PATTERN_RANDOM three
 * points; a draw equal to an earlier one of the same operation is repeated. */
#include "common/engine_graph.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

const char *const graph_names[GRAPH_CASES] = {
    "independent",     "chain",          "fanout8",           "random",
    "pattern_trivial", "pattern_chain",  "pattern_stencil",   "pattern_fft",
    "pattern_tree",    "pattern_random", "pattern_all_to_all"};

long graph_iterations;
static atomic_long counted;

void graph_work(void) {
  if (graph_iterations > 0) {
    bench_spin(graph_iterations);
  } else {
    atomic_fetch_add(&counted, 1);
  }
}

long graph_counted(void) { return atomic_load(&counted); }

static uint64_t state;

/* Three different numbers below range. */
static void draw3(int32_t v[3], int range) {
  for (int k = 0; k < 3;) {
    state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    v[k] = (int32_t)((state >> 33) % (uint64_t)range);
    bool repeated = (k > 0 && v[k] == v[0]) || (k > 1 && v[k] == v[1]);
    if (!repeated) k++;
  }
}

static void make_main(graph *g) {
  int64_t used = 0;
  for (long i = 0; i < g->n; i++) {
    graph_node *node = &g->nodes[i];
    *node = (graph_node){.first = used, .write = 0};
    int32_t v[3];
    switch (g->which) {
    case GRAPH_INDEPENDENT: node->write = (int32_t)i; break;
    case GRAPH_FANOUT8:
      if (i % (GRAPH_FANOUT + 1) == 0) break;
      g->reads[used] = 0;
      node->n_reads = 1, node->write = -1;
      break;
    case GRAPH_RANDOM:
      draw3(v, GRAPH_VARIABLES);
      g->reads[used] = v[0], g->reads[used + 1] = v[1];
      node->n_reads = 2, node->write = v[2];
      break;
    default: break;
    }
    used += node->n_reads;
  }
}

/* Which points of the step before point i of step t reads; the number of them. */
static int pattern_points(graph_case which, long t, int i, int32_t points[GRAPH_WIDTH]) {
  int n = 0, distance = 1 << (t % 5);
  _Static_assert(GRAPH_WIDTH == 1 << 5, "distances run through log2 of the width");
  switch (which) {
  case PATTERN_CHAIN: points[n++] = i; break;
  case PATTERN_STENCIL: distance = 1; /* fall through */
  case PATTERN_FFT:
    points[n++] = i;
    if (i - distance >= 0) points[n++] = i - distance;
    if (i + distance < GRAPH_WIDTH) points[n++] = i + distance;
    break;
  case PATTERN_TREE: points[n++] = i / 2; break;
  case PATTERN_RANDOM: draw3(points, GRAPH_WIDTH), n = 3; break;
  case PATTERN_ALL_TO_ALL:
    for (; n < GRAPH_WIDTH; n++) points[n] = n;
    break;
  default: break;
  }
  return n;
}

static void make_pattern(graph *g) {
  int64_t used = 0;
  long done = 0;
  for (long t = 0; done < g->n; t++) {
    int width = g->which == PATTERN_TREE ? 1 << (t % 6) : GRAPH_WIDTH;
    int written = (int)(t % 2) * GRAPH_WIDTH, read = GRAPH_WIDTH - written;
    for (int i = 0; i < width && done < g->n; i++, done++) {
      int n = t > 0 ? pattern_points(g->which, t, i, g->reads + used) : 0;
      for (int k = 0; k < n; k++) g->reads[used + k] += read;
      g->nodes[done] = (graph_node){used, n, written + i};
      used += n;
    }
  }
}

graph *graph_new(graph_case which, long n) {
  graph *g = malloc(sizeof *g);
  size_t most = which == PATTERN_ALL_TO_ALL ? GRAPH_WIDTH : 3;
  if (g) {
    *g = (graph){which, n, 1, malloc((size_t)n * sizeof *g->nodes),
                 malloc(((size_t)n * most + GRAPH_WIDTH) * sizeof *g->reads)};
  }
  if (!g || !g->nodes || !g->reads) {
    fprintf(stderr, "no memory for a graph of %ld operations\n", n);
    exit(1);
  }
  state = 12345;
  if (which == GRAPH_INDEPENDENT) g->variables = (int)n;
  if (which == GRAPH_RANDOM) g->variables = GRAPH_VARIABLES;
  if (which >= GRAPH_MAIN) g->variables = 2 * GRAPH_WIDTH;
  which < GRAPH_MAIN ? make_main(g) : make_pattern(g);
  return g;
}

void graph_free(graph *g) {
  free(g->nodes);
  free(g->reads);
  free(g);
}
