/**
 * @file custom.h
 * Operators made of your own functions. ops.h includes this file.
 */
#ifndef THRUM_CUSTOM_H
#define THRUM_CUSTOM_H

#include <thrum/array.h>

#ifdef __cplusplus
extern "C" {
#endif

/* With user functions, on the CPU; computed in double. fn may be called from several threads at once. */
typedef double (*th_map_fn)(double x, void *user);                    /**< y = f(x). */
typedef double (*th_zip_fn)(double x, double y, void *user);          /**< z = f(x, y). */
TH_API th_array *th_map(const th_array *a, th_map_fn fn, void *user); /**< Same shape and type. */
TH_API th_array *th_zip(const th_array *a, const th_array *b, th_zip_fn fn,
                        void *user); /**< Broadcast, promoted. */
/** Folds along axis in index order: r = fn(r, x), from start. */
TH_API th_array *th_reduce(const th_array *a, int axis, th_zip_fn fn, double start, bool keepdims,
                           void *user);

/* Operators of your own. */
/** One operand of a custom operator while it runs; strides in elements. */
typedef struct th_op_operand {
  void *data;             /**< Element [0,...,0]. */
  th_dtype dtype;         /**< Element type. */
  int ndim;               /**< Dimensions. */
  const int64_t *shape;   /**< Sizes. */
  const int64_t *strides; /**< Steps in elements. */
} th_op_operand;
/** Shape and type of one operand while inferring. */
typedef struct th_op_shape {
  th_dtype dtype;             /**< Element type. */
  int ndim;                   /**< Dimensions. */
  int64_t shape[TH_MAX_DIMS]; /**< Sizes. */
} th_op_shape;
/** A custom operator. Copied by th_op_register(); the functions must stay loaded. */
typedef struct th_op_definition {
  size_t size;        /**< sizeof(th_op_definition). */
  const char *name;   /**< Unique; letters, digits, '_'. */
  int n_inputs;       /**< 0..8. */
  int n_outputs;      /**< 1..8. */
  size_t params_size; /**< Bytes copied with each call, at most 256. */
  /** Sets outputs from inputs; a negative status refuses the call (say why with th_op_refuse()). */
  th_status (*infer)(const th_op_shape *inputs, th_op_shape *outputs, const void *params);
  /** Computes outputs (contiguous) from inputs (any strides) on the CPU. */
  th_status (*cpu)(const th_op_operand *inputs, const th_op_operand *outputs, const void *params,
                   th_task_context *context);
  /** Gradient by public operators: gradients[i] gets d inputs[i] (+1) or NULL. NULL function = none. */
  th_status (*vjp)(th_array *const *inputs, th_array *const *outputs,
                   th_array *const *output_gradients, const void *params, th_array **gradients);
} th_op_definition;
TH_API th_status th_op_register(
    const th_op_definition
        *definition); /**< TH_EBUSY: the name exists; TH_EINVAL; TH_ENOMEM beyond 256. */
TH_API th_status th_op_refuse(th_status status, const char *format, ...)
    TH_PRINTF(2, 3); /**< Sets the message inside infer. */
/** Calls a custom operator: outputs[i] get +1 each. On a device other than the CPU: runs on the CPU with copies, or
 *  TH_ENOSYS under TH_STRICT_DEVICE=1. */
TH_API th_status th_op_call(const char *name, th_array *const *inputs, int n_inputs,
                            const void *params, th_array **outputs, int n_outputs);

#ifdef __cplusplus
}
#endif
#endif
