/* Owns gradients that stay after a walk: those of leaves, and of other nodes on request; and the hooks that are told of them. The
 * record's lock guards all of it and is never held across a call. */
#include "autograd/tape.h"
#include "engine/base/error.h"
#include "engine/base/mem.h"

th__kept *th__kept_make(th__node *node) {
  th__kept *kept = th__load(&node->kept, TH__RELAXED);
  if (kept != NULL) return kept;
  th__kept *made = th__zalloc(sizeof(*made));
  if (made == NULL) return NULL;
  th__spin_lock(&node->record->lock);
  kept = th__load(&node->kept, TH__RELAXED); /* another thread's, in the meantime? */
  if (kept == NULL) th__store(&node->kept, made, TH__RELAXED);
  th__spin_unlock(&node->record->lock);
  if (kept == NULL) return made;
  th__free(made);
  return kept;
}

void th__kept_free(th__kept *kept) {
  if (kept == NULL) return;
  th_release(kept->gradient);
  for (th__hook *h = kept->hooks, *next; h != NULL; h = next) {
    next = h->next;
    th__free(h);
  }
  th__free(kept);
}

/* --- what a walk leaves --- */

bool th__is_exclusive(const th_array *a) {
  return th__load(&a->refs, TH__ACQUIRE) == 1 && th__layout_contiguous(&a->layout) &&
         (a->storage == NULL || th__load(&a->storage->refs, TH__ACQUIRE) == 1);
}

/* What a thread saw of a gradient that it is going to exchange. */
typedef struct seen {
  th_array *old;
  bool is_in_sum; /* what replaces it counts old, so nobody may have added to that meanwhile */
  bool adding;
  uint32_t added;
} seen;

/* Puts g (+1) in place of what was seen, unless another thread was quicker: then nothing happens and false is returned. */
static bool exchange(th__record *r, th__kept *kept, const seen *s, th_array *g) {
  th__spin_lock(&r->lock);
  bool current = kept->gradient == s->old && !kept->dead;
  if (s->is_in_sum && (kept->adding != 0 || kept->added != s->added)) current = false;
  th_array *before = kept->gradient;
  if (current) kept->gradient = g;
  th__spin_unlock(&r->lock);
  if (current) th_release(before);
  return current;
}

/* Adds to old as it lies, if that is still what is kept; false: it is not. */
static bool add_inplace(th__record *r, th__kept *kept, th_array *old, const th_array *g,
                        th_status *status) {
  th__spin_lock(&r->lock);
  bool current = kept->gradient == old;
  if (current) kept->adding++;
  th__spin_unlock(&r->lock);
  if (!current) return false;
  *status = th_add_inplace(old, g);
  th__spin_lock(&r->lock);
  kept->adding--;
  kept->added++;
  th__spin_unlock(&r->lock);
  return true;
}

/* Adds g to what is kept, or keeps it. Another thread may add or zero meanwhile, so each step is tried again when the gradient
 * was changed under it. */
static th_status store(th__record *r, th__kept *kept, th_array *g, bool create) {
  th_status status = TH_OK;
  for (bool done = false; !done && status == TH_OK;) {
    th__spin_lock(&r->lock);
    seen s = {.old = kept->gradient, .adding = kept->adding != 0, .added = kept->added};
    bool replaced = s.old == NULL || kept->replaced;
    done = kept->dead;
    if (s.old != NULL) th_retain(s.old);
    th__spin_unlock(&r->lock);
    if (!done && replaced) {
      done = exchange(r, kept, &s, th_retain(g));
      if (!done) th_release(g);
    } else if (!done && !create && !th_requires_grad(s.old)) {
      done = add_inplace(r, kept, s.old, g, &status);
    } else if (!done && s.adding) {
      th__yield();
    } else if (!done) {
      s.is_in_sum = true;
      th_array *sum = th_add(s.old, g);
      if (sum == NULL) status = th_last_status();
      done = sum != NULL && exchange(r, kept, &s, sum);
      if (!done) th_release(sum);
    }
    th_release(s.old);
  }
  return status;
}

/* What is kept is nobody else's. Of other nodes than leaves the walk itself still needs g. */
static th_status store_own(th__node *node, th__kept *kept, th_array *g, bool create) {
  bool own = node->record->leaf != NULL && th__is_exclusive(g);
  if (!own && (g = th_copy(g)) == NULL) return th_last_status();
  th_status status = store(node->record, kept, g, create);
  if (!own) th_release(g);
  return status;
}

