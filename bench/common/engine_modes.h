/* Sets of trials over all contestants: a graph, METG, sweeps over bodies and patterns. */
#ifndef THRUM_BENCH_COMMON_ENGINE_MODES_H
#define THRUM_BENCH_COMMON_ENGINE_MODES_H

#include "common/engine_contest.h"

/* Fill trials with every contestant and number of workers; the number of trials. grain in ns. */
int modes_graph(const options *o, graph_case which, double grain, trial *trials);
int modes_metg(const options *o, trial *trials);

/* Measure and report; the number of readings. */
int modes_two_beat_one(const options *o);
int modes_sweep(const options *o, bool patterns, bool grains);

#endif
