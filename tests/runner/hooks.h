/* What a program may add around each of its tests, in the test's process. Of our own runner only; both are optional. */
#ifndef THRUM_TESTS_RUNNER_HOOKS_H
#define THRUM_TESTS_RUNNER_HOOKS_H

#include <stdbool.h>

/* Before set-up: NULL, or why the test cannot run: it has failed, or (*skip) is passed over. */
const char *test_begins(const char *suite, const char *name, bool *skip) __attribute__((weak));
/* After a test that passed, teardown included: NULL, or what was wrong all the same. */
const char *test_ends(void) __attribute__((weak));

#endif
