/* Owns device times: while a trace records, two events around every body, and references that tie the device's clock to the host's.
 * All under the engine's lock of the device.
 *
 * A reference is an event on a stream of its own, waited for at once, with the host's time in the middle: wrong by half of the wait at
 * most. A younger one takes over after REFERENCE_NS, because times since an event are floats, and clocks drift. */
#include "devices/cuda/parts.h"
#include "engine/base/mem.h"
#include "engine/base/thread.h"
#include "engine/trace.h"

#define TRIES        8     /* for a reference, at most; the narrowest counts */
#define WIDTH_NS     20000 /* narrow enough */
#define REFERENCE_NS INT64_C(1000000000)

/* ---- events ---- */

static th__cu_event take_event(th__cuda_device *d) {
  th__cuda_clock *c = &d->clock;
  th__cu_event event = NULL;
  if (c->n_spare > 0) return c->spare[--c->n_spare];
  return th__cu.event_create(&event, TH__CU_EVENT_DEFAULT) == TH__CU_SUCCESS ? event : NULL;
}

static void give_event(th__cuda_device *d, th__cu_event event) {
  th__cuda_clock *c = &d->clock;
  if (event == NULL) return;
  if (c->n_spare == c->spare_room) {
    uint32_t room = c->spare_room + 64;
    th__cu_event *spare = th__resize(c->spare, room * sizeof *spare);
    if (spare == NULL) {
      (void)th__cu.event_destroy(event);
      return;
    }
    c->spare = spare;
    c->spare_room = room;
  }
  c->spare[c->n_spare++] = event;
}

/* Failures are not told here: whoever uses the lane next meets them. */
static th__cu_event record_on(th__cuda_device *d, th__cu_stream stream) {
  th__cu_event event = take_event(d);
  if (event == NULL || th__cu.event_record(event, stream) == TH__CU_SUCCESS) return event;
  give_event(d, event);
  return NULL;
}

/* ---- references ---- */

static bool try_reference(th__cuda_device *d, th__cuda_reference *out, int64_t *width) {
  uint64_t ticks, ticks_after;
  int64_t ns, ns_after;
  th__trace_clocks(&ticks, &ns);
  out->event = record_on(d, d->clock.stream);
  if (out->event == NULL || th__cu.stream_synchronize(d->clock.stream) != TH__CU_SUCCESS) {
    give_event(d, out->event);
    return false;
  }
  th__trace_clocks(&ticks_after, &ns_after);
  *width = ns_after - ns;
  out->ticks = ticks + (ticks_after - ticks) / 2;
  out->ns = ns + *width / 2;
  out->rate = 0;
  out->users = 0;
  return true;
}

static bool new_reference(th__cuda_device *d, th__cuda_reference *r) {
  th__cuda_clock *c = &d->clock;
  int64_t best = INT64_MAX, width;
  if (c->stream == NULL &&
      th__cu.stream_create(&c->stream, TH__CU_STREAM_NON_BLOCKING) != TH__CU_SUCCESS)
    return false;
  give_event(d, r->event);
  r->event = NULL;
  for (int i = 0; i < TRIES && best > WIDTH_NS; i++) {
    th__cuda_reference tried;
    if (!try_reference(d, &tried, &width)) continue;
    bool better = width < best;
    give_event(d, better ? r->event : tried.event);
    if (!better) continue;
    best = width;
    *r = tried;
  }
  return r->event != NULL;
}

/* The reference for what is issued now: NULL when there is none. One that is old is followed by another, unless all are in use. */
static th__cuda_reference *current_reference(th__cuda_device *d) {
  th__cuda_clock *c = &d->clock;
  th__cuda_reference *now = &c->references[c->current];
  bool good = now->event != NULL;
  if (good && th__now_ns() - now->ns < REFERENCE_NS) return now;
  uint32_t next = (c->current + 1) % TH__CUDA_REFERENCES;
  if (c->references[next].users == 0 && new_reference(d, &c->references[next])) {
    c->current = next;
    return &c->references[next];
  }
  return good ? now : NULL;
}

/* ---- around bodies ---- */

static th__cuda_timing *timing_at(th__cuda_lane *lane, uint32_t i) {
  return &lane->timings[(lane->timing_first + i) % lane->timing_room];
}

