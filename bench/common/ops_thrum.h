/* Operators by Thrum, as a program that is asked. */
#ifndef THRUM_BENCH_COMMON_OPS_THRUM_H
#define THRUM_BENCH_COMMON_OPS_THRUM_H

#include <stdbool.h>

/* Serves with so many threads, the caller counted; small calls inside the submitting call or through the queue. */
int ops_thrum_serve(int workers, bool inline_small);
/* Whether this build has what a kind needs. */
bool ops_thrum_has(const char *kind);

#endif
