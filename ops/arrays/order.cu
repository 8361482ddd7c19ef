/* Kernels of sort, argsort, topk and searchsorted. Elements become keys, unsigned integers that order like them; keys of a line
 * are sorted with their places in tiles by one block each, then merged. An element finds its place in a merged run by
 * bisection of the other run, and equal ones keep their order, so the result is the only one there is. */
#include "ops/cuda/lines.cuh"

#define SIZES(X) X(8, u8) X(16, u16) X(32, u32) X(64, u64)
#define TILE     1024

/* Sign and magnitude turned to an unsigned integer; -0 is 0, every NaN the largest. */
TH_DEVICE uint64_t th__float_key(uint64_t bits, int size, uint64_t infinity) {
  const uint64_t sign = (uint64_t)1 << (8 * size - 1), last = sign | (sign - 1);
  uint64_t magnitude = bits & (sign - 1);
  if (magnitude > infinity) return last;
  return (bits & sign) && magnitude ? sign - magnitude : magnitude | sign;
}

/* The key of element i, whose bytes are `size`; ascending. */
TH_DEVICE uint64_t th__key(int dtype, const void *p, int64_t i) {
  switch (dtype) {
  case TH_I8: return ((const uint8_t *)p)[i] ^ 0x80u;
  case TH_U16: return ((const uint16_t *)p)[i];
  case TH_I16: return ((const uint16_t *)p)[i] ^ 0x8000u;
  case TH_F16: return th__float_key(((const uint16_t *)p)[i], 2, 0x7c00);
  case TH_BF16: return th__float_key(((const uint16_t *)p)[i], 2, 0x7f80);
  case TH_U32: return ((const uint32_t *)p)[i];
  case TH_I32: return ((const uint32_t *)p)[i] ^ 0x80000000u;
  case TH_F32: return th__float_key(((const uint32_t *)p)[i], 4, 0x7f800000);
  case TH_U64: return ((const uint64_t *)p)[i];
  case TH_I64: return ((const uint64_t *)p)[i] ^ ((uint64_t)1 << 63);
  case TH_F64: return th__float_key(((const uint64_t *)p)[i], 8, (uint64_t)0x7ff << 52);
  default: return ((const uint8_t *)p)[i];
  }
}

/* last: the largest key of the type. NaN, which has it in floats, stays last in descending order. */
TH_KERNEL(order_make, "wwrvvvvvvv", uint64_t *keys, uint32_t *index, const void *a, int64_t total,
          int64_t n, int64_t step, int32_t dtype, int32_t descending, uint64_t last,
          const __grid_constant__ th__cuda_place lines) {
  for (int64_t i = th__thread(); i < total; i += th__threads()) {
    int64_t line = i / n, j = i % n;
    uint64_t key = th__key(dtype, a, th__place(lines, line) + j * step);
    bool nan = dtype >= TH_F16 && key == last;
    keys[i] = descending && !nan ? last - key : key;
    index[i] = (uint32_t)j;
  }
}

/* How many of n ascending keys come before `key`; with_equal: also those equal to it. */
TH_DEVICE int64_t th__rank(const uint64_t *keys, int64_t n, uint64_t key, bool with_equal) {
  int64_t first = 0;
  while (n > 0) {
    int64_t half = n / 2;
    uint64_t here = keys[first + half];
    if (here < key || (with_equal && here == key)) {
      first += half + 1;
      n -= half + 1;
    } else {
      n = half;
    }
  }
  return first;
}

/* Place of element i of a line of n when its run of `width` keys is merged with the one beside. */
TH_DEVICE int64_t th__merged(const uint64_t *keys, int64_t i, int64_t n, int64_t width) {
  int64_t pair = i / (2 * width) * (2 * width), middle = pair + width;
  if (middle >= n) return i;
  if (i < middle) {
    int64_t rest = n - middle < width ? n - middle : width;
    return i + th__rank(keys + middle, rest, keys[i], false);
  }
  return pair + (i - middle) + th__rank(keys + pair, width, keys[i], true);
}

/* A block sorts one tile of one line. */
TH_BLOCK_KERNEL(order_tiles, "bbvv", uint64_t *keys, uint32_t *index, int64_t n, int64_t tiles) {
  TH_SHARED uint64_t key_of[2][TILE];
  TH_SHARED uint32_t index_of[2][TILE];
  const int64_t first = blockIdx.x / tiles * n + blockIdx.x % tiles * TILE;
  const int64_t rest = n - blockIdx.x % tiles * TILE;
  const int count = rest < TILE ? (int)rest : TILE;
  TH_PHASE {
    for (int i = threadIdx.x; i < count; i += TH_BLOCK) {
      key_of[0][i] = keys[first + i];
      index_of[0][i] = index[first + i];
    }
  }
  int now = 0;
  for (int width = 1; width < count; width *= 2, now = 1 - now) {
    TH_PHASE {
      for (int i = threadIdx.x; i < count; i += TH_BLOCK) {
        int64_t place = th__merged(key_of[now], i, count, width);
        key_of[1 - now][place] = key_of[now][i];
        index_of[1 - now][place] = index_of[now][i];
      }
    }
  }
  TH_PHASE {
    for (int i = threadIdx.x; i < count; i += TH_BLOCK) {
      keys[first + i] = key_of[now][i];
      index[first + i] = index_of[now][i];
    }
  }
}

TH_KERNEL(order_merge, "wwrrvvv", uint64_t *to_keys, uint32_t *to_index, const uint64_t *keys,
          const uint32_t *index, int64_t total, int64_t n, int64_t width) {
  for (int64_t i = th__thread(); i < total; i += th__threads()) {
    int64_t line = i / n * n;
    int64_t place = line + th__merged(keys + line, i - line, n, width);
    to_keys[place] = keys[i];
    to_index[place] = index[i];
  }
}

/* The first k of each line: values and places, either may be missing. */
#define WRITE(bits, t)                                                                             \
  TH_KERNEL(order_write_##bits, "wwrrvvvvvvv", void *values, int64_t *places, const void *a,       \
            const uint32_t *index, int64_t total, int64_t n, int64_t k, int64_t step,              \
            int64_t out_step, const __grid_constant__ th__cuda_place lines,                        \
            const __grid_constant__ th__cuda_place out_lines) {                                    \
    for (int64_t i = th__thread(); i < total; i += th__threads()) {                                \
      int64_t line = i / k, j = i % k, from = index[line * n + j];                                 \
      int64_t to = th__place(out_lines, line) + j * out_step;                                      \
      if (places) places[to] = from;                                                               \
      if (values) ((t::S *)values)[to] = ((const t::S *)a)[th__place(lines, line) + from * step];  \
    }                                                                                              \
  }
SIZES(WRITE)

TH_KERNEL(search, "wrrvvvv", int64_t *out, const void *values, const void *sorted, int64_t n,
          int64_t step, int64_t right, TH_WALK) {
  for (int64_t i = th__thread(); i < w.size; i += th__threads()) {
    int64_t at[2], first = 0, rest = n;
    th__offsets(w, i, at);
    uint64_t key = th__key(w.dtype, values, at[1]);
    while (rest > 0) {
      int64_t half = rest / 2;
      uint64_t here = th__key(w.dtype, sorted, (first + half) * step);
      if (here < key || (right && here == key)) {
        first += half + 1;
        rest -= half + 1;
      } else {
        rest = half;
      }
    }
    out[at[0]] = first;
  }
}
