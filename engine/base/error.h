/* Owns the per-thread status and message behind th_last_status() and th_last_error(), and early return on failure. */
#ifndef THRUM_ENGINE_BASE_ERROR_H
#define THRUM_ENGINE_BASE_ERROR_H

#include <stdarg.h>

#include "thrum/base.h"

#define TH__ERROR_TEXT 512

typedef struct th__last_error {
  th_status status;
  char text[TH__ERROR_TEXT];
} th__last_error;

/* Sets this thread's error and returns status, so that `return th__fail(...)` reads well. */
th_status th__fail(th_status status, const char *format, ...) TH_PRINTF(2, 3);
th_status th__fail_v(th_status status, const char *format, va_list args);
/* The same for makers: returns NULL. */
void *th__fail_null(th_status status, const char *format, ...) TH_PRINTF(2, 3);
/* This thread's error record: saved and restored around task bodies. */
th__last_error *th__error_slot(void);

/* Returns early with a failing status, for functions that hold nothing. */
#define TH_TRY(expression)                                                                         \
  do {                                                                                             \
    th_status th__try = (expression);                                                              \
    if (th__try != TH_OK) return th__try;                                                          \
  } while (0)

/* For our own mistakes; off in release builds. */
#ifdef TH_DEBUG
#define TH_ASSERT(condition) ((condition) ? (void)0 : __builtin_trap())
#else
#define TH_ASSERT(condition) ((void)sizeof(condition))
#endif

#endif
