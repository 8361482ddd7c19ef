/* Owns loss scaling (Micikevicius et al. 2018), with the rules of PyTorch's GradScaler. Whether gradients are finite is known on the
 * device only, so everything that follows from it is computed there: the factor of a step, which is 0 where there is to be none,
 * and the next scale. */
#include <math.h>
#include <stdio.h>

#include "autograd/optim.h"
#include "autograd/tape.h"
#include "engine/base/error.h"
#include "engine/base/mem.h"
#include "ops/compose.h"

enum { SCALE, GOOD_STEPS, STATES };

/* An optimizer whose gradients were looked at since the last update. */
typedef struct looked_at {
  const th_optimizer *o;
  th_array *finite; /* +1; 0-d bool on the scaler's device */
  bool unscaled, stepped;
} looked_at;

struct th_scaler {
  double growth, backoff;
  int64_t interval;
  th_array *states[STATES]; /* +1; 0-d f32: the scale, and how many steps in a row were finite */
  looked_at *seen;
  int n_seen;
};

/* --- life --- */

static double or_default(double value, double instead) { return value != 0 ? value : instead; }

static th_status check(double scale, const th_scaler *s) {
  if (!(scale > 0 && scale <= 0x1p127)) {
    return th__fail(TH_EINVAL, "scaler_new: scale %g must be in (0, 2^127]", scale);
  }
  if (!(isfinite(s->growth) && s->growth > 1)) {
    return th__fail(TH_EINVAL, "scaler_new: growth %g must be above 1", s->growth);
  }
  if (!(s->backoff > 0 && s->backoff < 1)) {
    return th__fail(TH_EINVAL, "scaler_new: backoff %g must be in (0, 1)", s->backoff);
  }
  if (s->interval < 1 || s->interval > 1 << 24) {
    return th__fail(TH_EINVAL, "scaler_new: interval %lld must be in [1, 2^24]",
                    (long long)s->interval);
  }
  return TH_OK;
}

th_scaler *th_scaler_new(const th_scaler_config *config, th_device d) {
  const th_scaler_config c = config != NULL ? *config : (th_scaler_config){0};
  double scale = or_default(c.scale, 65536);
  th_scaler own = {.growth = or_default(c.growth, 2),
                   .backoff = or_default(c.backoff, 0.5),
                   .interval = c.interval != 0 ? c.interval : 2000};
  if (check(scale, &own) != TH_OK) return NULL;
  th_scaler *s = th__alloc(sizeof(*s));
  if (s == NULL) return NULL;
  *s = own;
  th_scope scope = th__scope_suspend();
  s->states[SCALE] = th_full(TH_SCALAR, scale, TH_F32, d);
  s->states[GOOD_STEPS] = th_zeros(TH_SCALAR, TH_F32, d);
  th__scope_resume(scope, NULL);
  if (s->states[SCALE] != NULL && s->states[GOOD_STEPS] != NULL) return s;
  th_scaler_release(s);
  return NULL;
}

static void forget(th_scaler *s) {
  for (int i = 0; i < s->n_seen; i++) th_release(s->seen[i].finite);
  s->n_seen = 0;
}

void th_scaler_release(th_scaler *s) {
  if (s == NULL) return;
  forget(s);
  for (int i = 0; i < STATES; i++) th_release(s->states[i]);
  th__free(s->seen);
  th__free(s);
}

static th_status check_scaler(const th_scaler *s, const char *who) {
  if (s != NULL) return TH_OK;
  return th_last_status() != TH_OK ? TH_EINVAL : th__fail(TH_EINVAL, "%s: NULL scaler", who);
}

int th_scaler_states(const th_scaler *s) { return s != NULL ? STATES : 0; }

th_array *th_scaler_state(const th_scaler *s, int i, char *name, size_t bytes) {
  static const char *const names[] = {"scale", "good_steps"};
  if (check_scaler(s, "scaler_state") != TH_OK) return NULL;
  if (i < 0 || i >= STATES) {
    th__fail(TH_EINVAL, "scaler_state: no state %d, there are %d", i, STATES);
    return NULL;
  }
  if (name != NULL && (size_t)snprintf(name, bytes, "%s", names[i]) >= bytes) {
    th__fail(TH_EINVAL, "scaler_state: name of state %d needs more than %zu bytes", i, bytes);
    return NULL;
  }
  return s->states[i];
}

/* --- one step --- */

th_array *th_scaler_scale(th_scaler *s, const th_array *loss) {
  if (check_scaler(s, "scaler_scale") != TH_OK) return NULL;
  if (loss == NULL) return (void)th__array_null("scaler_scale"), NULL;
  th__composing c = th__compose();
  th_array *scale = th__placed(s->states[SCALE], TH_F32, th_array_device(loss));
  return th__composed(c, th_multiply(loss, scale));
}

static looked_at *find(const th_scaler *s, const th_optimizer *o) {
  for (int i = 0; i < s->n_seen; i++)
    if (s->seen[i].o == o) return &s->seen[i];
  return NULL;
}

