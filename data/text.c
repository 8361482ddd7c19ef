/* Owns texts as arrays: bytes of a file, their numbers, windows. */
#include <string.h>

#include "data/data.h"
#include "engine/base/error.h"
#include "ndarray/files.h"
#include "thrum/ops.h"

th_array *th_load_text(const char *path) {
  if (path == NULL) return th__fail_null(TH_EINVAL, "th_load_text: path is NULL");
  char *data = NULL;
  int64_t n = 0;
  th__mapped *m = th__map_file(path, "th_load_text", &data, &n);
  th_array *a = m == NULL ? NULL : th__mapped_array(m, data, &n, 1, TH_U8, th_cpu(0));
  th__mapped_release(m);
  return a;
}

/* Which bytes there are. */
static void mark(const th_layout *layout, const void *first, void *arg) {
  bool *seen = arg;
  const uint8_t *byte = first;
  for (int64_t i = 0; i < layout->shape[0]; i++) seen[byte[i * layout->strides[0]]] = true;
}

th_array *th_text_ids(const th_array *text, th_dtype t, uint8_t vocabulary[256],
                      int *n_vocabulary) {
  if (text == NULL) return (void)th__array_null("text_ids"), NULL;
  if (vocabulary == NULL || n_vocabulary == NULL)
    return th__fail_null(TH_EINVAL, "text_ids: the vocabulary is NULL");
  if (text->layout.dtype != TH_U8)
    return th__fail_null(TH_EDTYPE, "text_ids: the text is of %s, not u8",
                         th_dtype_name(text->layout.dtype));
  if (text->layout.ndim != 1)
    return th__fail_null(TH_ESHAPE, "text_ids: the text has %d dimensions, not 1",
                         text->layout.ndim);
  if (text->storage == NULL)
    return th__fail_null(TH_ENODATA, "text_ids: the text is on meta and has no data");
  if (!th_isdtype(t, "integral"))
    return th__fail_null(TH_EDTYPE, "text_ids: %s is no integer type", th_dtype_name(t));
  bool seen[256] = {false};
  if (th__with_elements(text, mark, seen, "text_ids") != TH_OK) return NULL;
  int64_t numbers[256] = {0};
  *n_vocabulary = 0;
  for (int i = 0; i < 256; i++) {
    if (!seen[i]) continue;
    numbers[i] = *n_vocabulary;
    vocabulary[(*n_vocabulary)++] = (uint8_t)i;
  }
  if (t == TH_I8 && *n_vocabulary - 1 > INT8_MAX) /* all others hold 255 */
    return th__fail_null(TH_EOVERFLOW, "text_ids: %d different bytes, i8 has numbers for %d",
                         *n_vocabulary, INT8_MAX + 1);
  th_scope scope = th__scope_suspend();
  int64_t rows = 256;
  th_array *wide = th_from_host(numbers, &rows, 1, TH_I64, th_cpu(0)), *table = th_astype(wide, t);
  th_array *here = th_copy_to(text, th_cpu(0)), *indices = th_astype(here, TH_I64);
  th_array *ids = th_take(table, indices, 0);
  th_array *made[] = {wide, table, here, indices};
  for (int i = 0; i < 4; i++) th_release(made[i]);
  return th__scope_resume(scope, ids);
}

th_array *th_windows(th_array *a, int64_t length, int64_t step) {
  if (a == NULL) return (void)th__array_null("windows"), NULL;
  if (a->layout.ndim != 1)
    return th__fail_null(TH_ESHAPE, "windows: the array has %d dimensions, not 1", a->layout.ndim);
  if (length < 1 || step < 1)
    return th__fail_null(TH_EINVAL, "windows: length %lld and step %lld must be at least 1",
                         (long long)length, (long long)step);
  int64_t n = a->layout.shape[0];
  th_layout rows = a->layout;
  rows.ndim = 2;
  rows.shape[0] = n < length ? 0 : 1 + (n - length) / step;
  rows.shape[1] = length;
  rows.strides[1] = a->layout.strides[0];
  rows.strides[0] = rows.shape[0] > 1 ? step * a->layout.strides[0] : 0;
  return th__array_view(a, &rows);
}
