/* Loading safetensors files: what is shared with the file, and that no file can do harm. FUZZ_SEED and FUZZ_FILES choose which and how
 * many spoilt files are tried. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/base/mem.h"
#include "ndarray/array.h"
#include "ndarray/tensors.h"
#include "support/arrays.h"
#include "support/files.h"
#include "support/tasks.h"

static char path[64];

static void make_path(void) { cr_assert(scratch_file(path, "", 0)); }

static void remove_path(void) {
  unlink(path);
  stop_engine();
}

TestSuite(load, .init = make_path, .fini = remove_path, .timeout = 120);

/* A file with this header and data. Returns its length. */
static size_t compose(char *out, const char *header, size_t header_bytes, const void *data,
                      size_t bytes) {
  for (int i = 0; i < 8; i++) out[i] = (char)(header_bytes >> 8 * i & 0xff);
  memcpy(out + 8, header, header_bytes);
  memcpy(out + 8 + header_bytes, data, bytes);
  return 8 + header_bytes + bytes;
}

/* Without emptying it first: some file systems then write to the disk at once. */
static void write_file(const void *data, size_t bytes) {
  int file = open(path, O_WRONLY);
  cr_assert(ge(int, file, 0));
  cr_assert(eq(long, write(file, data, bytes), (long)bytes));
  cr_assert(eq(int, ftruncate(file, (off_t)bytes), 0));
  close(file);
}

static void compose_file(const char *header, const void *data, size_t bytes) {
  char file[4096];
  write_file(file, compose(file, header, strlen(header), data, bytes));
}

static const int32_t six[6] = {1, 2, 3, 4, 5, 6};

Test(load, spellings) {
  static const char *const headers[] = {
      "{\"a\":{\"dtype\":\"I32\",\"shape\":[2,3],\"data_offsets\":[0,24]}}",
      "{ \"a\" : {\n\"data_offsets\" : [ 0 , 24 ] ,\t\"shape\":[2, 3],\r\"dtype\" :\"I32\" } }   ",
      "{\"__metadata__\":{},\"a\":{\"dtype\":\"I32\",\"shape\":[2,3],\"data_offsets\":[0,24]}}",
      "{\"\\u0061\":{\"dt\\u0079pe\":\"\\u00493\\u0032\",\"shape\":[2,3],\"data_offsets\":[0,24]}}",
      "{\"e\":{\"dtype\":\"F64\",\"shape\":[0],\"data_offsets\":[0,0]},\"a\":{\"dtype\":\"I32\","
      "\"shape\":[2,3],\"data_offsets\":[0,24]},\"f\":{\"dtype\":\"U8\",\"shape\":[3,0],"
      "\"data_offsets\":[24,24]},\"__metadata__\":{\"x\":\"\",\"\":\"\\\"\\\\\\/"
      "\\b\\f\\n\\r\\t\"}}"};
  for (size_t i = 0; i < sizeof headers / sizeof *headers; i++) {
    compose_file(headers[i], six, 24);
    th_file *f = th_file_open(path);
    cr_assert(f != NULL, "%s: %s", headers[i], th_last_error());
    th_array *a = th_file_array(f, "a", th_cpu(0));
    cr_assert(eq(dbl, distance_to(a, 1, 2, 3, 4, 5, 6), 0), "%s", headers[i]);
    cr_assert(th_array_ndim(a) == 2 && th_array_shape(a)[1] == 3);
    th_release(a);
    if (i == 4) {
      cr_assert(eq(str, (char *)th_file_metadata(f, ""), "\"\\/\b\f\n\r\t"));
      cr_assert(eq(str, (char *)th_file_metadata(f, "x"), ""));
      th_array *e = th_file_array(f, "f", th_cpu(0));
      cr_assert(e != NULL && th_array_size(e) == 0 && th_wait(e) == TH_OK);
      th_release(e);
    }
    th_file_release(f);
  }
}

Test(load, names_of_other_characters) {
  compose_file("{\"\\u00e4\\u20AC\\ud83d\\ude00\":{\"dtype\":\"U8\",\"shape\":[],"
               "\"data_offsets\":[0,1]},\"\xc3\xb6\":{\"dtype\":\"U8\",\"shape\":[1],"
               "\"data_offsets\":[1,2]}}",
               six, 2);
  th_file *f = th_file_open(path);
  cr_assert(f != NULL, "%s", th_last_error());
  cr_assert(eq(str, (char *)th_file_name(f, 0), "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80"));
  cr_assert(eq(str, (char *)th_file_name(f, 1), "\xc3\xb6"));
  th_file_release(f);
}

