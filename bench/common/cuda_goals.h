/* The goals beside what was measured. */
#ifndef THRUM_BENCH_COMMON_CUDA_GOALS_H
#define THRUM_BENCH_COMMON_CUDA_GOALS_H

/* Prints the goals for an H200 with the figures of Thrum and PyTorch that a file holds: lines of JSON as `cuda --json` and cuda_torch.py
 * print them, and what tests/gpu/test_device.c says of a pool hit, among any others. False when the file cannot be read. */
#include <stdbool.h>

bool cuda_goals_print(const char *path);

#endif
