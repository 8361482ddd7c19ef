/* Thrum as a contestant. */
#ifndef THRUM_BENCH_COMMON_ENGINE_THRUM_H
#define THRUM_BENCH_COMMON_ENGINE_THRUM_H

#include <thrum/thrum.h>

#include "common/engine_graph.h"

extern const graph_impl thrum_impl; /* modes: "", "inline", "serial" */

void thrum_check(th_status status); /* ends the process after a failure */
/* Settings for so many threads that run operations, the submitting one, which helps, counted. */
th_config thrum_config(int workers, const char *mode);
/* n new variables; released and freed by the second function. */
th_var **thrum_vars(long n);
void thrum_vars_free(th_var **vars, long n);
/* Submits the graph's operations over these variables without waiting. */
void thrum_submit(const graph *g, th_var *const *vars);

#endif
