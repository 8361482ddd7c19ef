/* Owns the .npy format: strict reading of versions 1 to 3, writing of version 1.0. A file is believed only as far as its
 * length goes: nothing is allocated for data that are not there. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/base/error.h"
#include "engine/base/mem.h"
#include "ndarray/array.h"
#include "ndarray/dtype.h"
#include "ndarray/target.h"
#include "thrum/files.h"

#define MOST_HEADER (1 << 20) /* bytes; the largest sensible header has a few hundred */

#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
#define OWN_ORDER '>'
#else
#define OWN_ORDER '<'
#endif

/* What a header says. */
typedef struct npy_header {
  th_dtype dtype;
  bool swapped; /* the other byte order */
  bool fortran;
  int ndim;
  int64_t shape[TH_MAX_DIMS];
} npy_header;

/* A header's text, a Python dictionary, and the first thing that is wrong with it. */
typedef struct npy_parser {
  const char *at, *end;
  const char *wrong;
} npy_parser;

/* --- the header --- */

static bool refuse(npy_parser *p, const char *reason) {
  if (!p->wrong) p->wrong = reason;
  return false;
}

static void skip_blanks(npy_parser *p) {
  while (p->at < p->end && (*p->at == ' ' || *p->at == '\t')) p->at++;
}

static bool take(npy_parser *p, const char *word) {
  skip_blanks(p);
  size_t n = strlen(word);
  if ((size_t)(p->end - p->at) < n || memcmp(p->at, word, n) != 0) return false;
  p->at += n;
  return true;
}

/* A quoted string without escapes, shorter than bytes. */
static bool parse_string(npy_parser *p, char *out, size_t bytes) {
  skip_blanks(p);
  if (p->at == p->end || (*p->at != '\'' && *p->at != '"'))
    return refuse(p, "a string is expected in the header");
  char quote = *p->at++;
  size_t n = 0;
  while (p->at < p->end && *p->at != quote && n + 1 < bytes) out[n++] = *p->at++;
  out[n] = 0;
  if (p->at == p->end || *p->at != quote) return refuse(p, "a string in the header is too long");
  p->at++;
  return true;
}

static bool parse_size(npy_parser *p, int64_t *out) {
  int64_t value = 0;
  skip_blanks(p);
  if (p->at == p->end || *p->at < '0' || *p->at > '9')
    return refuse(p, "a size is expected in the shape");
  for (; p->at < p->end && *p->at >= '0' && *p->at <= '9'; p->at++)
    if (__builtin_mul_overflow(value, 10, &value) ||
        __builtin_add_overflow(value, *p->at - '0', &value))
      return refuse(p, "a size in the shape overflows");
  *out = value;
  return true;
}

/* "()", "(3,)", "(3, 4)" */
static bool parse_shape(npy_parser *p, npy_header *h) {
  if (!take(p, "(")) return refuse(p, "the shape is not a tuple");
  bool comma = true;
  while (!take(p, ")")) {
    if (!comma) return refuse(p, "a comma is missing in the shape");
    if (h->ndim == TH_MAX_DIMS) return refuse(p, "more than 8 dimensions");
    if (!parse_size(p, &h->shape[h->ndim])) return false;
    h->ndim++;
    comma = take(p, ",");
  }
  if (h->ndim == 1 && !comma) return refuse(p, "the shape is not a tuple");
  return true;
}

/* "<f4": byte order, kind, bytes. */
static bool parse_descr(npy_parser *p, npy_header *h) {
  char text[8];
  if (!parse_string(p, text, sizeof text)) return false;
  if (strlen(text) != 3 || !strchr("<>|=", text[0]))
    return refuse(p, "the element type is not supported");
  int bytes = text[2] - '0';
#define TH__FIND(UPPER, lower, type, size, kind)                                                   \
  if (text[1] == kind && bytes == (size) && TH_##UPPER != TH_BF16) {                               \
    h->dtype = TH_##UPPER;                                                                         \
    h->swapped = (size) > 1 && text[0] != OWN_ORDER && text[0] != '=';                             \
    return (size) == 1 || text[0] != '|' || refuse(p, "the byte order is missing");                \
  }
  TH_FOR_DTYPE(TH__FIND)
#undef TH__FIND
  return refuse(p, "the element type is not supported");
}

