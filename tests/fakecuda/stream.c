/* Owns the fake's streams, events and the order in which commands run. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "engine/base/atomic.h"
#include "fakecuda/fake.h"

#define PATIENCE    3                    /* queries in a row that may bring nothing */
#define PATIENCE_NS INT64_C(20000000000) /* threads have so long */

typedef enum mood { ANY, NEWEST, STARVE, STALL, MOODS } mood;

/* ---- running ---- */

/* What stands before the first command that is no wait, or has passed, goes. */
static void skip_waits(struct CUstream_st *s) {
  for (fake_record *r;
       !s->busy && (r = s->first) != NULL && r->other != NULL && r->other->done >= r->other_seq;) {
    s->first = r->next;
    if (s->first == NULL) s->last = NULL;
    s->done = r->seq;
    free(r);
  }
}

/* The first command of a stream if it may run now. */
static fake_record *legal_head(struct CUstream_st *s) {
  skip_waits(s);
  fake_record *r = s->context->index + 1 == fake.set.hold ? NULL : s->first;
  return r != NULL && !s->busy && r->other == NULL && s->context->dead == TH__CU_SUCCESS ? r : NULL;
}

static void free_record(fake_record *r) {
  free(r->arg);
  free(r->clock);
  free(r);
}

fake_record *fake_take(struct CUstream_st *s) {
  fake_record *r = s->first;
  s->first = r->next;
  if (s->first == NULL) s->last = NULL;
  fake.count.commands++;
  bool named = fake.set.kill_device == s->context->index + 1;
  if (named) fake.set.kill_device = 0;
  if (fake_strikes(&fake.set.kill) || named) {
    s->context->dead = (th__cu_result)fake.set.error;
    free_record(r);
    return NULL;
  }
  if (r->clock != NULL)
    fake_clock_join(fake.host, r->clock); /* before anybody can see the counter */
  return r;
}

void fake_finish(struct CUstream_st *s, fake_record *r) {
  s->done = r->seq;
  free_record(r);
}

static void run_head(struct CUstream_st *s) {
  fake_record *r = fake_take(s);
  if (r == NULL) return;
  if (r->run != NULL) r->run(r->arg);
  fake_finish(s, r);
}

static struct CUstream_st *choose(mood m) {
  struct CUstream_st *legal[FAKE_STREAMS];
  uint32_t n = 0;
  for (struct CUstream_st *s = fake.streams; s != NULL; s = s->next)
    if (legal_head(s) != NULL && (m != STARVE || s->id % 4 != fake.starved)) legal[n++] = s;
  if (n == 0 || m == STALL) return NULL;
  /* The list of streams begins with the newest; that is hostile enough. */
  return m == NEWEST ? legal[0] : legal[fake_below(n)];
}

struct CUstream_st *fake_choose(void) {
  return choose(ANY);
}

static bool run_any(mood m) {
  struct CUstream_st *s = choose(m);
  if (s == NULL) return false;
  run_head(s);
  return true;
}

static mood current_mood(void) {
  if (fake.set.mode == FAKE_RANDOM) return ANY;
  if (fake.set.mode == FAKE_STARVE) return STARVE;
  if (fake.mood_calls-- <= 0) {
    fake.mood = (int)fake_below(MOODS);
    fake.starved = (int)fake_below(4);
    fake.mood_calls = 1 + (int)fake_below(32);
  }
  return (mood)fake.mood;
}

void fake_some_progress(void) {
  if (fake_threaded() || fake.set.mode == FAKE_LATE || fake_below(4) != 0) return;
  mood m = current_mood();
  for (uint32_t n = fake_below(4); n > 0 && run_any(m); n--) {
  }
}

/* Runs the first command of s, or, when it waits, what it waits for first. False: it waits for itself, or is dead. */
static bool run_demanded(struct CUstream_st *s, int depth) {
  if (legal_head(s) != NULL) {
    run_head(s);
    return true;
  }
  fake_record *r = s->first;
  return r != NULL && r->other != NULL && depth < FAKE_STREAMS && run_demanded(r->other, depth + 1);
}

/* False: the stream is dead, or nothing has come of it for long. */
static bool wait_until(struct CUstream_st *s, uint64_t seq) {
  int64_t end = fake_now() + PATIENCE_NS;
  skip_waits(s);
  while (s->done < seq) {
    if ((s->context->dead != TH__CU_SUCCESS && !s->busy) || fake_now() > end) return false;
    s->waiters++;
    fake_threads_wait();
    s->waiters--;
    skip_waits(s);
  }
  return true;
}

bool fake_run_until(struct CUstream_st *s, uint64_t seq) {
  if (fake_threaded()) return wait_until(s, seq);
  skip_waits(s);
  while (s->done < seq) {
    bool ran = fake.set.mode != FAKE_LATE && fake_below(2) == 0 && run_any(current_mood());
    if (!ran) ran = run_demanded(s, 0);
    skip_waits(s); /* waits may have passed without a command */
    if (!ran && s->done < seq && legal_head(s) == NULL && choose(ANY) == NULL) return false;
  }
  return true;
}

