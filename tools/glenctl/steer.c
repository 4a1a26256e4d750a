// SPDX-License-Identifier: BSD-2-Clause
// steer.c - which packets of a switch go to which network functions.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/glenctl/glenctl.h"
#include "tools/glenctl/table.h"

static const char show_help[] =
	"Shows the services, chains and rules of a switch with the module steer.\n"
	"A packet goes where the first rule says whose conditions all hold; the\n"
	"last line of the rules is for packets that none fits.\n"
	"They are changed by the methods steer.service, steer.chain and\n"
	"steer.rule (docs/steer.md).\n"
	"\nExamples:\n"
	"  glenctl steer show nf\n"
	"  glenctl steer show nf --json | jq .rules\n"
	"  glenctl rpc steer.rule '{\"switch\": \"nf\", \"op\": \"add\", "
	"\"rules\":\n"
	"          [{\"dport\": 80, \"chain\": \"web\"}]}'\n";

/* "a, b" of the texts in a list; to be freed. */
static char *list_text(const json_t *list)
{
	size_t i, len = 0, size = 1;
	json_t *value;
	char *text;

	json_array_foreach(list, i, value)
		size += json_string_length(value) + 2;
	text = calloc(1, size);
	json_array_foreach(list, i, value)
		len += (size_t)snprintf(text + len, size - len, "%s%s",
					i ? ", " : "",
					json_string_value(value));
	return text;
}

/* "a 1, b 2" of the members of an object but for one whose name is without and
 * those in to; to be freed. */
static char *object_text(const json_t *object, const char *const *without)
{
	size_t size = 0;
	char *text = NULL;
	FILE *out = open_memstream(&text, &size);
	const char *key, *gap = "";
	json_t *value;

	json_object_foreach((json_t *)object, key, value) {
		unsigned i = 0;

		while (without && without[i] && strcmp(without[i], key))
			i++;
		if (without && without[i])
			continue;
		fprintf(out, "%s%s ", gap, key);
		if (json_is_string(value))
			fputs(json_string_value(value), out);
		else
			json_dumpf(value, out, JSON_ENCODE_ANY);
		gap = ", ";
	}
	fclose(out);
	return text;
}

static void print_services(json_t *services)
{
	static const char *const titles[] = { "SERVICE", "BALANCE", "INSTANCES",
					      NULL };
	const char *name, *balance;
	json_t *service;
	struct table t;

	table_init(&t, titles);
	json_object_foreach(services, name, service) {
		char *text = object_text(json_object_get(service, "instances"),
					 NULL);

		balance = json_string_value(
			json_object_get(service, "balance"));
		table_add(&t, "%s", name);
		table_add(&t, "%s", balance ? balance : "flow");
		table_add(&t, "%s", text);
		free(text);
	}
	table_print(&t, stdout, 0, 0);
	table_fini(&t);
}

static void print_chains(json_t *chains)
{
	static const char *const titles[] = { ">NUMBER", "CHAIN", "SERVICES",
					      "EXIT", NULL };
	const char *name, *port;
	json_t *chain;
	struct table t;

	table_init(&t, titles);
	json_object_foreach(chains, name, chain) {
		char *text = list_text(json_object_get(chain, "services"));

		port = json_string_value(json_object_get(chain, "exit"));
		table_add(&t, "%llu",
			  (unsigned long long)get_u64(chain, "number"));
		table_add(&t, "%s", name);
		table_add(&t, "%s", text);
		table_add(&t, "%s", port ? port : "-");
		free(text);
	}
	table_print(&t, stdout, 0, 0);
	table_fini(&t);
}

static void add_rule(struct table *t, const char *number, const json_t *rule)
{
	static const char *const kinds[] = { "chain", "service", "port", "drop",
					     NULL };
	char *text = object_text(rule, kinds);
	const char *name = "";
	unsigned k = 0;

	while (k < 3 && !json_object_get(rule, kinds[k]))
		k++;
	if (k < 3)
		name = json_string_value(json_object_get(rule, kinds[k]));
	table_add(t, "%s", number);
	table_add(t, "%s%s%s", kinds[k], k < 3 ? " " : "", name);
	table_add(t, "%s", *text ? text : "-");
	free(text);
}

static void print_rules(const json_t *result)
{
	static const char *const titles[] = { ">RULE", "TO", "CONDITIONS",
					      NULL };
	json_t *rules = json_object_get(result, "rules"), *rule;
	struct table t;
	char number[24];
	size_t i;

	table_init(&t, titles);
	json_array_foreach(rules, i, rule) {
		snprintf(number, sizeof(number), "%zu", i);
		add_rule(&t, number, rule);
	}
	add_rule(&t, "else", json_object_get(result, "default"));
	table_print(&t, stdout, 0, 0);
	table_fini(&t);
}

static int show_run(struct ctl *ctl, int argc, char **argv)
{
	json_t *result, *options;
	int ret = check_args(ctl, argc, 1, 1);

	if (ret)
		return ret;
	/* The method is steer's alone: others say that they have it not. */
	ret = call(ctl, "steer.rule",
		   json_pack("{ss ss}", "switch", argv[1], "op", "list"),
		   CALL_TIMEOUT_MS, &result);
	if (ret)
		return ret;
	json_decref(result);
	ret = call(ctl, "module.show", json_pack("{ss}", "switch", argv[1]),
		   CALL_TIMEOUT_MS, &result);
	if (ret)
		return ret;
	options = json_incref(json_object_get(result, "options"));
	json_decref(result);
	if (ctl->json)
		return print_json(options);
	print_services(json_object_get(options, "services"));
	printf("\n");
	print_chains(json_object_get(options, "chains"));
	printf("\n");
	print_rules(options);
	json_decref(options);
	return EXIT_OK;
}

const struct command steer_commands[] = {
	{ "show", "SWITCH", "services, chains and rules", show_help, show_run,
	  NULL },
	{ NULL },
};
