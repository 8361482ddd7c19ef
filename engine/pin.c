/* Owns which core each worker stays on, when the settings want that. The list of cores is made at every start, before there are
 * workers, and only read afterwards: a device may be opened later by a thread that is pinned itself. */
#include "engine/parts.h"

#define MOST 1024

static int cores[MOST];
static int n_cores; /* 0: workers go where they like */

void th__pin_start(void) {
  n_cores = th__the.config.pin_workers ? th__thread_core_list(cores, MOST) : 0;
  if (n_cores == 0 && th__the.config.pin_workers)
    th__log(TH_LOG_WARNING, "workers are not pinned: the system does not tell the cores");
}

void th__pin_worker(const th__pool_device *device, int worker) {
  if (n_cores == 0) return;
  int core = cores[(device->id.index * device->n_workers + worker) % n_cores];
  if (th__thread_pin(core)) return;
  th__log(TH_LOG_WARNING, "worker %d of %s:%d cannot be kept on core %d", worker, device->ops->name,
          device->id.index, core);
}
