/**
 * @file async.h
 * Being told instead of waiting: callbacks, events, event loops.
 */
#ifndef THRUM_ASYNC_H
#define THRUM_ASYNC_H

#include <thrum/array.h>

#ifdef __cplusplus
extern "C" {
#endif

struct uv_loop_s;
typedef struct th_event th_event; /**< One-shot: becomes ready once; counted by its maker only. */

/** Called once when an array's pending writes are done: status and message are those a th_wait() would give. */
typedef void (*th_ready_fn)(th_status status, const char *message, void *user);

/** Calls fn(status, message, user) once every write of a submitted so far is done: on the attached loop's thread, else
 *  on the engine's service thread; never under a lock, never after th_shutdown() returned. A pending call counts as an
 *  operation: beyond the run-ahead limit this blocks as th_push() does, but never on the loop's thread or in a callback. When the
 *  call fails fn is never called. TH_EINVAL (fn is NULL), TH_ENOMEM. */
TH_API th_status th_on_ready(const th_array *a, th_ready_fn fn, void *user);
/** th_read() without waiting: out must stay valid until fn is called. The errors of both. */
TH_API th_status th_read_async(const th_array *a, void *out, size_t bytes, th_ready_fn fn,
                               void *user);
/** From now on callbacks run on the thread that runs this libuv loop. One loop at a time (TH_EBUSY). Call on the
 *  loop's thread. An attached loop stays alive while callbacks are outstanding, and only then; what other threads ask
 *  for keeps a loop alive that runs, it cannot revive one. However many are ready, the loop is woken once, and after 1 ms
 *  in callbacks its other handles get their turn. th_shutdown() detaches: on the loop's thread it delivers what is
 *  outstanding itself, elsewhere the service thread does. */
TH_API th_status th_uv_attach(struct uv_loop_s *loop);
/** Ends it; callbacks still outstanding move to the service thread. Call on the loop's thread, then let the loop run
 *  once more so that its handle closes. TH_EINVAL if loop is not attached. */
TH_API th_status th_uv_detach(struct uv_loop_s *loop);

TH_API th_event *th_event_new(
    const th_array *a); /**< Ready when a's pending writes are done; +1 or NULL. */
TH_API bool th_event_ready(const th_event *e); /**< Never blocks. */
TH_API th_status
th_event_status(const th_event *e); /**< TH_EAGAIN until ready, then what th_wait() would give. */
TH_API th_status
th_event_wait(th_event *e,
              int64_t timeout_ns); /**< Blocks; < 0 = no limit; TH_ETIMEDOUT. Runs no tasks, except
                                    without limit where nobody else does (no workers, shuffle mode). */
TH_API int th_event_fd(
    th_event *e); /**< A descriptor that polls readable when ready; owned by e; -1 on error. */
TH_API void th_event_release(th_event *e); /**< Legal at any time, NULL is fine. */

#ifdef __cplusplus
}
#endif
#endif
