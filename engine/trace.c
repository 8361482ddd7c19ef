/* Owns recording: one ring of records per thread, written by that thread alone, and the session they belong to. The protocol stands
 * in trace_ring.h. */
#include "engine/trace.h"

#include <pthread.h>
#include <string.h>

#include "engine/base/error.h"
#include "engine/base/mem.h"
#include "engine/base/thread.h"
#include "engine/state.h"
#include "engine/trace_marks.h"
#include "engine/trace_names.h"
#include "engine/trace_ring.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

typedef th__trace_ring ring;
typedef th__trace_stream stream;

_Atomic uint32_t th__trace_flags;
_Atomic uint32_t th__trace_clock;

uv_mutex_t th__trace_lock = PTHREAD_MUTEX_INITIALIZER;
ring *th__trace_rings;
bool th__trace_forked;
th__trace_session th__trace_newest;
_Atomic uint64_t th__trace_lost;
static uint32_t n_rings;           /* under lock */
static pthread_key_t thread_key;   /* under lock; its destructor gives a ring back */
static bool have_key;              /* under lock */
static _Atomic uint32_t epoch = 1; /* changes when the rings are freed */
static _Atomic uint32_t session;   /* changes under lock; release pairs with the writers' acquire */

static __thread struct {
  ring *ring;
  uint32_t epoch;
  uint32_t
      session; /* that the ring was last made ready for; every change of epoch is also one of the session */
} mine TH__HOT;

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
  uv_mutex_lock(&th__trace_lock);
  if (mine.ring != NULL && mine.epoch == th__load(&epoch, TH__RELAXED)) mine.ring->owned = false;
  mine.ring = NULL;
  mine.session = 0;
  uv_mutex_unlock(&th__trace_lock);
}

/* Finds a ring whose thread has ended, or makes one. NULL when memory is short. */
static ring *claim_ring(void) {
  uv_mutex_lock(&th__trace_lock);
  if (!have_key) have_key = pthread_key_create(&thread_key, thread_ends) == 0;
  ring *r = th__trace_rings;
  while (r != NULL && r->owned) r = r->next;
  if (r == NULL && have_key && (r = quiet_alloc(sizeof(*r))) != NULL) {
    memset(r, 0, sizeof(*r));
    r->index = n_rings++;
    r->next = th__trace_rings;
    th__trace_rings = r;
  }
  if (r != NULL) {
    r->owned = true;
    mine.ring = r;
    mine.epoch = th__load(&epoch, TH__RELAXED);
    pthread_setspecific(thread_key, r);
  }
  uv_mutex_unlock(&th__trace_lock);
  return r;
}

/* This thread's ring, which it has not got or not yet emptied for the newest session. */
static __attribute__((noinline)) ring *renew_ring(void) {
  ring *r = mine.ring;
  if (r == NULL || mine.epoch != th__load(&epoch, TH__RELAXED)) r = claim_ring();
  if (r == NULL) {
    th__fetch_add(&th__trace_lost, 1, TH__RELAXED);
    return NULL;
  }
  uint32_t newest = th__load(&session, TH__ACQUIRE);
  mine.session = newest;
  if (th__load(&r->session, TH__RELAXED) == newest) return r;
  stream *streams[] = {&r->records, &r->edges, &r->works, &r->blocks};
  for (int i = 0; i < 4; i++) th__store(&streams[i]->count, 0, TH__RELAXED);
  th__store(&r->dropped, 0, TH__RELAXED);
  th__store(&r->session, newest, TH__RELEASE);
  return r;
}

/* Flags are read again with acquire: whoever sees recording on also sees its session. */
static inline ring *ring_for(uint32_t what) {
  if ((th__load(&th__trace_flags, TH__ACQUIRE) & what) == 0) return NULL;
  bool ready = mine.session == th__load(&session, TH__ACQUIRE);
  return __builtin_expect(ready, 1) ? mine.ring : renew_ring();
}

/* The place of item i of a stream that has those before it; NULL, counted as dropped, when the ring is full. Part of its callers,
 * where size is a constant: a division would cost more than the rest. */
