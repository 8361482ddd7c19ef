/* Owns which programs there are and how each is started. */
#include "common/ops_programs.h"

#include <stdlib.h>
#include <unistd.h>

const char *const ops_who_names[OPS_WHO] = {"thrum",  "thrum-inline", "torch", "numpy",
                                            "onednn", "openblas",     "plain", "streaming"};
static const char *const needs[OPS_WHO] = {
    "", "", "libtorch-dev", "python3-numpy", "libdnnl-dev", "", "", ""};

static bench_program programs[OPS_WHO][OPS_WORKERS];

typedef struct role {
  ops_who who;
  int workers;
} role;

/* In the child. */
static void become(const void *arg) {
  const role *r = arg;
  char folder[4000], path[4100], threads[8];
  if (!bench_own_folder(folder, sizeof folder)) return;
  snprintf(threads, sizeof threads, "%d", r->workers);
  setenv("OMP_NUM_THREADS", threads, 1);
  setenv("OPENBLAS_NUM_THREADS", threads, 1);
  if (r->who == WHO_THRUM || r->who == WHO_INLINE) {
    snprintf(path, sizeof path, "%s/ops", folder);
    execl(path, path, "--serve", r->who == WHO_INLINE ? "inline" : "queue", threads, (char *)NULL);
  } else if (r->who == WHO_NUMPY) {
    static const char script[] =
        "for p in python3 /usr/bin/python3; do "
        "\"$p\" -c 'import numpy' 2>/dev/null && exec \"$p\" \"$0\" \"$1\"; done";
    execl("/bin/sh", "sh", "-c", script, TH_OPS_NUMPY, threads, (char *)NULL);
  } else if (r->who == WHO_TORCH || r->who == WHO_ONEDNN) {
    snprintf(path, sizeof path, "%s/peers/ops-%s", folder, ops_who_names[r->who]);
    execl(path, path, threads, (char *)NULL);
  } else {
    snprintf(path, sizeof path, "%s/peers/ops-native", folder);
    execl(path, path, ops_who_names[r->who], threads, (char *)NULL);
  }
}

void ops_programs_start(int only) {
  bench_choose_blas_core();
  for (int who = 0; who < OPS_WHO; who++) {
    char version[200] = "";
    bool any = false;
    for (int w = 1; w <= OPS_WORKERS; w++) {
      role r = {(ops_who)who, w};
      if ((only && only != w) || w > bench_cores()) continue;
      if (who == WHO_INLINE && w > 1) continue; /* calls run in the caller */
      any |= bench_program_start(&programs[who][w - 1], become, &r, version, sizeof version);
    }
    if (any)
      fprintf(stderr, "%s\n", version);
    else if (*needs[who])
      fprintf(stderr, "%s: skipped, not there; needs %s\n", ops_who_names[who], needs[who]);
  }
}

void ops_programs_stop(void) {
  for (int who = 0; who < OPS_WHO; who++)
    for (int w = 0; w < OPS_WORKERS; w++) bench_program_stop(&programs[who][w]);
}

bool ops_ask(ops_who who, int workers, const ops_case *c, bench_reading *out) {
  char request[BENCH_REQUEST_BYTES], what[100];
  snprintf(request, sizeof request, "%s\t%s", c->kind, c->spec);
  snprintf(what, sizeof what, "%s, %d threads, %s", ops_who_names[who], workers, c->name);
  return bench_ask(&programs[who][workers - 1], request, false, what, out);
}
