/* .npy files: what is written, what is read, and that no file can do harm. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <fcntl.h>
#include <glob.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/base/atomic.h"
#include "engine/base/error.h"
#include "engine/base/mem.h"
#include "ndarray/array.h"
#include "ndarray/dtype.h"
#include "support/tasks.h"
#include "thrum/thrum.h"

static char path[64];

static void make_path(void) {
  strcpy(path, "/tmp/thrum-npy-XXXXXX");
  int file = mkstemp(path);
  cr_assert(file >= 0);
  close(file);
}

static void remove_path(void) {
  unlink(path);
  (void)th_shutdown(); /* what is pending would look like a leak */
}

TestSuite(npy, .init = make_path, .fini = remove_path, .timeout = 60);

static void expect_error(th_status status, const char *text) {
  cr_assert(eq(int, th_last_status(), status));
  cr_assert(strstr(th_last_error(), text) != NULL, "message '%s' has no '%s'", th_last_error(),
            text);
}

static void write_file(const void *data, size_t bytes) {
  FILE *file = fopen(path, "wb");
  cr_assert(file != NULL);
  cr_assert(eq(sz, fwrite(data, 1, bytes, file), bytes));
  fclose(file);
}

static size_t read_file(char *out, size_t room) {
  FILE *file = fopen(path, "rb");
  cr_assert(file != NULL);
  size_t n = fread(out, 1, room, file);
  fclose(file);
  return n;
}

/* A file with this header text (a new line is added) and data. Returns its length. */
static size_t compose(char *out, int version, const char *header, const void *data, size_t bytes) {
  size_t n = strlen(header) + 1, at = version == 1 ? 10 : 12;
  memcpy(out, "\x93NUMPY", 6);
  out[6] = (char)version;
  out[7] = 0;
  for (size_t i = 8; i < at; i++) out[i] = (char)(n >> 8 * (i - 8) & 0xff);
  memcpy(out + at, header, n - 1);
  out[at + n - 1] = '\n';
  memcpy(out + at + n, data, bytes);
  return at + n + bytes;
}

static void compose_file(int version, const char *header, const void *data, size_t bytes) {
  char file[4096];
  write_file(file, compose(file, version, header, data, bytes));
}

Test(npy, what_is_saved_comes_back) {
  int64_t before = th__mem_live();
  for (int t = 0; t < TH_DTYPE_COUNT; t++) {
    if (t == TH_BF16) continue;
    size_t size = th_dtype_size((th_dtype)t);
    char in[24 * 8], out[24 * 8];
    for (int i = 0; i < 24; i++)
      th__dtype_set((th_dtype)t, in + (size_t)i * size, t == TH_BOOL ? i % 2 : i * 5 + 1);
    th_array *a = th_from_host(in, TH_SHAPE(2, 3, 4), (th_dtype)t, th_cpu(0));
    cr_assert(th_save_npy(a, path) == TH_OK, "%s", th_last_error());
    th_array *b = th_load_npy(path, th_cpu(0));
    cr_assert(b != NULL, "%s", th_last_error());
    cr_assert(eq(int, th_array_dtype(b), (th_dtype)t));
    cr_assert(eq(int, th_array_ndim(b), 3));
    cr_assert(memcmp(th_array_shape(a), th_array_shape(b), 24) == 0);
    cr_assert(eq(int, th_read(b, out, 24 * size), TH_OK));
    cr_assert(memcmp(in, out, 24 * size) == 0, "%s", th_dtype_name((th_dtype)t));
    th_release(a);
    th_release(b);
  }
  cr_assert(eq(int, th_shutdown(), TH_OK));
  cr_assert(eq(i64, th__mem_live(), before));
}

