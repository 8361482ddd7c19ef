/* Handles and storages: life, accessors, wrapping, limits. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/base/error.h"
#include "engine/base/mem.h"
#include "ndarray/array.h"
#include "thrum/thrum.h"

/* What is pending would look like a leak. */
static void stop(void) { (void)th_shutdown(); }

TestSuite(array, .fini = stop, .timeout = 60);

static void expect_error(th_status status, const char *text) {
  cr_assert(eq(int, th_last_status(), status));
  cr_assert(strstr(th_last_error(), text) != NULL, "message '%s' has no '%s'", th_last_error(),
            text);
}

static th_array *make(const int64_t *shape, int ndim) {
  th_layout l;
  cr_assert(eq(int, th__layout_make(&l, shape, ndim, TH_F32, "test"), TH_OK));
  return th__array_new(&l, th_cpu(0));
}

Test(array, accessors) {
  float data[12] = {0};
  th_array *a = th_from_host(data, TH_SHAPE(3, 4), TH_F32, th_cpu(0));
  cr_assert(eq(int, th_array_ndim(a), 2));
  cr_assert(eq(i64, th_array_shape(a)[0], 3));
  cr_assert(eq(i64, th_array_shape(a)[1], 4));
  cr_assert(eq(i64, th_array_strides(a)[0], 4));
  cr_assert(eq(i64, th_array_strides(a)[1], 1));
  cr_assert(eq(i64, th_array_size(a), 12));
  cr_assert(eq(int, th_array_dtype(a), TH_F32));
  cr_assert(th_device_equal(th_array_device(a), th_cpu(0)));
  cr_assert(th_array_is_contiguous(a));
  cr_assert(th_array_var(a) != NULL);
  uint64_t version = th_array_version(a);
  cr_assert(eq(int, th_write(a, data, sizeof data), TH_OK));
  cr_assert(eq(u64, th_array_version(a), version + 1));
  th_release(a);
}

Test(array, null_is_answered) {
  cr_assert(eq(int, th_array_ndim(NULL), 0));
  cr_assert(th_array_shape(NULL) == NULL);
  cr_assert(eq(i64, th_array_size(NULL), 0));
  cr_assert(not(th_array_is_contiguous(NULL)));
  cr_assert(not(th_array_shares(NULL, NULL)));
  cr_assert(th_retain(NULL) == NULL);
  th_release(NULL);
  cr_assert(th_array_var(NULL) == NULL);
  expect_error(TH_EINVAL, "th_array_var: array is NULL");
}

Test(array, views_share_and_keep_the_storage) {
  int64_t before = th__mem_live();
  th_array *a = make(TH_SHAPE(3, 4)), *b = make(TH_SHAPE(3, 4));
  th_layout flipped;
  cr_assert(eq(int, th__view_flip(&a->layout, NULL, 0, &flipped), TH_OK));
  th_array *v = th__array_view(a, &flipped);
  cr_assert(th_array_shares(a, v));
  cr_assert(not(th_array_shares(a, b)));
  cr_assert(th_array_var(a) == th_array_var(v));
  cr_assert(not(th_array_is_contiguous(v)));
  float in[12], out[12];
  for (int i = 0; i < 12; i++) in[i] = (float)i;
  cr_assert(eq(int, th_write(a, in, sizeof in), TH_OK));
  th_release(a);
  cr_assert(eq(int, th_read(v, out, sizeof out), TH_OK));
  for (int i = 0; i < 12; i++) cr_assert(eq(flt, out[i], (float)(11 - i)));
  th_release(v);
  th_release(b);
  cr_assert(eq(int, th_shutdown(), TH_OK));
  cr_assert(eq(i64, th__mem_live(), before), "everything came back");
}

