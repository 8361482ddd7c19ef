/* Owns reading the rings: copies of what was recorded, in ns since the recording began, with edges and works put to their tasks.
 * Under th__trace_lock while it reads. */
#include <stdlib.h>
#include <string.h>

#include "engine/base/error.h"
#include "engine/base/mem.h"
#include "engine/task.h"
#include "engine/trace_names.h"
#include "engine/trace_ring.h"

typedef struct scale { /* ticks to ns since the session began */
  uint64_t begin, end;
  double ns_per_tick;
} scale;

typedef struct collection {
  th__trace_view *out;
  scale scale;
  th__trace_work_item *works; /* [n_works] */
  th__trace_change *blocks;   /* [n_blocks], the time of each in ns */
  size_t n_works, n_blocks;
  size_t room_records, room_edges, room_works, room_blocks;
} collection;

/* -1 for stamps that do not belong to the session. */
static int64_t to_ns(const scale *s, uint64_t ticks) {
  if (ticks < s->begin || ticks > s->end) return -1;
  return (int64_t)((double)(ticks - s->begin) * s->ns_per_tick);
}

static scale make_scale(void) {
  const th__trace_session *now = &th__trace_newest;
  scale s = {.begin = now->begin_ticks, .ns_per_tick = 1};
  uint64_t ticks = 0;
  int64_t ns = 0;
  th__trace_clocks(&ticks, &ns);
  if (ticks > now->begin_ticks && ns > now->begin_ns)
    s.ns_per_tick = (double)(ns - now->begin_ns) / (double)(ticks - now->begin_ticks);
  s.end = ticks;
  return s;
}

static uint64_t key_of(const th__trace_record *r, uint32_t ring_index) {
  uint64_t part = r->kind == TH__TRACE_RANGE  ? TH__TRACE_RANGES
                  : r->kind == TH__TRACE_WAIT ? TH__TRACE_WAITS
                                              : TH__TRACE_OPS;
  if (r->lane < 0) return UINT64_C(1) << 56 | (uint64_t)ring_index << 2 | part;
  int lane = r->lane < TH__TRACE_LANE ? r->lane : r->lane - TH__TRACE_LANE + TH__TRACE_LANES;
  return th__trace_key((int)(r->id >> 48 & 0xff), (int)(r->id >> 56), lane);
}

