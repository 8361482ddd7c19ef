/**
 * @file thrum.h
 * All of Thrum's public headers.
 */
#ifndef THRUM_THRUM_H
#define THRUM_THRUM_H

#include <thrum/base.h>
#include <thrum/types.h>
#include <thrum/device.h>
#include <thrum/engine.h>
#include <thrum/array.h>
#include <thrum/async.h>
#include <thrum/elementwise.h>
#include <thrum/nn.h>
#include <thrum/ops.h>
#include <thrum/ops_arrays.h>
#include <thrum/autograd.h>
#include <thrum/optim.h>
#include <thrum/layers.h>
#include <thrum/data.h>
#include <thrum/profile.h>

#endif