th_status th__kept_deliver(th__node *node, th_array *g, bool create, th_scope *scope) {
  th__record *r = node->record;
  th__kept *kept = th__load(&node->kept, TH__RELAXED);
  if (kept == NULL) return TH_OK;
  th__spin_lock(&r->lock);
  bool dead = kept->dead;
  bool stored = kept->stored && !dead;
  th__spin_unlock(&r->lock);
  /* Hooks of computed arrays are for the walk, those of leaves for the gradient that somebody can see. */
  if (dead && r->leaf != NULL) return TH_OK;
  if (stored) TH_TRY(store_own(node, kept, g, create));
  th__spin_lock(&r->lock);
  th_array *gradient = stored ? kept->gradient : g;
  th__hook *hook = kept->hooks;
  if (gradient != NULL) th_retain(gradient);
  th__spin_unlock(&r->lock);
  while (gradient != NULL && hook != NULL) {
    th__scope_resume(*scope, NULL);
    hook->fn(gradient, hook->user);
    *scope = th__scope_suspend();
    th__spin_lock(&r->lock);
    hook = hook->next;
    th__spin_unlock(&r->lock);
  }
  th_release(gradient);
  return TH_OK;
}

/* --- the public calls --- */

th_array *th_grad(const th_array *a) {
  th__node *node = a != NULL ? th__tape_node(a) : NULL;
  if (node == NULL) return NULL;
  th__spin_lock(&node->record->lock);
  th__kept *kept = th__load(&node->kept, TH__RELAXED);
  th_array *gradient = kept != NULL ? kept->gradient : NULL;
  th__spin_unlock(&node->record->lock);
  th__record_release(node->record);
  return gradient;
}

void th_zero_grad(th_array *a) {
  th__node *node = a != NULL ? th__tape_node(a) : NULL;
  if (node == NULL) return;
  th__spin_lock(&node->record->lock);
  th__kept *kept = th__load(&node->kept, TH__RELAXED);
  th_array *gradient = kept != NULL ? kept->gradient : NULL;
  if (kept != NULL) kept->gradient = NULL;
  th__spin_unlock(&node->record->lock);
  th_release(gradient);
  th__record_release(node->record);
}

/* The node of a, with a reference to its record; NULL with a message naming who. */
static th__node *history_of(const char *who, const th_array *a) {
  if (a == NULL) {
    return th_last_status() != TH_OK ? NULL
                                     : th__fail_null(TH_EINVAL, "%s: the array is NULL", who);
  }
  th__node *node = th__tape_node(a);
  if (node != NULL) return node;
  return th__fail_null(TH_EINVAL,
                       "%s: the array is neither a leaf, see th_require_grad(), nor was it "
                       "computed from one while recording",
                       who);
}

th_status th_retain_grad(th_array *a) {
  th__node *node = history_of("retain_grad", a);
  if (node == NULL) return TH_EINVAL;
  th__kept *kept = th__kept_make(node);
  if (kept != NULL) {
    th__spin_lock(&node->record->lock);
    kept->stored = true;
    th__spin_unlock(&node->record->lock);
  }
  th__record_release(node->record);
  return kept != NULL ? TH_OK : TH_ENOMEM;
}

th_status th_set_grad_request(th_array *a, th_grad_request request) {
  if (request != TH_GRAD_ADD && request != TH_GRAD_WRITE) {
    return th__fail(TH_EINVAL, "set_grad_request: no request has the number %d", (int)request);
  }
  th__node *node = history_of("set_grad_request", a);
  if (node == NULL) return TH_EINVAL;
  th__spin_lock(&node->record->lock);
  th__kept *kept = th__load(&node->kept, TH__RELAXED);
  bool stored = kept != NULL && kept->stored;
  if (stored) kept->replaced = request == TH_GRAD_WRITE;
  th__spin_unlock(&node->record->lock);
  th__record_release(node->record);
  if (stored) return TH_OK;
  return th__fail(TH_EINVAL, "set_grad_request: no gradient of the array is kept, see "
                             "th_retain_grad()");
}

th_status th_on_grad(th_array *a, void (*fn)(th_array *gradient, void *user), void *user) {
  if (fn == NULL) return th__fail(TH_EINVAL, "on_grad: the function is NULL");
  th__node *node = history_of("on_grad", a);
  if (node == NULL) return TH_EINVAL;
  th__kept *kept = th__kept_make(node);
  th__hook *hook = kept != NULL ? th__zalloc(sizeof(*hook)) : NULL;
  if (hook != NULL) {
    hook->fn = fn;
    hook->user = user;
    th__spin_lock(&node->record->lock);
    th__hook **end = &kept->hooks;
    while (*end != NULL) end = &(*end)->next;
    *end = hook;
    th__spin_unlock(&node->record->lock);
  }
  th__record_release(node->record);
  return hook != NULL ? TH_OK : TH_ENOMEM;
}
