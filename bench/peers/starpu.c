/* The benchmark's graphs as StarPU tasks with implicit dependencies. The submitting thread runs no tasks: with W workers
 * there are W + 1 threads. */
#include <starpu.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/engine_peer.h"

static starpu_data_handle_t *handles;
static char *values;
static int n_handles;
static char home[] = "/tmp/thrum-bench-XXXXXX"; /* where StarPU keeps its measurements of buses */

static void body(void *buffers[], void *arg) { graph_body(); }

/* Reads, then the variable written. */
enum { FEW = 3 };
static struct starpu_codelet codelets[FEW + 1][2]; /* by reads and writes */
static struct starpu_codelet many;                 /* any number */

static void check(int code) {
  if (code == 0) return;
  fprintf(stderr, "starpu: %s\n", strerror(-code));
  exit(1);
}

static void make_codelets(void) {
  for (int r = 0; r <= FEW; r++)
    for (int w = 0; w <= 1; w++) {
      struct starpu_codelet *c = &codelets[r][w];
      starpu_codelet_init(c);
      c->cpu_funcs[0] = body;
      c->nbuffers = r + w;
      for (int i = 0; i < r; i++) c->modes[i] = STARPU_R;
      if (w) c->modes[r] = STARPU_RW;
    }
  starpu_codelet_init(&many);
  many.cpu_funcs[0] = body;
  many.nbuffers = STARPU_VARIABLE_NBUFFERS;
}

static void start(int workers, const char *mode, const graph *g) {
  if (!mkdtemp(home)) exit(1);
  setenv("STARPU_HOME", home, 1);
  setenv("STARPU_SILENT", "1", 1);
  struct starpu_conf conf;
  starpu_conf_init(&conf);
  conf.ncpus = workers;
  conf.ncuda = conf.nopencl = 0;
  conf.sched_policy_name = "eager";
  check(starpu_init(&conf));
  make_codelets();
  n_handles = g->variables;
  handles = malloc((size_t)n_handles * sizeof *handles);
  values = calloc((size_t)n_handles, 1);
  for (int i = 0; i < n_handles; i++)
    starpu_variable_data_register(&handles[i], STARPU_MAIN_RAM, (uintptr_t)&values[i], 1);
}

static void submit_few(const graph *g, const graph_node *node) {
  int writes = node->write >= 0;
  struct starpu_task *task = starpu_task_create();
  task->cl = &codelets[node->n_reads][writes];
  for (int i = 0; i < node->n_reads; i++) task->handles[i] = handles[g->reads[node->first + i]];
  if (writes) task->handles[node->n_reads] = handles[node->write];
  check(starpu_task_submit(task));
}

static void submit_many(const graph *g, const graph_node *node) {
  struct starpu_data_descr operands[GRAPH_WIDTH + 1];
  int n = node->n_reads;
  for (int i = 0; i < n; i++)
    operands[i] = (struct starpu_data_descr){handles[g->reads[node->first + i]], STARPU_R};
  operands[n++] = (struct starpu_data_descr){handles[node->write], STARPU_RW};
  check(starpu_task_insert(&many, STARPU_DATA_MODE_ARRAY, operands, n, 0));
}

static void run(const graph *g) {
  for (long i = 0; i < g->n; i++) {
    const graph_node *node = &g->nodes[i];
    node->n_reads <= FEW ? submit_few(g, node) : submit_many(g, node);
  }
  check(starpu_task_wait_for_all());
}

static void stop(void) {
  for (int i = 0; i < n_handles; i++) starpu_data_unregister(handles[i]);
  starpu_shutdown();
  free(handles);
  free(values);
  char command[sizeof home + 16];
  snprintf(command, sizeof command, "rm -rf %s", home);
  if (system(command) != 0) fprintf(stderr, "starpu: %s stays behind\n", home);
}

const graph_impl peer_impl = {start, run, stop};
