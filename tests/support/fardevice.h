/* The far device: a pool device whose memory the host cannot reach (its addresses are not valid ones) and which has no kernels,
 * so that everything but copies runs on the CPU. */
#ifndef THRUM_TESTS_SUPPORT_FARDEVICE_H
#define THRUM_TESTS_SUPPORT_FARDEVICE_H

#include "engine/device.h"

/* Registers the kind, as TH_KIND_EXTERNAL. Before the engine starts. */
void far_install(void);
th_device far_device(int index); /* 0 or 1 */
/* Copies made so far into and out of far memory. */
int far_copies_in(void);
int far_copies_out(void);

#endif
