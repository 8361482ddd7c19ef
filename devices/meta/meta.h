/* The device of shapes: arrays on it have no storage, and nothing runs there. */
#ifndef THRUM_DEVICES_META_META_H
#define THRUM_DEVICES_META_META_H

#include "engine/device.h"

extern const th__device_ops th__meta_ops;

#endif
