/* Owns what is asked of all arrays of a tree of layers: names, lists, counts, moving. */
#include <string.h>

#include "engine/base/error.h"
#include "engine/base/mem.h"
#include "layers/layer.h"
#include "ndarray/dtype.h"

int th_layer_states(const th_layer *l) {
  if (l == NULL) return 0;
  int n = l->n_slots;
  for (int i = 0; i < l->n_children; i++) n += th_layer_states(l->children[i].layer);
  return n;
}

/* Appends to name, or makes it "" for good: *bytes becomes 0. */
static void append(char *name, size_t *bytes, const char *text) {
  size_t used = *bytes > 0 ? strlen(name) : 0, more = strlen(text);
  if (*bytes == 0) return;
  if (used + more < *bytes) {
    memcpy(name + used, text, more + 1);
  } else {
    *name = 0;
    *bytes = 0;
  }
}

th__layer_slot *th__layer_slot_at(const th_layer *l, int i, char *name, size_t bytes) {
  size_t room = name != NULL ? bytes : 0;
  for (;;) {
    if (i < l->n_slots) {
      append(name, &room, l->slots[i].name);
      return &l->slots[i];
    }
    i -= l->n_slots;
    const th__layer_child *child = l->children;
    for (int n; i >= (n = th_layer_states(child->layer)); child++) i -= n;
    append(name, &room, child->name);
    append(name, &room, ".");
    l = child->layer;
  }
}

th_array *th_layer_state(const th_layer *l, int i, char *name, size_t bytes) {
  if (i < 0 || i >= th_layer_states(l)) {
    th__fail(TH_EINVAL, "layer_state: no array %d, there are %d", i, th_layer_states(l));
    return NULL;
  }
  if (name != NULL && bytes > 0) *name = 0;
  th__layer_slot *slot = th__layer_slot_at(l, i, name, bytes);
  if (name != NULL && (bytes == 0 || *name == 0)) {
    th__fail(TH_EINVAL, "layer_state: name of array %d needs more than %zu bytes", i, bytes);
    return NULL;
  }
  return slot->array;
}

th_array *th_layer_find(const th_layer *l, const char *name) {
  if (l == NULL || name == NULL) return NULL;
  const char *dot = strchr(name, '.');
  if (dot == NULL) {
    for (int i = 0; i < l->n_slots; i++)
      if (strcmp(l->slots[i].name, name) == 0) return l->slots[i].array;
    return NULL;
  }
  size_t length = (size_t)(dot - name);
  for (int i = 0; i < l->n_children; i++) {
    const char *own = l->children[i].name;
    if (strncmp(own, name, length) == 0 && own[length] == 0)
      return th_layer_find(l->children[i].layer, dot + 1);
  }
  return NULL;
}

/* Whether the array of state i is that of an earlier one: two layers may share it. */
static bool is_repeated(const th_layer *l, int i) {
  const th_array *a = th__layer_slot_at(l, i, NULL, 0)->array;
  for (int j = 0; j < i; j++)
    if (th__layer_slot_at(l, j, NULL, 0)->array == a) return true;
  return false;
}

int th_layer_parameters(const th_layer *l, th_array **list, int room) {
  int n = 0, states = th_layer_states(l);
  for (int i = 0; i < states; i++) {
    const th__layer_slot *slot = th__layer_slot_at(l, i, NULL, 0);
    if (!slot->parameter || is_repeated(l, i)) continue;
    if (n < room && list != NULL) list[n] = slot->array;
    n++;
  }
  return n;
}

int64_t th_layer_count(const th_layer *l) {
  int64_t count = 0;
  int states = th_layer_states(l);
  for (int i = 0; i < states; i++) {
    const th__layer_slot *slot = th__layer_slot_at(l, i, NULL, 0);
    if (slot->parameter && !is_repeated(l, i)) count += th_array_size(slot->array);
  }
  return count;
}

/* --- moving --- */

/* A copy of a's data on d, floats as t; +1, without history. */
static th_array *moved(th_array *a, th_dtype t, th_device d) {
  bool floats = th__dtype_in(th_array_dtype(a), TH_FLOATS);
  th_array *cast = floats ? th_astype(a, t) : th_detach(a), *there = th_copy_to(cast, d);
  th_release(cast);
  return there;
}

/* Array i of the moved tree: again the one that an earlier state got, if both were one. */
static th_array *moved_once(const th_layer *l, int i, th_array *const *done, th_dtype t,
                            th_device d) {
  const th__layer_slot *slot = th__layer_slot_at(l, i, NULL, 0);
  for (int j = 0; j < i; j++)
    if (th__layer_slot_at(l, j, NULL, 0)->array == slot->array) return th_retain(done[j]);
  th_array *a = moved(slot->array, t, d);
  if (a == NULL || !th_requires_grad(slot->array)) return a;
  if (th_require_grad(a) == TH_OK) return a;
  th_release(a);
  return NULL;
}

th_status th_layer_to(th_layer *l, th_dtype t, th_device d) {
  if (l == NULL) return th__fail(TH_EINVAL, "layer_to: NULL layer");
  if (!th__dtype_in(t, TH_FLOATS)) {
    return th__fail(TH_EDTYPE, "layer_to: type %s is not floating", th_dtype_name(t));
  }
  int n = th_layer_states(l), done = 0;
  th_array **arrays = th__alloc((size_t)n * sizeof *arrays + 1);
  if (arrays == NULL) return TH_ENOMEM;
  th_scope scope = th__scope_suspend();
  bool recording = th_grad_mode(false);
  while (done < n && (arrays[done] = moved_once(l, done, arrays, t, d)) != NULL) done++;
  th_status status = done == n ? TH_OK : th_last_status();
  for (int i = 0; i < done; i++) {
    th__layer_slot *slot = th__layer_slot_at(l, i, NULL, 0);
    th_array *old = status == TH_OK ? slot->array : arrays[i];
    if (status == TH_OK) slot->array = arrays[i];
    th_release(old);
  }
  th_grad_mode(recording);
  th__scope_resume(scope, NULL);
  th__free(arrays);
  return status;
}
