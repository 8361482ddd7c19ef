/* A program that measures operators when asked "KIND TAB SPEC", see common/serve.h. */
#ifndef THRUM_BENCH_COMMON_OPS_SERVE_H
#define THRUM_BENCH_COMMON_OPS_SERVE_H

#include "common/ops_spec.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What a program brings. */
typedef struct ops_impl {
  const char *name, *version;
  /* Makes the inputs; false when it has no such operator. */
  bool (*begin)(const char *kind, const ops_spec *spec, void *state);
  void (*run)(void *state, long times); /* so many calls, to the end of the last */
  void (*end)(void *state);
  void *state;
} ops_impl;

/* Answers with ns per call until its input ends. */
int ops_serve(const ops_impl *impl);

#ifdef __cplusplus
}
#endif
#endif
