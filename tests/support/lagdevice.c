/* Owns the lag devices. A device's mutex guards all of it but its pool; bodies run outside the mutex, one at a time. */
#include "support/lagdevice.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "devices/pool.h"
#include "engine/base/error.h"

/* A body with its sequence number in the lane, or (body NULL) a wait for a point. */
typedef struct lag_entry {
  void (*body)(void *arg, void *lane_handle);
  void *arg;
  th_point wait;
  uint64_t order; /* among all bodies of the device */
} lag_entry;

typedef struct lag_lane {
  lag_entry *entries; /* a ring */
  size_t first, count, capacity;
  uint64_t issued, done; /* sequence numbers of bodies */
} lag_lane;

typedef enum lag_mood {
  LAG_ANY,    /* any legal head */
  LAG_NEWEST, /* the head that was issued last */
  LAG_STARVE, /* any but those of one lane */
  LAG_STALL,  /* none */
  LAG_MOODS
} lag_mood;

typedef struct lag_state {
  pthread_mutex_t mutex;
  lag_lane lanes[LAG_LANES];
  uint64_t random;
  lag_mood mood;
  int starved;    /* lane of LAG_STARVE */
  int mood_polls; /* polls until the mood changes */
  int idle_polls; /* polls without a step while one was legal */
  bool running;   /* some thread runs a body */
  lag_counts counts;
  th__pool pool;
} lag_state;

static lag_state devices[LAG_DEVICES] = {
    [0 ... LAG_DEVICES - 1] = {.mutex = PTHREAD_MUTEX_INITIALIZER},
};
static uint64_t install_seed;

static uint64_t next_random(lag_state *d) {
  uint64_t z = (d->random += UINT64_C(0x9E3779B97F4A7C15));
  z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
  z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
  return z ^ (z >> 31);
}

static int below(lag_state *d, int n) { return (int)(next_random(d) % (uint64_t)n); }

/* ---- queues ---- */

static th_status push(lag_lane *lane, lag_entry entry) {
  if (lane->count == lane->capacity) {
    size_t capacity = lane->capacity ? 2 * lane->capacity : 16;
    lag_entry *entries = malloc(capacity * sizeof *entries);
    if (!entries) return th__fail(TH_ENOMEM, "lag: the queue cannot grow");
    for (size_t i = 0; i < lane->count; i++)
      entries[i] = lane->entries[(lane->first + i) % lane->capacity];
    free(lane->entries);
    *lane = (lag_lane){entries, 0, lane->count, capacity, lane->issued, lane->done};
  }
  lane->entries[(lane->first + lane->count++) % lane->capacity] = entry;
  return TH_OK;
}

static void pop(lag_lane *lane) {
  lane->first = (lane->first + 1) % lane->capacity;
  lane->count--;
}

static bool is_done(const lag_state *d, th_point point) {
  return point == 0 || d->lanes[TH__POINT_LANE(point)].done >= TH__POINT_SEQ(point);
}

/* The body at the head of a lane that may run now, behind waits that have passed; else NULL. */
static lag_entry *legal_head(lag_state *d, lag_lane *lane) {
  while (lane->count > 0) {
    lag_entry *head = &lane->entries[lane->first];
    if (head->body) return head;
    if (!is_done(d, head->wait)) return NULL;
    pop(lane);
  }
  return NULL;
}

/* ---- steps ---- */

/* The lane to run the head of, by the mood; -1 for none. *legal says whether some head could have run. */
static int choose(lag_state *d, bool *legal) {
  int lanes[LAG_LANES], n = 0, chosen = -1;
  uint64_t newest = 0;
  *legal = false;
  for (int l = 0; l < LAG_LANES; l++) {
    lag_entry *head = legal_head(d, &d->lanes[l]);
    if (!head) continue;
    *legal = true;
    if (d->mood == LAG_STALL || (d->mood == LAG_STARVE && l == d->starved)) continue;
    lanes[n++] = l;
    if (head->order >= newest) {
      newest = head->order;
      chosen = l;
    }
  }
  if (n > 0 && d->mood != LAG_NEWEST) chosen = lanes[below(d, n)];
  return chosen;
}

static bool older_elsewhere(const lag_state *d, int lane, uint64_t order) {
  for (int l = 0; l < LAG_LANES; l++) {
    const lag_lane *other = &d->lanes[l];
    for (size_t i = 0; l != lane && i < other->count; i++) {
      const lag_entry *e = &other->entries[(other->first + i) % other->capacity];
      if (!e->body) continue;
      if (e->order < order) return true;
      break; /* a lane is in order */
    }
  }
  return false;
}

/* Runs the head of a lane, a body. Called and returns with the mutex held; free while the body runs. */
static void execute(lag_state *d, int l) {
  lag_lane *lane = &d->lanes[l];
  lag_entry entry = lane->entries[lane->first];
  if (older_elsewhere(d, l, entry.order)) d->counts.overtook++;
  pop(lane);
  d->running = true;
  pthread_mutex_unlock(&d->mutex);
  entry.body(entry.arg, lane);
  pthread_mutex_lock(&d->mutex);
  d->running = false;
  lane->done++;
  d->counts.executed++;
  d->idle_polls = 0;
}

static void change_mood(lag_state *d) {
  d->mood = (lag_mood)below(d, LAG_MOODS);
  d->starved = below(d, LAG_LANES);
  d->mood_polls = 1 + below(d, d->mood == LAG_STALL ? LAG_PATIENCE / 4 : LAG_PATIENCE);
}