/* One "'key': value". seen collects keys as bits. */
static bool parse_entry(npy_parser *p, npy_header *h, uint32_t *seen) {
  static const char *const keys[] = {"descr", "fortran_order", "shape"};
  char key[24];
  if (!parse_string(p, key, sizeof key)) return false;
  uint32_t k = 0;
  while (k < 3 && strcmp(key, keys[k]) != 0) k++;
  if (k == 3) return refuse(p, "an unknown key in the header");
  if (*seen >> k & 1) return refuse(p, "a key is given twice in the header");
  *seen |= 1u << k;
  if (!take(p, ":")) return refuse(p, "a colon is missing in the header");
  if (k == 0) return parse_descr(p, h);
  if (k == 2) return parse_shape(p, h);
  h->fortran = take(p, "True");
  return h->fortran || take(p, "False") || refuse(p, "fortran_order is neither True nor False");
}

static bool parse_header(npy_parser *p, npy_header *h) {
  uint32_t seen = 0;
  if (!take(p, "{")) return refuse(p, "the header is not a dictionary");
  bool comma = true;
  while (!take(p, "}")) {
    if (!comma) return refuse(p, "a comma is missing in the header");
    if (!parse_entry(p, h, &seen)) return false;
    comma = take(p, ",");
  }
  if (seen != 7) return refuse(p, "a key is missing in the header");
  skip_blanks(p);
  if (p->end - p->at != 1 || *p->at != '\n')
    return refuse(p, "the header does not end with blanks and a new line");
  return true;
}

/* --- reading --- */

static th_status file_error(const char *path, const char *reason) {
  return th__file_error("th_load_npy", path, reason);
}

/* Bytes of a regular file. */
static th_status file_length(FILE *file, const char *path, int64_t *out) {
  struct stat info;
  if (fstat(fileno(file), &info) != 0) return file_error(path, strerror(errno));
  if (!S_ISREG(info.st_mode)) return file_error(path, "not a regular file");
  *out = info.st_size;
  return TH_OK;
}

/* Magic, version and length; what follows is *header bytes of header, within the file. */
static const char *read_preamble(FILE *file, int64_t length, size_t *header) {
  unsigned char b[12];
  if (fread(b, 1, 8, file) != 8) return "too short for a .npy file";
  if (memcmp(b, "\x93NUMPY", 6) != 0) return "not a .npy file";
  if (b[6] < 1 || b[6] > 3 || b[7] != 0) return "an unknown version of the format";
  size_t n = b[6] == 1 ? 2 : 4;
  if (fread(b + 8, 1, n, file) != n) return "too short for a .npy file";
  *header = b[8] | (size_t)b[9] << 8;
  if (n == 4) *header |= (size_t)b[10] << 16 | (size_t)b[11] << 24;
  if (*header > MOST_HEADER) return "the header is too long";
  if ((int64_t)(8 + n + *header) > length) return "cut off within the header";
  return NULL;
}

static th_status read_header(FILE *file, const char *path, int64_t length, npy_header *h) {
  size_t bytes = 0;
  const char *wrong = read_preamble(file, length, &bytes);
  if (wrong) return file_error(path, wrong);
  char *text = th__alloc(bytes + 1);
  if (!text) return TH_ENOMEM;
  npy_parser p = {.at = text, .end = text + bytes};
  if (fread(text, 1, bytes, file) != bytes) {
    p.wrong = "cut off within the header";
  } else {
    (void)parse_header(&p, h);
  }
  th__free(text);
  return p.wrong ? file_error(path, p.wrong) : TH_OK;
}

static void swap_bytes(char *data, size_t n, size_t size) {
  for (size_t i = 0; i < n; i++, data += size) {
    for (size_t j = 0; j < size / 2; j++) {
      char kept = data[j];
      data[j] = data[size - 1 - j];
      data[size - 1 - j] = kept;
    }
  }
}

/* The array of the elements as they lie in the file. */
static th_array *make_array(const npy_header *h, th_layout *layout, char *data, th_device d) {
  size_t bytes = (size_t)th__layout_bytes(layout);
  if (h->swapped) swap_bytes(data, bytes / th_dtype_size(h->dtype), th_dtype_size(h->dtype));
  if (!h->fortran || h->ndim < 2 || bytes == 0)
    return th_from_host(data, h->shape, h->ndim, h->dtype, d);
  char *rows = th__alloc(bytes);
  if (!rows) return NULL;
  th_layout columns = *layout;
  int64_t stride = 1;
  for (int i = 0; i < h->ndim; i++) {
    columns.strides[i] = stride;
    stride *= h->shape[i];
  }
  th__copy_elements(&columns, data, layout, rows);
  th_array *a = th_from_host(rows, h->shape, h->ndim, h->dtype, d);
  th__free(rows);
  return a;
}

