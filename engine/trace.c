/* Owns recording: one ring of records per thread, written by that thread alone, and the session they belong to.
 *
 * Protocol: `lock` guards the list of rings, their owners, the names and the session; th_profile_*() hold it while they read.
 * A writer takes no lock: it fills the next record and publishes it with a release store of the count. It empties its ring
 * itself when it sees a newer session. A session only changes under the lock, so no ring is emptied while somebody reads. */
#include "engine/trace.h"

#include <pthread.h>
#include <string.h>
#include <uv.h>

#include "engine/base/error.h"
#include "engine/base/mem.h"
#include "engine/base/thread.h"
#include "engine/trace_marks.h"
#include "engine/trace_names.h"
#include "engine/trace_view.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

enum {
  CHUNKS = 64, /* a full ring holds 262,144 records and 1,048,576 edges */
  CHUNK_BYTES = 256 * 1024,
  CACHED_NAMES = 64
};

typedef struct stream {
  void *chunks[CHUNKS];
  _Atomic uint64_t count; /* release by the owner pairs with acquire by readers */
} stream;

typedef struct name_entry {
  const char *name; /* as given; may dangle, so it only chooses the entry */
  const char *text; /* our copy, compared with the content on every hit */
  uint32_t index;
} name_entry;

typedef struct ring {
  struct ring *next;        /* under lock */
  bool owned;               /* under lock */
  uint32_t index;           /* constant */
  _Atomic uint32_t session; /* release by the owner pairs with acquire by readers */
  _Atomic uint64_t dropped; /* written by the owner */
  stream records, pairs;
  name_entry names[CACHED_NAMES]; /* owner only */
} ring;

_Atomic uint32_t th__trace_flags;
_Atomic uint32_t th__trace_clock;

static uv_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static ring *rings;                /* under lock */
static uint32_t n_rings;           /* under lock */
static pthread_key_t thread_key;   /* under lock; its destructor gives a ring back */
static bool have_key;              /* under lock */
static bool forked;                /* under lock */
static _Atomic uint32_t epoch = 1; /* changes when the rings are freed */
static _Atomic uint32_t session;   /* changes under lock; release pairs with the writers' acquire */
static _Atomic uint64_t lost;      /* records of threads that got no ring */

static struct { /* under lock; of the newest session */
  uint32_t what;
  uint64_t begin_ticks;
  int64_t begin_ns;
} now;

static __thread struct {
  ring *ring;
  uint32_t epoch;
} mine;

/* --- clock --- */

uint32_t th__trace_clock_decide(void) {
  uint32_t clock = 2;
#if defined(__x86_64__)
  uint32_t a, b, c, d;
  if (__get_cpuid(0x80000007, &a, &b, &c, &d) && (d & 1u << 8) != 0) clock = 1; /* invariant */
#endif
  th__store(&th__trace_clock, clock, TH__RELAXED); /* every thread decides alike */
  return clock;
}

void th__trace_clocks(uint64_t *ticks, int64_t *ns) {
  uint64_t best = UINT64_MAX;
  for (int i = 0; i < 5; i++) {
    uint64_t before = th__ticks();
    int64_t between = th__now_ns();
    uint64_t after = th__ticks();
    if (after - before >= best) continue;
    best = after - before;
    *ticks = before + best / 2;
    *ns = between;
  }
}

/* --- rings --- */

/* Recording must not disturb the error a thread has to show. */
static void *quiet_alloc(size_t bytes) {
  th__last_error saved = *th__error_slot();
  void *block = th__alloc(bytes);
  if (block == NULL) *th__error_slot() = saved;
  return block;
}

static void thread_ends(void *arg) {
  (void)arg;
  uv_mutex_lock(&lock);
  if (mine.ring != NULL && mine.epoch == th__load(&epoch, TH__RELAXED)) mine.ring->owned = false;
  mine.ring = NULL;
  uv_mutex_unlock(&lock);
}

/* Finds a ring whose thread has ended, or makes one. NULL when memory is short. */
static ring *claim_ring(void) {
  uv_mutex_lock(&lock);
  if (!have_key) have_key = pthread_key_create(&thread_key, thread_ends) == 0;
  ring *r = rings;
  while (r != NULL && r->owned) r = r->next;
  if (r == NULL && have_key && (r = quiet_alloc(sizeof(*r))) != NULL) {
    memset(r, 0, sizeof(*r));
    r->index = n_rings++;
    r->next = rings;
    rings = r;
  }
  if (r != NULL) {
    r->owned = true;
    mine.ring = r;
    mine.epoch = th__load(&epoch, TH__RELAXED);
    pthread_setspecific(thread_key, r);
  }
  uv_mutex_unlock(&lock);
  return r;
}

