/* Owns failures: counted records that poisoned variables share, and the list of those nobody has seen. `list_lock` guards the
 * list; a variable's error changes under the variable's lock. */
#include <stdio.h>
#include <string.h>

#include "engine/parts.h"

#define KEPT 64 /* unseen failures kept by text; more are only counted */

static th__spin list_lock;
static th__failure *unseen[KEPT];
static uint32_t n_unseen;    /* in the list */
static uint64_t n_uncounted; /* beyond the list */
static th__failure *beyond;  /* the first of these */

/* Stands in when there is no memory for a record of its own. Never freed. */
static th__failure no_memory = {.refs = 1,
                                .status = TH_ENOMEM,
                                .text = "an operation failed and there was no memory to say which"};

th__failure *th__failure_retain(th__failure *f) {
  if (f != &no_memory) th__fetch_add(&f->refs, 1, TH__RELAXED);
  return f;
}

void th__failure_release(th__failure *f) {
  if (f == NULL || f == &no_memory) return;
  if (th__fetch_sub(&f->refs, 1, TH__ACQ_REL) == 1) th__free(f);
}

/* Under list_lock. Those that somebody has met leave the list; *gone are to be released. Returns how many. */
static uint32_t drop_observed(th__failure *gone[KEPT]) {
  uint32_t n = 0, kept = 0;
  for (uint32_t i = 0; i < n_unseen; i++) {
    if (th__load(&unseen[i]->observed, TH__RELAXED))
      gone[n++] = unseen[i];
    else
      unseen[kept++] = unseen[i];
  }
  n_unseen = kept;
  return n;
}

static void note_unseen(th__failure *f) {
  th__failure *gone[KEPT];
  th__spin_lock(&list_lock);
  uint32_t n = n_unseen == KEPT ? drop_observed(gone) : 0;
  if (n_unseen < KEPT) {
    unseen[n_unseen++] = th__failure_retain(f);
  } else {
    if (n_uncounted++ == 0) beyond = th__failure_retain(f);
  }
  th__spin_unlock(&list_lock);
  for (uint32_t i = 0; i < n; i++) th__failure_release(gone[i]);
}

th__failure *th__failure_new(th_status status, const th__task *task, const char *text) {
  th__failure *f = th__alloc(sizeof *f);
  if (f == NULL) {
    f = &no_memory;
    th__store(&f->observed, 0, TH__RELAXED);
  } else {
    th__store(&f->refs, 1, TH__RELAXED);
    th__store(&f->observed, 0, TH__RELAXED);
    f->status = status;
    f->sequence = th__load(&task->sequence, TH__RELAXED);
    const char *name = th__task_kind(task)->name;
    size_t n = strlen(name);
    if (strncmp(text, name, n) == 0 && text[n] == ':') {
      snprintf(f->text, sizeof f->text, "%s", text);
    } else {
      snprintf(f->text, sizeof f->text, "%s: %s", name, text);
    }
  }
  note_unseen(f);
  return f;
}

void th__var_set_error(th_var *v, th__failure *f) {
  if (f != NULL) th__failure_retain(f);
  th__spin_lock(&v->lock);
  th__failure *old = th__exchange(&v->error, f, TH__ACQ_REL);
  th__spin_unlock(&v->lock);
  if (f != NULL && old == NULL) th__fetch_add(&th__the.failures_live, 1, TH__RELEASE);
  if (f == NULL && old != NULL) th__fetch_sub(&th__the.failures_live, 1, TH__RELEASE);
  th__failure_release(old);
}

/* Unless v has one already. */
static void set_first_error(th_var *v, th__failure *f) {
  th__spin_lock(&v->lock);
  bool first = th__load(&v->error, TH__RELAXED) == NULL;
  if (first) {
    th__failure_retain(f);
    th__store(&v->error, f, TH__RELEASE);
  }
  th__spin_unlock(&v->lock);
  if (first) th__fetch_add(&th__the.failures_live, 1, TH__RELEASE);
}