Test(npy, bytes_of_a_saved_file) {
  static const int16_t data[3] = {1, -2, 300};
  th_array *a = th_from_host(data, TH_SHAPE(3), TH_I16, th_cpu(0));
  cr_assert(eq(int, th_save_npy(a, path), TH_OK));
  char file[256];
  size_t n = read_file(file, sizeof file);
  cr_assert(eq(sz, n, 128 + 6));
  cr_assert(memcmp(file, "\x93NUMPY\x01\x00\x76\x00", 10) == 0);
  static const char header[] = "{'descr': '<i2', 'fortran_order': False, 'shape': (3,), }";
  cr_assert(memcmp(file + 10, header, strlen(header)) == 0);
  for (size_t i = 10 + strlen(header); i < 127; i++) cr_assert(eq(chr, file[i], ' '));
  cr_assert(eq(chr, file[127], '\n'));
  cr_assert(memcmp(file + 128, data, 6) == 0);
  th_release(a);
}

Test(npy, shapes_at_the_edge) {
  static const int64_t ones[8] = {1, 1, 1, 1, 1, 1, 1, 2};
  double data[2] = {1.5, -2.5}, out[2];
  th_array *scalar = th_from_host(data, TH_SCALAR, TH_F64, th_cpu(0));
  cr_assert(eq(int, th_save_npy(scalar, path), TH_OK));
  th_array *b = th_load_npy(path, th_cpu(0));
  cr_assert(b != NULL && th_array_ndim(b) == 0 && th_item(b) == 1.5, "%s", th_last_error());
  th_release(b);
  th_array *eight = th_from_host(data, ones, 8, TH_F64, th_cpu(0));
  cr_assert(eq(int, th_save_npy(eight, path), TH_OK));
  b = th_load_npy(path, th_cpu(0));
  cr_assert(b != NULL && th_array_ndim(b) == 8, "%s", th_last_error());
  cr_assert(eq(int, th_read(b, out, sizeof out), TH_OK));
  cr_assert(memcmp(data, out, sizeof out) == 0);
  th_release(b);
  th_array *empty = th_from_host(NULL, TH_SHAPE(0, 3), TH_F64, th_cpu(0));
  cr_assert(eq(int, th_save_npy(empty, path), TH_OK));
  b = th_load_npy(path, th_cpu(0));
  cr_assert(b != NULL && th_array_size(b) == 0 && th_array_shape(b)[1] == 3, "%s", th_last_error());
  th_release(b);
  b = th_load_npy(path, th_meta());
  cr_assert(b != NULL && th_array_device(b).kind == TH_META);
  th_release(b);
  th_release(scalar);
  th_release(eight);
  th_release(empty);
}

Test(npy, views_are_saved_as_they_look) {
  float data[12], out[4];
  for (int i = 0; i < 12; i++) data[i] = (float)i;
  th_array *a = th_from_host(data, TH_SHAPE(3, 4), TH_F32, th_cpu(0));
  th_layout view;
  cr_assert(eq(int, th__view_slice(&a->layout, "::-2, ::3", &view), TH_OK));
  th_array *v = th__array_view(a, &view);
  cr_assert(eq(int, th_save_npy(v, path), TH_OK));
  th_array *b = th_load_npy(path, th_cpu(0));
  cr_assert(eq(int, th_read(b, out, sizeof out), TH_OK));
  static const float want[4] = {8, 11, 0, 3};
  cr_assert(memcmp(out, want, sizeof want) == 0);
  th_release(a);
  th_release(b);
  th_release(v);
}

static const int32_t six[6] = {1, 2, 3, 4, 5, 6};

static void expect_six(const int32_t *want, const char *what) {
  int32_t out[6];
  th_array *a = th_load_npy(path, th_cpu(0));
  cr_assert(a != NULL, "%s: %s", what, th_last_error());
  cr_assert(th_array_ndim(a) == 2 && th_array_shape(a)[0] == 2 && th_array_shape(a)[1] == 3, "%s",
            what);
  cr_assert(eq(int, th_read(a, out, sizeof out), TH_OK));
  cr_assert(memcmp(out, want, sizeof out) == 0, "%s", what);
  th_release(a);
}

