/* Parameters of operators that launchers of other device kinds read beside the family that owns them. */
#ifndef THRUM_OPS_PARAMS_H
#define THRUM_OPS_PARAMS_H

#include "ndarray/dtype.h"

#define TH__SPEC_BYTES 240

typedef struct th__create_params {
  th_dtype dtype;
  int ndim;
  int64_t shape[TH_MAX_DIMS];
  double value, step; /* full: value; arange, linspace: first and step; eye: value = the diagonal */
  double last;        /* linspace: the exact end */
} th__create_params;

typedef struct th__random_params {
  uint64_t seed, counter;
  double a, b; /* low, high or mean, sd */
  int64_t shape[TH_MAX_DIMS];
  int ndim;
  th_dtype dtype;
} th__random_params;

typedef struct th__astype_params {
  th_dtype dtype;
} th__astype_params;

typedef struct th__slice_params {
  char spec[TH__SPEC_BYTES];
} th__slice_params;

/* unslice only: the shape to put the slice into. */
typedef struct th__unslice_params {
  th__slice_params slice;
  int ndim;
  int64_t shape[TH_MAX_DIMS];
} th__unslice_params;

typedef struct th__clip_params {
  double lo, hi;
} th__clip_params;

typedef struct th__reduce_params {
  uint32_t axes; /* bit per dimension; 0 = all */
  bool keep;
} th__reduce_params;

typedef struct th__arg_params {
  int axis;
  bool keep;
} th__arg_params;

typedef struct th__softmax_params {
  int axis;
} th__softmax_params;

typedef struct th__take_params {
  int axis;
} th__take_params;

typedef struct th__take_slope_params {
  int axis, n_index_dims;
  int64_t size; /* of a along the axis */
} th__take_slope_params;

typedef struct th__one_hot_params {
  int64_t n;
  th_dtype dtype;
} th__one_hot_params;

typedef struct th__concat_params {
  int axis;
} th__concat_params;

/* Inputs: n parameters, n gradients, and with momentum n velocities. */
typedef struct th__sgd_params {
  double lr, momentum, weight_decay;
  int n;
  int controls; /* 1: a factor comes behind the groups, see ops/update.h */
  bool nesterov;
} th__sgd_params;

#endif
