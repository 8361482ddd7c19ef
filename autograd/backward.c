/* Owns the walk back: which records a result depends on, in which order their vjps run, how contributions add up, and
 * when a leaf is complete. All state of a walk is local to the call, so several threads may walk graphs that share
 * records; a record's lock decides who consumes it. */
#include <string.h>

#include "autograd/tape.h"
#include "engine/base/error.h"
#include "engine/base/mem.h"

/* A record on the way: it may run when every user of its results has contributed. */
typedef struct entry {
  th__record *record;   /* +1 until processed */
  int pending;          /* edges from records that have not run yet */
  int64_t first;        /* of its n_out gradients in walk.gradients */
  int64_t first_parent; /* of its n_in entries in walk.parents; -1: no gradient needed */
} entry;

typedef struct walk {
  entry *entries;
  int64_t n, capacity;
  int64_t *
      table; /* open addressing by record: entry number + 1, 0 = empty; table_size is a power of 2 */
  int64_t table_size;
  int64_t *parents;
  int64_t n_parents, parents_capacity;
  th_array **gradients; /* +1 each, NULL = zero so far */
  int64_t n_gradients, gradients_capacity;
  int64_t *ready; /* a stack of entries */
  int64_t n_ready;
  int max_in, max_out;
  bool retain, create;
  th_scope scope; /* the caller's, suspended; open while its hooks run */
} walk;

/* --- finding what takes part --- */

static uint64_t hash_record(const th__record *r) {
  return (uint64_t)(uintptr_t)r * UINT64_C(0x9E3779B97F4A7C15) >> 20;
}

static th_status grow(void **block, int64_t *capacity, int64_t needed, size_t size) {
  if (needed <= *capacity) return TH_OK;
  int64_t wanted = *capacity * 2 > needed ? *capacity * 2 : needed + 64;
  void *grown = th__resize(*block, (size_t)wanted * size);
  if (grown == NULL) return TH_ENOMEM;
  *block = grown;
  *capacity = wanted;
  return TH_OK;
}

static th_status grow_table(walk *w) {
  int64_t size = w->table_size == 0 ? 64 : w->table_size * 2;
  int64_t *table = th__zalloc((size_t)size * sizeof(*table));
  if (table == NULL) return TH_ENOMEM;
  for (int64_t e = 0; e < w->n; e++) {
    uint64_t at = hash_record(w->entries[e].record);
    while (table[at & (uint64_t)(size - 1)] != 0) at++;
    table[at & (uint64_t)(size - 1)] = e + 1;
  }
  th__free(w->table);
  w->table = table;
  w->table_size = size;
  return TH_OK;
}

/* Finds or makes the entry of r and takes over the caller's reference to r, in every case. */
static th_status find_entry(walk *w, th__record *r, int64_t *found) {
  th_status status = w->n * 2 >= w->table_size ? grow_table(w) : TH_OK;
  if (status == TH_OK) {
    uint64_t at = hash_record(r);
    int64_t e;
    while ((e = w->table[at & (uint64_t)(w->table_size - 1)]) != 0) {
      if (w->entries[e - 1].record == r) {
        *found = e - 1;
        th__record_release(r); /* the entry has one of its own */
        return TH_OK;
      }
      at++;
    }
    status = grow((void **)&w->entries, &w->capacity, w->n + 1, sizeof(*w->entries));
    if (status == TH_OK) {
      w->table[at & (uint64_t)(w->table_size - 1)] = w->n + 1;
      w->entries[w->n] = (entry){.record = r};
      *found = w->n++;
      return TH_OK;
    }
  }
  th__record_release(r);
  return status;
}

static th_status fail_freed(const th__record *r) {
  return th__fail(TH_EINVAL,
                  "backward: the graph behind %s was freed by an earlier th_backward(); give that "
                  "one the flag TH_RETAIN_GRAPH to walk it again",
                  r->op->name);
}

static th_status check_versions(const th__record *r) {
  for (int i = 0; i < r->n_in + r->n_out; i++) {
    const th__saved *s = &r->saved[i];
    if (s->array == NULL || th_array_version(s->array) == s->version) continue;
    char shape[TH__SHAPE_TEXT];
    const th_layout *layout = &s->array->layout;
    th__shape_text(layout->shape, layout->ndim, shape, sizeof(shape));
    bool input = i < r->n_in;
    return th__fail(TH_EVERSION,
                    "backward: %s %d %s of %s was changed in place after it was recorded: its "
                    "storage is at version %llu, the gradient needs %llu",
                    input ? "argument" : "result", input ? i : i - r->n_in, shape, r->op->name,
                    (unsigned long long)th_array_version(s->array), (unsigned long long)s->version);
  }
  return TH_OK;
}

/* Checks a record and takes references to its parents, before anything is submitted. The lock keeps another thread's walk
 * from freeing it meanwhile. */
