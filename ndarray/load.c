/* Owns reading safetensors files. */
#include <string.h>

#include "engine/base/error.h"
#include "engine/base/mem.h"
#include "ndarray/array.h"
#include "ndarray/files.h"
#include "ndarray/target.h"
#include "ndarray/tensors.h"

struct th_file {
  th__mapped *mapped;
  char *data; /* behind the header */
  char *text; /* the header, where names and metadata lie */
  th__tensors tensors;
};

/* Fills f from the file's bytes; what is wrong, or NULL. */
static const char *read_header(th_file *f, char *bytes, int64_t n) {
  uint64_t header = 0;
  if (n < 8) return "too short for a safetensors file";
  for (int i = 7; i >= 0; i--) header = header << 8 | (unsigned char)bytes[i];
  if (header > TH__TENSORS_MOST_HEADER) return "the header is too long";
  if ((int64_t)header > n - 8) return "cut off within the header";
  f->text = th__alloc(header + 1);
  if (!f->text) return "";
  memcpy(f->text, bytes + 8, header);
  f->data = bytes + 8 + header;
  return th__tensors_parse(f->text, header, n - 8 - (int64_t)header, &f->tensors);
}

th_file *th_file_open(const char *path) {
  if (!path) return th__fail_null(TH_EINVAL, "th_file_open: path is NULL");
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
  return th__fail_null(TH_ENOSYS, "th_file_open: safetensors files have the little end first");
#endif
  th_file *f = th__zalloc(sizeof *f);
  if (!f) return NULL;
  char *bytes = NULL;
  int64_t n = 0;
  f->mapped = th__map_file(path, "th_file_open", &bytes, &n);
  const char *wrong = f->mapped ? read_header(f, bytes, n) : "";
  if (!wrong) return f;
  if (*wrong) (void)th__file_error("th_file_open", path, wrong);
  th_file_release(f);
  return NULL;
}

void th_file_release(th_file *f) {
  if (!f) return;
  th__tensors_free(&f->tensors);
  th__free(f->text);
  th__mapped_release(f->mapped);
  th__free(f);
}

int th_file_count(const th_file *f) { return f ? f->tensors.n : 0; }

const char *th_file_name(const th_file *f, int i) {
  return f && i >= 0 && i < f->tensors.n ? f->tensors.items[i].name : NULL;
}

const char *th_file_metadata(const th_file *f, const char *key) {
  for (int i = 0; f && key && i < f->tensors.n_metadata; i += 2)
    if (strcmp(f->tensors.metadata[i], key) == 0) return f->tensors.metadata[i + 1];
  return NULL;
}

th_array *th_file_array(th_file *f, const char *name, th_device d) {
  if (!f && th_last_status() != TH_OK) return NULL; /* of a failed th_file_open() */
  if (!f || !name)
    return th__fail_null(TH_EINVAL, "th_file_array: the %s is NULL", f ? "name" : "file");
  for (int i = 0; i < f->tensors.n; i++) {
    const th__tensor *t = &f->tensors.items[i];
    if (strcmp(t->name, name) == 0)
      return th__mapped_array(f->mapped, f->data + t->begin, t->layout.shape, t->layout.ndim,
                              t->layout.dtype, d);
  }
  return th__fail_null(TH_EINVAL, "th_file_array: the file has no array '%s'", name);
}