Test(array, the_meta_device_has_shapes_only) {
  th_array *a = th_from_host("xy", TH_SHAPE(2), TH_U8, th_meta());
  cr_assert(a != NULL);
  cr_assert(eq(i64, th_array_size(a), 2));
  cr_assert(eq(u64, th_array_version(a), 0));
  cr_assert(not(th_array_shares(a, a)));
  cr_assert(th_array_var(a) == NULL);
  expect_error(TH_ENODATA, "th_array_var");
  cr_assert(eq(int, th_wait(a), TH_OK));
  cr_assert(th_is_ready(a));
  /* Far larger than any memory. */
  th_layout huge;
  cr_assert(eq(int, th__layout_make(&huge, TH_SHAPE(1 << 30, 1 << 29), TH_F32, "test"), TH_OK));
  th_array *b = th__array_new(&huge, th_meta());
  cr_assert(b != NULL);
  th_release(b);
  th_release(a);
}

Test(array, what_a_device_could_never_hold_fails_at_the_call) {
  th_config config = {.size = sizeof config, .memory_limit = 1 << 20};
  cr_assert(eq(int, th_init(&config), TH_OK));
  th_layout l;
  cr_assert(eq(int, th__layout_make(&l, TH_SHAPE(1 << 19), TH_F32, "test"), TH_OK));
  cr_assert(th__array_new(&l, th_cpu(0)) == NULL);
  expect_error(TH_ENOMEM, "2097152 bytes are more than cpu:0 may ever hold");
  cr_assert(th__array_new(&l, th_cpu(7)) == NULL);
  cr_assert(eq(int, th_last_status(), TH_EDEVICE));
}

Test(array, memory_is_taken_late_and_given_back) {
  th_memory_info info;
  th_array *a = make(TH_SHAPE(1 << 18));
  cr_assert(eq(int, th_memory_get(th_cpu(0), &info), TH_OK));
  cr_assert(eq(i64, info.live, 0), "nothing was written yet");
  float *data = calloc(1 << 18, sizeof *data);
  cr_assert(eq(int, th_write(a, data, sizeof(float) << 18), TH_OK));
  cr_assert(eq(int, th_wait(a), TH_OK));
  cr_assert(eq(int, th_memory_get(th_cpu(0), &info), TH_OK));
  cr_assert(info.live >= (int64_t)sizeof(float) << 18);
  th_release(a);
  cr_assert(eq(int, th_wait_all(), TH_OK));
  cr_assert(eq(int, th_memory_get(th_cpu(0), &info), TH_OK));
  cr_assert(eq(i64, info.live, 0));
  free(data);
}

Test(array, an_array_nobody_wrote_can_be_read) {
  float out[100];
  th_array *a = make(TH_SHAPE(10, 10));
  cr_assert(eq(int, th_read(a, out, sizeof out), TH_OK));
  th_release(a);
}

Test(array, a_released_array_waits_for_its_tasks) {
  int64_t before = th__mem_live();
  float in[1000], out[1000];
  for (int round = 0; round < 200; round++) {
    for (int i = 0; i < 1000; i++) in[i] = (float)(round + i);
    th_array *a = make(TH_SHAPE(1000));
    th_retain(a);
    cr_assert(eq(int, th_write(a, in, sizeof in), TH_OK));
    th_release(a);
    cr_assert(eq(int, th_read(a, out, sizeof out), TH_OK));
    cr_assert(eq(int, th_write(a, in, sizeof in), TH_OK));
    th_release(a); /* the write may not have run */
    cr_assert(memcmp(in, out, sizeof in) == 0);
  }
  cr_assert(eq(int, th_shutdown(), TH_OK));
  cr_assert(eq(i64, th__mem_live(), before));
}

Test(array, release_is_legal_after_shutdown) {
  int64_t before = th__mem_live();
  float data[100] = {0};
  th_array *a = th_from_host(data, TH_SHAPE(100), TH_F32, th_cpu(0));
  cr_assert(eq(int, th_shutdown(), TH_OK));
  th_release(a);
  cr_assert(eq(i64, th__mem_live(), before));
  cr_assert(th_from_host(data, TH_SHAPE(100), TH_F32, th_cpu(0)) == NULL);
  cr_assert(eq(int, th_last_status(), TH_ESHUTDOWN));
  cr_assert(eq(int, th_init(NULL), TH_OK));
  a = th_from_host(data, TH_SHAPE(100), TH_F32, th_cpu(0));
  cr_assert(eq(int, th_shutdown(), TH_OK));
  cr_assert(eq(int, th_init(NULL), TH_OK));
  th_array *b = th_from_host(data, TH_SHAPE(100), TH_F32, th_cpu(0)); /* the next engine */
  th_release(a);
  cr_assert(eq(int, th_wait(b), TH_OK));
  th_release(b);
  cr_assert(eq(int, th_shutdown(), TH_OK));
  cr_assert(eq(i64, th__mem_live(), before));
}

