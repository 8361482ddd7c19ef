/* Parameters of the operators of thrum/ops_arrays.h, which launchers of other device kinds read, too. */
#ifndef THRUM_OPS_PARAMS_ARRAYS_H
#define THRUM_OPS_PARAMS_ARRAYS_H

#include "ndarray/dtype.h"

typedef struct th__diagonal_params {
  int64_t offset;
} th__diagonal_params;

/* undiagonal only: the matrices' size. */
typedef struct th__undiagonal_params {
  int64_t offset, rows, columns;
} th__undiagonal_params;

typedef struct th__roll_params {
  int64_t shifts[TH_MAX_DIMS]; /* in [0, size) */
} th__roll_params;

typedef struct th__pad_params {
  int64_t before[TH_MAX_DIMS], after[TH_MAX_DIMS];
  double value;
} th__pad_params;

typedef struct th__along_params {
  int axis;
} th__along_params;

typedef struct th__along_slope_params {
  int axis;
  int64_t size; /* of the result along the axis */
} th__along_slope_params;

typedef struct th__masked_params {
  double value;
} th__masked_params;

typedef struct th__nonzero_params {
  int64_t count;
} th__nonzero_params;

typedef struct th__moment_params {
  uint32_t axes; /* bit per dimension; 0 = all */
  bool keep;
  double number; /* var, std: correction; vector_norm: ord */
} th__moment_params;

typedef struct th__scan_params {
  int axis; /* not negative */
  bool initial;
} th__scan_params;

typedef struct th__sort_params {
  int axis; /* not negative */
  bool descending;
} th__sort_params;

typedef struct th__topk_params {
  int axis; /* not negative */
  bool largest;
  int64_t k;
} th__topk_params;

typedef struct th__search_params {
  bool right;
} th__search_params;

#endif