Test(npy, versions_orders_and_spellings) {
  static const int32_t by_columns[6] = {1, 3, 5, 2, 4, 6};
  int32_t swapped[6];
  for (int i = 0; i < 6; i++) swapped[i] = (int32_t)__builtin_bswap32((uint32_t)six[i]);
  for (int version = 1; version <= 3; version++) {
    compose_file(version, "{'descr': '<i4', 'fortran_order': False, 'shape': (2, 3), }", six, 24);
    expect_six(six, "plain");
    compose_file(version, "{'descr': '<i4', 'fortran_order': True, 'shape': (2, 3), }", six, 24);
    expect_six(by_columns, "columns first");
    compose_file(version, "{'descr': '>i4', 'fortran_order': False, 'shape': (2, 3), }", swapped,
                 24);
    expect_six(six, "big end first");
    compose_file(version, "{'descr': '>i4', 'fortran_order': True, 'shape': (2, 3), }", swapped,
                 24);
    expect_six(by_columns, "big end and columns first");
  }
  compose_file(1, "{\"shape\":(2,3),\"fortran_order\":False,\"descr\":\"<i4\"}      ", six, 24);
  expect_six(six, "other quotes and order");
  compose_file(1, "{ 'shape' : ( 2 , 3 , ) , 'fortran_order' : False , 'descr' : '=i4' , }", six,
               24);
  expect_six(six, "many blanks");
}

static const struct {
  const char *header, *reason;
} liars[] = {
    {"", "the header is not a dictionary"},
    {"[]", "the header is not a dictionary"},
    {"{}", "a key is missing in the header"},
    {"{", "a string is expected in the header"},
    {"{'descr': '<i4', 'fortran_order': False}", "a key is missing"},
    {"{'descr': '<i4', 'fortran_order': False, 'shape': (2, 3), 'more': 1}", "an unknown key"},
    {"{'descr': '<i4', 'descr': '<i4', 'fortran_order': False, 'shape': (2, 3)}",
     "a key is given twice"},
    {"{'descr' '<i4', 'fortran_order': False, 'shape': (2, 3)}", "a colon is missing"},
    {"{'descr': '<i4' 'fortran_order': False, 'shape': (2, 3)}",
     "a comma is missing in the header"},
    {"{'descr': '<i4', 'fortran_order': false, 'shape': (2, 3)}", "neither True nor False"},
    {"{'descr': '<i4', 'fortran_order': 0, 'shape': (2, 3)}", "neither True nor False"},
    {"{'descr': '<i4', 'fortran_order': False, 'shape': 6}", "the shape is not a tuple"},
    {"{'descr': '<i4', 'fortran_order': False, 'shape': (6)}", "the shape is not a tuple"},
    {"{'descr': '<i4', 'fortran_order': False, 'shape': [2, 3]}", "the shape is not a tuple"},
    {"{'descr': '<i4', 'fortran_order': False, 'shape': (2 3)}", "a comma is missing in the shape"},
    {"{'descr': '<i4', 'fortran_order': False, 'shape': (2,, 3)}", "a size is expected"},
    {"{'descr': '<i4', 'fortran_order': False, 'shape': (-2, 3)}", "a size is expected"},
    {"{'descr': '<i4', 'fortran_order': False, 'shape': (2, x)}", "a size is expected"},
    {"{'descr': '<i4', 'fortran_order': False, 'shape': (2, 3", "a comma is missing in the shape"},
    {"{'descr': '<i4', 'fortran_order': False, 'shape': (99999999999999999999,)}", "overflows"},
    {"{'descr': '<i4', 'fortran_order': False, 'shape': (9223372036854775807, 9)}",
     "the shape is too large"},
    {"{'descr': '<i4', 'fortran_order': False, 'shape': (9223372036854775807, 0, 9)}",
     "the shape is too large"},
    {"{'descr': '<i4', 'fortran_order': False, 'shape': (1,1,1,1,1,1,1,1,6)}",
     "more than 8 dimensions"},
    {"{'descr': '<i4', 'fortran_order': False, 'shape': (1000000000000,)}",
     "24 bytes of data, the header says 4000000000000"},
    {"{'descr': '<i4', 'fortran_order': False, 'shape': (5,)}",
     "24 bytes of data, the header says 20"},
    {"{'descr': '<i4', 'fortran_order': False, 'shape': (2, 3)} x", "does not end with blanks"},
    {"{'descr': '<i4', 'fortran_order': False, 'shape': (2, 3)}}", "does not end with blanks"},
    {"{'descr': '<i4', 'fortran_order': False, 'shape': (2, 3)}\n", "does not end with blanks"},
    {"{'descr': '|i4', 'fortran_order': False, 'shape': (2, 3)}", "the byte order is missing"},
    {"{'descr': '<i3', 'fortran_order': False, 'shape': (2, 3)}",
     "the element type is not supported"},
    {"{'descr': '<c8', 'fortran_order': False, 'shape': (3,)}",
     "the element type is not supported"},
    {"{'descr': '|O', 'fortran_order': False, 'shape': (3,)}", "the element type is not supported"},
    {"{'descr': '<U6', 'fortran_order': False, 'shape': (1,)}",
     "the element type is not supported"},
    {"{'descr': 'i4', 'fortran_order': False, 'shape': (2, 3)}",
     "the element type is not supported"},
    {"{'descr': '<f16', 'fortran_order': False, 'shape': (2, 3)}",
     "the element type is not supported"},
    {"{'descr': '<i4444444444', 'fortran_order': False, 'shape': (2, 3)}", "too long"},
    {"{'descr': '<i4, 'fortran_order': False, 'shape': (2, 3)}",
     "the element type is not supported"},
    {"{'descr': [('a', '<i4')], 'fortran_order': False, 'shape': (2, 3)}", "a string is expected"},
    {"{'descr': '<i4', 'fortran_order': False, 'shape': (2, 3), # no\n}", "a string is expected"},
};

