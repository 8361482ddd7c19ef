/* The CUDA device's table by itself, on the fake driver: points, waits, marks, counters, scratch memory. No engine runs. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <string.h>

#include "devices/cuda/device.h"
#include "devices/cuda/parts.h"
#include "engine/state.h"
#include "support/fakedriver.h"

static void *state;
static const th__device_ops *const ops = &th__cuda_ops;

static void open_with(uint64_t seed, fake_mode mode) {
  const char *why = NULL;
  if (!fake_install(&why)) cr_skip_test("the fake driver cannot be loaded: %s", why);
  fake_begin(seed);
  fake_setting("mode", mode);
  cr_assert(eq(int, ops->open(0, &state), TH_OK), "%s", th_last_error());
}

static void close_clean(void) {
  ops->close(state);
  const char *findings = fake_findings(true);
  cr_assert(findings[0] == 0, "%s", findings);
}

typedef struct job {
  void *x, *y;
  uint64_t h;
  int64_t scratch; /* bytes to take; 0 = none */
  void *taken;
  th_status status;
} job;

static void run_job(void *arg, void *lane_handle) {
  job *j = arg;
  th_task_context context = {.lane_handle = lane_handle};
  j->status = TH_OK;
  if (j->scratch > 0) j->status = th__cuda_scratch(&context, j->scratch, &j->taken);
  void *y = j->y != NULL ? j->y : j->taken;
  if (j->status == TH_OK && y != NULL)
    j->status = fake_launch_mix(&context, j->x, j->x != NULL ? 16 : 0, y, 16, j->h);
}

/* Issues a job and returns its point. */
static th_point issue(int lane, job *j) {
  th_point point = 0;
  cr_assert(eq(int, ops->issue(state, lane, run_job, j, &point), TH_OK));
  cr_assert(eq(int, j->status, TH_OK), "%s", th_last_error());
  return point;
}

static th_point mix_on(int lane, void *x, void *y) {
  job j = {.x = x, .y = y, .h = 5};
  return issue(lane, &j);
}

static void wait_on(int lane, th_point point) {
  cr_assert(eq(int, ops->lane_wait(state, lane, point), TH_OK), "%s", th_last_error());
}

static void finish(th_point point) {
  for (int i = 0; i < 10000000 && !ops->point_done(state, point); i++) {
  }
  cr_assert(ops->point_done(state, point));
}

static void *block_of(int64_t bytes) {
  void *block = NULL;
  cr_assert(eq(int, ops->alloc(state, bytes, &block), TH_OK), "%s", th_last_error());
  return block;
}

TestSuite(cuda_lanes, .timeout = 60);

/* MXNet keeps 64 events per device and forgets what an older one stood for. */
Test(cuda_lanes, a_point_many_operations_ago_is_still_waited_for) {
  for (int mode = FAKE_MIXED; mode <= FAKE_STARVE; mode++) {
    open_with(3, (fake_mode)mode);
    void *x = block_of(64), *y = block_of(64), *z = block_of(64);
    th_point produced = mix_on(0, NULL, x), last = 0;
    for (int i = 0; i < 200; i++) last = mix_on(0, NULL, y);
    th_point tail = last;
    for (int lane = 1; lane < 8; lane++) {
      wait_on(lane, produced);
      if (lane > 1) wait_on(lane, tail);
      if (lane > 2) wait_on(lane, last);
      last = mix_on(lane, x, lane == 1 ? z : y);
    }
    for (int lane = 0; lane < 8; lane++) finish(TH__POINT(lane, 1));
    finish(last);
    ops->free(state, x, 64);
    ops->free(state, y, 64);
    ops->free(state, z, 64);
    close_clean();
  }
}

Test(cuda_lanes, implied_waits_are_dropped) {
  open_with(1, FAKE_LATE);
  void *x = block_of(64), *y = block_of(64), *z = block_of(64);
  th_point first = mix_on(0, NULL, x);
  wait_on(1, first);
  th_point second = mix_on(1, x, y);
  wait_on(2, second);
  cr_assert(eq(i64, fake_counted("waits"), 2));
  wait_on(2, first); /* behind second, which is behind it */
  wait_on(2, second);
  wait_on(1, first);
  cr_assert(eq(i64, fake_counted("waits"), 2));
  finish(mix_on(2, x, z));
  finish(first);
  wait_on(3, first); /* has passed */
  cr_assert(eq(i64, fake_counted("waits"), 2));
  ops->free(state, x, 64);
  ops->free(state, y, 64);
  ops->free(state, z, 64);
  close_clean();
}

/* A mark that covers several points serves for all of them. */
Test(cuda_lanes, marks_are_shared) {
  open_with(1, FAKE_LATE);
  void *x = block_of(64);
  th_point points[10];
  for (int i = 0; i < 10; i++) points[i] = mix_on(0, NULL, x);
  for (int lane = 1; lane < 6; lane++) wait_on(lane, points[9 - lane]);
  cr_assert(eq(i64, fake_counted("records"), 1));
  cr_assert(eq(i64, fake_counted("waits"), 5));
  for (int lane = 0; lane < 6; lane++) finish(mix_on(lane, NULL, NULL));
  ops->free(state, x, 64);
  close_clean();
}

