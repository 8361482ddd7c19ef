/* The long runs as a program: `soak` does all of them at full size, `soak NAME [COUNT]` one. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "stress/limits.h"

int main(int argc, char **argv) {
  int failed = 0, ran = 0;
  for (int i = 0; i < limit_runs_count; i++) {
    const limit_run *l = &limit_runs[i];
    if (argc > 1 && strcmp(argv[1], l->name) != 0) continue;
    long n = argc > 2 ? strtol(argv[2], NULL, 10) : l->large;
    char message[512] = "";
    bool ok = l->run(n, message, sizeof message);
    printf("%s %s: %s\n", ok ? "ok  " : "FAIL", l->name, message);
    fflush(stdout);
    failed += !ok;
    ran++;
  }
  if (ran) return failed != 0;
  puts("usage: soak [NAME [COUNT]]\n");
  for (int i = 0; i < limit_runs_count; i++) {
    printf("  %-9s %s (default %ld)\n", limit_runs[i].name, limit_runs[i].about,
           limit_runs[i].large);
  }
  return 2;
}
