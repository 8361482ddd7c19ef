/* Owns the run-ahead limit: how many operations and bytes may be pending. Only threads of the program block here, and they
 * help; engine threads and bodies overrun. Each thread takes credit in portions, so the sums are looked at rarely. */
#include "engine/service.h"
#include "engine/parts.h"

#define HARD_LIMIT ((int64_t)TH__SLOTS / 2) /* half of all slots stay free for links */
#define PORTION    2048
#define PARK_NS    1000000
#define WATCH_NS   50000
#define MOST_BYTES ((int64_t)1 << 20) /* of memory counted ahead by a thread */
#define HELPED     64                 /* most tasks run before the sums are looked at again */
#define QUICK_NS   20000              /* they took no time: run more next time */

static _Atomic int64_t byte_limit; /* -1 = none, 0 = no device has been opened */

void th__limit_memory(int64_t memory, bool decides) {
  int64_t set = th__the.config.max_bytes;
  if (!decides && th__load(&byte_limit, TH__RELAXED) != 0) return;
  th__store(&byte_limit, set != 0 ? set : memory / 4, TH__RELAXED);
}

void th__limit_forget(void) { th__store(&byte_limit, 0, TH__RELAXED); }

static int64_t op_limit(void) {
  int64_t limit = th__the.config.max_ops;
  return limit > 0 && limit < HARD_LIMIT ? limit : HARD_LIMIT;
}

/* The sum of all threads' pending bytes is kept in portions: a thread takes more than it needs and gives back when it has much.
 * So the sum is too large by a portion per thread at most, never too small. */
static int64_t byte_portion(void) {
  int64_t limit = th__load(&byte_limit, TH__RELAXED);
  return limit <= 0 || limit / 64 > MOST_BYTES ? MOST_BYTES : 0; /* small limits are kept exactly */
}

void th__memory_take(th__thread *self, int64_t bytes) {
  self->bytes_kept -= bytes;
  if (self->bytes_kept >= 0) return;
  int64_t more = byte_portion() - self->bytes_kept;
  th__fetch_add(&th__the.bytes, more, TH__RELAXED);
  self->bytes_kept += more;
}

void th__memory_done(th__thread *self, int64_t bytes) {
  self->bytes_kept += bytes;
  int64_t portion = byte_portion();
  if (self->bytes_kept <= 2 * portion) return;
  th__fetch_sub(&th__the.bytes, self->bytes_kept - portion, TH__RELAXED);
  self->bytes_kept = portion;
}

/* With nothing pending one operation is always admitted, however large. */
static bool bytes_over(const th__thread *self, int64_t bytes) {
  if (bytes <= self->bytes_kept) return false;
  int64_t limit = th__load(&byte_limit, TH__RELAXED);
  if (limit <= 0) return false;
  int64_t pending = th__load(&th__the.bytes, TH__RELAXED) - self->bytes_kept;
  return pending > 0 && bytes > limit - pending && th__in_flight() > 0;
}

/* Where no worker runs tasks the setting cannot be kept: the submission would never return. */
static bool may_help(void) {
  return !th__the.config.no_help_at_limit || th__the.mode == TH__MODE_SHUFFLE ||
         th__the.mode == TH__MODE_SERIAL || th__the.config.workers == TH_NO_WORKERS;
}

/* Runs some of what is ready: more at a time while that takes no time. False: there was nothing. */
static bool help(th__thread *self) {
  th__switch saved;
  uint32_t n;
  int64_t began = th__now_ns();
  th__switch_enter(&saved);
  self->tick = 0;
  if (th__the.mode == TH__MODE_SHUFFLE) {
    n = th__shuffle_step(self);
  } else {
    n = th__run_ready(self, self->help_share + 1);
  }
  th__switch_leave(&saved);
  bool quick = th__now_ns() - began < QUICK_NS;
  self->help_share = !quick                           ? 0
                     : self->help_share >= HELPED / 2 ? HELPED
                                                      : 2 * self->help_share + 1;
  return n > 0;
}

/* As long as loops come, the next one is worth waiting for: a thread that sleeps leaves its processor to nobody. */
static bool watch_loops(th__thread *self) {
  if (!th__loops_came()) return false;
  for (int64_t end = th__now_ns() + WATCH_NS; th__now_ns() < end;) {
    if (help(self)) return true;
    for (int i = 0; i < 4; i++) th__pause(); /* looking takes lines from those who work */
  }
  return false;
}

/* Runs something that is ready, or sleeps until completions poke. */
static void help_or_park(th__thread *self) {
  if (may_help() && (help(self) || watch_loops(self))) return;
  th__starved_idle(self);
  uint32_t wake = th__load(&th__the.limit_wake, TH__ACQUIRE);
  th__fetch_add(&th__the.limit_waiters, 1, TH__SEQ_CST);
  th__park(&th__the.limit_wake, wake, PARK_NS); /* the time limit makes a missed poke harmless */
  th__fetch_sub(&th__the.limit_waiters, 1, TH__SEQ_CST);
}

void th__limit_poke(void) {
  static _Atomic uint32_t skipped;
  if (th__fetch_add(&skipped, 1, TH__RELAXED) % 64 != 0)
    return; /* summing costs a line per thread */
  int64_t limit = op_limit();
  if (th__in_flight() > limit - limit / 4) return;
  th__fetch_add(&th__the.limit_wake, 1, TH__RELEASE);
  th__unpark(&th__the.limit_wake, INT32_MAX);
}

th_status th__admit_slow(th__thread *self, int64_t bytes, bool try_only) {
  if (self->engine_thread || self->frame != NULL) return TH_OK;
  if (self->credit > 0 && !bytes_over(self, bytes)) {
    self->credit--;
    return TH_OK;
  }
  int64_t limit = op_limit();
  bool waited = false;
  for (;;) {
    int64_t pending = th__in_flight();
    /* Once it had to wait, it goes on only when a quarter is free again. */
    int64_t enough = waited ? limit - limit / 4 : limit;
    if (waited && enough == limit) enough = limit - 1;
    if (pending < (enough > 0 ? enough : 1) && !bytes_over(self, bytes)) {
      int64_t portion = limit / 4 < PORTION ? limit / 4 : PORTION;
      if (portion > limit - pending) portion = limit - pending;
      self->credit = portion > 1 ? portion - 1 : 0;
      return TH_OK;
    }
    if (th__service_thread()) return TH_OK;
    if (try_only)
      return th__fail(TH_EAGAIN, "push_try: %lld tasks are pending", (long long)pending);
    if (!waited) th__fetch_add(&th__the.limit_waits, 1, TH__RELAXED);
    waited = true;
    help_or_park(self);
    TH_TRY(th__engine_ensure());
  }
}