Test(load, shares_the_file_and_keeps_writes_private) {
  static const char header[] =
      "{\"a\":{\"dtype\":\"I32\",\"shape\":[6],\"data_offsets\":[0,24]}} "; /* 56 bytes */
  compose_file(header, six, 24);
  th_memory_info before, after;
  cr_assert(eq(int, th_memory_get(th_cpu(0), &before), TH_OK));
  th_file *f = th_file_open(path);
  th_array *a = th_file_array(f, "a", th_cpu(0)), *same = th_file_array(f, "a", th_cpu(0));
  cr_assert(eq(int, th_memory_get(th_cpu(0), &after), TH_OK));
  cr_assert(eq(i64, after.live, before.live), "no memory of the device is used");
  const void *here, *there;
  cr_assert(th_map_read(a, &here) == TH_OK && th_map_read(same, &there) == TH_OK);
  cr_assert(here == there);
  cr_assert(th_unmap(a) == TH_OK && th_unmap(same) == TH_OK);
  th_file_release(f); /* the arrays keep what they need */
  cr_assert(eq(int, th_add_scalar_inplace(a, 10), TH_OK));
  cr_assert(eq(dbl, distance_to(a, 11, 12, 13, 14, 15, 16), 0));
  f = th_file_open(path);
  th_array *again = th_file_array(f, "a", th_cpu(0)), *meta = th_file_array(f, "a", th_meta());
  cr_assert(eq(dbl, distance_to(again, 1, 2, 3, 4, 5, 6), 0), "the file is as it was");
  cr_assert(th_array_size(meta) == 6 && th_array_device(meta).kind == TH_META);
  cr_assert(zero(ptr, th_file_array(f, "b", th_cpu(0))));
  cr_assert(eq(int, th_last_status(), TH_EINVAL));
  cr_assert(strstr(th_last_error(), "the file has no array 'b'") != NULL);
  cr_assert(zero(ptr, th_file_array(f, "a", th_cpu(50))));
  cr_assert(eq(int, th_last_status(), TH_EDEVICE));
  cr_assert(zero(ptr, th_file_array(f, NULL, th_cpu(0))));
  th_array *all[] = {a, same, again, meta};
  for (int i = 0; i < 4; i++) th_release(all[i]);
  th_file_release(f);
  cr_assert(eq(int, th_file_count(NULL), 0));
  th_file_release(NULL);
}

Test(load, unaligned_data_are_copied) {
  compose_file("{\"x\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},"
               "\"a\":{\"dtype\":\"I32\",\"shape\":[1],\"data_offsets\":[1,5]}}",
               "\x05\x01\x02\x00\x00", 5);
  th_file *f = th_file_open(path);
  cr_assert(f != NULL, "%s", th_last_error());
  th_array *a = th_file_array(f, "a", th_cpu(0));
  cr_assert(eq(dbl, th_item(a), 513));
  th_release(a);
  th_file_release(f);
}

#define A     "\"dtype\":\"I32\",\"shape\":[2,3],\"data_offsets\":[0,24]"
#define OF(s) "{\"a\":{" s "}}"