Test(npy, headers_that_lie) {
  for (size_t i = 0; i < sizeof liars / sizeof *liars; i++) {
    compose_file(1 + (int)(i % 3), liars[i].header, six, 24);
    cr_assert(th_load_npy(path, th_cpu(0)) == NULL, "%s", liars[i].header);
    cr_assert(th_last_status() == TH_EIO, "%s: %s", liars[i].header, th_last_error());
    cr_assert(strstr(th_last_error(), path) != NULL, "%s: %s", liars[i].header, th_last_error());
    cr_assert(strstr(th_last_error(), liars[i].reason) != NULL, "%s: %s", liars[i].header,
              th_last_error());
  }
}

Test(npy, files_cut_anywhere) {
  char file[512];
  size_t n =
      compose(file, 1, "{'descr': '<i4', 'fortran_order': False, 'shape': (2, 3), }", six, 24);
  for (size_t cut = 0; cut < n; cut++) {
    write_file(file, cut);
    cr_assert(th_load_npy(path, th_cpu(0)) == NULL, "cut to %zu bytes", cut);
    cr_assert(th_last_status() == TH_EIO, "cut to %zu bytes: %s", cut, th_last_error());
  }
  file[n] = 0;
  write_file(file, n + 1);
  cr_assert(th_load_npy(path, th_cpu(0)) == NULL, "one byte too many");
  expect_error(TH_EIO, "25 bytes of data, the header says 24");
}

Test(npy, every_byte_of_the_header_spoilt) {
  char bytes[512];
  size_t n =
      compose(bytes, 2, "{'descr': '<i4', 'fortran_order': False, 'shape': (2, 3), }", six, 24);
  write_file(bytes, n);
  int file = open(path, O_WRONLY);
  int64_t live = -1;
  tasks_await_workers();
  for (size_t at = 0; at < n - 24; at++) {
    for (int value = 0; value < 256; value++) {
      char byte = (char)value;
      cr_assert(eq(long, pwrite(file, &byte, 1, (off_t)at), 1));
      th_array *a = th_load_npy(path, th_cpu(0));
      cr_assert(a != NULL || th_last_status() == TH_EIO, "byte %zu = %d: %s", at, value,
                th_last_error());
      cr_assert(a == NULL || th__layout_bytes(&a->layout) == 24, "byte %zu = %d", at, value);
      th_release(a);
    }
    cr_assert(eq(long, pwrite(file, &bytes[at], 1, (off_t)at), 1));
    if (at == 0) live = th__mem_live();
  }
  close(file);
  cr_assert(eq(int, th_wait_all(), TH_OK));
  cr_assert(th__mem_live() <= live + 4, "nothing leaks: %lld, then %lld", (long long)live,
            (long long)th__mem_live());
}

