/* Owns the losses that are composed of other operators, and so run on every device and have gradients of any order. All are
 * means over all elements, or rows. */
#include "ops/nn/loss.h"

#include "engine/base/error.h"
#include "ops/compose.h"
#include "ops/op.h"

static th_array *mean_of(const th_array *a) { return th_mean(a, NULL, 0, false); }

th_array *th_mse_loss(const th_array *a, const th_array *b) {
  th__composing c = th__compose();
  return th__composed(c, mean_of(th_square(th_subtract(a, b))));
}

th_array *th_l1_loss(const th_array *a, const th_array *b) {
  th__composing c = th__compose();
  return th__composed(c, mean_of(th_abs(th_subtract(a, b))));
}

/* With m = min(|d|, delta): m |d| - m^2 / 2. */
th_array *th_huber_loss(const th_array *a, const th_array *b, double delta) {
  if (!(delta > 0)) return th__fail_null(TH_EINVAL, "huber_loss: delta %g must be positive", delta);
  th__composing c = th__compose();
  th_array *d = th_abs(th_subtract(a, b)), *m = th_clip(d, 0, delta);
  th_array *half = th_multiply_scalar(th_square(m), 0.5);
  return th__composed(c, mean_of(th_subtract(th_multiply(m, d), half)));
}

/* -(y log s + (1 - y) log(1 - s)) with s = 1 / (1 + e^-x) and m = max(x, 0) is m - x y + log(1 + e^-|x|): for y = 0 and 1 nothing
 * cancels. -|x| as x - 2 m has the slope -1 at 0, where m has 1, so derivatives of any order are right there, too. */
th_array *th_bce_with_logits(const th_array *logits, const th_array *targets) {
  th__composing c = th__compose();
  th_array *m = th_maximum_scalar(logits, 0);
  th_array *log_term = th_softplus(th_subtract(logits, th_multiply_scalar(m, 2)));
  th_array *linear = th_subtract(m, th_multiply(logits, targets));
  return th__composed(c, mean_of(th_add(linear, log_term)));
}

static th_status want_rows(const char *who, const th_array *rows, const th_array *labels,
                           int label_dims) {
  const th_layout *x = &rows->layout, *y = &labels->layout;
  char a[TH__SHAPE_TEXT], b[TH__SHAPE_TEXT];
  if (x->ndim == 2 && y->ndim == label_dims && y->shape[0] == x->shape[0] &&
      (label_dims == 1 || y->shape[1] == x->shape[1]))
    return TH_OK;
  return th__fail(TH_ESHAPE, "%s: %s and labels %s; (n, classes) and %s are wanted", who,
                  th__shape_text(x->shape, x->ndim, a, sizeof a),
                  th__shape_text(y->shape, y->ndim, b, sizeof b),
                  label_dims == 1 ? "(n)" : "the same");
}

/* -(mean of the sums of rows). Their mean, not their sum, is what is rounded to the element type. */
static th_array *loss_of_rows(const th_array *a) {
  int row = 1;
  return th_negative(mean_of(th_sum(a, &row, 1, false)));
}

/* Elements that are not picked are replaced, not multiplied by 0: they may be -inf. */
th_array *th_nll_loss(const th_array *log_probs, const th_array *labels) {
  if (log_probs == NULL || labels == NULL) {
    (void)th__null_input("nll_loss", log_probs == NULL ? 0 : 1);
    return NULL;
  }
  const th_layout *x = &log_probs->layout;
  if (want_rows("nll_loss", log_probs, labels, 1) != TH_OK) return NULL;
  th__composing c = th__compose();
  th_array *picked = th_one_hot(labels, x->shape[1], TH_BOOL);
  th_array *none = th_zeros(NULL, 0, x->dtype, log_probs->device);
  return th__composed(c, loss_of_rows(th_where(picked, log_probs, none)));
}

th_array *th__cross_entropy_soft(const th_array *logits, const th_array *labels) {
  if (want_rows("cross_entropy", logits, labels, 2) != TH_OK) return NULL;
  th__composing c = th__compose();
  return th__composed(c, loss_of_rows(th_multiply(labels, th_log_softmax(logits, 1))));
}