Test(array, release_is_legal_in_a_forked_child) {
  float data[100] = {0}, out[100];
  th_array *a = th_from_host(data, TH_SHAPE(100), TH_F32, th_cpu(0));
  pid_t child = fork();
  if (child == 0) {
    bool refused = th_wait(a) == TH_EFORK && th_read(a, out, sizeof out) == TH_EFORK;
    th_release(a);
    _exit(refused ? 0 : 1);
  }
  int status;
  cr_assert(waitpid(child, &status, 0) == child);
  bool fine = WIFEXITED(status) && WEXITSTATUS(status) == 0;
  cr_assert(fine, "status %d", status);
  cr_assert(eq(int, th_read(a, out, sizeof out), TH_OK));
  th_release(a);
}

/* --- wrapping --- */

typedef struct deletion {
  _Atomic int calls;
  void *data;
} deletion;

static void count_deletion(void *data, void *user) {
  deletion *d = user;
  d->data = data;
  th__fetch_add(&d->calls, 1, TH__RELEASE);
}

Test(array, wrap_shares_the_memory) {
  deletion d = {0};
  float data[6] = {0, 1, 2, 3, 4, 5}, out[6];
  th_array *a = th_wrap(data, (int64_t[]){2, 3}, NULL, 2, TH_F32, count_deletion, &d);
  cr_assert(a != NULL, "%s", th_last_error());
  cr_assert(eq(int, th_read(a, out, sizeof out), TH_OK));
  cr_assert(memcmp(data, out, sizeof data) == 0);
  float more[6] = {9, 8, 7, 6, 5, 4};
  cr_assert(eq(int, th_write(a, more, sizeof more), TH_OK));
  cr_assert(eq(int, th_wait(a), TH_OK));
  cr_assert(memcmp(data, more, sizeof data) == 0);
  th_array *v = th__array_view(a, &a->layout);
  th_release(a);
  cr_assert(eq(int, th_wait_all(), TH_OK));
  cr_assert(eq(int, th__load(&d.calls, TH__ACQUIRE), 0));
  th_release(v);
  cr_assert(eq(int, th_wait_all(), TH_OK));
  cr_assert(eq(int, th__load(&d.calls, TH__ACQUIRE), 1));
  cr_assert(d.data == data);
}

Test(array, wrap_takes_any_strides) {
  int32_t data[12], out[6];
  for (int i = 0; i < 12; i++) data[i] = i;
  /* Rows from the last to the first, every second column. */
  th_array *a = th_wrap(data + 8, (int64_t[]){3, 2}, (int64_t[]){-4, 2}, 2, TH_I32, NULL, NULL);
  cr_assert(a != NULL, "%s", th_last_error());
  cr_assert(eq(int, th_read(a, out, sizeof out), TH_OK));
  static const int32_t want[6] = {8, 10, 4, 6, 0, 2};
  cr_assert(memcmp(out, want, sizeof want) == 0);
  static const int32_t in[6] = {-1, -2, -3, -4, -5, -6};
  cr_assert(eq(int, th_write(a, in, sizeof in), TH_OK));
  cr_assert(eq(int, th_wait(a), TH_OK));
  static const int32_t after[12] = {-5, 1, -6, 3, -3, 5, -4, 7, -1, 9, -2, 11};
  cr_assert(memcmp(data, after, sizeof after) == 0);
  th_release(a);
  a = th_wrap(data, (int64_t[]){2, 12}, (int64_t[]){0, 1}, 2, TH_I32, NULL, NULL);
  cr_assert(eq(int, th_write(a, data, 2 * sizeof data), TH_EINVAL));
  expect_error(TH_EINVAL, "repeats elements");
  th_release(a);
}

