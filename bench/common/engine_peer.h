/* What a peer program defines. */
#ifndef THRUM_BENCH_COMMON_ENGINE_PEER_H
#define THRUM_BENCH_COMMON_ENGINE_PEER_H

#include "common/engine_run.h"

#ifdef __cplusplus
extern "C" {
#endif

extern const graph_impl peer_impl;

#ifdef __cplusplus
}
#endif
#endif
