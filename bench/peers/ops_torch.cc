// The operators by libtorch, for their benchmark: `ops-torch WORKERS`.
#include <torch/torch.h>

#include <cstdlib>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "common/ops_serve.h"

namespace {

using torch::Tensor;
using tensors = std::vector<Tensor>;

ops_spec spec;
tensors in;
std::function<Tensor()> call;

// Forward, and the gradients of all inputs that are floats.
template <class F> Tensor backward(F forward) {
  tensors marked;
  for (const Tensor &t : in) {
    marked.push_back(t.detach());
    if (t.is_floating_point()) marked.back().set_requires_grad(true);
  }
  forward(marked).sum().backward();
  return marked.back().grad();
}

namespace nn = torch::nn::functional;

const std::map<std::string, std::function<Tensor()>> kinds = {
    {"add", [] { return torch::add(in[0], in[1]); }},
    {"multiply", [] { return torch::mul(in[0], in[1]); }},
    {"relu", [] { return torch::relu(in[0]); }},
    {"exp", [] { return torch::exp(in[0]); }},
    {"log", [] { return torch::log(in[0]); }},
    {"tanh", [] { return torch::tanh(in[0]); }},
    {"sigmoid", [] { return torch::sigmoid(in[0]); }},
    {"gelu", [] { return torch::gelu(in[0]); }},
    {"erf", [] { return torch::erf(in[0]); }},
    {"silu", [] { return torch::silu(in[0]); }},
    {"pow", [] { return torch::pow(in[0], in[1]); }},
    {"softmax", [] { return torch::softmax(in[0], -1); }},
    {"log_softmax", [] { return torch::log_softmax(in[0], -1); }},
    {"cross_entropy", [] { return torch::cross_entropy_loss(in[0], in[1]); }},
    {"layer_norm", [] { return torch::layer_norm(in[0], {in[0].size(-1)}); }},
    {"sum", [] { return torch::sum(in[0]); }},
    {"sum_axis", [] { return torch::sum(in[0], {spec.axis}); }},
    {"mean_axis", [] { return torch::mean(in[0], {spec.axis}); }},
    {"max", [] { return torch::max(in[0]); }},
    {"max_axis", [] { return torch::amax(in[0], {spec.axis}); }},
    {"copy", [] { return in[0].clone(torch::MemoryFormat::Contiguous); }},
    {"matmul", [] { return torch::matmul(in[0], in[1]); }},
    {"take", [] { return torch::index_select(in[0], 0, in[1]); }},
    {"scatter_add", [] { return in[0].index_add_(0, in[1], in[2]); }},
    {"take_along", [] { return torch::gather(in[0], spec.axis, in[1]); }},
    {"repeat", [] { return torch::repeat_interleave(in[0], spec.k, spec.axis); }},
    {"roll",
     [] {
       return torch::roll(in[0], {spec.k, spec.k}, {0, 1});
     }},
    {"nonzero", [] { return torch::nonzero(in[0]); }},
    {"argmax", [] { return torch::argmax(in[0], spec.axis); }},
    {"concat",
     [] {
       return torch::cat({in[0], in[1]}, spec.axis);
     }},
    {"sort", [] { return std::get<0>(torch::sort(in[0], true, -1, false)); }},
    {"argsort", [] { return std::get<1>(torch::sort(in[0], true, -1, false)); }},
    {"topk", [] { return std::get<0>(torch::topk(in[0], spec.k)); }},
    {"cumsum", [] { return torch::cumsum(in[0], spec.axis); }},
    {"conv2d", [] { return torch::conv2d(in[0], in[1]); }},
    {"max_pool2d",
     [] {
       return torch::max_pool2d(in[0], {2, 2});
     }},
    {"conv2d_train", [] { return backward([](tensors &t) { return torch::conv2d(t[0], t[1]); }); }},
    {"max_pool2d_train",
     [] { return backward([](tensors &t) {
            return torch::max_pool2d(t[0], {2, 2});
          }); }},
};

Tensor make_input(int i) {
  const ops_input &input = spec.in[i];
  const torch::Dtype types[] = {torch::kFloat32, torch::kFloat64, torch::kInt64};
  void *data = ops_input_data(&spec, i);
  torch::IntArrayRef shape(input.stored, static_cast<std::size_t>(input.ndim));
  Tensor t = torch::from_blob(data, shape, types[input.type]).clone();
  std::free(data);
  if (input.transposed) t = t.transpose(-1, -2);
  if (input.strided) t = t.slice(-1, 0, INT64_MAX, 2);
  return t;
}

bool begin(const char *kind, const ops_spec *wanted, void *) {
  auto found = kinds.find(kind);
  if (found == kinds.end()) return false;
  spec = *wanted;
  call = found->second;
  for (int i = 0; i < spec.n; i++) in.push_back(make_input(i));
  return true;
}

void run(void *, long times) {
  for (long i = 0; i < times; i++) call();
}

void end(void *) { in.clear(); }

} // namespace

int main(int argc, char **argv) {
  if (argc != 2) return 2;
  torch::set_num_threads(std::atoi(argv[1]));
  torch::AutoGradMode recording(true);
  const ops_impl impl = {"torch", TORCH_VERSION, begin, run, end, nullptr};
  return ops_serve(&impl);
}
