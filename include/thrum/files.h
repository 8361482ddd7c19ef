/**
 * @file files.h
 * Arrays in files: safetensors for many arrays by name, NumPy's .npy for one.
 *
 * Files are replaced in one step: at every moment, whatever ends the process or the machine, path names the whole old file or the
 * whole new one. A link stays, and its file is replaced; devices, and links of /proc to open files, are written to. Failures are TH_EIO with the path and the reason; no file, however
 * spoilt, does more than that.
 */
#ifndef THRUM_FILES_H
#define THRUM_FILES_H

#include <thrum/array.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Writes n arrays with their names (UTF-8, all different) to a safetensors file, as tasks that read the arrays: what is
 *  submitted later does not get into the file, but a later write of an array waits until that array's bytes are handed to the
 *  system (not until they are on the disk). One array after the other is written, so no second copy of all is made; a view with
 *  gaps is copied, one on a GPU crosses to the host when its turn comes. metadata: keys and values (UTF-8) in turn, ended by NULL;
 *  may be NULL.
 *  +1: a 0-d i64 array, the file's length in bytes, which has its value once the file stands at path. th_wait(), th_on_ready(),
 *  th_event_new() and so on tell when, or the failure: TH_EIO, or that of an array; path is then as it was. Releasing it
 *  earlier changes nothing. Of two saves to one path the one that ends later stays: wait for the first. Does not block. NULL:
 *  TH_EINVAL (names, metadata), TH_ENODATA (an array on the meta device), TH_EIO (path cannot be written). */
TH_API th_array *th_save_async(th_array *const *arrays, const char *const *names, int n,
                               const char *const *metadata, const char *path);
/** th_save_async() and waiting for it. Blocks. */
TH_API th_status th_save(th_array *const *arrays, const char *const *names, int n,
                         const char *const *metadata, const char *path);

typedef struct th_file th_file; /**< An open safetensors file; one thread at a time. */
/** Opens a safetensors file: reads the header and checks all of it, maps the data without reading them. +1 or NULL: TH_EIO.
 *  The file must not be cut while it or its arrays live; replacing it is fine. Blocks. */
TH_API th_file *th_file_open(const char *path);
TH_API void th_file_release(th_file *f);    /**< NULL is fine. Its arrays stay. */
TH_API int th_file_count(const th_file *f); /**< How many arrays; 0 for NULL. */
/** Name of array i in the order of the header; NULL beyond the last. Valid until the release. */
TH_API const char *th_file_name(const th_file *f, int i);
/** Value of a key of the file's metadata; NULL when there is none. Valid until the release. */
TH_API const char *th_file_metadata(const th_file *f, const char *key);
/** The array of that name on d: +1 or NULL, TH_EINVAL when there is none. On cpu:0 it is the file's memory, of which pages are read
 *  when they are used; writes stay private to it (the arrays of one th_file that have the same name share theirs). Elsewhere, and
 *  where a foreign file has it unaligned, a copy. Does not wait. */
TH_API th_array *th_file_array(th_file *f, const char *name, th_device d);

/** NumPy .npy 1.0; bf16 is refused (TH_EDTYPE). Whether path can be written is known (TH_EIO) before the array is waited for.
 *  Blocks. */
TH_API th_status th_save_npy(const th_array *a, const char *path);
/** Versions 1-3, both byte orders, C and Fortran order. +1 or NULL: TH_EIO. Blocks. */
TH_API th_array *th_load_npy(const char *path, th_device d);

#ifdef __cplusplus
}
#endif
#endif
