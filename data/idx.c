/* Owns reading IDX files, plain or gzip. Sizes in the file are claims: they are checked for overflow and against the
 * device's memory, and the buffer grows with the bytes that really arrive. */
#include <errno.h>
#include <string.h>
#include <zlib.h>

#include "data/data.h"
#include "engine/base/error.h"
#include "engine/base/mem.h"

enum { FIRST_BUFFER = 1 << 16 };

/* The reason of the last failure of file, in words. */
static const char *reason(gzFile file) {
  int code = Z_OK;
  const char *text = gzerror(file, &code);
  if (code == Z_ERRNO) return strerror(errno);
  if (code == Z_BUF_ERROR) return "the compressed data ends early";
  return code == Z_OK || text == NULL ? "the file ends early" : text;
}

/* Reads up to bytes; less at the end of the file, -1 on failure, a torn end of compressed data included. */
static int64_t read_some(gzFile file, void *out, int64_t bytes) {
  int64_t done = 0;
  while (done < bytes) {
    unsigned step = bytes - done < (1 << 30) ? (unsigned)(bytes - done) : 1u << 30;
    int got = gzread(file, (char *)out + done, step);
    if (got < 0) return -1;
    if (got == 0) break;
    done += got;
  }
  if (done < bytes) {
    int code = Z_OK;
    gzerror(file, &code);
    if (code != Z_OK && code != Z_STREAM_END) return -1;
  }
  return done;
}

static th_status element_type(const char *path, int code, th_dtype *t) {
  static const struct {
    int code;
    th_dtype type;
  } codes[] = {{0x08, TH_U8},  {0x09, TH_I8},  {0x0B, TH_I16},
               {0x0C, TH_I32}, {0x0D, TH_F32}, {0x0E, TH_F64}};
  for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
    if (codes[i].code == code) {
      *t = codes[i].type;
      return TH_OK;
    }
  }
  return th__fail(TH_EIO, "load_idx: %s: unknown element type 0x%02x", path, code);
}

static th_status read_header(gzFile file, const char *path, th_layout *layout) {
  unsigned char head[4 + 4 * TH_MAX_DIMS];
  int64_t got = read_some(file, head, 4);
  if (got < 4) {
    return th__fail(TH_EIO, "load_idx: %s: no header: %s", path, reason(file));
  }
  if (head[0] != 0 || head[1] != 0) {
    return th__fail(TH_EIO, "load_idx: %s: not an IDX file", path);
  }
  th_dtype t = TH_U8;
  TH_TRY(element_type(path, head[2], &t));
  int ndim = head[3];
  if (ndim < 1 || ndim > TH_MAX_DIMS) {
    return th__fail(TH_EIO, "load_idx: %s: %d dimensions, not 1 to %d", path, ndim, TH_MAX_DIMS);
  }
  if (read_some(file, head + 4, 4 * ndim) < 4 * ndim) {
    return th__fail(TH_EIO, "load_idx: %s: header of %d dimensions: %s", path, ndim, reason(file));
  }
  int64_t shape[TH_MAX_DIMS];
  for (int i = 0; i < ndim; i++) {
    const unsigned char *b = head + 4 + 4 * i;
    shape[i] = (int64_t)b[0] << 24 | (int64_t)b[1] << 16 | (int64_t)b[2] << 8 | b[3];
  }
  if (th__layout_make(layout, shape, ndim, t, "load_idx") != TH_OK) {
    return th__fail(TH_EIO, "load_idx: %s: the sizes overflow", path);
  }
  return TH_OK;
}

/* Reads exactly bytes into a buffer that doubles as they come. */
static th_status read_data(gzFile file, const char *path, int64_t bytes, char **out) {
  int64_t capacity = 0, done = 0;
  do {
    int64_t wanted = capacity == 0 ? FIRST_BUFFER : capacity * 2;
    if (wanted > bytes) wanted = bytes;
    char *grown = th__resize(*out, (size_t)wanted + 1);
    if (grown == NULL) return TH_ENOMEM;
    *out = grown;
    capacity = wanted;
    int64_t got = read_some(file, *out + done, capacity - done);
    if (got < capacity - done) {
      return th__fail(TH_EIO, "load_idx: %s: %lld bytes of data instead of %lld: %s", path,
                      (long long)(done + (got > 0 ? got : 0)), (long long)bytes, reason(file));
    }
    done = capacity;
  } while (done < bytes);
  char more;
  int64_t rest = read_some(file, &more, 1); /* also checks the checksum of compressed data */
  if (rest < 0) return th__fail(TH_EIO, "load_idx: %s: %s", path, reason(file));
  if (rest > 0) {
    return th__fail(TH_EIO, "load_idx: %s: more data than the %lld bytes its header says", path,
                    (long long)bytes);
  }
  return TH_OK;
}

/* Files store the most significant byte first. */
static void swap_bytes(char *data, int64_t bytes, size_t size) {
  const uint16_t probe = 1;
  if (size == 1 || *(const uint8_t *)&probe == 0) return;
  for (int64_t i = 0; i < bytes; i += (int64_t)size) {
    for (size_t k = 0; k < size / 2; k++) {
      char kept = data[i + (int64_t)k];
      data[i + (int64_t)k] = data[i + (int64_t)(size - 1 - k)];
      data[i + (int64_t)(size - 1 - k)] = kept;
    }
  }
}

static th_array *load(gzFile file, const char *path) {
  th_layout layout;
  if (read_header(file, path, &layout) != TH_OK) return NULL;
  int64_t bytes = th__layout_bytes(&layout);
  th_memory_info memory;
  if (th_memory_get(th_cpu(0), &memory) != TH_OK) return NULL;
  if (bytes > memory.limit) {
    return th__fail_null(TH_EIO, "load_idx: %s: the header says %lld bytes, more than %lld that %s",
                         path, (long long)bytes, (long long)memory.limit, "the device may hold");
  }
  char *data = NULL;
  th_array *a = NULL;
  if (read_data(file, path, bytes, &data) == TH_OK) {
    swap_bytes(data, bytes, th_dtype_size(layout.dtype));
    a = th_from_host(data, layout.shape, layout.ndim, layout.dtype, th_cpu(0));
  }
  th__free(data);
  return a;
}

th_array *th_load_idx(const char *path) {
  if (path == NULL) return th__fail_null(TH_EINVAL, "load_idx: path is NULL");
  errno = 0;
  gzFile file = gzopen(path, "rbe");
  if (file == NULL) {
    return th__fail_null(TH_EIO, "load_idx: cannot open %s: %s", path,
                         errno != 0 ? strerror(errno) : "out of memory");
  }
  th_array *a = load(file, path);
  gzclose(file);
  return a;
}
