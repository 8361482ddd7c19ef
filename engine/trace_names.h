/* Owns the texts of names in a trace. Guarded by the lock of trace.c, which every function here needs held. */
#ifndef THRUM_ENGINE_TRACE_NAMES_H
#define THRUM_ENGINE_TRACE_NAMES_H

#include <stddef.h>
#include <stdint.h>

/* Index of the text equal to name (cut at TH__TRACE_NAME); 0, "(other)", when there are too many or memory is short. *text is
 * our copy, valid until th__trace_names_free(). */
uint32_t th__trace_names_intern(const char *name, const char **text);
size_t th__trace_names_count(void); /* at least 1 */
const char *th__trace_names_at(size_t index);
void th__trace_names_free(void);
void th__trace_names_forget(void); /* in the child of a fork: without freeing */

#endif