/* One poll: mostly no step or one, sometimes several. */
static void poll_queues(lag_state *d) {
  if (d->mood_polls-- <= 0) change_mood(d);
  bool legal = false;
  int steps = below(d, 2) ? 0 : 1 + below(d, 3);
  for (int i = 0; i < steps; i++) {
    int lane = choose(d, &legal);
    if (lane < 0) break;
    execute(d, lane);
  }
  if (steps == 0) choose(d, &legal);
  if (!legal) d->idle_polls = 0;
  if (!legal || ++d->idle_polls < LAG_PATIENCE) return;
  d->mood = LAG_ANY; /* patience is over: whoever is legal */
  int lane = choose(d, &legal);
  if (lane >= 0) execute(d, lane);
}

/* ---- the table ---- */

static int lag_count(void) { return LAG_DEVICES; }

static th_status lag_open(int index, void **state) {
  lag_state *d = &devices[index];
  char name[24];
  snprintf(name, sizeof name, "lag:%d", index);
  TH_TRY(th__pool_open(&d->pool, name, NULL, INT64_C(1) << 32));
  memset(d->lanes, 0, sizeof d->lanes);
  d->random = install_seed * 1000 + (uint64_t)index;
  d->counts = (lag_counts){0};
  d->running = false;
  d->idle_polls = 0;
  change_mood(d);
  *state = d;
  return TH_OK;
}

static void lag_close(void *state) {
  lag_state *d = state;
  for (int l = 0; l < LAG_LANES; l++) free(d->lanes[l].entries);
  memset(d->lanes, 0, sizeof d->lanes);
  th__pool_close(&d->pool);
}

static th_status lag_alloc(void *state, int64_t bytes, void **out) {
  TH_TRY(th__pool_alloc(&((lag_state *)state)->pool, bytes, out));
  memset(*out, 0xA5, (size_t)bytes); /* not zero by luck */
  return TH_OK;
}

static void lag_free(void *state, void *block, int64_t bytes) {
  if (block) memset(block, 0xDD, (size_t)bytes); /* late readers shall notice */
  th__pool_free(&((lag_state *)state)->pool, block, bytes);
}

static void lag_memory(void *state, th_memory_info *out) {
  th__pool_memory(&((lag_state *)state)->pool, out);
}

static void lag_set_limit(void *state, int64_t bytes) {
  th__pool_set_limit(&((lag_state *)state)->pool, bytes);
}

static void lag_trim(void *state) { th__pool_trim(&((lag_state *)state)->pool); }

static void lag_reset_peak(void *state) { th__pool_reset_peak(&((lag_state *)state)->pool); }

static int lag_lanes(void *state) { return LAG_LANES; }

static th_status lag_issue(void *state, int lane, void (*body)(void *arg, void *lane_handle),
                           void *arg, th_point *out) {
  lag_state *d = state;
  if (lane < 0 || lane >= LAG_LANES) return th__fail(TH_EINVAL, "lag: lane %d", lane);
  pthread_mutex_lock(&d->mutex);
  th_status s = push(&d->lanes[lane], (lag_entry){body, arg, 0, d->counts.issued});
  if (s == TH_OK) {
    d->counts.issued++;
    *out = TH__POINT(lane, ++d->lanes[lane].issued);
  }
  pthread_mutex_unlock(&d->mutex);
  return s;
}

/* Whether this device ever gave that point. */
static bool is_known(const lag_state *d, th_point point) {
  return point == 0 || (TH__POINT_LANE(point) < LAG_LANES &&
                        TH__POINT_SEQ(point) <= d->lanes[TH__POINT_LANE(point)].issued);
}

static th_status lag_lane_wait(void *state, int lane, th_point point) {
  lag_state *d = state;
  if (lane < 0 || lane >= LAG_LANES) return th__fail(TH_EINVAL, "lag: lane %d", lane);
  pthread_mutex_lock(&d->mutex);
  th_status s = TH_OK;
  if (!is_known(d, point)) {
    s = th__fail(TH_EINVAL, "lag: a wait for a point that was never issued");
  } else if (!is_done(d, point)) {
    s = push(&d->lanes[lane], (lag_entry){NULL, NULL, point, 0});
    if (s == TH_OK) d->counts.waits++;
  }
  pthread_mutex_unlock(&d->mutex);
  return s;
}

static bool lag_point_done(void *state, th_point point) {
  lag_state *d = state;
  pthread_mutex_lock(&d->mutex);
  d->counts.polls++;
  if (!d->running) poll_queues(d);
  bool done = is_known(d, point) && is_done(d, point);
  pthread_mutex_unlock(&d->mutex);
  return done;
}

const th__device_ops lag_ops = {
    .name = "lag",
    .caps = TH__CAP_HOST_MEMORY | TH__CAP_LANES,
    .count = lag_count,
    .open = lag_open,
    .close = lag_close,
    .alloc = lag_alloc,
    .free = lag_free,
    .memory = lag_memory,
    .set_limit = lag_set_limit,
    .trim = lag_trim,
    .reset_peak = lag_reset_peak,
    .lanes = lag_lanes,
    .issue = lag_issue,
    .lane_wait = lag_lane_wait,
    .point_done = lag_point_done,
};

void lag_install(uint64_t seed) {
  install_seed = seed;
  if (th__device_kind_ops(TH_KIND_EXTERNAL) != &lag_ops)
    th__device_register(TH_KIND_EXTERNAL, &lag_ops);
}

th_device lag_device(int index) {
  return (th_device){.kind = TH_KIND_EXTERNAL, .index = (int16_t)index};
}

lag_counts lag_counters(int index) {
  lag_state *d = &devices[index];
  pthread_mutex_lock(&d->mutex);
  lag_counts counts = d->counts;
  pthread_mutex_unlock(&d->mutex);
  return counts;
}
