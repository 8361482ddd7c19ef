/* SGD, Adam, AdamW and RMSprop against PyTorch's formulas in plain double loops; states, factors, resuming, refusals. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <string.h>

#include "support/arrays.h"

TestSuite(optim_kinds, .timeout = 60, .fini = stop_engine);

enum { N = 3, STEPS = 12 };

static const double start[N] = {1, -2, 0.5};

/* Settings of one trajectory; only those of its kind count. */
typedef struct course {
  const char *kind;
  double lr, decay, momentum, beta1, beta2, alpha, eps;
  bool nesterov;
} course;

static const course courses[] = {
    {.kind = "sgd", .lr = 0.1},
    {.kind = "sgd", .lr = 0.1, .decay = 0.01},
    {.kind = "sgd", .lr = 0.1, .momentum = 0.9, .decay = 0.01},
    {.kind = "sgd", .lr = 0.1, .momentum = 0.9, .decay = 0.01, .nesterov = true},
    {.kind = "adam", .lr = 0.05, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8},
    {.kind = "adam", .lr = 0.05, .beta1 = 0.8, .beta2 = 0.95, .eps = 1e-3, .decay = 0.1},
    {.kind = "adamw", .lr = 0.05, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8, .decay = 0.1},
    {.kind = "rmsprop", .lr = 0.02, .alpha = 0.99, .eps = 1e-8},
    {.kind = "rmsprop", .lr = 0.02, .alpha = 0.9, .eps = 1e-4, .decay = 0.1},
    {.kind = "rmsprop", .lr = 0.02, .alpha = 0.9, .eps = 1e-4, .decay = 0.1, .momentum = 0.8},
};
enum { COURSES = sizeof courses / sizeof *courses };

static th_optimizer *make(const course *c, th_array *const *leaves, int n) {
  const th_adam_config adam = {
      .lr = c->lr, .beta1 = c->beta1, .beta2 = c->beta2, .eps = c->eps, .weight_decay = c->decay};
  const th_rmsprop_config rmsprop = {c->lr, c->alpha, c->eps, c->decay, c->momentum};
  if (strcmp(c->kind, "sgd") == 0)
    return th_sgd(leaves, n, c->lr, c->momentum, c->decay, c->nesterov);
  if (strcmp(c->kind, "rmsprop") == 0) return th_rmsprop(leaves, n, &rmsprop);
  return strcmp(c->kind, "adamw") == 0 ? th_adamw(leaves, n, &adam) : th_adam(leaves, n, &adam);
}

/* The same as torch.optim has it: one element p with states a and b, step t from 1, at learning rate lr. */
static void reference(const course *c, double *p, double *a, double *b, double g, int t,
                      double lr) {
  if (strcmp(c->kind, "adamw") == 0)
    *p *= 1 - lr * c->decay;
  else
    g += c->decay * *p;
  if (strcmp(c->kind, "sgd") == 0) {
    *a = t == 1 ? g : c->momentum * *a + g;
    *p -= lr * (c->momentum == 0 ? g : c->nesterov ? g + c->momentum * *a : *a);
  } else if (strcmp(c->kind, "rmsprop") == 0) {
    *a = c->alpha * *a + (1 - c->alpha) * g * g;
    *b = c->momentum * *b + g / (sqrt(*a) + c->eps);
    *p -= lr * *b;
  } else {
    *a = *a + (1 - c->beta1) * (g - *a);
    *b = c->beta2 * *b + (1 - c->beta2) * g * g;
    double denominator = sqrt(*b) / sqrt(1 - pow(c->beta2, t)) + c->eps;
    *p -= lr / (1 - pow(c->beta1, t)) * *a / denominator;
  }
}

/* One step on sum of x^4 / 4, whose gradient is x^3. */
static void descend(th_array *x, th_optimizer *o) {
  th_scope scope = th_scope_begin();
  th_array *y = th_sum(th_square(th_square(x)), NULL, 0, false);
  cr_assert(eq(int, th_backward(th_multiply_scalar(y, 0.25), 0), TH_OK), "%s", th_last_error());
  th_scope_end(scope);
  cr_assert(eq(int, th_optimizer_step(o), TH_OK), "%s", th_last_error());
  th_optimizer_zero_grad(o);
}

static th_array *start_leaf(th_dtype t) {
  th_array *doubles = th_from_host(start, TH_SHAPE(N), TH_F64, th_cpu(0)),
           *x = th_astype(doubles, t);
  cr_assert(eq(int, th_require_grad(x), TH_OK));
  th_release(doubles);
  return x;
}

