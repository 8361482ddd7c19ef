/* Owns arrays of host memory that a device knows, so that it copies from and to them without a detour. The pages are the array's own:
 * a device that is reset or closed forgets them, and they stay what they are. */
#include "engine/base/error.h"
#include "engine/base/mem.h"
#include "ndarray/array.h"

typedef struct pages {
  const th__device_ops *ops;
  void *state;
  uint64_t pinned;
  size_t bytes;
} pages;

/* On any thread, when no array and no task uses the memory any more. */
static void free_pages(void *data, void *user) {
  pages *p = user;
  p->ops->unpin(p->state, data, p->pinned);
  th__pages_free(data, p->bytes);
  th__free(p);
}

static th_array *wrap_pages(pages *p, const th_layout *layout) {
  void *data = th__pages_resize(NULL, 0, p->bytes);
  if (!data) return NULL;
  if (p->ops->pin(p->state, data, (int64_t)p->bytes, &p->pinned) == TH_OK) {
    th_array *a = th_wrap(data, layout->shape, NULL, layout->ndim, layout->dtype, free_pages, p);
    if (a) return a;
    p->ops->unpin(p->state, data, p->pinned);
  }
  th__pages_free(data, p->bytes);
  return NULL;
}

th_array *th_pinned(const int64_t *shape, int ndim, th_dtype t, th_device d) {
  const th__device_ops *ops;
  void *state;
  th_layout layout;
  if (th__layout_make(&layout, shape, ndim, t, "th_pinned") != TH_OK) return NULL;
  if (th__engine_ensure() != TH_OK || th__device_open(d, &ops, &state) != TH_OK) return NULL;
  int64_t bytes = th__layout_bytes(&layout);
  if (!ops->pin || bytes == 0) return th_empty(shape, ndim, t, th_cpu(0));
  pages *p = th__alloc(sizeof *p);
  if (!p) return NULL;
  *p = (pages){ops, state, 0, (size_t)bytes};
  th_array *a = wrap_pages(p, &layout);
  if (!a) th__free(p);
  return a;
}
