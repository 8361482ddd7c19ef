/* The kernel of norms and of their gradients by x: a line is read for its mean, for its variance, for the sums that the gradient
 * needs, and for the result. */
#include "ops/cuda/lines.cuh"
#include "ops/cuda/norm.h"

/* What a thread reads: its line of x and of the other operands. */
template <class A> struct th__line {
  typedef typename A::C T;
  const th__cuda_norm &m;
  const th__cuda_reduction &r;
  th__operand<A> x, first, second;
  bool has_first, has_second;
  int64_t output, lane, base, from[2];
  __device__ th__line(const void *a, const void *b, const void *c, const th__cuda_norm &norm,
                      const th__cuda_reduction &lines)
      : m(norm), r(lines), x(a, lines.dtype), first(b, lines.dtype), second(c, lines.dtype),
        has_first(b != 0), has_second(c != 0),
        output((int64_t)blockIdx.x * lines.outs + th__column(lines)), lane(th__lane(lines)),
        base(0) {
    from[0] = from[1] = 0;
    if (!active()) return;
    base = th__place(r.kept, output);
    for (int j = 0; j < 2; j++) from[j] = th__place(m.part[j].kept, output);
  }
  __device__ bool active() const { return output < r.n_out && lane < r.n_reduced; }
  __device__ T at(int64_t i) const { return x.get(base + th__place(r.reduced, i)); }
  __device__ T one(int64_t i) const { return first.get(from[0] + th__place(m.part[0].reduced, i)); }
  __device__ T two(int64_t i) const {
    return second.get(from[1] + th__place(m.part[1].reduced, i));
  }
  /* g w */
  __device__ T slope(int64_t i) const { return has_second ? one(i) * two(i) : one(i); }
};

/* Lane 0 of every output of the block divides its sum by the length of a line. */
template <class T>
TH_DEVICE void th__average(T *to, const T *lane_of, const th__cuda_reduction &r) {
  TH_PHASE {
    if (th__lane(r) == 0) to[th__column(r)] = lane_of[th__column(r)] / (T)r.n_reduced;
  }
}

/* Fills lane_of with each lane's sum of f(i) and joins them. */
template <class A, class F>
TH_DEVICE void th__line_sums(typename A::C *lane_of, const void *a, const void *b, const void *c,
                             const th__cuda_norm &m, const th__cuda_reduction &r, F f) {
  TH_PHASE {
    const th__line<A> line(a, b, c, m, r);
    if (line.active()) {
      typename A::C sum = f(line, line.lane);
      for (int64_t i = line.lane + TH_BLOCK / r.outs; i < r.n_reduced; i += TH_BLOCK / r.outs)
        sum += f(line, i);
      lane_of[line.lane * r.outs + th__column(r)] = sum;
    }
  }
  th__tree<typename A::C, th__sum<typename A::C>>(lane_of, r, r.n_reduced);
}

template <class A>
TH_DEVICE void th__norm(void *out, void *mean_out, void *variance_out, const void *a, const void *b,
                        const void *c, const th__cuda_norm &m, const th__cuda_reduction &r) {
  typedef typename A::C T;
  TH_SHARED T lane_of[TH_BLOCK];
  TH_SHARED T mean[TH_BLOCK], variance[TH_BLOCK], sums[TH_BLOCK], dots[TH_BLOCK]; /* of outputs */
  TH_PHASE { mean[threadIdx.x] = sums[threadIdx.x] = 0; }
  if (m.center) {
    th__line_sums<A>(lane_of, a, b, c, m, r,
                     [&](const th__line<A> &line, int64_t i) { return line.at(i); });
    th__average(mean, lane_of, r);
  }
  th__line_sums<A>(lane_of, a, b, c, m, r, [&](const th__line<A> &line, int64_t i) {
    const T d = line.at(i) - mean[th__column(r)];
    return d * d;
  });
  th__average(variance, lane_of, r);
  if (m.slope) {
    if (m.center) {
      th__line_sums<A>(lane_of, a, b, c, m, r,
                       [&](const th__line<A> &line, int64_t i) { return line.slope(i); });
      th__average(sums, lane_of, r);
    }
    th__line_sums<A>(lane_of, a, b, c, m, r, [&](const th__line<A> &line, int64_t i) {
      return line.slope(i) * (line.at(i) - mean[th__column(r)]);
    });
    th__average(dots, lane_of, r);
  }
  TH_PHASE {
    const th__line<A> line(a, b, c, m, r);
    if (line.active()) {
      const th__operand<A> y(out, r.dtype), means(mean_out, r.dtype), spread(variance_out, r.dtype);
      const int own = th__column(r);
      const int64_t to = th__place(m.part[TH__NORM_RESULT].kept, line.output);
      const T factor = (T)(1 / sqrt((double)variance[own] + m.eps));
      for (int64_t i = line.lane; i < r.n_reduced; i += TH_BLOCK / r.outs) {
        const T x = (line.at(i) - mean[own]) * factor;
        T value;
        if (m.slope) {
          value = factor * ((line.slope(i) - sums[own]) - x * factor * dots[own]);
        } else {
          value = line.has_first ? x * line.one(i) : x;
          if (line.has_second) value += line.two(i);
        }
        y.put(to + th__place(m.part[TH__NORM_RESULT].reduced, i), value);
      }
      if (line.lane == 0 && mean_out) means.put(line.output, mean[own]);
      if (line.lane == 0 && variance_out) spread.put(line.output, variance[own]);
    }
  }
}

#define NORM(t, ...)                                                                               \
  TH_BLOCK_KERNEL(norm_##t, "wwwrrrvv", void *out, void *mean, void *variance, const void *a,      \
                  const void *b, const void *c, const __grid_constant__ th__cuda_norm m,           \
                  TH_LINES) {                                                                      \
    th__norm<t>(out, mean, variance, a, b, c, m, r);                                               \
  }
TH_FLOATING(NORM, )
