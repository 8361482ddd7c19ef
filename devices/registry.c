/* Owns the list of built-in device kinds and the public functions about devices. No lock: the list is constant. */
#include <stdlib.h>
#include <string.h>

#include "devices/blocks.h"
#include "devices/cpu/cpu.h"
#include "devices/cuda/device.h"
#include "devices/meta/meta.h"
#include "engine/base/error.h"
#include "engine/engine.h"

/* One line per kind. */
static const struct {
  th_device_kind kind;
  const th__device_ops *ops;
} built_in[] = {
    {TH_CPU, &th__cpu_ops},
    {TH_META, &th__meta_ops},
    {TH_CUDA, &th__cuda_ops},
};

th_status th__engine_start_hook(const th_config *config) {
  th__cpu_configure(config);
  th__blocks_open();
  for (size_t i = 0; i < sizeof built_in / sizeof *built_in; i++) {
    if (th__device_kind_ops(built_in[i].kind) == built_in[i].ops)
      continue; /* from the start before */
    TH_TRY(th__device_register(built_in[i].kind, built_in[i].ops));
  }
  return TH_OK;
}

void th__engine_stop_hook(void) {
  th__cpu_forget();
  th__blocks_close();
}

/* ---- names ---- */

static th_device make_device(int kind, int index) {
  bool fits = index >= 0 && index <= INT16_MAX;
  return (th_device){(int16_t)kind, (int16_t)(fits ? index : -1)};
}

th_device th_cpu(int index) { return make_device(TH_CPU, index); }

th_device th_cuda(int index) { return make_device(TH_CUDA, index); }

th_device th_meta(void) { return make_device(TH_META, 0); }

bool th_device_equal(th_device a, th_device b) { return a.kind == b.kind && a.index == b.index; }

/* Known before the engine starts, and for kinds this build lacks; NULL for no kind at all. */
static const char *kind_name(int kind) {
  switch (kind) {
  case TH_CPU: return "cpu";
  case TH_META: return "meta";
  case TH_CUDA: return "cuda";
  default: break;
  }
  const th__device_ops *ops = kind > 0 && kind < TH_KIND_COUNT ? th__device_kind_ops(kind) : NULL;
  return ops ? ops->name : NULL;
}

const char *th_device_name(th_device d, char *buffer, size_t bytes) {
  const char *name = kind_name(d.kind);
  if (bytes == 0) return buffer;
  if (!name)
    snprintf(buffer, bytes, "kind%d:%d", d.kind, d.index);
  else if (d.kind == TH_META && d.index == 0)
    snprintf(buffer, bytes, "%s", name);
  else
    snprintf(buffer, bytes, "%s:%d", name, d.index);
  return buffer;
}

/* Reads ":7" as 7 and "" as 0; -1 for anything else. */
static int parse_index(const char *text) {
  if (!*text) return 0;
  size_t digits = strspn(text + 1, "0123456789");
  if (*text != ':' || digits == 0 || digits > 5 || text[1 + digits]) return -1;
  long index = strtol(text + 1, NULL, 10);
  return index <= INT16_MAX ? (int)index : -1;
}

th_status th_device_parse(const char *text, th_device *out) {
  if (!text || !out) return th__fail(TH_EINVAL, "device_parse: %s is NULL", text ? "out" : "text");
  for (int kind = 0; kind < TH_KIND_COUNT; kind++) {
    const char *name = kind_name(kind);
    size_t length = name ? strlen(name) : 0;
    if (!name || strncmp(text, name, length) != 0) continue;
    int index = parse_index(text + length);
    if (index < 0 || (kind == TH_META && index != 0)) continue;
    *out = make_device(kind, index);
    return TH_OK;
  }
  return th__fail(TH_EINVAL,
                  "device_parse: \"%.64s\" names no device; use cpu, cpu:1, cuda:0, meta", text);
}

int th_device_count(th_device_kind kind) {
  if ((int)kind < 0 || (int)kind >= TH_KIND_COUNT) {
    th__fail(TH_EINVAL, "device_count: %d is no kind of device", (int)kind);
    return 0;
  }
  if (th__engine_ensure() != TH_OK) return 0;
  const th__device_ops *ops = th__device_kind_ops((int)kind);
  return ops ? ops->count() : 0;
}

/* ---- dividing the host ---- */

th_status th_cpu_split(int devices, int threads_each) {
  if (devices < 1 || devices > TH__CPU_MAX)
    return th__fail(TH_EINVAL, "cpu_split: %d devices, must be 1 to %d", devices, TH__CPU_MAX);
  if (threads_each < 1 || threads_each > TH__CPU_MAX_THREADS)
    return th__fail(TH_EINVAL, "cpu_split: %d threads each, must be 1 to %d", threads_each,
                    TH__CPU_MAX_THREADS);
  if (th__device_any_open())
    return th__fail(TH_EBUSY,
                    "cpu_split: devices are in use; divide before the first array or task");
  th__cpu_split(devices, threads_each);
  return TH_OK;
}

th_status th_device_reset(th_device d) { return th__device_reset(d); }

/* ---- memory ---- */

static th_status open_device(th_device d, const th__device_ops **ops, void **state) {
  TH_TRY(th__engine_ensure());
  return th__device_open(d, ops, state);
}

th_status th_memory_get(th_device d, th_memory_info *out) {
  const th__device_ops *ops;
  void *state;
  if (!out) return th__fail(TH_EINVAL, "memory_get: out is NULL");
  TH_TRY(open_device(d, &ops, &state));
  *out = (th_memory_info){0};
  if (ops->memory) ops->memory(state, out);
  return TH_OK;
}

th_status th_memory_set_limit(th_device d, int64_t bytes) {
  const th__device_ops *ops;
  void *state;
  if (bytes <= 0)
    return th__fail(TH_EINVAL, "memory_set_limit: %lld bytes, must be above 0", (long long)bytes);
  TH_TRY(open_device(d, &ops, &state));
  if (ops->set_limit) ops->set_limit(state, bytes);
  if (d.kind == TH_CPU && d.index == 0) th__limit_memory(bytes, true);
  return TH_OK;
}

th_status th_memory_trim(th_device d) {
  const th__device_ops *ops;
  void *state;
  TH_TRY(open_device(d, &ops, &state));
  th__blocks_trim();
  if (ops->trim) ops->trim(state);
  return TH_OK;
}

th_status th_memory_reset_peak(th_device d) {
  const th__device_ops *ops;
  void *state;
  TH_TRY(open_device(d, &ops, &state));
  if (ops->reset_peak) ops->reset_peak(state);
  return TH_OK;
}
