/* Stands before everything else in tests that are compiled once more for the fake's cuda:0: what they build on cpu:N lies on cuda:N
 * there. The library and the support library are the usual ones. */
#ifndef THRUM_TESTS_ONCUDA_PLACE_H
#define THRUM_TESTS_ONCUDA_PLACE_H

#include "thrum/thrum.h"

static inline th_device oncuda_place(int index) { return th_cuda(index); }
#define th_cpu(index) oncuda_place(index)

#endif
