/* Owns lanes: streams, the counters that tell how far they are, and waits between them. All but reading counters happens under the
 * engine's lock of the device.
 *
 * A wait names a point, never an event: the lane takes the earliest mark behind that point, or makes one at its tail. A mark's event is used
 * again only when the counter has passed the mark; waits that were issued are not affected, because the driver captures the event when
 * it is waited for. `known` is a vector clock: a wait that another one implies is not issued. */
#include <string.h>

#include "devices/cuda/parts.h"
#include "engine/base/error.h"
#include "engine/base/mem.h"
#include "engine/base/thread.h"

#define COVER_EVERY   8    /* issued bodies until the counter is written without being asked for */
#define MARK_FROM     5000 /* estimated ns of a body from which on it is marked at once */
#define POLLS_FIRST   64   /* fruitless polls until the driver is asked whether it is well */
#define POLLS_MOST    4096 /* the distance doubles up to here */
#define ASK_AFTER     100000 /* ns after which a poll asks in any case: who naps polls rarely */
#define COUNTER_BYTES 64     /* a cache line each */

_Thread_local th__cuda_body th__cuda_running;

/* ---- marks ---- */

static th__cuda_mark *mark_at(th__cuda_lane *lane, uint32_t i) {
  return &lane->marks[(lane->first + i) % lane->room];
}

/* Events of marks that have passed become spare. */
static void retire_marks(th__cuda_lane *lane) {
  while (lane->count > 0 && th__cuda_passed(lane, mark_at(lane, 0)->seq)) {
    lane->spare[lane->n_spare++] = mark_at(lane, 0)->event;
    lane->first = (lane->first + 1) % lane->room;
    lane->count--;
  }
}

/* Room for one more mark, and for all events among the spare ones. */
static bool reserve_mark(th__cuda_lane *lane) {
  if (lane->count < lane->room) return true;
  uint32_t room = lane->room + 64;
  th__cuda_mark *marks = th__alloc(room * sizeof *marks);
  if (marks == NULL) return false;
  th__cu_event *spare = th__resize(lane->spare, room * sizeof *spare);
  if (spare == NULL) {
    th__free(marks);
    return false;
  }
  for (uint32_t i = 0; i < lane->count; i++) marks[i] = *mark_at(lane, i);
  th__free(lane->marks);
  lane->marks = marks;
  lane->spare = spare;
  lane->first = 0;
  lane->room = room;
  return true;
}

/* A mark at the tail of the lane; NULL with the error set. */
static th__cuda_mark *make_mark(th__cuda_lane *lane) {
  th__cuda_device *d = lane->device;
  retire_marks(lane);
  if (!reserve_mark(lane)) return NULL;
  th__cu_event event = NULL;
  if (lane->n_spare > 0) {
    event = lane->spare[--lane->n_spare];
  } else if (th__cuda_check(d, th__cu.event_create(&event, TH__CU_EVENT_DISABLE_TIMING), "event") !=
             TH_OK) {
    return NULL;
  }
  th_status status = th__cuda_check(d, th__cu.event_record(event, lane->stream), "event record");
  if (status != TH_OK) {
    (void)th__cu.event_destroy(event);
    return NULL;
  }
  th__cuda_mark *mark = mark_at(lane, lane->count++);
  mark->event = event;
  mark->seq = lane->seq;
  memcpy(mark->clock, lane->known, sizeof mark->clock);
  mark->clock[lane->index] = lane->seq;
  return mark;
}

/* The earliest mark that covers seq; NULL when there is none. */
static th__cuda_mark *find_mark(th__cuda_lane *lane, uint64_t seq) {
  uint32_t low = 0, high = lane->count;
  while (low < high) {
    uint32_t middle = low + (high - low) / 2;
    if (mark_at(lane, middle)->seq >= seq)
      high = middle;
    else
      low = middle + 1;
  }
  return low < lane->count ? mark_at(lane, low) : NULL;
}

/* ---- counters ---- */

