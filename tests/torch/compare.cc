// Operators against libtorch on the same inputs: results, gradients and gradients of gradients, as a Markdown table on standard
// output (./run torch puts it into docs/gradients.md). Exits with 1 when a difference is too large, or a planted one is not
// found. C++, as libtorch has no other interface.
#include <torch/torch.h>
#include <thrum/thrum.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <functional>
#include <string>
#include <vector>

namespace {

using torch::Tensor;
using tensors = std::vector<Tensor>;
using arrays = std::vector<th_array *>;
using shape = std::vector<int64_t>;
namespace nn = torch::nn::functional;

// Values of the type under test between lo and hi, or i64 indices below limit.
struct input {
  shape size;
  int64_t limit = 0;
};

struct row {
  const char *name;
  double lo, hi;
  std::vector<input> in;
  std::function<th_array *(const arrays &)> ours;
  std::function<Tensor(const tensors &)> theirs;
};

const shape matrix = {4, 5}, line = {5}, image = {2, 4, 7, 6};
const int last[] = {-1};

#define ONE(id, lo, hi, call)                                                                      \
  {                                                                                                \
#id, lo, hi,                                                                                   \
        {{matrix } },                                                                              \
         [](const arrays &a) { return th_##id(a[0]); },                                            \
                                                     [](const tensors &t) { return call(t[0]); }   \
  }
#define TWO(id, lo, hi, call)                                                                      \
  {                                                                                                \
#id, lo, hi,                                                                                   \
        {{matrix }, {line } },                                                                     \
          [](const arrays &a) { return th_##id(a[0], a[1]); },                                     \
                                                            [](const tensors &                     \
                                                                   t) { return call(t[0], t[1]); } \
  }
#define OURS   [](const arrays &a) -> th_array *
#define THEIRS [](const tensors &t) -> Tensor

th_array *pooled(th_array *x, th_array *(*pool)(const th_array *, const th_pool_config *)) {
  th_pool_config config = {};
  config.kernel[0] = config.kernel[1] = 3;
  config.stride[0] = config.stride[1] = 2;
  config.padding[0] = config.padding[1] = 1;
  return pool(x, &config);
}

th_array *convolved(const arrays &a) {
  th_conv_config config = {};
  config.stride[0] = 2;
  config.padding[0] = config.padding[1] = 1;
  config.dilation[1] = 2;
  config.groups = 2;
  return th_conv2d(a[0], a[1], a[2], &config);
}

th_array *topk_values(th_array *a) {
  th_array *values, *indices;
  if (th_topk(a, 3, -1, true, &values, &indices) != TH_OK) return nullptr;
  th_release(indices);
  return values;
}

Tensor attention(const Tensor &q, const Tensor &k, const Tensor &v) {
  Tensor scores = torch::matmul(q, k.transpose(-1, -2)) / std::sqrt((double)q.size(-1));
  Tensor mask = torch::ones({q.size(-2), k.size(-2)}, torch::kBool).tril();
  return torch::matmul(torch::softmax(scores.masked_fill(~mask, -INFINITY), -1), v);
}

const std::vector<row> rows = {
    ONE(abs, -3, 3, torch::abs), ONE(acos, -0.9, 0.9, torch::acos),
    ONE(acosh, 1.2, 4, torch::acosh), ONE(asin, -0.9, 0.9, torch::asin),
    ONE(asinh, -3, 3, torch::asinh), ONE(atan, -3, 3, torch::atan),
    ONE(atanh, -0.8, 0.8, torch::atanh), ONE(cos, -3, 3, torch::cos), ONE(cosh, -3, 3, torch::cosh),
    ONE(erf, -2, 2, torch::erf), ONE(exp, -3, 3, torch::exp), ONE(expm1, -3, 3, torch::expm1),
    ONE(gelu, -3, 3, torch::gelu), ONE(log, 0.3, 4, torch::log), ONE(log10, 0.3, 4, torch::log10),
    ONE(log1p, -0.7, 4, torch::log1p), ONE(log2, 0.3, 4, torch::log2),
    ONE(negative, -3, 3, torch::negative), ONE(reciprocal, 0.3, 4, torch::reciprocal),
    ONE(relu, -3, 3, torch::relu), ONE(rsqrt, 0.3, 4, torch::rsqrt),
    ONE(sigmoid, -5, 5, torch::sigmoid), ONE(silu, -5, 5, torch::silu), ONE(sin, -3, 3, torch::sin),
    ONE(sinh, -3, 3, torch::sinh), ONE(softplus, -5, 5, nn::softplus),
    ONE(sqrt, 0.3, 4, torch::sqrt), ONE(square, -3, 3, torch::square),
    ONE(tan, -1.2, 1.2, torch::tan), ONE(tanh, -3, 3, torch::tanh), TWO(add, -3, 3, torch::add),
    TWO(subtract, -3, 3, torch::sub), TWO(multiply, -3, 3, torch::mul),
    TWO(divide, 0.5, 3, torch::div), TWO(remainder, 1, 3, torch::remainder),
    TWO(pow, 0.3, 2, torch::pow), TWO(maximum, -3, 3, torch::maximum),
    TWO(minimum, -3, 3, torch::minimum), TWO(atan2, 0.5, 3, torch::atan2),
    TWO(copysign, 0.5, 3, torch::copysign), TWO(hypot, 0.5, 3, torch::hypot),
    TWO(logaddexp, -3, 3, torch::logaddexp),
    {"clip", -3, 3, {{matrix}}, OURS{return th_clip(a[0], -1, 2);
} // namespace
, THEIRS { return torch::clamp(t[0], -1, 2); }
}
, {"sum", -3, 3, {{matrix}}, OURS{return th_sum(a[0], last, 1, false);
}
, THEIRS { return t[0].sum(-1); }
}
, {"mean", -3, 3, {{matrix}}, OURS{return th_mean(a[0], last, 1, false);
}
, THEIRS { return t[0].mean(-1); }
}
, {"prod", 0.5, 2, {{matrix}}, OURS{return th_prod(a[0], last, 1, false);
}
, THEIRS { return t[0].prod(-1); }
}
, {"max", -3, 3, {{matrix}}, OURS{return th_max(a[0], last, 1, false);
}
, THEIRS { return t[0].amax(-1); }
}
, {"min", -3, 3, {{matrix}}, OURS{return th_min(a[0], last, 1, false);
}
, THEIRS { return t[0].amin(-1); }
}
, {"variance", -3, 3, {{matrix}}, OURS{return th_variance(a[0], last, 1, 1, false);
}
, THEIRS { return t[0].var(-1, true); }
}
, {"std", -3, 3, {{matrix}}, OURS{return th_std(a[0], last, 1, 1, false);
}
, THEIRS { return t[0].std(-1, true); }
}
, {"logsumexp", -3, 3, {{matrix}}, OURS{return th_logsumexp(a[0], last, 1, false);
}
, THEIRS { return torch::logsumexp(t[0], -1); }
}
, {"vector_norm", -3, 3, {{matrix}}, OURS{return th_vector_norm(a[0], last, 1, 2, false);
}
, THEIRS { return torch::linalg_vector_norm(t[0], 2, {-1}, false); }
}
, {"cumulative_sum", -3, 3, {{matrix}}, OURS{return th_cumulative_sum(a[0], -1, false);
}
, THEIRS { return torch::cumsum(t[0], -1); }
}
, {"cumulative_prod", 0.5, 2, {{matrix}}, OURS{return th_cumulative_prod(a[0], -1, false);
}
, THEIRS { return torch::cumprod(t[0], -1); }
}
, {"sort", -3, 3, {{matrix}}, OURS{return th_sort(a[0], -1, false);
}
, THEIRS { return std::get<0>(torch::sort(t[0], -1)); }
}
, {"topk", -3, 3, {{matrix}}, OURS{return topk_values(a[0]);
}
, THEIRS { return std::get<0>(torch::topk(t[0], 3, -1)); }
}
, {"matmul", -2, 2, {{{2, 3, 4}}, {{4, 5}}}, OURS{return th_matmul(a[0], a[1]);
}
, THEIRS { return torch::matmul(t[0], t[1]); }
}
, {"outer", -2, 2, {{{3}}, {{4}}}, OURS{return th_outer(a[0], a[1]);
}
, THEIRS { return torch::outer(t[0], t[1]); }
}
, {"einsum", -2, 2, {{{2, 3, 4}}, {{2, 5, 4}}}, OURS{return th_einsum("bik,bjk->bij", a[0], a[1]);
}
, THEIRS { return torch::einsum("bik,bjk->bij", {t[0], t[1]}); }
}
, {"concat", -2, 2, {{matrix}, {{4, 2}}}, OURS{return th_concat(a.data(), 2, 1);
}
, THEIRS { return torch::cat({t[0], t[1]}, 1); }
}
, {"take", -2, 2, {{matrix}, {{6}, 4}}, OURS{return th_take(a[0], a[1], 0);
}
, THEIRS { return torch::index_select(t[0], 0, t[1]); }
}
, {"take_along_axis", -2, 2, {{matrix}, {{4, 3}, 5}}, OURS{return th_take_along_axis(a[0], a[1], 1);
}
, THEIRS { return torch::gather(t[0], 1, t[1]); }
}
, {"softmax", -3, 3, {{matrix}}, OURS{return th_softmax(a[0], -1);
}
, THEIRS { return torch::softmax(t[0], -1); }
}
, {"log_softmax", -3, 3, {{matrix}}, OURS{return th_log_softmax(a[0], -1);
}
, THEIRS { return torch::log_softmax(t[0], -1); }
}
, {"cross_entropy", -3, 3, {{matrix}, {{4}, 5}}, OURS{return th_cross_entropy(a[0], a[1]);
}
, THEIRS { return torch::cross_entropy_loss(t[0], t[1]); }
}
, {"nll_loss", -3, -1, {{matrix}, {{4}, 5}}, OURS{return th_nll_loss(a[0], a[1]);
}
, THEIRS { return torch::nll_loss(t[0], t[1]); }
}
, {"mse_loss", -3, 3, {{matrix}, {matrix}}, OURS{return th_mse_loss(a[0], a[1]);
}
, THEIRS { return torch::mse_loss(t[0], t[1]); }
}
, {"l1_loss", -3, 3, {{matrix}, {matrix}}, OURS{return th_l1_loss(a[0], a[1]);
}
, THEIRS { return torch::l1_loss(t[0], t[1]); }
}
, {"huber_loss", -3, 3, {{matrix}, {matrix}}, OURS{return th_huber_loss(a[0], a[1], 1.5);
}
, THEIRS { return torch::huber_loss(t[0], t[1], torch::Reduction::Mean, 1.5); }
}
, {"bce_with_logits", 0.1, 0.9, {{matrix}, {matrix}}, OURS{return th_bce_with_logits(a[0], a[1]);
}
, THEIRS { return torch::binary_cross_entropy_with_logits(t[0], t[1]); }
}
, {"sdpa", -2, 2, {{{2, 3, 4}}, {{2, 3, 4}}, {{2, 3, 5}}},
   OURS{return th_sdpa(a[0], a[1], a[2], nullptr, true);
}
, THEIRS { return attention(t[0], t[1], t[2]); }
}
, {"conv2d", -2, 2, {{image}, {{6, 2, 3, 2}}, {{6}}}, OURS{return convolved(a);
}
, THEIRS { return torch::conv2d(t[0], t[1], t[2], {2, 1}, {1, 1}, {1, 2}, 2); }
}
, {"max_pool2d", -2, 2, {{image}}, OURS{return pooled(a[0], th_max_pool2d);
}
, THEIRS { return torch::max_pool2d(t[0], 3, 2, 1); }
}
, {"avg_pool2d", -2, 2, {{image}}, OURS{return pooled(a[0], th_avg_pool2d);
}
, THEIRS { return torch::avg_pool2d(t[0], 3, 2, 1); }
}
, {"layer_norm", -2, 2, {{matrix}, {line}, {line}},
   OURS{return th_layer_norm(a[0], 1, a[1], a[2], 1e-5);
}
, THEIRS { return torch::layer_norm(t[0], {5}, t[1], t[2], 1e-5); }
}
, {"batch_norm", -2, 2, {{image}, {{4}}, {{4}}},
   OURS{return th_batch_norm(a[0], nullptr, nullptr, a[1], a[2], true, 0.1, 1e-5);
}
, THEIRS { return torch::batch_norm(t[0], t[1], t[2], {}, {}, true, 0.1, 1e-5, false); }
}
,
}
;

// --- one case ---

struct differences {
  double result = 0, gradient = 0, second = 0;
};

// Largest difference, relative to what is larger than 1.
double difference(const Tensor &wanted, th_array *got) {
  Tensor w = wanted.detach();
  w = w._is_zerotensor() ? torch::zeros(w.sizes(), torch::kFloat64)
                         : w.to(torch::kFloat64).contiguous();
  th_array *doubles = th_astype(got, TH_F64);
  std::vector<double> values(static_cast<size_t>(w.numel()) + 1);
  double worst =
      th_array_size(got) == w.numel() &&
              th_read(doubles, values.data(), static_cast<size_t>(w.numel()) * 8) == TH_OK
          ? 0
          : INFINITY;
  th_release(doubles);
  const double *t = w.data_ptr<double>();
  for (int64_t i = 0; i < w.numel() && std::isfinite(worst); i++) {
    double d = std::fabs(values[static_cast<size_t>(i)] - t[i]) / std::max(1.0, std::fabs(t[i]));
    worst = std::isnan(d) ? INFINITY : std::max(worst, d);
  }
  return worst;
}

th_array *from_tensor(const Tensor &t) {
  th_dtype type = t.scalar_type() == torch::kFloat64   ? TH_F64
                  : t.scalar_type() == torch::kFloat32 ? TH_F32
                                                       : TH_I64;
  return th_from_host(t.contiguous().data_ptr(), t.sizes().data(), static_cast<int>(t.dim()), type,
                      th_cpu(0));
}

// Random numbers of the type, from torch's generator.
Tensor draw(const shape &size, double lo, double hi, torch::ScalarType type) {
  return (torch::rand(size, torch::kFloat64) * (hi - lo) + lo).to(type);
}

// Every step by both, on the same numbers: y, its gradients from a random head, and the gradients of those from random heads.
differences compare(const row &r, torch::ScalarType type) {
  tensors in, marked;
  arrays ours, leaves;
  for (const input &i : r.in) {
    Tensor t = i.limit > 0 ? torch::randint(i.limit, i.size, torch::kInt64)
                           : draw(i.size, r.lo, r.hi, type);
    ours.push_back(from_tensor(t));
    if (i.limit == 0) {
      t.set_requires_grad(true);
      marked.push_back(t);
      th_require_grad(ours.back());
      leaves.push_back(ours.back());
    }
    in.push_back(t);
  }
  differences d;
  th_scope scope = th_scope_begin();
  Tensor y = r.theirs(in);
  th_array *a = r.ours(ours);
  d.result = difference(y, a);
  Tensor head = draw(y.sizes().vec(), -1, 1, type);
  th_array *head_array = from_tensor(head);
  tensors g = torch::autograd::grad({y}, marked, {head}, true, true, true), again;
  std::vector<th_array *> got(leaves.size()), second(leaves.size());
  int n = static_cast<int>(leaves.size());
  if (th_grads(&a, 1, &head_array, leaves.data(), n, TH_CREATE_GRAPH, got.data()) != TH_OK)
    d.gradient = INFINITY;
  for (size_t i = 0; i < g.size() && d.gradient < INFINITY; i++)
    d.gradient = std::max(d.gradient, g[i].defined() ? difference(g[i], got[i]) : INFINITY);
  Tensor theirs = torch::zeros({}, type);
  th_array *sum = nullptr;
  for (size_t i = 0; i < g.size() && d.gradient < INFINITY; i++) {
    Tensor weights = draw(g[i].sizes().vec(), -1, 1, type);
    theirs = theirs + (g[i] * weights).sum();
    th_array *part = th_sum(th_multiply(got[i], from_tensor(weights)), nullptr, 0, false);
    sum = sum == nullptr ? part : th_add(sum, part);
  }
  // Gradients of linear operators are constant, to us without a history, to torch sometimes zero.
  if (th_requires_grad(sum) &&
      th_grads(&sum, 1, nullptr, leaves.data(), n, TH_ALLOW_UNUSED, second.data()) != TH_OK)
    d.second = INFINITY;
  again.resize(g.size());
  if (theirs.requires_grad())
    again = torch::autograd::grad({theirs}, marked, {}, true, false, true);
  for (size_t i = 0; i < again.size() && d.second < INFINITY; i++) {
    Tensor zeros = torch::zeros_like(marked[i]);
    th_array *ours_again = second[i] != nullptr ? second[i] : th_zeros_like(leaves[i]);
    d.second = std::max(d.second, difference(again[i].defined() ? again[i] : zeros, ours_again));
  }
  th_scope_end(scope);
  for (th_array *x : ours) th_release(x);
  return d;
}

bool within(const differences &d, double allowed) {
  return d.result <= allowed && d.gradient <= allowed && d.second <= 10 * allowed;
}

// A gradient that is off by a thousandth must be noticed.
bool finds_mistakes() { row wrong = {"square", -3, 3, {{matrix}}, OURS{return th_square(a[0]); }
, THEIRS { return torch::square(t[0]) + 1e-3 * (t[0] - t[0].detach()); }
}
;
differences d = compare(wrong, torch::kFloat64);
return d.result < 1e-12 && d.gradient > 5e-4;
}

} // namespace

int main() {
  torch::set_num_threads(1);
  torch::manual_seed(7);
  int failed = 0;
  std::printf("| operator | f32 result | f32 gradient | f64 result | f64 gradient | f64 second |\n"
              "|---|---|---|---|---|---|\n");
  for (const row &r : rows) {
    differences single = compare(r, torch::kFloat32), twice = compare(r, torch::kFloat64);
    bool good = within(single, 2e-5) && within(twice, 1e-12);
    failed += !good;
    std::printf("| %s%s | %.1e | %.1e | %.1e | %.1e | %.1e |\n", r.name, good ? "" : " **differs**",
                single.result, single.gradient, twice.result, twice.gradient, twice.second);
    if (!good) std::fprintf(stderr, "%s differs: %s\n", r.name, th_last_error());
  }
  if (!finds_mistakes()) {
    std::fprintf(stderr, "a planted mistake was not found\n");
    failed++;
  }
  std::fprintf(stderr, "%zu operators compared, %d differ\n", rows.size(), failed);
  return failed != 0;
}
