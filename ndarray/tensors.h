/* Owns the header of safetensors files: eight bytes of its length, little end first, then a JSON object of names with dtype, shape
 * and data_offsets, then the data (github.com/huggingface/safetensors, "Format"). Pure functions over text. */
#ifndef THRUM_NDARRAY_TENSORS_H
#define THRUM_NDARRAY_TENSORS_H

#include "ndarray/shape.h"

#define TH__TENSORS_MOST_HEADER 100000000 /* bytes; the limit of the reference implementation */

/* One array of a file. */
typedef struct th__tensor {
  const char *name; /* UTF-8 */
  th_layout layout; /* contiguous */
  int64_t begin;    /* of its bytes, from the end of the header */
} th__tensor;

/* What a header says. */
typedef struct th__tensors {
  th__tensor *items; /* in the header's order; owned */
  int n, room;
  const char **metadata; /* key, value, key, value, ...; owned */
  int n_metadata, metadata_room;
} th__tensors;

/* Reads a header of `bytes` bytes, which is changed: names and metadata lie in it from then on; text has one byte more. data_bytes is
 * what follows it in the file: the arrays must fill that without gaps or overlaps. NULL, or what is wrong ("" with TH_ENOMEM set);
 * *out is to be freed either way. */
const char *th__tensors_parse(char *text, size_t bytes, int64_t data_bytes, th__tensors *out);
void th__tensors_free(th__tensors *t);

/* Lays out the data of n arrays, those with large elements first so that all are aligned: fills items[i].begin and order[0..n) and
 * *data_bytes, which leaves room for a header in 2^63 - 1 bytes: TH_EOVERFLOW. */
th_status th__tensors_place(th__tensor *items, int n, int *order, int64_t *data_bytes,
                            const char *who);
/* The length and the header of n arrays, to be freed; *bytes of both. metadata: keys and values in turn, ended by NULL; may be NULL.
 * NULL: TH_ENOMEM, TH_EINVAL for text that is no UTF-8, a name given twice or "__metadata__". */
char *th__tensors_text(const th__tensor *items, const int *order, int n,
                       const char *const *metadata, const char *who, size_t *bytes);

/* Bytes of the UTF-8 character at `at`, of the left ones; 0 when there is none. */
size_t th__utf8_length(const char *at, size_t left);

#endif