void th__var_lose(th_var *v, const char *text) {
  if (v->epoch != th__the.epoch || th__load(&v->error, TH__ACQUIRE) != NULL) return;
  th__failure *f = th__alloc(sizeof *f);
  if (f == NULL) {
    f = &no_memory;
  } else {
    th__store(&f->refs, 1, TH__RELAXED);
    th__store(&f->observed, 1, TH__RELAXED);
    f->status = TH_EDEVICE;
    f->sequence = th__load(&th__the.sequence, TH__RELAXED);
    snprintf(f->text, sizeof f->text, "%s", text);
  }
  set_first_error(v, f);
  th__failure_release(f);
}

/* Of several, the oldest: the choice must not depend on addresses or schedule. */
th__failure *th__poison_of_inputs(const th__task *task) {
  const _Atomic th__access *vars = th__task_vars(task);
  th__failure *oldest = NULL;
  for (size_t i = 0; i < task->n_vars; i++) {
    th__access a = th__load(&vars[i], TH__RELAXED);
    if (!(a & TH__ACCESS_READ)) continue;
    /* Ordered behind the writer that set it, and before any that cures it. */
    th__failure *f = th__load(&TH__ACCESS_VAR(a)->error, TH__ACQUIRE);
    if (f != NULL && (oldest == NULL || f->sequence < oldest->sequence)) oldest = f;
  }
  return oldest;
}

void th__poison_outputs(const th__task *task, th__failure *f) {
  const _Atomic th__access *vars = th__task_vars(task);
  for (size_t i = 0; i < task->n_vars; i++) {
    th__access a = th__load(&vars[i], TH__RELAXED);
    if (a & TH__ACCESS_WRITE) th__var_set_error(TH__ACCESS_VAR(a), f);
  }
}

void th__cure_outputs(const th__task *task) {
  if (task->flags & TH_TASK_ALWAYS) return;
  const _Atomic th__access *vars = th__task_vars(task);
  for (size_t i = 0; i < task->n_vars; i++) {
    th__access a = th__load(&vars[i], TH__RELAXED);
    if ((a & 3) != TH__ACCESS_WRITE) continue;
    th_var *v = TH__ACCESS_VAR(a);
    if (th__load(&v->error, TH__RELAXED) != NULL) th__var_set_error(v, NULL);
  }
}

th_status th__var_error(th_var *v) {
  if (th__load(&v->error, TH__ACQUIRE) == NULL) return TH_OK;
  th__spin_lock(&v->lock);
  th__failure *f = th__load(&v->error, TH__ACQUIRE);
  if (f != NULL) th__failure_retain(f);
  th__spin_unlock(&v->lock);
  if (f == NULL) return TH_OK;
  th__store(&f->observed, 1, TH__RELAXED);
  th_status status = th__fail(f->status, "%s", f->text);
  th__failure_release(f);
  return status;
}

th_status th__failures_collect(void) {
  th__failure *taken[KEPT + 1];
  th__spin_lock(&list_lock);
  uint32_t n = n_unseen;
  uint64_t count = n_uncounted;
  memcpy(taken, unseen, n * sizeof *taken);
  if (beyond != NULL) taken[n++] = beyond, count--;
  beyond = NULL;
  n_unseen = 0;
  n_uncounted = 0;
  th__spin_unlock(&list_lock);
  /* Of those beyond the list only the first is known; that one stands for the others. */
  th__failure *first = count > 0 ? taken[n - 1] : NULL;
  for (uint32_t i = 0; i < n; i++) {
    if (th__load(&taken[i]->observed, TH__RELAXED)) continue;
    if (first == NULL || taken[i]->sequence < first->sequence) first = taken[i];
    count++;
  }
  th_status status = TH_OK;
  if (first != NULL && count > 1) {
    status = th__fail(first->status, "%.*s (first of %llu failures)", TH__ERROR_TEXT - 48,
                      first->text, (unsigned long long)count);
  } else if (first != NULL) {
    status = th__fail(first->status, "%s", first->text);
  }
  for (uint32_t i = 0; i < n; i++) {
    th__store(&taken[i]->observed, 1, TH__RELAXED);
    th__failure_release(taken[i]);
  }
  return status;
}

void th__failures_free(void) {
  for (uint32_t i = 0; i < n_unseen; i++) th__failure_release(unseen[i]);
  th__failure_release(beyond);
  th__failures_forget();
}

void th__failures_forget(void) {
  n_unseen = 0;
  n_uncounted = 0;
  beyond = NULL;
  list_lock = (th__spin){0};
}
