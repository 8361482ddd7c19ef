/* Tells a call's drop whether it runs within the submission of the call. Such a call, as small ones are that run inline, need
 * not be counted by its storages. */
#ifndef THRUM_OPS_TICKET_H
#define THRUM_OPS_TICKET_H

#include "ops/op.h"

/* th_push(task), with a new ticket in *ticket, which lies in the task's argument. *ended: the task is over, its drop was told. */
th_status th__ticket_push(const th_task *task, uint64_t *ticket, bool *ended);
/* In the drop: true within the submission. */
bool th__ticket_return(uint64_t ticket);

#endif
