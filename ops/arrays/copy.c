/* Owns copies: to new storage, to another element type, to another device, into an existing array. */
#include "ops/arrays/copy.h"

#include "ops/call.h"
#include "ops/loops/loop.h"

#include "engine/base/error.h"
#include "ops/params.h"

/* --- copying in blocks of rows --- */

typedef struct copy_job {
  th_layout from, to;
  const char *from_data;
  char *to_data;
} copy_job;

/* Rows [first, last) of the outermost joined dimension. */
static void copy_rows(int64_t first, int64_t last, void *arg) {
  const copy_job *job = arg;
  th_layout from = job->from, to = job->to;
  from.shape[0] = to.shape[0] = last - first;
  th__copy_elements(&from,
                    job->from_data + first * from.strides[0] * (int64_t)th_dtype_size(from.dtype),
                    &to, job->to_data + first * to.strides[0] * (int64_t)th_dtype_size(to.dtype));
}

static void copy_elements(const th_layout *from, const void *from_data, const th_layout *to,
                          void *to_data, th_task_context *context) {
  th_layout both[2] = {*from, *to};
  int64_t size = th__layout_size(to);
  if (size == 0 || from_data == to_data) return; /* a = a: others that overlap were copied first */
  both[0].offset = both[1].offset = 0;
  int ndim = th__layouts_collapse(both, 2);
  copy_job job = {both[0], both[1], from_data, to_data};
  job.from.ndim = job.to.ndim = ndim;
  if (ndim == 0) {
    th__copy_elements(&job.from, from_data, &job.to, to_data);
    return;
  }
  int64_t rows = both[0].shape[0], row = size / rows, grain = TH__LOOP_GRAIN / row;
  if (size <= TH__LOOP_GRAIN)
    copy_rows(0, rows, &job);
  else
    th_parallel_for(context, rows, grain > 0 ? grain : 1, copy_rows, &job);
}

th_status th__host_move(th_task_context *context, const th_layout *to, void *to_data,
                        const th_layout *from, const void *from_data) {
  copy_elements(from, from_data, to, to_data, context);
  return TH_OK;
}

static th_status copy_cpu(const th_kernel_args *k) {
  copy_elements(&k->in[0], k->in_data[0], &k->out[0], k->out_data[0], k->context);
  return TH_OK;
}

/* --- copy --- */

static th_status vjp_copy(const th_vjp *v) {
  v->result[0] = th_retain(v->gradients[0]);
  return th__vjp_check(v);
}

static const th_op copy_op = {.name = "copy",
                              .in = {1},
                              .out = {1},
                              .flags = TH_OP_NONBLOCKING,
                              .dtypes = TH_ANY,
                              .infer = th__infer_same,
                              .vjp = vjp_copy,
                              .cpu = copy_cpu,
                              .test = {-3, 3, 0}};

th_array *th_copy(const th_array *a) { return TH_CALL(&copy_op, NULL, a); }

/* --- astype --- */

static th_status infer_astype(th_infer *io, const void *params) {
  th_dtype t = ((const th__astype_params *)params)->dtype;
  if (!th__dtype_valid((int)t)) return th__fail(TH_EDTYPE, "astype: %d is no element type", (int)t);
  TH_TRY(th__infer_same(io, params));
  io->out[0].dtype = t;
  return TH_OK;
}

/* Only floating types carry a gradient. */
static th_status vjp_astype(const th_vjp *v) {
  v->result[0] = th_astype(v->gradients[0], v->in[0].dtype);
  return th__vjp_check(v);
}

static const th_op astype_op = {.name = "astype",
                                .in = {1},
                                .out = {1},
                                .flags = TH_OP_NONBLOCKING,
                                .dtypes = TH_ANY,
                                .params_size = sizeof(th__astype_params),
                                .infer = infer_astype,
                                .vjp = vjp_astype,
                                .cpu = copy_cpu,
                                .test = {-3, 3, 1e-5}};

th_array *th_astype(const th_array *a, th_dtype t) {
  return TH_CALL(&astype_op, &(th__astype_params){t}, a);
}

/* --- copy_to --- */

typedef struct copy_to_params {
  th_device from;
} copy_to_params;

static th_status vjp_copy_to(const th_vjp *v) {
  v->result[0] = th_copy_to(v->gradients[0], ((const copy_to_params *)v->params)->from);
  return th__vjp_check(v);
}

