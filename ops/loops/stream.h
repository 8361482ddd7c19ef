/* Owns stores that pass the caches by, for results that would not stay in them anyway: memory is then written without being
 * read first. */
#ifndef THRUM_OPS_LOOPS_STREAM_H
#define THRUM_OPS_LOOPS_STREAM_H

#include <stdbool.h>
#include <stdint.h>

/* Whether a result of so many bytes is worth it, on this processor. */
bool th__streams(int64_t bytes);
/* Tests set it: results of so many bytes and more, whatever the processor. 0 = off. */
extern int64_t th__stream_least;
/* Copies bytes to memory. Before others may read them, th__stream_end(). */
void th__stream(char *to, const char *from, int64_t bytes);
void th__stream_end(void);

#endif
