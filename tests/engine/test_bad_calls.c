/* One table of calls that must be refused: the status, what the message must name, and that nothing was submitted. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "thrum/thrum.h"

static void stop_engine(void) {
  th_shutdown();
} /* what is still queued at exit would look leaked */
TestSuite(engine_bad_calls, .timeout = 60, .fini = stop_engine);

/* What a call came to; a maker's NULL stands for the error it left. */
typedef struct outcome {
  th_status status;
  const char *text;
} outcome;

static outcome of_status(th_status status) { return (outcome){status, th_last_error()}; }

static outcome of_array(th_array *a) {
  if (!a) return (outcome){th_last_status(), th_last_error()};
  th_release(a);
  return (outcome){TH_OK, ""};
}

static outcome of_number(double value) { return (outcome){th_last_status(), th_last_error()}; }

static outcome of_pointer(void *p) {
  return p ? (outcome){TH_OK, ""} : (outcome){th_last_status(), th_last_error()};
}

static uint64_t submitted(void) {
  th_engine_stats stats = {.size = sizeof stats};
  return th_engine_get_stats(&stats) == TH_OK ? stats.submitted : 0;
}

static int rows;

/* One row of the table: call, status, then everything the message must contain. Later rows run also after a bad one. */
#define BAD(call, wanted, ...)                                                                     \
  do {                                                                                             \
    th_clear_error();                                                                              \
    uint64_t before = submitted();                                                                 \
    outcome o = _Generic((call), th_status                                                         \
                         : of_status, th_array *                                                   \
                         : of_array, double                                                        \
                         : of_number, default                                                      \
                         : of_pointer)(call);                                                      \
    check_row(#call, o, wanted, submitted() - before, (const char *[]){__VA_ARGS__, NULL});        \
  } while (0)

/* As BAD for calls that may submit before they fail, or that must find the engine off: counting starts it. */
#define BAD_START(call, wanted, ...)                                                               \
  do {                                                                                             \
    th_clear_error();                                                                              \
    outcome o = of_status(call);                                                                   \
    check_row(#call, o, wanted, 0, (const char *[]){__VA_ARGS__, NULL});                           \
  } while (0)

static void check_row(const char *call, outcome o, th_status wanted, uint64_t pushed,
                      const char *const *parts) {
  rows++;
  cr_expect(o.status == wanted, "%s gave %s (%s) instead of %s", call, th_status_name(o.status),
            o.text, th_status_name(wanted));
  if (o.status != wanted) return;
  for (; *parts; parts++) {
    cr_expect(strstr(o.text, *parts) != NULL, "%s: the message lacks '%s': %s", call, *parts,
              o.text);
  }
  cr_expect(pushed == 0, "%s submitted %llu tasks", call, (unsigned long long)pushed);
}

static th_array *make(const int64_t *shape, int ndim, th_dtype t) {
  th_array *a = th_ones(shape, ndim, t, th_cpu(0));
  cr_assert(ne(ptr, a, NULL));
  return a;
}

static void release_all(th_array **arrays, int n) {
  for (int i = 0; i < n; i++) th_release(arrays[i]);
}

Test(engine_bad_calls, shapes) {
  th_array *a = make(TH_SHAPE(2, 3), TH_F32), *b = make(TH_SHAPE(4, 5), TH_F32);
  th_array *v = make(TH_SHAPE(7), TH_F32), *empty = make(TH_SHAPE(0, 3), TH_F32);
  th_array *labels = make(TH_SHAPE(9), TH_I64), *same = th_equal(a, a);
  BAD(th_add(a, b), TH_ESHAPE, "add", "(2, 3)", "(4, 5)");
  BAD(th_matmul(a, b), TH_ESHAPE, "matmul", "(2, 3)", "(4, 5)");
  BAD(th_linear(a, b, NULL), TH_ESHAPE, "linear", "(2, 3)", "(4, 5)");
  BAD(th_where(same, a, b), TH_ESHAPE, "where");
  BAD(th_add_inplace(v, a), TH_ESHAPE, "add", "(7,)");
  BAD(th_assign(v, b), TH_ESHAPE, "(7,)", "(4, 5)");
  BAD(th_reshape(a, TH_SHAPE(4, 2)), TH_ESHAPE, "reshape", "(2, 3)", "(4, 2)");
  BAD(th_reshape(a, TH_SHAPE(-1, -1)), TH_ESHAPE, "reshape");
  BAD(th_broadcast_to(a, TH_SHAPE(2, 4)), TH_ESHAPE, "broadcast_to", "(2, 3)", "(2, 4)");
  BAD(th_permute_dims(a, (int[]){0, 0}, 2), TH_ESHAPE, "permute_dims");
  BAD(th_squeeze(a, (int[]){0}, 1), TH_ESHAPE, "squeeze", "(2, 3)");
  BAD(th_matrix_transpose(v), TH_ESHAPE, "matrix_transpose", "2 dimensions");
  BAD(th_sum(a, (int[]){2}, 1, false), TH_ESHAPE, "sum", "2");
  BAD(th_sum(a, (int[]){0, 0}, 2, false), TH_ESHAPE, "sum");
  BAD(th_max(empty, (int[]){0}, 1, false), TH_ESHAPE, "max", "(0, 3)");
  BAD(th_softmax(a, 5), TH_ESHAPE, "softmax", "5");
  BAD(th_concat(TH_ARRAYS(a, b), 0), TH_ESHAPE, "concat", "(2, 3)", "(4, 5)");
  BAD(th_stack(TH_ARRAYS(a, b), 0), TH_ESHAPE, "stack");
  BAD(th_take(a, labels, 3), TH_ESHAPE, "take", "3");
  BAD(th_cross_entropy(a, labels), TH_ESHAPE, "cross_entropy", "(2, 3)", "(9,)");
  th_array *all[] = {a, b, v, empty, labels, same};
  release_all(all, 6);
}

Test(engine_bad_calls, element_types) {
  th_array *f = make(TH_SHAPE(2, 3), TH_F32), *i = make(TH_SHAPE(2, 3), TH_I32);
  th_array *row = make(TH_SHAPE(2), TH_F32);
  BAD(th_sin(i), TH_EDTYPE, "sin", "i32");
  BAD(th_bitwise_and(f, f), TH_EDTYPE, "bitwise_and", "f32");
  BAD(th_where(f, f, f), TH_EDTYPE, "where");
  BAD(th_take(f, row, 0), TH_EDTYPE, "take", "f32");
  BAD(th_cross_entropy(f, row), TH_ESHAPE, "cross_entropy", "(2, 3)", "(2,)");
  BAD(th_require_grad(i), TH_EDTYPE, "i32");
  BAD(th_zeros(TH_SHAPE(2), (th_dtype)99, th_cpu(0)), TH_EDTYPE, "99");
  BAD(th_astype(f, (th_dtype)-1), TH_EDTYPE, "astype");
  th_array *all[] = {f, i, row};
  release_all(all, 3);
}

Test(engine_bad_calls, devices) {
  th_array *a = make(TH_SHAPE(2), TH_F32);
  th_array *m = th_ones(TH_SHAPE(2), TH_F32, th_meta());
  float out[2];
  th_device d;
  BAD(th_add(a, m), TH_EDEVICE, "add", "cpu:0", "meta");
  BAD(th_zeros(TH_SHAPE(2), TH_F32, th_cpu(7)), TH_EDEVICE, "cpu:7");
  BAD(th_zeros(TH_SHAPE(2), TH_F32, (th_device){99, 0}), TH_EDEVICE, "");
  BAD(th_copy_to(a, th_cpu(-1)), TH_EDEVICE, "");
  BAD(th_copy_to(m, th_cpu(0)), TH_ENODATA, "");
  BAD(th_read(m, out, sizeof out), TH_ENODATA, "read");
  BAD(th_device_parse("gpu:0", &d), TH_EINVAL, "gpu:0");
  BAD(th_device_parse("cpu:x", &d), TH_EINVAL, "cpu:x");
  BAD(th_cpu_split(2, 1), TH_EBUSY, "split");
  BAD(th_memory_set_limit(th_cpu(0), 0), TH_EINVAL, "limit");
  BAD(th_wait_device(th_cpu(9)), TH_EDEVICE, "cpu:9");
  if (th_device_count(TH_CUDA) == 0) {
    BAD(th_zeros(TH_SHAPE(2), TH_F32, th_cuda(0)), TH_EDEVICE, "cuda:0");
  }
  th_array *all[] = {a, m};
  release_all(all, 2);
}

Test(engine_bad_calls, null_and_arguments) {
  th_array *a = make(TH_SHAPE(2, 3), TH_F32);
  float out[6];
  BAD(th_wait(NULL), TH_EINVAL, "NULL");
  BAD(th_read(NULL, out, sizeof out), TH_EINVAL, "NULL");
  BAD(th_read(a, NULL, sizeof out), TH_EINVAL, "read");
  BAD(th_read(a, out, 5), TH_EINVAL, "read", "5", "24");
  BAD(th_write(a, out, 25), TH_EINVAL, "write", "25", "24");
  BAD(th_fill(NULL, 1), TH_EINVAL, "NULL");
  BAD(th_add_inplace(NULL, a), TH_EINVAL, "NULL");
  BAD(th_item(a), TH_ESHAPE, "item", "(2, 3)");
  BAD(th_unmap(a), TH_EINVAL, "unmap");
  BAD(th_from_host(NULL, TH_SHAPE(2), TH_F32, th_cpu(0)), TH_EINVAL, "from_host");
  BAD(th_wrap(NULL, (int64_t[]){2}, NULL, 1, TH_F32, NULL, NULL), TH_EINVAL, "wrap");
  BAD(th_arange(0, 10, 0, TH_F32, th_cpu(0)), TH_EINVAL, "arange");
  BAD(th_backward(a, 0), TH_ESHAPE, "backward", "(2, 3)", "th_backward_from");
  BAD(th_backward_from(a, a, 0), TH_EINVAL, "backward");
  BAD(th_concat(NULL, 0, 0), TH_EINVAL, "concat");
  BAD(th_op_call("no_such_operator", NULL, 0, NULL, NULL, 0), TH_EINVAL, "no_such_operator");
  BAD(th_op_register(NULL), TH_EINVAL, "");
  BAD(th_sgd(NULL, 0, 0.1, 0, 0, false), TH_EINVAL, "sgd");
  BAD(th_loader_new(NULL, 0, NULL), TH_EINVAL, "loader");
  th_array *half[1];
  BAD(th_split(10, (double[]){1.5}, 1, 0, half), TH_EINVAL, "split");
  BAD(th_digits(5, 9, 0, half, half), TH_EINVAL, "9");
  BAD(th_init(NULL), TH_EBUSY, "");
  BAD(th_reset_after_fork(), TH_EINVAL, "fork");
  th_release(a);
}

/* A NULL given to a maker keeps the first message, so that a chain tells where it broke. */
Test(engine_bad_calls, null_keeps_the_first_message) {
  th_array *a = make(TH_SHAPE(2, 3), TH_F32);
  BAD(th_add(th_matmul(a, a), a), TH_ESHAPE, "matmul");
  BAD(th_sum(th_relu(th_reshape(a, TH_SHAPE(5))), NULL, 0, false), TH_ESHAPE, "reshape");
  th_release(a);
}

Test(engine_bad_calls, sizes) {
  const int64_t big = INT64_C(1) << 62;
  BAD(th_zeros(TH_SHAPE(2, -1), TH_F32, th_cpu(0)), TH_ESHAPE, "-1");
  BAD(th_zeros(TH_SHAPE(1, 1, 1, 1, 1, 1, 1, 1, 1), TH_F32, th_cpu(0)), TH_ESHAPE, "9");
  BAD(th_zeros(TH_SHAPE(big, 8), TH_U8, th_cpu(0)), TH_EOVERFLOW, "");
  BAD(th_zeros(TH_SHAPE(big), TH_F64, th_cpu(0)), TH_EOVERFLOW, "");
  BAD(th_zeros(TH_SHAPE(big, 8), TH_U8, th_meta()), TH_EOVERFLOW, "");
  BAD(th_zeros(TH_SHAPE(1000000, 2000000), TH_F32, th_cpu(0)), TH_ENOMEM, "");
  BAD(th_eye(-2, 3, 0, TH_F32, th_cpu(0)), TH_ESHAPE, "eye");
  BAD(th_linspace(0, 1, -1, TH_F32, th_cpu(0)), TH_ESHAPE, "linspace");
  BAD(th_permutation(NULL, -1, th_cpu(0)), TH_ESHAPE, "permutation");
}

Test(engine_bad_calls, slices) {
  th_array *a = make(TH_SHAPE(4, 5), TH_F32);
  BAD(th_slice(a, "abc"), TH_EINVAL, "slice", "abc");
  BAD(th_slice(a, "1:2:3:4"), TH_EINVAL, "slice", "1:2:3:4");
  BAD(th_slice(a, "::0"), TH_EINVAL, "slice", "::0");
  BAD(th_slice(a, "1,,2"), TH_EINVAL, "slice");
  BAD(th_slice(a, "..., ..."), TH_EINVAL, "slice");
  BAD(th_slice(a, "99999999999999999999"), TH_ESHAPE, "slice", "out of range");
  BAD(th_slice(a, NULL), TH_EINVAL, "slice");
  BAD(th_slice(a, "4"), TH_ESHAPE, "slice", "4");
  BAD(th_slice(a, "-5"), TH_ESHAPE, "slice", "-5");
  BAD(th_slice(a, "0, 0, 0"), TH_ESHAPE, "slice", "(4, 5)");
  th_release(a);
}

static th_status do_nothing(void *arg, th_task_context *context) { return TH_OK; }

Test(engine_bad_calls, tasks) {
  th_var *v = th_var_new(), *none = NULL;
  BAD(th_push(NULL), TH_EINVAL, "NULL");
  BAD(th_push(&(th_task){.name = "headless"}), TH_EINVAL, "headless");
  BAD(th_push(&(th_task){.name = "t", .run = do_nothing, .reads = &none, .n_reads = 1}), TH_EINVAL,
      "t", "read 0");
  BAD(th_push(&(th_task){.name = "t", .run = do_nothing, .writes = NULL, .n_writes = 2}), TH_EINVAL,
      "t");
  BAD(th_push(&(th_task){.name = "t", .run = do_nothing, .arg_size = 8}), TH_EINVAL, "t");
  BAD(th_push(&(th_task){.name = "t", .run = do_nothing, .device = th_cpu(5)}), TH_EDEVICE,
      "cpu:5");
  BAD(th_push(&(th_task){.name = "t", .run = do_nothing, .device = th_meta()}), TH_EDEVICE, "meta");
  BAD(th_wait_var(NULL), TH_EINVAL, "NULL");
  BAD(th_engine_get_stats(&(th_engine_stats){.size = 0}), TH_EINVAL, "size");
  th_var_release(v);
}

/* ---- files ---- */

static char folder[] = "/tmp/thrum-bad-calls-XXXXXX";
static char path[128];

static const char *file(const char *name, const void *data, size_t bytes) {
  snprintf(path, sizeof path, "%s/%s", folder, name);
  FILE *f = fopen(path, "wb");
  cr_assert(f && fwrite(data, 1, bytes, f) == bytes);
  fclose(f);
  return path;
}

static void remove_files(void) {
  static const char *const names[] = {"ragged.csv", "words.csv", "short.idx",
                                      "magic.idx",  "magic.npy", "short.npy"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    snprintf(path, sizeof path, "%s/%s", folder, names[i]);
    unlink(path);
  }
  rmdir(folder);
}

Test(engine_bad_calls, files) {
  cr_assert(ne(ptr, mkdtemp(folder), NULL));
  th_array *a = make(TH_SHAPE(2), TH_F32), *brain = make(TH_SHAPE(2), TH_BF16);
  BAD(th_load_csv("/no/such/file.csv", TH_F32), TH_EIO, "/no/such/file.csv");
  BAD(th_load_idx("/no/such/file.gz"), TH_EIO, "/no/such/file.gz");
  BAD(th_load_npy("/no/such/file.npy", th_cpu(0)), TH_EIO, "/no/such/file.npy");
  BAD_START(th_save_npy(a, "/no/such/folder/a.npy"), TH_EIO, "/no/such/folder/a.npy");
  BAD(th_save_npy(brain, "/tmp/never.npy"), TH_EDTYPE, "bf16");
  BAD(th_load_csv(file("ragged.csv", "1,2,3\n4,5\n", 10), TH_F32), TH_EIO, "ragged.csv", "2");
  BAD(th_load_csv(file("words.csv", "1,2\n3,four\n", 11), TH_F32), TH_EIO, "words.csv", "2");
  BAD(th_load_idx(file("short.idx", "\0\0\x08\x02\0\0\0\x05\0\0\0\x05 123", 16)), TH_EIO,
      "short.idx");
  BAD(th_load_idx(file("magic.idx", "not an idx file", 15)), TH_EIO, "magic.idx");
  BAD(th_load_npy(file("magic.npy", "not a npy file, at all", 22), th_cpu(0)), TH_EIO, "magic.npy");
  BAD(th_load_npy(file("short.npy", "\x93NUMPY\x01\0\xff\x0f", 10), th_cpu(0)), TH_EIO,
      "short.npy");
  cr_expect(eq(int, th_profile_start(0), TH_OK));
  BAD(th_profile_stop("/no/such/folder/trace.json"), TH_EIO, "/no/such/folder/trace.json");
  th_release(a);
  th_release(brain);
  remove_files();
}

/* ---- settings ---- */

/* th_init() with one environment variable set; the engine must not have been started. */
static th_status start_with(const char *name, const char *value) {
  setenv(name, value, 1);
  th_status status = th_init(NULL);
  unsetenv(name);
  if (status == TH_OK) status = th_shutdown();
  return status;
}

Test(engine_bad_calls, environment) {
  BAD_START(start_with("TH_ENGINE", "warp"), TH_EINVAL, "TH_ENGINE", "warp");
  BAD_START(start_with("TH_ENGINE", "shuffle:many"), TH_EINVAL, "TH_ENGINE", "shuffle:many");
  BAD_START(start_with("TH_WORKERS", "a few"), TH_EINVAL, "TH_WORKERS", "a few");
  BAD_START(start_with("TH_WORKERS", "-3"), TH_EINVAL, "TH_WORKERS", "-3");
  BAD_START(start_with("TH_WORKERS", "99999999999999"), TH_EINVAL, "TH_WORKERS");
  BAD_START(start_with("TH_MEMORY_LIMIT", "lots"), TH_EINVAL, "TH_MEMORY_LIMIT", "lots");
  BAD_START(start_with("TH_MEMORY_LIMIT", "12q"), TH_EINVAL, "TH_MEMORY_LIMIT", "12q");
  BAD_START(start_with("TH_STRICT_DEVICE", "maybe"), TH_EINVAL, "TH_STRICT_DEVICE", "maybe");
  cr_expect(eq(int, start_with("TH_WORKERS", "2"), TH_OK),
            "a good value must still start the engine");
}

Test(engine_bad_calls, configuration) {
  BAD_START(th_init(&(th_config){.size = sizeof(th_config), .engine = "warp"}), TH_EINVAL, "warp");
  BAD_START(th_init(&(th_config){.size = sizeof(th_config), .workers = -7}), TH_EINVAL, "-7");
  BAD_START(th_init(&(th_config){.size = 0}), TH_EINVAL, "size");
  BAD_START(th_init(&(th_config){.size = sizeof(th_config), .allocator = &(th_allocator){0}}),
            TH_EINVAL, "allocator");
  BAD_START(th_cpu_split(0, 1), TH_EINVAL, "0");
  BAD_START(th_cpu_split(2, 1000), TH_EINVAL, "1000");
  BAD_START(th_cpu_split(99, 1), TH_EINVAL, "99");
}
