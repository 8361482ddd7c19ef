/* Traffic between arrays and the program's memory: from_host, read, write, item, waits; in every mode of the engine. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/error.h"
#include "engine/base/mem.h"
#include "engine/base/thread.h"
#include "ndarray/array.h"
#include "ndarray/dtype.h"
#include "support/fardevice.h"
#include "support/lagdevice.h"
#include "thrum/thrum.h"

/* What is pending would look like a leak. */
static void stop(void) { (void)th_shutdown(); }

TestSuite(host, .fini = stop, .timeout = 60);

static void expect_error(th_status status, const char *text) {
  cr_assert(eq(int, th_last_status(), status));
  cr_assert(strstr(th_last_error(), text) != NULL, "message '%s' has no '%s'", th_last_error(),
            text);
}

/* A view of a by slicing; a goes on living. */
static th_array *slice(th_array *a, const char *spec) {
  th_layout view;
  cr_assert(th__view_slice(&a->layout, spec, &view) == TH_OK, "%s", th_last_error());
  return th__array_view(a, &view);
}

static th_array *counting(int64_t rows, int64_t columns, th_device d) {
  float *data = malloc((size_t)(rows * columns) * sizeof *data);
  for (int64_t i = 0; i < rows * columns; i++) data[i] = (float)i;
  th_array *a = th_from_host(data, TH_SHAPE(rows, columns), TH_F32, d);
  memset(data, 0xee, (size_t)(rows * columns) * sizeof *data); /* it was copied */
  free(data);
  cr_assert(a != NULL, "%s", th_last_error());
  return a;
}

/* What has to hold on every device and in every mode. */
static void round_trips(th_device d, const char *mode) {
  th_array *a = counting(40, 30, d);
  float all[1200], some[100];
  cr_assert(th_read(a, all, sizeof all) == TH_OK, "%s: %s", mode, th_last_error());
  for (int i = 0; i < 1200; i++) cr_assert(all[i] == (float)i, "%s: element %d", mode, i);
  th_array *v = slice(a, "::-4, 5:15");
  cr_assert(eq(i64, th_array_size(v), 100));
  cr_assert(eq(int, th_read(v, some, sizeof some), TH_OK));
  for (int i = 0; i < 100; i++)
    cr_assert(some[i] == (float)((39 - i / 10 * 4) * 30 + 5 + i % 10), "%s: view element %d", mode,
              i);
  for (int i = 0; i < 100; i++) some[i] = -(float)i;
  cr_assert(eq(int, th_write(v, some, sizeof some), TH_OK));
  memset(some, 0, sizeof some); /* it was copied */
  cr_assert(eq(int, th_read(a, all, sizeof all), TH_OK));
  for (int i = 0; i < 1200; i++) {
    int row = i / 30, column = i % 30;
    bool inside = row % 4 == 3 && column >= 5 && column < 15;
    float want = inside ? -(float)((39 - row) / 4 * 10 + column - 5) : (float)i;
    cr_assert(all[i] == want, "%s: element %d is %g, not %g", mode, i, (double)all[i],
              (double)want);
  }
  th_array *one = slice(a, "7, 11");
  cr_assert(eq(dbl, th_item(one), all[7 * 30 + 11]));
  cr_assert(eq(int, th_wait(a), TH_OK));
  cr_assert(th_is_ready(a));
  cr_assert(eq(int, th_wait_for(a, 0), TH_OK));
  th_release(one);
  th_release(v);
  th_release(a);
}

Test(host, every_mode_of_the_engine) {
  static const char *const modes[] = {"threads", "serial", "shuffle:1", "shuffle:77",
                                      "shuffle-threads:5"};
  int64_t before = th__mem_live();
  for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
    for (int workers = -1; workers <= 2; workers += 3) {
      th_config config = {.size = sizeof config, .engine = modes[i], .workers = workers};
      cr_assert(eq(int, th_init(&config), TH_OK));
      round_trips(th_cpu(0), modes[i]);
      cr_assert(eq(int, th_shutdown(), TH_OK));
      cr_assert(eq(i64, th__mem_live(), before));
    }
  }
  th_config config = {.size = sizeof config, .inline_small = true};
  cr_assert(eq(int, th_init(&config), TH_OK));
  round_trips(th_cpu(0), "inline");
}

Test(host, devices_of_a_split) {
  cr_assert(eq(int, th_cpu_split(2, 1), TH_OK));
  round_trips(th_cpu(1), "cpu:1");
}

