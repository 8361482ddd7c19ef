/* Owns what traces say about devices' memory: who took which block when, the figures of pools as counters, and the sums by who took
 * it. Recording is the calling thread's own; sums work on a copy. */
#include <stdlib.h>
#include <string.h>

#include "engine/base/error.h"
#include "engine/base/mem.h"
#include "engine/parts.h"
#include "engine/trace_marks.h"
#include "engine/trace_ring.h"

enum { SLOTS = 64, SAMPLE_TICKS = 800000 /* about 0.3 ms */ };

static const char before_text[] = "(before the recording)";

/* --- recording --- */

/* When the figures of a device are due again; by kind and index. */
static _Atomic uint64_t next_sample[SLOTS];

/* "cpu:0 bytes live", device at most 24 characters. By hand: three texts of printf() took a third of a percent of a training. */
static void name_counter(char out[64], const char *device, int index, const char *what) {
  size_t length = strnlen(device, 24);
  memcpy(out, device, length);
  out += length;
  *out++ = ':';
  if (index >= 10) *out++ = (char)('0' + index / 10 % 10);
  *out++ = (char)('0' + index % 10);
  *out++ = ' ';
  memcpy(out, what, strlen(what) + 1);
}

static void sample(const th__device_ops *ops, void *state, th_device d, uint64_t now) {
  _Atomic uint64_t *due = &next_sample[((uint32_t)d.kind * 16 + (uint32_t)d.index) % SLOTS];
  uint64_t at = th__load(due, TH__RELAXED);
  if ((now < at && at - now <= SAMPLE_TICKS) || !th__cas(due, &at, now + SAMPLE_TICKS, TH__ACQ_REL))
    return;
  th_memory_info info;
  ops->memory(state, &info);
  uint64_t requests = info.hits + info.misses;
  const struct {
    const char *what;
    int64_t value;
  } counters[] = {{"bytes live", info.live},
                  {"bytes cached", info.cached},
                  {"pool hits %", requests == 0 ? 0 : (int64_t)(info.hits * 100 / requests)}};
  char names[3][64]; /* each at an address of its own: by it the ring finds the text again */
  for (int i = 0; i < 3; i++) {
    name_counter(names[i], ops->name, d.index, counters[i].what);
    th__trace_counter(names[i], counters[i].value);
  }
}

/* What a task gives back as it is dropped needs no clock: it was taken before the task ended, and another may take it only
 * afterwards. (A reader on another thread may have ended a moment later.) */
static uint64_t when_given(void) {
  const th__thread *self = th__self_record;
  bool dropping = self != NULL && th__self_epoch == th__the.epoch && self->frame != NULL &&
                  self->frame->task == self->tick_of && self->tick != 0;
  return dropping ? self->tick : th__ticks();
}

void th__trace_block(th_task_context *context, const th__device_ops *ops, void *state, th_device d,
                     const void *block, int64_t bytes) {
  th__kind host = {.name = "(host)"};
  const th__kind *who = &host;
  if (context != NULL) {
    who = th__task_kind(context->task);
  } else if (bytes >= 0 && th__trace_range_now() != NULL) {
    host.name = th__trace_range_now();
  }
  uint64_t now = bytes < 0 ? when_given() : th__ticks();
  th__trace_block_changed_at(now, d, (uint64_t)(uintptr_t)block, bytes, who);
  if (th__trace_on(TH_PROFILE_COUNTERS) && ops->memory != NULL) sample(ops, state, d, now);
}

void th__trace_memory_begins(void) {
  if (!th__trace_on(TH_PROFILE_MEMORY) || th__load(&th__the.phase, TH__ACQUIRE) != TH__PHASE_ON)
    return;
  uint32_t n = th__load(&th__the.n_devices, TH__ACQUIRE);
  for (uint32_t i = 0; i < n; i++) {
    const th__pool_device *d = th__load(&th__the.devices[i], TH__ACQUIRE);
    if (d == NULL || d->ops->memory == NULL) continue;
    th_memory_info info;
    d->ops->memory(d->state, &info);
    if (info.live > 0) th__trace_block_changed(d->id, 0, info.live, before_text);
  }
}

/* --- sums --- */

typedef struct holder { /* of a block */
  uint64_t block;
  int64_t bytes; /* 0 = given back */
  uint32_t name;
} holder;

typedef struct replay { /* of what happened to one device's memory */
  const th__trace_change *blocks;
  size_t n;
  holder *holders;     /* [room] by address: open addressing, never full, no deletions */
  size_t room;         /* a power of two */
  th__trace_tag *tags; /* [names] */
  int64_t live, peak;
  size_t peak_at; /* index of the block that made the peak */
} replay;

static int by_device_and_time(const void *a, const void *b) {
  const th__trace_change *x = a, *y = b;
  if (x->device_kind != y->device_kind) return x->device_kind < y->device_kind ? -1 : 1;
  if (x->device_index != y->device_index) return x->device_index < y->device_index ? -1 : 1;
  if (x->at != y->at) return x->at < y->at ? -1 : 1;
  return (x->bytes > y->bytes) - (x->bytes < y->bytes); /* what is given back may be taken again */
}

