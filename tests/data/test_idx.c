/* IDX files: every element type, plain and gzip, lies in headers, torn files, the real set. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <string.h>
#include <zlib.h>

#include "support/arrays.h"
#include "support/files.h"

TestSuite(idx, .timeout = 60, .fini = stop_engine);

static th_array *load(const void *bytes, size_t n) {
  char path[64];
  if (!scratch_file(path, bytes, n)) return NULL;
  th_clear_error();
  th_array *a = th_load_idx(path);
  unlink(path);
  return a;
}

/* Compresses as gzip does; returns the size. */
static size_t compressed(const void *bytes, size_t n, unsigned char *out, size_t capacity) {
  z_stream z = {0};
  deflateInit2(&z, 9, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
  z.next_in = (unsigned char *)bytes;
  z.avail_in = (unsigned)n;
  z.next_out = out;
  z.avail_out = (unsigned)capacity;
  int code = deflate(&z, Z_FINISH);
  deflateEnd(&z);
  return code == Z_STREAM_END ? z.total_out : 0;
}

/* 2 x 3 bytes: 1 2 3 / 4 5 250. */
static const unsigned char small[] = {0, 0, 8, 2, 0, 0, 0, 2, 0, 0, 0, 3, 1, 2, 3, 4, 5, 250};

Test(idx, reads_plain_and_gzip) {
  unsigned char packed[128];
  size_t n = compressed(small, sizeof(small), packed, sizeof(packed));
  cr_assert(gt(sz, n, 0));
  for (int gzip = 0; gzip < 2; gzip++) {
    th_array *a = gzip ? load(packed, n) : load(small, sizeof(small));
    cr_assert(ne(ptr, a, NULL), "gzip %d: %s", gzip, th_last_error());
    cr_assert(eq(int, th_array_dtype(a), TH_U8));
    cr_assert(eq(int, th_array_ndim(a), 2));
    cr_assert(eq(i64, th_array_shape(a)[0], 2));
    cr_assert(eq(dbl, distance_to(a, 1, 2, 3, 4, 5, 250), 0));
    th_release(a);
  }
}

Test(idx, every_element_type) {
  static const struct {
    unsigned char code, bytes[8];
    size_t size;
    th_dtype type;
    double value;
  } cases[] = {
      {0x08, {200}, 1, TH_U8, 200},
      {0x09, {200}, 1, TH_I8, -56},
      {0x0B, {0xFF, 0xFE}, 2, TH_I16, -2},
      {0x0C, {0, 1, 0, 0}, 4, TH_I32, 65536},
      {0x0D, {0x3F, 0xC0, 0, 0}, 4, TH_F32, 1.5},
      {0x0E, {0xC0, 0x04, 0, 0, 0, 0, 0, 0}, 8, TH_F64, -2.5},
  };
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    unsigned char file[16] = {0, 0, cases[i].code, 1, 0, 0, 0, 1};
    memcpy(file + 8, cases[i].bytes, cases[i].size);
    th_array *a = load(file, 8 + cases[i].size);
    cr_assert(ne(ptr, a, NULL), "code %02x: %s", cases[i].code, th_last_error());
    cr_assert(eq(int, th_array_dtype(a), cases[i].type));
    cr_assert(eq(dbl, distance(a, &cases[i].value, 1), 0), "code %02x", cases[i].code);
    th_release(a);
  }
}

Test(idx, nothing_in_it_is_legal) {
  static const unsigned char none[] = {0, 0, 8, 2, 0, 0, 0, 0, 0, 0, 0, 5};
  th_array *a = load(none, sizeof(none));
  cr_assert(ne(ptr, a, NULL), "%s", th_last_error());
  cr_assert(eq(i64, th_array_size(a), 0));
  th_release(a);
}

