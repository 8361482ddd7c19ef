/* The CUDA kind's table, for devices/registry.c. */
#ifndef THRUM_DEVICES_CUDA_DEVICE_H
#define THRUM_DEVICES_CUDA_DEVICE_H

#include "engine/device.h"

extern const th__device_ops th__cuda_ops;

#endif