static const struct {
  const char *header, *reason;
} liars[] = {
    {"", "the header is no JSON object"},
    {" {}", "the header is no JSON object"},
    {"[]", "the header is no JSON object"},
    {"{", "a string is expected"},
    {"{}", "bytes behind the last array"},
    {"{,}", "a string is expected"},
    {"{\"a\"}", "a colon is missing"},
    {"{\"a\":7}", "an array in the header is no object"},
    {"{\"a\":null}", "an array in the header is no object"},
    {OF(A) "}", "something stands behind"},
    {OF(A) "x", "something stands behind"},
    {"{\"a\":{" A "}", "a comma is missing"},
    {"{\"a\":{" A "},}", "a string is expected"},
    {"{\"a\":{" A "}\"b\":{" A "}}", "a comma is missing"},
    {"{\"a\":{" A "},\"a\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[24,24]}}",
     "a name is given twice"},
    {"{\"a\":{" A "},\"\\u0061\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[24,24]}}",
     "a name is given twice"},
    {"{\"a\":{" A "},\"b\":{" A "}}", "two arrays overlap"},
    {"{\"a\":{" A "},\"b\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[3,4]}}",
     "two arrays overlap"},
    {OF("\"dtype\":\"I32\",\"shape\":[2],\"data_offsets\":[16,24]"), "a gap between two arrays"},
    {OF("\"dtype\":\"I32\",\"shape\":[2],\"data_offsets\":[0,8]"), "bytes behind the last array"},
    {OF("\"dtype\":\"I32\",\"shape\":[2,3],\"data_offsets\":[0,28]"), "not within the file"},
    {OF("\"dtype\":\"I32\",\"shape\":[2,3],\"data_offsets\":[24,0]"), "not within the file"},
    {OF("\"dtype\":\"I32\",\"shape\":[2,3],\"data_offsets\":[4,24]"), "do not fit the shape"},
    {OF("\"dtype\":\"I32\",\"shape\":[2,3],\"data_offsets\":[0]"), "are not two"},
    {OF("\"dtype\":\"I32\",\"shape\":[2,3],\"data_offsets\":[]"), "are not two"},
    {OF("\"dtype\":\"I32\",\"shape\":[2,3],\"data_offsets\":[0,24,24]"), "more than two"},
    {OF("\"dtype\":\"I32\",\"shape\":[2,3],\"data_offsets\":[0,24,]"), "more than two"},
    {OF("\"dtype\":\"I32\",\"shape\":[2,3,],\"data_offsets\":[0,24]"), "a whole number"},
    {OF("\"dtype\":\"I32\",\"shape\":[2 3],\"data_offsets\":[0,24]"), "a comma is missing"},
    {OF("\"dtype\":\"I32\",\"shape\":[-2,3],\"data_offsets\":[0,24]"), "a whole number"},
    {OF("\"dtype\":\"I32\",\"shape\":[02,3],\"data_offsets\":[0,24]"), "a whole number"},
    {OF("\"dtype\":\"I32\",\"shape\":[2.0,3],\"data_offsets\":[0,24]"), "a comma is missing"},
    {OF("\"dtype\":\"I32\",\"shape\":[\"2\",3],\"data_offsets\":[0,24]"), "a whole number"},
    {OF("\"dtype\":\"I32\",\"shape\":6,\"data_offsets\":[0,24]"), "a list is expected"},
    {OF("\"dtype\":\"I32\",\"shape\":[[6]],\"data_offsets\":[0,24]"), "a whole number"},
    {OF("\"dtype\":\"I32\",\"shape\":[1,1,1,1,1,1,1,1,6],\"data_offsets\":[0,24]"),
     "more than 8 dimensions"},
    {OF("\"dtype\":\"I32\",\"shape\":[99999999999999999999],\"data_offsets\":[0,24]"), "overflows"},
    {OF("\"dtype\":\"I32\",\"shape\":[9223372036854775807,9],\"data_offsets\":[0,24]"),
     "too large"},
    {OF("\"dtype\":\"I32\",\"shape\":[4294967296,4294967296],\"data_offsets\":[0,0]"), "too large"},
    {OF("\"dtype\":\"I32\",\"shape\":[9223372036854775807,0,9],\"data_offsets\":[0,0]"),
     "too large"},
    {OF("\"dtype\":\"I32\",\"shape\":[1000000000000],\"data_offsets\":[0,24]"), "do not fit"},
    {OF("\"dtype\":\"F8_E4M3\",\"shape\":[24],\"data_offsets\":[0,24]"), "not supported"},
    {OF("\"dtype\":\"i32\",\"shape\":[2,3],\"data_offsets\":[0,24]"), "not supported"},
    {OF("\"dtype\":32,\"shape\":[2,3],\"data_offsets\":[0,24]"), "a string is expected"},
    {OF("\"shape\":[2,3],\"data_offsets\":[0,24]"), "a key is missing"},
    {OF(A ",\"more\":1"), "an unknown key"},
    {OF(A ",\"shape\":[2,3]"), "a key is given twice"},
    {"{\"a\xff\":{" A "}}", "no UTF-8"},
    {"{\"a\xc0\x80\":{" A "}}", "no UTF-8"},
    {"{\"a\xed\xa0\x80\":{" A "}}", "no UTF-8"},
    {"{\"a\n\":{" A "}}", "control characters"},
    {"{\"a\\x\":{" A "}}", "an unknown escape"},
    {"{\"a\\u00\":{" A "}}", "a bad \\u"},
    {"{\"a\\u0000\":{" A "}}", "a zero in a string"},
    {"{\"a\\ud83d\":{" A "}}", "half a character"},
    {"{\"a\\ud83d\\u0041\":{" A "}}", "half a character"},
    {"{\"a\\ude00\":{" A "}}", "half a character"},
    {"{\"a", "does not end"},
    {"{\"a\\", "does not end"},
    {"{\"a\\u00", "does not end"},
    {"{\"__metadata__\":{\"a\":1},\"a\":{" A "}}", "a string is expected"},
    {"{\"__metadata__\":{\"a\"},\"a\":{" A "}}", "a colon is missing"},
    {"{\"__metadata__\":{\"a\":\"b\",},\"a\":{" A "}}", "a string is expected"},
    {"{\"__metadata__\":[],\"a\":{" A "}}", "__metadata__ in the header is no object"},
    {"{\"__metadata__\":{},\"__metadata__\":{},\"a\":{" A "}}", "__metadata__ is given twice"},
    {"{\"__metadata__\":{\"a\":{}},\"a\":{" A "}}", "a string is expected"},
};

