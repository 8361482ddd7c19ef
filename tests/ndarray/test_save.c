/* Saving safetensors files: what is written, in which order with other tasks, and that a failure changes nothing. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/base/mem.h"
#include "ndarray/array.h"
#include "ndarray/dtype.h"
#include "ndarray/files.h"
#include "support/arrays.h"
#include "support/fardevice.h"
#include "support/files.h"
#include "support/lagdevice.h"
#include "support/tasks.h"

static char folder[64], path[128];

static void make_folder(void) {
  cr_assert(scratch_directory(folder));
  snprintf(path, sizeof path, "%s/a.safetensors", folder);
}

static void remove_folder(void) {
  stop_engine();
  cr_assert(scratch_remove(folder));
}

TestSuite(save, .init = make_folder, .fini = remove_folder, .timeout = 60);

static void expect_error(th_status status, const char *text) {
  cr_assert(eq(int, th_last_status(), status), "%s", th_last_error());
  cr_assert(strstr(th_last_error(), text) != NULL, "message '%s' has no '%s'", th_last_error(),
            text);
}

/* How many files there are in the folder. */
static int files(void) { return scratch_count(folder); }

/* Element i of the array of this name in the file at path, as a double. */
static double element(const char *name, int64_t i) {
  th_file *f = th_file_open(path);
  cr_assert(f != NULL, "%s", th_last_error());
  th_array *a = th_file_array(f, name, th_cpu(0)), *flat = th_reshape(a, TH_SHAPE(-1));
  char spec[32];
  snprintf(spec, sizeof spec, "%lld", (long long)i);
  th_array *one = th_slice(flat, spec);
  double value = th_item(one);
  cr_assert(one != NULL, "%s", th_last_error());
  th_release(one);
  th_release(flat);
  th_release(a);
  th_file_release(f);
  return value;
}

/* Whether the file has this array, to the last bit. */
static void expect_array(th_file *f, const char *name, const th_array *wanted) {
  char in[24 * 8], out[24 * 8];
  th_array *got = th_file_array(f, name, th_cpu(0));
  cr_assert(got != NULL, "%s", th_last_error());
  cr_assert(eq(int, th_array_dtype(got), th_array_dtype(wanted)));
  cr_assert(eq(int, th_array_ndim(got), th_array_ndim(wanted)));
  cr_assert(memcmp(th_array_shape(got), th_array_shape(wanted),
                   (size_t)th_array_ndim(got) * sizeof(int64_t)) == 0);
  size_t bytes = (size_t)th_array_size(got) * th_dtype_size(th_array_dtype(got));
  cr_assert(eq(int, th_read(wanted, in, bytes), TH_OK));
  cr_assert(eq(int, th_read(got, out, bytes), TH_OK));
  cr_assert(memcmp(in, out, bytes) == 0, "%s", name);
  th_release(got);
}

Test(save, what_is_saved_comes_back) {
  int64_t before = th__mem_live();
  th_array *arrays[TH_DTYPE_COUNT + 3];
  const char *list[TH_DTYPE_COUNT + 3];
  int n = 0;
  for (; n < TH_DTYPE_COUNT; n++) {
    char data[24 * 8];
    list[n] = th_dtype_name((th_dtype)n);
    for (int i = 0; i < 24; i++)
      th__dtype_set((th_dtype)n, data + (size_t)i * th_dtype_size((th_dtype)n), i % 2 + n);
    arrays[n] = th_from_host(data, TH_SHAPE(2, 3, 4), (th_dtype)n, th_cpu(0));
  }
  static const int64_t ones[8] = {1, 1, 1, 1, 1, 1, 1, 2};
  list[n] = "a scalar";
  arrays[n++] = scalar(2.5);
  list[n] = "";
  arrays[n++] = th_zeros(TH_SHAPE(0, 3), TH_F32, th_cpu(0));
  list[n] = "\"\\\n\x01 \xc3\xa4\xf0\x9f\x98\x80";
  arrays[n++] = th_full(ones, 8, 7, TH_I16, th_cpu(0));
  const char *metadata[] = {"format", "pt", "note", "a \"b\"", NULL};
  cr_assert(th_save(arrays, list, n, metadata, path) == TH_OK, "%s", th_last_error());
  th_file *f = th_file_open(path);
  cr_assert(f != NULL, "%s", th_last_error());
  cr_assert(eq(int, th_file_count(f), n));
  cr_assert(zero(ptr, (void *)th_file_name(f, n)));
  cr_assert(zero(ptr, (void *)th_file_name(f, -1)));
  cr_assert(eq(str, (char *)th_file_metadata(f, "format"), "pt"));
  cr_assert(eq(str, (char *)th_file_metadata(f, "note"), "a \"b\""));
  cr_assert(zero(ptr, (void *)th_file_metadata(f, "nothing")));
  for (int i = 0; i < n; i++) {
    expect_array(f, list[i], arrays[i]);
    th_release(arrays[i]);
  }
  th_file_release(f);
  cr_assert(eq(int, files(), 1));
  cr_assert(eq(int, th_shutdown(), TH_OK));
  cr_assert(eq(i64, th__mem_live(), before));
}

