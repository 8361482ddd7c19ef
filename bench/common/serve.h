/* A program that measures when asked: it reads a request per line from standard input and answers with one line of readings,
 * so that a benchmark can alternate programs without starting them anew. common/ask.h is the other side. */
#ifndef THRUM_BENCH_COMMON_SERVE_H
#define THRUM_BENCH_COMMON_SERVE_H

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { BENCH_SAMPLES = 15, BENCH_FIGURES = 2, BENCH_REQUEST_BYTES = 264 };

/* What a program brings. */
typedef struct bench_service {
  const char *name, *version;
  /* Makes what is to be measured; false when it has no such thing. */
  bool (*begin)(const char *request, void *state);
  void (*run)(void *state, long times); /* so many times, to the end of the last */
  void (*end)(void *state);
  void (*figures)(void *state,
                  double *out); /* BENCH_FIGURES others, found after the samples; or NULL */
  void *state;
  double sample_seconds; /* how long a sample takes at least; 0 = 2 ms */
} bench_service;

/* Says "ready NAME VERSION", then answers "none" or "FOREIGN N SAMPLES... FIGURES..." (samples in ns per time) until its input
 * ends. */
int bench_serve(const bench_service *service);

#ifdef __cplusplus
}
#endif
#endif
