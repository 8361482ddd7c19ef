/* Owns operators that make arrays out of nothing: empty, full, arange, linspace, eye. */
#include "ops/loops/loop.h"

#include <math.h>

#include "engine/base/error.h"
#include "ops/params.h"

static th_status infer_create(th_infer *io, const void *params) {
  const th__create_params *p = params;
  return th__layout_make(&io->out[0], p->shape, p->ndim, p->dtype, io->op->name);
}

static th_array *create(th_device d, const th_op *op, const th__create_params *p) {
  th_array *out;
  return th__invoke_on(d, op, p, NULL, 0, &out, 1) == TH_OK ? out : NULL;
}

/* Shape and type for the operators; what infer would refuse reaches it cut to a legal number of dimensions. */
static th_status set_shape(th__create_params *p, const int64_t *shape, int ndim, th_dtype t,
                           const char *who) {
  th_layout checked;
  TH_TRY(th__layout_make(&checked, shape, ndim, t, who));
  p->dtype = t;
  p->ndim = ndim;
  for (int d = 0; d < ndim; d++) p->shape[d] = shape[d];
  return TH_OK;
}

/* --- empty --- */

/* The task only takes the memory. */
static th_status empty_cpu(const th_kernel_args *k) { return TH_OK; }

static const th_op empty_op = {.name = "empty",
                               .in = {0},
                               .out = {1},
                               .flags = TH_OP_NONBLOCKING | TH_OP_FLAT,
                               .params_size = sizeof(th__create_params),
                               .infer = infer_create,
                               .cpu = empty_cpu};

th_array *th_empty(const int64_t *shape, int ndim, th_dtype t, th_device d) {
  th__create_params p = {0};
  return set_shape(&p, shape, ndim, t, "empty") == TH_OK ? create(d, &empty_op, &p) : NULL;
}

th_array *th_empty_like(const th_array *a) {
  if (!a) return (void)th__null_input("empty_like", 0), NULL;
  return th_empty(a->layout.shape, a->layout.ndim, a->layout.dtype, a->device);
}

/* --- full --- */

typedef struct fill_job {
  char *data;
  size_t size;
  const char *cell;
} fill_job;

static void fill_block(int64_t first, int64_t last, void *arg) {
  const fill_job *job = arg;
  char *to = job->data + (size_t)first * job->size;
  size_t bytes = (size_t)(last - first) * job->size, done = job->size;
  bool uniform = true;
  for (size_t i = 1; i < job->size; i++) uniform = uniform && job->cell[i] == job->cell[0];
  if (uniform) {
    memset(to, job->cell[0], bytes);
    return;
  }
  memcpy(to, job->cell, job->size);
  for (; done < bytes; done += done)
    memcpy(to + done, to, done < bytes - done ? done : bytes - done);
}

static th_status full_cpu(const th_kernel_args *k) {
  char cell[8];
  fill_job job = {k->out_data[0], th_dtype_size(k->out[0].dtype), cell};
  th__dtype_set(k->out[0].dtype, cell, ((const th__create_params *)k->params)->value);
  int64_t n = th__layout_size(&k->out[0]);
  if (n > TH__LOOP_GRAIN)
    th_parallel_for(k->context, n, TH__LOOP_GRAIN, fill_block, &job);
  else if (n > 0)
    fill_block(0, n, &job);
  return TH_OK;
}

static const th_op full_op = {.name = "full",
                              .in = {0},
                              .out = {1},
                              .flags = TH_OP_NONBLOCKING | TH_OP_FLAT,
                              .params_size = sizeof(th__create_params),
                              .infer = infer_create,
                              .cpu = full_cpu};

static th_array *full(const int64_t *shape, int ndim, double value, th_dtype t, th_device d,
                      const char *who) {
  th__create_params p = {.value = value};
  return set_shape(&p, shape, ndim, t, who) == TH_OK ? create(d, &full_op, &p) : NULL;
}

th_array *th_full(const int64_t *shape, int ndim, double value, th_dtype t, th_device d) {
  return full(shape, ndim, value, t, d, "full");
}

th_array *th_zeros(const int64_t *shape, int ndim, th_dtype t, th_device d) {
  return full(shape, ndim, 0, t, d, "zeros");
}

th_array *th_ones(const int64_t *shape, int ndim, th_dtype t, th_device d) {
  return full(shape, ndim, 1, t, d, "ones");
}

static th_array *full_like(const th_array *a, double value, const char *who) {
  if (!a) return (void)th__null_input(who, 0), NULL;
  return full(a->layout.shape, a->layout.ndim, value, a->layout.dtype, a->device, who);
}

