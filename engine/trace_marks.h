/* Where a program waits, for trace.c. */
#ifndef THRUM_ENGINE_TRACE_MARKS_H
#define THRUM_ENGINE_TRACE_MARKS_H

#include "thrum/profile.h"

/* "th_item at train.c:42" when the program told where it calls `where`, else `where` itself; what it told is used up. The text
 * stays until this thread's next call. */
const char *th__trace_site(const char *where);
/* The innermost range of the calling thread; NULL = none. */
const char *th__trace_range_now(void);

#endif
