/* Helpers of the trace tests: synthetic tasks, and what a writer wrote as text. */
#ifndef THRUM_TESTS_TRACING_H
#define THRUM_TESTS_TRACING_H

#include "engine/trace.h"
#include "support/json.h"

/* Makes th__ticks() count ns, so that stamps can be computed; before any recording. */
void tracing_use_ns(void);
/* Starts recording, waits until span ns have passed, and returns the moment of the start: stamps may be put in between. */
uint64_t tracing_start(uint32_t what, int64_t span);
/* Records a task of cpu:0 on a worker, submitted and ready when it started. */
void tracing_task(uint64_t id, const char *name, int worker, uint64_t started, uint64_t finished);
/* The same on worker 1, behind two others; their references are their ids. */
void tracing_task_behind(uint64_t id, const char *name, uint64_t started, uint64_t finished,
                         uint64_t first, uint64_t second);
/* What th_profile_write() and the others write; malloc'ed. */
char *tracing_text(th_status (*write)(FILE *out));
th_status tracing_ascii(FILE *out); /* th_profile_ascii() with 100 columns */
json *tracing_json(void);           /* th_profile_write(), parsed; NULL when that is not JSON */
/* The first event with this "ph" and name, NULL if none; name NULL = any. */
const json *tracing_find(const json *trace, const char *ph, const char *name);
int tracing_count(const json *trace, const char *ph);
/* Label of the row an event lies in. */
const char *tracing_row(const json *trace, const json *event);
/* What every trace must keep: fields, rows with names, order of time, nesting, arrows with two ends. "" or what is wrong. */
const char *tracing_check(const json *trace);

#endif
