/* Stands before everything else in tests that are compiled once more for the fake's cuda:0: what they build on cpu:N lies on cuda:N
 * there, layers included. The library and the support library are the usual ones. */
#ifndef THRUM_TESTS_ONCUDA_PLACE_H
#define THRUM_TESTS_ONCUDA_PLACE_H

#include "thrum/thrum.h"

static inline th_device oncuda_place(int index) { return th_cuda(index); }
#define th_cpu(index) oncuda_place(index)

/* A layer whose maker knows no device; NULL stays NULL, and so does its message. */
static inline th_layer *oncuda_layer(th_layer *l) {
  if (l == NULL || th_layer_to(l, TH_F32, th_cuda(0)) == TH_OK) return l;
  th_layer_release(l);
  return NULL;
}
#define th_linear_layer(...)     oncuda_layer(th_linear_layer(__VA_ARGS__))
#define th_conv2d_layer(...)     oncuda_layer(th_conv2d_layer(__VA_ARGS__))
#define th_batch_norm_layer(...) oncuda_layer(th_batch_norm_layer(__VA_ARGS__))
#define th_layer_norm_layer(...) oncuda_layer(th_layer_norm_layer(__VA_ARGS__))
#define th_embedding_layer(...)  oncuda_layer(th_embedding_layer(__VA_ARGS__))
#define th_attention_layer(...)  oncuda_layer(th_attention_layer(__VA_ARGS__))

#endif