static holder *holder_of(const replay *r, uint64_t block) {
  size_t i = (size_t)(block * UINT64_C(0x9e3779b97f4a7c15) >> 20) & (r->room - 1);
  while (r->holders[i].block != 0 && r->holders[i].block != block) i = (i + 1) & (r->room - 1);
  return &r->holders[i];
}

/* A block that nobody took was taken before: it leaves what was there at the beginning, as far as that is known. */
static void give(replay *r, const th__trace_change *b, uint32_t before) {
  holder *h = holder_of(r, b->block);
  bool known = h->block != 0 && h->bytes > 0;
  th__trace_tag *tag = &r->tags[known ? h->name : before];
  int64_t bytes = known ? h->bytes : -b->bytes < tag->live ? -b->bytes : tag->live;
  tag->live -= bytes;
  r->live -= bytes;
  h->bytes = 0;
}

static void take(replay *r, const th__trace_change *b) {
  if (b->block != 0) *holder_of(r, b->block) = (holder){b->block, b->bytes, b->name};
  r->tags[b->name].live += b->bytes;
  r->live += b->bytes;
}

/* The first `end` of what happened. counting: sums up and looks for the peak. */
static void run_to(replay *r, size_t end, uint32_t before, bool counting) {
  r->live = 0;
  memset(r->holders, 0, r->room * sizeof(*r->holders));
  for (size_t i = 0; i < end; i++) {
    const th__trace_change *b = &r->blocks[i];
    if (b->bytes < 0) {
      give(r, b, before);
      continue;
    }
    take(r, b);
    if (!counting) continue;
    r->tags[b->name].count += b->block != 0;
    r->tags[b->name].taken += b->block != 0 ? b->bytes : 0;
    if (r->live <= r->peak) continue;
    r->peak = r->live;
    r->peak_at = i;
  }
}

/* Sums one device up and appends its lines. */
static th_status sum_device(th__trace_view *v, replay *r, uint32_t before) {
  memset(r->tags, 0, v->n_names * sizeof(*r->tags));
  r->peak = 0;
  r->peak_at = 0;
  run_to(r, r->n, before, true);
  for (size_t i = 0; i < v->n_names; i++) r->tags[i].live = 0;
  run_to(r, r->peak_at + 1, before, false);
  size_t n = 0;
  for (size_t i = 0; i < v->n_names; i++) n += r->tags[i].count > 0 || r->tags[i].live > 0;
  th__trace_tag *tags = th__resize(v->tags, (v->n_tags + n + 1) * sizeof(*tags));
  if (tags == NULL) return TH_ENOMEM;
  v->tags = tags;
  for (size_t i = 0; i < v->n_names; i++) {
    if (r->tags[i].count == 0 && r->tags[i].live == 0) continue;
    th__trace_tag *tag = &tags[v->n_tags++];
    *tag = r->tags[i];
    tag->name = (uint32_t)i;
    tag->device_kind = r->blocks->device_kind;
    tag->device_index = r->blocks->device_index;
    tag->peak = r->peak;
    tag->peak_at = (int64_t)r->blocks[r->peak_at].at;
  }
  return TH_OK;
}

static int largest_first(const void *a, const void *b) {
  const th__trace_tag *x = a, *y = b;
  if (x->device_kind != y->device_kind) return x->device_kind < y->device_kind ? -1 : 1;
  if (x->device_index != y->device_index) return x->device_index < y->device_index ? -1 : 1;
  if (x->live != y->live) return x->live > y->live ? -1 : 1;
  if (x->taken != y->taken) return x->taken > y->taken ? -1 : 1;
  return (x->name > y->name) - (x->name < y->name);
}

static uint32_t name_of_before(const th__trace_view *v) {
  for (size_t i = 0; i < v->n_names; i++)
    if (strcmp(v->names[i], before_text) == 0) return (uint32_t)i;
  return 0;
}

th_status th__trace_sum_memory(th__trace_view *v, th__trace_change *blocks, size_t n) {
  if (n == 0) return TH_OK;
  replay r = {.room = 16};
  th_status status = TH_OK;
  while (r.room < n * 2) r.room *= 2;
  r.holders = th__alloc(r.room * sizeof(*r.holders));
  r.tags = th__alloc(v->n_names * sizeof(*r.tags));
  if (r.holders == NULL || r.tags == NULL) status = TH_ENOMEM;
  qsort(blocks, n, sizeof(*blocks), by_device_and_time);
  uint32_t before = name_of_before(v);
  for (size_t first = 0, end = 0; first < n && status == TH_OK; first = end) {
    while (end < n && blocks[end].device_kind == blocks[first].device_kind &&
           blocks[end].device_index == blocks[first].device_index)
      end++;
    r.blocks = blocks + first;
    r.n = end - first;
    status = sum_device(v, &r, before);
  }
  if (v->n_tags > 0) qsort(v->tags, v->n_tags, sizeof(*v->tags), largest_first);
  th__free(r.holders);
  th__free(r.tags);
  return status;
}