static const th_op copy_to_op = {.name = "copy_to",
                                 .in = {1},
                                 .out = {1},
                                 .flags = TH_OP_TRANSFER,
                                 .dtypes = TH_ANY,
                                 .params_size = sizeof(copy_to_params),
                                 .infer = th__infer_same,
                                 .vjp = vjp_copy_to,
                                 .test = {-3, 3, 0}};

static th_array *transfer(const th_array *a, th_device d) {
  th_array *out;
  copy_to_params p = {a->device};
  return th__invoke_on(d, &copy_to_op, &p, &a, 1, &out, 1) == TH_OK ? out : NULL;
}

static bool has_data(th_device d) {
  const th__device_ops *ops = th__device_kind_ops(d.kind);
  return !ops || !(ops->caps & TH__CAP_NO_DATA);
}

static bool host_reaches(th_device d) {
  const th__device_ops *ops = th__device_kind_ops(d.kind);
  return !ops || (ops->caps & (TH__CAP_HOST_MEMORY | TH__CAP_NO_DATA));
}

/* Whether a copy without gaps can be made where a is, so that no transfer has to wait for the host to gather. */
static bool packs(const th_array *a) {
  return !th__layout_contiguous(&a->layout) &&
         (host_reaches(a->device) || th__kernel_get(&copy_op, a->device.kind));
}

/* Where the host does not reach one side: a is packed first, and goes through the host when neither reaches the other. */
static th_array *transfer_far(const th_array *a, th_device d) {
  bool pack = packs(a);
  th_array *packed = pack ? th_copy(a) : NULL, *host = NULL;
  if (pack && !packed) return NULL;
  const th_array *from = packed ? packed : a;
  bool straight = host_reaches(a->device) || host_reaches(d) ||
                  (th__layout_contiguous(&from->layout) && th__transfer_straight(a->device, d));
  if (!straight) from = host = transfer(from, th_cpu(0));
  th_array *result = from ? transfer(from, d) : NULL;
  th_release(packed);
  th_release(host);
  return result;
}

th_array *th_copy_to(const th_array *a, th_device d) {
  if (!a) return (void)th__null_input("copy_to", 0), NULL;
  if (th_device_equal(a->device, d)) return th_copy(a);
  if (th__engine_ensure() != TH_OK) return NULL;
  if (!has_data(a->device) && has_data(d))
    return th__fail_null(TH_ENODATA, "copy_to: argument 0 is on meta and has no data");
  if (host_reaches(a->device) && host_reaches(d)) return transfer(a, d);
  th_scope scope = th__scope_suspend();
  return th__scope_resume(scope, transfer_far(a, d));
}

/* --- assign --- */

static th_status infer_assign(th_infer *io, const void *params) {
  th_layout grown;
  return th__layout_broadcast(&io->in[1], io->in[0].shape, io->in[0].ndim, &grown, "assign");
}

static th_status assign_cpu(const th_kernel_args *k) {
  copy_elements(&k->in[1], k->in_data[1], &k->in[0], k->in_data[0], k->context);
  return TH_OK;
}

/* Nothing of the old value is left, so its gradient is zero. */
static th_status vjp_assign(const th_vjp *v) {
  if (!v->needed[1]) return TH_OK;
  th_array *sum = th__sum_to(v->gradients[0], &v->in[1]);
  if (v->in[0].dtype == v->in[1].dtype) {
    v->result[1] = sum;
  } else {
    v->result[1] = th_astype(sum, v->in[1].dtype);
    th_release(sum);
  }
  return v->result[1] ? TH_OK : th_last_status();
}

static const th_op assign_op = {.name = "assign",
                                .in = {2},
                                .writes = 1,
                                .flags = TH_OP_ELEMENTWISE | TH_OP_NONBLOCKING | TH_OP_OVERWRITES,
                                .dtypes = TH_ANY,
                                .infer = infer_assign,
                                .vjp = vjp_assign,
                                .cpu = assign_cpu,
                                .test = {-3, 3, 1e-5}};

static th_status assign(const th_array *a, const th_array *b) {
  return th__invoke(&assign_op, NULL, (const th_array *const[]){a, b}, 2, NULL, 0);
}