static th_array *load(FILE *file, const char *path, th_device d) {
  int64_t length = 0;
  npy_header h = {0};
  th_layout layout;
  if (file_length(file, path, &length) != TH_OK) return NULL;
  if (read_header(file, path, length, &h) != TH_OK) return NULL;
  if (th__layout_make(&layout, h.shape, h.ndim, h.dtype, "th_load_npy") != TH_OK) {
    (void)file_error(path, "the shape is too large");
    return NULL;
  }
  int64_t bytes = th__layout_bytes(&layout), left = length - ftell(file);
  if (left != bytes) {
    (void)th__fail(TH_EIO, "th_load_npy: '%s': %lld bytes of data, the header says %lld", path,
                   (long long)left, (long long)bytes);
    return NULL;
  }
  char *data = th__alloc(bytes > 0 ? (size_t)bytes : 1);
  if (!data) return NULL;
  th_array *a = NULL;
  if (fread(data, 1, (size_t)bytes, file) == (size_t)bytes) {
    a = make_array(&h, &layout, data, d);
  } else {
    (void)file_error(path, "cannot read");
  }
  th__free(data);
  return a;
}

th_array *th_load_npy(const char *path, th_device d) {
  if (!path) return th__fail_null(TH_EINVAL, "th_load_npy: path is NULL");
  /* Not blocking: a named pipe must be refused, not waited for. */
  int descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  FILE *file = descriptor < 0 ? NULL : fdopen(descriptor, "rb");
  if (!file) {
    (void)file_error(path, strerror(errno));
    if (descriptor >= 0) (void)close(descriptor);
    return NULL;
  }
  th_array *a = load(file, path, d);
  (void)fclose(file);
  return a;
}

/* --- writing --- */

/* The header of version 1.0, padded so that the data start at a multiple of 64. Returns its length. */
static size_t header_text(const th_layout *layout, char out[512]) {
  char descr[8] = "", shape[TH__SHAPE_TEXT];
#define TH__DESCR(UPPER, lower, type, size, kind)                                                  \
  case TH_##UPPER:                                                                                 \
    snprintf(descr, sizeof descr, "%c%c%d", (size) > 1 ? OWN_ORDER : '|', kind, size);             \
    break;
  switch (layout->dtype) {
    TH_FOR_DTYPE(TH__DESCR)
  default: break;
  }
#undef TH__DESCR
  th__shape_text(layout->shape, layout->ndim, shape, sizeof shape);
  int n = snprintf(out + 10, 400, "{'descr': '%s', 'fortran_order': False, 'shape': %s, }", descr,
                   shape);
  size_t total = (10 + (size_t)n + 1 + 63) / 64 * 64;
  memset(out + 10 + n, ' ', total - 10 - (size_t)n);
  out[total - 1] = '\n';
  memcpy(out, "\x93NUMPY\x01\x00", 8);
  out[8] = (char)((total - 10) & 0xff);
  out[9] = (char)((total - 10) >> 8);
  return total;
}

static void copy_rows(const th_layout *layout, const void *first, void *out) {
  th_layout compact = *layout;
  th__layout_set_contiguous(&compact);
  th__copy_elements(layout, first, &compact, out);
}

static th_status write_file(th__target *t, const th_layout *layout, const char *data) {
  char header[512];
  TH_TRY(th__target_write(t, header, header_text(layout, header)));
  return th__target_write(t, data, (size_t)th__layout_bytes(layout));
}

th_status th_save_npy(const th_array *a, const char *path) {
  if (!a) return th__array_null("th_save_npy");
  if (!path) return th__fail(TH_EINVAL, "th_save_npy: path is NULL");
  if (a->layout.dtype == TH_BF16)
    return th__fail(TH_EDTYPE, "th_save_npy: .npy files know no bf16; cast to f32 first");
  if (!a->storage)
    return th__fail(TH_ENODATA, "th_save_npy: an array on the meta device has no data");
  th__target t;
  TH_TRY(th__target_open(&t, path, "th_save_npy"));
  int64_t bytes = th__layout_bytes(&a->layout);
  char *data = th__alloc(bytes > 0 ? (size_t)bytes : 1);
  th_status status = data ? th__with_elements(a, copy_rows, data, "th_save_npy") : TH_ENOMEM;
  if (status == TH_OK) status = write_file(&t, &a->layout, data);
  if (status == TH_OK) {
    status = th__target_commit(&t, 1);
  } else {
    th__target_drop(&t);
  }
  th__free(data);
  return status;
}
