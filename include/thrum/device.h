/**
 * @file device.h
 * Naming devices and asking about them.
 */
#ifndef THRUM_DEVICE_H
#define THRUM_DEVICE_H

#include <thrum/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Kinds of devices. */
typedef enum th_device_kind {
  TH_CPU,           /**< Host cores: a pool of worker threads. */
  TH_META,          /**< Shapes only: nothing is stored or computed. */
  TH_CUDA,          /**< NVIDIA GPU. */
  TH_KIND_EXTERNAL, /**< First of the kinds that only the library's own tests register. */
  TH_KIND_COUNT = 8 /**< Number of kinds; not a kind. */
} th_device_kind;

/** A device by value: kind and index. */
typedef struct th_device {
  int16_t kind;  /**< A th_device_kind. */
  int16_t index; /**< 0-based among its kind. */
} th_device;

/** Memory figures of one device, in bytes. */
typedef struct th_memory_info {
  int64_t live;    /**< Held by arrays now. */
  int64_t peak;    /**< Most ever live since the last reset. */
  int64_t cached;  /**< Kept by the pool for reuse. */
  int64_t limit;   /**< live + cached may not pass this. */
  uint64_t hits;   /**< Requests served from the pool. */
  uint64_t misses; /**< Requests that went to the system. */
} th_memory_info;

TH_API th_device th_cpu(int index);  /**< cpu:index. Never fails; use on an absent index fails. */
TH_API th_device th_cuda(int index); /**< cuda:index. Never fails; use on an absent index fails. */
TH_API th_device th_meta(void);      /**< The device of shapes. */
TH_API int th_device_count(
    th_device_kind kind); /**< Devices of this kind that are present; starts the engine. */
/** Writes "cpu:0" and so on into buffer (at most bytes, always terminated) and returns buffer. */
TH_API const char *th_device_name(th_device d, char *buffer, size_t bytes);
/** Reads "cpu", "cpu:1", "cuda:0", "meta". TH_EINVAL for anything else. */
TH_API th_status th_device_parse(const char *text, th_device *out);
TH_API bool th_device_equal(th_device a, th_device b); /**< Same kind and index. */

/** Replaces cpu:0 by cpu:0..devices-1, each with its own workers (threads_each), queue and memory pool.
 *  Only before arrays or tasks were used, else TH_EBUSY; 1..16 devices, 1..256 threads, else TH_EINVAL.
 *  Lasts until th_shutdown(). */
TH_API th_status th_cpu_split(int devices, int threads_each);

/** Makes a device work again that was lost to an error of its context (TH_EDEVICE, "cuda:0 is lost: ..."). What is issued
 *  there ends as lost; then the context with all its memory is given up and a new one made. Arrays on d stay poisoned: reading one
 *  gives TH_EDEVICE, overwriting all of one works again, releasing is fine. What was submitted and does not depend on them runs on
 *  the fresh device. A limit of memory stays; other devices are not disturbed. A device that is not lost is left as it is, with
 *  its arrays: TH_OK.
 *  Blocks: until d's new context is there and what was submitted to other devices of the kind, which may copy from d, has ended; on
 *  a device that seems to work, until what was submitted to it has.
 *  TH_EBUSY while another part of the process holds the context: the device stays lost, and its arrays are gone already;
 *  TH_EDEADLK inside a task; TH_ENOSYS on a device that cannot be lost (cpu, meta); TH_EDEVICE if absent, or when the driver
 *  refuses a new context: it stays lost. */
TH_API th_status th_device_reset(th_device d);

TH_API th_status th_memory_get(th_device d,
                               th_memory_info *out); /**< Current figures. TH_EDEVICE if absent. */
TH_API th_status th_memory_set_limit(th_device d, int64_t bytes); /**< Limits live + cached; > 0. */
TH_API th_status th_memory_trim(th_device d);       /**< Gives cached blocks back to the system. */
TH_API th_status th_memory_reset_peak(th_device d); /**< peak = live. */

#ifdef __cplusplus
}
#endif
#endif
