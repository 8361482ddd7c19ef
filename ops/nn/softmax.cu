/* Kernels of softmax, log_softmax and cross_entropy: three passes over each line, which is shifted by its maximum. A label
 * outside of its line gives NaN. */
#include "ops/cuda/lines.cuh"
#include "ops/cuda/softmax.h"

/* What a lane writes of a line with this maximum and this sum of exponentials. */
template <class A>
TH_DEVICE void th__write_line(void *out, const void *a, const void *labels, const void *gradient,
                              const th__cuda_softmax &o, const th__cuda_reduction &r,
                              int64_t output, typename A::C shift, typename A::C sum) {
  typedef typename A::C T;
  const th__operand<A> x(a, r.dtype), y(out, r.dtype);
  const int64_t n = r.n_reduced, step = r.reduced.shape.ndim ? r.reduced.strides[0] : 0;
  const int64_t base = th__place(r.kept, output), to = th__place(o.kept, output);
  int64_t label = 0;
  if (labels) label = th__load_index(o.label_dtype, labels, output * o.label_step);
  const bool known = label >= 0 && label < n, logarithm = o.what == TH__LOG_SOFTMAX;
  if (o.what == TH__LOSS) {
    double loss = (double)NAN;
    if (known) loss = log((double)sum) - ((double)x.get(base + label * step) - (double)shift);
    if (th__lane(r) == 0) ((double *)out)[output] = loss;
    return;
  }
  const T rest = logarithm ? log(sum) : 0;
  T factor = 1;
  if (gradient) factor = (T)((double)th__operand<A>(gradient, r.dtype).get(0) / (double)r.n_out);
  if (!known) factor = (T)NAN;
  for (int64_t i = th__lane(r); i < n; i += TH_BLOCK / r.outs) {
    T e = x.get(base + i * step) - shift;
    T value = logarithm ? e - rest : exp(e) / sum;
    if (labels && i == label) value -= 1;
    y.put(to + i * o.step, value * factor);
  }
}

/* Lines of a block: r tells where they are read, o where they are written. */
template <class A>
TH_DEVICE void th__softmax(void *out, const void *a, const void *labels, const void *gradient,
                           const th__cuda_softmax &o, const th__cuda_reduction &r) {
  typedef typename A::C T;
  TH_SHARED T lane_of[TH_BLOCK];
  TH_SHARED T top[TH_BLOCK]; /* of each output of the block */
  const int lanes = TH_BLOCK / r.outs;
  const int64_t n = r.n_reduced, step = r.reduced.shape.ndim ? r.reduced.strides[0] : 0;
  const int64_t first = (int64_t)blockIdx.x * r.outs;
  const th__operand<A> x(a, r.dtype);
  TH_PHASE {
    int64_t output = first + th__column(r), lane = th__lane(r);
    if (output < r.n_out && lane < n) {
      int64_t base = th__place(r.kept, output);
      T most = x.get(base + lane * step);
      for (int64_t i = lane + lanes; i < n; i += lanes)
        most = th__max<T>::join(most, x.get(base + i * step));
      lane_of[lane * r.outs + th__column(r)] = most;
    }
  }
  th__tree<T, th__max<T>>(lane_of, r, n);
  TH_PHASE {
    if (th__lane(r) == 0) top[th__column(r)] = lane_of[th__column(r)];
  }
  TH_PHASE {
    int64_t output = first + th__column(r), lane = th__lane(r);
    if (output < r.n_out && lane < n) {
      int64_t base = th__place(r.kept, output);
      const T shift = top[th__column(r)];
      T sum = exp(x.get(base + lane * step) - shift);
      for (int64_t i = lane + lanes; i < n; i += lanes) sum += exp(x.get(base + i * step) - shift);
      lane_of[lane * r.outs + th__column(r)] = sum;
    }
  }
  th__tree<T, th__sum<T>>(lane_of, r, n);
  TH_PHASE {
    int64_t output = first + th__column(r), lane = th__lane(r);
    if (output < r.n_out && lane < n)
      th__write_line<A>(out, a, labels, gradient, o, r, output, top[th__column(r)],
                        lane_of[th__column(r)]);
  }
}

#define SOFTMAX(t, ...)                                                                            \
  TH_BLOCK_KERNEL(softmax_##t, "wrrrvv", void *out, const void *a, const void *labels,             \
                  const void *gradient, const __grid_constant__ th__cuda_softmax o, TH_LINES) {    \
    th__softmax<t>(out, a, labels, gradient, o, r);                                                \
  }
TH_FLOATING(SOFTMAX, )