Test(host, devices_where_issued_is_not_complete) {
  static const char *const modes[] = {"threads", "serial", "shuffle:2", "shuffle-threads:3"};
  for (uint64_t seed = 1; seed < 9; seed++) {
    th_config config = {
        .size = sizeof config, .engine = modes[seed % 4], .workers = seed % 3 ? 1 : -1};
    lag_install(seed);
    cr_assert(eq(int, th_init(&config), TH_OK));
    round_trips(lag_device(0), "lag:0");
    round_trips(lag_device(2), "lag:2");
    cr_assert(eq(int, th_shutdown(), TH_OK));
  }
}

Test(host, devices_the_host_cannot_reach) {
  far_install();
  th_array *a = counting(6, 5, far_device(0)), *v = slice(a, "::-2, 1:4"), *rows = slice(a, "2:4");
  float all[30], some[10];
  cr_assert(eq(int, th_read(a, all, sizeof all), TH_OK));
  for (int i = 0; i < 30; i++) cr_assert(eq(flt, all[i], (float)i));
  cr_assert(eq(int, th_read(v, some, 9 * sizeof(float)), TH_OK));
  for (int i = 0; i < 9; i++) cr_assert(eq(flt, some[i], (float)((5 - i / 3 * 2) * 5 + 1 + i % 3)));
  for (int i = 0; i < 10; i++) some[i] = -(float)i;
  cr_assert(eq(int, th_write(rows, some, sizeof some), TH_OK));
  cr_assert(eq(int, th_read(a, all, sizeof all), TH_OK));
  for (int i = 0; i < 30; i++)
    cr_assert(eq(flt, all[i], i >= 10 && i < 20 ? (float)(10 - i) : (float)i));
  cr_assert(far_copies_in() == 2 && far_copies_out() == 3);
  for (int i = 0; i < 9; i++) some[i] = 100 + (float)i;
  cr_assert(eq(int, th_write(v, some, 9 * sizeof(float)), TH_OK));
  some[0] = 0; /* it was copied */
  cr_assert(eq(int, th_read(a, all, sizeof all), TH_OK));
  for (int i = 0; i < 30; i++) {
    bool inside = i / 5 % 2 == 1 && i % 5 >= 1 && i % 5 < 4;
    float before = i >= 10 && i < 20 ? (float)(10 - i) : (float)i;
    float want = inside ? (float)(100 + (5 - i / 5) / 2 * 3 + i % 5 - 1) : before;
    cr_assert(eq(flt, all[i], want), "element %d", i);
  }
  th_release(rows);
  th_release(v);
  th_release(a);
}

Test(host, every_element_type) {
  for (int t = 0; t < TH_DTYPE_COUNT; t++) {
    size_t size = th_dtype_size((th_dtype)t);
    char in[64], out[64];
    for (int i = 0; i < 8; i++) th__dtype_set((th_dtype)t, in + (size_t)i * size, i % 2 ? 1 : i);
    th_array *a = th_from_host(in, TH_SHAPE(2, 4), (th_dtype)t, th_cpu(0));
    cr_assert(eq(int, th_read(a, out, 8 * size), TH_OK));
    cr_assert(memcmp(in, out, 8 * size) == 0, "%s", th_dtype_name((th_dtype)t));
    th_array *one = slice(a, "1, 2");
    cr_assert(eq(dbl, th_item(one), t == TH_BOOL ? 1.0 : 6.0));
    th_release(one);
    th_release(a);
  }
}

Test(host, no_elements_and_no_dimensions) {
  float value = 2.5f, out = 0;
  th_array *scalar = th_from_host(&value, TH_SCALAR, TH_F32, th_cpu(0));
  cr_assert(eq(dbl, th_item(scalar), 2.5));
  cr_assert(eq(int, th_read(scalar, &out, sizeof out), TH_OK));
  cr_assert(eq(flt, out, 2.5f));
  th_array *empty = th_from_host(NULL, TH_SHAPE(3, 0), TH_F32, th_cpu(0));
  cr_assert(empty != NULL);
  cr_assert(eq(int, th_read(empty, NULL, 0), TH_OK));
  cr_assert(eq(int, th_write(empty, NULL, 0), TH_OK));
  cr_assert(isnan(th_item(empty)));
  expect_error(TH_ESHAPE, "th_item: shape (3, 0) has 0 elements, not 1");
  th_release(scalar);
  th_release(empty);
}

