/* Direct access of the host: what it sees, what waits for it, what it refuses; in every mode of the engine. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <pthread.h>
#include <string.h>

#include "engine/base/error.h"
#include "engine/base/mem.h"
#include "engine/base/thread.h"
#include "ndarray/array.h"
#include "support/lagdevice.h"
#include "thrum/thrum.h"

/* What is pending would look like a leak. */
static void stop(void) { (void)th_shutdown(); }

TestSuite(map, .fini = stop, .timeout = 60);

static void expect_error(th_status status, const char *text) {
  cr_assert(eq(int, th_last_status(), status));
  cr_assert(strstr(th_last_error(), text) != NULL, "message '%s' has no '%s'", th_last_error(),
            text);
}

static th_array *make(void) {
  float data[6] = {0, 1, 2, 3, 4, 5};
  th_array *a = th_from_host(data, TH_SHAPE(2, 3), TH_F32, th_cpu(0));
  cr_assert(a != NULL, "%s", th_last_error());
  return a;
}

static void start(const char *mode, int workers) {
  th_config config = {.size = sizeof config, .engine = mode, .workers = workers};
  cr_assert(eq(int, th_init(&config), TH_OK));
}

static void reads_and_writes(void) {
  th_array *a = make();
  float in[6] = {10, 11, 12, 13, 14, 15}, out[6];
  cr_assert(eq(int, th_write(a, in, sizeof in), TH_OK));
  const void *seen = NULL, *again = NULL;
  cr_assert(eq(int, th_map_read(a, &seen), TH_OK));
  cr_assert(memcmp(seen, in, sizeof in) == 0, "the write before is there");
  cr_assert(eq(int, th_map_read(a, &again), TH_OK), "readers share");
  cr_assert(again == seen);
  cr_assert(eq(int, th_read(a, out, sizeof out), TH_OK), "reading goes on");
  float later[6] = {-1, -2, -3, -4, -5, -6};
  cr_assert(eq(int, th_write(a, later, sizeof later), TH_OK));
  cr_assert(not(th_is_ready(a)), "the write waits for the host");
  cr_assert(memcmp(seen, in, sizeof in) == 0);
  cr_assert(eq(int, th_unmap(a), TH_OK));
  cr_assert(not(th_is_ready(a)));
  cr_assert(eq(int, th_unmap(a), TH_OK));
  void *mine = NULL;
  uint64_t version = th_array_version(a);
  cr_assert(eq(int, th_map_write(a, &mine), TH_OK));
  cr_assert(eq(u64, th_array_version(a), version + 1));
  cr_assert(memcmp(mine, later, sizeof later) == 0);
  for (int i = 0; i < 6; i++) ((float *)mine)[i] *= 2;
  cr_assert(not(th_is_ready(a)));
  cr_assert(eq(int, th_unmap(a), TH_OK));
  cr_assert(eq(int, th_read(a, out, sizeof out), TH_OK));
  for (int i = 0; i < 6; i++) cr_assert(eq(flt, out[i], 2 * later[i]));
  cr_assert(eq(int, th_unmap(a), TH_EINVAL));
  th_release(a);
}

Test(map, every_mode_of_the_engine) {
  static const char *const modes[] = {"threads", "serial", "shuffle:3", "shuffle-threads:4"};
  int64_t before = th__mem_live();
  for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
    for (int workers = -1; workers <= 2; workers += 3) {
      start(modes[i], workers);
      reads_and_writes();
      cr_assert(eq(int, th_shutdown(), TH_OK));
      cr_assert(eq(i64, th__mem_live(), before));
    }
  }
}

Test(map, views_point_to_their_first_element) {
  th_array *a = make();
  th_layout flipped;
  cr_assert(eq(int, th__view_flip(&a->layout, NULL, 0, &flipped), TH_OK));
  th_array *v = th__array_view(a, &flipped);
  const void *seen;
  cr_assert(eq(int, th_map_read(v, &seen), TH_OK));
  const float *first = seen;
  cr_assert(eq(flt, first[0], 5.0f));
  cr_assert(eq(flt, first[th_array_strides(v)[1]], 4.0f));
  cr_assert(eq(int, th_unmap(a), TH_EINVAL), "the view was mapped, not a");
  cr_assert(eq(int, th_unmap(v), TH_OK));
  th_release(v);
  th_release(a);
}

