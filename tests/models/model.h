/* What the models share. Each file of this folder is one lock-free idea of the engine, small enough to be read in one go. It is
 * compiled twice: for the explorer, which tries its schedules and memory orders one by one, and with real atomics for
 * stress.c, which runs it on real threads. Most models have broken twins: one order weaker, one step left out. The explorer
 * must find what that breaks, or the model would prove nothing. */
#ifndef THRUM_TESTS_MODEL_H
#define THRUM_TESTS_MODEL_H

#include "engine/base/atomic.h"
#include "tests/explore/explore.h"

typedef __typeof__(TH__RELAXED) order;

#define MODELS(...)                                                                                \
  const ex_scenario ex_scenarios[] = {__VA_ARGS__};                                                \
  const size_t ex_n_scenarios = sizeof ex_scenarios / sizeof *ex_scenarios

#endif