static inline __attribute__((always_inline)) void *item_at(ring *r, stream *s, size_t size,
                                                           uint64_t i) {
  size_t per_chunk = TH__TRACE_CHUNK_BYTES / size;
  size_t chunk = i / per_chunk;
  if (__builtin_expect(chunk < TH__TRACE_CHUNKS && s->chunks[chunk] == NULL, 0))
    s->chunks[chunk] = th__trace_chunk();
  if (__builtin_expect(chunk >= TH__TRACE_CHUNKS || s->chunks[chunk] == NULL, 0)) {
    th__store(&r->dropped, th__load(&r->dropped, TH__RELAXED) + 1, TH__RELAXED);
    return NULL;
  }
  return (char *)s->chunks[chunk] + i % per_chunk * size;
}

/* The place of the next one. */
static inline __attribute__((always_inline)) void *next_item(ring *r, stream *s, size_t size) {
  return item_at(r, s, size, th__load(&s->count, TH__RELAXED));
}

static void publish(stream *s, uint32_t n) {
  th__store(&s->count, th__load(&s->count, TH__RELAXED) + n, TH__RELEASE);
}

/* Under no lock. */
static uint32_t intern(const char *name, th__trace_name_entry *e) {
  th__last_error saved = *th__error_slot();
  uv_mutex_lock(&th__trace_lock);
  e->index = th__trace_names_intern(name, &e->text);
  uv_mutex_unlock(&th__trace_lock);
  *th__error_slot() = saved;
  e->name = name;
  return e->index;
}

enum { PLACES = 4, SETS = TH__TRACE_CACHED_NAMES / PLACES }; /* of tables whose entries go by age */

/* Names are literals mostly: the address chooses the set, the content decides. */
static uint32_t name_index(ring *r, const char *name) {
  uintptr_t bits = (uintptr_t)name;
  th__trace_name_entry *set = &r->names[(bits >> 3 ^ bits >> 7) % SETS * PLACES];
  for (int i = 0; i < PLACES; i++) {
    const th__trace_name_entry *e = &set[i];
    if (e->name == name && strncmp(name, e->text, TH__TRACE_NAME - 1) == 0) return e->index;
  }
  memmove(set + 1, set, (PLACES - 1) * sizeof(*set)); /* the oldest goes */
  return intern(name, set);
}

/* The same of a kind's name. */
static uint32_t kind_name_index(ring *r, const th__kind *kind) {
  if (!kind->name_lasts) return name_index(r, kind->name);
  uint16_t *index = &r->of_kinds[kind - th__kinds];
  if (__builtin_expect(*index == 0, 0)) *index = (uint16_t)(1 + name_index(r, kind->name));
  return *index - 1u;
}

/* Notes are made anew for each task and lie anywhere: the content chooses the entry. */
static uint32_t note_index(ring *r, const char *note) {
  uint32_t h = 2166136261u; /* FNV-1a */
  for (const char *s = note; *s != 0; s++) h = (h ^ (uint8_t)*s) * 16777619u;
  th__trace_name_entry *e = &r->notes[(h ^ h >> 16) % TH__TRACE_CACHED_NAMES];
  if (e->text != NULL && strncmp(note, e->text, TH__TRACE_NAME - 1) == 0) return e->index;
  return intern(note, e);
}

/* The same by key. */
static uint32_t keyed_note_index(ring *r, const th__trace_note *note) {
  th__trace_note_entry *set = &r->keyed[(note->key[0] >> 40) % SETS * PLACES];
  for (int i = 0; i < PLACES; i++) {
    const th__trace_note_entry *e = &set[i];
    if (e->key[0] == note->key[0] && e->key[1] == note->key[1] && e->note != 0) return e->note - 1;
  }
  char text[TH__TRACE_NAME];
  note->make(note->what, text, sizeof(text));
  uint32_t index = note_index(r, text);
  memmove(set + 1, set, (PLACES - 1) * sizeof(*set));
  set[0] = (th__trace_note_entry){{note->key[0], note->key[1]}, index + 1};
  return index;
}

