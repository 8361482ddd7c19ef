/* Owns scopes: per thread a stack, each a list of the handles it owns references of. Only the owning thread touches a scope
 * and the scope fields of its handles; scope_thread, which tells whose they are, may be read by any.
 *
 * A handle in a scope counts, apart from all its references, those that the scope owns (scope_refs) and how often the thread
 * retained it since (scope_retains), so that th_release() knows whether it ends one of the thread's own references or gives
 * up one of the scope's early. While scopes are suspended, the library's retains and releases are neither. */
#include "engine/base/error.h"
#include "engine/base/mem.h"
#include "ndarray/array.h"

struct th_scope_state {
  th_scope outer;
  th_array *newest;
};

static _Thread_local th_scope innermost TH__HOT; /* its address also names the thread */

/* For when there is no memory: what the library makes on its way must still have somebody to release it. */
enum { SPARE = 32 };
static _Thread_local struct th_scope_state spare[SPARE];
static _Thread_local uint32_t spare_used; /* a bit each */

static th_scope take_spare(void) {
  if (spare_used == UINT32_MAX) return NULL;
  int i = __builtin_ctz(~spare_used);
  spare_used |= UINT32_C(1) << i;
  return &spare[i];
}

static void give_state(th_scope s) {
  uintptr_t at = (uintptr_t)s - (uintptr_t)spare;
  if (at < sizeof spare)
    spare_used &= ~(UINT32_C(1) << (at / sizeof *spare));
  else
    th__free(s);
}

static void *put_aside(void) { return th__scope_suspend(); }
static void put_back(void *saved) { (void)th__scope_resume(saved, NULL); }

th_scope th_scope_begin(void) {
  if (th__engine_on_switch(put_aside, put_back) != TH_OK) return NULL;
  th_scope s = th__alloc(sizeof *s);
  if (!s) s = take_spare();
  if (!s) return NULL;
  *s = (struct th_scope_state){.outer = innermost};
  return innermost = s;
}

static bool owned_here(const th_array *a) {
  /* Relaxed: another thread's value never equals ours, our own we wrote. */
  return th__load(&a->scope_thread, TH__RELAXED) == &innermost;
}

static void take_out(th_array *a) {
  if (a->scope_next) a->scope_next->scope_previous = a->scope_previous;
  if (a->scope_previous) {
    a->scope_previous->scope_next = a->scope_next;
  } else {
    a->scope->newest = a->scope_next;
  }
  a->scope = NULL;
  a->scope_refs = a->scope_retains = 0;
  th__store(&a->scope_thread, NULL, TH__RELAXED);
}

void th__scope_adopt(th_array *a) {
  if (!innermost || !a) return;
  if (th__load(&a->scope_thread, TH__RELAXED)) {
    /* Another reference of an owned handle: one scope keeps both. Another thread's scope cannot be changed from here. */
    if (owned_here(a)) a->scope_refs++;
    return;
  }
  a->scope = innermost;
  a->scope_refs = 1;
  a->scope_retains = 0;
  a->scope_previous = NULL;
  a->scope_next = innermost->newest;
  if (a->scope_next) a->scope_next->scope_previous = a;
  innermost->newest = a;
  th__store(&a->scope_thread, &innermost, TH__RELAXED);
}

void th__scope_retain(th_array *a) {
  if (innermost && owned_here(a)) a->scope_retains++;
}

void th__scope_release(th_array *a) {
  if (!innermost || !owned_here(a)) return;
  if (a->scope_retains > 0) {
    a->scope_retains--;
  } else if (--a->scope_refs == 0) {
    take_out(a);
  }
}

th_array *th_keep(th_array *a) {
  if (a && owned_here(a) && --a->scope_refs == 0) take_out(a);
  return a;
}

void th_scope_end(th_scope s) {
  if (!s) return;
  if (s != innermost) {
    (void)th__fail(TH_EINVAL, "th_scope_end: not the innermost scope of this thread");
    return;
  }
  innermost = NULL; /* what ends now ends by plain counting */
  for (th_array *a; (a = s->newest) != NULL;) {
    int32_t refs = a->scope_refs;
    take_out(a);
    for (; refs > 0; refs--) th_release(a);
  }
  innermost = s->outer;
  give_state(s);
}

th_scope th__scope_suspend(void) {
  th_scope s = innermost;
  innermost = NULL;
  return s;
}

th_array *th__scope_resume(th_scope suspended, th_array *result) {
  innermost = suspended;
  th__scope_adopt(result);
  return result;
}
