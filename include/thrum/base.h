/**
 * @file base.h
 * Version, visibility, status codes, element types, configuration. Every other header includes this one.
 *
 * Conventions that hold for the whole library:
 *  - A function that makes something returns a new reference (+1) or NULL; a function that does
 *    something returns a th_status. After NULL or a negative status, th_last_status() and
 *    th_last_error() tell what happened on this thread.
 *  - A NULL handle given to a maker gives NULL and keeps the first message, so calls nest:
 *    `th_add(th_matmul(x, w), b)` is checked once.
 *  - `const th_array *` is read by the call, `th_array *` is written by it, or shared: a view, or history, leads to it.
 *  - Every function may be called from any thread at any time unless its comment says otherwise.
 *  - Nothing in the library aborts, exits or prints.
 */
#ifndef THRUM_BASE_H
#define THRUM_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TH_VERSION_MAJOR 0 /**< Incompatible changes. */
#define TH_VERSION_MINOR 1 /**< Additions. */
#define TH_VERSION_PATCH 0 /**< Repairs. */

#if defined(__GNUC__)
/** Marks what the shared library exports. */
#define TH_API __attribute__((visibility("default")))
/** The compiler warns when the result is dropped. */
#define TH_WARN_UNUSED __attribute__((warn_unused_result))
/** The compiler checks arguments from number first on against the format in argument number text. */
#define TH_PRINTF(text, first) __attribute__((format(printf, text, first)))
#else
#define TH_API
#define TH_WARN_UNUSED
#define TH_PRINTF(text, first)
#endif

#define TH_MAX_DIMS 8 /**< Most dimensions an array may have. */

/** The list of status codes: X(name, value, text). The one place that names them. */
#define TH_STATUS_MAP(X)                                                                           \
  X(OK, 0, "success")                                                                              \
  X(EINVAL, -1, "invalid argument")                                                                \
  X(ESHAPE, -2, "shapes do not fit")                                                               \
  X(EDTYPE, -3, "element type not accepted")                                                       \
  X(EDEVICE, -4, "arrays are on different devices or the device is absent")                        \
  X(ENOMEM, -5, "out of memory")                                                                   \
  X(EVERSION, -6, "array was changed after it was saved for a gradient")                           \
  X(ENODATA, -7, "array has no data")                                                              \
  X(ENOSYS, -8, "not available on this device")                                                    \
  X(EIO, -9, "input or output failed")                                                             \
  X(EKERNEL, -10, "an operation failed while it ran")                                              \
  X(ECANCELED, -11, "canceled")                                                                    \
  X(ETIMEDOUT, -12, "timed out")                                                                   \
  X(EAGAIN, -13, "try again later")                                                                \
  X(EBUSY, -14, "in use")                                                                          \
  X(EDEADLK, -15, "waiting here would never end")                                                  \
  X(EFORK, -16, "the engine does not survive fork")                                                \
  X(ESHUTDOWN, -17, "the engine has been shut down")                                               \
  X(EOVERFLOW, -18, "size overflows")

/** Outcome of a call: TH_OK (0) or a negative code. */
typedef enum th_status {
#define TH__STATUS(name, value, text) TH_##name = value,
  TH_STATUS_MAP(TH__STATUS)
#undef TH__STATUS
} th_status;

/** The list of element types: X(NAME, name, C type, bytes, kind letter 'b','u','i','f'). */
#define TH_DTYPE_MAP(X)                                                                            \
  X(BOOL, bool, uint8_t, 1, 'b')                                                                   \
  X(U8, u8, uint8_t, 1, 'u')                                                                       \
  X(U16, u16, uint16_t, 2, 'u')                                                                    \
  X(U32, u32, uint32_t, 4, 'u')                                                                    \
  X(U64, u64, uint64_t, 8, 'u')                                                                    \
  X(I8, i8, int8_t, 1, 'i')                                                                        \
  X(I16, i16, int16_t, 2, 'i')                                                                     \
  X(I32, i32, int32_t, 4, 'i')                                                                     \
  X(I64, i64, int64_t, 8, 'i')                                                                     \
  X(F16, f16, th_f16, 2, 'f')                                                                      \
  X(BF16, bf16, th_bf16, 2, 'f')                                                                   \
  X(F32, f32, float, 4, 'f')                                                                       \
  X(F64, f64, double, 8, 'f')

/** Element type of an array. */
typedef enum th_dtype {
#define TH__DTYPE(upper, lower, type, bytes, kind) TH_##upper,
  TH_DTYPE_MAP(TH__DTYPE)
#undef TH__DTYPE
      TH_DTYPE_COUNT /**< Number of element types; not a type. */
} th_dtype;

/** IEEE 754 binary16 as bits; convert with th_f16_to_float() and th_f16_from_float(). */
typedef struct th_f16 {
  uint16_t bits; /**< Sign, 5 exponent bits, 10 fraction bits. */
} th_f16;
/** bfloat16 as bits; convert with th_bf16_to_float() and th_bf16_from_float(). */
typedef struct th_bf16 {
  uint16_t bits; /**< The upper half of a binary32. */
} th_bf16;

