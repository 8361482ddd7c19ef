/* The lag device on its own: queues only, legal orders, hostile ones, progress. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <string.h>

#include "engine/base/atomic.h"
#include "engine/base/error.h"
#include "engine/base/thread.h"
#include "support/lagdevice.h"

TestSuite(lagdevice, .timeout = 60);

/* Bodies append their number. */
enum { MOST = 4000 };
static int order[MOST], ran;

static void note(void *arg, void *lane_handle) {
  if (lane_handle) order[ran++] = (int)(intptr_t)arg;
}

static void *open_lag(uint64_t seed, int index) {
  void *state = NULL;
  lag_install(seed);
  ran = 0;
  cr_assert(eq(int, lag_ops.open(index, &state), TH_OK));
  return state;
}

static th_point issue(void *state, int lane, int number) {
  th_point point = 0;
  cr_assert(eq(int, lag_ops.issue(state, lane, note, (void *)(intptr_t)number, &point), TH_OK));
  cr_assert(eq(int, TH__POINT_LANE(point), lane));
  return point;
}

static int position(int number) {
  for (int i = 0; i < ran; i++)
    if (order[i] == number) return i;
  return -1;
}

/* Polls until done; fails when that takes longer than the device may. */
static void finish(void *state, th_point point, int bodies) {
  for (int polls = 0; !lag_ops.point_done(state, point); polls++)
    cr_assert(polls <= (bodies + 1) * (LAG_PATIENCE + 1), "no progress");
}

Test(lagdevice, its_face) {
  cr_assert(eq(int, lag_ops.count(), LAG_DEVICES));
  void *state = open_lag(1, 2);
  cr_assert(eq(int, lag_ops.lanes(state), 3));
  cr_assert(eq(int, (int)lag_ops.caps, TH__CAP_HOST_MEMORY | TH__CAP_LANES));
  cr_assert(eq(int, lag_device(2).kind, TH_KIND_EXTERNAL));
  cr_assert(eq(int, lag_device(2).index, 2));
  lag_ops.close(state);
}

Test(lagdevice, issue_only_queues) {
  void *state = open_lag(1, 0);
  th_point last = 0;
  for (int i = 0; i < 100; i++) last = issue(state, i % 3, i);
  cr_assert(eq(int, ran, 0));
  cr_assert(eq(u64, TH__POINT_SEQ(last), 34));
  cr_assert(eq(u64, lag_counters(0).issued, 100));
  cr_assert(eq(u64, lag_counters(0).executed, 0));
  lag_ops.close(state);
}

Test(lagdevice, lanes_are_in_order_and_points_tell) {
  for (uint64_t seed = 0; seed < 50; seed++) {
    void *state = open_lag(seed, 0);
    th_point points[300];
    for (int i = 0; i < 300; i++) points[i] = issue(state, i % 3, i);
    for (int i = 299; i >= 0; i--) finish(state, points[i], 300);
    cr_assert(eq(int, ran, 300));
    for (int i = 3; i < 300; i++)
      cr_assert(lt(int, position(i - 3), position(i)), "seed %d", (int)seed);
    cr_assert(eq(u64, lag_counters(0).executed, 300));
    lag_ops.close(state);
  }
}

Test(lagdevice, not_done_before_it_ran) {
  void *state = open_lag(7, 0);
  for (int i = 0; i < 200; i++) {
    th_point point = issue(state, i % 3, i);
    int before = ran;
    bool done = lag_ops.point_done(state, point);
    cr_assert(eq(int, done, ran > before && order[ran - 1] == i));
    finish(state, point, 1);
  }
  cr_assert(lag_ops.point_done(state, 0)); /* nothing is always done */
  lag_ops.close(state);
}