Test(host, bad_calls) {
  float data[12] = {0};
  th_array *a = counting(3, 4, th_cpu(0)),
           *meta = th_from_host(data, TH_SHAPE(3, 4), TH_F32, th_meta());
  cr_assert(eq(int, th_read(a, data, 47), TH_EINVAL));
  expect_error(TH_EINVAL, "th_read: 47 bytes given, shape (3, 4) of f32 has 48");
  cr_assert(eq(int, th_write(a, data, 0), TH_EINVAL));
  expect_error(TH_EINVAL, "th_write: 0 bytes given, shape (3, 4) of f32 has 48");
  cr_assert(eq(int, th_read(a, NULL, 48), TH_EINVAL));
  cr_assert(eq(int, th_write(a, NULL, 48), TH_EINVAL));
  cr_assert(isnan(th_item(a)));
  expect_error(TH_ESHAPE, "th_item: shape (3, 4) has 12 elements, not 1");
  cr_assert(eq(int, th_read(meta, data, 48), TH_ENODATA));
  expect_error(TH_ENODATA, "th_read: an array on the meta device has no data");
  cr_assert(eq(int, th_write(meta, data, 48), TH_ENODATA));
  th_clear_error();
  cr_assert(eq(int, th_read(NULL, data, 48), TH_EINVAL));
  expect_error(TH_EINVAL, "th_read: array is NULL");
  th_clear_error();
  cr_assert(th_from_host(NULL, TH_SHAPE(2), TH_F32, th_cpu(0)) == NULL);
  expect_error(TH_EINVAL, "th_from_host: data is NULL");
  cr_assert(th_from_host(data, TH_SHAPE(2, -2), TH_F32, th_cpu(0)) == NULL);
  expect_error(TH_ESHAPE, "th_from_host: negative size in shape (2, -2)");
  cr_assert(th_from_host(data, TH_SHAPE(2), (th_dtype)-1, th_cpu(0)) == NULL);
  expect_error(TH_EDTYPE, "th_from_host: -1 is not an element type");
  cr_assert(th_from_host(data, TH_SHAPE(2), TH_F32, th_cpu(99)) == NULL);
  cr_assert(eq(int, th_last_status(), TH_EDEVICE));
  cr_assert(eq(int, th_wait_many(NULL, 1), TH_EINVAL));
  cr_assert(eq(int, th_wait_many(&a, -1), TH_EINVAL));
  cr_assert(eq(int, th_wait_many(NULL, 0), TH_OK));
  th_release(a);
  th_release(meta);
}

Test(host, a_null_array_keeps_the_first_message) {
  th_array *a = th_from_host("", TH_SHAPE(-5), TH_F32, th_cpu(0));
  float out;
  cr_assert(th_read(a, &out, 4) != TH_OK);
  expect_error(TH_ESHAPE, "th_from_host: negative size in shape (-5,)");
  cr_assert(isnan(th_item(a)));
  expect_error(TH_ESHAPE, "th_from_host: negative size in shape (-5,)");
}

/* --- failures --- */

static th_status fail(void *arg, th_task_context *context) {
  (void)arg;
  return th_context_fail(context, TH_EKERNEL, "broken on purpose");
}

static void poison(th_array *a) {
  th_var *v = th_array_var(a);
  th_task task = {.name = "broken", .run = fail, .writes = &v, .n_writes = 1};
  cr_assert(eq(int, th_push(&task), TH_OK));
}

Test(host, failures_come_out_of_every_read_until_cured) {
  th_array *a = counting(2, 3, th_cpu(0)), *good = counting(2, 3, th_cpu(0)), *row = slice(a, "0");
  float out[6], in[6] = {1, 2, 3, 4, 5, 6};
  poison(a);
  for (int i = 0; i < 3; i++) {
    cr_assert(eq(int, th_read(a, out, sizeof out), TH_EKERNEL));
    expect_error(TH_EKERNEL, "broken on purpose");
    cr_assert(eq(int, th_wait(a), TH_EKERNEL));
    cr_assert(eq(int, th_wait_many(TH_ARRAYS(good, a)), TH_EKERNEL));
    expect_error(TH_EKERNEL, "broken on purpose");
    cr_assert(isnan(th_item(a)));
  }
  cr_assert(eq(int, th_write(row, in, sizeof in / 2), TH_OK), "a part does not cure");
  cr_assert(eq(int, th_read(a, out, sizeof out), TH_EKERNEL));
  cr_assert(eq(int, th_write(a, in, sizeof in), TH_OK), "the whole does");
  cr_assert(eq(int, th_read(a, out, sizeof out), TH_OK));
  cr_assert(memcmp(in, out, sizeof in) == 0);
  cr_assert(eq(int, th_read(good, out, sizeof out), TH_OK));
  th_release(row);
  th_release(a);
  th_release(good);
}