Test(npy, a_header_that_claims_to_be_huge) {
  char file[64] = "\x93NUMPY\x02\x00\xff\xff\xff\xff{'descr'";
  write_file(file, sizeof file);
  cr_assert(th_load_npy(path, th_cpu(0)) == NULL);
  expect_error(TH_EIO, "the header is too long");
  memcpy(file + 8, "\x00\x00\x0f\x00", 4);
  write_file(file, sizeof file);
  cr_assert(th_load_npy(path, th_cpu(0)) == NULL);
  expect_error(TH_EIO, "cut off within the header");
}

Test(npy, other_files) {
  write_file("hello, this is a text", 21);
  cr_assert(th_load_npy(path, th_cpu(0)) == NULL);
  expect_error(TH_EIO, "not a .npy file");
  write_file("\x93NUMPY\x04\x00 and so on", 18);
  cr_assert(th_load_npy(path, th_cpu(0)) == NULL);
  expect_error(TH_EIO, "an unknown version of the format");
  cr_assert(th_load_npy("/nowhere/at/all.npy", th_cpu(0)) == NULL);
  expect_error(TH_EIO, "th_load_npy: '/nowhere/at/all.npy': No such file or directory");
  cr_assert(th_load_npy("/tmp", th_cpu(0)) == NULL);
  expect_error(TH_EIO, "th_load_npy: '/tmp': not a regular file");
  cr_assert(th_load_npy("/dev/zero", th_cpu(0)) == NULL);
  expect_error(TH_EIO, "not a regular file");
  unlink(path);
  cr_assert(eq(int, mkfifo(path, 0600), 0));
  cr_assert(th_load_npy(path, th_cpu(0)) == NULL, "nobody writes to the pipe");
  expect_error(TH_EIO, "not a regular file");
  unlink(path);
  cr_assert(th_load_npy(NULL, th_cpu(0)) == NULL);
  expect_error(TH_EINVAL, "th_load_npy: path is NULL");
  compose_file(1, "{'descr': '<i4', 'fortran_order': False, 'shape': (2, 3), }", six, 24);
  cr_assert(th_load_npy(path, th_cpu(50)) == NULL);
  cr_assert(eq(int, th_last_status(), TH_EDEVICE));
}

static _Atomic uint32_t gate;

static th_status fail_at_gate(void *arg, th_task_context *context) {
  (void)arg;
  while (th__load(&gate, TH__ACQUIRE) == 0) th__park(&gate, 0, -1);
  return th_context_fail(context, TH_EKERNEL, "broken on purpose");
}

/* Files in the folder of path whose names start with path's. */
static int files_like(const char *path) {
  glob_t found = {0};
  char pattern[256];
  snprintf(pattern, sizeof pattern, "%s*", path);
  int n = glob(pattern, 0, NULL, &found) == 0 ? (int)found.gl_pathc : 0;
  globfree(&found);
  return n;
}

Test(npy, the_path_is_looked_at_before_the_array) {
  th_array *a = th_ones(TH_SHAPE(3), TH_F32, th_cpu(0));
  th_var *v = th_array_var(a);
  th_task task = {.name = "broken", .run = fail_at_gate, .writes = &v, .n_writes = 1};
  cr_assert(eq(int, th_push(&task), TH_OK));
  cr_assert(eq(int, th_save_npy(a, "/nowhere/at/all.npy"), TH_EIO)); /* returns: it did not wait */
  cr_assert(eq(int, th_save_npy(a, ""), TH_EIO));
  cr_assert(eq(int, th_save_npy(a, "/"), TH_EIO));
  cr_assert(not(th_is_ready(a)));
  th__store(&gate, 1, TH__RELEASE);
  th__unpark(&gate, 1);
  (void)th_wait(a);
  th_release(a);
}

