/**
 * @file data.h
 * Data sets: made, read from files, split, loaded in batches by engine tasks.
 */
#ifndef THRUM_DATA_H
#define THRUM_DATA_H

#include <thrum/array.h>
#include <thrum/nn.h>

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

/** The bytes of a file as (n) u8 on cpu:0: the file's memory, of which pages are read when they are used; writes stay private. The
 *  file must not be cut meanwhile. +1 or NULL: TH_EIO. */
TH_API th_array *th_load_text(const char *path);
/** Numbers the different bytes of text (u8, 1-d) from 0 in rising order: their numbers, (n) of integer type t on cpu:0, +1.
 *  vocabulary[i] is the byte with number i, *n_vocabulary (up to 256) how many there are. NULL: TH_EOVERFLOW when t is i8 and there are
 *  more than 128, TH_EDTYPE, TH_ESHAPE, TH_ENODATA, TH_EINVAL. Blocks. */
TH_API th_array *th_text_ids(const th_array *text, th_dtype t, uint8_t vocabulary[256],
                             int *n_vocabulary);
/** Windows of a 1-d array as rows, a view of shape (1 + (n - length) / step, length) with a[i step + j] at [i, j]; n < length: no rows.
 *  Rows may overlap, so it is not to be written. Without history: no gradient goes through. +1 or NULL: TH_ESHAPE, TH_EINVAL. */
TH_API th_array *th_windows(th_array *a, int64_t length, int64_t step);

/** Changes a batch: batch has n columns (+1 each), of which it may replace any by a new array, releasing the old. It should only
 *  submit, so that the work runs as tasks beside the training. g belongs to this batch, seeded by seed, epoch and number of the batch:
 *  what is drawn from it depends neither on prefetching nor on where a run began. Called on the thread of th_loader_next() with
 *  no scope open. A failure is what th_loader_next() returns, and the batch comes again. */
typedef th_status (*th_transform_fn)(th_array **batch, int n, th_generator *g, void *user);

/** Settings of a loader; zero means default. */
typedef struct th_loader_options {
  int64_t batch;  /**< Rows per batch; default 32. */
  bool shuffle;   /**< A new permutation per epoch, from seed and epoch number. */
  bool drop_last; /**< Leave out an incomplete last batch. */
  int prefetch; /**< Batches submitted ahead; default 2; TH_NO_PREFETCH = none. Never changes the batches. */
  uint64_t seed;             /**< For shuffle and transform. */
  bool repeat;               /**< Epoch follows epoch: th_loader_next() never returns 0. */
  th_transform_fn transform; /**< Called for every batch that is submitted; NULL: none. */
  void *transform_user;      /**< Passed to transform. */
} th_loader_options;
#define TH_NO_PREFETCH (-1) /**< For th_loader_options.prefetch. */

typedef struct th_loader th_loader; /**< Walks a data set in batches; one thread at a time. */
/** columns: n arrays (1..8) with equal first dimension and one device; retained. +1 or NULL: TH_EINVAL (no or too many columns, a batch
 *  below 0, more than 1,024 batches ahead, repeat without a batch), TH_ESHAPE, TH_EDEVICE. */
TH_API th_loader *th_loader_new(th_array *const *columns, int n, const th_loader_options *options);
/** Gives the next batch, one array (+1) per column, gathered by engine tasks. Returns the number of rows; 0 at the end of
 *  an epoch (batch untouched; the next call starts the next epoch); a th_status < 0 on error. Does not wait for the data. */
TH_API int64_t th_loader_next(th_loader *l, th_array **batch);
TH_API int64_t th_loader_batches(const th_loader *l); /**< Batches per epoch. */
/** Where l stands: epoch and number of the batch that th_loader_next() gives next, both from 0; at the end of an epoch the number of
 *  batches. Either pointer may be NULL. TH_EINVAL for NULL. */
TH_API th_status th_loader_state(const th_loader *l, int64_t *epoch, int64_t *batch);
/** Goes there: a loader over the same data with the same options (prefetch apart) gives the same batches from there on.
 *  TH_EINVAL: negative, or beyond the batches of an epoch. */
TH_API th_status th_loader_seek(th_loader *l, int64_t epoch, int64_t batch);
TH_API void th_loader_release(th_loader *l); /**< NULL is fine. */

#ifdef __cplusplus
}
#endif
#endif