Test(lagdevice, waits_hold_a_lane_back) {
  for (uint64_t seed = 0; seed < 200; seed++) {
    void *state = open_lag(seed, 1);
    th_point a = issue(state, 0, 0), b = issue(state, 1, 1);
    cr_assert(eq(int, lag_ops.lane_wait(state, 2, a), TH_OK));
    cr_assert(eq(int, lag_ops.lane_wait(state, 2, b), TH_OK));
    th_point c = issue(state, 2, 2);
    cr_assert(eq(int, lag_ops.lane_wait(state, 0, c), TH_OK));
    th_point d = issue(state, 0, 3);
    finish(state, d, 4);
    cr_assert(lt(int, position(0), position(2)), "seed %d", (int)seed);
    cr_assert(lt(int, position(1), position(2)), "seed %d", (int)seed);
    cr_assert(lt(int, position(2), position(3)), "seed %d", (int)seed);
    cr_assert(eq(u64, lag_counters(1).waits, 3));
    cr_assert(eq(int, lag_ops.lane_wait(state, 1, d), TH_OK)); /* already done: not queued */
    cr_assert(eq(u64, lag_counters(1).waits, 3));
    lag_ops.close(state);
  }
}

Test(lagdevice, impossible_calls_are_refused) {
  void *state = open_lag(1, 0);
  th_point point = issue(state, 0, 0), other;
  cr_assert(eq(int, lag_ops.lane_wait(state, 1, point + 1), TH_EINVAL));
  cr_assert(eq(int, lag_ops.lane_wait(state, 1, TH__POINT(3, 1)), TH_EINVAL));
  cr_assert(eq(int, lag_ops.lane_wait(state, 3, point), TH_EINVAL));
  cr_assert(eq(int, lag_ops.issue(state, -1, note, NULL, &other), TH_EINVAL));
  cr_assert(not(lag_ops.point_done(state, point + 1)));
  lag_ops.close(state);
}

/* Orders differ with the seed, the same seed repeats itself, and younger work overtakes. */
Test(lagdevice, orders_are_hostile_and_repeat) {
  static int first[90];
  int different = 0;
  uint64_t overtook = 0;
  for (uint64_t seed = 0; seed < 40; seed++) {
    int again[90];
    for (int round = 0; round < 2; round++) {
      void *state = open_lag(seed, 0);
      th_point points[3];
      for (int i = 0; i < 90; i++) points[i % 3] = issue(state, i % 3, i);
      for (int l = 0; l < 3; l++) finish(state, points[l], 90);
      if (round == 1)
        for (int i = 0; i < 90; i++) cr_assert(eq(int, order[i], again[i]), "seed %d", (int)seed);
      memcpy(again, order, sizeof again);
      overtook += lag_counters(0).overtook;
      lag_ops.close(state);
    }
    if (seed == 0) memcpy(first, again, sizeof first);
    different += memcmp(first, again, sizeof first) != 0;
  }
  cr_assert(ge(int, different, 35));
  cr_assert(gt(u64, overtook, 2000));
}

/* Some seed lets one lane run dry before another one has even begun. */
Test(lagdevice, lanes_starve) {
  int starved = 0;
  for (uint64_t seed = 0; seed < 100; seed++) {
    void *state = open_lag(seed, 0);
    th_point points[3];
    for (int i = 0; i < 60; i++) points[i % 3] = issue(state, i % 3, i);
    for (int l = 0; l < 3; l++) finish(state, points[l], 60);
    for (int l = 0; l < 3; l++)
      for (int k = 0; k < 3; k++) starved += position(57 + l) < position(k);
    lag_ops.close(state);
  }
  cr_assert(gt(int, starved, 0));
}

Test(lagdevice, memory_is_never_clean) {
  void *state = open_lag(1, 3);
  unsigned char *block = NULL;
  cr_assert(eq(int, lag_ops.alloc(state, 1000, (void **)&block), TH_OK));
  for (int i = 0; i < 1000; i++) cr_assert(eq(u8, block[i], 0xA5));
  th_memory_info m;
  lag_ops.memory(state, &m);
  cr_assert(eq(i64, m.live, 1024));
  lag_ops.set_limit(state, 2048);
  void *more = NULL;
  cr_assert(eq(int, lag_ops.alloc(state, 2000, &more), TH_ENOMEM));
  lag_ops.free(state, block, 1000);
  lag_ops.memory(state, &m);
  cr_assert(eq(i64, m.live, 0));
  lag_ops.close(state);
}

/* Several threads at once: one body at a time, none lost. */
enum { THREADS = 4, EACH = 1000 };
static void *shared;
static _Atomic int32_t inside, overlaps;
static int64_t bodies; /* not atomic: one at a time */