/* Somebody looks whether s has reached seq. */
static bool look(struct CUstream_st *s, uint64_t seq) {
  fake.count.queries++;
  skip_waits(s);
  if (s->done >= seq || fake_threaded()) return s->done >= seq;
  bool any = false;
  if (fake.set.mode != FAKE_LATE) {
    mood m = current_mood();
    for (uint32_t n = fake_below(12); n > 0 && run_any(m); n--) any = true;
  }
  if (any)
    fake.idle = 0;
  else if (++fake.idle >= PATIENCE || fake.set.mode == FAKE_LATE)
    for (uint32_t n = 1 + fake_below(32); n > 0 && s->done < seq && run_demanded(s, 0); n--)
      skip_waits(s);
  skip_waits(s);
  return s->done >= seq;
}

/* ---- commands ---- */

fake_record *fake_enqueue(struct CUstream_st *s, const char *name, void (*run)(void *arg),
                          const void *arg, size_t bytes) {
  fake_record *r = calloc(1, sizeof *r);
  r->run = run;
  r->seq = ++s->issued;
  strncpy(r->name, name, sizeof r->name - 1);
  if (bytes > 0) {
    r->arg = malloc(bytes);
    memcpy(r->arg, arg, bytes);
  }
  *(s->last != NULL ? &s->last->next : &s->first) = r;
  s->last = r;
  fake_clock_join(s->clock, fake.host); /* the caller may have seen all that */
  s->clock[s->id] = r->seq;
  if (fake_threaded()) fake_threads_need();
  return r;
}

FAKE_EXPORT int fake_command(struct CUstream_st *stream, const char *name, void (*fn)(void *arg),
                             const void *arg, size_t bytes, const fake_range *ranges, int n) {
  fake_lock();
  (void)fake_enqueue(stream, name, fn, arg, bytes);
  for (int i = 0; i < n; i++)
    fake_access(stream, name, ranges[i].begin, ranges[i].bytes, ranges[i].writes != 0);
  fake_some_progress();
  fake_unlock();
  return 0;
}

typedef struct counter_write {
  _Atomic uint64_t *word;
  uint64_t value;
} counter_write;

static void write_counter(void *arg) {
  counter_write *w = arg;
  th__store(w->word, w->value, TH__RELEASE); /* pairs with the host's acquire */
}

th__cu_result cuStreamWriteValue64_v2(th__cu_stream stream, th__cu_address word, uint64_t value,
                                      unsigned flags) {
  fake_lock();
  th__cu_result result = stream->context->dead;
  if (result == TH__CU_SUCCESS && fake.set.memops == 0) result = 801;
  if (result == TH__CU_SUCCESS) {
    counter_write w = {(_Atomic uint64_t *)(uintptr_t)word, value};
    fake_record *r = fake_enqueue(stream, "counter", write_counter, &w, sizeof w);
    r->clock = malloc(sizeof stream->clock);
    memcpy(r->clock, stream->clock, sizeof stream->clock);
    fake.count.writes++;
    fake_some_progress();
  }
  fake_unlock();
  return result;
}

/* ---- streams ---- */

th__cu_result cuStreamCreate(th__cu_stream *out, unsigned flags) {
  fake_lock();
  th__cu_context context = fake_current();
  if (context == NULL || context->dead != TH__CU_SUCCESS) {
    fake_unlock();
    return context == NULL ? 201 : context->dead;
  }
  struct CUstream_st *s = calloc(1, sizeof *s);
  while (fake.stream_ids >> s->id & 1) s->id++;
  fake.stream_ids |= UINT64_C(1) << s->id;
  s->context = context;
  s->issued = s->done = fake.host[s->id]; /* its number was another's: that one is over */
  s->next = fake.streams;
  fake.streams = s;
  fake.n_streams++;
  *out = s;
  fake_unlock();
  return TH__CU_SUCCESS;
}

th__cu_result cuStreamDestroy_v2(th__cu_stream stream) {
  fake_lock();
  (void)fake_run_until(stream, stream->issued);
  while (stream->busy || stream->waiters > 0) fake_threads_wait();
  for (fake_record *r; (r = stream->first) != NULL;) { /* of a dead context */
    stream->first = r->next;
    free_record(r);
  }
  for (struct CUstream_st *s = fake.streams; s != NULL; s = s->next)
    for (fake_record *r = s->first; r != NULL; r = r->next)
      if (r->other == stream) r->other = NULL; /* has passed: now a command that does nothing */
  if (stream->issued > fake.host[stream->id]) fake.host[stream->id] = stream->issued;
  struct CUstream_st **p = &fake.streams;
  while (*p != stream) p = &(*p)->next;
  *p = stream->next;
  fake.stream_ids &= ~(UINT64_C(1) << stream->id);
  fake.n_streams--;
  free(stream);
  fake_unlock();
  return TH__CU_SUCCESS;
}

