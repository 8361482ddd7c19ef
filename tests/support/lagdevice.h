/* The lag device: a lane device made for tests, over host memory, on which issued is never complete. issue() only queues;
 * bodies run inside later calls of point_done(), in an order that a seeded generator picks, hostile but legal: lanes starve,
 * younger work overtakes older work of other lanes, nothing happens for a while. Freed blocks are scribbled over. */
#ifndef THRUM_TESTS_SUPPORT_LAGDEVICE_H
#define THRUM_TESTS_SUPPORT_LAGDEVICE_H

#include "engine/device.h"

enum { LAG_DEVICES = 4, LAG_LANES = 3 };

/* Polls of one device, at most, between two steps while some step is legal. */
enum { LAG_PATIENCE = 64 };

/* What a device did since it was opened. */
typedef struct lag_counts {
  uint64_t issued;   /* bodies queued */
  uint64_t executed; /* bodies run */
  uint64_t waits;    /* waits queued; those for a point already done are not */
  uint64_t polls;    /* calls of point_done() */
  uint64_t overtook; /* bodies run while an older one of another lane had not */
} lag_counts;

/* Registers the kind, as TH_KIND_EXTERNAL, and seeds its devices. Before the engine starts; again to seed anew. */
void lag_install(uint64_t seed);
th_device lag_device(int index); /* index < LAG_DEVICES */
lag_counts lag_counters(int index);

/* The table itself, for tests of the device without an engine. */
extern const th__device_ops lag_ops;

#endif
