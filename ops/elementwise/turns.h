/* Lines of sine and cosine for f32. */
#ifndef THRUM_OPS_ELEMENTWISE_TURNS_H
#define THRUM_OPS_ELEMENTWISE_TURNS_H

#include <stdint.h>

void th__line_sin(char *const *p, int64_t n, const void *user);
void th__line_cos(char *const *p, int64_t n, const void *user);

#endif
