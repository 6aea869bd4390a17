/* optim/rule/table.c -- the rules of one instruction set. */
#include "optim/rule.h"

#define TG_RULE(name) extern const tg_rule TG_PER_ISA(tg_rule_##name);
#include "optim/rule/rules.inc"
#undef TG_RULE

TG_ISA_DECLARE(const tg_rule_table, tg_rules);

const tg_rule_table TG_PER_ISA(tg_rules) = {{
#define TG_RULE(name) &TG_PER_ISA(tg_rule_##name),
#include "optim/rule/rules.inc"
#undef TG_RULE
}};
