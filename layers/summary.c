/* Owns the table of a model: a copy of its layers on the meta device runs once, so shapes come out and nothing is computed. */
#include <inttypes.h>
#include <stdio.h>

#include "engine/base/error.h"
#include "layers/layer.h"
#include "ndarray/array.h"

enum { NAMES = 28, SHAPES = 24 }; /* widths of columns, at least */

static th_status copy_slots(const th_layer *l, th_layer *copy) {
  for (int i = 0; i < l->n_slots; i++) {
    const th__layer_slot *slot = &l->slots[i];
    th_array *a = th_copy_to(slot->array, th_meta());
    TH_TRY(slot->parameter ? th_layer_add_parameter(copy, slot->name, a)
                           : th_layer_add_buffer(copy, slot->name, a));
  }
  return TH_OK;
}

/* l on meta in evaluation mode, so that running it draws no numbers. It borrows l's data. */
static th_layer *shadow(const th_layer *l) {
  th_layer *copy = th_layer_new(l->type, NULL, 0);
  if (copy == NULL) return NULL;
  copy->shadow = true;
  copy->training = false;
  copy->data = l->data;
  th_status status = copy_slots(l, copy);
  for (int i = 0; i < l->n_children && status == TH_OK; i++) {
    th_layer *child = shadow(l->children[i].layer);
    status = child != NULL ? th_layer_add(copy, l->children[i].name, child) : th_last_status();
  }
  if (status == TH_OK) return copy;
  th_layer_release(copy);
  return NULL;
}

/* Elements of a layer's own parameters. */
static int64_t own_count(const th_layer *l) {
  int64_t count = 0;
  for (int i = 0; i < l->n_slots; i++)
    if (l->slots[i].parameter) count += th_array_size(l->slots[i].array);
  return count;
}

/* One line per layer below l, its children indented under it. */
static void print_children(const th_layer *l, const th_layer *ran, int depth, FILE *out) {
  for (int i = 0; i < l->n_children; i++) {
    const th_layer *child = l->children[i].layer, *copy = ran->children[i].layer;
    char line[2 * TH__LAYER_NAME + 2], shape[TH__SHAPE_TEXT] = "-";
    if (copy->ran) th__shape_text(copy->result.shape, copy->result.ndim, shape, sizeof shape);
    int indent = depth * 2;
    snprintf(line, sizeof line, "%s  %s", l->children[i].name, child->title);
    fprintf(out, "%*s%-*s %-*s %12" PRId64 "\n", indent, "",
            NAMES - indent > 0 ? NAMES - indent : 0, line, SHAPES, shape, own_count(child));
    print_children(child, copy, depth + 1, out);
  }
}

static th_status print(const th_layer *l, const th_layer *ran, FILE *out) {
  char shape[TH__SHAPE_TEXT];
  th__shape_text(ran->result.shape, ran->result.ndim, shape, sizeof shape);
  fprintf(out, "%-*s %-*s %12s\n", NAMES, "layer", SHAPES, "output", "parameters");
  print_children(l, ran, 0, out);
  fprintf(out, "%-*s %-*s %12" PRId64 "\n", NAMES, l->title, SHAPES, shape, th_layer_count(l));
  return ferror(out) ? th__fail(TH_EIO, "layer_summary: cannot write") : TH_OK;
}

th_status th_layer_summary(const th_layer *l, const int64_t *shape, int ndim, th_dtype t,
                           FILE *out) {
  if (l == NULL || out == NULL) {
    return th__fail(TH_EINVAL, "layer_summary: %s is NULL", l == NULL ? "layer" : "out");
  }
  th_scope scope = th__scope_suspend();
  bool recording = th_grad_mode(false);
  th_layer *copy = shadow(l);
  th_array *x = copy != NULL ? th_empty(shape, ndim, t, th_meta()) : NULL;
  th_array *y = x != NULL ? th_layer_forward(copy, x) : NULL;
  th_status status = y != NULL ? print(l, copy, out) : th_last_status();
  th_release(y);
  th_release(x);
  th_layer_release(copy);
  th_grad_mode(recording);
  th__scope_resume(scope, NULL);
  return status;
}