void th__cuda_cover(th__cuda_lane *lane) {
  th__cuda_device *d = lane->device;
  if (lane->covered == lane->seq || th__cuda_is_lost(d)) return;
  if (!d->memops) {
    if (make_mark(lane) != NULL) lane->covered = lane->seq;
    return;
  }
  th__cu_result result = th__cu.write_value(lane->stream, lane->counter_address, lane->seq, 0);
  if (th__cuda_check(d, result, "counter") == TH_OK) lane->covered = lane->seq;
}

/* Without memory operations the counter follows the oldest marks. */
static void query_marks(th__cuda_lane *lane) {
  uint64_t passed = 0;
  for (uint32_t i = 0; i < lane->count; i++) {
    th__cu_result result = th__cu.event_query(mark_at(lane, i)->event);
    if (result != TH__CU_SUCCESS) {
      (void)th__cuda_judge(lane->device, result, "event query");
      break;
    }
    passed = mark_at(lane, i)->seq;
  }
  if (passed > th__load(lane->counter, TH__RELAXED)) th__store(lane->counter, passed, TH__RELEASE);
}

/* Nothing has passed for a while: a context that has failed never writes the counter, so the driver is asked. */
static void ask_driver(th__cuda_lane *lane) {
  uint64_t now = th__load(lane->counter, TH__RELAXED);
  if (now != lane->seen) lane->polls = 0;
  lane->seen = now;
  uint32_t polls = ++lane->polls;
  bool turn = polls >= POLLS_FIRST &&
              (polls % POLLS_MOST == 0 || (polls < POLLS_MOST && (polls & (polls - 1)) == 0));
  int64_t ns = th__now_ns();
  if (polls == 1) lane->asked_ns = ns;
  if (!turn && ns - lane->asked_ns < ASK_AFTER) return;
  lane->asked_ns = ns;
  (void)th__cuda_judge(lane->device, th__cu.stream_query(lane->stream), "stream");
}

bool th__cuda_point_done(void *state, th_point point) {
  th__cuda_device *d = state;
  th__cuda_lane *lane = &d->lanes[TH__POINT_LANE(point)];
  uint64_t seq = TH__POINT_SEQ(point);
  if (!th__cuda_passed(lane, seq)) {
    if (!th__cuda_push_context(d)) return false;
    if (lane->covered < seq) th__cuda_cover(lane);
    if (!d->memops) query_marks(lane);
    ask_driver(lane);
    th__cuda_pop_context(d);
    if (!th__cuda_passed(lane, seq)) return false;
  }
  lane->polls = 0;
  return th__cuda_land(lane, seq);
}

void th__cuda_lane_flush(void *state, int index) {
  th__cuda_device *d = state;
  if (!th__cuda_push_context(d)) return;
  th__cuda_cover(&d->lanes[index]);
  th__cuda_pop_context(d);
}

bool th__cuda_await(th__cuda_lane *lane) {
  th__cuda_device *d = lane->device;
  if (!th__cuda_push_context(d)) return false;
  th_status status = th__cuda_judge(d, th__cu.stream_synchronize(lane->stream), "stream");
  th__cuda_pop_context(d);
  return status == TH_OK;
}

/* ---- order between lanes ---- */

static th_status wait_for(th__cuda_lane *lane, th__cuda_lane *other, uint64_t seq) {
  th__cuda_device *d = lane->device;
  retire_marks(other);
  th__cuda_mark *mark = find_mark(other, seq);
  if (mark == NULL) mark = make_mark(other);
  if (mark == NULL) return th_last_status();
  TH_TRY(th__cuda_check(d, th__cu.stream_wait(lane->stream, mark->event, 0), "stream wait"));
  for (int i = 0; i < TH__CUDA_LANES; i++)
    if (mark->clock[i] > lane->known[i]) lane->known[i] = mark->clock[i];
  return TH_OK;
}

th_status th__cuda_lane_wait(void *state, int index, th_point point) {
  th__cuda_device *d = state;
  th__cuda_lane *lane = &d->lanes[index], *other = &d->lanes[TH__POINT_LANE(point)];
  uint64_t seq = TH__POINT_SEQ(point);
  if (lane == other || lane->known[other->index] >= seq || th__cuda_passed(other, seq))
    return TH_OK;
  if (!th__cuda_push_context(d)) return th__cuda_alive(d);
  th_status status = wait_for(lane, other, seq);
  /* Without an event the order is kept by waiting here. */
  if (status != TH_OK && th__cuda_await(other)) status = TH_OK;
  th__cuda_pop_context(d);
  return status;
}