/* Stamps may be zero, stale, or off by the skew between cores: each is clamped by the next one. */
static th__trace_event event_of(const th__trace_record *r, const scale *s, uint32_t ring_index) {
  th__trace_event e = {.id = r->id & TH__TRACE_ID,
                       .ref = r->ref,
                       .bytes = th__memory_unpack(r->bytes),
                       .flops = -1,
                       .moved = -1,
                       .starved = -1,
                       .note = TH__TRACE_NO_NOTE,
                       .key = key_of(r, ring_index),
                       .name = r->name,
                       .n_reads = r->n_reads,
                       .n_writes = r->n_writes,
                       .kind = r->kind,
                       .status = r->status & 3,
                       .copies = (r->status & TH__TRACE_COPY) != 0,
                       .device_kind = (uint8_t)(r->id >> 48),
                       .device_index = (uint8_t)(r->id >> 56)};
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

/* Edges name their earlier end by its reference until all tasks are known. */
static void collect_records(collection *c, const th__trace_ring *ring) {
  th__trace_view *out = c->out;
  uint64_t n = th__load(&ring->records.count, TH__ACQUIRE), edge = 0;
  uint64_t n_edges = th__load(&ring->edges.count, TH__ACQUIRE);
  for (uint64_t i = 0; i < n && out->n_events + out->n_samples < c->room_records; i++) {
    const th__trace_record *e = th__trace_item(&ring->records, sizeof(*e), i);
    if (e->kind == TH__TRACE_COUNTER) {
      int64_t at = to_ns(&c->scale, e->started);
      out->samples[out->n_samples++] =
          (th__trace_sample){at < 0 ? 0 : at, (int64_t)e->ref, e->name};
      continue;
    }
    out->events[out->n_events++] = event_of(e, &c->scale, ring->index);
    for (uint64_t end = edge + e->n_edges; edge < end; edge++) {
      const uint64_t *from = th__trace_item(&ring->edges, sizeof(*from), edge);
      if (edge < n_edges && out->n_pairs < c->room_edges)
        out->pairs[out->n_pairs++] = (th__trace_pair){*from, e->id & TH__TRACE_ID};
    }
  }
}

static void collect_ring(collection *c, const th__trace_ring *ring) {
  collect_records(c, ring);
  uint64_t n = th__load(&ring->works.count, TH__ACQUIRE);
  for (uint64_t i = 0; i < n && c->n_works < c->room_works; i++)
    c->works[c->n_works++] =
        *(const th__trace_work_item *)th__trace_item(&ring->works, sizeof(*c->works), i);
  n = th__load(&ring->blocks.count, TH__ACQUIRE);
  for (uint64_t i = 0; i < n && c->n_blocks < c->room_blocks; i++) {
    th__trace_change *b = &c->blocks[c->n_blocks];
    *b = *(const th__trace_change *)th__trace_item(&ring->blocks, sizeof(*b), i);
    int64_t at = to_ns(&c->scale, b->at);
    b->at = (uint64_t)(at < 0 ? 0 : at);
    c->n_blocks++;
  }
  c->out->dropped += th__load(&ring->dropped, TH__RELAXED);
}

/* --- works and edges to tasks --- */

typedef struct key_entry {
  uint64_t key;
  uint32_t event;
} key_entry;

static int by_key(const void *a, const void *b) {
  const key_entry *x = a, *y = b;
  if (x->key != y->key) return x->key < y->key ? -1 : 1;
  return (x->event > y->event) - (x->event < y->event);
}

/* The tasks by id or reference. */
static size_t list_tasks(const th__trace_view *v, key_entry *keys, bool by_ref) {
  size_t n = 0;
  for (size_t i = 0; i < v->n_events; i++)
    if (v->events[i].kind == TH__TRACE_TASK)
      keys[n++] = (key_entry){by_ref ? v->events[i].ref : v->events[i].id, (uint32_t)i};
  if (n > 0) qsort(keys, n, sizeof(*keys), by_key);
  return n;
}

static th__trace_event *find_task(const th__trace_view *v, const key_entry *keys, size_t n,
                                  uint64_t key) {
  size_t low = 0, high = n;
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    if (keys[middle].key < key) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low < n && keys[low].key == key ? &v->events[keys[low].event] : NULL;
}

static void add_work(const collection *c, th__trace_event *e, const th__trace_work_item *w) {
  if (w->moved >= 0) {
    e->flops = w->flops;
    e->moved = w->moved;
    e->note = w->note;
  } else {
    int64_t since = to_ns(&c->scale, (uint64_t)w->flops);
    if (since >= e->ready && since <= e->began) e->starved = since;
  }
}

/* Edges from tasks that were not recorded (the engine's own, or earlier ones) are left out. */
static th_status join_all(collection *c) {
  th__trace_view *v = c->out;
  if (c->n_works + v->n_pairs == 0) return TH_OK;
  key_entry *keys = th__alloc((v->n_events + 1) * sizeof(*keys));
  if (keys == NULL) return TH_ENOMEM;
  size_t n = c->n_works == 0 ? 0 : list_tasks(v, keys, false), kept = 0;
  for (size_t i = 0; i < c->n_works; i++) {
    th__trace_event *e = find_task(v, keys, n, c->works[i].id);
    if (e != NULL) add_work(c, e, &c->works[i]);
  }
  n = v->n_pairs == 0 ? 0 : list_tasks(v, keys, true);
  for (size_t i = 0; i < v->n_pairs; i++) {
    const th__trace_event *from = find_task(v, keys, n, v->pairs[i].from);
    if (from != NULL) v->pairs[kept++] = (th__trace_pair){from->id, v->pairs[i].to};
  }
  v->n_pairs = kept;
  th__free(keys);
  return TH_OK;
}

/* --- all of it --- */

static void count_room(collection *c) {
  for (th__trace_ring *r = th__trace_rings; r != NULL; r = r->next) {
    if (!th__trace_ring_is_current(r)) continue;
    c->room_records += th__load(&r->records.count, TH__ACQUIRE);
    c->room_edges += th__load(&r->edges.count, TH__ACQUIRE);
    c->room_works += th__load(&r->works.count, TH__ACQUIRE);
    c->room_blocks += th__load(&r->blocks.count, TH__ACQUIRE);
  }
}

static bool make_room(collection *c) {
  th__trace_view *out = c->out;
  out->n_names = th__trace_names_count();
  out->events = th__alloc((c->room_records + 1) * sizeof(*out->events));
  out->samples = th__alloc((c->room_records + 1) * sizeof(*out->samples));
  out->pairs = th__alloc((c->room_edges + 1) * sizeof(*out->pairs));
  out->names = th__alloc(out->n_names * sizeof(*out->names));
  c->works = th__alloc((c->room_works + 1) * sizeof(*c->works));
  c->blocks = th__alloc((c->room_blocks + 1) * sizeof(*c->blocks));
  return out->events != NULL && out->samples != NULL && out->pairs != NULL && out->names != NULL &&
         c->works != NULL && c->blocks != NULL;
}

static th_status collect_locked(collection *c) {
  th__trace_view *out = c->out;
  count_room(c);
  out->what = th__trace_newest.what;
  out->dropped = th__load(&th__trace_lost, TH__RELAXED);
  if (!make_room(c))
    return th__fail(TH_ENOMEM, "th_profile: no memory to show %zu records", c->room_records);
  for (size_t i = 0; i < out->n_names; i++) out->names[i] = th__trace_names_at(i);
  c->scale = make_scale();
  for (th__trace_ring *r = th__trace_rings; r != NULL; r = r->next)
    if (th__trace_ring_is_current(r)) collect_ring(c, r);
  return TH_OK;
}

th_status th__trace_collect(th__trace_view *out) {
  collection c = {.out = out};
  uv_mutex_lock(&th__trace_lock);
  th_status status = th__trace_forked
                         ? th__fail(TH_EFORK, "th_profile: the engine does not survive fork")
                         : collect_locked(&c);
  uv_mutex_unlock(&th__trace_lock);
  if (status == TH_OK) status = join_all(&c);
  if (status == TH_OK) status = th__trace_sum_memory(out, c.blocks, c.n_blocks);
  th__free(c.works);
  th__free(c.blocks);
  return status;
}
