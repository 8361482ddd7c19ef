/* Owns the look at a recorded program with the parts of thrum-trace, which know nothing of the engine. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "stress/oracle.h"
#include "trace/check.h"

/* An edge between two ops that did not run at the same moment, turned round, must be found. */
static bool finds_a_turned_edge(trace *t) {
  for (size_t i = 0; i < t->n_ops; i++) {
    for (size_t j = 0; j < t->ops[i].n_after; j++) {
      size_t at = t->ops[i].first_after + j;
      int64_t before = t->waited[at];
      if (before == TRACE_ABSENT || t->ops[before].n_after == 0) continue;
      size_t other = t->ops[before].first_after;
      int64_t kept = t->waited[other];
      t->waited[other] = (int64_t)i; /* now the earlier op has waited for the later one */
      t->waited[at] = TRACE_ABSENT;
      bool found = trace_check(t, NULL, 0) > 0;
      t->waited[other] = kept;
      t->waited[at] = before;
      return found;
    }
  }
  return true; /* there is none to turn */
}

bool oracle_trace_is_true(const char *text, size_t size, char *message, size_t bytes) {
  trace *t = trace_parse("trace", text, size, message, bytes);
  if (t == NULL) return false;
  char *findings = NULL;
  size_t length = 0;
  FILE *out = open_memstream(&findings, &length);
  size_t n = out == NULL ? 1 : trace_check(t, out, 3);
  if (out != NULL) fclose(out);
  if (n > 0) {
    snprintf(message, bytes, "%s", findings == NULL ? "out of memory" : findings);
  } else if (t->n_ops == 0 || t->dropped > 0) {
    snprintf(message, bytes, "%zu ops, %llu records dropped", t->n_ops,
             (unsigned long long)t->dropped);
  } else if (!finds_a_turned_edge(t)) {
    snprintf(message, bytes, "a turned edge was not found");
  } else {
    message[0] = 0;
  }
  free(findings);
  trace_free(t);
  return message[0] == 0;
}