Test(save, bytes_of_a_saved_file) {
  th_array *bytes = th_full(TH_SHAPE(3), 9, TH_U8, th_cpu(0));
  th_array *words = th_full(TH_SHAPE(1, 2), -2, TH_I16, th_cpu(0));
  cr_assert(eq(int, th_save((th_array *[]){bytes, words}, NULL, 2, NULL, path), TH_EINVAL));
  const char *names[] = {"b", "w"};
  th_array *list[] = {bytes, words}, *saved = th_save_async(list, names, 2, NULL, path);
  cr_assert(saved != NULL, "%s", th_last_error());
  static const char wanted[] =
      "\x70\0\0\0\0\0\0\0{\"w\":{\"dtype\":\"I16\",\"shape\":[1,2],\"data_offsets\":[0,4]},"
      "\"b\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[4,7]}}    "
      "\xfe\xff\xfe\xff\t\t\t";
  char got[256];
  cr_assert(eq(dbl, th_item(saved), sizeof wanted - 1));
  FILE *file = fopen(path, "rb");
  cr_assert(file != NULL);
  cr_assert(eq(sz, fread(got, 1, sizeof got, file), sizeof wanted - 1));
  fclose(file);
  cr_assert(memcmp(got, wanted, sizeof wanted - 1) == 0);
  th_release(saved);
  th_release(bytes);
  th_release(words);
}

Test(save, no_arrays_and_views) {
  cr_assert(eq(int, th_save(NULL, NULL, 0, NULL, path), TH_OK), "%s", th_last_error());
  th_file *f = th_file_open(path);
  cr_assert(f != NULL && th_file_count(f) == 0, "%s", th_last_error());
  th_file_release(f);
  th_array *a = th_arange(0, 12, 1, TH_F32, th_cpu(0)), *gaps = th_slice(a, "::-5"),
           *part = th_slice(a, "3:5");
  const char *names[] = {"gaps", "part"};
  cr_assert(eq(int, th_save((th_array *[]){gaps, part}, names, 2, NULL, path), TH_OK));
  cr_assert(element("gaps", 0) == 11 && element("gaps", 2) == 1);
  cr_assert(element("part", 0) == 3 && element("part", 1) == 4);
  th_release(a);
  th_release(gaps);
  th_release(part);
}

/* The file has what the arrays held at the call: what is submitted before gets in, what comes later waits. */
static void order(const char *mode) {
  th_array *a = th_zeros(TH_SHAPE(1000), TH_F32, th_cpu(0));
  th_array *b = th_full(TH_SHAPE(1000), 5, TH_F32, th_cpu(0));
  const char *names[] = {"a", "b"};
  void *held;
  cr_assert(eq(int, th_map_write(a, &held), TH_OK));
  cr_assert(eq(int, th_add_scalar_inplace(a, 1), TH_OK));
  th_array *saved = th_save_async((th_array *[]){a, b}, names, 2, NULL, path);
  cr_assert(saved != NULL, "%s", th_last_error());
  cr_assert(eq(int, th_fill(a, 9), TH_OK));
  cr_assert(eq(int, th_fill(b, 9), TH_OK));
  cr_assert(not(th_is_ready(saved)), "%s: it waits for a", mode);
  cr_assert(eq(int, access(path, F_OK), -1));
  cr_assert(eq(int, th_unmap(a), TH_OK));
  cr_assert(th_wait(saved) == TH_OK, "%s: %s", mode, th_last_error());
  cr_assert(element("a", 999) == 1 && element("b", 999) == 5, "%s", mode);
  cr_assert(eq(int, th_wait(a), TH_OK));
  th_release(saved);
  th_release(a);
  th_release(b);
  unlink(path);
}

