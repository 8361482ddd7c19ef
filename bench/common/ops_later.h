/* Functions that the benchmark measures once the library has them. Declared as they stand (or will stand) in the headers, but
 * weak: NULL where they are missing. */
#ifndef THRUM_BENCH_COMMON_OPS_LATER_H
#define THRUM_BENCH_COMMON_OPS_LATER_H

#include <thrum/thrum.h>

#define LATER __attribute__((weak))

LATER th_array *th_sort(const th_array *a, int axis, bool descending);
LATER th_array *th_argsort(const th_array *a, int axis, bool descending);
LATER th_status th_topk(const th_array *a, int64_t k, int axis, bool largest, th_array **values,
                        th_array **indices);
LATER th_array *th_cumulative_sum(const th_array *a, int axis, bool include_initial);
LATER th_array *th_layer_norm(const th_array *a, int n_dims, const th_array *weight,
                              const th_array *bias, double eps);
struct th_conv_config;
struct th_pool_config;
LATER th_array *th_conv2d(const th_array *x, const th_array *weight, const th_array *bias,
                          const struct th_conv_config *config);
LATER th_array *th_max_pool2d(const th_array *x, const struct th_pool_config *config);

#endif