static void count_body(void *arg, void *lane_handle) {
  if (th__fetch_add(&inside, 1, TH__ACQ_REL) != 0) th__fetch_add(&overlaps, 1, TH__RELAXED);
  bodies++;
  th__fetch_sub(&inside, 1, TH__ACQ_REL);
}

static void submit_some(void *arg) {
  th_point point = 0;
  for (int i = 0; i < EACH; i++) {
    lag_ops.issue(shared, i % LAG_LANES, count_body, NULL, &point);
    if (i % 5 == 0) lag_ops.lane_wait(shared, (i + 1) % LAG_LANES, point);
    lag_ops.point_done(shared, point);
  }
  while (!lag_ops.point_done(shared, point)) th__pause();
}

Test(lagdevice, threads) {
  shared = open_lag(3, 0);
  th__thread_handle threads[THREADS];
  for (int i = 0; i < THREADS; i++)
    cr_assert(eq(int, th__thread_start(&threads[i], submit_some, NULL, "submit"), TH_OK));
  for (int i = 0; i < THREADS; i++) th__thread_join(&threads[i]);
  for (int l = 0; l < LAG_LANES; l++) {
    th_point point = 0;
    lag_ops.issue(shared, l, count_body, NULL, &point);
    finish(shared, point, THREADS * EACH);
  }
  cr_assert(eq(i64, bodies, THREADS * EACH + LAG_LANES));
  cr_assert(eq(int, th__load(&overlaps, TH__RELAXED), 0));
  lag_ops.close(shared);
}

/* ---- behind the engine ---- */

enum { CELLS = 6, TASKS = 1500 };
static int64_t cells[CELLS];
static th_var *vars[CELLS];

typedef struct mix_args {
  int to, from;
  int64_t id;
} mix_args;

static th_status mix(void *arg, th_task_context *context) {
  mix_args *m = arg;
  cells[m->to] = (int64_t)((uint64_t)cells[m->to] * 3 + (uint64_t)cells[m->from] + (uint64_t)m->id);
  return TH_OK;
}

/* Writes `to`, reads `from`, on one of two lag devices or the CPU. */
static void push_mix(mix_args m, uint32_t random) {
  th_device where[] = {lag_device(0), lag_device(1), th_cpu(0)};
  th_task task = {.name = "mix",
                  .run = mix,
                  .arg = &m,
                  .arg_size = sizeof m,
                  .reads = &vars[m.from],
                  .n_reads = 1,
                  .writes = &vars[m.to],
                  .n_writes = 1,
                  .device = where[random % 3]};
  cr_assert(eq(int, th_push(&task), TH_OK), "%s", th_last_error());
}

static void run_program(uint32_t seed, int64_t *expected) {
  uint32_t random = seed * 2654435761u + 1;
  memset(expected, 0, sizeof cells);
  memset(cells, 0, sizeof cells);
  for (int i = 0; i < TASKS; i++) {
    random = random * 1664525u + 1013904223u;
    mix_args m = {(int)(random >> 8) % CELLS, (int)(random >> 16) % CELLS, i};
    expected[m.to] =
        (int64_t)((uint64_t)expected[m.to] * 3 + (uint64_t)expected[m.from] + (uint64_t)i);
    push_mix(m, random >> 20);
  }
  cr_assert(eq(int, th_wait_all(), TH_OK), "%s", th_last_error());
}

Test(lagdevice, the_engine_keeps_program_order) {
  uint64_t executed = 0;
  for (uint32_t seed = 0; seed < 10; seed++) {
    lag_install(seed);
    cr_assert(eq(int, th_init(NULL), TH_OK), "%s", th_last_error());
    for (int i = 0; i < CELLS; i++) vars[i] = th_var_new();
    int64_t expected[CELLS];
    run_program(seed, expected);
    for (int i = 0; i < CELLS; i++) {
      cr_assert(eq(i64, cells[i], expected[i]), "seed %u, cell %d", seed, i);
      th_var_release(vars[i]);
    }
    lag_counts first = lag_counters(0), second = lag_counters(1);
    executed += first.executed + second.executed;
    cr_assert(eq(u64, first.issued + second.issued, first.executed + second.executed));
    cr_assert(eq(int, th_shutdown(), TH_OK), "%s", th_last_error());
  }
  cr_assert(gt(u64, executed, 10 * TASKS / 2));
}