/* ---- issue ---- */

/* What the body took is pending on its lane from now on. */
static void give_scratch(th__cuda_body *b) {
  for (uint32_t i = 0; i < b->n_scratch; i++)
    th__cuda_pool_give(&b->lane->device->memory, b->scratch[i]);
  th__free(b->scratch);
}

/* Behind a body that takes a while: who waits for it later then waits for nothing behind it. Small ones are marked only when
 * somebody waits, since the mark would cost more than it saves. */
static void mark_early(th__cuda_lane *lane) {
  th__last_error kept = *th__error_slot();
  th__cuda_mark *mark = make_mark(lane);
  if (mark == NULL)
    *th__error_slot() = kept; /* one is made when it is needed */
  else if (!lane->device->memops)
    lane->covered = lane->seq;
}

/* The body runs on a lost device, too: what it asks for then fails, and the engine poisons what it should have written. */
th_status th__cuda_issue(void *state, int index, void (*body)(void *arg, void *lane_handle),
                         void *arg, th_point *out) {
  th__cuda_device *d = state;
  th__cuda_lane *lane = &d->lanes[index];
  bool entered = th__cuda_push_context(d);
  th__cuda_body outer = th__cuda_running; /* a body may run others inside a call, in serial mode */
  th__cuda_running = (th__cuda_body){.lane = lane};
  th__cu_event start = th__cuda_time_begin(lane);
  body(arg, lane);
  give_scratch(&th__cuda_running);
  bool large = th__cuda_running.estimate >= MARK_FROM;
  th__cuda_running = outer;
  *out = TH__POINT(index, ++lane->seq);
  th__cuda_time_end(lane, start); /* before the counter tells of the body */
  if (large && entered && !th__cuda_is_lost(d)) mark_early(lane);
  if (lane->seq - lane->covered >= COVER_EVERY) th__cuda_cover(lane);
  if (entered) th__cuda_pop_context(d);
  return TH_OK;
}

/* ---- life ---- */

static th_status lane_open(th__cuda_device *d, int index) {
  th__cuda_lane *lane = &d->lanes[index];
  *lane = (th__cuda_lane){.device = d, .index = index};
  lane->counter = (_Atomic uint64_t *)(void *)((char *)d->counters + index * COUNTER_BYTES);
  th__store(lane->counter, 0, TH__RELAXED);
  TH_TRY(th__cuda_check(d, th__cu.host_address(&lane->counter_address, (void *)lane->counter, 0),
                        "counter"));
  return th__cuda_check(d, th__cu.stream_create(&lane->stream, TH__CU_STREAM_NON_BLOCKING),
                        "stream");
}

/* With the context entered. */
th_status th__cuda_lanes_open(th__cuda_device *d) {
  TH_TRY(th__cuda_check(d,
                        th__cu.host_alloc(&d->counters, TH__CUDA_LANES * COUNTER_BYTES,
                                          TH__CU_HOST_PORTABLE | TH__CU_HOST_DEVICEMAP),
                        "counters"));
  for (int i = 0; i < TH__CUDA_LANES; i++) TH_TRY(lane_open(d, i));
  return TH_OK;
}

/* With the context entered, or lost. Nothing runs any more. */
void th__cuda_lanes_close(th__cuda_device *d) {
  for (int i = 0; i < TH__CUDA_LANES; i++) {
    th__cuda_lane *lane = &d->lanes[i];
    if (lane->stream == NULL) continue;
    (void)th__cu.stream_synchronize(lane->stream);
    th__cuda_blas_close(lane);
    for (uint32_t k = 0; k < lane->count; k++) (void)th__cu.event_destroy(mark_at(lane, k)->event);
    for (uint32_t k = 0; k < lane->n_spare; k++) (void)th__cu.event_destroy(lane->spare[k]);
    (void)th__cu.stream_destroy(lane->stream);
    th__free(lane->marks);
    th__free(lane->spare);
    lane->stream = NULL;
    lane->marks = NULL;
    lane->spare = NULL;
    lane->count = lane->n_spare = lane->room = 0;
  }
}
