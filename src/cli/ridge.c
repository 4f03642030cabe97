/* SPDX-License-Identifier: BSD-3-Clause */
#include <argp.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/output.h"
#include "cli/verbs.h"

static const struct argp_option option_table[] = {
	{ "json", 'j', NULL, 0, NULL, 0 },
	{ "runtime-dir", 'd', "DIR", 0, NULL, 0 },
	{ "force", 'f', NULL, 0, NULL, 0 },
	{ "batch", 'b', "FILE", 0, NULL, 0 },
	{ "help", 'h', NULL, 0, NULL, 0 },
	{ "version", 'V', NULL, 0, NULL, 0 },
	{ 0 },
};

struct input {
	struct command cmd;
	bool version;
	const char *wrong; /* the argument that no option matches */
	char **words;      /* what is no option */
	int nwords;
};

static error_t option_parse(int key, char *arg, struct argp_state *state)
{
	struct input *in = state->input;

	switch (key) {
	case 'j':
		in->cmd.json = true;
		return 0;
	case 'd':
		in->cmd.runtime_dir = arg;
		return 0;
	case 'f':
		in->cmd.force = true;
		return 0;
	case 'b':
		in->cmd.batch = arg;
		return 0;
	case 'h':
		in->cmd.help = true;
		return 0;
	case 'V':
		in->version = true;
		return 0;
	case ARGP_KEY_ARG:
		in->words[in->nwords++] = arg;
		return 0;
	case ARGP_KEY_ERROR:
		if (state->next > 0)
			in->wrong = state->argv[state->next - 1];
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

/* The verbs of an object ("pf"), or all. Returns their number. */
static unsigned help_verbs(FILE *to, const char *object)
{
	size_t len = strlen(object);
	unsigned n = 0;

	for (unsigned i = 0; i < verb_count; i++) {
		const struct verb *v = &verb_table[i];

		if (!v->brief || (len && (strncmp(v->name, object, len) || v->name[len] != ' ')))
			continue;
		fprintf(to, "  ridge %s%s%s\n", v->name, v->usage[0] ? " " : "", v->usage);
		n++;
	}
	return n;
}

static void help_all(FILE *to)
{
	fprintf(to, "usage: ridge [ OPTIONS ] VERB [ ARGUMENTS ]\n"
		    "       ridge help VERB\n\n");
	help_verbs(to, "");
	fprintf(to,
		"\n"
		"where  TYPE    := { blk | net | rng }\n"
		"       DRIVER  := { vfio-pci | virtio-vfio-pci | none }\n"
		"       OPTIONS := { -j | --json             results and errors as JSON on standard output\n"
		"                    -d | --runtime-dir DIR  where ridged is (default: $RIDGE_RUNTIME_DIR,\n"
		"                                            or /run/ridge as root, or\n"
		"                                            $XDG_RUNTIME_DIR/ridge)\n"
		"                    -h | --help             this text, or that of a verb\n"
		"                    -V | --version }\n"
		"\n"
		"Exit status: 0 done, 1 failed, 2 not understood.\n");
}

static void help_verb(const struct verb *v)
{
	printf("usage: ridge %s%s%s\n", v->name, v->usage[0] ? " " : "", v->usage);
	if (v->brief)
		printf("\n%s\n", v->brief);
	if (v->help)
		printf("\n%s", v->help);
}

/* Finds the verb at the beginning of words. *used is the number of words it has. */
static const struct verb *verb_find(char **words, int n, int *used)
{
	for (unsigned i = 0; n > 0 && i < verb_count; i++) {
		const char *name = verb_table[i].name, *space = strchr(name, ' ');

		*used = space ? 2 : 1;
		if (!space && !strcmp(words[0], name))
			return &verb_table[i];
		if (space && n > 1 && strlen(words[0]) == (size_t)(space - name) &&
		    !strncmp(words[0], name, (size_t)(space - name)) &&
		    !strcmp(words[1], space + 1))
			return &verb_table[i];
	}
	return NULL;
}

static int fail(const struct command *cmd, struct failure *f, int status)
{
	struct json_object *failed, *o, *text;

	if (cmd->json) {
		output_failure_json(f);
	} else if (json_object_object_get_ex(f->data, "failed", &failed)) {
		/* Each of several objects has its own line. */
		for (size_t i = 0; i < json_object_array_length(failed); i++) {
			o = json_object_array_get_idx(failed, i);
			if (json_object_object_get_ex(o, "message", &text))
				fprintf(stderr, "ridge: %s\n", json_object_get_string(text));
		}
	} else {
		fprintf(stderr, "ridge: %s\n", f->text);
	}
	json_object_put(f->data);
	return status;
}

static int usage_error(const struct command *cmd, const char *word, const char *wrong,
		       const struct verb *v)
{
	struct failure f;

	if (v)
		failure_set(&f, EINVAL, "%s: %s; usage: ridge %s%s%s", word, wrong, v->name,
			    v->usage[0] ? " " : "", v->usage);
	else
		failure_set(&f, EINVAL, "%s: %s; ridge help shows what there is", word, wrong);
	f.code = -32602;
	return fail(cmd, &f, EXIT_USAGE);
}

static int run_help(const struct command *cmd, char **words, int n)
{
	const struct verb *v;
	int used;

	if (n == 0) {
		help_all(stdout);
		return EXIT_OK;
	}
	v = verb_find(words, n, &used);
	if (v)
		help_verb(v);
	else if (n > 1 || !help_verbs(stdout, words[0]))
		return usage_error(cmd, words[0], "there is no such verb", NULL);
	return EXIT_OK;
}

static int run_verb(struct input *in)
{
	struct command *cmd = &in->cmd;
	const struct verb *v;
	struct failure f = { 0 };
	int used = 0;

	if (!in->nwords && !cmd->help)
		return usage_error(cmd, "ridge", "no verb is given", NULL);
	if (!in->nwords || !strcmp(in->words[0], "help"))
		return run_help(cmd, in->words + 1, in->nwords ? in->nwords - 1 : 0);
	if (cmd->help)
		return run_help(cmd, in->words, in->nwords);
	/* As in "ip link help"; a function may be called so where a name is due. */
	if (in->nwords == 2 && (!strcmp(in->words[0], "pf") || !strcmp(in->words[0], "host")) &&
	    !strcmp(in->words[1], "help"))
		return run_help(cmd, in->words, 1);
	v = verb_find(in->words, in->nwords, &used);
	if (!v)
		return usage_error(cmd, in->words[0], "there is no such verb", NULL);
	cmd->argv = in->words + used;
	cmd->argc = in->nwords - used;
	if (cmd->batch && !v->takes_batch)
		return usage_error(cmd, v->name, "it takes no --batch", v);
	if (cmd->batch && cmd->argc)
		return usage_error(cmd, v->name, "--batch takes all from its file", v);
	if (!cmd->batch && cmd->argc < v->min)
		return usage_error(cmd, v->name, "too few arguments", v);
	if (v->max >= 0 && cmd->argc > v->max)
		return usage_error(cmd, v->name, "too many arguments", v);
	if (cmd->force && !v->takes_force)
		return usage_error(cmd, v->name, "it takes no --force", v);
	if (!v->run(cmd, &f))
		return EXIT_OK;
	return fail(cmd, &f, f.usage ? EXIT_USAGE : EXIT_FAILED);
}

int main(int argc, char **argv)
{
	static const struct argp argp = { .options = option_table, .parser = option_parse };
	struct input in = { 0 };
	int status;

	in.words = calloc((size_t)argc + 1, sizeof(*in.words));
	if (!in.words)
		return EXIT_FAILED;
	/* argp's own messages would be several lines, and not JSON. */
	if (argp_parse(&argp, argc, argv, ARGP_NO_EXIT | ARGP_NO_ERRS | ARGP_NO_HELP, NULL, &in)) {
		status =
			usage_error(&in.cmd, in.wrong ? in.wrong : "ridge", "not understood", NULL);
	} else if (in.version) {
		printf("ridge " RIDGE_VERSION "\n");
		status = EXIT_OK;
	} else {
		status = run_verb(&in);
	}
	free(in.words);
	if (fflush(stdout) && !status)
		status = EXIT_FAILED;
	return status;
}
