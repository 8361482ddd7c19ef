/* FUSED before a function: its products and sums are fused where the processor can do that. For clang, everything behind the
 * inclusion, so only for files of inner loops. */
#ifndef THRUM_OPS_NN_FUSED_H
#define THRUM_OPS_NN_FUSED_H

#if defined(__clang__)
#define FUSED
#pragma clang fp contract(fast)
#else
#define FUSED __attribute__((optimize("fp-contract=fast")))
#endif

#endif
