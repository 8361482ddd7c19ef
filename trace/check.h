/* Whether a trace can be true: an independent proof that no op started before what it waited for had finished. */
#ifndef THRUM_TRACE_CHECK_H
#define THRUM_TRACE_CHECK_H

#include "trace/trace.h"

/* Writes each finding, at most `most` of them, to out (NULL: nowhere). Returns how many there are. */
size_t trace_check(const trace *t, FILE *out, size_t most);

#endif
