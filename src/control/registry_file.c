/* SPDX-License-Identifier: BSD-3-Clause */
#include "control/registry_file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "control/net.h"
#include "control/operation.h"
#include "control/pf_process.h"
#include "control/pf_revive.h"
#include "control/runtime.h"

#define SUFFIX        ".json"
#define FILE_MAX      (32 << 20) /* 4094 functions of 4 KiB each are half of it */
#define DEPTH_MAX     8
#define FUNCTIONS_MAX 8192

#define HEARSAY_MEMBER "\"hearsay\":true,"

static void path_of(const struct control *ctl, const char *name, const char *suffix,
		    char path[PATH_MAX])
{
	snprintf(path, PATH_MAX, "%s/pf/%s" SUFFIX "%s", ctl->runtime_dir, name, suffix);
}

/* --- writing --- */

static void write_function(FILE *file, const struct function *fn, bool first)
{
	struct json_object *params = params_json(&fn->params);
	struct json_object *down =
		fn->down && fn->text[0] ? json_object_new_string(fn->text) : NULL;

	fprintf(file, "%s{\"slot\":%u,%s", first ? "\n" : ",\n", fn->slot,
		fn->hearsay ? HEARSAY_MEMBER : "");
	if (down)
		fprintf(file, "\"down\":%s,",
			json_object_to_json_string_ext(down, JSON_C_TO_STRING_PLAIN));
	fprintf(file, "\"params\":%s}",
		json_object_to_json_string_ext(params, JSON_C_TO_STRING_PLAIN));
	json_object_put(down);
	json_object_put(params);
}

static int write_pf(FILE *file, const struct pf *pf)
{
	struct json_object *params = params_json(&pf->params);
	const struct function *fn;
	bool first = true;

	fprintf(file, "{\"version\":%d,\"name\":\"%s\",%s\"params\":%s,\"functions\":[",
		REGISTRY_FILE_VERSION, pf->name, pf->hearsay ? HEARSAY_MEMBER : "",
		json_object_to_json_string_ext(params, JSON_C_TO_STRING_PLAIN));
	json_object_put(params);
	list_for_each (fn, &pf->functions, node) {
		if (fn->phase == FUNCTION_CREATING)
			continue;
		write_function(file, fn, first);
		first = false;
	}
	fprintf(file, "]}\n");
	return ferror(file) ? -EIO : 0;
}

static void file_write(struct pf *pf)
{
	char path[PATH_MAX], temporary[PATH_MAX];
	FILE *file;
	int err, fd;

	loop_timer_cancel(&pf->file_timer);
	pf->file_since_ns = 0;
	path_of(pf->ctl, pf->name, "", path);
	path_of(pf->ctl, pf->name, ".new", temporary);
	fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	file = fd < 0 ? NULL : fdopen(fd, "w");
	if (!file) {
		log_err("%s: %s", temporary, strerror(errno));
		fd_close(&fd);
		return;
	}
	err = write_pf(file, pf);
	if (fclose(file) && !err)
		err = -errno;
	if (!err && rename(temporary, path))
		err = -errno;
	if (err) {
		log_err("%s: %s", path, strerror(-err));
		unlink(temporary);
	}
}

static void file_timer(struct loop_timer *timer)
{
	file_write(container_of(timer, struct pf, file_timer));
}

void registry_file_changed(struct pf *pf)
{
	uint64_t now = loop_now_ns(), quiet = REGISTRY_FILE_QUIET_MS * 1000000ull;

	if (pf->forgotten || pf->phase == PF_STARTING)
		return;
	if (!pf->file_since_ns)
		pf->file_since_ns = now;
	/* Late enough: the timer that is set is the last. */
	if (loop_timer_armed(&pf->file_timer) &&
	    now + quiet > pf->file_since_ns + REGISTRY_FILE_LATE_MS * 1000000ull)
		return;
	loop_timer_set(pf->ctl->loop, &pf->file_timer, REGISTRY_FILE_QUIET_MS, file_timer);
}

void registry_file_flush(struct pf *pf)
{
	if (loop_timer_armed(&pf->file_timer))
		file_write(pf);
	pf->forgotten = true;
}

void registry_file_remove(struct pf *pf)
{
	char path[PATH_MAX];

	loop_timer_cancel(&pf->file_timer);
	pf->forgotten = true;
	path_of(pf->ctl, pf->name, "", path);
	unlink(path);
}

/* Reading. Nothing in a file is trusted to be what was written. */