/* Far more marks than the ring began with, none of which has passed. */
Test(cuda_lanes, marks_are_never_overwritten) {
  for (int memops = 0; memops <= 1; memops++) {
    open_with(2, FAKE_LATE);
    ops->close(state);
    fake_setting("memops", memops);
    cr_assert(eq(int, ops->open(0, &state), TH_OK));
    void *block[8];
    th_point last[8];
    for (int lane = 0; lane < 8; lane++) {
      block[lane] = block_of(64);
      last[lane] = mix_on(lane, NULL, block[lane]);
    }
    for (int i = 0; i < 300; i++) {
      for (int lane = 0; lane < 8; lane++) { /* a ring of neighbours: reads one, writes its own */
        int other = (lane + 1) % 8, reader = (lane + 7) % 8;
        wait_on(lane, last[other]);
        wait_on(lane, last[reader]);
        last[lane] = mix_on(lane, block[other], block[lane]);
      }
    }
    for (int lane = 0; lane < 8; lane++) finish(last[lane]);
    for (int lane = 0; lane < 8; lane++) ops->free(state, block[lane], 64);
    close_clean();
  }
}

/* The checker's own test: each wait in turn is forgotten, and every time it says so. */
Test(cuda_lanes, a_forgotten_wait_is_found) {
  enum { WAITS = 6 };
  for (int dropped = 1; dropped <= WAITS; dropped++) {
    open_with((uint64_t)dropped, FAKE_LATE);
    fake_setting("drop_wait", dropped);
    void *x = block_of(64);
    th_point point = mix_on(0, NULL, x);
    for (int lane = 1; lane <= WAITS; lane++) {
      wait_on(lane, point);
      point = mix_on(lane, NULL, x);
    }
    cr_assert(ge(i64, fake_counted("races"), 1), "wait %d", dropped);
    for (int lane = 0; lane <= WAITS; lane++) finish(TH__POINT(lane, 1));
    ops->free(state, x, 64);
    ops->close(state);
  }
}

Test(cuda_lanes, scratch_goes_to_the_same_lane_at_once) {
  open_with(1, FAKE_LATE);
  job j = {.scratch = 1000};
  (void)issue(0, &j);
  void *first = j.taken;
  int64_t allocs = fake_counted("allocs");
  for (int i = 0; i < 50; i++) {
    (void)issue(0, &j);
    cr_assert(eq(ptr, j.taken, first));
  }
  (void)issue(1, &j);
  cr_assert(ne(ptr, j.taken, first)); /* still in use */
  cr_assert(eq(i64, fake_counted("allocs"), allocs));
  finish(TH__POINT(0, 51));
  finish(TH__POINT(1, 1));
  th_memory_info m;
  ops->memory(state, &m);
  cr_assert(eq(i64, m.live, 0));
  ops->trim(state);
  ops->memory(state, &m);
  cr_assert(eq(i64, m.cached, 0));
  close_clean();
}

/* Memory freed by a body while it is in use, and wanted on another lane with none left. */
Test(cuda_lanes, short_of_memory_pending_blocks_are_waited_for) {
  open_with(1, FAKE_LATE);
  ops->set_limit(state, 4096);
  job j = {.scratch = 2048};
  (void)issue(0, &j);
  (void)issue(1, &j);
  (void)issue(2, &j); /* two are pending: one of them must pass first */
  cr_assert(eq(int, j.status, TH_OK), "%s", th_last_error());
  finish(TH__POINT(2, 1));
  void *block = NULL;
  cr_assert(eq(int, ops->alloc(state, 8192, &block), TH_ENOMEM));
  cr_assert(eq(str, (char *)th_last_error(),
               (char *)"cuda:0: out of device memory: 8192 bytes wanted, 0 live, 0 cached, limit "
                       "4096"));
  close_clean();
}

Test(cuda_lanes, the_driver_refuses_once) {
  open_with(1, FAKE_MIXED);
  void *small = block_of(100);
  ops->free(state, small, 100);
  fake_setting("fail_alloc", 1);
  void *large = block_of(20 << 20); /* the first segment goes, then a second try */
  cr_assert(eq(i64, fake_counted("frees"), 1));
  ops->free(state, large, 20 << 20);
  close_clean();
}

Test(cuda_lanes, figures_are_exact) {
  open_with(1, FAKE_MIXED);
  th_memory_info m;
  void *a = block_of(512), *b = block_of(513), *c = block_of(3 << 20);
  ops->memory(state, &m);
  cr_assert(eq(i64, m.live, 512 + 1024 + (3 << 20)));
  cr_assert(eq(i64, m.cached, (2 << 20) - 1536 + (29 << 20)));
  cr_assert(eq(u64, m.misses, 2));
  ops->free(state, b, 513);
  b = block_of(1000);
  ops->memory(state, &m);
  cr_assert(eq(u64, m.misses, 2));
  cr_assert(eq(i64, m.peak, 512 + 1024 + (3 << 20)));
  ops->free(state, a, 512);
  ops->free(state, b, 1000);
  ops->free(state, c, 3 << 20);
  ops->memory(state, &m);
  cr_assert(eq(i64, m.live, 0));
  ops->trim(state);
  ops->memory(state, &m);
  cr_assert(eq(i64, m.cached, 0));
  close_clean();
}

