/* The one variable of the shim. */
#include "shim.h"

int fake_backwards;