static th_status infer_move(th_infer *io, const void *params) { return TH_OK; }

static th_status vjp_move(const th_vjp *v) {
  if (!v->needed[1]) return TH_OK;
  v->result[1] = th_copy_to(v->gradients[0], ((const copy_to_params *)v->params)->from);
  return v->result[1] ? TH_OK : th_last_status();
}

/* Between a device and the host, of elements that lie alike without gaps: one copy, as it lies. */
static const th_op move_op = {.name = "assign",
                              .in = {2},
                              .writes = 1,
                              .flags = TH_OP_TRANSFER | TH_OP_OVERWRITES,
                              .dtypes = TH_ANY,
                              .params_size = sizeof(copy_to_params),
                              .infer = infer_move,
                              .vjp = vjp_move};

static bool moves(const th_array *a, const th_array *b) {
  return has_data(a->device) && has_data(b->device) &&
         host_reaches(a->device) != host_reaches(b->device) && a->layout.dtype == b->layout.dtype &&
         th__layout_same_shape(&a->layout, &b->layout) && th__layout_contiguous(&a->layout) &&
         th__layout_contiguous(&b->layout);
}

th_status th_assign(th_array *a, const th_array *b) {
  if (!a || !b || th_device_equal(a->device, b->device)) return assign(a, b);
  th_layout grown;
  TH_TRY(th__layout_broadcast(&b->layout, a->layout.shape, a->layout.ndim, &grown, "assign"));
  if (!has_data(b->device) && has_data(a->device))
    return th__fail(TH_ENODATA, "assign: argument 1 is on meta and has no data");
  copy_to_params p = {b->device};
  if (moves(a, b)) return th__invoke(&move_op, &p, (const th_array *const[]){a, b}, 2, NULL, 0);
  th_scope scope = th__scope_suspend();
  th_array *near = th_copy_to(b, a->device);
  th_status status = near ? assign(a, near) : th_last_status();
  th_release(near);
  (void)th__scope_resume(scope, NULL);
  return status;
}

/* --- fill --- */

#define FILL(bits)                                                                                 \
  static void fill_##bits(char *const *p, const int64_t *s, int64_t n, const void *user) {         \
    uint##bits##_t cell;                                                                           \
    memcpy(&cell, user, sizeof cell);                                                              \
    if (s[0] == sizeof cell)                                                                       \
      for (int64_t i = 0; i < n; i++) ((uint##bits##_t *)p[0])[i] = cell;                          \
    else                                                                                           \
      for (int64_t i = 0; i < n; i++) *(uint##bits##_t *)(p[0] + i * s[0]) = cell;                 \
  }
FILL(8)
FILL(16)
FILL(32)
FILL(64)

static th_status infer_fill(th_infer *io, const void *params) { return TH_OK; }

static th__inner filler(th_dtype t) {
  size_t size = th_dtype_size(t);
  return size == 1 ? fill_8 : size == 2 ? fill_16 : size == 4 ? fill_32 : fill_64;
}

static th_status fill_cpu(const th_kernel_args *k) {
  char cell[8];
  th__dtype_set(k->in[0].dtype, cell, *(const double *)k->params);
  return th__loop_kernel(k, filler(k->in[0].dtype), cell);
}

th_status th__host_fill(th_task_context *context, const th_layout *to, void *data, uint64_t cell) {
  th__loop loop = {.n = 1, .inner = filler(to->dtype), .user = &cell};
  loop.layout[0] = *to;
  loop.data[0] = data;
  th__loop_run(&loop, context);
  return TH_OK;
}

static const th_op fill_op = {.name = "fill",
                              .in = {1},
                              .writes = 1,
                              .flags = TH_OP_ELEMENTWISE | TH_OP_NONBLOCKING | TH_OP_OVERWRITES |
                                       TH_OP_FLAT,
                              .dtypes = TH_ANY,
                              .params_size = sizeof(double),
                              .infer = infer_fill,
                              .cpu = fill_cpu,
                              .test = {-3, 3, 0}};

th_status th_fill(th_array *a, double value) {
  return th__invoke(&fill_op, &value, (const th_array *const[]){a}, 1, NULL, 0);
}

const th_op *const th__family_copy[] = {&copy_op,   &astype_op, &copy_to_op,
                                        &assign_op, &fill_op,   NULL};
