/* big OPS FILE: records that many small tasks with edges between them and writes the trace, for the tests of the page. */
#include <stdio.h>
#include <stdlib.h>

#include "engine/base/thread.h"
#include "thrum/engine.h"
#include "thrum/profile.h"

enum { VARS = 400 };

static th_status spin(void *arg, th_task_context *context) {
  (void)context;
  int64_t until = th__now_ns() + *(const int32_t *)arg;
  while (th__now_ns() < until) {
  }
  return TH_OK;
}

int main(int argc, char **argv) {
  static const char *const names[] = {"matmul",     "matmul_grad", "add",        "relu",
                                      "relu_slope", "sum",         "take",       "softmax",
                                      "conv",       "norm",        "norm_slope", "sgd_step"};
  long n = argc > 2 ? atol(argv[1]) : 0;
  if (n < 1) {
    fputs("usage: big OPS FILE\n", stderr);
    return 2;
  }
  th_config config = {.size = sizeof config, .workers = 2};
  th_var *vars[VARS];
  if (th_init(&config) != TH_OK || th_profile_start(0) != TH_OK) return 1;
  for (int i = 0; i < VARS; i++) vars[i] = th_var_new();
  uint32_t state = 1;
  for (long i = 0; i < n; i++) {
    state = state * 1664525u + 1013904223u;
    th_var *reads[] = {vars[state >> 8 & 255], vars[state >> 16 & 255]},
           *writes[] = {vars[(uint32_t)i % VARS]};
    int32_t ns = (int32_t)(state >> 20);
    th_task task = {.name = names[(state >> 10) % 12],
                    .run = spin,
                    .arg = &ns,
                    .arg_size = sizeof ns,
                    .reads = reads,
                    .n_reads = 1 + (state >> 30 & 1),
                    .writes = writes,
                    .n_writes = 1};
    if (th_push(&task) != TH_OK) return 1;
  }
  for (int i = 0; i < VARS; i++) th_var_release(vars[i]);
  if (th_profile_stop(argv[2]) != TH_OK) {
    fprintf(stderr, "big: %s\n", th_last_error());
    return 1;
  }
  return th_shutdown() != TH_OK;
}
