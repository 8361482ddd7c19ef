/* A small transformer that reads ids and tells what comes next, built as GPT-2 (Radford et al. 2019). */
#ifndef THRUM_DEMOS_COMMON_TRANSFORMER_H
#define THRUM_DEMOS_COMMON_TRANSFORMER_H

#include <thrum/thrum.h>

enum { TRANSFORMER_BLOCKS = 12, TRANSFORMER_PARAMS = 2 + 12 * TRANSFORMER_BLOCKS + 3 };

typedef struct transformer {
  int64_t ids;     /* how many there are */
  int64_t context; /* places it looks at */
  int64_t width, heads, blocks;
  th_device device; /* of the parameters; ids are expected there, too */
  int n;
  th_array
      *params[TRANSFORMER_PARAMS]; /* tables of ids and of places; 12 per block; norm, answers */
} transformer;

/* Makes the parameters for the sizes that are set, random ones from g. Exits with a message when that fails. */
void transformer_begin(transformer *t, th_generator *g);
void transformer_end(transformer *t);
/* ids (n, context) -> logits (n, context, ids) of the id behind each place. Belongs to the caller's scope. */
th_array *transformer_logits(const transformer *t, const th_array *ids);

#endif
