/* Owns the second half of a walk: how contributions add up, when a gradient is complete, and the call of each vjp. */
#include <stdio.h>
#include <string.h>

#include "autograd/walk.h"
#include "engine/base/error.h"
#include "engine/base/mem.h"

/* *sum += g; takes over g. */
static th_status accumulate(const th__walk *w, th_array **sum, th_array *g) {
  if (*sum == NULL) {
    *sum = g;
    return TH_OK;
  }
  th_status status = TH_OK;
  if (!w->create && th__is_exclusive(*sum)) {
    status = th_add_inplace(*sum, g);
  } else {
    th_array *added = th_add(*sum, g);
    if (added != NULL) {
      th_release(*sum);
      *sum = added;
    } else {
      status = th_last_status();
    }
  }
  th_release(g);
  return status;
}

/* --- arrival --- */

/* Gives the complete gradients of entry number i to who asked for them. */
static th_status deliver(th__walk *w, int64_t i) {
  const th__entry *e = &w->entries[i];
  for (int j = 0; j < e->record->n_out; j++) {
    th_array *g = w->gradients[e->first + j];
    if (g == NULL) continue;
    if (w->targets == NULL) TH_TRY(th__kept_deliver(&e->record->nodes[j], g, w->create, &w->scope));
    for (int t = 0; e->target && t < w->n_targets; t++) {
      if (w->target_entries[t] == i && w->targets[t]->index == j) w->results[t] = th_retain(g);
    }
  }
  return TH_OK;
}

static void drop_gradients(th__walk *w, const th__entry *e) {
  for (int j = 0; j < e->record->n_out; j++) {
    th_release(w->gradients[e->first + j]);
    w->gradients[e->first + j] = NULL;
  }
}

static void leave(th__entry *e) {
  th__record_release(e->record);
  e->record = NULL;
}

/* The last contribution to entry number i is in. Who waits for it learns of it before anything else is submitted, so that what
 * a hook submits overlaps the rest of the walk. */
static th_status arrive(th__walk *w, int64_t i) {
  th__entry *e = &w->entries[i];
  TH_TRY(deliver(w, i));
  if (e->runs) {
    w->ready[w->n_ready++] = i;
  } else {
    drop_gradients(w, e);
    leave(e);
  }
  return TH_OK;
}

/* --- running one record --- */

/* Handles for the vjp: with TH_CREATE_GRAPH aliases that lead back to where they came from. */
static th_status link_saved(const th__record *r, const th__saved *saved, th_array **arrays) {
  for (int i = 0; i < r->n_in + r->n_out; i++) {
    if (saved[i].array == NULL) continue;
    arrays[i] = th__tape_alias(saved[i].array);
    if (arrays[i] == NULL) return th_last_status();
    th__node *node = i < r->n_in ? r->parents[i] : (th__node *)&r->nodes[i - r->n_in];
    if (node != NULL) th__tape_attach(arrays[i], node);
  }
  return TH_OK;
}

/* Takes the saved arrays out of the record, or shares them when the graph is kept. Since the walk began, hooks and gradients that
 * were added to may have changed them. */
static th_status consume(const th__walk *w, th__record *r, th__saved *saved) {
  int n = r->n_in + r->n_out;
  th__spin_lock(&r->lock);
  bool freed = r->freed;
  th_status status = freed ? TH_OK : th__walk_check_saved(w, r);
  if (!freed && status == TH_OK) {
    memcpy(saved, r->saved, (size_t)n * sizeof(*saved));
    for (int i = 0; i < n && w->retain; i++) {
      if (saved[i].array != NULL) th_retain(saved[i].array);
    }
    if (w->retain)
      r->users++;
    else
      r->freed = true;
  }
  th__spin_unlock(&r->lock);
  return freed ? th__walk_fail_freed(w, r) : status;
}

static th_status check_result(const th__walk *w, const th__record *r, int i, const th_array *g) {
  const th_layout *in = &r->in[i];
  if (g->layout.dtype == in->dtype && th__layout_same_shape(&g->layout, in)) return TH_OK;
  char got[TH__SHAPE_TEXT], wanted[TH__SHAPE_TEXT];
  return th__fail(
      TH_ESHAPE, "%s: operator %s returned a gradient %s %s for its argument %d %s %s", w->who,
      r->op->name, th__shape_text(g->layout.shape, g->layout.ndim, got, sizeof(got)),
      th_dtype_name(g->layout.dtype), i,
      th__shape_text(in->shape, in->ndim, wanted, sizeof(wanted)), th_dtype_name(in->dtype));
}

/* Scratch of one record, big enough for all of a walk. */
typedef struct scratch {
  th__saved *saved;
  th_array **arrays, **results;
  bool *needed;
} scratch;

/* What the parent has got so far, where the operator can add to it and nobody else sees it; else NULL. */
static th_array *sum_to_add_to(const th__walk *w, const th__entry *e) {
  const th__record *r = e->record;
  if (r->op->vjp_add == NULL || w->create) return NULL;
  int64_t parent = w->parents[e->first_parent];
  if (parent < 0) return NULL;
  th_array *sum = w->gradients[w->entries[parent].first + r->parents[0]->index];
  return sum != NULL && th__is_exclusive(sum) ? sum : NULL;
}

