// Training steps by libtorch, for their benchmark: `train-torch THREADS`; BLAS has its own threads (OPENBLAS_NUM_THREADS).
#include <malloc.h>
#include <torch/torch.h>

#include <atomic>
#include <cstdlib>
#include <memory>
#include <new>
#include <vector>

#include "common/serve.h"
#include "common/train_cases.h"

namespace {

using torch::Tensor;

// Counts what tensors hold, as Thrum's pool does. In place only while the peak is looked for: it takes time.
std::atomic<std::int64_t> live{0}, peak{0};

struct counting : at::Allocator {
  static constexpr std::size_t front = 64; // the size, before the memory and as well aligned

  at::DataPtr allocate(std::size_t bytes) const override {
    char *block = static_cast<char *>(std::aligned_alloc(front, (bytes + 2 * front - 1) / front * front));
    if (!block) throw std::bad_alloc();
    *reinterpret_cast<std::size_t *>(block) = bytes;
    std::int64_t now = live += static_cast<std::int64_t>(bytes), most = peak;
    while (now > most && !peak.compare_exchange_weak(most, now)) {
    }
    return {block + front, block + front, release, at::Device(at::kCPU)};
  }
  at::DeleterFnPtr raw_deleter() const override { return release; }
  static void release(void *data) {
    char *block = static_cast<char *>(data) - front;
    live -= static_cast<std::int64_t>(*reinterpret_cast<std::size_t *>(block));
    std::free(block);
  }
};

struct training {
  const train_case *c;
  std::vector<Tensor> p;
  Tensor x, y, mask;
  std::unique_ptr<torch::optim::SGD> sgd;
  double loss;
};

Tensor drawn(const train_tensor &t, std::uint64_t stream) {
  Tensor a = torch::empty(torch::IntArrayRef(t.shape, static_cast<std::size_t>(t.ndim)));
  train_fill(&t, stream, a.data_ptr<float>());
  return a;
}

Tensor classes(std::int64_t rows) {
  Tensor a = torch::empty({rows}, torch::kInt64);
  for (std::int64_t i = 0; i < rows; i++) a.data_ptr<std::int64_t>()[i] = train_label(i);
  return a;
}

Tensor mlp(const training &t) {
  Tensor x = t.x;
  for (std::size_t i = 0; i < t.p.size(); i += 2) {
    x = torch::linear(x, t.p[i], t.p[i + 1]);
    if (i + 2 < t.p.size()) x = torch::relu(x);
  }
  return x;
}

Tensor cnn(const training &t) {
  Tensor x = t.x;
  for (std::size_t i = 0; i < 4; i += 2)
    x = torch::max_pool2d(torch::relu(torch::conv2d(x, t.p[i], t.p[i + 1], 1, 1)), {2, 2});
  return torch::linear(x.view({-1, 784}), t.p[4], t.p[5]);
}

Tensor attention(const training &t, const Tensor &qkv) {
  auto parts = qkv.view({-1, TRAIN_LENGTH, 3, TRAIN_HEADS, TRAIN_WIDTH / TRAIN_HEADS}).permute({2, 0, 3, 1, 4}).unbind(0);
  Tensor q = parts[0] * (1 / std::sqrt(double(TRAIN_WIDTH) / TRAIN_HEADS));
  Tensor weights = torch::softmax(torch::matmul(q, parts[1].transpose(-2, -1)) + t.mask, -1);
  return torch::matmul(weights, parts[2]).transpose(1, 2).reshape({-1, TRAIN_LENGTH, TRAIN_WIDTH});
}

Tensor block(const training &t) {
  const auto &p = t.p;
  Tensor a = torch::linear(torch::layer_norm(t.x, {TRAIN_WIDTH}, p[0], p[1]), p[2], p[3]);
  Tensor x = t.x + torch::linear(attention(t, a), p[4], p[5]);
  Tensor hidden = torch::gelu(torch::linear(torch::layer_norm(x, {TRAIN_WIDTH}, p[6], p[7]), p[8], p[9]));
  return x + torch::linear(hidden, p[10], p[11]);
}

Tensor loss_of(const training &t) {
  switch (t.c->net) {
  case TRAIN_CNN: return torch::cross_entropy_loss(cnn(t), t.y);
  case TRAIN_BLOCK: return torch::mse_loss(block(t), t.y);
  default: return torch::cross_entropy_loss(mlp(t), t.y);
  }
}

double step(training &t, bool tell) {
  Tensor loss = loss_of(t);
  loss.backward();
  t.sgd->step();
  for (Tensor &p : t.p) p.mutable_grad().reset(); // quicker than zero_grad(), which fills
  return tell ? loss.item<double>() : 0;
}

void run(void *state, long times) {
  for (long i = 0; i < times; i++) step(*static_cast<training *>(state), false);
}

bool begin(const char *request, void *state) {
  auto &t = *static_cast<training *>(state);
  const train_tensor *tensors;
  t = training{};
  t.c = train_find(request);
  if (!t.c) return false;
  int n = train_params(t.c->net, &tensors);
  for (int i = 0; i < n; i++) {
    Tensor p = drawn(tensors[i], static_cast<std::uint64_t>(i));
    if (p.dim() == 2) p = p.t().contiguous(); // libtorch has (outputs, inputs)
    t.p.push_back(p.set_requires_grad(true));
  }
  train_tensor input = train_input(t.c);
  t.x = drawn(input, TRAIN_PARAMS);
  t.y = t.c->net == TRAIN_BLOCK ? drawn(input, TRAIN_PARAMS + 1) : classes(t.c->batch);
  t.mask = torch::full({TRAIN_LENGTH, TRAIN_LENGTH}, -INFINITY).triu(1);
  t.sgd = std::make_unique<torch::optim::SGD>(t.p, 1. / TRAIN_RATE);
  for (int i = 1; i <= TRAIN_FIRST_STEPS; i++) t.loss = step(t, i == TRAIN_FIRST_STEPS);
  return true;
}

void end(void *state) { *static_cast<training *>(state) = training{}; }

// The peak is that of the first steps of a training of its own.
void figures(void *state, double *out) {
  static counting counter;
  out[TRAIN_LOSS] = static_cast<training *>(state)->loss;
  at::Allocator *before = c10::GetAllocator(at::kCPU);
  c10::SetAllocator(at::kCPU, &counter);
  peak = 0;
  {
    training fresh{};
    begin(static_cast<training *>(state)->c->name, &fresh);
  }
  c10::SetAllocator(at::kCPU, before);
  out[TRAIN_PEAK] = static_cast<double>(peak);
}

} // namespace

int main(int argc, char **argv) {
  static training t;
  if (argc != 2) return 2;
  mallopt(M_MMAP_THRESHOLD, 1 << 30); // memory is kept: fresh pages take long
  mallopt(M_TRIM_THRESHOLD, 1 << 30);
  torch::set_num_threads(std::atoi(argv[1]));
  at::set_num_interop_threads(1); // these steps have nothing for it
  const bench_service service = {"libtorch", TORCH_VERSION, begin, run, end, figures, &t, 0.02};
  return bench_serve(&service);
}