Test(map, a_mapped_array_stays) {
  th_array *a = make();
  const void *seen;
  cr_assert(eq(int, th_map_read(a, &seen), TH_OK));
  th_scope s = th_scope_begin();
  th_array *b = make();
  cr_assert(eq(int, th_map_read(b, &seen), TH_OK));
  th_scope_end(s);
  cr_assert(eq(flt, ((const float *)seen)[5], 5.0f));
  cr_assert(eq(int, th_unmap(b), TH_OK));
  th_release(a);
  cr_assert(eq(int, th_unmap(a), TH_OK));
  cr_assert(eq(int, th_wait_all(), TH_OK));
}

Test(map, what_this_thread_would_wait_for_itself_is_refused) {
  th_array *a = make();
  const void *seen;
  void *mine;
  float out[6];
  cr_assert(eq(int, th_map_read(a, &seen), TH_OK));
  cr_assert(eq(int, th_map_write(a, &mine), TH_EDEADLK));
  expect_error(TH_EDEADLK, "th_map_write: this thread has mapped the array; unmap it first");
  cr_assert(mine == NULL);
  cr_assert(eq(int, th_unmap(a), TH_OK));
  cr_assert(eq(int, th_map_write(a, &mine), TH_OK));
  cr_assert(eq(int, th_map_read(a, &seen), TH_EDEADLK));
  cr_assert(eq(int, th_read(a, out, sizeof out), TH_EDEADLK));
  cr_assert(eq(int, th_wait(a), TH_EDEADLK));
  cr_assert(eq(int, th_unmap(a), TH_OK));
  cr_assert(eq(int, th_read(a, out, sizeof out), TH_OK));
  th_release(a);
}

Test(map, bad_calls) {
  lag_install(1);
  th_array *a = make(), *meta = th_from_host("abc", TH_SHAPE(3), TH_U8, th_meta());
  th_array *lag = th_from_host("abc", TH_SHAPE(3), TH_U8, lag_device(0));
  const void *seen;
  cr_assert(eq(int, th_map_read(meta, &seen), TH_EDEVICE));
  expect_error(TH_EDEVICE, "th_map_read: only memory of the CPU can be mapped");
  cr_assert(eq(int, th_map_read(lag, &seen), TH_EDEVICE));
  cr_assert(eq(int, th_map_read(a, NULL), TH_EINVAL));
  cr_assert(eq(int, th_map_write(a, NULL), TH_EINVAL));
  th_clear_error();
  cr_assert(eq(int, th_map_read(NULL, &seen), TH_EINVAL));
  expect_error(TH_EINVAL, "th_map_read: array is NULL");
  cr_assert(eq(int, th_unmap(a), TH_EINVAL));
  expect_error(TH_EINVAL, "th_unmap: this thread has not mapped the array");
  th_release(a);
  th_release(meta);
  th_release(lag);
}

Test(map, an_array_nobody_wrote_and_one_without_elements) {
  th_layout l;
  cr_assert(eq(int, th__layout_make(&l, TH_SHAPE(1000), TH_F64, "test"), TH_OK));
  th_array *a = th__array_new(&l, th_cpu(0));
  void *mine = NULL;
  cr_assert(eq(int, th_map_write(a, &mine), TH_OK));
  memset(mine, 0, 8000);
  cr_assert(eq(int, th_unmap(a), TH_OK));
  th_array *empty = th_from_host(NULL, TH_SHAPE(0), TH_F32, th_cpu(0));
  cr_assert(eq(int, th_map_write(empty, &mine), TH_OK));
  cr_assert(mine != NULL);
  cr_assert(eq(int, th_unmap(empty), TH_OK));
  th_release(a);
  th_release(empty);
}