static void owner_is_told(void *owner) { ++*(int *)owner; }

/* A release that comes late, when the address is another's, takes nothing away. */
Test(cuda_lanes, a_block_is_given_back_by_its_owner_only) {
  open_with(1, FAKE_MIXED);
  int first = 0, second = 0;
  th_memory_info m;
  void *block = block_of(100);
  ops->own(state, block, &second, owner_is_told);
  ops->free_owned(state, block, &first);
  ops->memory(state, &m);
  cr_assert(eq(i64, m.live, 512));
  ops->free_owned(state, block, &second);
  ops->memory(state, &m);
  cr_assert(eq(i64, m.live, 0));
  cr_assert(eq(int, first + second, 0));
  close_clean();
}

/* Random sizes, taken and given; the fake tells of blocks that overlap. */
Test(cuda_lanes, blocks_do_not_overlap) {
  enum { HELD = 200 };
  open_with(1, FAKE_MIXED);
  void *held[HELD] = {0};
  int64_t sizes[HELD] = {0};
  uint64_t random = 1;
  for (int i = 0; i < 20000; i++) {
    random = random * 6364136223846793005u + 1442695040888963407u;
    int at = (int)(random >> 33) % HELD;
    if (held[at] != NULL) {
      ops->free(state, held[at], sizes[at]);
      held[at] = NULL;
    } else {
      sizes[at] = (int64_t)(random >> 20 & 0xFFFFF) >> (random >> 45) % 16;
      held[at] = block_of(sizes[at]);
      cr_assert(eq(int, (int)((uintptr_t)held[at] % 512), 0));
    }
  }
  for (int i = 0; i < HELD; i++) ops->free(state, held[i], sizes[i]);
  ops->trim(state);
  th_memory_info m;
  ops->memory(state, &m);
  cr_assert(eq(i64, m.live, 0));
  cr_assert(eq(i64, m.cached, 0));
  close_clean();
}

/* Without events an edge is kept by waiting. */
Test(cuda_lanes, no_event_is_made) {
  open_with(1, FAKE_LATE);
  void *x = block_of(64), *y = block_of(64);
  th_point point = mix_on(0, NULL, x);
  fake_setting("fail_event", 1);
  wait_on(1, point);
  finish(mix_on(1, x, y));
  ops->free(state, x, 64);
  ops->free(state, y, 64);
  close_clean();
}

/* ---- host memory ---- */

typedef struct host_copy {
  void *block, *host;
  bool out;
  th_status status;
} host_copy;

static void run_copy(void *arg, void *lane_handle) {
  host_copy *c = arg;
  c->status = c->out ? ops->copy_out(state, lane_handle, c->host, c->block, 64)
                     : ops->copy_in(state, lane_handle, c->block, c->host, 64);
}

static th_point copy_on(int lane, bool out, void *block, void *host) {
  host_copy c = {block, host, out, TH_OK};
  th_point point = 0;
  cr_assert(eq(int, ops->issue(state, lane, run_copy, &c, &point), TH_OK));
  cr_assert(eq(int, c.status, TH_OK), "%s", th_last_error());
  return point;
}

/* A copy out is issued, not done, when a copy in reads the same host memory. */
Test(cuda_lanes, a_copy_in_sees_what_an_issued_copy_out_brings) {
  open_with(1, FAKE_LATE);
  int32_t sent[16], between[16] = {0}, back[16] = {0};
  void *x = block_of(64), *y = block_of(64);
  for (int i = 0; i < 16; i++) sent[i] = i + 1;
  th_point in = copy_on(8, false, x, sent);
  wait_on(9, in);
  th_point out = copy_on(9, true, x, between);
  wait_on(8, out);
  in = copy_on(8, false, y, between);
  memset(between, 0, sizeof between); /* it has read them */
  wait_on(9, in);
  finish(copy_on(9, true, y, back));
  cr_assert(memcmp(sent, back, sizeof sent) == 0);
  finish(in);
  ops->free(state, x, 64);
  ops->free(state, y, 64);
  close_clean();
}

/* Of two copies out to the same memory the later one stays, whichever lane is asked first. */
Test(cuda_lanes, copies_out_land_in_order) {
  open_with(1, FAKE_LATE);
  int32_t first[16], second[16], host[16] = {0};
  void *x = block_of(64), *y = block_of(64);
  for (int i = 0; i < 16; i++) first[i] = i + 1, second[i] = -i;
  th_point a = copy_on(0, false, x, first), b = copy_on(1, false, y, second);
  a = copy_on(0, true, x, host);
  wait_on(1, a);
  b = copy_on(1, true, y, host);
  finish(b);
  finish(a);
  cr_assert(memcmp(second, host, sizeof second) == 0);
  ops->free(state, x, 64);
  ops->free(state, y, 64);
  close_clean();
}
