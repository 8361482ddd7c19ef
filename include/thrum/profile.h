/**
 * @file profile.h
 * Seeing what ran, where and when.
 */
#ifndef THRUM_PROFILE_H
#define THRUM_PROFILE_H

#include <thrum/engine.h>

#ifdef __cplusplus
extern "C" {
#endif

/** What to record. */
enum {
  TH_PROFILE_OPS = 1,      /**< Tasks with four stamps. */
  TH_PROFILE_EDGES = 2,    /**< Which task waited for which. */
  TH_PROFILE_WAITS = 4,    /**< Host waits. */
  TH_PROFILE_COUNTERS = 8, /**< Tasks pending (the run-ahead), ready and in flight, bytes of pending
                              ones; memory live and cached, hits of each pool. */
  TH_PROFILE_RANGES = 16,  /**< th_profile_push() to th_profile_pop(). */
  TH_PROFILE_SHAPES =
      32, /**< Element types and shapes of operators' operands: a text for each set of shapes,
                              so not part of TH_PROFILE_ALL. */
  TH_PROFILE_MEMORY = 64, /**< Who took and gave back which memory of devices. */
  TH_PROFILE_ALL = 95     /**< Everything but shapes. */
};

/** Starts recording into bounded per-thread rings (262,144 tasks and waits, 2,097,152 edges, 524,288 operators' work and blocks of
 *  memory each); clears what was recorded. A full ring keeps what it has. TH_PROFILE=FILE in the environment starts it with the
 *  engine, shapes included, and writes FILE at the end. what: TH_PROFILE_*, 0 = TH_PROFILE_ALL (edges only together with tasks); other
 *  bits: TH_EINVAL. Never blocks. */
TH_API th_status th_profile_start(uint32_t what);
/** Stops recording. With a path, waits for everything submitted and writes Chrome trace JSON (open it in
 *  ui.perfetto.dev or chrome://tracing). Blocks. TH_EIO with the path in the message. */
TH_API th_status th_profile_stop(const char *path);
TH_API th_status th_profile_write(FILE *out); /**< What is recorded so far as Chrome trace JSON. */
TH_API th_status th_profile_table(
    FILE *
        out); /**< Per operation name: count, total, mean, median, p99, max, queue time, share, GFLOP/s, GB/s; memory by who took it. */
TH_API th_status th_profile_ascii(
    FILE *out,
    int columns); /**< One row per lane, time from left to right; columns 0 = 100, else 40 to 4096. */
/** Opens a range of the calling thread, shown in the trace up to th_profile_pop(): an epoch, a step. Ranges nest; beyond 64 within
 *  each other they are not recorded. name has to stay until then. */
TH_API void th_profile_push(const char *name);
TH_API void th_profile_pop(
    void); /**< Closes the innermost range of the calling thread, if there is one. */
/** Tells the trace what a task does, from within its body: floating-point operations, bytes read and written (both >= 0, else
 *  nothing is told), and a note to be shown beside it (copied, at most 199 bytes; NULL = none). Operators do so themselves. The last
 *  call counts. Costs a test while nothing is recorded. */
TH_API void th_profile_work(th_task_context *context, int64_t flops, int64_t bytes,
                            const char *note);
/** Whether shapes are being recorded, so that a note about them is worth its time. */
TH_API bool th_profile_shapes(void);
/** Tells where the calling thread's next wait is if it is in the function named call; thrum/sites.h does so for all calls. */
TH_API void th_profile_site(const char *call, const char *file, int line);
TH_API uint64_t th_profile_dropped(void); /**< Records lost because a ring was full. */

#ifdef __cplusplus
}
#endif
#endif
