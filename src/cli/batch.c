/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/output.h"
#include "cli/verbs.h"

#define READ_SIZE 65536
#define DEPTH_MAX 32

#define READ_RIGHT "give a file that you may read, or - for standard input"

/* Parses what can be read from fd. Returns NULL with wrong set, or, if it cannot be read, errno. */
static struct json_object *parse(int fd, const char **wrong)
{
	struct json_tokener *tok = json_tokener_new_ex(DEPTH_MAX);
	enum json_tokener_error err = json_tokener_continue;
	struct json_object *value = NULL;
	char data[READ_SIZE];
	ssize_t n = 1;

	if (!tok) {
		*wrong = "out of memory";
		return NULL;
	}
	json_tokener_set_flags(tok, JSON_TOKENER_STRICT);
	while (err == json_tokener_continue && n > 0) {
		n = read(fd, data, sizeof(data));
		if (n > 0) {
			value = json_tokener_parse_ex(tok, data, (int)n);
			err = json_tokener_get_error(tok);
		}
	}
	if (n < 0)
		; /* errno says it */
	else if (err == json_tokener_continue)
		*wrong = "not JSON: it ends too early";
	else if (err != json_tokener_success)
		*wrong = json_tokener_error_desc(err);
	else if (!json_object_is_type(value, json_type_array))
		*wrong = "not an array; give one of objects as function.create takes them";
	json_tokener_free(tok);
	if (!*wrong && n >= 0)
		return value;
	json_object_put(value);
	return NULL;
}

/* Images are where the caller is, not where ridged is. */
static void resolve_images(struct json_object *array)
{
	struct json_object *image;

	for (size_t i = 0; i < json_object_array_length(array); i++) {
		struct json_object *entry = json_object_array_get_idx(array, i);

		if (!json_object_is_type(entry, json_type_object) ||
		    !json_object_object_get_ex(entry, "image", &image) ||
		    !json_object_is_type(image, json_type_string))
			continue;
		json_object_get(image);
		add_path(entry, "image", json_object_get_string(image));
		json_object_put(image);
	}
}

int run_create_batch(const struct command *cmd, struct failure *f)
{
	bool standard = !strcmp(cmd->batch, "-");
	int fd = standard ? STDIN_FILENO : open(cmd->batch, O_RDONLY | O_CLOEXEC);
	struct json_object *array = NULL, *params, *result = NULL;
	const char *wrong = NULL;
	int err;

	if (fd >= 0)
		array = parse(fd, &wrong);
	err = wrong ? EINVAL : errno;
	if (!standard && fd >= 0)
		close(fd);
	if (!array) {
		failure_set(f, err, "create --batch %s: %s%s", cmd->batch,
			    wrong ? wrong : strerror(err), wrong ? "" : "; " READ_RIGHT);
		return -1;
	}
	resolve_images(array);
	params = json_object_new_object();
	json_object_object_add(params, "functions", array);
	if (client_call(cmd->runtime_dir, "function.create_batch", params, &result, f))
		return -1;
	if (cmd->json)
		output_json(result);
	for (size_t i = 0; !cmd->json && i < json_object_array_length(result); i++)
		output_made(json_object_array_get_idx(result, i));
	json_object_put(result);
	return 0;
}
