/* Owns files in memory. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/base/error.h"
#include "engine/base/mem.h"
#include "ndarray/array.h"
#include "ndarray/files.h"
#include "ndarray/target.h"

struct th__mapped {
  _Atomic int32_t refs; /* the opener's and the arrays' */
  void *data;           /* NULL of an empty file */
  size_t bytes;
};

static const char *map_descriptor(int descriptor, th__mapped *m) {
  struct stat info;
  if (fstat(descriptor, &info) != 0) return strerror(errno);
  if (!S_ISREG(info.st_mode)) return "not a regular file";
  m->bytes = (size_t)info.st_size;
  if (m->bytes == 0) return NULL;
  void *data =
      mmap(NULL, m->bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE, descriptor, 0);
  if (data == MAP_FAILED) return strerror(errno);
  m->data = data;
  return NULL;
}

th__mapped *th__map_file(const char *path, const char *who, char **data, int64_t *bytes) {
  th__mapped *m = th__zalloc(sizeof *m);
  if (!m) return NULL;
  th__store(&m->refs, 1, TH__RELAXED);
  /* Not blocking: a named pipe must be refused, not waited for. */
  int descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  const char *wrong = descriptor < 0 ? strerror(errno) : map_descriptor(descriptor, m);
  if (descriptor >= 0) (void)close(descriptor);
  if (wrong) {
    (void)th__file_error(who, path, wrong);
    th__free(m);
    return NULL;
  }
  *data = m->data;
  *bytes = (int64_t)m->bytes;
  return m;
}

void th__mapped_release(th__mapped *m) {
  /* acq_rel: what others did with the memory comes before its end. */
  if (!m || th__fetch_sub(&m->refs, 1, TH__ACQ_REL) != 1) return;
  if (m->data) (void)munmap(m->data, m->bytes);
  th__free(m);
}

static void let_go(void *data, void *mapped) {
  (void)data;
  th__mapped_release(mapped);
}

th_array *th__mapped_array(th__mapped *m, char *at, const int64_t *shape, int ndim, th_dtype t,
                           th_device d) {
  if ((uintptr_t)at % th_dtype_size(t)) return th_from_host(at, shape, ndim, t, d);
  th_scope scope = th__scope_suspend();
  th__fetch_add(&m->refs, 1, TH__RELAXED);
  th_array *here = th_wrap(at, shape, NULL, ndim, t, let_go, m), *there = here;
  if (!here) th__mapped_release(m);
  if (here && !th_device_equal(d, th_cpu(0))) {
    there = th_copy_to(here, d);
    th_release(here);
  }
  return th__scope_resume(scope, there);
}
