/* The kernels of sgd_step, adam_step and rmsprop_step: all parameters in one launch. A block finds its parameter in the table
 * and steps through a chunk. factor, where it is not NULL, multiplies the gradients; 0 leaves the step out. */
#include "ops/kernel.cuh"
#include "ops/cuda_update.h"

/* The parameter of this block, and its elements. */
TH_DEVICE const th__cuda_update &th__own_chunk(const th__cuda_update *table, int64_t n,
                                               int64_t *from, int64_t *to) {
  int64_t low = 0, high = n - 1;
  while (low < high) {
    int64_t middle = (low + high + 1) / 2;
    if (table[middle].first_block <= (int64_t)blockIdx.x)
      low = middle;
    else
      high = middle - 1;
  }
  const th__cuda_update &u = table[low];
  *from = (blockIdx.x - u.first_block) * TH__UPDATE_CHUNK;
  *to = *from + TH__UPDATE_CHUNK;
  if (*to > u.walk.size) *to = u.walk.size;
  return u;
}

/* What a parameter and its companions look like to a step. */
template <class A> struct th__stepping {
  th__operand<A> p, g, s, v;
  bool has_v;
  __device__ th__stepping(const th__cuda_update &u)
      : p(u.data[0], u.walk.dtype), g(u.data[1], u.walk.dtype), s(u.data[2], u.walk.dtype),
        v(u.data[3], u.walk.dtype), has_v(u.data[3] != 0) {}
};

template <class A>
TH_DEVICE void th__sgd(const th__cuda_update &u, int64_t from, int64_t to, float factor,
                       double rate, double weight, double shrink, bool nesterov) {
  typedef typename A::C T;
  const T lr = (T)rate, momentum = (T)weight, decay = (T)shrink;
  const th__stepping<A> o(u);
  for (int64_t i = from + threadIdx.x; i < to; i += blockDim.x) {
    int64_t at[3];
    th__offsets(u.walk, i, at);
    T value = o.p.get(at[0]), slope = o.g.get(at[1]) * factor + decay * value;
    if (u.data[2]) {
      T speed = momentum * o.s.get(at[2]) + slope;
      o.s.put(at[2], speed);
      slope = nesterov ? slope + momentum * speed : speed;
    }
    o.p.put(at[0], value - lr * slope);
  }
}

TH_KERNEL(sgd_step, "rvrrvvvv", const th__cuda_update *table, int64_t n, const float *factor,
          const float *skipped, double lr, double momentum, double decay, int32_t nesterov) {
  int64_t from, to;
  const float f = factor ? *factor : 1;
  if (f == 0) return;
  const th__cuda_update &u = th__own_chunk(table, n, &from, &to);
  if (u.walk.dtype == TH_F64)
    th__sgd<f64>(u, from, to, f, lr, momentum, decay, nesterov != 0);
  else
    th__sgd<single>(u, from, to, f, lr, momentum, decay, nesterov != 0);
}

/* shrink scales the parameter first, decay adds it to the gradient. */
struct th__adam {
  double beta1, beta2, rate, root, eps, shrink, decay;
};

template <class A>
TH_DEVICE void th__adam_chunk(const th__cuda_update &u, int64_t from, int64_t to, float factor,
                              const th__adam &s) {
  typedef typename A::C T;
  const T b1 = (T)s.beta1, b2 = (T)s.beta2, a1 = (T)(1 - s.beta1), a2 = (T)(1 - s.beta2);
  const T rate = (T)s.rate, root = (T)s.root, eps = (T)s.eps;
  const T shrink = (T)s.shrink, decay = (T)s.decay;
  const th__stepping<A> o(u);
  for (int64_t i = from + threadIdx.x; i < to; i += blockDim.x) {
    int64_t at[4];
    th__offsets(u.walk, i, at);
    T value = o.p.get(at[0]), slope = o.g.get(at[1]) * factor + decay * value;
    T first = b1 * o.s.get(at[2]) + a1 * slope;
    T second = b2 * o.v.get(at[3]) + a2 * (slope * slope);
    o.s.put(at[2], first);
    o.v.put(at[3], second);
    o.p.put(at[0], shrink * value - rate * (first / (sqrt(second) * root + eps)));
  }
}

/* rate and root are those of the step; when steps were skipped they are computed again. */
TH_KERNEL(adam_step, "rvrrvvvvvvvvv", const th__cuda_update *table, int64_t n, const float *factor,
          const float *skipped, double lr, double step, double beta1, double beta2, double rate,
          double root, double eps, double shrink, double decay) {
  int64_t from, to;
  const float f = factor ? *factor : 1;
  if (f == 0) return;
  if (skipped && *skipped != 0) {
    rate = lr / (1 - pow(beta1, step - *skipped));
    root = 1 / sqrt(1 - pow(beta2, step - *skipped));
  }
  const th__cuda_update &u = th__own_chunk(table, n, &from, &to);
  const th__adam s = {beta1, beta2, rate, root, eps, shrink, decay};
  if (u.walk.dtype == TH_F64)
    th__adam_chunk<f64>(u, from, to, f, s);
  else
    th__adam_chunk<single>(u, from, to, f, s);
}

template <class A>
TH_DEVICE void th__rmsprop(const th__cuda_update &u, int64_t from, int64_t to, float factor,
                           double rate, double alpha, double epsilon, double shrink,
                           double weight) {
  typedef typename A::C T;
  const T lr = (T)rate, b = (T)alpha, a = (T)(1 - alpha), eps = (T)epsilon;
  const T decay = (T)shrink, momentum = (T)weight;
  const th__stepping<A> o(u);
  for (int64_t i = from + threadIdx.x; i < to; i += blockDim.x) {
    int64_t at[4];
    th__offsets(u.walk, i, at);
    T value = o.p.get(at[0]), slope = o.g.get(at[1]) * factor + decay * value;
    T square = b * o.s.get(at[2]) + a * (slope * slope);
    T speed = slope / (sqrt(square) + eps);
    o.s.put(at[2], square);
    if (o.has_v) {
      speed = momentum * o.v.get(at[3]) + speed;
      o.v.put(at[3], speed);
    }
    o.p.put(at[0], value - lr * speed);
  }
}

TH_KERNEL(rmsprop_step, "rvrrvvvvv", const th__cuda_update *table, int64_t n, const float *factor,
          const float *skipped, double lr, double alpha, double eps, double decay,
          double momentum) {
  int64_t from, to;
  const float f = factor ? *factor : 1;
  if (f == 0) return;
  const th__cuda_update &u = th__own_chunk(table, n, &from, &to);
  if (u.walk.dtype == TH_F64)
    th__rmsprop<f64>(u, from, to, f, lr, alpha, eps, decay, momentum);
  else
    th__rmsprop<single>(u, from, to, f, lr, alpha, eps, decay, momentum);
}
