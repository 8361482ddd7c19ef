/* Owns the first half of a walk: which records take part, what of it leads to something that is asked for, and whether all of that
 * still can run. */
#include "autograd/walk.h"

#include <string.h>

#include "engine/base/error.h"
#include "engine/base/mem.h"

/* --- entries --- */

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

static th_status grow_table(th__walk *w) {
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

/* Where r is, or would be, in the table. */
static uint64_t place_of(const th__walk *w, const th__record *r) {
  uint64_t mask = (uint64_t)(w->table_size - 1), at = hash_record(r) & mask;
  while (w->table[at] != 0 && w->entries[w->table[at] - 1].record != r) at = (at + 1) & mask;
  return at;
}

/* Finds or makes the entry of r and takes over the caller's reference to r, in every case. */
static th_status find_entry(th__walk *w, th__record *r, int64_t *found) {
  th_status status = w->n * 2 >= w->table_size ? grow_table(w) : TH_OK;
  if (status == TH_OK) {
    uint64_t at = place_of(w, r);
    if (w->table[at] != 0) {
      *found = w->table[at] - 1;
      th__record_release(r); /* the entry has one of its own */
      return TH_OK;
    }
    status = grow((void **)&w->entries, &w->capacity, w->n + 1, sizeof(*w->entries));
    if (status == TH_OK) {
      w->table[at] = w->n + 1;
      w->entries[w->n] = (th__entry){.record = r, .live = true, .runs = r->op != NULL};
      *found = w->n++;
      return TH_OK;
    }
  }
  th__record_release(r);
  return status;
}

int64_t th__walk_entry(const th__walk *w, const th__record *r) {
  return w->table[place_of(w, r)] - 1;
}

th_status th__walk_fail_freed(const th__walk *w, const th__record *r) {
  return th__fail(TH_EINVAL,
                  "%s: the graph behind %s was freed by an earlier th_backward(); give that one "
                  "the flag TH_RETAIN_GRAPH to walk it again",
                  w->who, r->op->name);
}

/* --- finding what takes part --- */

/* Takes references to a record's parents. The lock keeps another thread's walk from freeing it meanwhile. */
static th_status enter(const th__walk *w, th__record *r) {
  th__spin_lock(&r->lock);
  bool freed = r->freed;
  for (int i = 0; i < r->n_in && !freed; i++) {
    if (r->parents[i] != NULL) th__record_retain(r->parents[i]->record);
  }
  th__spin_unlock(&r->lock);
  return freed ? th__walk_fail_freed(w, r) : TH_OK;
}

/* Whether nothing behind r can matter: it holds all targets, or in a partial walk one of them. */
static bool is_end(const th__walk *w, const th__record *r) {
  if (r->op == NULL) return true;
  for (int t = 0; t < w->n_targets; t++) {
    bool here = w->targets[t]->record == r;
    if (here == w->partial) return here; /* one decides */
  }
  return !w->partial && w->n_targets > 0;
}

/* Enters entry e: its parents become entries with one more pending edge each. */
static th_status expand(th__walk *w, int64_t e) {
  th__record *r = w->entries[e].record;
  w->entries[e].first = w->n_gradients;
  w->entries[e].first_parent = -1;
  TH_TRY(grow((void **)&w->gradients, &w->gradients_capacity, w->n_gradients + r->n_out,
              sizeof(*w->gradients)));
  memset(w->gradients + w->n_gradients, 0, (size_t)r->n_out * sizeof(*w->gradients));
  w->n_gradients += r->n_out;
  if (r->n_out > w->max_out) w->max_out = r->n_out;
  if (r->n_in > w->max_in) w->max_in = r->n_in;
  if (is_end(w, r)) return TH_OK;
  TH_TRY(grow((void **)&w->parents, &w->parents_capacity, w->n_parents + r->n_in,
              sizeof(*w->parents)));
  TH_TRY(enter(w, r));
  w->entries[e].first_parent = w->n_parents;
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

/* --- what of it is asked for --- */

/* Inputs of an entry whose parents were entered; 0 at ends. */
static int n_parents_of(const th__entry *e) { return e->first_parent < 0 ? 0 : e->record->n_in; }

static bool is_live(const th__walk *w, int64_t parent) {
  return parent >= 0 && w->entries[parent].live;
}

/* Entries in an order in which users come before what they use, into w->ready; counts pending down to 0. */
static void sort_entries(th__walk *w) {
  int64_t n = 0;
  for (int64_t e = 0; e < w->n_roots; e++) {
    if (w->entries[e].pending == 0) w->ready[n++] = e;
  }
  for (int64_t next = 0; next < n; next++) {
    const th__entry *e = &w->entries[w->ready[next]];
    for (int i = 0; i < n_parents_of(e); i++) {
      int64_t parent = w->parents[e->first_parent + i];
      if (parent >= 0 && --w->entries[parent].pending == 0) w->ready[n++] = parent;
    }
  }
}

/* Only what leads to a target stays, with pending counted anew. */
static void prune(th__walk *w) {
  for (int64_t e = 0; e < w->n; e++) w->entries[e].live = w->entries[e].runs = false;
  for (int t = 0; t < w->n_targets; t++) {
    if (w->target_entries[t] < 0) continue;
    th__entry *e = &w->entries[w->target_entries[t]];
    e->live = e->target = true;
  }
  sort_entries(w);
  for (int64_t next = w->n - 1; next >= 0; next--) {
    th__entry *e = &w->entries[w->ready[next]];
    for (int i = 0; i < n_parents_of(e); i++) {
      if (is_live(w, w->parents[e->first_parent + i])) e->live = e->runs = true;
    }
  }
  for (int64_t e = 0; e < w->n; e++) {
    const th__entry *user = &w->entries[e];
    for (int i = 0; i < n_parents_of(user); i++) {
      int64_t *parent = &w->parents[user->first_parent + i];
      if (is_live(w, *parent))
        w->entries[*parent].pending++;
      else
        *parent = -1;
    }
  }
}

static th_status find_targets(th__walk *w) {
  w->target_entries = th__alloc((size_t)w->n_targets * sizeof(*w->target_entries) + 1);
  if (w->target_entries == NULL) return TH_ENOMEM;
  for (int t = 0; t < w->n_targets; t++) {
    w->target_entries[t] = th__walk_entry(w, w->targets[t]->record);
  }
  return TH_OK;
}

/* --- checks --- */

static th_status fail_version(const th__walk *w, const th__record *r, int i) {
  const th__saved *s = &r->saved[i];
  char shape[TH__SHAPE_TEXT];
  const th_layout *layout = &s->array->layout;
  th__shape_text(layout->shape, layout->ndim, shape, sizeof(shape));
  bool input = i < r->n_in;
  const char *writer = th__load(&s->array->storage->writer, TH__RELAXED);
  return th__fail(
      TH_EVERSION,
      "%s: %s %d %s of %s was changed in place by %s after it was recorded: its storage "
      "is at version %llu, the gradient needs %llu",
      w->who, input ? "argument" : "result", input ? i : i - r->n_in, shape, r->op->name,
      writer != NULL ? writer : "a task", (unsigned long long)th_array_version(s->array),
      (unsigned long long)s->version);
}

th_status th__walk_check_saved(const th__walk *w, const th__record *r) {
  for (int i = 0; i < r->n_in + r->n_out; i++) {
    const th__saved *s = &r->saved[i];
    if (s->array != NULL && th_array_version(s->array) != s->version) return fail_version(w, r, i);
  }
  return TH_OK;
}

/* Whether the vjp of r can run. */
static th_status check_record(const th__walk *w, th__record *r) {
  if (r->op->vjp == NULL) {
    return th__fail(TH_ENOSYS, "%s: operator %s has no gradient", w->who, r->op->name);
  }
  th__spin_lock(&r->lock);
  bool freed = r->freed;
  th_status status = freed ? TH_OK : th__walk_check_saved(w, r);
  th__spin_unlock(&r->lock);
  return freed ? th__walk_fail_freed(w, r) : status;
}

static th_status check(const th__walk *w) {
  for (int64_t i = 0; i < w->n; i++) {
    const th__entry *e = &w->entries[i];
    if (e->runs) TH_TRY(check_record(w, e->record));
    if (w->partial && e->record->op == NULL && !e->target) {
      return th__fail(TH_EINVAL,
                      "%s: an array that requires a gradient was used without being an input",
                      w->who);
    }
  }
  return TH_OK;
}

th_status th__walk_discover(th__walk *w, th__node *const *roots, int n) {
  int64_t found;
  for (int i = 0; i < n; i++) {
    TH_TRY(find_entry(w, th__record_retain(roots[i]->record), &found));
  }
  w->n_roots = w->n;
  for (int64_t e = 0; e < w->n; e++) TH_TRY(expand(w, e));
  w->ready = th__alloc((size_t)w->n * sizeof(*w->ready));
  if (w->ready == NULL) return TH_ENOMEM;
  if (w->targets != NULL) {
    TH_TRY(find_targets(w));
    prune(w);
  }
  return check(w);
}

void th__walk_end(th__walk *w) {
  for (int64_t i = 0; i < w->n_gradients; i++) th_release(w->gradients[i]);
  for (int64_t e = 0; e < w->n; e++) th__record_release(w->entries[e].record);
  th__free(w->entries);
  th__free(w->table);
  th__free(w->parents);
  th__free(w->target_entries);
  th__free(w->gradients);
  th__free(w->ready);
}
