/* Owns how the operators' benchmark asks: for a kind, with inputs as common/ops_spec.h describes them. */
#include "common/ops_serve.h"

#include <stdio.h>
#include <string.h>

#include "common/serve.h"

static bool begin(const char *request, void *state) {
  const ops_impl *impl = state;
  const char *tab = strchr(request, '\t');
  char kind[64];
  ops_spec spec;
  if (!tab || !ops_spec_parse(tab + 1, &spec)) return false;
  snprintf(kind, sizeof kind, "%.*s", (int)(tab - request), request);
  return impl->begin(kind, &spec, impl->state);
}

static void run(void *state, long times) {
  const ops_impl *impl = state;
  impl->run(impl->state, times);
}

static void end(void *state) {
  const ops_impl *impl = state;
  impl->end(impl->state);
}

int ops_serve(const ops_impl *impl) {
  ops_impl copy = *impl;
  bench_service service = {.name = impl->name,
                           .version = impl->version,
                           .begin = begin,
                           .run = run,
                           .end = end,
                           .state = &copy};
  return bench_serve(&service);
}