TH_API float th_f16_to_float(th_f16 h); /**< Exact. */
TH_API th_f16
th_f16_from_float(float f); /**< Rounds to nearest, ties to even; overflow gives infinity. */
TH_API float th_bf16_to_float(th_bf16 h);   /**< Exact. */
TH_API th_bf16 th_bf16_from_float(float f); /**< Rounds to nearest, ties to even; NaN stays NaN. */

TH_API size_t th_dtype_size(th_dtype t); /**< Bytes per element; 0 for an unknown value. */
TH_API const char *th_dtype_name(
    th_dtype t); /**< "f32" and so on; "?" for an unknown value. Static text. */
TH_API const char *th_status_name(th_status s); /**< "TH_ESHAPE" and so on. Static text. */
TH_API const char *th_status_text(th_status s); /**< One short sentence. Static text. */
TH_API const char *th_version_string(void);     /**< "0.1.0". Static text. */

/** Status of the last failed call on this thread; TH_OK when none failed since th_clear_error(). Never blocks. */
TH_API th_status th_last_status(void);
/** Message of the last failed call on this thread: operation, argument, shapes. "" when none.
 *  Valid until the next failing call on this thread. */
TH_API const char *th_last_error(void);
TH_API void th_clear_error(void); /**< Forgets this thread's last error. */

/** Host allocator. All three functions must be given, be thread-safe, and return memory aligned to 16 bytes. */
typedef struct th_allocator {
  void *(*alloc)(size_t bytes, void *user);               /**< As malloc. */
  void *(*resize)(void *block, size_t bytes, void *user); /**< As realloc. */
  void (*release)(void *block, void *user);               /**< As free. */
  void *user;                                             /**< Passed to all three. */
} th_allocator;

/** Log levels for th_logger. */
typedef enum th_log_level {
  TH_LOG_ERROR,   /**< Something was lost. */
  TH_LOG_WARNING, /**< Something is odd. */
  TH_LOG_INFO     /**< Start, stop, settings. */
} th_log_level;

/** Receives log lines. Called from any thread, never under a lock of the library. Without one the library is silent. */
typedef void (*th_logger)(th_log_level level, const char *message, void *user);

/** Settings of the engine; zero or NULL in a field means its default. Environment variables win over fields left zero. */
typedef struct th_config {
  size_t size; /**< sizeof(th_config), so that fields can be added. */
  const char *
      engine; /**< "threads" (default), "serial", "shuffle:SEED" or "shuffle-threads:SEED"; TH_ENGINE. */
  int workers;     /**< Worker threads of cpu:0; default: cores this process may use; TH_WORKERS.
                                 TH_NO_WORKERS: none, waiting threads run everything. */
  int64_t max_ops; /**< Run-ahead limit in pending operations; default 8192; -1 = unbounded. */
  int64_t
      max_bytes; /**< Run-ahead limit in bytes pending operations will allocate; default a quarter of
                                 the memory of the CPU device; -1 = unbounded. */
  int64_t
      memory_limit; /**< Bytes cpu:0 may hold; default from the cgroup or RAM; TH_MEMORY_LIMIT. */
  bool
      no_help_at_limit; /**< Submission at the run-ahead limit only blocks, it runs no tasks (for hosts
                                 that hold locks around submission). */
  bool
      inline_small; /**< Run small non-blocking operations that are ready inside the submitting call. */
  int exit_timeout_ms;           /**< How long process exit waits for running tasks; default 500. */
  const th_allocator *allocator; /**< Host memory; copied. Default malloc. */
  th_logger logger;              /**< Log sink; default none, or the file that TH_LOG names. */
  void *logger_user;             /**< Passed to logger. */
  int watchdog_ms; /**< Tell the logger, as a warning, which operation has not ended for so long and what
                                 waits for it: a token never signalled, a body that hangs. Default 0 = off;
                                 TH_WATCHDOG_MS. */
  bool
      pin_workers; /**< Each worker stays on one core: the i-th of those the thread that starts the engine may use, for
                                 worker i of a device; devices of th_cpu_split() go on behind each other, from the
                                 first core again when there are too few. Where the system refuses, a warning
                                 is logged and the worker goes where it likes. Default false; TH_WORKERS=pin. */
  bool
      tf32; /**< CUDA devices may round the operands of f32 products to 10 bits of fraction (TF32), which is
                                 several times quicker. Default false. */
} th_config;

#define TH_NO_WORKERS (-1) /**< For th_config.workers. */

/** Starts the engine with these settings (NULL: defaults). Optional: the first call that needs the engine starts it.
 *  Blocks until the workers run. TH_EBUSY when it already runs, TH_EINVAL for unknown settings. */
TH_API th_status th_init(const th_config *config);
/** Runs everything that was submitted, stops all threads, gives all memory of the engine back. Blocks. Returns what th_wait_all() would,
 *  and the engine has stopped all the same; only with TH_EDEADLK, inside a task or a callback, it has not.
 *  Afterwards only th_init() is legal, and what releases or frees: th_release(), th_var_release(), th_prepared_free(),
 *  th_event_release() and so on; in a forked child the same, with th_reset_after_fork() instead of th_init(). */
TH_API th_status th_shutdown(void);
/** In the child of a fork: makes the engine usable again, with nothing pending. Arrays made before the fork can
 *  only be released. TH_EINVAL when no fork happened. */
TH_API th_status th_reset_after_fork(void);

#ifdef __cplusplus
}
#endif
#endif