static ring *my_ring(void) {
  ring *r = mine.ring;
  if (__builtin_expect(r == NULL || mine.epoch != th__load(&epoch, TH__RELAXED), 0))
    r = claim_ring();
  if (r == NULL) {
    th__fetch_add(&lost, 1, TH__RELAXED);
    return NULL;
  }
  uint32_t newest = th__load(&session, TH__ACQUIRE);
  if (__builtin_expect(th__load(&r->session, TH__RELAXED) != newest, 0)) {
    th__store(&r->records.count, 0, TH__RELAXED);
    th__store(&r->pairs.count, 0, TH__RELAXED);
    th__store(&r->dropped, 0, TH__RELAXED);
    th__store(&r->session, newest, TH__RELEASE);
  }
  return r;
}

/* The place of the next item; NULL, counted as dropped, when the ring is full. Part of its callers, where size is a constant: a
 * division would cost more than the rest. */
static inline __attribute__((always_inline)) void *next_item(ring *r, stream *s, size_t size) {
  size_t per_chunk = CHUNK_BYTES / size;
  uint64_t i = th__load(&s->count, TH__RELAXED);
  size_t chunk = i / per_chunk;
  if (__builtin_expect(chunk < CHUNKS && s->chunks[chunk] == NULL, 0))
    s->chunks[chunk] = quiet_alloc(CHUNK_BYTES);
  if (__builtin_expect(chunk >= CHUNKS || s->chunks[chunk] == NULL, 0)) {
    th__store(&r->dropped, th__load(&r->dropped, TH__RELAXED) + 1, TH__RELAXED);
    return NULL;
  }
  return (char *)s->chunks[chunk] + i % per_chunk * size;
}

static void publish(stream *s) {
  th__store(&s->count, th__load(&s->count, TH__RELAXED) + 1, TH__RELEASE);
}

static uint32_t name_index(ring *r, const char *name) {
  uintptr_t bits = (uintptr_t)name;
  name_entry *e = &r->names[(bits >> 3 ^ bits >> 9) % CACHED_NAMES];
  if (__builtin_expect(e->name == name && strncmp(name, e->text, TH__TRACE_NAME - 1) == 0, 1))
    return e->index;
  th__last_error saved = *th__error_slot();
  uv_mutex_lock(&lock);
  e->index = th__trace_names_intern(name, &e->text);
  uv_mutex_unlock(&lock);
  *th__error_slot() = saved;
  e->name = name;
  return e->index;
}

/* --- recording --- */

/* Flags are read again with acquire: whoever sees recording on also sees its session. */
static ring *ring_for(uint32_t what) {
  return (th__load(&th__trace_flags, TH__ACQUIRE) & what) != 0 ? my_ring() : NULL;
}

void th__trace_task_done(const th__trace_task *t) {
  ring *r = ring_for(TH_PROFILE_OPS);
  th__trace_record *e = r == NULL ? NULL : next_item(r, &r->records, sizeof(*e));
  if (e == NULL) return;
  *e = (th__trace_record){.id = t->id,
                          .submitted = t->submitted,
                          .ready = t->ready,
                          .started = t->started,
                          .finished = t->finished,
                          .bytes = t->bytes,
                          .name = name_index(r, t->name == NULL ? "task" : t->name),
                          .lane = t->lane,
                          .n_reads = t->n_reads,
                          .n_writes = t->n_writes,
                          .kind = TH__TRACE_TASK,
                          .status = t->status,
                          .device_kind = (uint8_t)t->device_kind,
                          .device_index = (uint8_t)t->device_index};
  publish(&r->records);
}

void th__trace_edge(uint64_t from, uint64_t to) {
  ring *r = ring_for(TH_PROFILE_EDGES);
  th__trace_pair *p = r == NULL ? NULL : next_item(r, &r->pairs, sizeof(*p));
  if (p == NULL) return;
  *p = (th__trace_pair){from, to};
  publish(&r->pairs);
}

/* Records a span of the calling thread. */
static void span(uint32_t what, uint8_t kind, const char *name, uint64_t begin, uint64_t end) {
  ring *r = ring_for(what);
  th__trace_record *e = r == NULL ? NULL : next_item(r, &r->records, sizeof(*e));
  if (e == NULL) return;
  *e = (th__trace_record){.submitted = begin,
                          .ready = begin,
                          .started = begin,
                          .finished = end,
                          .name = name_index(r, name),
                          .lane = TH__TRACE_HOST,
                          .kind = kind};
  publish(&r->records);
}

void th__trace_host_wait(const char *where, uint64_t begin, uint64_t end) {
  span(TH_PROFILE_WAITS, TH__TRACE_WAIT, where == NULL ? "wait" : th__trace_site(where), begin,
       end);
}

