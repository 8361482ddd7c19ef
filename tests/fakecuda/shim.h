/* Turns a file of kernels (ops/x.cu) into C++ for the host. It is included before anything else. For each kernel NAME the
 * library then exports
 *   void fake_kernel_NAME(void **params, const unsigned grid[3], const unsigned block[3], unsigned shared_bytes);
 *   const char fake_access_NAME[];     a letter per parameter: r, w, b (both), v (value)
 *   const unsigned short fake_sizes_NAME[];     bytes of each parameter, then 0
 * A kernel of threads that work alone is called once per thread; one of cooperating threads once per block, where its phases
 * are loops over the threads. With fake_backwards set, blocks and threads run in the opposite order: results must not change. */
#ifndef THRUM_TESTS_FAKECUDA_SHIM_H
#define THRUM_TESTS_FAKECUDA_SHIM_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#include <utility>

#define __global__
#define __device__
#define __host__
#define __grid_constant__
#define __noinline__ __attribute__((noinline))
#define TH_SHARED    static thread_local
/* One for each thread of a block; an array type stays one. */
#define TH_OWN(type, id) static thread_local type id[256]
#define TH_MINE(id)      id[threadIdx.x]

typedef struct alignas(8) uint2 {
  uint32_t x, y;
} uint2;
typedef struct alignas(16) uint4 {
  uint32_t x, y, z, w;
} uint4;

namespace fake {

struct dim3 {
  unsigned x, y, z;
};
inline thread_local dim3 thread, block, block_size, grid_size;

} // namespace fake

#define threadIdx fake::thread
#define blockIdx  fake::block
#define blockDim  fake::block_size
#define gridDim   fake::grid_size

#define TH_EXPORT extern "C" __attribute__((visibility("default")))
TH_EXPORT int fake_backwards; /* defined in shim.cpp */

namespace fake {

inline unsigned turned(unsigned i, unsigned n) { return fake_backwards ? n - 1 - i : i; }

/* The threads of a block, one after another. */
struct phase {
  unsigned i = 0;
  bool next() {
    if (i == block_size.x) {
      thread = {0, 0, 0};
      return false;
    }
    thread = {turned(i++, block_size.x), 0, 0};
    return true;
  }
};

template <class... P, size_t... I>
void call(void (*kernel)(P...), void **params, std::index_sequence<I...>) {
  kernel(*(P *)params[I]...);
}

template <class... P>
void run(void (*kernel)(P...), void **params, const unsigned *grid, const unsigned *size,
         bool together) {
  grid_size = {grid[0], grid[1], grid[2]};
  block_size = {size[0], size[1], size[2]};
  unsigned threads = together ? 1 : size[0];
  thread = {0, 0, 0};
  for (unsigned b = 0; b < grid[0]; b++)
    for (unsigned t = 0; t < threads; t++) {
      block = {turned(b, grid[0]), 0, 0};
      if (!together) thread = {turned(t, threads), 0, 0};
      call(kernel, params, std::index_sequence_for<P...>());
    }
}

/* Sizes of a kernel's parameters, 0 at the end. */
template <class F> struct sizes;
template <class... P> struct sizes<void (*)(P...)> {
  unsigned short list[sizeof...(P) + 1] = {sizeof(P)..., 0};
};

/* Whether the letters fit the types: v for values, r for pointers to const, w or b for others. */
template <class P> struct kind {
  static constexpr bool fits(char c) { return c == 'v'; }
};
template <class P> struct kind<const P *> {
  static constexpr bool fits(char c) { return c == 'r'; }
};
template <class P> struct kind<P *> {
  static constexpr bool fits(char c) { return c == 'w' || c == 'b'; }
};
template <class... P> constexpr bool letters_fit(void (*)(P...), const char *access) {
  bool all = true;
  ((all = all && kind<P>::fits(*access), access += *access != 0), ...);
  return all && *access == 0;
}

} // namespace fake

#define TH_PHASE for (fake::phase th__phase; th__phase.next();)
#define TH_DEFINE_KERNEL(id, access, together, ...)                                                \
  static void id(__VA_ARGS__);                                                                     \
  static_assert(fake::letters_fit(&id, access), "letters and parameters of " #id);                 \
  TH_EXPORT const char fake_access_##id[sizeof(access)];                                           \
  const char fake_access_##id[sizeof(access)] = access;                                            \
  TH_EXPORT const fake::sizes<decltype(&id)> fake_sizes_##id;                                      \
  const fake::sizes<decltype(&id)> fake_sizes_##id = {};                                           \
  TH_EXPORT void fake_kernel_##id(void **params, const unsigned *grid, const unsigned *block,      \
                                  unsigned);                                                       \
  void fake_kernel_##id(void **params, const unsigned *grid, const unsigned *block, unsigned) {    \
    fake::run(&id, params, grid, block, together);                                                 \
  }                                                                                                \
  static void id(__VA_ARGS__)
#define TH_KERNEL(id, access, ...)       TH_DEFINE_KERNEL(id, access, false, __VA_ARGS__)
#define TH_BLOCK_KERNEL(id, access, ...) TH_DEFINE_KERNEL(id, access, true, __VA_ARGS__)

#endif
