/**
 * @file checkpoint.h
 * Everything a training needs to go on as if it had never stopped, in one safetensors file.
 */
#ifndef THRUM_CHECKPOINT_H
#define THRUM_CHECKPOINT_H

#include <thrum/data.h>
#include <thrum/files.h>
#include <thrum/layers.h>
#include <thrum/optim.h>

#ifdef __cplusplus
extern "C" {
#endif

/** A number of the program that belongs to a checkpoint: epochs, steps. */
typedef struct th_counter {
  const char *name; /**< Unique among the counters. */
  int64_t *value;   /**< Read by a save, written by a load. */
} th_counter;

/** What a training consists of; zero and NULL where it has no such part. Nothing is retained beyond a call. */
typedef struct th_checkpoint {
  const th_layer *model;    /**< Its parameters and buffers, under their names. */
  th_array *const *arrays;  /**< More arrays: parameters without a layer, running sums, averages. */
  const char *const *names; /**< Their names; all names of a checkpoint differ. */
  int n_arrays;             /**< How many. */
  th_optimizer *optimizer;  /**< Its states, as "optimizer." and their names; steps and rate. */
  const th_scaler *scaler;  /**< Its states, as "scaler." and their names. */
  th_loader *loader;        /**< Where it stands: the batch it gives next. */
  th_generator *const
      *generators;  /**< Seed and counter of each; a NULL among them is the default one. */
  int n_generators; /**< How many. */
  const th_counter *counters; /**< Numbers. */
  int n_counters;             /**< How many. */
} th_checkpoint;

/** Writes a checkpoint as th_save_async() writes a file, with its result and errors; keep: versions of the file that stay, path, path.1
 *  (the one before) and so on (of a link: beside its file); below 2: only path. A file system without hard links takes a copy for
 *  path.1. TH_EINVAL: an array is a broadcast view, which could not be loaded again. Numbers and positions are those of the call, arrays those that operations
 *  submitted before it leave, so the call stands between two steps and the training goes on at once. */
TH_API th_array *th_checkpoint_save_async(const th_checkpoint *c, const char *path, int keep);
/** th_checkpoint_save_async() and waiting for it. Blocks. */
TH_API th_status th_checkpoint_save(const th_checkpoint *c, const char *path, int keep);
/** Puts everything back where c says; c has the parts that were saved. All or nothing, but for a task that fails later: arrays are written
 *  by tasks, which are not waited for. Gradients are left alone. TH_EIO: the file, or a part of c that is not in it; TH_ESHAPE,
 *  TH_EDTYPE: an array differs; TH_EINVAL: a position that the loader does not have, or an array that is a broadcast view. Blocks while the file is opened. */
TH_API th_status th_checkpoint_load(const th_checkpoint *c, const char *path);

#ifdef __cplusplus
}
#endif
#endif