/* The host has seen that everything on the stream is over. */
static void seen(struct CUstream_st *s) { fake_clock_join(fake.host, s->clock); }

th__cu_result cuStreamQuery(th__cu_stream stream) {
  fake_lock();
  bool over = look(stream, stream->issued);
  th__cu_result result = stream->context->dead;
  if (over && result == TH__CU_SUCCESS) seen(stream);
  fake_unlock();
  return result != TH__CU_SUCCESS ? result : over ? TH__CU_SUCCESS : TH__CU_NOT_READY;
}

th__cu_result cuStreamSynchronize(th__cu_stream stream) {
  fake_lock();
  fake.count.syncs++;
  bool over = fake_run_until(stream, stream->issued);
  th__cu_result result = stream->context->dead;
  if (over && result == TH__CU_SUCCESS)
    seen(stream);
  else if (!over && result == TH__CU_SUCCESS)
    fake_complain("deadlock: a stream waits for itself");
  fake_unlock();
  return result;
}

th__cu_result cuStreamWaitEvent(th__cu_stream stream, th__cu_event event, unsigned flags) {
  fake_lock();
  th__cu_result result = stream->context->dead;
  if (result == TH__CU_SUCCESS && event->stream != NULL && !fake_strikes(&fake.set.drop_wait)) {
    fake_record *r = fake_enqueue(stream, "wait", NULL, NULL, 0);
    r->other = event->stream;
    r->other_seq = event->seq;
    fake_clock_join(stream->clock, event->clock);
    fake.count.waits++;
  }
  if (result == TH__CU_SUCCESS) fake_some_progress();
  fake_unlock();
  return result;
}

/* ---- events ---- */

/* The device's clock: another origin and another rate than the host's. */
static double device_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return 7e14 + ((double)now.tv_sec * 1e9 + (double)now.tv_nsec) * (1 + 20e-6);
}

static void stamp_event(void *arg) {
  th__cu_event event = *(th__cu_event *)arg;
  event->at = device_ns();
  event->stamped = true;
}

bool fake_must_lock(const fake_record *r) { return r->run == stamp_event; }

/* Stamps that have not been taken yet find nothing to do. */
static void forget_stamps(th__cu_event event) {
  for (struct CUstream_st *s = fake.streams; s != NULL; s = s->next)
    for (fake_record *r = s->first; r != NULL; r = r->next)
      if (r->run == stamp_event && *(th__cu_event *)r->arg == event) r->run = NULL;
}

th__cu_result cuEventCreate(th__cu_event *out, unsigned flags) {
  fake_lock();
  th__cu_context context = fake_current();
  th__cu_result result = context == NULL ? 201 : context->dead;
  if (result == TH__CU_SUCCESS && fake_strikes(&fake.set.fail_event)) result = TH__CU_OUT_OF_MEMORY;
  if (result == TH__CU_SUCCESS) {
    *out = calloc(1, sizeof **out);
    (*out)->context = context;
    (*out)->timed = flags == TH__CU_EVENT_DEFAULT;
    fake.n_events++;
  }
  fake_unlock();
  return result;
}

th__cu_result cuEventDestroy_v2(th__cu_event event) {
  fake_lock();
  fake.n_events--;
  if (event->timed) forget_stamps(event);
  free(event);
  fake_unlock();
  return TH__CU_SUCCESS;
}

th__cu_result cuEventRecord(th__cu_event event, th__cu_stream stream) {
  fake_lock();
  th__cu_result result = stream->context->dead;
  if (result == TH__CU_SUCCESS && event->timed) {
    event->stamped = false;
    fake.count.timed++;
    (void)fake_enqueue(stream, "event", stamp_event, &event, sizeof event);
  }
  if (result == TH__CU_SUCCESS) {
    event->stream = stream;
    event->seq = stream->issued;
    memcpy(event->clock, stream->clock, sizeof event->clock);
    fake.count.records++;
    fake_some_progress();
  }
  fake_unlock();
  return result;
}

th__cu_result cuEventQuery(th__cu_event event) {
  fake_lock();
  th__cu_result result = event->context->dead;
  bool over = event->stream == NULL || look(event->stream, event->seq);
  if (over && result == TH__CU_SUCCESS) fake_clock_join(fake.host, event->clock);
  fake_unlock();
  return result != TH__CU_SUCCESS ? result : over ? TH__CU_SUCCESS : TH__CU_NOT_READY;
}

/* In steps of half a microsecond, as the real one. */
th__cu_result cuEventElapsedTime_v2(float *ms, th__cu_event start, th__cu_event end) {
  fake_lock();
  th__cu_result result = start->context->dead;
  if (result == TH__CU_SUCCESS && (!start->timed || !end->timed || start->stream == NULL))
    result = 400;
  if (result == TH__CU_SUCCESS && (!start->stamped || !end->stamped)) result = TH__CU_NOT_READY;
  if (result == TH__CU_SUCCESS) *ms = (float)(floor((end->at - start->at) / 500) * 0.0005);
  fake_unlock();
  return result;
}