Test(npy, an_old_file_stays_until_the_new_one_is_whole) {
  th_array *good = th_full(TH_SHAPE(3), 7, TH_F32, th_cpu(0));
  th_array *bad = th_ones(TH_SHAPE(3), TH_F32, th_cpu(0));
  th_var *v = th_array_var(bad);
  th_task task = {.name = "broken", .run = fail_at_gate, .writes = &v, .n_writes = 1};
  unlink(path);
  th__store(&gate, 1, TH__RELEASE);
  cr_assert(eq(int, th_push(&task), TH_OK));
  cr_assert(eq(int, th_save_npy(bad, path), TH_EKERNEL));
  cr_assert(eq(int, access(path, F_OK), -1)); /* and nothing was left behind */
  cr_assert(eq(int, files_like(path), 0));
  cr_assert(eq(int, th_save_npy(good, path), TH_OK));
  cr_assert(eq(int, chmod(path, 0640), 0));
  cr_assert(eq(int, th_save_npy(bad, path), TH_EKERNEL));
  th_array *back = th_load_npy(path, th_cpu(0));
  cr_assert(back != NULL, "%s", th_last_error());
  cr_assert(eq(int, th_save_npy(back, path), TH_OK)); /* over itself, keeping who may read it */
  struct stat info;
  cr_assert(eq(int, stat(path, &info), 0));
  cr_assert(eq(int, (int)info.st_mode & 0777, 0640));
  cr_assert(eq(int, files_like(path), 1));
  th_release(back);
  th_release(good);
  th_release(bad);
}

Test(npy, links_are_written_through) {
  char link[256];
  snprintf(link, sizeof link, "%s.link", path);
  cr_assert(eq(int, symlink(path, link), 0));
  th_array *big = th_full(TH_SHAPE(1000), 7, TH_F32, th_cpu(0));
  th_array *small = th_full(TH_SHAPE(2), 5, TH_F32, th_cpu(0));
  cr_assert(eq(int, th_save_npy(big, link), TH_OK), "%s", th_last_error());
  cr_assert(eq(int, th_save_npy(small, link), TH_OK)); /* nothing of the longer one is left */
  struct stat info;
  cr_assert(eq(int, lstat(link, &info), 0));
  bool link_stays = S_ISLNK(info.st_mode);
  cr_assert(link_stays);
  th_array *back = th_load_npy(path, th_cpu(0));
  cr_assert(back != NULL, "%s", th_last_error());
  cr_assert(eq(i64, th_array_size(back), 2));
  th_release(back);
  th_release(big);
  th_release(small);
  unlink(link);
}

Test(npy, saving_refuses) {
  th_array *a = th_from_host(six, TH_SHAPE(6), TH_I32, th_cpu(0));
  th_array *half = th_from_host(six, TH_SHAPE(12), TH_BF16, th_cpu(0));
  th_array *meta = th_from_host(six, TH_SHAPE(6), TH_I32, th_meta());
  cr_assert(eq(int, th_save_npy(half, path), TH_EDTYPE));
  expect_error(TH_EDTYPE, "th_save_npy: .npy files know no bf16");
  cr_assert(eq(int, th_save_npy(meta, path), TH_ENODATA));
  cr_assert(eq(int, th_save_npy(a, "/nowhere/at/all.npy"), TH_EIO));
  expect_error(TH_EIO, "th_save_npy: '/nowhere/at/all.npy': No such file or directory");
  cr_assert(eq(int, th_save_npy(a, NULL), TH_EINVAL));
  if (access("/dev/full", W_OK) == 0) {
    cr_assert(eq(int, th_save_npy(a, "/dev/full"), TH_EIO));
    expect_error(TH_EIO, "th_save_npy: '/dev/full': No space left on device");
    cr_assert(access("/dev/full", W_OK) == 0, "devices are not removed");
  }
  th_release(a);
  th_release(half);
  th_release(meta);
}