Test(load, headers_that_lie) {
  for (size_t i = 0; i < sizeof liars / sizeof *liars; i++) {
    compose_file(liars[i].header, six, 24);
    th_clear_error();
    cr_assert(th_file_open(path) == NULL, "%s", liars[i].header);
    cr_assert(th_last_status() == TH_EIO, "%s: %s", liars[i].header, th_last_error());
    cr_assert(strstr(th_last_error(), path) != NULL, "%s: %s", liars[i].header, th_last_error());
    cr_assert(strstr(th_last_error(), liars[i].reason) != NULL, "%s: %s", liars[i].header,
              th_last_error());
  }
}

static const char good[] =
    "{\"__metadata__\":{\"format\":\"pt\",\"\\u00e9\":\"\\ud83d\\ude00\"},\"a.weight\":{\"dtype\":"
    "\"I32\",\"shape\":[2,2],\"data_offsets\":[0,16]},\"b\":{\"dtype\":\"BF16\",\"shape\":[3],"
    "\"data_offsets\":[16,22]},\"empty\":{\"dtype\":\"U8\",\"shape\":[0,4],\"data_offsets\":[22,22]"
    "},"
    "\"z\":{\"dtype\":\"BOOL\",\"shape\":[],\"data_offsets\":[22,23]}}   ";

Test(load, files_cut_anywhere) {
  char file[1024];
  size_t n = compose(file, good, strlen(good), six, 23);
  for (size_t cut = 0; cut <= n; cut++) {
    write_file(file, cut);
    th_file *f = th_file_open(path);
    bool opened = f != NULL;
    cr_assert(opened == (cut == n), "cut to %zu bytes: %s", cut, th_last_error());
    cr_assert(f != NULL || th_last_status() == TH_EIO);
    th_file_release(f);
  }
  file[n] = 0;
  write_file(file, n + 1);
  cr_assert(th_file_open(path) == NULL, "one byte too many");
}

Test(load, other_files) {
  static const struct {
    const char *path, *reason;
  } others[] = {{"/nowhere/at/all", "th_file_open: '/nowhere/at/all': No such file or directory"},
                {"/tmp", "th_file_open: '/tmp': not a regular file"},
                {"/dev/zero", "not a regular file"}};
  for (int i = 0; i < 3; i++) {
    cr_assert(th_file_open(others[i].path) == NULL);
    cr_assert(strstr(th_last_error(), others[i].reason) != NULL, "%s", th_last_error());
    cr_assert(eq(int, th_last_status(), TH_EIO));
  }
  write_file("\xff\xff\xff\xff\xff\xff\xff\xff{}", 10);
  cr_assert(th_file_open(path) == NULL);
  cr_assert(strstr(th_last_error(), "the header is too long") != NULL);
  write_file("\x00\xe1\xf5\x05\0\0\0\0{}", 10); /* 100,000,000: legal, and not there */
  cr_assert(th_file_open(path) == NULL);
  cr_assert(strstr(th_last_error(), "cut off within the header") != NULL);
  unlink(path);
  cr_assert(eq(int, mkfifo(path, 0600), 0));
  cr_assert(th_file_open(path) == NULL, "nobody writes to the pipe");
  cr_assert(th_file_open(NULL) == NULL);
  cr_assert(eq(int, th_last_status(), TH_EINVAL));
}

/* --- changed files --- */

static uint64_t state;
static uint64_t draw(uint64_t below) { /* xorshift64* */
  state ^= state >> 12;
  state ^= state << 25;
  state ^= state >> 27;
  return (state * 2685821657736338717u >> 16) % below;
}