/* --- recording --- */

/* How many there was room for. */
static __attribute__((noinline)) uint16_t put_edges(ring *r, const uint64_t *edges, uint32_t n) {
  const uint32_t per_chunk = TH__TRACE_CHUNK_BYTES / sizeof(*edges);
  uint64_t first = th__load(&r->edges.count, TH__RELAXED), *place = NULL;
  uint32_t done = 0;
  for (; done < n; done++) {
    if (done == 0 || (first + done) % per_chunk == 0)
      place = item_at(r, &r->edges, sizeof(*place), first + done);
    if (place == NULL) break;
    *place++ = edges[done];
  }
  publish(&r->edges, done);
  return (uint16_t)done;
}

static int16_t lane_of(int32_t lane) {
  return (int16_t)(lane < TH__TRACE_LANES ? lane : TH__TRACE_LANE + (lane - TH__TRACE_LANES));
}

static void put_work(ring *r, uint64_t id, int64_t flops, int64_t moved, uint32_t note) {
  th__trace_work_item *w = next_item(r, &r->works, sizeof(*w));
  if (w == NULL) return;
  *w = (th__trace_work_item){.id = id, .flops = flops, .moved = moved, .note = note};
  publish(&r->works, 1);
}

void th__trace_task_done(const th__trace_task *t) {
  ring *r = ring_for(TH_PROFILE_OPS);
  th__trace_record *e = r == NULL ? NULL : next_item(r, &r->records, sizeof(*e));
  if (e == NULL) return;
  *e = (th__trace_record){
      .id = (t->id & TH__TRACE_ID) | (uint64_t)(uint8_t)t->device_kind << 48 |
            (uint64_t)(uint8_t)t->device_index << 56,
      .ref = t->ref,
      .submitted = t->submitted,
      .ready = t->ready,
      .started = t->started,
      .finished = t->finished,
      .bytes = th__memory_pack(t->bytes),
      .name = (uint16_t)(t->kind != NULL ? kind_name_index(r, t->kind)
                                         : name_index(r, t->name == NULL ? "task" : t->name)),
      .lane = lane_of(t->lane),
      .n_reads = t->n_reads,
      .n_writes = t->n_writes,
      .n_edges = t->n_edges == 0 ? 0 : put_edges(r, t->edges, t->n_edges),
      .kind = TH__TRACE_TASK,
      .status = t->status};
  publish(&r->records, 1);
  if (__builtin_expect(t->starved != 0, 0))
    put_work(r, t->id, (int64_t)t->starved, -1, TH__TRACE_NO_NOTE);
}

void th__trace_work(uint64_t id, int64_t flops, int64_t moved, const char *note) {
  ring *r = ring_for(TH_PROFILE_OPS);
  if (r == NULL || flops < 0 || moved < 0) return;
  put_work(r, id, flops, moved, note == NULL ? TH__TRACE_NO_NOTE : note_index(r, note));
}

uint32_t th__trace_note_number(const th__trace_note *note) {
  ring *r = ring_for(TH_PROFILE_OPS);
  return r == NULL ? TH__TRACE_NO_NOTE : keyed_note_index(r, note);
}

void th__trace_noted(th_task_context *context, int64_t flops, int64_t moved, uint32_t note) {
  ring *r = ring_for(TH_PROFILE_OPS);
  if (r == NULL || flops < 0 || moved < 0) return;
  put_work(r, th__load(&context->task->sequence, TH__RELAXED), flops, moved, note);
}

void th__trace_block_changed_at(uint64_t at, th_device d, uint64_t block, int64_t bytes,
                                const th__kind *who) {
  ring *r = ring_for(TH_PROFILE_MEMORY);
  th__trace_change *b = r == NULL ? NULL : next_item(r, &r->blocks, sizeof(*b));
  if (b == NULL) return;
  *b = (th__trace_change){.at = at,
                          .block = block,
                          .bytes = bytes,
                          .name = (uint16_t)(bytes < 0 ? 0 : kind_name_index(r, who)),
                          .device_kind = (uint8_t)d.kind,
                          .device_index = (uint8_t)d.index};
  publish(&r->blocks, 1);
}

