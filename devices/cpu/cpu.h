/* The kind of host cores: cpu:0, or cpu:0..k-1 after th_cpu_split(). */
#ifndef THRUM_DEVICES_CPU_CPU_H
#define THRUM_DEVICES_CPU_CPU_H

#include "engine/device.h"

#define TH__CPU_MAX         16
#define TH__CPU_MAX_THREADS 256

extern const th__device_ops th__cpu_ops;

/* Takes what cpu:0 is to be: workers and memory_limit. When the engine starts. */
void th__cpu_configure(const th_config *config);
/* Undoes th__cpu_configure() and th__cpu_split(). When the engine stopped. */
void th__cpu_forget(void);
/* Stores a division that was found legal. */
void th__cpu_split(int devices, int threads_each);

/* Bytes that arrays may hold by default: nine tenths of what the control group or the machine has. */
int64_t th__cpu_default_limit(void);

#endif