static struct json_object *file_parse(int fd, struct error *e)
{
	struct json_tokener *tok;
	struct json_object *object = NULL;
	struct stat st;
	char *text;

	if (fstat(fd, &st) || !S_ISREG(st.st_mode) || st.st_size < 2 || st.st_size > FILE_MAX) {
		error_set(e, EINVAL, "it is no file of 2 bytes to %d", FILE_MAX);
		return NULL;
	}
	text = malloc((size_t)st.st_size);
	tok = json_tokener_new_ex(DEPTH_MAX);
	if (text && tok && read(fd, text, (size_t)st.st_size) == st.st_size) {
		json_tokener_set_flags(tok, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
		object = json_tokener_parse_ex(tok, text, (int)st.st_size);
		if (!json_object_is_type(object, json_type_object)) {
			json_object_put(object);
			object = NULL;
		}
	}
	if (!object)
		error_set(e, EINVAL, "it is not the JSON of a PF");
	if (tok)
		json_tokener_free(tok);
	free(text);
	return object;
}

static int member_params(struct json_object *object, const struct param_set *set, struct params *p,
			 struct error *e)
{
	struct json_object *value;

	if (!json_object_object_get_ex(object, "params", &value) ||
	    !json_object_is_type(value, json_type_object))
		return error_set(e, EINVAL, "params are missing");
	return params_parse_text(p, set,
				 json_object_to_json_string_ext(value, JSON_C_TO_STRING_PLAIN), e);
}

static bool member_hearsay(struct json_object *object)
{
	struct json_object *value;

	return json_object_object_get_ex(object, "hearsay", &value) &&
	       json_object_get_boolean(value);
}

static int function_check(const struct pf *pf, const struct params *p, bool hearsay,
			  struct error *e)
{
	const char *type = params_text(p, FUNCTION_TYPE), *name = params_text(p, FUNCTION_NAME);

	if (!type || !name || !params_text(p, FUNCTION_DRIVER))
		return error_set(e, EINVAL, "a function without type, name or driver");
	if (strcmp(type, pf->type) != 0)
		return error_set(e, EINVAL, "function %s is of type %s", name, type);
	if (registry_name_free(pf->ctl, name, hearsay))
		return 0;
	return error_set(e, EEXIST, "function %s exists on another PF, or twice", name);
}

static int function_load(struct pf *pf, struct json_object *object, struct error *e)
{
	struct json_object *slot = NULL;
	char path[SOCKET_PATH_MAX];
	struct params params;
	bool hearsay = member_hearsay(object);
	struct function *fn;
	int64_t number;
	int err;

	json_object_object_get_ex(object, "slot", &slot);
	number = json_object_get_int64(slot);
	if (!json_object_is_type(slot, json_type_int) || number < 0 || number > pf->max_vfs)
		return error_set(e, EINVAL, "a function without a slot of the PF");
	err = member_params(object, &params_function, &params, e);
	if (err)
		return err;
	err = function_check(pf, &params, hearsay, e);
	if (!err && function_new(pf, &params, &fn))
		err = error_set(e, ENOMEM, "out of memory");
	params_free(&params);
	if (err == -EEXIST && hearsay) {
		log_err("PF %s: %s; it is not made again", pf->name, e->text);
		return 0;
	}
	if (err)
		return err;
	fn->slot = (uint32_t)number;
	fn->hearsay = hearsay;
	fn->phase = FUNCTION_READY;
	fn->down = true;
	if (!strcmp(pf->type, "net") && net_join(fn))
		return error_set(e, ENOMEM, "out of memory");
	/* Its process is gone, and so is who listened there. */
	if (!runtime_socket(pf->ctl->runtime_dir, "functions", function_name(fn), path,
			    sizeof(path), e))
		unlink(path);
	return 0;
}

static int functions_load(struct pf *pf, struct json_object *object, struct error *e)
{
	struct json_object *array;
	int err = 0;

	if (!json_object_object_get_ex(object, "functions", &array) ||
	    !json_object_is_type(array, json_type_array) ||
	    json_object_array_length(array) > FUNCTIONS_MAX)
		return error_set(e, EINVAL, "functions are missing");
	for (size_t i = 0; i < json_object_array_length(array) && !err; i++)
		err = function_load(pf, json_object_array_get_idx(array, i), e);
	return err;
}

static int version_check(struct json_object *object, struct error *e)
{
	struct json_object *value;

	if (!json_object_object_get_ex(object, "version", &value) ||
	    !json_object_is_type(value, json_type_int) ||
	    json_object_get_int(value) != REGISTRY_FILE_VERSION)
		return error_set(e, EINVAL, "it is not of version %d", REGISTRY_FILE_VERSION);
	return 0;
}

static int pf_load(struct control *ctl, const char *name, struct json_object *object,
		   struct error *e)
{
	struct params params;
	struct pf *pf;
	int err = version_check(object, e);

