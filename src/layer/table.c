/* layer/table.c -- the table of all layers; compiled once per instruction set. */
#include "layer/layer.h"

#define TG_LAYER(ID, name) extern const tg_layer TG_PER_ISA(tg_layer_##name);
#include "layer/layers.inc"
#undef TG_LAYER

const tg_layer_table TG_PER_ISA(tg_layers) = {{
#define TG_LAYER(ID, name) [TG_LAYER_##ID] = &TG_PER_ISA(tg_layer_##name),
#include "layer/layers.inc"
#undef TG_LAYER
}};
