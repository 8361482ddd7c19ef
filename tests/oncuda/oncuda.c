/* Owns what happens around each test that runs on the fake's cuda:0: the driver is installed before, and asked for its findings
 * when the engine has been shut down after. Tests of something that only the CPU has are passed over, with the reason. */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "runner/hooks.h"
#include "support/fakedriver.h"
#include "thrum/thrum.h"

static const struct {
  const char *suite, *name, *why; /* "*" = the whole suite */
} skips[] = {
#define SKIP(suite, name, why) {suite, name, why},
#include "oncuda/skips.def"
#undef SKIP
};

static const char *skipped(const char *suite, const char *name) {
  for (size_t i = 0; i < sizeof skips / sizeof *skips; i++)
    if (strcmp(skips[i].suite, suite) == 0 &&
        (strcmp(skips[i].name, "*") == 0 || strcmp(skips[i].name, name) == 0))
      return skips[i].why;
  return NULL;
}

const char *test_begins(const char *suite, const char *name, bool *skip) {
  const char *why = skipped(suite, name);
  *skip = why != NULL;
  if (why == NULL && fake_install(&why)) {
    const char *seed = getenv("ONCUDA_SEED");
    fake_begin(seed != NULL ? strtoull(seed, NULL, 10) : 1);
  }
  return why;
}

const char *test_ends(void) {
  if (th_shutdown() != TH_OK) return th_last_error();
  const char *findings = fake_findings(true);
  return findings[0] != 0 ? findings : NULL;
}