	if (!err)
		err = member_params(object, &params_pf, &params, e);
	if (err)
		return err;
	if (!params_text(&params, PF_NAME) || strcmp(params_text(&params, PF_NAME), name) != 0 ||
	    !params_text(&params, PF_TYPE) || params_fill(&params))
		err = error_set(e, EINVAL, "it is that of another PF");
	else
		err = pf_new_down(ctl, &params, &pf, e);
	params_free(&params);
	if (err)
		return err;
	pf->hearsay = member_hearsay(object);
	err = functions_load(pf, object, e);
	if (err) {
		pf_forget(pf);
		return err;
	}
	log_warn("PF %s: its process is gone; making it and its %u functions again", name,
		 pf->nfunctions);
	pf_start_again(pf);
	return 0;
}

/* Returns 0, or a negative errno with e set (-ENOENT: there is no file). */
static int file_read(const char *path, struct json_object **object, struct error *e)
{
	fd_auto int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

	if (fd < 0)
		return error_set(e, errno, "%s", strerror(errno));
	*object = file_parse(fd, e);
	return *object ? 0 : -e->err;
}

/* The parameters of a PF or a function as an object that is the caller's, or NULL: hearsay. */
static struct json_object *params_known(struct json_object *of)
{
	struct json_object *params;

	if (member_hearsay(of) || !json_object_object_get_ex(of, "params", &params))
		return NULL;
	return json_object_get(params);
}

struct json_object *registry_file_known(struct control *ctl, const char *name)
{
	struct json_object *object = NULL, *known, *functions, *array = NULL, *function_name;
	char path[PATH_MAX];
	struct error e;
	int err;

	path_of(ctl, name, "", path);
	err = file_read(path, &object, &e);
	if (!err)
		err = version_check(object, &e);
	if (err) {
		log_warn("%s: %s; what PF %s says of itself is not relied on", path, e.text, name);
		json_object_put(object);
		return NULL;
	}
	known = json_object_new_object();
	functions = json_object_new_object();
	json_object_object_add(known, "params", params_known(object));
	json_object_object_add(known, "functions", functions);
	json_object_object_get_ex(object, "functions", &array);
	for (size_t i = 0;
	     json_object_is_type(array, json_type_array) && i < json_object_array_length(array);
	     i++) {
		struct json_object *params = params_known(json_object_array_get_idx(array, i));

		if (json_object_object_get_ex(params, "name", &function_name) &&
		    json_object_is_type(function_name, json_type_string))
			json_object_object_add(functions, json_object_get_string(function_name),
					       json_object_get(params));
		json_object_put(params);
	}
	json_object_put(object);
	return known;
}

void registry_file_load(struct control *ctl, const char *name)
{
	char path[PATH_MAX], aside[PATH_MAX];
	struct json_object *object = NULL;
	struct error e;
	int err;

	if (params_name_wrong(name) || registry_pf(ctl, name))
		return;
	path_of(ctl, name, "", path);
	err = file_read(path, &object, &e);
	if (!object && err == -ENOENT)
		return;
	if (!err)
		err = pf_load(ctl, name, object, &e);
	json_object_put(object);
	if (!err)
		return;
	path_of(ctl, name, ".bad", aside);
	log_err("%s: %s; it is set aside as %s, and nothing is made of it", path, e.text, aside);
	rename(path, aside);
}

void registry_files_load(struct control *ctl)
{
	char path[PATH_MAX];
	struct dirent *entry;
	DIR *d;

	snprintf(path, sizeof(path), "%s/pf", ctl->runtime_dir);
	d = opendir(path);
	while (d && (entry = readdir(d))) {
		size_t len = strlen(entry->d_name);

		if (len <= strlen(SUFFIX) ||
		    strcmp(entry->d_name + len - strlen(SUFFIX), SUFFIX) != 0)
			continue;
		entry->d_name[len - strlen(SUFFIX)] = '\0';
		registry_file_load(ctl, entry->d_name);
	}
	if (d)
		closedir(d);
}