static th_array *shared;
static th_status seen_read, seen_wait;

static th_status read_own(void *arg, th_task_context *context) {
  (void)arg;
  (void)context;
  static float out[4];
  seen_read = th_read(shared, out, sizeof out);
  seen_wait = th_wait(shared);
  return TH_OK;
}

Test(host, reading_what_the_running_task_writes) {
  shared = counting(2, 2, th_cpu(0));
  th_var *v = th_array_var(shared);
  th_task task = {.name = "selfish", .run = read_own, .writes = &v, .n_writes = 1};
  cr_assert(eq(int, th_push(&task), TH_OK));
  float out[4];
  cr_assert(eq(int, th_read(shared, out, sizeof out), TH_OK));
  cr_assert(eq(int, seen_read, TH_EDEADLK));
  cr_assert(eq(int, seen_wait, TH_EDEADLK));
  th_release(shared);
}

static _Atomic uint32_t gate;

static th_status wait_gate(void *arg, th_task_context *context) {
  (void)arg;
  (void)context;
  while (th__load(&gate, TH__ACQUIRE) == 0) th__park(&gate, 0, -1);
  return TH_OK;
}

Test(host, timed_waits) {
  th_config config = {.size = sizeof config, .workers = 2};
  cr_assert(eq(int, th_init(&config), TH_OK));
  th_array *a = counting(2, 2, th_cpu(0));
  th_var *v = th_array_var(a);
  th_task task = {.name = "gated", .run = wait_gate, .writes = &v, .n_writes = 1};
  cr_assert(eq(int, th_push(&task), TH_OK));
  cr_assert(not(th_is_ready(a)));
  cr_assert(eq(int, th_wait_for(a, 0), TH_ETIMEDOUT));
  int64_t began = th__now_ns();
  cr_assert(eq(int, th_wait_for(a, 30000000), TH_ETIMEDOUT));
  cr_assert(th__now_ns() - began >= 30000000);
  th__store(&gate, 1, TH__RELEASE);
  th__unpark(&gate, 100);
  cr_assert(eq(int, th_wait_for(a, 10000000000), TH_OK));
  cr_assert(th_is_ready(a));
  th_release(a);
}

/* --- memory --- */

Test(host, from_host_waits_for_memory_that_others_free) {
  th_config config = {.size = sizeof config, .workers = 1, .memory_limit = 3 << 20};
  cr_assert(eq(int, th_init(&config), TH_OK));
  char *data = malloc(2 << 20);
  memset(data, 1, 2 << 20);
  th_array *a = th_from_host(data, TH_SHAPE(2 << 20), TH_U8, th_cpu(0));
  th_var *v = th_array_var(a);
  th_task task = {.name = "gated", .run = wait_gate, .reads = &v, .n_reads = 1};
  cr_assert(eq(int, th_push(&task), TH_OK));
  th_release(a); /* its memory comes back when the gate opens */
  memset(data, 2, 2 << 20);
  th_array *b = th_from_host(data, TH_SHAPE(2 << 20), TH_U8, th_cpu(0));
  cr_assert(b != NULL, "%s", th_last_error());
  cr_assert(eq(int, th_last_status(), TH_OK), "nothing failed");
  memset(data, 3, 2 << 20);
  th__store(&gate, 1, TH__RELEASE);
  th__unpark(&gate, 100);
  cr_assert(th_read(b, data, 2 << 20) == TH_OK, "%s", th_last_error());
  for (int i = 0; i < 2 << 20; i++) cr_assert(data[i] == 2);
  th_release(b);
  free(data);
}