Test(array, wrap_refuses) {
  deletion d = {0};
  _Alignas(8) char data[32];
  cr_assert(th_wrap(NULL, (int64_t[]){2}, NULL, 1, TH_F32, count_deletion, &d) == NULL);
  expect_error(TH_EINVAL, "th_wrap: data is NULL");
  cr_assert(th_wrap(data + 1, (int64_t[]){2}, NULL, 1, TH_F32, count_deletion, &d) == NULL);
  expect_error(TH_EINVAL, "th_wrap: data is not aligned for f32");
  cr_assert(th_wrap(data, (int64_t[]){3}, (int64_t[]){INT64_MAX / 2}, 1, TH_F32, count_deletion,
                    &d) == NULL);
  expect_error(TH_EOVERFLOW, "th_wrap: the strides reach further");
  cr_assert(th_wrap(data, (int64_t[]){-3}, NULL, 1, TH_F32, count_deletion, &d) == NULL);
  expect_error(TH_ESHAPE, "th_wrap: negative size");
  cr_assert(eq(int, th_wait_all(), TH_OK));
  cr_assert(eq(int, th__load(&d.calls, TH__ACQUIRE), 0), "refused memory stays the caller's");
  th_array *empty = th_wrap(NULL, (int64_t[]){0}, NULL, 1, TH_F32, count_deletion, &d);
  cr_assert(empty != NULL);
  th_release(empty);
  cr_assert(eq(int, th_wait_all(), TH_OK));
  cr_assert(eq(int, th__load(&d.calls, TH__ACQUIRE), 1));
}

static _Atomic uint32_t gate;

static th_status wait_gate(void *arg, th_task_context *context) {
  (void)arg;
  (void)context;
  while (th__load(&gate, TH__ACQUIRE) == 0) th__park(&gate, 0, -1);
  return TH_OK;
}

Test(array, wrapped_memory_is_kept_for_pending_tasks) {
  deletion d = {0};
  float data[4] = {0};
  th_array *a = th_wrap(data, (int64_t[]){4}, NULL, 1, TH_F32, count_deletion, &d);
  th_var *v = th_array_var(a);
  th_task task = {.name = "gated", .run = wait_gate, .reads = &v, .n_reads = 1};
  cr_assert(eq(int, th_push(&task), TH_OK));
  th_release(a);
  cr_assert(eq(int, th__load(&d.calls, TH__ACQUIRE), 0));
  th__store(&gate, 1, TH__RELEASE);
  th__unpark(&gate, 100);
  cr_assert(eq(int, th_wait_all(), TH_OK));
  cr_assert(eq(int, th__load(&d.calls, TH__ACQUIRE), 1));
}

/* --- many threads --- */

static void *retain_and_release(void *arg) {
  for (int i = 0; i < 20000; i++) th_release(th_retain(arg));
  return NULL;
}

Test(array, counts_hold_with_many_threads) {
  int64_t before = th__mem_live();
  th_array *a = make(TH_SHAPE(8));
  pthread_t threads[4];
  for (int i = 0; i < 4; i++) pthread_create(&threads[i], NULL, retain_and_release, a);
  for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
  cr_assert(eq(int, a->refs, 1));
  th_release(a);
  cr_assert(eq(int, th_shutdown(), TH_OK));
  cr_assert(eq(i64, th__mem_live(), before));
}

Test(array, out_of_host_memory) {
  cr_assert(eq(int, th_init(NULL), TH_OK));
  float data[4] = {1, 2, 3, 4};
  int failures = 0;
  for (int64_t n = 0; n < 20; n++) {
    th__mem_fail_after(n);
    th_array *a = th_from_host(data, TH_SHAPE(4), TH_F32, th_cpu(0));
    th__mem_fail_after(-1);
    failures += a == NULL;
    cr_assert(a != NULL || th_last_status() == TH_ENOMEM);
    th_release(a);
  }
  cr_assert(failures > 0 && failures < 20);
}