static th_status fail(void *arg, th_task_context *context) {
  (void)arg;
  return th_context_fail(context, TH_EKERNEL, "broken on purpose");
}

Test(map, failed_content_is_not_shown) {
  th_array *a = make();
  th_var *v = th_array_var(a);
  th_task task = {.name = "broken", .run = fail, .writes = &v, .n_writes = 1};
  cr_assert(eq(int, th_push(&task), TH_OK));
  const void *seen;
  void *mine;
  cr_assert(eq(int, th_map_read(a, &seen), TH_EKERNEL));
  expect_error(TH_EKERNEL, "broken on purpose");
  cr_assert(seen == NULL);
  cr_assert(eq(int, th_map_write(a, &mine), TH_EKERNEL));
  cr_assert(eq(int, th_unmap(a), TH_EINVAL));
  th_release(a);
}

static th_array *shared;
static th_status seen_status;

static th_status map_own(void *arg, th_task_context *context) {
  (void)arg;
  (void)context;
  const void *data;
  seen_status = th_map_read(shared, &data);
  return TH_OK;
}

Test(map, inside_the_task_that_the_storage_waits_for) {
  static const char *const modes[] = {"threads", "serial", "shuffle:9"};
  for (int i = 0; i < 3; i++) {
    start(modes[i], 1);
    shared = make();
    th_var *v = th_array_var(shared);
    th_task task = {.name = "selfish", .run = map_own, .writes = &v, .n_writes = 1};
    seen_status = TH_OK;
    cr_assert(eq(int, th_push(&task), TH_OK));
    float out[6];
    cr_assert(eq(int, th_read(shared, out, sizeof out), TH_OK), "what was given up lets go");
    cr_assert(eq(int, th_write(shared, out, sizeof out), TH_OK));
    cr_assert(eq(int, th_wait(shared), TH_OK));
    cr_assert(seen_status == TH_EDEADLK, "%s: %d", modes[i], (int)seen_status);
    th_release(shared);
    cr_assert(eq(int, th_shutdown(), TH_OK));
  }
}

/* --- several threads --- */

enum { ROUNDS = 1000 };

static void *add_by_map(void *arg) {
  for (int i = 0; i < ROUNDS; i++) {
    void *data;
    if (th_map_write(arg, &data) != TH_OK) return "map_write failed";
    for (int k = 0; k < 6; k++) ((float *)data)[k] += 1;
    if (th_unmap(arg) != TH_OK) return "unmap failed";
  }
  return NULL;
}

static void *look_by_map(void *arg) {
  for (int i = 0; i < ROUNDS; i++) {
    const void *data;
    if (th_map_read(arg, &data) != TH_OK) return "map_read failed";
    const float *x = data;
    for (int k = 1; k < 6; k++)
      if (x[k] - x[0] != (float)k) return "a reader saw half of a write";
    if (th_unmap(arg) != TH_OK) return "unmap failed";
  }
  return NULL;
}

static void crowd(const char *mode, int workers) {
  start(mode, workers);
  th_array *a = make();
  pthread_t threads[4];
  for (int i = 0; i < 4; i++)
    pthread_create(&threads[i], NULL, i % 2 ? add_by_map : look_by_map, a);
  for (int i = 0; i < 4; i++) {
    void *wrong = NULL;
    pthread_join(threads[i], &wrong);
    cr_assert(wrong == NULL, "%s", (char *)wrong);
  }
  float out[6];
  cr_assert(eq(int, th_read(a, out, sizeof out), TH_OK));
  for (int k = 0; k < 6; k++) cr_assert(eq(flt, out[k], (float)(2 * ROUNDS + k)));
  th_release(a);
  cr_assert(eq(int, th_shutdown(), TH_OK));
}

Test(map, threads_take_turns) { crowd("threads", 2); }
Test(map, threads_take_turns_without_workers) { crowd("threads", TH_NO_WORKERS); }
