/* Owns the life of layers: making, adding arrays and children, running, modes. */
#include "layers/layer.h"

#include <stdio.h>
#include <string.h>

#include "engine/base/error.h"
#include "engine/base/mem.h"
#include "ops/compose.h"

th_layer *th_layer_new(const th_layer_type *type, const void *data, size_t bytes) {
  if (type == NULL || type->size < sizeof *type || type->forward == NULL || type->name == NULL) {
    th__fail(TH_EINVAL, "layer_new: type needs its size, a name and a forward function");
    return NULL;
  }
  if (data == NULL && bytes > 0) {
    th__fail(TH_EINVAL, "layer_new: data is NULL");
    return NULL;
  }
  th_layer *l = th__zalloc(sizeof *l);
  if (l == NULL) return NULL;
  l->type = type;
  l->training = true;
  snprintf(l->title, sizeof l->title, "%s", type->name);
  if (bytes > 0 && (l->data = th__alloc(bytes)) == NULL) {
    th__free(l);
    return NULL;
  }
  if (bytes > 0) memcpy(l->data, data, bytes);
  return l;
}

void th_layer_release(th_layer *l) {
  if (l == NULL) return;
  for (int i = 0; i < l->n_children; i++) th_layer_release(l->children[i].layer);
  for (int i = 0; i < l->n_slots; i++) th_release(l->slots[i].array);
  if (!l->shadow) {
    if (l->type->release != NULL) l->type->release(l->data);
    th__free(l->data);
  }
  th__free(l->slots);
  th__free(l->children);
  th__free(l);
}

/* --- adding --- */

static th_status check_name(const th_layer *l, const char *who, const char *name) {
  if (l == NULL) return th__fail(TH_EINVAL, "%s: NULL layer", who);
  size_t length = name != NULL ? strlen(name) : 0;
  if (length < 1 || length >= TH__LAYER_NAME || strchr(name, '.') != NULL) {
    return th__fail(TH_EINVAL, "%s: name \"%s\" must have 1 to %d characters and no dot", who,
                    name != NULL ? name : "", TH__LAYER_NAME - 1);
  }
  for (int i = 0; i < l->n_slots + l->n_children; i++) {
    const char *other = i < l->n_slots ? l->slots[i].name : l->children[i - l->n_slots].name;
    if (strcmp(other, name) == 0) {
      return th__fail(TH_EINVAL, "%s: there is a \"%s\" already", who, name);
    }
  }
  return TH_OK;
}

static th_status add_child(th_layer *l, const char *name, th_layer *child) {
  if (child == NULL) {
    return th_last_status() != TH_OK ? th_last_status()
                                     : th__fail(TH_EINVAL, "layer_add: NULL child");
  }
  TH_TRY(check_name(l, "layer_add", name));
  size_t n = (size_t)l->n_children + 1;
  th__layer_child *more = th__resize(l->children, n * sizeof *more);
  if (more == NULL) return TH_ENOMEM;
  l->children = more;
  th__layer_child *added = &more[l->n_children++];
  snprintf(added->name, sizeof added->name, "%s", name);
  added->layer = child;
  return TH_OK;
}

th_status th_layer_add(th_layer *l, const char *name, th_layer *child) {
  th_status status = add_child(l, name, child);
  if (status != TH_OK) th_layer_release(child);
  return status;
}

static th_status add_slot(th_layer *l, const char *who, const char *name, th_array *a,
                          bool parameter) {
  if (a == NULL) return th__array_null(who);
  TH_TRY(check_name(l, who, name));
  if (parameter && !th_requires_grad(a)) TH_TRY(th_require_grad(a));
  size_t n = (size_t)l->n_slots + 1;
  th__layer_slot *more = th__resize(l->slots, n * sizeof *more);
  if (more == NULL) return TH_ENOMEM;
  l->slots = more;
  th__layer_slot *added = &more[l->n_slots++];
  *added = (th__layer_slot){.parameter = parameter, .array = th_keep(a)};
  snprintf(added->name, sizeof added->name, "%s", name);
  return TH_OK;
}

th_status th_layer_add_parameter(th_layer *l, const char *name, th_array *a) {
  th_status status = add_slot(l, "layer_add_parameter", name, a, true);
  if (status != TH_OK) th_release(a);
  return status;
}

th_status th_layer_add_buffer(th_layer *l, const char *name, th_array *a) {
  th_status status = add_slot(l, "layer_add_buffer", name, a, false);
  if (status != TH_OK) th_release(a);
  return status;
}

th_array *th_layer_array(const th_layer *l, int i) {
  return l != NULL && i >= 0 && i < l->n_slots ? l->slots[i].array : NULL;
}

th_layer *th_layer_child(const th_layer *l, int i) {
  return l != NULL && i >= 0 && i < l->n_children ? l->children[i].layer : NULL;
}

/* --- running --- */

th_array *th_layer_forward(th_layer *l, const th_array *x) {
  if (l == NULL) {
    if (th_last_status() == TH_OK) th__fail(TH_EINVAL, "layer_forward: NULL layer");
    return NULL;
  }
  if (x == NULL) return (void)th__array_null("layer_forward"), NULL;
  th__composing c = th__compose();
  th_array *result = l->type->forward(l, x, l->data);
  bool same = result == x; /* may belong to a scope outside, where this reference is to go */
  if (same) th_release(result);
  if (!same) th_keep(result);
  th_scope_end(c.own);
  if (same) th_retain(result);
  if (l->shadow && result != NULL) {
    l->result = result->layout;
    l->ran = true;
  }
  return th__scope_resume(c.outer, result);
}

void th_layer_train(th_layer *l, bool training) {
  if (l == NULL) return;
  l->training = training;
  for (int i = 0; i < l->n_children; i++) th_layer_train(l->children[i].layer, training);
}

bool th_layer_training(const th_layer *l) { return l != NULL && l->training; }