static th_status call_vjp(const th__walk *w, const th__entry *e, const scratch *s) {
  th__record *r = e->record;
  bool any = false;
  for (int j = 0; j < r->n_out; j++) any |= w->gradients[e->first + j] != NULL;
  if (!any) return TH_OK; /* nothing but zeros arrived */
  for (int i = 0; i < r->n_in; i++) s->needed[i] = w->parents[e->first_parent + i] >= 0;
  if (w->create) {
    TH_TRY(link_saved(r, s->saved, s->arrays));
  } else {
    for (int i = 0; i < r->n_in + r->n_out; i++) s->arrays[i] = s->saved[i].array;
  }
  th_vjp v = {.op = r->op,
              .n_in = r->n_in,
              .n_out = r->n_out,
              .in = r->in,
              .out = r->out,
              .inputs = s->arrays,
              .outputs = s->arrays + r->n_in,
              .gradients = w->gradients + e->first,
              .params = r->params,
              .needed = s->needed,
              .result = s->results};
  th_array *sum = sum_to_add_to(w, e);
  th_status status = sum != NULL ? r->op->vjp_add(&v, sum) : r->op->vjp(&v);
  if (status == TH_OK) return TH_OK;
  char text[TH__ERROR_TEXT - 64];
  snprintf(text, sizeof(text), "%s", th_last_error());
  return th__fail(status, "%s through %s: %s", w->who, r->op->name, text);
}

/* Hands results to the parents' entries; everything left over is released. */
static th_status distribute(th__walk *w, const th__entry *e, const scratch *s, th_status status) {
  th__record *r = e->record;
  const int64_t *parents = w->parents + e->first_parent;
  for (int i = 0; i < r->n_in; i++) {
    th_array *g = s->results[i];
    s->results[i] = NULL;
    if (g == NULL) continue;
    if (status == TH_OK && parents[i] >= 0) status = check_result(w, r, i, g);
    if (status != TH_OK || parents[i] < 0) {
      th_release(g);
      continue;
    }
    th__entry *parent = &w->entries[parents[i]];
    status = accumulate(w, &w->gradients[parent->first + r->parents[i]->index], g);
  }
  for (int i = 0; i < r->n_in && status == TH_OK; i++) {
    if (parents[i] >= 0 && --w->entries[parents[i]].pending == 0) status = arrive(w, parents[i]);
  }
  return status;
}

static th_status run_record(th__walk *w, th__entry *e, const scratch *s) {
  th__record *r = e->record;
  int n = r->n_in + r->n_out;
  TH_TRY(consume(w, r, s->saved));
  memset(s->arrays, 0, (size_t)n * sizeof(*s->arrays));
  memset(s->results, 0, (size_t)r->n_in * sizeof(*s->results));
  th_status status = call_vjp(w, e, s);
  for (int i = 0; w->create && i < n; i++) th_release(s->arrays[i]);
  drop_gradients(w, e);
  status = distribute(w, e, s, status);
  if (w->retain) {
    th__record_leave(r);
    for (int i = 0; i < n; i++) th_release(s->saved[i].array);
  } else {
    th__record_strip(r, s->saved);
  }
  return status;
}

/* --- all of them --- */

/* Head gradients are the first contributions. */
static th_status start(th__walk *w, th__node *const *roots, th_array *const *heads, int n) {
  for (int i = 0; i < n; i++) {
    const th__entry *e = &w->entries[th__walk_entry(w, roots[i]->record)];
    if (!e->live) continue;
    TH_TRY(accumulate(w, &w->gradients[e->first + roots[i]->index], th_retain(heads[i])));
  }
  for (int64_t e = 0; e < w->n_roots; e++) {
    if (w->entries[e].live && w->entries[e].pending == 0) TH_TRY(arrive(w, e));
  }
  return TH_OK;
}

th_status th__walk_run(th__walk *w, th__node *const *roots, th_array *const *heads, int n) {
  size_t in = (size_t)w->max_in, all = in + (size_t)w->max_out;
  size_t bytes = all * (sizeof(th__saved) + sizeof(th_array *)) + in * (sizeof(th_array *) + 1);
  char *block = th__zalloc(bytes);
  if (block == NULL) return TH_ENOMEM;
  scratch s = {.saved = (th__saved *)block,
               .arrays = (th_array **)(block + all * sizeof(th__saved))};
  s.results = s.arrays + all;
  s.needed = (bool *)(s.results + in);
  w->n_ready = 0;
  th_status status = start(w, roots, heads, n);
  while (status == TH_OK && w->n_ready > 0) {
    th__entry *e = &w->entries[w->ready[--w->n_ready]];
    status = run_record(w, e, &s);
    if (status == TH_OK) leave(e);
  }
  th__free(block);
  return status;
}
