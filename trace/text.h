/* Small texts: times, names for a terminal, strings for JSON and XML. */
#ifndef THRUM_TRACE_TEXT_H
#define THRUM_TRACE_TEXT_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum { TEXT_TIME = 32 }; /* also of the two below */

/* "12.3 us" and the like; returns out. */
const char *text_time(int64_t ns, char out[TEXT_TIME]);
/* "1.5 MiB" and the like; returns out. */
const char *text_bytes(int64_t bytes, char out[TEXT_TIME]);
/* A rate such as GFLOP/s with three digits, "-" for 0; returns out. */
const char *text_rate(double rate, char out[TEXT_TIME]);
/* The name cut to width characters, with '?' for what could disturb a terminal or the columns; out has width + 1 bytes. */
const char *text_plain(const char *name, int width, char *out);
/* The name as a JSON string with quotes, in ASCII where it matters to HTML: '<' and '&' are escaped as well. */
void text_json(FILE *out, const char *name);
/* The name as a field of CSV, quoted. */
void text_csv(FILE *out, const char *name);
/* The name as text or an attribute of XML; what XML does not allow is '?'. most: bytes at most, cut between characters. */
void text_xml(FILE *out, const char *name, size_t most);

#endif
