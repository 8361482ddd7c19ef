// The benchmark's graphs as oneTBB flow graphs. A flow graph knows no variables: edges are derived here, from the last
// writer and the readers since, as any user would have to; then the graph is built, run and freed, all of which counts.
// The waiting thread runs nodes, too, and counts. The only C++ of this tree: TBB has no other interface.
#include <oneapi/tbb/flow_graph.h>
#include <oneapi/tbb/global_control.h>

#include <deque>
#include <memory>
#include <vector>

#include "common/engine_peer.h"

namespace flow = oneapi::tbb::flow;
using node = flow::continue_node<flow::continue_msg>;

namespace {

struct variable {
  node *writer = nullptr;
  std::vector<node *> readers;
};

std::unique_ptr<oneapi::tbb::global_control> limit;

void start(int workers, const char *, const graph *) {
  limit = std::make_unique<oneapi::tbb::global_control>(
      oneapi::tbb::global_control::max_allowed_parallelism, static_cast<std::size_t>(workers));
}

void stop() { limit.reset(); }

// Edges to next from all that it must follow; whether there were any. A predecessor may come twice (read and written
// variables can have the same last writer), which costs an edge and is otherwise harmless.
bool add_edges(const graph *g, const graph_node &operands, std::vector<variable> &variables,
               node &next) {
  bool any = false;
  auto follow = [&](node *before) {
    if (before == nullptr) return;
    flow::make_edge(*before, next);
    any = true;
  };
  for (int k = 0; k < operands.n_reads; k++) {
    variable &v = variables[g->reads[operands.first + k]];
    follow(v.writer);
    v.readers.push_back(&next);
  }
  if (operands.write >= 0) {
    variable &v = variables[operands.write];
    if (v.readers.empty()) follow(v.writer);
    for (node *reader : v.readers) follow(reader);
    v.readers.clear();
    v.writer = &next;
  }
  return any;
}

void run(const graph *g) {
  flow::graph f;
  std::deque<node> nodes;
  std::vector<node *> roots;
  std::vector<variable> variables(static_cast<std::size_t>(g->variables));
  for (long i = 0; i < g->n; i++) {
    node &next = nodes.emplace_back(f, [](const flow::continue_msg &) { graph_body(); });
    if (!add_edges(g, g->nodes[i], variables, next)) roots.push_back(&next);
  }
  for (node *root : roots) root->try_put(flow::continue_msg());
  f.wait_for_all();
}

} // namespace

extern "C" const graph_impl peer_impl = {start, run, stop};