static th_status enter(th__record *r) {
  if (r->op->vjp == NULL) {
    return th__fail(TH_ENOSYS, "backward: operator %s has no gradient", r->op->name);
  }
  th__spin_lock(&r->lock);
  bool freed = r->freed;
  for (int i = 0; i < r->n_in && !freed; i++) {
    if (r->parents[i] != NULL) th__record_retain(r->parents[i]->record);
  }
  th__spin_unlock(&r->lock);
  return freed ? fail_freed(r) : TH_OK;
}

/* Enters entry e: its parents become entries with one more pending edge each. */
static th_status expand(walk *w, int64_t e) {
  th__record *r = w->entries[e].record;
  w->entries[e].first = w->n_gradients;
  TH_TRY(grow((void **)&w->gradients, &w->gradients_capacity, w->n_gradients + r->n_out,
              sizeof(*w->gradients)));
  memset(w->gradients + w->n_gradients, 0, (size_t)r->n_out * sizeof(*w->gradients));
  w->n_gradients += r->n_out;
  if (r->n_out > w->max_out) w->max_out = r->n_out;
  if (r->n_in > w->max_in) w->max_in = r->n_in;
  if (r->op == NULL) return TH_OK;
  TH_TRY(grow((void **)&w->parents, &w->parents_capacity, w->n_parents + r->n_in,
              sizeof(*w->parents)));
  w->entries[e].first_parent = w->n_parents;
  TH_TRY(enter(r));
  th_status status = TH_OK;
  for (int i = 0; i < r->n_in; i++) {
    int64_t parent = -1;
    if (r->parents[i] != NULL && status == TH_OK) {
      status = find_entry(w, r->parents[i]->record, &parent);
      if (status == TH_OK) w->entries[parent].pending++;
    } else if (r->parents[i] != NULL) {
      th__record_release(r->parents[i]->record);
    }
    w->parents[w->n_parents++] = parent;
  }
  return status;
}

/* Everything that root depends on, checked; nothing is submitted yet. */
static th_status discover(walk *w, th__record *root) {
  int64_t found;
  TH_TRY(find_entry(w, th__record_retain(root), &found));
  for (int64_t e = 0; e < w->n; e++) TH_TRY(expand(w, e));
  for (int64_t e = 0; e < w->n; e++) {
    th__record *r = w->entries[e].record;
    if (r->op == NULL) continue;
    th__spin_lock(&r->lock);
    bool freed = r->freed;
    th_status status = freed ? TH_OK : check_versions(r);
    th__spin_unlock(&r->lock);
    if (freed) return fail_freed(r);
    if (status != TH_OK) return status;
  }
  w->ready = th__alloc((size_t)w->n * sizeof(*w->ready));
  return w->ready != NULL ? TH_OK : TH_ENOMEM;
}

/* --- adding up --- */

/* Nobody else can see a's content: it may be changed in place or become a leaf's gradient as it is. */
static bool is_exclusive(const th_array *a) {
  return th__load(&a->refs, TH__ACQUIRE) == 1 && th__layout_contiguous(&a->layout) &&
         (a->storage == NULL || th__load(&a->storage->refs, TH__ACQUIRE) == 1);
}