Test(save, is_ordered_like_any_reader) {
  static const char *const modes[] = {"threads", "shuffle:1", "shuffle:2", "shuffle-threads:3",
                                      "serial"};
  for (int i = 0; i < 5; i++) {
    tasks_init(modes[i], 2, 0);
    order(modes[i]);
    cr_assert(eq(int, th_shutdown(), TH_OK));
  }
  tasks_init("threads", TH_NO_WORKERS, 0);
  order("no workers");
}

Test(save, from_devices_that_the_host_cannot_reach) {
  for (int lag = 0; lag < 2; lag++) {
    if (lag) {
      lag_install(7);
    } else {
      far_install();
    }
    tasks_init("threads", 2, 0);
    th_device d = lag ? lag_device(0) : far_device(0);
    th_array *here = th_arange(0, 5000, 1, TH_F32, th_cpu(0)), *there = th_copy_to(here, d);
    const char *names[] = {"there", "here"};
    th_array *saved = th_save_async((th_array *[]){there, here}, names, 2, NULL, path);
    cr_assert(eq(int, th_assign(there, here), TH_OK));
    cr_assert(th_wait(saved) == TH_OK, "%s", th_last_error());
    cr_assert(element("there", 4999) == 4999 && element("here", 17) == 17);
    th_file *f = th_file_open(path);
    th_array *back = th_file_array(f, "here", d), *again = th_copy_to(back, th_cpu(0));
    cr_assert(th_array_device(back).kind == TH_KIND_EXTERNAL);
    th_array *differ = th_not_equal(again, here), *any = th_any(differ, NULL, 0, false);
    cr_assert(eq(dbl, th_item(any), 0), "%s", th_last_error());
    th_file_release(f);
    th_array *all[] = {here, there, saved, back, again, differ, any};
    for (int i = 0; i < 7; i++) th_release(all[i]);
    cr_assert(eq(int, th_shutdown(), TH_OK));
  }
}

Test(save, an_old_file_stays_until_the_new_one_is_whole) {
  th_array *good = th_full(TH_SHAPE(3), 7, TH_F32, th_cpu(0));
  th_array *bad = th_ones(TH_SHAPE(3), TH_F32, th_cpu(0));
  const char *names[] = {"x", "y"};
  cr_assert(eq(int, push_fail("broken", "on purpose", NULL, th_array_var(bad)), TH_OK));
  cr_assert(eq(int, th_save((th_array *[]){good, bad}, names, 2, NULL, path), TH_EKERNEL));
  expect_error(TH_EKERNEL, "on purpose");
  cr_assert(eq(int, th_wait(good), TH_OK));
  cr_assert(eq(int, files(), 0), "nothing is left behind");
  cr_assert(eq(int, th_save(&good, names, 1, NULL, path), TH_OK));
  cr_assert(eq(int, chmod(path, 0640), 0));
  cr_assert(eq(int, th_save((th_array *[]){good, bad}, names, 2, NULL, path), TH_EKERNEL));
  cr_assert(element("x", 2) == 7);
  /* A file is saved over itself while its arrays are in use, keeping who may read it. */
  th_file *f = th_file_open(path);
  th_array *x = th_file_array(f, "x", th_cpu(0)), *more = th_add_scalar(x, 1);
  cr_assert(eq(int, th_save((th_array *[]){x, more}, names, 2, NULL, path), TH_OK));
  cr_assert(element("x", 0) == 7 && element("y", 0) == 8);
  cr_assert(eq(dbl, distance_to(x, 7, 7, 7), 0));
  struct stat info;
  cr_assert(eq(int, stat(path, &info), 0));
  cr_assert(eq(int, (int)info.st_mode & 0777, 0640));
  cr_assert(eq(int, files(), 1));
  th_file_release(f);
  th_array *all[] = {good, bad, x, more};
  for (int i = 0; i < 4; i++) th_release(all[i]);
}