/* One change of text[0..*n), which has room for more. */
static void change(char *text, size_t *n) {
  static const char *const pieces[] = {"0",
                                       "-1",
                                       "18446744073709551615",
                                       "9223372036854775807",
                                       "4294967296",
                                       "1e9",
                                       "[",
                                       "]",
                                       "{",
                                       "}",
                                       ",",
                                       ":",
                                       "\"",
                                       "\\",
                                       "\\u0000",
                                       "\\ud800",
                                       "\xff",
                                       "\xf0\x9f\x98\x80",
                                       "null",
                                       "\"__metadata__\":{}",
                                       "\"shape\":[1,1,1,1,1,1,1,1]",
                                       "\"data_offsets\":[0,0]",
                                       "\"dtype\":\"F64\"",
                                       "22",
                                       "23",
                                       "16"};
  const char *piece = pieces[draw(sizeof pieces / sizeof *pieces)];
  size_t at = draw(*n), length = strlen(piece), count = 1 + draw(12);
  switch (draw(4)) {
  case 0: text[at] = (char)draw(256); break;
  case 1: /* taken out */
    if (count > *n - at) count = *n - at;
    memmove(text + at, text + at + count, *n - at - count);
    *n -= count;
    break;
  case 2: /* put in */
    memmove(text + at + length, text + at, *n - at);
    memcpy(text + at, piece, length);
    *n += length;
    break;
  default: /* put over */
    if (at + length > *n) break;
    memcpy(text + at, piece, length);
  }
}

/* What a header that was accepted promises. */
static void check(const th__tensors *t, int64_t data) {
  int64_t sum = 0;
  for (int i = 0; i < t->n; i++) {
    int64_t bytes = th__layout_bytes(&t->items[i].layout);
    cr_assert(t->items[i].begin >= 0 && bytes >= 0 && t->items[i].begin + bytes <= data);
    cr_assert(strlen(t->items[i].name) < 4096);
    sum += bytes;
  }
  cr_assert(eq(i64, sum, data));
  for (int i = 0; i < t->n_metadata; i++) cr_assert(strlen(t->metadata[i]) < 4096);
}

Test(load, changed_headers) {
  const char *seed = getenv("FUZZ_SEED"), *count = getenv("FUZZ_FILES");
  state = (seed ? strtoull(seed, NULL, 10) : 1) * 2 + 1;
  int accepted = 0, n = count ? atoi(count) : 20000;
  int64_t live = th__mem_live();
  for (int i = 0; i < n; i++) {
    size_t size = strlen(good);
    char *text = malloc(size + 512);
    memcpy(text, good, size);
    for (uint64_t k = draw(4); k > 0 && size > 0; k--) change(text, &size);
    char *tight = malloc(size + 1); /* so that the address sanitizer sees the first byte beyond */
    memcpy(tight, text, size);
    th__tensors t;
    const char *wrong = th__tensors_parse(tight, size, 23, &t);
    cr_assert(wrong == NULL || *wrong != 0);
    if (!wrong) check(&t, 23);
    accepted += !wrong;
    th__tensors_free(&t);
    free(tight);
    free(text);
  }
  cr_assert(accepted > n / 10 && accepted < n * 9 / 10, "%d of %d accepted", accepted, n);
  cr_assert(eq(i64, th__mem_live(), live));
}

Test(load, changed_files) {
  char file[2048];
  state = 99;
  int64_t live = -1;
  tasks_await_workers();
  for (int i = 0; i < 1500; i++) {
    size_t n = compose(file, good, strlen(good), six, 23);
    for (uint64_t k = draw(3); k > 0; k--) change(file, &n);
    write_file(file, n);
    th_file *f = th_file_open(path);
    cr_assert(f != NULL || th_last_status() == TH_EIO, "%s", th_last_error());
    for (int k = 0; k < th_file_count(f); k++) {
      th_array *a = th_file_array(f, th_file_name(f, k), th_cpu(0));
      char data[64];
      cr_assert(a != NULL, "%s", th_last_error());
      cr_assert(eq(int, th_read(a, data, (size_t)th__layout_bytes(&a->layout)), TH_OK));
      th_release(a);
    }
    th_file_release(f);
    if (i == 100) live = th__mem_live();
  }
  cr_assert(eq(int, th_wait_all(), TH_OK));
  cr_assert(th__mem_live() <= live + 8, "nothing leaks");
}
