/* base/addresses.h -- memory that is only promised: addresses for plans of what this machine may be too small for. */
#ifndef TG_BASE_ADDRESSES_H
#define TG_BASE_ADDRESSES_H

#include "tiger/memory.h"

/* Its memory can be neither read nor written: for objects that are measured, and never used. */
extern const tg_allocator tg_addresses;

#endif
