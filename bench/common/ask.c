/* Owns the pipes to the programs that are asked. Between two answers all of them are asleep: each is given a moment to let its
 * threads end their spinning. */
#include "common/ask.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/bench.h"

static const double pause_seconds = 0.005;

bool bench_own_folder(char *path, size_t bytes) {
  ssize_t n = readlink("/proc/self/exe", path, bytes - 1);
  if (n <= 0) return false;
  path[n] = 0;
  char *slash = strrchr(path, '/');
  if (slash) *slash = 0;
  return true;
}

void bench_choose_blas_core(void) {
#if defined(__x86_64__)
  char folder[4000], command[4100], core[32] = "";
  if (!bench_own_folder(folder, sizeof folder) || !__builtin_cpu_supports("avx512vl")) return;
  snprintf(command, sizeof command, "'%s/peers/ops-native' core 1", folder);
  FILE *out = popen(command, "r");
  if (!out) return;
  if (fscanf(out, "%31s", core) == 1 && strcmp(core, "Prescott") == 0)
    setenv("OPENBLAS_CORETYPE", "SkylakeX", 0);
  pclose(out);
#endif
}

bool bench_program_start(bench_program *p, void (*become)(const void *arg), const void *arg,
                         char *version, size_t bytes) {
  int to[2], from[2];
  signal(SIGPIPE, SIG_IGN);
  if (pipe(to) != 0 || pipe(from) != 0) return false;
  fflush(stdout);
  p->pid = fork();
  if (p->pid == 0) {
    dup2(to[0], 0);
    dup2(from[1], 1);
    for (int fd = 3; fd < 256; fd++) close(fd);
    become(arg);
    _exit(127);
  }
  close(to[0]);
  close(from[1]);
  p->in = fdopen(to[1], "w");
  p->out = fdopen(from[0], "r");
  char line[200] = "";
  bool ready = p->pid > 0 && fgets(line, sizeof line, p->out) && strncmp(line, "ready ", 6) == 0;
  line[strcspn(line, "\n")] = 0;
  snprintf(version, bytes, "%s", ready ? line + 6 : "");
  if (!ready) bench_program_stop(p);
  return ready;
}

void bench_program_stop(bench_program *p) {
  if (p->pid <= 0) return;
  fclose(p->in); /* the end of its input */
  fclose(p->out);
  waitpid(p->pid, NULL, 0);
  p->pid = 0;
}

bool bench_ask(bench_program *p, const char *request, bool figures, const char *what,
               bench_reading *out) {
  char first[32];
  int n;
  if (p->pid <= 0) return false;
  struct timespec moment = {0, (long)(pause_seconds * 1e9)};
  nanosleep(&moment, NULL);
  fprintf(p->in, "%s\n", request);
  fflush(p->in);
  if (fscanf(p->out, "%31s", first) != 1) {
    fprintf(stderr, "%s: the program ended\n", what);
    bench_program_stop(p);
    return false;
  }
  if (strcmp(first, "none") == 0) return false;
  double foreign = strtod(first, NULL);
  if (fscanf(p->out, "%d", &n) != 1) n = 0;
  for (int i = 0; i < n; i++) {
    double sample;
    if (fscanf(p->out, "%lf", &sample) != 1) return false;
    if (out->n < BENCH_ROUNDS * BENCH_SAMPLES) out->samples[out->n++] = sample;
  }
  for (int i = 0; i < BENCH_FIGURES && figures; i++)
    if (fscanf(p->out, "%lf", &out->figures[i]) != 1) return false;
  if (foreign > out->foreign) out->foreign = foreign;
  return n > 0;
}

void bench_reading_end(bench_reading *r) {
  if (r->n == 0) return;
  bench_summary s = bench_summarize(r->samples, r->n); /* sorts */
  r->median = s.median, r->min = s.min, r->max = s.max;
  r->spread = (r->samples[r->n * 3 / 4] - r->samples[r->n / 4]) / (2 * s.median);
}
