/* Owns bringing operands of elementwise operators to one element type, and the gradients of the four rules of arithmetic. */
#include "ops/elementwise/elementwise.h"

#include "engine/base/error.h"

static th_status check_dtype(const th_op *op, th_dtype t) {
  return op->dtypes == 0 || th__dtype_in(t, op->dtypes)
             ? TH_OK
             : th__fail(TH_EDTYPE, "%s: element type %s is not accepted", op->name,
                        th_dtype_name(t));
}

static th_status check_pair(const th_op *op, const th_array *a, const th_array *b,
                            th_dtype common) {
  TH_TRY(th__check_devices(op->name, (const th_array *const[]){a, b}, 2));
  TH_TRY(check_dtype(op, common));
  th_layout shape;
  return th__broadcast_shapes(&a->layout, &b->layout, &shape, op->name);
}

th_array *th__call_as(const th_op *op, const th_array *a, const th_array *b, th_dtype common) {
  if (!a || !b || (a->layout.dtype == common && b->layout.dtype == common))
    return TH_CALL(op, NULL, a, b);
  if (check_pair(op, a, b, common) != TH_OK) return NULL;
  th_scope scope = th__scope_suspend();
  th_array *x = a->layout.dtype == common ? th_retain((th_array *)a) : th_astype(a, common);
  th_array *y = b->layout.dtype == common ? th_retain((th_array *)b) : th_astype(b, common);
  th_array *result = TH_CALL(op, NULL, x, y);
  th_release(x);
  th_release(y);
  return th__scope_resume(scope, result);
}

th_array *th__call_promoted(const th_op *op, const th_array *a, const th_array *b) {
  if (!a || !b || a->layout.dtype == b->layout.dtype) return TH_CALL(op, NULL, a, b);
  return th__call_as(op, a, b, th__dtype_promote(a->layout.dtype, b->layout.dtype));
}

th_status th__call_inplace(const th_op *op, th_array *a, const th_array *b) {
  const th_array *in[] = {a, b};
  if (!a || !b || a->layout.dtype == b->layout.dtype) return th__invoke(op, NULL, in, 2, NULL, 0);
  th_layout grown;
  TH_TRY(th__check_devices(op->name, in, 2));
  TH_TRY(check_dtype(op, a->layout.dtype));
  TH_TRY(th__layout_broadcast(&b->layout, a->layout.shape, a->layout.ndim, &grown, op->name));
  th_scope scope = th__scope_suspend();
  th_array *cast = th_astype(b, a->layout.dtype);
  in[1] = cast;
  th_status status = th__invoke(op, NULL, in, 2, NULL, 0);
  th_release(cast);
  (void)th__scope_resume(scope, NULL);
  return status;
}

th_status th__infer_written(th_infer *io, const void *params) { return TH_OK; }

th_status th__infer_bool(th_infer *io, const void *params) {
  TH_TRY(th__infer_broadcast(io, params));
  io->out[0].dtype = TH_BOOL;
  return TH_OK;
}

th_dtype th__divide_dtype(th_dtype t) {
  if (th__dtype_in(t, TH_FLOATS)) return t;
  return t == TH_I64 || t == TH_U64 ? TH_F64 : TH_F32;
}

th_array *th__sum_to_release(th_array *g, const th_layout *shape) {
  th_array *sum = th__sum_to(g, shape);
  th_release(g);
  return sum;
}

th_status th__vjp_add(const th_vjp *v) {
  for (int i = 0; i < 2; i++)
    if (v->needed[i]) v->result[i] = th__sum_to(v->gradients[0], &v->in[i]);
  return th__vjp_check(v);
}

th_status th__vjp_subtract(const th_vjp *v) {
  const th_array *g = v->gradients[0];
  if (v->needed[0]) v->result[0] = th__sum_to(g, &v->in[0]);
  if (v->needed[1]) {
    th_array *sum = th__sum_to(g, &v->in[1]);
    v->result[1] = th_negative(sum);
    th_release(sum);
  }
  return th__vjp_check(v);
}

th_status th__vjp_multiply(const th_vjp *v) {
  for (int i = 0; i < 2; i++)
    if (v->needed[i])
      v->result[i] = th__sum_to_release(th_multiply(v->gradients[0], v->inputs[1 - i]), &v->in[i]);
  return th__vjp_check(v);
}

/* y = a / b: g / b and -g y / b. */
th_status th__vjp_divide(const th_vjp *v) {
  th_array *quotient = th_divide(v->gradients[0], v->inputs[1]);
  if (v->needed[0]) v->result[0] = th__sum_to(quotient, &v->in[0]);
  if (v->needed[1]) {
    th_array *product = th_multiply(quotient, v->outputs[0]);
    th_array *sum = th__sum_to_release(product, &v->in[1]);
    v->result[1] = th_negative(sum);
    th_release(sum);
  }
  th_release(quotient);
  return th__vjp_check(v);
}
