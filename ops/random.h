/* The random words behind ops/random.c, for its tests against known answers. */
#ifndef THRUM_OPS_RANDOM_H
#define THRUM_OPS_RANDOM_H

#include <stdint.h>

/* Four random words for a counter and a key: Philox4x32-10. */
void th__philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]);

#endif
