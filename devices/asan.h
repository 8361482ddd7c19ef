/* Under the address sanitizer memory that is kept for reuse is poisoned; elsewhere nothing happens. */
#ifndef THRUM_DEVICES_ASAN_H
#define THRUM_DEVICES_ASAN_H

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define TH__ASAN 1
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define TH__ASAN 1
#endif
#ifdef TH__ASAN
#include <sanitizer/asan_interface.h>
#define th__poison(p, bytes)   ASAN_POISON_MEMORY_REGION(p, bytes)
#define th__unpoison(p, bytes) ASAN_UNPOISON_MEMORY_REGION(p, bytes)
#else
#define TH__ASAN               0
#define th__poison(p, bytes)   ((void)(p), (void)(bytes))
#define th__unpoison(p, bytes) ((void)(p), (void)(bytes))
#endif

#endif