Test(save, keeps_versions) {
  const char *names[] = {"x"};
  char name[160];
  for (int i = 1; i <= 5; i++) {
    th_array *x = th_full(TH_SHAPE(2), i, TH_F32, th_cpu(0));
    th_array *saved = th__save(&x, names, 1, NULL, path, 3, "test");
    cr_assert(eq(int, th_wait(saved), TH_OK));
    cr_assert(eq(int, files(), i < 3 ? i : 3));
    th_release(saved);
    th_release(x);
  }
  cr_assert(element("x", 0) == 5);
  for (int i = 1; i < 3; i++) {
    snprintf(name, sizeof name, "%s.%d", path, i);
    cr_assert(eq(int, rename(name, path), 0));
    cr_assert(element("x", 0) == 5 - i);
  }
}

Test(save, after_a_fork) {
  th_array *a = th_full(TH_SHAPE(10), 3, TH_F32, th_cpu(0));
  const char *names[] = {"a"};
  cr_assert(eq(int, th_save(&a, names, 1, NULL, path), TH_OK)); /* the thread for files runs */
  pid_t child = fork();
  if (child == 0) {
    th_array *b = NULL;
    bool good = th_save(&a, names, 1, NULL, path) == TH_EFORK;
    if (ENGINE_THREADS_AFTER_FORK) {
      good = good && th_reset_after_fork() == TH_OK;
      b = th_full(TH_SHAPE(10), 5, TH_F32, th_cpu(0));
      good = good && th_save(&b, names, 1, NULL, path) == TH_OK && th_shutdown() == TH_OK;
    }
    _exit(good ? 0 : 1);
  }
  int code = -1;
  cr_assert(eq(int, waitpid(child, &code, 0), child));
  cr_assert(zero(int, code));
  cr_assert(element("a", 9) == (ENGINE_THREADS_AFTER_FORK ? 5 : 3));
  cr_assert(eq(int, th_save(&a, names, 1, NULL, path), TH_OK));
  cr_assert(element("a", 9) == 3);
  th_release(a);
}

Test(save, need_not_be_waited_for) {
  cr_assert(eq(int, chdir(folder), 0));
  th_array *a = th_full(TH_SHAPE(1000), 3, TH_F32, th_cpu(0));
  const char *names[] = {"a"};
  th_token *gate = close_gate(th_array_var(a));
  th_release(th_save_async(&a, names, 1, NULL, "a.safetensors"));
  th_release(a);
  cr_assert(eq(int, chdir("/"), 0));
  cr_assert(eq(int, th_token_signal(gate, TH_OK, NULL), TH_OK));
  cr_assert(eq(int, th_shutdown(), TH_OK));
  cr_assert(eq(int, th_init(NULL), TH_OK));
  cr_assert(element("a", 999) == 3);
}

