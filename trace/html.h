/* The timeline as one HTML file that needs nothing else. */
#ifndef THRUM_TRACE_HTML_H
#define THRUM_TRACE_HTML_H

#include "trace/figures.h"
#include "trace/trace.h"

/* title: shown on top. False when out of memory. */
bool html_write(const trace *t, const figures *f, const char *title, FILE *out);

#endif
