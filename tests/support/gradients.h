/* What tests of gradients share: an operator without one, and programs that run out of memory at every point. */
#ifndef THRUM_TESTS_SUPPORT_GRADIENTS_H
#define THRUM_TESTS_SUPPORT_GRADIENTS_H

#include "ops/op.h"

/* Has no gradient; its result is its input. */
extern const th_op opaque;

/* Runs program with its first, second, ... allocation failing, `most` times at most, until it gets through; and once with none
 * failing, before and after. The engine must not have been started. It runs serially: with threads, submission waits for memory
 * that somebody frees, and here nobody ever does. */
void gradients_without_memory(th_status (*program)(void), int most);

#endif