/* Parameters after STEPS steps, the last half of them at a tenth of the rate and the very last at 0. */
static void expected(const course *c, double *p) {
  double a[N] = {0}, b[N] = {0};
  memcpy(p, start, sizeof start);
  for (int t = 1; t <= STEPS; t++)
    for (int i = 0; i < N; i++)
      reference(c, &p[i], &a[i], &b[i], p[i] * p[i] * p[i], t,
                t == STEPS      ? 0
                : t > STEPS / 2 ? c->lr / 10
                                : c->lr);
}

Test(optim_kinds, trajectories_are_those_of_pytorchs_formulas) {
  const th_dtype types[] = {TH_F64, TH_F32};
  const double allowed[] = {1e-13, 3e-6};
  for (int k = 0; k < COURSES * 2; k++) {
    const course *c = &courses[k / 2];
    double p[N];
    th_array *x = start_leaf(types[k % 2]);
    th_optimizer *o = make(c, TH_ARRAYS(x));
    cr_assert(o != NULL, "%s", th_last_error());
    for (int t = 1; t <= STEPS; t++) {
      if (t == STEPS / 2 + 1) th_optimizer_set_lr(o, c->lr / 10);
      if (t == STEPS) th_optimizer_set_lr(o, 0);
      descend(x, o);
    }
    expected(c, p);
    double off = distance(x, p, N);
    cr_assert(off <= allowed[k % 2], "course %d, %s: %g", k / 2, c->kind, off);
    cr_assert(eq(i64, th_optimizer_steps(o), STEPS));
    cr_assert(eq(dbl, th_optimizer_lr(o), 0));
    th_optimizer_release(o);
    th_release(x);
  }
}

/* Copies leaf and states of one optimizer to another, as a checkpoint does. */
static void carry_over(th_array *x, const th_optimizer *o, th_array *y, th_optimizer *resumed) {
  cr_assert(eq(int, th_grad_mode(false), 1));
  cr_assert(eq(int, th_assign(y, x), TH_OK), "%s", th_last_error());
  th_grad_mode(true);
  cr_assert(eq(int, th_optimizer_states(o), th_optimizer_states(resumed)));
  for (int i = 0; i < th_optimizer_states(o); i++) {
    char name[32], same[32];
    th_array *from = th_optimizer_state(o, i, name, sizeof name);
    th_array *to = th_optimizer_state(resumed, i, same, sizeof same);
    cr_assert(eq(str, name, same));
    cr_assert(eq(int, th_assign(to, from), TH_OK), "%s", th_last_error());
  }
  cr_assert(eq(int, th_optimizer_set_steps(resumed, th_optimizer_steps(o)), TH_OK));
  th_optimizer_set_lr(resumed, th_optimizer_lr(o));
}

Test(optim_kinds, resumed_from_its_states_goes_on_with_the_same_bits) {
  for (int k = 0; k < COURSES; k++) {
    th_array *x = start_leaf(TH_F32), *y = start_leaf(TH_F32);
    th_optimizer *o = make(&courses[k], TH_ARRAYS(x)), *resumed = make(&courses[k], TH_ARRAYS(y));
    for (int t = 0; t < 5; t++) descend(x, o);
    carry_over(x, o, y, resumed);
    for (int t = 0; t < 5; t++) {
      descend(x, o);
      descend(y, resumed);
    }
    float a[N], b[N];
    cr_assert(eq(int, th_read(x, a, sizeof a), TH_OK));
    cr_assert(eq(int, th_read(y, b, sizeof b), TH_OK));
    cr_assert(memcmp(a, b, sizeof a) == 0, "course %d", k);
    th_optimizer_release(o);
    th_optimizer_release(resumed);
    th_release(x);
    th_release(y);
  }
}

Test(optim_kinds, states_have_names_by_kind_and_leaf) {
  th_array *x = leaf(1), *y = leaf(2);
  th_optimizer *plain = th_sgd(TH_ARRAYS(x, y), 0.1, 0, 0, false);
  th_optimizer *adam = th_adam(TH_ARRAYS(x, y), NULL);
  th_optimizer *moving = th_rmsprop(TH_ARRAYS(x, y), &(th_rmsprop_config){.momentum = 0.9});
  cr_assert(eq(int, th_optimizer_states(plain), 0));
  cr_assert(eq(dbl, th_optimizer_lr(adam), 1e-3));
  cr_assert(eq(dbl, th_optimizer_lr(moving), 0.01));
  const char *of_adam[] = {"first_moment.0", "first_moment.1", "second_moment.0",
                           "second_moment.1"};
  const char *of_rmsprop[] = {"mean_square.0", "mean_square.1", "velocity.0", "velocity.1"};
  for (int i = 0; i < 4; i++) {
    char name[32];
    cr_assert(th_optimizer_state(adam, i, name, sizeof name) != NULL);
    cr_assert(eq(str, name, (char *)of_adam[i]));
    cr_assert(th_optimizer_state(moving, i, name, sizeof name) != NULL);
    cr_assert(eq(str, name, (char *)of_rmsprop[i]));
  }
  char last[16];
  cr_assert(eq(int, th_optimizer_states(adam), 5));
  cr_assert(eq(dbl, th_item(th_optimizer_state(adam, 4, last, sizeof last)), 0));
  cr_assert(eq(str, last, "skipped_steps"));
  cr_assert(th_optimizer_state(adam, 3, NULL, 0) != NULL);
  cr_assert(zero(ptr, th_optimizer_state(plain, 0, NULL, 0)));
  cr_assert(zero(ptr, th_optimizer_state(adam, -1, NULL, 0)));
  char brief[8];
  cr_assert(zero(ptr, th_optimizer_state(adam, 0, brief, sizeof brief)));
  cr_assert(strstr(th_last_error(), "name of state 0") != NULL, "%s", th_last_error());
  th_optimizer *all[] = {plain, adam, moving};
  for (int i = 0; i < 3; i++) th_optimizer_release(all[i]);
  th_release(x);
  th_release(y);
}

