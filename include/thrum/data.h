/**
 * @file data.h
 * Data sets: made, read from files, split, loaded in batches by engine tasks.
 */
#ifndef THRUM_DATA_H
#define THRUM_DATA_H

#include <thrum/array.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Draws n digit images, size x size (8 or 28), with labels: strokes with random shift, slant, thickness and noise.
 *  *images: (n, size * size) f32, values 0..16 for size 8 (as UCI optdigits) and 0..255 for 28 (as MNIST); *labels: (n) i64,
 *  0..9. On cpu:0. The same seed gives the same bits everywhere. Both +1. Blocks. */
TH_API th_status th_digits(int64_t n, int size, uint64_t seed, th_array **images,
                           th_array **labels);

/** Reads numbers separated by commas (or blanks), one row per line, all rows of one length: (rows, columns) of type t on
 *  cpu:0. Blank lines and a first line of names are skipped. +1 or NULL: TH_EIO with path, line and column. Blocks. */
TH_API th_array *th_load_csv(const char *path, th_dtype t);
/** Reads an IDX file (MNIST's format), plain or gzip: dtype and shape as stored, on cpu:0. +1 or NULL: TH_EIO. Blocks. */
TH_API th_array *th_load_idx(const char *path);

/** Cuts a random permutation of 0..n-1 into k parts of sizes floor(n * fractions[i]), the remainder going to the last;
 *  indices[i] get (size) i64 arrays on cpu:0, +1 each. fractions must be >= 0 and sum to at most 1. */
TH_API th_status th_split(int64_t n, const double *fractions, int k, uint64_t seed,
                          th_array **indices);

/** Settings of a loader; zero means default. */
typedef struct th_loader_options {
  int64_t batch;  /**< Rows per batch; default 32. */
  bool shuffle;   /**< A new permutation per epoch, from seed and epoch number. */
  bool drop_last; /**< Leave out an incomplete last batch. */
  int prefetch; /**< Batches submitted ahead; default 2; TH_NO_PREFETCH = none. Never changes the batches. */
  uint64_t seed; /**< For shuffle. */
} th_loader_options;
#define TH_NO_PREFETCH (-1) /**< For th_loader_options.prefetch. */

typedef struct th_loader th_loader; /**< Walks a data set in batches; one thread at a time. */
/** columns: n arrays (1..8) with equal first dimension and one device; retained. +1 or NULL. */
TH_API th_loader *th_loader_new(th_array *const *columns, int n, const th_loader_options *options);
/** Gives the next batch, one array (+1) per column, gathered by engine tasks. Returns the number of rows; 0 at the end of
 *  an epoch (batch untouched; the next call starts the next epoch); a th_status < 0 on error. Does not wait for the data. */
TH_API int64_t th_loader_next(th_loader *l, th_array **batch);
TH_API int64_t th_loader_batches(const th_loader *l); /**< Batches per epoch. */
TH_API void th_loader_release(th_loader *l);          /**< NULL is fine. */

#ifdef __cplusplus
}
#endif
#endif