static bool reserve_timing(th__cuda_lane *lane) {
  if (lane->timing_count < lane->timing_room) return true;
  uint32_t room = lane->timing_room + 64;
  th__cuda_timing *timings = th__alloc(room * sizeof *timings);
  if (timings == NULL) return false;
  for (uint32_t i = 0; i < lane->timing_count; i++) timings[i] = *timing_at(lane, i);
  th__free(lane->timings);
  lane->timings = timings;
  lane->timing_first = 0;
  lane->timing_room = room;
  return true;
}

th__cu_event th__cuda_time_begin(th__cuda_lane *lane) {
  th__cuda_device *d = lane->device;
  if (!th__trace_on(TH_PROFILE_OPS) || th__cuda_is_lost(d)) return NULL;
  th__cuda_reference *r = current_reference(d);
  return r != NULL ? record_on(d, lane->stream) : NULL;
}

void th__cuda_time_end(th__cuda_lane *lane, th__cu_event start) {
  th__cuda_device *d = lane->device;
  if (start == NULL) return;
  th__cu_event end = reserve_timing(lane) ? record_on(d, lane->stream) : NULL;
  if (end == NULL) {
    give_event(d, start);
    return;
  }
  th__cuda_reference *r = &d->clock.references[d->clock.current];
  r->users++;
  *timing_at(lane, lane->timing_count++) = (th__cuda_timing){lane->seq, start, end, r};
}

static th__cuda_timing pop_timing(th__cuda_lane *lane) {
  th__cuda_timing t = *timing_at(lane, 0);
  lane->timing_first = (lane->timing_first + 1) % lane->timing_room;
  lane->timing_count--;
  give_event(lane->device, t.start);
  give_event(lane->device, t.end);
  t.reference->users--;
  return t;
}

void th__cuda_clock_open(th__cuda_device *d) {
  th__trace_clocks(&d->clock.opened_ticks, &d->clock.opened_ns);
}

/* One rate for a reference: a better one later would turn the order of what was told before. */
static void find_rate(th__cuda_device *d, th__cuda_reference *r) {
  uint64_t ticks;
  int64_t ns;
  th__trace_clocks(&ticks, &ns);
  if (r->rate == 0 && ns > d->clock.opened_ns)
    r->rate = (double)(ticks - d->clock.opened_ticks) / (double)(ns - d->clock.opened_ns);
}

/* The host's ticks at an event. */
static bool ticks_at(const th__cuda_reference *r, th__cu_event event, uint64_t *out) {
  float ms = 0;
  if (th__cu.event_elapsed(&ms, r->event, event) != TH__CU_SUCCESS || !(ms >= 0)) return false;
  *out = r->ticks + (uint64_t)((double)ms * 1e6 * r->rate);
  return true;
}

bool th__cuda_point_times(void *state, th_point point, uint64_t *started, uint64_t *finished) {
  th__cuda_device *d = state;
  th__cuda_lane *lane = &d->lanes[TH__POINT_LANE(point)];
  uint64_t seq = TH__POINT_SEQ(point);
  /* Bodies that nobody asks about came earlier on the lane. */
  while (lane->timing_count > 0 && timing_at(lane, 0)->seq < seq) (void)pop_timing(lane);
  if (lane->timing_count == 0 || timing_at(lane, 0)->seq != seq) return false;
  th__cuda_timing t = pop_timing(lane);
  if (!th__cuda_passed(lane, seq) || !th__cuda_push_context(d)) return false;
  if (t.reference->rate == 0) find_rate(d, t.reference);
  bool known = ticks_at(t.reference, t.start, started) && ticks_at(t.reference, t.end, finished);
  th__cuda_pop_context(d);
  return known;
}

void th__cuda_clock_close(th__cuda_device *d) {
  th__cuda_clock *c = &d->clock;
  for (int i = 0; i < TH__CUDA_LANES; i++) {
    th__cuda_lane *lane = &d->lanes[i];
    while (lane->timing_count > 0) (void)pop_timing(lane);
    th__free(lane->timings);
    lane->timings = NULL;
    lane->timing_room = 0;
  }
  for (int i = 0; i < TH__CUDA_REFERENCES; i++) give_event(d, c->references[i].event);
  for (uint32_t i = 0; i < c->n_spare; i++) (void)th__cu.event_destroy(c->spare[i]);
  if (c->stream != NULL) (void)th__cu.stream_destroy(c->stream);
  th__free(c->spare);
  *c = (th__cuda_clock){0};
}