void th__trace_range(const char *name, uint64_t begin, uint64_t end) {
  span(TH_PROFILE_RANGES, TH__TRACE_RANGE, name == NULL ? "range" : name, begin, end);
}

void th__trace_counter(const char *name, int64_t value) {
  ring *r = ring_for(TH_PROFILE_COUNTERS);
  th__trace_record *e = r == NULL ? NULL : next_item(r, &r->records, sizeof(*e));
  if (e == NULL) return;
  uint64_t at = th__ticks();
  *e = (th__trace_record){.id = (uint64_t)value,
                          .started = at,
                          .finished = at,
                          .name = name_index(r, name == NULL ? "counter" : name),
                          .kind = TH__TRACE_COUNTER};
  publish(&r->records);
}

/* --- collecting --- */

typedef struct scale { /* ticks to ns since the session began */
  uint64_t begin, end;
  double ns_per_tick;
} scale;

/* -1 for stamps that do not belong to the session. */
static int64_t to_ns(const scale *s, uint64_t ticks) {
  if (ticks < s->begin || ticks > s->end) return -1;
  return (int64_t)((double)(ticks - s->begin) * s->ns_per_tick);
}

static scale make_scale(void) {
  scale s = {.begin = now.begin_ticks, .ns_per_tick = 1};
  uint64_t ticks = 0;
  int64_t ns = 0;
  th__trace_clocks(&ticks, &ns);
  if (ticks > now.begin_ticks && ns > now.begin_ns)
    s.ns_per_tick = (double)(ns - now.begin_ns) / (double)(ticks - now.begin_ticks);
  s.end = ticks;
  return s;
}

static uint64_t key_of(const th__trace_record *r, uint32_t ring_index) {
  uint64_t part = r->kind == TH__TRACE_RANGE  ? TH__TRACE_RANGES
                  : r->kind == TH__TRACE_WAIT ? TH__TRACE_WAITS
                                              : TH__TRACE_OPS;
  if (r->lane < 0) return UINT64_C(1) << 56 | (uint64_t)ring_index << 2 | part;
  return (uint64_t)r->device_kind << 40 | (uint64_t)r->device_index << 32 | (uint32_t)r->lane;
}

/* Stamps may be zero, stale, or off by the skew between cores: each is clamped by the next one. */
static th__trace_event event_of(const th__trace_record *r, const scale *s, uint32_t ring_index) {
  th__trace_event e = {.id = r->id,
                       .bytes = r->bytes,
                       .key = key_of(r, ring_index),
                       .name = r->name,
                       .n_reads = r->n_reads,
                       .n_writes = r->n_writes,
                       .kind = r->kind,
                       .status = r->status,
                       .device_kind = r->device_kind,
                       .device_index = r->device_index};
  e.finished = to_ns(s, r->finished);
  if (e.finished < 0) e.finished = r->finished > s->end ? to_ns(s, s->end) : 0;
  e.started = to_ns(s, r->started);
  if (e.started < 0 && r->started != 0 && r->started < s->begin) e.started = 0;
  if (e.started < 0 || e.started > e.finished) e.started = e.finished;
  e.ready = to_ns(s, r->ready);
  if (e.ready < 0 || e.ready > e.started) e.ready = e.started;
  e.submitted = to_ns(s, r->submitted);
  if (e.submitted < 0 || e.submitted > e.ready) e.submitted = e.ready;
  e.began = e.started;
  e.ended = e.finished;
  return e;
}

static void collect_ring(const ring *r, const scale *s, th__trace_view *out, size_t most_records,
                         size_t most_pairs) {
  uint64_t n = th__load(&r->records.count, TH__ACQUIRE);
  const size_t per_chunk = CHUNK_BYTES / sizeof(th__trace_record);
  for (uint64_t i = 0; i < n && out->n_events + out->n_samples < most_records; i++) {
    const th__trace_record *e =
        (const th__trace_record *)r->records.chunks[i / per_chunk] + i % per_chunk;
    if (e->kind != TH__TRACE_COUNTER) {
      out->events[out->n_events++] = event_of(e, s, r->index);
    } else {
      int64_t at = to_ns(s, e->started);
      out->samples[out->n_samples++] = (th__trace_sample){at < 0 ? 0 : at, (int64_t)e->id, e->name};
    }
  }
  n = th__load(&r->pairs.count, TH__ACQUIRE);
  const size_t pairs_per_chunk = CHUNK_BYTES / sizeof(th__trace_pair);
  for (uint64_t i = 0; i < n && out->n_pairs < most_pairs; i++)
    out->pairs[out->n_pairs++] =
        ((const th__trace_pair *)r->pairs.chunks[i / pairs_per_chunk])[i % pairs_per_chunk];
  out->dropped += th__load(&r->dropped, TH__RELAXED);
}