Test(idx, false_headers) {
  static const struct {
    unsigned char bytes[48];
    size_t n;
    const char *message;
  } cases[] = {
      {{0}, 0, "no header"},
      {{0, 0, 8}, 3, "no header"},
      {{1, 2, 8, 1, 0, 0, 0, 0}, 8, "not an IDX file"},
      {{0, 0, 7, 1, 0, 0, 0, 0}, 8, "element type 0x07"},
      {{0, 0, 8, 0, 1}, 5, "0 dimensions"},
      {{0, 0, 8, 9}, 4, "9 dimensions"},
      {{0, 0, 8, 2, 0, 0, 0, 1}, 8, "header of 2 dimensions"},
      {{0, 0, 8, 1, 0, 0, 0, 4, 1, 2, 3}, 11, "3 bytes of data instead of 4"},
      {{0, 0, 8, 1, 0, 0, 0, 2, 1, 2, 3}, 11, "more data than the 2 bytes"},
      {{0, 0, 0x0E, 1, 0, 0, 0, 1, 1, 2, 3}, 11, "3 bytes of data instead of 8"},
      {{0, 0, 8, 2, 0x0F, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 1}, 13, "header says"},
      {{0,    0,    8,    4,    0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF,
        0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 1},
       21,
       "overflow"},
      {{0, 0, 8, 1, 0x10, 0, 0, 0, 1, 2, 3}, 11, "3 bytes of data instead of 268435456"},
  };
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    th_array *a = load(cases[i].bytes, cases[i].n);
    cr_assert(zero(ptr, a), "case %zu was accepted", i);
    cr_assert(eq(int, th_last_status(), TH_EIO), "case %zu: %s", i, th_last_error());
    cr_assert(strstr(th_last_error(), cases[i].message) != NULL, "case %zu wants \"%s\": %s", i,
              cases[i].message, th_last_error());
  }
}

Test(idx, torn_gzip_is_an_error_at_every_length) {
  unsigned char packed[128];
  size_t n = compressed(small, sizeof(small), packed, sizeof(packed));
  for (size_t cut = 0; cut < n; cut++) {
    th_array *a = load(packed, cut);
    cr_assert(zero(ptr, a), "%zu of %zu bytes were accepted", cut, n);
    cr_assert(eq(int, th_last_status(), TH_EIO), "cut at %zu: %s", cut, th_last_error());
  }
  for (size_t at = 10; at < n; at++) { /* behind the header of gzip, which has unchecked fields */
    packed[at] ^= 0x20;
    th_array *a = load(packed, n);
    cr_assert(zero(ptr, a), "a flipped bit in byte %zu was accepted", at);
    cr_assert(eq(int, th_last_status(), TH_EIO));
    packed[at] ^= 0x20;
  }
}

Test(idx, survives_random_bytes) {
  uint64_t state = 3;
  for (int round = 0; round < 2000; round++) {
    unsigned char bytes[40] = {0, 0, 8, (unsigned char)(round % 4)};
    state = state * UINT64_C(6364136223846793005) + 1442695040888963407;
    size_t n = 4 + (size_t)((state >> 33) % 36);
    for (size_t i = 4; i < n; i++) {
      state = state * UINT64_C(6364136223846793005) + 1442695040888963407;
      bytes[i] = (state >> 60) < 12 ? 0 : (unsigned char)(state >> 40);
    }
    th_array *a = load(bytes, n);
    cr_assert(a != NULL || th_last_status() == TH_EIO, "round %d: %s", round, th_last_error());
    th_release(a);
  }
}

Test(idx, missing_files) {
  cr_assert(zero(ptr, th_load_idx("/nonexistent/file.gz")));
  cr_assert(eq(int, th_last_status(), TH_EIO));
  cr_assert(strstr(th_last_error(), "/nonexistent/file.gz") != NULL, "%s", th_last_error());
  cr_assert(zero(ptr, th_load_idx("/tmp")));
  cr_assert(eq(int, th_last_status(), TH_EIO), "a folder: %s", th_last_error());
  cr_assert(zero(ptr, th_load_idx(NULL)));
}

Test(idx, reads_mnist) {
  char path[512];
  if (real_file(path, "mnist/t10k-images-idx3-ubyte.gz") == NULL) {
    cr_skip("TH_TEST_DATA names no data sets");
  }
  th_array *images = th_load_idx(path);
  cr_assert(ne(ptr, images, NULL), "%s", th_last_error());
  cr_assert(eq(int, th_array_ndim(images), 3));
  cr_assert(eq(i64, th_array_shape(images)[0], 10000));
  cr_assert(eq(i64, th_array_shape(images)[2], 28));
  real_file(path, "mnist/t10k-labels-idx1-ubyte.gz");
  th_array *labels = th_load_idx(path), *first = th_slice(labels, ":6");
  cr_assert(eq(dbl, distance_to(first, 7, 2, 1, 0, 4, 1), 0));
  th_release(images);
  th_release(labels);
  th_release(first);
}