/* *sum += g; takes over g. */
static th_status accumulate(const walk *w, th_array **sum, th_array *g) {
  if (*sum == NULL) {
    *sum = g;
    return TH_OK;
  }
  th_status status = TH_OK;
  if (!w->create && is_exclusive(*sum)) {
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

/* Adds to a leaf's gradient; takes over g. Another thread may add to the same leaf or zero it meanwhile, so each step is
 * tried again when the gradient was exchanged under it. */
static th_status add_to_leaf(const walk *w, th__record *r, th_array *g) {
  if (!is_exclusive(g)) {
    th_array *own = th_copy(g);
    th_release(g);
    if (own == NULL) return th_last_status();
    g = own;
  }
  th_status status = TH_OK;
  for (bool done = false; !done && status == TH_OK;) {
    th_array *sum = NULL, *old;
    th__spin_lock(&r->lock);
    old = r->leaf->gradient;
    if (old != NULL) {
      th_retain(old);
    } else if (!r->leaf->dead) {
      r->leaf->gradient = th_retain(g);
    }
    th__spin_unlock(&r->lock);
    if (old == NULL) break;
    if (!w->create && !th_requires_grad(old)) {
      status = th_add_inplace(old, g);
      done = true;
    } else if ((sum = th_add(old, g)) == NULL) {
      status = th_last_status();
    } else {
      th__spin_lock(&r->lock);
      done = r->leaf->gradient == old;
      if (done) r->leaf->gradient = sum;
      th__spin_unlock(&r->lock);
      th_release(done ? old : sum); /* done: the leaf's own reference */
    }
    th_release(old);
  }
  th_release(g);
  return status;
}

/* The last contribution of a leaf is in: stores it and tells who wants to know. */
static th_status finish_leaf(walk *w, entry *e) {
  th__record *r = e->record;
  th_array *g = w->gradients[e->first];
  w->gradients[e->first] = NULL;
  if (g == NULL) return TH_OK;
  TH_TRY(add_to_leaf(w, r, g));
  th__spin_lock(&r->lock);
  th_array *gradient = r->leaf->gradient;
  th__hook *hook = r->leaf->hooks;
  if (gradient != NULL) th_retain(gradient);
  th__spin_unlock(&r->lock);
  while (gradient != NULL && hook != NULL) {
    th__scope_resume(w->scope, NULL);
    hook->fn(gradient, hook->user);
    w->scope = th__scope_suspend();
    th__spin_lock(&r->lock);
    hook = hook->next;
    th__spin_unlock(&r->lock);
  }
  th_release(gradient);
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

/* Takes the saved arrays out of the record, or shares them when the graph is kept. */
static th_status consume(const walk *w, th__record *r, th__saved *saved) {
  int n = r->n_in + r->n_out;
  th__spin_lock(&r->lock);
  bool freed = r->freed;
  if (!freed) {
    memcpy(saved, r->saved, (size_t)n * sizeof(*saved));
    for (int i = 0; i < n && w->retain; i++) {
      if (saved[i].array != NULL) th_retain(saved[i].array);
    }
    if (!w->retain) r->freed = true;
  }
  th__spin_unlock(&r->lock);
  return freed ? fail_freed(r) : TH_OK;
}

static th_status check_result(const th__record *r, int i, const th_array *g) {
  const th_layout *in = &r->in[i];
  if (g->layout.dtype == in->dtype && th__layout_same_shape(&g->layout, in)) return TH_OK;
  char got[TH__SHAPE_TEXT], wanted[TH__SHAPE_TEXT];
  return th__fail(
      TH_ESHAPE, "backward: operator %s returned a gradient %s %s for its argument %d %s %s",
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

static th_status call_vjp(const walk *w, const entry *e, const scratch *s) {
  th__record *r = e->record;
  bool any = false;
  for (int j = 0; j < r->n_out; j++) any |= w->gradients[e->first + j] != NULL;
  if (!any) return TH_OK; /* nothing but zeros arrived */
  for (int i = 0; i < r->n_in; i++) s->needed[i] = r->parents[i] != NULL;
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
  th_status status = r->op->vjp(&v);
  if (status == TH_OK) return TH_OK;
  char text[TH__ERROR_TEXT - 64];
  snprintf(text, sizeof(text), "%s", th_last_error());
  return th__fail(status, "backward of %s: %s", r->op->name, text);
}

/* Hands results to the parents' entries; everything left over is released. */
static th_status distribute(walk *w, const entry *e, const scratch *s, th_status status) {
  th__record *r = e->record;
  const int64_t *parents = w->parents + e->first_parent;
  for (int i = 0; i < r->n_in; i++) {
    th_array *g = s->results[i];
    s->results[i] = NULL;
    if (g == NULL) continue;
    if (status == TH_OK && parents[i] >= 0) status = check_result(r, i, g);
    if (status != TH_OK || parents[i] < 0) {
      th_release(g);
      continue;
    }
    entry *parent = &w->entries[parents[i]];
    status = accumulate(w, &w->gradients[parent->first + r->parents[i]->index], g);
  }
  for (int i = 0; i < r->n_in; i++) {
    if (parents[i] >= 0 && --w->entries[parents[i]].pending == 0) {
      w->ready[w->n_ready++] = parents[i];
    }
  }
  return status;
}

static th_status run_record(walk *w, entry *e, const scratch *s) {
  th__record *r = e->record;
  int n = r->n_in + r->n_out;
  TH_TRY(consume(w, r, s->saved));
  memset(s->arrays, 0, (size_t)n * sizeof(*s->arrays));
  memset(s->results, 0, (size_t)r->n_in * sizeof(*s->results));
  th_status status = call_vjp(w, e, s);
  for (int i = 0; w->create && i < n; i++) th_release(s->arrays[i]);
  for (int j = 0; j < r->n_out; j++) {
    th_release(w->gradients[e->first + j]);
    w->gradients[e->first + j] = NULL;
  }
  status = distribute(w, e, s, status);
  if (w->retain) {
    for (int i = 0; i < n; i++) th_release(s->saved[i].array);
  } else {
    th__record_strip(r, s->saved);
  }
  return status;
}

static th_status run_all(walk *w, const scratch *s) {
  while (w->n_ready > 0) {
    entry *e = &w->entries[w->ready[--w->n_ready]];
    TH_TRY(e->record->op != NULL ? run_record(w, e, s) : finish_leaf(w, e));
    th__record_release(e->record);
    e->record = NULL;
  }
  return TH_OK;
}

static th_status run_walk(walk *w, const th__node *root, const th_array *gradient) {
  TH_TRY(discover(w, root->record));
  size_t in = (size_t)w->max_in, all = in + (size_t)w->max_out;
  size_t bytes = all * (sizeof(th__saved) + sizeof(th_array *)) + in * (sizeof(th_array *) + 1);
  char *block = th__zalloc(bytes);
  if (block == NULL) return TH_ENOMEM;
  scratch s = {.saved = (th__saved *)block,
               .arrays = (th_array **)(block + all * sizeof(th__saved))};
  s.results = s.arrays + all;
  s.needed = (bool *)(s.results + in);
  th_array *start = th_retain((th_array *)gradient);
  w->gradients[w->entries[0].first + root->index] = start;
  w->ready[w->n_ready++] = 0;
  th_status status = run_all(w, &s);
  th__free(block);
  return status;
}

/* --- the public calls --- */

static th_status walk_back(const th_array *a, const th_array *gradient, uint32_t flags) {
  walk w = {.create = (flags & TH_CREATE_GRAPH) != 0,
            .retain = (flags & (TH_CREATE_GRAPH | TH_RETAIN_GRAPH)) != 0};
  th__node *root = th__tape_node(a);
  if (root == NULL) {
    return th__fail(TH_EINVAL, "backward: nothing was recorded for this array: no input required "
                               "a gradient, or th_grad_mode(false) was set");
  }
  w.scope = th__scope_suspend();
  bool recording = th__tape_recording(w.create);
  th_array *ones = NULL;
  th_status status = TH_OK;
  if (gradient == NULL) {
    gradient = ones = th_ones_like(a);
    if (ones == NULL) status = th_last_status();
  }
  if (status == TH_OK) status = run_walk(&w, root, gradient);
  for (int64_t i = 0; i < w.n_gradients; i++) th_release(w.gradients[i]);
  for (int64_t e = 0; e < w.n; e++) th__record_release(w.entries[e].record);
  th__free(w.entries);
  th__free(w.table);
  th__free(w.parents);
  th__free(w.gradients);
  th__free(w.ready);
  th_release(ones);
  th__record_release(root->record);
  th__tape_recording(recording);
  th__scope_resume(w.scope, NULL);
  return status;
}

static th_status check_call(const th_array *a, uint32_t flags) {
  if (a == NULL) {
    return th_last_status() != TH_OK ? TH_EINVAL
                                     : th__fail(TH_EINVAL, "backward: the array is NULL");
  }
  if ((flags & ~(uint32_t)(TH_RETAIN_GRAPH | TH_CREATE_GRAPH)) != 0) {
    return th__fail(TH_EINVAL, "backward: unknown flags 0x%x", flags);
  }
  return TH_OK;
}

th_status th_backward(th_array *loss, uint32_t flags) {
  TH_TRY(check_call(loss, flags));
  if (th_array_size(loss) != 1) {
    char shape[TH__SHAPE_TEXT];
    return th__fail(TH_ESHAPE,
                    "backward: the array has shape %s, not one element; give the gradient to start "
                    "from with th_backward_from()",
                    th__shape_text(loss->layout.shape, loss->layout.ndim, shape, sizeof(shape)));
  }
  return walk_back(loss, NULL, flags);
}

th_status th_backward_from(th_array *a, const th_array *gradient, uint32_t flags) {
  TH_TRY(check_call(a, flags));
  if (gradient == NULL) {
    return th_last_status() != TH_OK ? TH_EINVAL
                                     : th__fail(TH_EINVAL, "backward_from: the gradient is NULL");
  }
  if (gradient->layout.dtype != a->layout.dtype ||
      !th__layout_same_shape(&gradient->layout, &a->layout)) {
    char want[TH__SHAPE_TEXT], got[TH__SHAPE_TEXT];
    const th_layout *w = &a->layout, *g = &gradient->layout;
    return th__fail(TH_ESHAPE, "backward_from: the gradient is %s %s, the array %s %s",
                    th__shape_text(g->shape, g->ndim, got, sizeof(got)), th_dtype_name(g->dtype),
                    th__shape_text(w->shape, w->ndim, want, sizeof(want)), th_dtype_name(w->dtype));
  }
  if (!th_device_equal(gradient->device, a->device)) {
    char want[32], got[32];
    return th__fail(TH_EDEVICE, "backward_from: the gradient is on %s, the array on %s",
                    th_device_name(gradient->device, got, sizeof(got)),
                    th_device_name(a->device, want, sizeof(want)));
  }
  return walk_back(a, gradient, flags);
}