Test(save, links_devices_and_refusals) {
  th_array *a = th_full(TH_SHAPE(1000), 3, TH_F32, th_cpu(0)), *few = th_slice(a, "0:2");
  th_array *shape = th_zeros(TH_SHAPE(1), TH_F32, th_meta());
  const char *names[] = {"a", "a"}, *odd[] = {"\xff", NULL}, *reserved[] = {"__metadata__"};
  char link[160];
  snprintf(link, sizeof link, "%s.link", path);
  cr_assert(eq(int, symlink(path, link), 0));
  cr_assert(eq(int, th_save(&a, names, 1, NULL, link), TH_OK));
  cr_assert(eq(int, th_save(&few, names, 1, NULL, link), TH_OK));
  cr_assert(element("a", 1) == 3 && files() == 2, "the file is replaced, the link stays");
  if (access("/dev/full", W_OK) == 0) {
    th_array *saved = th_save_async(&a, names, 1, NULL, "/dev/full");
    cr_assert(eq(int, th_wait(saved), TH_EIO));
    expect_error(TH_EIO, "th_save_async: '/dev/full': No space left on device");
    th_release(saved);
  }
  th_array *twice[] = {a, few};
  cr_assert(eq(int, th_save(twice, names, 2, NULL, path), TH_EINVAL));
  expect_error(TH_EINVAL, "th_save: the name 'a' is given twice");
  cr_assert(eq(int, th_save(&a, odd, 1, NULL, path), TH_EINVAL));
  expect_error(TH_EINVAL, "no UTF-8");
  cr_assert(eq(int, th_save(twice, odd, 2, NULL, path), TH_EINVAL));
  expect_error(TH_EINVAL, "name 1 is NULL");
  cr_assert(eq(int, th_save(&a, reserved, 1, NULL, path), TH_EINVAL));
  cr_assert(eq(int, th_save(&a, names, 1, (const char *[]){"k", NULL}, path), TH_EINVAL));
  expect_error(TH_EINVAL, "'k' has no value");
  cr_assert(eq(int, th_save(&shape, names, 1, NULL, path), TH_ENODATA));
  cr_assert(eq(int, th_save(&a, names, -1, NULL, path), TH_EINVAL));
  cr_assert(eq(int, th_save(NULL, names, 1, NULL, path), TH_EINVAL));
  cr_assert(eq(int, th_save(&a, names, 1, NULL, NULL), TH_EINVAL));
  static const char *const bad_paths[] = {"/nowhere/at/all", "", "/", "/tmp/", "/tmp/new/"};
  for (int i = 0; i < 5; i++) {
    cr_assert(zero(ptr, th_save_async(&a, names, 1, NULL, bad_paths[i])), "%s", bad_paths[i]);
    expect_error(TH_EIO, bad_paths[i]);
  }
  th_clear_error();
  cr_assert(eq(int, th_save(&(th_array *){NULL}, names, 1, NULL, path), TH_EINVAL));
  th_array *all[] = {a, few, shape};
  for (int i = 0; i < 3; i++) th_release(all[i]);
}

/* Views of one element each, so that only the file would be large. */
Test(save, more_bytes_than_a_file_can_have) {
  th_array *one = scalar(1), *view = th_broadcast_to(one, TH_SHAPE(INT64_C(1) << 59));
  const char *names[] = {"first", "second"};
  cr_assert(view != NULL, "%s", th_last_error());
  th_clear_error();
  cr_assert(eq(int, th_save((th_array *[]){view, view}, names, 2, NULL, path), TH_EOVERFLOW));
  expect_error(TH_EOVERFLOW, "th_save: 'second' has 4611686018427387904 bytes");
  cr_assert(eq(int, files(), 0));
  th_release(view);
  th_release(one);
}

Test(save, out_of_host_memory) {
  tasks_init("threads", 1, 0);
  tasks_await_workers();
  th_array *a = th_full(TH_SHAPE(100), 3, TH_F32, th_cpu(0)), *gaps = th_slice(a, "::2");
  const char *names[] = {"a", "gaps"};
  /* From now on the thread for files is known to the engine. */
  cr_assert(eq(int, th_save(&a, names, 1, NULL, path), TH_OK));
  int failures = 0;
  for (int n = 0; n < 20; n++) {
    int64_t before = th__mem_live();
    th__mem_fail_after(n);
    th_status status = th_save((th_array *[]){a, gaps}, names, 2, NULL, path);
    th__mem_fail_after(-1);
    cr_assert(status == TH_OK || status == TH_ENOMEM, "%d: %s", (int)status, th_last_error());
    failures += status != TH_OK;
    cr_assert(eq(int, files(), 1));
    (void)th_wait_all();
    cr_assert(th__mem_live() <= before + 1, "after %d allocations", n); /* the last message */
  }
  cr_assert(failures > 3 && failures < 20, "%d", failures);
  th_release(a);
  th_release(gaps);
}
