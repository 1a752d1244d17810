// SPDX-License-Identifier: GPL-2.0
/*
 * Finds the unexported functions of the table in symbols.h and of the architecture's table, once, at load.
 * kallsyms_lookup_name() itself isn't exported either: a kprobe on it tells where it is.
 */
#include <linux/kallsyms.h>
#include <linux/kprobes.h>
#include <linux/module.h>

#include "private.h"
#include "symbols.h"

DEFINE_STATIC_CALL_NULL(crk_lookup, kallsyms_lookup_name);

CRK_SYMBOLS(CRK_SYMBOL_DEFINE_CALL, CRK_SYMBOL_DEFINE_CALL, CRK_SYMBOL_DEFINE_ADDR, CRK_SYMBOL_DEFINE_ADDR)

static const struct crk_symbol crk_symbols[] = {
	CRK_SYMBOLS(CRK_SYMBOL_NEED, CRK_SYMBOL_WANT, CRK_SYMBOL_ADDR, CRK_SYMBOL_SEEK)
	{}
};

static const struct crk_symbol *const crk_symbol_tables[] = { crk_symbols, crk_arch_symbols };

/*
 * Under IBT the probe sits behind the ENDBR, so kp.addr is 4 bytes into the function.  A direct call to there is
 * as good as one to its start.
 */
static int lookup_init(void)
{
	struct kprobe kp = { .symbol_name = "kallsyms_lookup_name" };
	int ret;

	ret = register_kprobe(&kp);
	if (ret) {
		pr_err("no kallsyms_lookup_name (%d): needs CONFIG_KPROBES, CONFIG_KALLSYMS and no lockdown\n",
		       ret);
		return ret == -EPERM ? ret : -ENOENT;
	}
	unregister_kprobe(&kp);
	static_call_update(crk_lookup, (typeof(kallsyms_lookup_name) *)kp.addr);
	return 0;
}

static int table_init(const struct crk_symbol *s)
{
	int ret = 0;

	for (; s->name; s++) {
		*s->addr = static_call(crk_lookup)(s->name);
		if (*s->addr) {
			if (s->key)
				__static_call_update(s->key, s->tramp, (void *)*s->addr);
		} else if (!s->optional) {
			pr_err("the kernel has no %s, needed for: %s (%s)\n", s->name, s->use, s->config);
			ret = -ENOENT;
		}
	}
	return ret;
}

int __init crk_symbols_init(void)
{
	int ret, i;

	ret = lookup_init();
	for (i = 0; !ret && i < ARRAY_SIZE(crk_symbol_tables); i++)
		ret = table_init(crk_symbol_tables[i]);
	return ret ?: crk_arch_init();
}

void crk_symbols_missing(struct crk_log *log)
{
	const struct crk_symbol *s;
	int i;

	for (i = 0; i < ARRAY_SIZE(crk_symbol_tables); i++)
		for (s = crk_symbol_tables[i]; s->name; s++)
			if (!*s->addr)
				crk_log(log, 0, "%s: the kernel has no %s (%s)", s->use, s->name, s->config);
}
