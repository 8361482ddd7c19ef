/* The kernel of conv2d and both its gradients: products of matrices of which one is never made, but gathered in tiles from where
 * its elements lie (tiles.h). A block brings a few steps of both into shared memory; each thread then adds them to the
 * results it owns. */
#include "ops/cuda/lines.cuh"
#include "ops/cuda/tiles.h"

#define TH_TILES   const __grid_constant__ th__cuda_tiles t
#define TH_NOWHERE (INT64_MIN / 4) /* a place that no other brings back into a plane */
#define TH_WIDE    4 /* columns of a thread, 32 apart, so that a warp meets all banks */

/* What the threads of a block share; R = rows of a thread. A column of padding keeps stores of `left` off one another's banks. */
template <class T, int R> struct th__tile {
  T left[TH__TILE_STEPS][8 * R + 1], right[TH__TILE_STEPS][TH__TILE_COLUMNS];
  int64_t column_from[TH__TILE_COLUMNS], column_at[2][TH__TILE_COLUMNS];
  int64_t step_left[TH__TILE_STEPS], step_right[TH__TILE_STEPS], step_at[2][TH__TILE_STEPS];
};

/* The first row, column and step of a block. */
struct th__corner {
  int64_t group, row, column, chunk, step, end;
  __device__ th__corner(const th__cuda_tiles &t, int rows) {
    int64_t i = blockIdx.x;
    column = i % t.column_tiles * TH__TILE_COLUMNS, i /= t.column_tiles;
    row = i % t.row_tiles * rows, i /= t.row_tiles;
    group = i % t.groups, chunk = i / t.groups;
    step = chunk * t.chunk;
    end = step + t.chunk < t.steps ? step + t.chunk : t.steps;
  }
};

/* The three indices that i stands for. */
struct th__index3 {
  int64_t i[3];
  __device__ th__index3(int64_t n, const int64_t (&size)[3]) {
    i[2] = n % size[2], n /= size[2];
    i[1] = n % size[1], i[0] = n / size[1];
  }
};

template <class T, int R>
TH_DEVICE void th__set_column(th__tile<T, R> &s, const th__cuda_tiles &t, const th__corner &at) {
  const int own = threadIdx.x;
  if (own >= TH__TILE_COLUMNS) return;
  const bool inside = at.column + own < t.columns;
  const th__index3 n(inside ? at.column + own : 0, t.column);
  s.column_from[own] = at.group * t.right_group + n.i[0] * t.right_column;
  for (int d = 0; d < 2; d++)
    s.column_at[d][own] = inside ? t.origin[d] + n.i[1 + d] * t.by_column[d] : TH_NOWHERE;
}

template <class T, int R>
TH_DEVICE void th__set_step(th__tile<T, R> &s, const th__cuda_tiles &t, int64_t first,
                            int64_t end) {
  const int own = threadIdx.x;
  if (own >= TH__TILE_STEPS) return;
  const bool inside = first + own < end;
  const th__index3 k(inside ? first + own : 0, t.step);
  s.step_left[own] = k.i[0] * t.left_step[0] + k.i[1] * t.left_step[1] + k.i[2] * t.left_step[2];
  s.step_right[own] = k.i[0] * t.right_step;
  for (int d = 0; d < 2; d++) s.step_at[d][own] = inside ? k.i[1 + d] * t.by_step[d] : TH_NOWHERE;
}

/* Makes *at an index along d; false: there is none. */
TH_DEVICE bool th__on_plane(const th__cuda_tiles &t, int d, int64_t *at) {
  if (*at < 0) return false;
  if (t.divisor[d] > 1) {
    if (*at % t.divisor[d] != 0) return false;
    *at /= t.divisor[d];
  }
  return *at < t.size[d];
}

template <class A, int R>
TH_DEVICE void th__bring(th__tile<typename A::C, R> &s, const void *a, const void *b,
                         const th__cuda_tiles &t, const th__corner &at) {
  const th__operand<A> left(a, t.dtype), right(b, t.dtype);
  for (int e = threadIdx.x; e < 8 * R * TH__TILE_STEPS; e += TH_BLOCK) {
    const int k = e % TH__TILE_STEPS, m = e / TH__TILE_STEPS;
    const bool there = at.row + m < t.rows && s.step_at[0][k] != TH_NOWHERE;
    s.left[k][m] =
        there ? left.get(at.group * t.left_group + (at.row + m) * t.left_row + s.step_left[k]) : 0;
  }
#pragma unroll
  for (int e = threadIdx.x; e < TH__TILE_COLUMNS * TH__TILE_STEPS; e += TH_BLOCK) {
    const int n = e % TH__TILE_COLUMNS, k = e / TH__TILE_COLUMNS;
    int64_t y = s.column_at[0][n] + s.step_at[0][k], x = s.column_at[1][n] + s.step_at[1][k];
    const bool there = th__on_plane(t, 0, &y) && th__on_plane(t, 1, &x);
    s.right[k][n] =
        there ? right.get(s.column_from[n] + s.step_right[k] + y * t.right[0] + x * t.right[1]) : 0;
  }
}

