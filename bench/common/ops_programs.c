/* Owns starting, asking and stopping the programs. Between two answers all of them are asleep: each is given a moment to let
 * its threads end their spinning. */
#include "common/ops_programs.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

const char *const ops_who_names[OPS_WHO] = {"thrum",  "thrum-inline", "torch", "numpy",
                                            "onednn", "openblas",     "plain", "streaming"};
static const char *const needs[OPS_WHO] = {
    "", "", "libtorch-dev", "python3-numpy", "libdnnl-dev", "", "", ""};
static const double pause_seconds = 0.005;

typedef struct program {
  pid_t pid; /* 0 = not there */
  FILE *in, *out;
} program;
static program programs[OPS_WHO][OPS_WORKERS];

/* The folder of this program. */
static bool own_folder(char *path, size_t bytes) {
  ssize_t n = readlink("/proc/self/exe", path, bytes - 1);
  if (n <= 0) return false;
  path[n] = 0;
  char *slash = strrchr(path, '/');
  if (slash) *slash = 0;
  return true;
}

/* OpenBLAS before 0.3.25 takes new processors for a Prescott of 2004. Thrum repairs that for itself (ops/linear/blas.c); so that
 * peers are not measured at a quarter of their speed, they get the right kernels, too. */
static void choose_blas_core(void) {
#if defined(__x86_64__)
  char folder[4000], command[4100], core[32] = "";
  if (!own_folder(folder, sizeof folder) || !__builtin_cpu_supports("avx512vl")) return;
  snprintf(command, sizeof command, "'%s/peers/ops-native' core 1", folder);
  FILE *out = popen(command, "r");
  if (!out) return;
  if (fscanf(out, "%31s", core) == 1 && strcmp(core, "Prescott") == 0)
    setenv("OPENBLAS_CORETYPE", "SkylakeX", 0);
  pclose(out);
#endif
}

/* In the child. */
static void become(ops_who who, int workers) {
  char folder[4000], path[4100], threads[8];
  if (!own_folder(folder, sizeof folder)) _exit(127);
  snprintf(threads, sizeof threads, "%d", workers);
  setenv("OMP_NUM_THREADS", threads, 1);
  setenv("OPENBLAS_NUM_THREADS", threads, 1);
  if (who == WHO_THRUM || who == WHO_INLINE) {
    snprintf(path, sizeof path, "%s/ops", folder);
    execl(path, path, "--serve", who == WHO_INLINE ? "inline" : "queue", threads, (char *)NULL);
  } else if (who == WHO_NUMPY) {
    static const char script[] =
        "for p in python3 /usr/bin/python3; do "
        "\"$p\" -c 'import numpy' 2>/dev/null && exec \"$p\" \"$0\" \"$1\"; done";
    execl("/bin/sh", "sh", "-c", script, TH_OPS_NUMPY, threads, (char *)NULL);
  } else if (who == WHO_TORCH || who == WHO_ONEDNN) {
    snprintf(path, sizeof path, "%s/peers/ops-%s", folder, ops_who_names[who]);
    execl(path, path, threads, (char *)NULL);
  } else {
    snprintf(path, sizeof path, "%s/peers/ops-native", folder);
    execl(path, path, ops_who_names[who], threads, (char *)NULL);
  }
  _exit(127);
}

/* Waits for its "ready NAME VERSION". */
static bool start(program *p, ops_who who, int workers, char *version, size_t bytes) {
  int to[2], from[2];
  if (pipe(to) != 0 || pipe(from) != 0) return false;
  fflush(stdout);
  p->pid = fork();
  if (p->pid == 0) {
    dup2(to[0], 0);
    dup2(from[1], 1);
    for (int fd = 3; fd < 256; fd++) close(fd);
    become(who, workers);
  }
  close(to[0]);
  close(from[1]);
  p->in = fdopen(to[1], "w");
  p->out = fdopen(from[0], "r");
  char line[200] = "";
  bool ready = p->pid > 0 && fgets(line, sizeof line, p->out) && strncmp(line, "ready ", 6) == 0;
  line[strcspn(line, "\n")] = 0;
  snprintf(version, bytes, "%s", ready ? line + 6 : "");
  return ready;
}

static void stop(program *p) {
  if (p->pid <= 0) return;
  fclose(p->in); /* the end of its input */
  fclose(p->out);
  waitpid(p->pid, NULL, 0);
  p->pid = 0;
}

void ops_programs_start(int only) {
  signal(SIGPIPE, SIG_IGN);
  choose_blas_core();
  for (int who = 0; who < OPS_WHO; who++) {
    char version[200] = "";
    bool any = false;
    for (int w = 1; w <= OPS_WORKERS; w++) {
      program *p = &programs[who][w - 1];
      if ((only && only != w) || w > bench_cores()) continue;
      if (who == WHO_INLINE && w > 1) continue; /* calls run in the caller */
      if (start(p, (ops_who)who, w, version, sizeof version))
        any = true;
      else
        stop(p);
    }
    if (any)
      fprintf(stderr, "%s\n", version);
    else if (*needs[who])
      fprintf(stderr, "%s: skipped, not there; needs %s\n", ops_who_names[who], needs[who]);
  }
}

void ops_programs_stop(void) {
  for (int who = 0; who < OPS_WHO; who++)
    for (int w = 0; w < OPS_WORKERS; w++) stop(&programs[who][w]);
}

bool ops_ask(ops_who who, int workers, const ops_case *c, ops_reading *out) {
  program *p = &programs[who][workers - 1];
  char first[32];
  double foreign;
  int n;
  if (p->pid <= 0) return false;
  struct timespec moment = {0, (long)(pause_seconds * 1e9)};
  nanosleep(&moment, NULL);
  fprintf(p->in, "%s\t%s\n", c->kind, c->spec);
  fflush(p->in);
  if (fscanf(p->out, "%31s", first) != 1) {
    fprintf(stderr, "%s, %d threads, %s: the program ended\n", ops_who_names[who], workers,
            c->name);
    stop(p);
    return false;
  }
  if (strcmp(first, "none") == 0) return false;
  foreign = strtod(first, NULL);
  if (fscanf(p->out, "%d", &n) != 1) n = 0;
  for (int i = 0; i < n; i++) {
    double sample;
    if (fscanf(p->out, "%lf", &sample) != 1) return false;
    if (out->n < OPS_ROUNDS * OPS_SAMPLES) out->samples[out->n++] = sample;
  }
  if (foreign > out->foreign) out->foreign = foreign;
  return n > 0;
}

void ops_summarize(ops_reading *r) {
  if (r->n == 0) return;
  bench_summary s = bench_summarize(r->samples, r->n); /* sorts */
  r->median = s.median, r->min = s.min, r->max = s.max;
  r->spread = (r->samples[r->n * 3 / 4] - r->samples[r->n / 4]) / (2 * s.median);
}
