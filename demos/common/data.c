/* Owns the three sources of digits: th_digits(), UCI optdigits (CSV) and the MNIST test set (IDX). */
#include "common/data.h"

#include <unistd.h>

#include "common/demo.h"

/* Rows first <= i < last of both arrays, images scaled to 0..1, as arrays of their own. */
static void take_rows(th_array *images, th_array *labels, double scale, int64_t first, int64_t last,
                      th_array **out_images, th_array **out_labels) {
  char rows[64];
  snprintf(rows, sizeof rows, "%lld:%lld", (long long)first, (long long)last);
  th_scope scope = th_scope_begin();
  th_array *part = th_astype(th_slice(images, rows), TH_F32);
  *out_images = th_keep(DEMO_MAKE(th_multiply_scalar(part, 1 / scale)));
  *out_labels = th_keep(DEMO_MAKE(th_astype(th_slice(labels, rows), TH_I64)));
  th_scope_end(scope);
}

static data_set open_drawn(int size, uint64_t seed) {
  enum { TRAIN = 5000, TEST = 1000 };
  data_set set = {.name = "drawn digits", .gate = 0.95};
  th_array *images = NULL, *labels = NULL;
  double scale = size == 8 ? 16 : 255;
  DEMO_TRY(th_digits(TRAIN + TEST, size, seed, &images, &labels));
  take_rows(images, labels, scale, 0, TRAIN, &set.train_images, &set.train_labels);
  take_rows(images, labels, scale, TRAIN, TRAIN + TEST, &set.test_images, &set.test_labels);
  th_release(images);
  th_release(labels);
  return set;
}

static const char *join(char *buffer, size_t bytes, const char *directory, const char *file) {
  snprintf(buffer, bytes, "%s/%s", directory, file);
  return buffer;
}

/* One row per image: 64 values 0..16, then the label. */
static data_set open_optdigits(const char *directory) {
  data_set set = {.name = "UCI optdigits", .gate = 0.945};
  char path[4096];
  th_scope scope = th_scope_begin();
  th_array *tra =
      DEMO_MAKE(th_load_csv(join(path, sizeof path, directory, "optdigits.tra"), TH_F32));
  th_array *hol =
      DEMO_MAKE(th_load_csv(join(path, sizeof path, directory, "optdigits.hol"), TH_F32));
  th_array *tes =
      DEMO_MAKE(th_load_csv(join(path, sizeof path, directory, "optdigits.tes"), TH_F32));
  th_array *train = DEMO_MAKE(th_concat(TH_ARRAYS(tra, hol), 0));
  take_rows(DEMO_MAKE(th_slice(train, ":, 0:64")), DEMO_MAKE(th_slice(train, ":, 64")), 16, 0,
            th_array_shape(train)[0], &set.train_images, &set.train_labels);
  take_rows(DEMO_MAKE(th_slice(tes, ":, 0:64")), DEMO_MAKE(th_slice(tes, ":, 64")), 16, 0,
            th_array_shape(tes)[0], &set.test_images, &set.test_labels);
  th_scope_end(scope);
  return set;
}

/* The 10,000 images of MNIST's test set: train on the first 8,000, test on the last 2,000. */
static data_set open_mnist(const char *directory) {
  enum { TRAIN = 8000, ALL = 10000 };
  data_set set = {.name = "MNIST test set", .gate = 0.94};
  char path[4096];
  join(path, sizeof path, directory, "t10k-images-idx3-ubyte.gz");
  th_array *images = DEMO_MAKE(th_load_idx(path));
  join(path, sizeof path, directory, "t10k-labels-idx1-ubyte.gz");
  th_array *labels = DEMO_MAKE(th_load_idx(path));
  if (th_array_ndim(images) != 3 || th_array_shape(images)[0] != ALL) {
    demo_die("%s: expected %d images", path, ALL);
  }
  th_array *rows = DEMO_MAKE(th_reshape(images, TH_SHAPE(ALL, -1)));
  take_rows(rows, labels, 255, 0, TRAIN, &set.train_images, &set.train_labels);
  take_rows(rows, labels, 255, TRAIN, ALL, &set.test_images, &set.test_labels);
  th_release(rows);
  th_release(images);
  th_release(labels);
  return set;
}

static data_set open_host(const char *directory, int size, uint64_t seed) {
  char path[4096];
  if (!directory) return open_drawn(size, seed);
  if (access(join(path, sizeof path, directory, "optdigits.tra"), F_OK) == 0) {
    return open_optdigits(directory);
  }
  if (access(join(path, sizeof path, directory, "t10k-images-idx3-ubyte.gz"), F_OK) == 0) {
    return open_mnist(directory);
  }
  demo_die("--data: no optdigits.tra and no t10k-images-idx3-ubyte.gz in '%s'", directory);
}

static void move(th_array **a, th_device device) {
  if (th_device_equal(device, th_cpu(0))) return;
  th_array *there = DEMO_MAKE(th_copy_to(*a, device));
  th_release(*a);
  *a = there;
}

data_set data_open(const char *directory, int size, uint64_t seed, th_device device) {
  data_set set = open_host(directory, size, seed);
  move(&set.train_images, device);
  move(&set.train_labels, device);
  move(&set.test_images, device);
  move(&set.test_labels, device);
  return set;
}

void data_close(data_set *set) {
  th_release(set->train_images);
  th_release(set->train_labels);
  th_release(set->test_images);
  th_release(set->test_labels);
}
