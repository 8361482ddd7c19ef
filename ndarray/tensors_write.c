/* Owns making the header of a safetensors file. */
#include <stdio.h>
#include <stdlib.h>

#include "engine/base/error.h"
#include "engine/base/mem.h"
#include "ndarray/tensors.h"

/* Text that grows. */
typedef struct text {
  char *data;
  size_t n, room;
  bool failed; /* no memory */
} text;

static void put(text *t, const char *data, size_t n) {
  if (t->failed) return;
  if (t->n + n > t->room) {
    size_t room = 2 * (t->n + n) + 256;
    char *grown = th__resize(t->data, room);
    if (!grown) {
      t->failed = true;
      return;
    }
    t->data = grown;
    t->room = room;
  }
  memcpy(t->data + t->n, data, n);
  t->n += n;
}

static void put_text(text *t, const char *data) { put(t, data, strlen(data)); }

static void put_numbers(text *t, const int64_t *numbers, int n) {
  char number[32];
  put_text(t, "[");
  for (int i = 0; i < n; i++) {
    (void)snprintf(number, sizeof number, i == 0 ? "%lld" : ",%lld", (long long)numbers[i]);
    put_text(t, number);
  }
  put_text(t, "]");
}

/* A string in quotes. */
static th_status put_string(text *t, const char *data, const char *who) {
  size_t left = strlen(data);
  put_text(t, "\"");
  while (left > 0) {
    size_t n = th__utf8_length(data, left);
    if (n == 0) return th__fail(TH_EINVAL, "%s: a name or a text of metadata is no UTF-8", who);
    char escape[8];
    if ((unsigned char)*data < ' ') {
      (void)snprintf(escape, sizeof escape, "\\u%04x", (unsigned)(unsigned char)*data);
      put_text(t, escape);
    } else {
      if (*data == '"' || *data == '\\') put_text(t, "\\");
      put(t, data, n);
    }
    data += n;
    left -= n;
  }
  put_text(t, "\"");
  return TH_OK;
}

static th_status put_metadata(text *t, const char *const *metadata, const char *who) {
  put_text(t, "\"__metadata__\":{");
  for (int i = 0; metadata[i]; i += 2) {
    if (!metadata[i + 1]) return th__fail(TH_EINVAL, "%s: '%s' has no value", who, metadata[i]);
    if (i > 0) put_text(t, ",");
    TH_TRY(put_string(t, metadata[i], who));
    put_text(t, ":");
    TH_TRY(put_string(t, metadata[i + 1], who));
  }
  put_text(t, "}");
  return TH_OK;
}

static const char *dtype_text(th_dtype t) {
#define TH__TEXT(UPPER, lower, type, size, kind)                                                   \
  if (t == TH_##UPPER) return #UPPER;
  TH_DTYPE_MAP(TH__TEXT)
#undef TH__TEXT
  return "";
}

static th_status put_tensor(text *t, const th__tensor *item, const char *who) {
  int64_t offsets[2] = {item->begin, item->begin + th__layout_bytes(&item->layout)};
  TH_TRY(put_string(t, item->name, who));
  put_text(t, ":{\"dtype\":\"");
  put_text(t, dtype_text(item->layout.dtype));
  put_text(t, "\",\"shape\":");
  put_numbers(t, item->layout.shape, item->layout.ndim);
  put_text(t, ",\"data_offsets\":");
  put_numbers(t, offsets, 2);
  put_text(t, "}");
  return TH_OK;
}

static th_status put_header(text *t, const th__tensor *items, const int *order, int n,
                            const char *const *metadata, const char *who) {
  put(t, "\0\0\0\0\0\0\0", 8);
  put_text(t, "{");
  if (metadata && metadata[0]) TH_TRY(put_metadata(t, metadata, who));
  for (int i = 0; i < n; i++) {
    if (i > 0 || (metadata && metadata[0])) put_text(t, ",");
    TH_TRY(put_tensor(t, &items[order[i]], who));
  }
  put_text(t, "}");
  put(t, "       ", (8 - t->n % 8) % 8);
  if (t->failed) return th__fail(TH_ENOMEM, "%s: no memory for the header", who);
  if (t->n - 8 > TH__TENSORS_MOST_HEADER)
    return th__fail(TH_EINVAL, "%s: names and metadata take more than %d bytes", who,
                    TH__TENSORS_MOST_HEADER);
  for (int i = 0; i < 8; i++) t->data[i] = (char)((uint64_t)(t->n - 8) >> 8 * i & 0xff);
  return TH_OK;
}

static int by_name(const void *a, const void *b) {
  return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static th_status check_names(const th__tensor *items, int n, const char *who) {
  const char **names = th__alloc(((size_t)n + 1) * sizeof *names);
  if (!names) return TH_ENOMEM;
  th_status status = TH_OK;
  for (int i = 0; i < n; i++) names[i] = items[i].name;
  qsort(names, (size_t)n, sizeof *names, by_name);
  for (int i = 0; i < n && status == TH_OK; i++) {
    if (i > 0 && strcmp(names[i - 1], names[i]) == 0)
      status = th__fail(TH_EINVAL, "%s: the name '%s' is given twice", who, names[i]);
    if (strcmp(names[i], "__metadata__") == 0)
      status = th__fail(TH_EINVAL, "%s: no array can have the name __metadata__", who);
  }
  th__free((void *)names);
  return status;
}

char *th__tensors_text(const th__tensor *items, const int *order, int n,
                       const char *const *metadata, const char *who, size_t *bytes) {
  text t = {0};
  if (check_names(items, n, who) != TH_OK) return NULL;
  if (put_header(&t, items, order, n, metadata, who) != TH_OK) {
    th__free(t.data);
    return NULL;
  }
  *bytes = t.n;
  return t.data;
}

th_status th__tensors_place(th__tensor *items, int n, int *order, int64_t *data_bytes,
                            const char *who) {
  const int64_t most = INT64_MAX - TH__TENSORS_MOST_HEADER - 8;
  int placed = 0;
  *data_bytes = 0;
  for (size_t size = 8; size > 0; size /= 2) {
    for (int i = 0; i < n; i++) {
      if (th_dtype_size(items[i].layout.dtype) != size) continue;
      items[i].begin = *data_bytes;
      order[placed++] = i;
      int64_t bytes = th__layout_bytes(&items[i].layout);
      if (bytes > most - *data_bytes)
        return th__fail(
            TH_EOVERFLOW, "%s: '%s' has %lld bytes, arrays before it %lld: a file has at most %lld",
            who, items[i].name, (long long)bytes, (long long)*data_bytes, (long long)most);
      *data_bytes += bytes;
    }
  }
  return TH_OK;
}
