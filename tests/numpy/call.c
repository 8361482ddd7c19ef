/* Owns the way from a name to a call: the function is looked up in the shared library, its type is one of signatures.def. */
#include "numpy/call.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#define A(i)   c->array[i]
#define D(i)   c->real[i]
#define N(i)   c->number[i]
#define T(i)   c->type[i]
#define S      c->text
#define V      th_cpu(0)
#define L(i)   c->list[i].wide, c->list[i].n
#define I(i)   c->list[i].narrow, c->list[i].n
#define P(i)   c->list[i].wide
#define Q(i)   c->list[i].narrow
#define MANY   c->array, c->n_arrays
#define OUT(i) c->out + (i)

typedef void (*any_function)(void);

#define SIGNATURE(id, letters, parameters, arguments)                                              \
  static bool call_##id(call *c, any_function f) {                                                 \
    if (letters[0] == 'a') {                                                                       \
      c->out[0] = ((th_array * (*)parameters) f) arguments;                                        \
      return c->out[0] != NULL;                                                                    \
    }                                                                                              \
    return ((th_status(*) parameters)f)arguments == TH_OK;                                         \
  }
#include "numpy/signatures.def"
#undef SIGNATURE

static const struct {
  const char *letters;
  bool (*run)(call *c, any_function f);
} signatures[] = {
#define SIGNATURE(id, letters, parameters, arguments) {letters, call_##id},
#include "numpy/signatures.def"
#undef SIGNATURE
};

static any_function find(const char *name) {
  char symbol[96];
  any_function f = NULL;
  snprintf(symbol, sizeof symbol, "th_%s", name);
  void *found = dlsym(RTLD_DEFAULT, symbol);
  memcpy(&f, &found, sizeof f);
  return f;
}

bool call_run(call *c, char *reason, size_t bytes) {
  any_function f = find(c->name);
  if (!f) {
    snprintf(reason, bytes, "the library has no th_%s", c->name);
    return false;
  }
  for (size_t i = 0; i < sizeof signatures / sizeof *signatures; i++) {
    if (strcmp(signatures[i].letters, c->signature) != 0) continue;
    th_clear_error();
    bool good = signatures[i].run(c, f);
    if (!good) snprintf(reason, bytes, "it failed: %s", th_last_error());
    if (good && !c->out[0]) c->out[0] = th_retain(c->array[0]); /* written in place */
    return good;
  }
  snprintf(reason, bytes, "tests/numpy/signatures.def has no row for '%s'", c->signature);
  return false;
}
