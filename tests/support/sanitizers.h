/* Which sanitizers this is built with: each 0 or 1. */
#ifndef THRUM_TESTS_SANITIZERS_H
#define THRUM_TESTS_SANITIZERS_H

#if defined(__has_feature) /* clang; gcc defines the macros below itself */
#if __has_feature(thread_sanitizer)
#define __SANITIZE_THREAD__ 1
#elif __has_feature(address_sanitizer)
#define __SANITIZE_ADDRESS__ 1
#endif
#endif

#if defined(__SANITIZE_THREAD__)
#define THREAD_SANITIZER 1
#else
#define THREAD_SANITIZER 0
#endif
#if defined(__SANITIZE_ADDRESS__)
#define ADDRESS_SANITIZER 1
#else
#define ADDRESS_SANITIZER 0
#endif

#endif