Test(optim_kinds, factors_of_a_leaf_scale_its_rate_and_its_decay) {
  th_array *weight = leaf(2), *bias = leaf(2), *slow = leaf(2), *stranger = leaf(2);
  th_optimizer *o = th_sgd(TH_ARRAYS(weight, bias, slow), 0.5, 0, 0.25, false);
  cr_assert(eq(int, th_optimizer_set_factors(o, bias, 1, 0), TH_OK));
  cr_assert(eq(int, th_optimizer_set_factors(o, slow, 0.5, 1), TH_OK));
  cr_assert(eq(int, th_optimizer_set_factors(o, stranger, 1, 1), TH_EINVAL));
  cr_assert(eq(int, th_optimizer_set_factors(o, bias, -1, 1), TH_EINVAL));
  cr_assert(eq(int, th_optimizer_set_factors(o, bias, 1, NAN), TH_EINVAL));
  th_array *leaves[] = {weight, bias, slow};
  for (int i = 0; i < 3; i++) {
    th_array *y = th_multiply_scalar(leaves[i], 3);
    cr_assert(eq(int, th_backward(y, 0), TH_OK));
    th_release(y);
  }
  cr_assert(eq(int, th_optimizer_step(o), TH_OK), "%s", th_last_error());
  cr_assert(eq(dbl, th_item(weight), 2 - 0.5 * (3 + 0.25 * 2)));
  cr_assert(eq(dbl, th_item(bias), 2 - 0.5 * 3));
  cr_assert(eq(dbl, th_item(slow), 2 - 0.25 * (3 + 0.25 * 2)));
  th_optimizer_release(o);
  th_array *all[] = {weight, bias, slow, stranger};
  for (int i = 0; i < 4; i++) th_release(all[i]);
}

static void refused(th_optimizer *o, const char *why) {
  cr_assert(zero(ptr, o));
  cr_assert(strstr(th_last_error(), why) != NULL, "%s", th_last_error());
}

Test(optim_kinds, bad_settings_are_refused) {
  th_array *x = leaf(1);
  refused(th_adam(TH_ARRAYS(x), &(th_adam_config){.lr = -1}), "adam: lr");
  refused(th_adam(TH_ARRAYS(x), &(th_adam_config){.beta1 = 1}), "adam: beta1");
  refused(th_adam(TH_ARRAYS(x), &(th_adam_config){.beta2 = NAN}), "adam: beta2");
  refused(th_adamw(TH_ARRAYS(x), &(th_adam_config){.eps = -1}), "adam: eps");
  refused(th_adamw(TH_ARRAYS(x), &(th_adam_config){.weight_decay = -1}), "adam: weight_decay");
  refused(th_adam(NULL, 0, NULL), "adam: needs");
  refused(th_rmsprop(TH_ARRAYS(x), &(th_rmsprop_config){.alpha = 1}), "rmsprop: alpha");
  refused(th_rmsprop(TH_ARRAYS(x), &(th_rmsprop_config){.momentum = -0.1}), "rmsprop: momentum");
  refused(th_rmsprop((th_array *[]){NULL}, 1, NULL), "rmsprop: leaf 0");
  th_clear_error();
  cr_assert(eq(int, th_optimizer_set_steps(NULL, 1), TH_EINVAL));
  th_clear_error();
  cr_assert(zero(ptr, th_optimizer_state(NULL, 0, NULL, 0)));
  cr_assert(isnan(th_optimizer_lr(NULL)));
  cr_assert(eq(i64, th_optimizer_steps(NULL), 0));
  cr_assert(eq(int, th_optimizer_states(NULL), 0));
  th_optimizer *o = th_adam(TH_ARRAYS(x), NULL);
  cr_assert(eq(int, th_optimizer_set_steps(o, -1), TH_EINVAL));
  th_optimizer_release(o);
  th_release(x);
}
