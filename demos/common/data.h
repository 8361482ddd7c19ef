/* The demos' digit data sets: drawn ones, or real files. */
#ifndef THRUM_DEMOS_COMMON_DATA_H
#define THRUM_DEMOS_COMMON_DATA_H

#include <thrum/thrum.h>

typedef struct data_set {
  const char *name;
  double gate;            /* test accuracy that a trained network must reach */
  th_array *train_images; /* (n, pixels) f32, 0..1 */
  th_array *train_labels; /* (n) i64 */
  th_array *test_images;
  th_array *test_labels;
} data_set;

/* directory NULL: draws size x size digits. Else UCI optdigits or the MNIST test set, by the files found there.
 * Its arrays are on device. Exits with a message when that fails. */
data_set data_open(const char *directory, int size, uint64_t seed, th_device device);
void data_close(data_set *set);

#endif