template <class T, int R>
TH_DEVICE void th__accumulate(T (&sum)[R][TH_WIDE], const th__tile<T, R> &s) {
  const int row = threadIdx.x / 32 * R, column = threadIdx.x % 32;
#pragma unroll
  for (int k = 0; k < TH__TILE_STEPS; k++)
#pragma unroll
    for (int j = 0; j < TH_WIDE; j++) {
      const T value = s.right[k][column + 32 * j];
#pragma unroll
      for (int i = 0; i < R; i++) sum[i][j] += s.left[k][row + i] * value;
    }
}

/* To the result, or, of several chunks, to this one's partial sums. */
template <class A, int R>
TH_DEVICE void th__put_tile(void *out, typename A::C *parts, const void *bias,
                            const typename A::C (&sum)[R][TH_WIDE], const th__cuda_tiles &t,
                            const th__corner &at) {
  const th__operand<A> y(out, t.dtype), add(bias, t.dtype);
  for (int j = 0; j < TH_WIDE; j++) {
    const int64_t column = at.column + threadIdx.x % 32 + 32 * j;
    if (column >= t.columns) return;
    const th__index3 n(column, t.column);
    const int64_t to = at.group * t.out_group + n.i[0] * t.out_column[0] +
                       n.i[1] * t.out_column[1] + n.i[2] * t.out_column[2];
    for (int i = 0; i < R; i++) {
      const int64_t row = at.row + threadIdx.x / 32 * R + i;
      if (row >= t.rows) break;
      if (parts)
        parts[at.chunk * t.results + to + row * t.out_row] = sum[i][j];
      else
        y.put(to + row * t.out_row,
              bias ? sum[i][j] + add.get((at.group * t.rows + row) * t.bias) : sum[i][j]);
    }
  }
}

template <class A, int R>
TH_DEVICE void th__conv(void *out, void *parts, const void *a, const void *b, const void *bias,
                        const th__cuda_tiles &t) {
  typedef typename A::C T;
  typedef T th__sums[R][TH_WIDE];
  TH_SHARED th__tile<T, R> s;
  TH_OWN(th__sums, sums);
  const th__corner at(t, 8 * R);
  TH_PHASE {
    th__set_column(s, t, at);
    th__set_step(s, t, at.step, at.end);
#pragma unroll
    for (int i = 0; i < R * TH_WIDE; i++) TH_MINE(sums)[i / TH_WIDE][i % TH_WIDE] = 0;
  }
  for (int64_t step = at.step; step < at.end; step += TH__TILE_STEPS) {
    TH_PHASE { th__bring<A>(s, a, b, t, at); }
    TH_PHASE {
      th__accumulate(TH_MINE(sums), s);
      th__set_step(s, t, step + TH__TILE_STEPS, at.end);
    }
  }
  TH_PHASE { th__put_tile<A, R>(out, (T *)parts, bias, TH_MINE(sums), t, at); }
}

/* Joins the chunks, in order. */
template <class A>
TH_DEVICE void th__join(void *out, const void *parts, const void *bias, const th__cuda_tiles &t) {
  typedef typename A::C T;
  const th__operand<A> y(out, t.dtype), add(bias, t.dtype);
  const T *part = (const T *)parts;
  for (int64_t i = th__thread(); i < t.results; i += th__threads()) {
    T sum = part[i];
    for (int64_t c = 1; c < t.chunks; c++) sum += part[c * t.results + i];
    y.put(i, bias ? sum + add.get(i / t.out_row % (t.groups * t.rows) * t.bias) : sum);
  }
}

#define CONV(t_, R)                                                                                \
  TH_BLOCK_KERNEL(conv2d_##R##_##t_, "wwrrrv", void *out, void *parts, const void *a,              \
                  const void *b, const void *bias, TH_TILES) {                                     \
    th__conv<t_, R>(out, parts, a, b, bias, t);                                                    \
  }
TH_FLOATING(CONV, 1)
TH_FLOATING(CONV, 2)
TH_FLOATING(CONV, 4)
#define JOIN(t_, ...)                                                                              \
  TH_KERNEL(conv2d_join_##t_, "wrrv", void *out, const void *parts, const void *bias, TH_TILES) {  \
    th__join<t_>(out, parts, bias, t);                                                             \
  }
TH_FLOATING(JOIN, )
