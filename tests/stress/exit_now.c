/* Returns from main with operations queued: 10,000 tasks and some array work. Started by the tests of process exit. */
#include <stdlib.h>
#include <time.h>

#include "thrum/thrum.h"

/* Never given back, but not lost either. */
static th_var *v;
static th_array *a;

static th_status short_task(void *arg, th_task_context *context) {
  nanosleep(&(struct timespec){.tv_nsec = 1000}, NULL);
  return TH_OK;
}

int main(int argc, char **argv) {
  enum { TASKS = 10000 };
  if (th_init(&(th_config){.size = sizeof(th_config), .max_ops = -1}) != TH_OK) return 2;
  v = th_var_new();
  a = th_ones(TH_SHAPE(100, 100), TH_F32, th_cpu(0));
  if (!v || !a) return 3;
  for (int i = 0; i < TASKS; i++) {
    th_task task = {.name = "short", .run = short_task, .writes = &v, .n_writes = i % 2};
    if (th_push(&task) != TH_OK) return 4;
    if (i % 10 == 0 && th_add_scalar_inplace(a, 1) != TH_OK) return 5;
  }
  return argc > 1 ? atoi(argv[1]) : 0;
}
