/* Owns streaming stores: 16 bytes at a time on x86-64, ordinary copies elsewhere. No state but a switch for tests. */
#include "ops/loops/stream.h"

#include <string.h>

#if defined(__x86_64__)
#include <emmintrin.h>
#endif

/* Below, results may still lie in a cache when they are read. */
#define LEAST_BYTES (INT64_C(64) << 20)

int64_t th__stream_least;

/* On Xeons a 256 MiB result was 1.4 to 1.8 times as quick, on EPYCs up to a fifth slower (docs/performance.md). */
bool th__streams(int64_t bytes) {
  if (th__stream_least) return bytes >= th__stream_least;
#if defined(__x86_64__)
  return bytes >= LEAST_BYTES && __builtin_cpu_is("intel");
#else
  return false;
#endif
}

#if defined(__x86_64__)
void th__stream(char *to, const char *from, int64_t bytes) {
  int64_t lead = -(intptr_t)to & 15, i;
  if (lead > bytes) lead = bytes;
  memcpy(to, from, (size_t)lead);
  for (i = lead; i + 64 <= bytes; i += 64) {
    const __m128i *x = (const void *)(from + i);
    __m128i *y = (void *)(to + i);
    __m128i a = _mm_loadu_si128(x), b = _mm_loadu_si128(x + 1);
    __m128i c = _mm_loadu_si128(x + 2), d = _mm_loadu_si128(x + 3);
    _mm_stream_si128(y, a);
    _mm_stream_si128(y + 1, b);
    _mm_stream_si128(y + 2, c);
    _mm_stream_si128(y + 3, d);
  }
  memcpy(to + i, from + i, (size_t)(bytes - i));
}

void th__stream_end(void) { _mm_sfence(); }
#else
void th__stream(char *to, const char *from, int64_t bytes) { memcpy(to, from, (size_t)bytes); }

void th__stream_end(void) {}
#endif