th_array *th_zeros_like(const th_array *a) { return full_like(a, 0, "zeros_like"); }
th_array *th_ones_like(const th_array *a) { return full_like(a, 1, "ones_like"); }

/* --- arange, linspace --- */

typedef struct ramp_job {
  const th_kernel_args *k;
  const th__create_params *p;
  int64_t n;
  bool ends; /* the last element is p->last */
} ramp_job;

static void ramp_block(int64_t first, int64_t last, void *arg) {
  const ramp_job *job = arg;
  th_dtype t = job->k->out[0].dtype;
  size_t size = th_dtype_size(t);
  char *to = job->k->out_data[0];
  for (int64_t i = first; i < last; i++) {
    double value =
        job->ends && i == job->n - 1 ? job->p->last : job->p->value + (double)i * job->p->step;
    th__dtype_set(t, to + (size_t)i * size, value);
  }
}

static th_status ramp(const th_kernel_args *k, bool ends) {
  const th__create_params *p = k->params;
  ramp_job job = {.k = k, .p = p, .n = th__layout_size(&k->out[0]), .ends = ends};
  if (job.n > TH__LOOP_GRAIN)
    th_parallel_for(k->context, job.n, TH__LOOP_GRAIN, ramp_block, &job);
  else
    ramp_block(0, job.n, &job);
  return TH_OK;
}

static th_status arange_cpu(const th_kernel_args *k) { return ramp(k, false); }
static th_status linspace_cpu(const th_kernel_args *k) { return ramp(k, true); }

static const th_op arange_op = {.name = "arange",
                                .in = {0},
                                .out = {1},
                                .flags = TH_OP_NONBLOCKING | TH_OP_FLAT,
                                .params_size = sizeof(th__create_params),
                                .infer = infer_create,
                                .cpu = arange_cpu};

th_array *th_arange(double start, double stop, double step, th_dtype t, th_device d) {
  if (!isfinite(start) || !isfinite(stop) || !isfinite(step) || step == 0)
    return th__fail_null(TH_EINVAL, "arange: from %g to %g in steps of %g is no range", start, stop,
                         step);
  double n = ceil((stop - start) / step);
  if (!(n < 9e18))
    return th__fail_null(TH_EOVERFLOW, "arange: from %g to %g in steps of %g has too many elements",
                         start, stop, step);
  th__create_params p = {.value = start, .step = step};
  int64_t size = n > 0 ? (int64_t)n : 0;
  return set_shape(&p, &size, 1, t, "arange") == TH_OK ? create(d, &arange_op, &p) : NULL;
}

static const th_op linspace_op = {.name = "linspace",
                                  .in = {0},
                                  .out = {1},
                                  .flags = TH_OP_NONBLOCKING | TH_OP_FLAT,
                                  .params_size = sizeof(th__create_params),
                                  .infer = infer_create,
                                  .cpu = linspace_cpu};

th_array *th_linspace(double start, double stop, int64_t n, th_dtype t, th_device d) {
  th__create_params p = {.value = start, .last = n == 1 ? start : stop};
  if (n > 1) p.step = (stop - start) / (double)(n - 1);
  return set_shape(&p, &n, 1, t, "linspace") == TH_OK ? create(d, &linspace_op, &p) : NULL;
}

/* --- eye --- */

static th_status eye_cpu(const th_kernel_args *k) {
  const th__create_params *p = k->params;
  int64_t rows = p->shape[0], columns = p->shape[1], diagonal = (int64_t)p->value;
  size_t size = th_dtype_size(p->dtype);
  char *to = k->out_data[0];
  memset(to, 0, (size_t)th__layout_bytes(&k->out[0]));
  for (int64_t i = 0; i < rows; i++)
    if (i + diagonal >= 0 && i + diagonal < columns)
      th__dtype_set(p->dtype, to + (size_t)(i * columns + i + diagonal) * size, 1);
  return TH_OK;
}

static const th_op eye_op = {.name = "eye",
                             .in = {0},
                             .out = {1},
                             .flags = TH_OP_NONBLOCKING | TH_OP_FLAT,
                             .params_size = sizeof(th__create_params),
                             .infer = infer_create,
                             .cpu = eye_cpu};

th_array *th_eye(int64_t rows, int64_t columns, int diagonal, th_dtype t, th_device d) {
  th__create_params p = {.value = diagonal};
  const int64_t shape[] = {rows, columns};
  return set_shape(&p, shape, 2, t, "eye") == TH_OK ? create(d, &eye_op, &p) : NULL;
}

const th_op *const th__family_create[] = {&empty_op,    &full_op, &arange_op,
                                          &linspace_op, &eye_op,  NULL};
