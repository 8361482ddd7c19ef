/* Layers inside: a tree of nodes with named arrays. */
#ifndef THRUM_LAYERS_LAYER_H
#define THRUM_LAYERS_LAYER_H

#include "ndarray/array.h"
#include "thrum/layers.h"

enum { TH__LAYER_NAME = 32 }; /* with its end */

typedef struct th__layer_slot {
  char name[TH__LAYER_NAME];
  bool parameter;  /* else a buffer */
  th_array *array; /* +1 */
} th__layer_slot;

typedef struct th__layer_child {
  char name[TH__LAYER_NAME];
  th_layer *layer; /* owned */
} th__layer_child;

struct th_layer {
  const th_layer_type *type;
  char title[TH__LAYER_NAME]; /* for summaries: the type's name, or a better one */
  void *data;                 /* a copy of what th_layer_new() got */
  bool training;
  bool
      shadow; /* a summary's copy on meta: data is another's, and the layout of the last result is kept */
  bool ran;
  th_layout result;
  int n_slots, n_children;
  th__layer_slot *slots;
  th__layer_child *children;
};

/* Array i of the tree, and its name appended to name (bytes long), which is set to "" if it does not fit; NULL: no text wanted. i
 * must be there. */
th__layer_slot *th__layer_slot_at(const th_layer *l, int i, char *name, size_t bytes);

#endif
