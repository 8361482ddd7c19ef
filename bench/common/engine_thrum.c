/* The benchmark's graphs on Thrum's engine. One thread submits; it also runs operations when it waits and at the
 * run-ahead limit, so it counts as a worker. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <thrum/thrum.h>

#include "common/engine_graph.h"

static th_var **vars;
static long n_vars;
static uint32_t flags;

static void check(th_status status) {
  if (status == TH_OK) return;
  fprintf(stderr, "thrum: %s\n", th_last_error());
  exit(1);
}

void thrum_start(int workers, const char *mode, long n) {
  th_config config = {.size = sizeof config};
  config.workers = workers > 1 ? workers - 1 : TH_NO_WORKERS;
  if (strcmp(mode, "serial") == 0) config.engine = "serial";
  config.inline_small = strcmp(mode, "inline") == 0;
  flags = config.inline_small ? TH_TASK_INLINE : 0;
  check(th_init(&config));
  n_vars = n > GRAPH_VARIABLES ? n : GRAPH_VARIABLES;
  vars = malloc((size_t)n_vars * sizeof(th_var *));
  for (long i = 0; i < n_vars; i++) vars[i] = th_var_new();
}

void thrum_stop(void) {
  for (long i = 0; i < n_vars; i++) th_var_release(vars[i]);
  free(vars);
  check(th_shutdown());
}

static th_status nothing(void *arg, th_task_context *context) { return TH_OK; }

static void push(th_var *const *reads, size_t n_reads, th_var *const *writes, size_t n_writes) {
  th_task task = {.name = "nothing",
                  .run = nothing,
                  .reads = reads,
                  .n_reads = n_reads,
                  .writes = writes,
                  .n_writes = n_writes,
                  .flags = flags};
  check(th_push(&task));
}

void thrum_run(graph_case which, const graph_op *ops, long n) {
  for (long i = 0; i < n; i++) {
    switch (which) {
    case GRAPH_INDEPENDENT: push(NULL, 0, &vars[i], 1); break;
    case GRAPH_CHAIN: push(NULL, 0, &vars[0], 1); break;
    case GRAPH_FANOUT8:
      if (i % (GRAPH_FANOUT + 1) == 0) {
        push(NULL, 0, &vars[0], 1);
      } else {
        push(&vars[0], 1, NULL, 0);
      }
      break;
    case GRAPH_RANDOM: {
      th_var *reads[2] = {vars[ops[i].read[0]], vars[ops[i].read[1]]};
      push(reads, 2, &vars[ops[i].write], 1);
      break;
    }
    case GRAPH_CASES: break;
    }
  }
  check(th_wait_all());
}
