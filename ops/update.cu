/* The kernel of sgd_step: all parameters in one launch. A block finds its parameter in the table and steps through a chunk. */
#include "ops/kernel.cuh"
#include "ops/cuda_update.h"

template <class A>
TH_DEVICE void th__step(const th__cuda_update &u, int64_t from, int64_t to, double rate,
                        double weight, double shrink, bool nesterov) {
  typedef typename A::C T;
  const T lr = (T)rate, momentum = (T)weight, decay = (T)shrink;
  const th__operand<A> p(u.p, u.walk.dtype), g(u.g, u.walk.dtype), v(u.v, u.walk.dtype);
  for (int64_t i = from + threadIdx.x; i < to; i += blockDim.x) {
    int64_t at[3];
    th__offsets(u.walk, i, at);
    T value = p.get(at[0]), slope = g.get(at[1]) + decay * value;
    if (u.v) {
      T speed = momentum * v.get(at[2]) + slope;
      v.put(at[2], speed);
      slope = nesterov ? slope + momentum * speed : speed;
    }
    p.put(at[0], value - lr * slope);
  }
}

TH_KERNEL(sgd_step, "rvvvvv", const th__cuda_update *table, int64_t n, double lr, double momentum,
          double decay, int32_t nesterov) {
  int64_t low = 0, high = n - 1;
  while (low < high) {
    int64_t middle = (low + high + 1) / 2;
    if (table[middle].first_block <= (int64_t)blockIdx.x)
      low = middle;
    else
      high = middle - 1;
  }
  const th__cuda_update &u = table[low];
  int64_t from = (blockIdx.x - u.first_block) * TH__UPDATE_CHUNK, to = from + TH__UPDATE_CHUNK;
  if (to > u.walk.size) to = u.walk.size;
  if (u.walk.dtype == TH_F64)
    th__step<f64>(u, from, to, lr, momentum, decay, nesterov != 0);
  else
    th__step<single>(u, from, to, lr, momentum, decay, nesterov != 0);
}