/* Under the lock. A ring of another session holds nothing of this one. */
static bool ring_is_current(const ring *r) {
  return th__load(&r->session, TH__ACQUIRE) == th__load(&session, TH__RELAXED);
}

static th_status collect_locked(th__trace_view *out) {
  size_t records = 0, pairs = 0;
  for (ring *r = rings; r != NULL; r = r->next) {
    if (!ring_is_current(r)) continue;
    records += th__load(&r->records.count, TH__ACQUIRE);
    pairs += th__load(&r->pairs.count, TH__ACQUIRE);
  }
  out->what = now.what;
  out->dropped = th__load(&lost, TH__RELAXED);
  out->n_names = th__trace_names_count();
  out->events = th__alloc((records + 1) * sizeof(*out->events));
  out->samples = th__alloc((records + 1) * sizeof(*out->samples));
  out->pairs = th__alloc((pairs + 1) * sizeof(*out->pairs));
  out->names = th__alloc(out->n_names * sizeof(*out->names));
  if (out->events == NULL || out->samples == NULL || out->pairs == NULL || out->names == NULL)
    return th__fail(TH_ENOMEM, "th_profile: no memory to show %zu records", records);
  for (size_t i = 0; i < out->n_names; i++) out->names[i] = th__trace_names_at(i);
  scale s = make_scale();
  for (ring *r = rings; r != NULL; r = r->next)
    if (ring_is_current(r)) collect_ring(r, &s, out, records, pairs);
  return TH_OK;
}

th_status th__trace_collect(th__trace_view *out) {
  uv_mutex_lock(&lock);
  th_status status = forked ? th__fail(TH_EFORK, "th_profile: the engine does not survive fork")
                            : collect_locked(out);
  uv_mutex_unlock(&lock);
  return status;
}

/* --- sessions --- */

th_status th__trace_begin(uint32_t what) {
  uv_mutex_lock(&lock);
  if (forked) {
    uv_mutex_unlock(&lock);
    return th__fail(TH_EFORK, "th_profile_start: the engine does not survive fork");
  }
  now.what = what;
  th__trace_clocks(&now.begin_ticks, &now.begin_ns);
  th__store(&lost, 0, TH__RELAXED);
  th__store(&session, th__load(&session, TH__RELAXED) + 1, TH__RELEASE);
  th__store(&th__trace_flags, what, TH__RELEASE);
  uv_mutex_unlock(&lock);
  return TH_OK;
}

th_status th__trace_end(void) {
  uv_mutex_lock(&lock);
  th_status status =
      forked ? th__fail(TH_EFORK, "th_profile_stop: the engine does not survive fork") : TH_OK;
  th__store(&th__trace_flags, 0, TH__RELEASE);
  uv_mutex_unlock(&lock);
  return status;
}

uint64_t th_profile_dropped(void) {
  uv_mutex_lock(&lock);
  uint64_t n = th__load(&lost, TH__RELAXED);
  for (ring *r = forked ? NULL : rings; r != NULL; r = r->next)
    if (ring_is_current(r)) n += th__load(&r->dropped, TH__RELAXED);
  uv_mutex_unlock(&lock);
  return n;
}

void th__trace_shutdown(void) {
  uv_mutex_lock(&lock);
  th__store(&th__trace_flags, 0, TH__RELEASE);
  th__fetch_add(&epoch, 1, TH__RELAXED);
  th__store(&session, th__load(&session, TH__RELAXED) + 1, TH__RELEASE);
  while (rings != NULL) {
    ring *r = rings;
    rings = r->next;
    for (int i = 0; i < CHUNKS; i++) {
      th__free(r->records.chunks[i]);
      th__free(r->pairs.chunks[i]);
    }
    th__free(r);
  }
  n_rings = 0;
  if (have_key) pthread_key_delete(thread_key);
  have_key = false;
  forked = false;
  th__trace_names_free();
  uv_mutex_unlock(&lock);
}

void th__trace_after_fork(void) {
  lock = (uv_mutex_t)PTHREAD_MUTEX_INITIALIZER; /* another thread may have held it */
  th__store(&th__trace_flags, 0, TH__RELAXED);
  th__fetch_add(&epoch, 1, TH__RELAXED);
  th__fetch_add(&session, 1, TH__RELAXED);
  rings = NULL; /* their writers are gone, perhaps in the middle of a record */
  n_rings = 0;
  th__trace_names_forget();
  forked = true;
}

void th__trace_reset(void) {
  uv_mutex_lock(&lock);
  forked = false;
  uv_mutex_unlock(&lock);
}
