/* One call of a public function by its name and signature. */
#ifndef THRUM_TESTS_NUMPY_CALL_H
#define THRUM_TESTS_NUMPY_CALL_H

#include <thrum/thrum.h>

enum { CALL_MOST = 16 };

typedef struct call_list {
  int n;
  int64_t wide[CALL_MOST];
  int narrow[CALL_MOST];
} call_list;

/* Arguments in the order in which they stand, by kind. */
typedef struct call {
  char name[80], signature[24];
  th_array *array[CALL_MOST];
  int n_arrays;
  double real[4];
  int n_reals;
  int64_t number[4];
  int n_numbers;
  call_list list[2];
  int n_lists;
  th_dtype type[2];
  int n_types;
  char text[256];
  th_array *out[CALL_MOST]; /* results, +1 each */
} call;

/* Fills out. False when there is no such function or signature, or it failed: reason says why. */
bool call_run(call *c, char *reason, size_t bytes);

#endif
