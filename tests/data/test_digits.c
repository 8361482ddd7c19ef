/* Digits: ranges, balance, the same bits from the same seed, and that a simple rule learns a good part of them. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <string.h>

#include "support/arrays.h"

TestSuite(digits, .timeout = 60, .fini = stop_engine);

Test(digits, shapes_ranges_and_balance) {
  static const int sizes[] = {8, 28};
  for (int s = 0; s < 2; s++) {
    enum { N = 2000 };
    int pixels = sizes[s] * sizes[s];
    th_array *images = NULL, *labels = NULL;
    cr_assert(eq(int, th_digits(N, sizes[s], 1, &images, &labels), TH_OK), "%s", th_last_error());
    cr_assert(eq(int, th_array_dtype(images), TH_F32));
    cr_assert(eq(int, th_array_dtype(labels), TH_I64));
    cr_assert(eq(i64, th_array_shape(images)[0], N));
    cr_assert(eq(i64, th_array_shape(images)[1], pixels));
    float *x = malloc((size_t)N * (size_t)pixels * sizeof(float)), top = 0;
    int64_t label[N];
    int count[10] = {0};
    cr_assert(eq(int, th_read(images, x, (size_t)N * (size_t)pixels * sizeof(float)), TH_OK));
    cr_assert(eq(int, th_read(labels, label, sizeof(label)), TH_OK));
    for (int i = 0; i < N * pixels; i++) {
      cr_assert(x[i] >= 0 && x[i] == floorf(x[i]), "pixel %d is %g", i, (double)x[i]);
      if (x[i] > top) top = x[i];
    }
    cr_assert(eq(flt, top, sizes[s] == 8 ? 16.0f : 255.0f));
    for (int i = 0; i < N; i++) count[label[i]]++;
    for (int d = 0; d < 10; d++) {
      cr_assert(count[d] > N / 10 - 60 && count[d] < N / 10 + 60, "%d times %d", count[d], d);
    }
    free(x);
    th_release(images);
    th_release(labels);
  }
}

static uint64_t fingerprint(int64_t n, int size, uint64_t seed) {
  th_array *images, *labels;
  if (th_digits(n, size, seed, &images, &labels) != TH_OK) return 0;
  size_t bytes = (size_t)(n * size * size) * sizeof(float);
  unsigned char *data = malloc(bytes);
  th_read(images, data, bytes);
  uint64_t hash = UINT64_C(14695981039346656037);
  for (size_t i = 0; i < bytes; i++) hash = (hash ^ data[i]) * UINT64_C(1099511628211);
  free(data);
  th_release(images);
  th_release(labels);
  return hash;
}

Test(digits, seed_decides_every_bit) {
  cr_assert(eq(u64, fingerprint(50, 8, 5), fingerprint(50, 8, 5)));
  cr_assert(ne(u64, fingerprint(50, 8, 5), fingerprint(50, 8, 6)));
  /* Fixed for good: a change here changes everybody's data. */
  cr_assert(eq(u64, fingerprint(100, 8, 0), UINT64_C(0x1A6AE01A23E94678)));
  cr_assert(eq(u64, fingerprint(100, 28, 0), UINT64_C(0x383ACC6E8675DA6B)));
}

Test(digits, image_depends_on_its_number_only) {
  th_array *few, *few_labels, *many, *many_labels;
  cr_assert(eq(int, th_digits(10, 8, 3, &few, &few_labels), TH_OK));
  cr_assert(eq(int, th_digits(20, 8, 3, &many, &many_labels), TH_OK));
  float a[640], b[1280];
  th_read(few, a, sizeof(a));
  th_read(many, b, sizeof(b));
  cr_assert(zero(memcmp(a, b, sizeof(a))));
  th_array *all[] = {few, few_labels, many, many_labels};
  for (int i = 0; i < 4; i++) th_release(all[i]);
}

/* Share of the test images whose nearest mean image is that of their digit. */
Test(digits, not_trivial_for_nearest_means) {
  enum { TRAIN = 2000, TEST = 1000, N = TRAIN + TEST };
  th_array *images, *labels;
  cr_assert(eq(int, th_digits(N, 8, 2, &images, &labels), TH_OK));
  float(*x)[64] = malloc(N * sizeof(*x));
  int64_t y[N];
  th_read(images, x, N * sizeof(*x));
  th_read(labels, y, sizeof(y));
  double mean[10][64] = {{0}}, count[10] = {0};
  for (int i = 0; i < TRAIN; i++) {
    count[y[i]]++;
    for (int k = 0; k < 64; k++) mean[y[i]][k] += (double)x[i][k];
  }
  int right = 0;
  for (int i = TRAIN; i < N; i++) {
    int best = -1;
    double nearest = INFINITY;
    for (int d = 0; d < 10; d++) {
      double sum = 0;
      for (int k = 0; k < 64; k++) {
        double e = (double)x[i][k] - mean[d][k] / count[d];
        sum += e * e;
      }
      if (sum < nearest) {
        nearest = sum;
        best = d;
      }
    }
    right += best == y[i];
  }
  cr_assert(right > TEST * 60 / 100 && right < TEST * 92 / 100, "nearest means: %d of %d", right,
            TEST);
  free(x);
  th_release(images);
  th_release(labels);
}

Test(digits, bad_arguments) {
  th_array *images = NULL, *labels = NULL;
  cr_assert(eq(int, th_digits(1, 9, 0, &images, &labels), TH_EINVAL));
  cr_assert(strstr(th_last_error(), "size 9") != NULL, "%s", th_last_error());
  cr_assert(eq(int, th_digits(-1, 8, 0, &images, &labels), TH_ESHAPE));
  cr_assert(eq(int, th_digits(INT64_MAX / 64, 8, 0, &images, &labels), TH_EOVERFLOW));
  cr_assert(eq(int, th_digits(1, 8, 0, NULL, &labels), TH_EINVAL));
  cr_assert(eq(int, th_digits(0, 8, 0, &images, &labels), TH_OK));
  cr_assert(eq(i64, th_array_size(images), 0));
  th_release(images);
  th_release(labels);
}