/* Looks whether all gradients of o are finite. */
static th_status look(th_scaler *s, const th_optimizer *o, const th__gradients *g) {
  size_t n = (size_t)s->n_seen + 1;
  looked_at *more = th__resize(s->seen, n * sizeof(*more));
  if (more == NULL) return TH_ENOMEM;
  s->seen = more;
  th__composing c = th__compose();
  th_device home = th_array_device(s->states[SCALE]);
  th_array *finite = th_keep(th_isfinite(th__gradients_norm(g, (double)INFINITY, home)));
  th_scope_end(c.own);
  th__scope_resume(c.outer, NULL);
  if (finite == NULL) return th_last_status();
  more[s->n_seen++] = (looked_at){.o = o, .finite = finite};
  return TH_OK;
}

static th_status take(const char *who, const th_optimizer *o, th__gradients *g) {
  if (o == NULL) {
    return th_last_status() != TH_OK ? TH_EINVAL : th__fail(TH_EINVAL, "%s: NULL optimizer", who);
  }
  TH_TRY(th__gradients_take(who, o->leaves, o->n, g));
  if (g->n > 0) return TH_OK;
  th__gradients_release(g);
  return th__fail(TH_EINVAL, "%s: no leaf has a gradient", who);
}

/* Times 1 / scale, every gradient. */
static th_status unscale(const th_scaler *s, const th__gradients *g) {
  th_array *inverse = th_reciprocal(s->states[SCALE]);
  th_status status = TH_OK;
  for (int i = 0; i < g->n && status == TH_OK; i++)
    status =
        th_multiply_inplace(g->list[i], th__placed(inverse, TH_F32, th_array_device(g->list[i])));
  return status;
}

th_status th_scaler_unscale(th_scaler *s, th_optimizer *o) {
  TH_TRY(check_scaler(s, "scaler_unscale"));
  if (o != NULL && find(s, o) != NULL) {
    return th__fail(TH_EINVAL, "scaler_unscale: after the last th_scaler_update() already");
  }
  th__gradients g = {NULL, 0};
  TH_TRY(take("scaler_unscale", o, &g));
  bool recording = th__tape_recording(false);
  th__composing c = th__compose();
  th_status status = look(s, o, &g);
  if (status == TH_OK) status = unscale(s, &g);
  if (status == TH_OK) find(s, o)->unscaled = true;
  th__composed(c, NULL);
  th__tape_recording(recording);
  th__gradients_release(&g);
  return status;
}

/* A step by 1 / scale, or 1 if that has been done, and 0 where gradients are not finite. */
static th_status step(const th_scaler *s, th_optimizer *o, const looked_at *seen) {
  th_array *scale = s->states[SCALE];
  th_array *factor = seen->unscaled ? th_ones_like(scale) : th_reciprocal(scale);
  return th__optim_step_by(o, th_where(seen->finite, factor, th_zeros_like(scale)));
}

th_status th_scaler_step(th_scaler *s, th_optimizer *o) {
  TH_TRY(check_scaler(s, "scaler_step"));
  looked_at *seen = o != NULL ? find(s, o) : NULL;
  if (seen != NULL && seen->stepped) {
    return th__fail(TH_EINVAL, "scaler_step: after the last th_scaler_update() already");
  }
  bool recording = th__tape_recording(false);
  th_status status = TH_OK;
  if (seen == NULL) {
    th__gradients g = {NULL, 0};
    status = take("scaler_step", o, &g);
    if (status == TH_OK) {
      status = look(s, o, &g);
      th__gradients_release(&g);
    }
    if (status == TH_OK) seen = find(s, o);
  }
  th__composing c = th__compose();
  if (status == TH_OK) status = step(s, o, seen);
  if (status == TH_OK) seen->stepped = true;
  th__composed(c, NULL);
  th__tape_recording(recording);
  return status;
}

/* --- the next scale --- */

static th_status update(const th_scaler *s) {
  th_array *scale = s->states[SCALE], *good = s->states[GOOD_STEPS];
  th_array *finite = s->seen[0].finite;
  for (int i = 1; i < s->n_seen; i++) finite = th_logical_and(finite, s->seen[i].finite);
  th_array *more = th_add_scalar(good, 1);
  th_array *due = th_greater_equal_scalar(more, (double)s->interval);
  th_array *grown = th_where(due, th_multiply_scalar(scale, s->growth), scale);
  th_array *next = th_where(finite, grown, th_multiply_scalar(scale, s->backoff));
  th_array *again = th_logical_and(finite, th_logical_not(due));
  TH_TRY(th_assign(good, th_where(again, more, th_zeros_like(good))));
  return th_assign(scale, th_clip(next, 0x1p-126, 0x1p127));
}

th_status th_scaler_update(th_scaler *s) {
  TH_TRY(check_scaler(s, "scaler_update"));
  if (s->n_seen == 0) {
    return th__fail(TH_EINVAL, "scaler_update: no step since the last update");
  }
  bool recording = th__tape_recording(false);
  th__composing c = th__compose();
  th_status status = update(s);
  th__composed(c, NULL);
  th__tape_recording(recording);
  forget(s);
  return status;
}
