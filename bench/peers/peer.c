/* main() of every peer program: one measurement of one graph, asked for by the engine benchmark on the command line, its
 * outcome written to BENCH_RESULT_FD. Each peer defines peer_impl over its own public interface. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/engine_peer.h"

int main(int argc, char **argv) {
  if (argc != 7) {
    fprintf(stderr, "usage: %s CASE OPERATIONS WORKERS REPETITIONS GRAIN METG; see engine --help\n",
            argv[0]);
    return 2;
  }
  int which = atoi(argv[1]);
  run_job job = {.which = (graph_case)which,
                 .n = atol(argv[2]),
                 .workers = atoi(argv[3]),
                 .repetitions = atoi(argv[4]),
                 .grain = atof(argv[5]),
                 .metg = atoi(argv[6]) != 0};
  if (which < 0 || which >= GRAPH_CASES || job.n < 1 || job.workers < 1) return 2;
  static run_outcome out;
  run_graph(&peer_impl, "", &job, &out);
  return write(BENCH_RESULT_FD, &out, sizeof out) == (ssize_t)sizeof out ? 0 : 1;
}
