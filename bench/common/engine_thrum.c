/* The benchmark's graphs on Thrum's engine. One thread submits; it also runs operations when it waits and at the
 * run-ahead limit, so it counts as a worker. */
#include "common/engine_thrum.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static th_var **own_vars;
static long n_own_vars;
static uint32_t flags;

void thrum_check(th_status status) {
  if (status == TH_OK) return;
  fprintf(stderr, "thrum: %s\n", th_last_error());
  exit(1);
}

th_config thrum_config(int workers, const char *mode) {
  th_config config = {.size = sizeof config};
  config.workers = workers > 1 ? workers - 1 : TH_NO_WORKERS;
  if (strcmp(mode, "serial") == 0) config.engine = "serial";
  config.inline_small = strcmp(mode, "inline") == 0;
  flags = config.inline_small ? TH_TASK_INLINE : 0;
  return config;
}

th_var **thrum_vars(long n) {
  th_var **vars = malloc((size_t)n * sizeof(th_var *));
  for (long i = 0; vars && i < n; i++) {
    vars[i] = th_var_new();
    if (!vars[i]) thrum_check(th_last_status());
  }
  if (!vars) thrum_check(TH_ENOMEM);
  return vars;
}

void thrum_vars_free(th_var **vars, long n) {
  for (long i = 0; i < n; i++) th_var_release(vars[i]);
  free(vars);
}

static th_status body(void *arg, th_task_context *context) {
  graph_body();
  return TH_OK;
}

static inline void push(th_var *const *reads, size_t n_reads, th_var *const *writes,
                        size_t n_writes) {
  th_task task = {.name = "body",
                  .run = body,
                  .reads = reads,
                  .n_reads = n_reads,
                  .writes = writes,
                  .n_writes = n_writes,
                  .flags = flags};
  thrum_check(th_push(&task));
}

/* Patterns and the random graph: any number of reads. */
static void submit_listed(const graph *g, th_var *const *vars) {
  for (long i = 0; i < g->n; i++) {
    const graph_node *node = &g->nodes[i];
    th_var *reads[GRAPH_WIDTH];
    for (int k = 0; k < node->n_reads; k++) reads[k] = vars[g->reads[node->first + k]];
    push(reads, (size_t)node->n_reads, &vars[node->write], 1);
  }
}

void thrum_submit(const graph *g, th_var *const *vars) {
  switch (g->which) {
  case GRAPH_INDEPENDENT:
    for (long i = 0; i < g->n; i++) push(NULL, 0, &vars[i], 1);
    break;
  case GRAPH_CHAIN:
    for (long i = 0; i < g->n; i++) push(NULL, 0, &vars[0], 1);
    break;
  case GRAPH_FANOUT8:
    for (long i = 0; i < g->n; i++) {
      if (i % (GRAPH_FANOUT + 1) == 0) {
        push(NULL, 0, &vars[0], 1);
      } else {
        push(&vars[0], 1, NULL, 0);
      }
    }
    break;
  default: submit_listed(g, vars); break;
  }
}

static void start(int workers, const char *mode, const graph *g) {
  th_config config = thrum_config(workers, mode);
  thrum_check(th_init(&config));
  n_own_vars = g->variables;
  own_vars = thrum_vars(n_own_vars);
}

static void run(const graph *g) {
  thrum_submit(g, own_vars);
  thrum_check(th_wait_all());
}

static void stop(void) {
  thrum_vars_free(own_vars, n_own_vars);
  thrum_check(th_shutdown());
}

const graph_impl thrum_impl = {start, run, stop};