Test(host, memory_that_never_comes_is_an_error) {
  th_config config = {.size = sizeof config, .workers = 1, .memory_limit = 3 << 20};
  cr_assert(eq(int, th_init(&config), TH_OK));
  char *data = calloc(1, 2 << 20);
  th_array *a = th_from_host(data, TH_SHAPE(2 << 20), TH_U8, th_cpu(0));
  th_array *b = th_from_host(data, TH_SHAPE(2 << 20), TH_U8, th_cpu(0));
  cr_assert(eq(int, th_wait(a), TH_OK));
  cr_assert(eq(int, th_read(b, data, 2 << 20), TH_ENOMEM));
  expect_error(TH_ENOMEM, "no memory for 2097152 bytes on cpu:0");
  th_release(a);
  cr_assert(eq(int, th_write(b, data, 2 << 20), TH_OK), "now there is room");
  cr_assert(eq(int, th_read(b, data, 2 << 20), TH_OK));
  th_release(b);
  free(data);
}

/* A call while only n more allocations succeed. */
#define SHORT_OF_MEMORY(n, call)                                                                   \
  do {                                                                                             \
    th__mem_fail_after(n);                                                                         \
    th_status status = (call);                                                                     \
    th__mem_fail_after(-1);                                                                        \
    failures += status != TH_OK;                                                                   \
    cr_assert(status == TH_OK || status == TH_ENOMEM, "%s: %s", #call, th_last_error());           \
  } while (0)

Test(host, out_of_host_memory) {
  int64_t before = th__mem_live();
  cr_assert(eq(int, th_init(NULL), TH_OK));
  FILE *out = fopen("/dev/null", "w");
  float data[100] = {0};
  const void *seen;
  int failures = 0;
  for (int64_t n = 0; n < 20; n++) {
    th_array *a = counting(10, 10, th_cpu(0));
    SHORT_OF_MEMORY(n, th_read(a, data, sizeof data));
    SHORT_OF_MEMORY(n, th_write(a, data, sizeof data));
    SHORT_OF_MEMORY(n, th_print(a, out));
    SHORT_OF_MEMORY(n, th_map_read(a, &seen));
    if (seen) cr_assert(eq(int, th_unmap(a), TH_OK));
    cr_assert(th_read(a, data, sizeof data) == TH_OK, "%s", th_last_error());
    th_release(a);
  }
  fclose(out);
  cr_assert(failures >= 4 && failures < 40);
  cr_assert(eq(int, th_shutdown(), TH_OK));
  cr_assert(eq(i64, th__mem_live(), before));
}

/* --- several threads --- */

enum { ROUNDS = 2000, SIZE = 512 };

static void *write_patterns(void *arg) {
  int32_t data[SIZE];
  for (int32_t r = 0; r < ROUNDS; r++) {
    for (int i = 0; i < SIZE; i++) data[i] = r;
    if (th_write(arg, data, sizeof data) != TH_OK) return "write failed";
  }
  return NULL;
}

static void *read_patterns(void *arg) {
  int32_t data[SIZE], last = -1;
  for (int r = 0; r < ROUNDS; r++) {
    if (th_read(arg, data, sizeof data) != TH_OK) return "read failed";
    for (int i = 1; i < SIZE; i++)
      if (data[i] != data[0]) return "a read saw half of a write";
    if (data[0] < last) return "a read went back in time";
    last = data[0];
  }
  return NULL;
}

Test(host, a_read_sees_whole_writes_only) {
  int32_t zero[SIZE] = {0};
  th_array *a = th_from_host(zero, TH_SHAPE(SIZE), TH_I32, th_cpu(0));
  pthread_t threads[3];
  pthread_create(&threads[0], NULL, write_patterns, a);
  pthread_create(&threads[1], NULL, read_patterns, a);
  pthread_create(&threads[2], NULL, read_patterns, a);
  for (int i = 0; i < 3; i++) {
    void *wrong = NULL;
    pthread_join(threads[i], &wrong);
    cr_assert(wrong == NULL, "%s", (char *)wrong);
  }
  th_release(a);
}

Test(host, reads_are_counted_as_waits) {
  th_engine_stats before = {.size = sizeof before}, after = {.size = sizeof after};
  th_array *a = counting(1, 1, th_cpu(0));
  cr_assert(eq(int, th_engine_get_stats(&before), TH_OK));
  float one = 1;
  for (int i = 0; i < 10; i++) {
    cr_assert(eq(int, th_write(a, &one, sizeof one), TH_OK));
    cr_assert(eq(dbl, th_item(a), 1.0));
  }
  cr_assert(eq(int, th_engine_get_stats(&after), TH_OK));
  cr_assert(after.host_waits - before.host_waits <= 10);
  th_release(a);
}