void th__trace_block_changed(th_device d, uint64_t block, int64_t bytes, const char *who) {
  const th__kind by = {.name = who};
  th__trace_block_changed_at(th__ticks(), d, block, bytes, &by);
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
                          .name = (uint16_t)name_index(r, name),
                          .lane = TH__TRACE_HOST,
                          .kind = kind};
  publish(&r->records, 1);
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
  *e = (th__trace_record){.ref = (uint64_t)value,
                          .started = at,
                          .finished = at,
                          .name = (uint16_t)name_index(r, name == NULL ? "counter" : name),
                          .kind = TH__TRACE_COUNTER};
  publish(&r->records, 1);
}

/* --- sessions --- */

bool th__trace_ring_is_current(const ring *r) {
  return th__load(&r->session, TH__ACQUIRE) == th__load(&session, TH__RELAXED);
}

th_status th__trace_begin(uint32_t what) {
  uv_mutex_lock(&th__trace_lock);
  if (th__trace_forked) {
    uv_mutex_unlock(&th__trace_lock);
    return th__fail(TH_EFORK, "th_profile_start: the engine does not survive fork");
  }
  th__trace_newest.what = what;
  th__trace_clocks(&th__trace_newest.begin_ticks, &th__trace_newest.begin_ns);
  th__store(&th__trace_lost, 0, TH__RELAXED);
  th__store(&session, th__load(&session, TH__RELAXED) + 1, TH__RELEASE);
  th__store(&th__trace_flags, what, TH__RELEASE);
  uv_mutex_unlock(&th__trace_lock);
  return TH_OK;
}

th_status th__trace_end(void) {
  uv_mutex_lock(&th__trace_lock);
  th_status status = th__trace_forked
                         ? th__fail(TH_EFORK, "th_profile_stop: the engine does not survive fork")
                         : TH_OK;
  th__store(&th__trace_flags, 0, TH__RELEASE);
  uv_mutex_unlock(&th__trace_lock);
  return status;
}

uint64_t th_profile_dropped(void) {
  uv_mutex_lock(&th__trace_lock);
  uint64_t n = th__load(&th__trace_lost, TH__RELAXED);
  for (ring *r = th__trace_forked ? NULL : th__trace_rings; r != NULL; r = r->next)
    if (th__trace_ring_is_current(r)) n += th__load(&r->dropped, TH__RELAXED);
  uv_mutex_unlock(&th__trace_lock);
  return n;
}

void th__trace_shutdown(void) {
  uv_mutex_lock(&th__trace_lock);
  th__store(&th__trace_flags, 0, TH__RELEASE);
  th__fetch_add(&epoch, 1, TH__RELAXED);
  th__store(&session, th__load(&session, TH__RELAXED) + 1, TH__RELEASE);
  while (th__trace_rings != NULL) {
    ring *r = th__trace_rings;
    th__trace_rings = r->next;
    th__free(r);
  }
  th__trace_chunks_free();
  n_rings = 0;
  if (have_key) pthread_key_delete(thread_key);
  have_key = false;
  th__trace_forked = false;
  th__trace_names_free();
  uv_mutex_unlock(&th__trace_lock);
}

void th__trace_after_fork(void) {
  th__trace_lock = (uv_mutex_t)PTHREAD_MUTEX_INITIALIZER; /* another thread may have held it */
  th__store(&th__trace_flags, 0, TH__RELAXED);
  th__fetch_add(&epoch, 1, TH__RELAXED);
  th__fetch_add(&session, 1, TH__RELAXED);
  th__trace_chunks_forget();
  th__trace_rings = NULL; /* their writers are gone, perhaps in the middle of a record */
  n_rings = 0;
  th__trace_names_forget();
  th__trace_forked = true;
}

void th__trace_reset(void) {
  uv_mutex_lock(&th__trace_lock);
  th__trace_forked = false;
  uv_mutex_unlock(&th__trace_lock);
}
