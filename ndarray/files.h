/* What floors above use of files beyond thrum/files.h. */
#ifndef THRUM_NDARRAY_FILES_H
#define THRUM_NDARRAY_FILES_H

#include "thrum/files.h"

/* th_save_async() that keeps `keep` versions of the file (th__target_commit()); who is named in messages. */
th_array *th__save(th_array *const *arrays, const char *const *names, int n,
                   const char *const *metadata, const char *path, int keep, const char *who);

/* A regular file in memory, private: writes change the memory alone. Counted. */
typedef struct th__mapped th__mapped;
/* +1 or NULL: TH_EIO. */
th__mapped *th__map_file(const char *path, const char *who, char **data, int64_t *bytes);
void th__mapped_release(th__mapped *m);
/* A contiguous array at `at` within m, on d: m's memory itself on cpu:0, where it is aligned; it keeps m. +1 or NULL. */
th_array *th__mapped_array(th__mapped *m, char *at, const int64_t *shape, int ndim, th_dtype t,
                           th_device d);

#endif
