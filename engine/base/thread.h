/* Names over libuv's threads, and the clock. */
#ifndef THRUM_ENGINE_BASE_THREAD_H
#define THRUM_ENGINE_BASE_THREAD_H

#include <uv.h>

#include "thrum/base.h"

typedef uv_thread_t th__thread_handle;

/* Starts a thread with all signals blocked and a name for debuggers. TH_ENOMEM. */
th_status th__thread_start(th__thread_handle *out, void (*body)(void *arg), void *arg,
                           const char *name);
void th__thread_join(th__thread_handle *handle);
int th__thread_cores(void); /* cores this process may use: affinity and cgroup quota, at least 1 */
int th__thread_processors(void); /* of the machine, usable or not; the same as long as it runs */
/* Numbers of the cores the calling thread may use, rising, the first `most` of them. Returns how many; 0 when the system does not
 * tell. */
int th__thread_core_list(int *out, int most);
bool th__thread_pin(int core); /* keeps the calling thread on it; false when the system refuses */
int64_t th__now_ns(void);      /* CLOCK_MONOTONIC */
/* When so many ns from now are over; INT64_MAX where that is beyond all numbers. -1, no limit, when negative. */
int64_t th__deadline_ns(int64_t timeout_ns);
void th__sleep_ns(int64_t ns);

#endif
