/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * libridge as a program uses it: this includes ridge.h and nothing else of ridge, and is linked
 * with the shared library. test_libridge.py starts a ridged for it.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <ridge.h>

#define CHECK(condition)                                                                \
	do {                                                                            \
		if (!(condition)) {                                                     \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
			exit(1);                                                        \
		}                                                                       \
	} while (0)

static void has(char *text, const char *part)
{
	if (!text || !strstr(text, part)) {
		fprintf(stderr, "%s is not in %s\n", part, text ? text : "NULL");
		exit(1);
	}
	free(text);
}

static void event_is(struct ridge *r, const char *part)
{
	struct pollfd fd = { .fd = ridge_events_fd(r), .events = POLLIN };
	char *event;
	int ret;

	CHECK(fd.fd >= 0);
	while ((ret = ridge_events_next(r, &event)) == 0)
		CHECK(poll(&fd, 1, 10000) == 1);
	CHECK(ret == 1);
	has(event, part);
}

static void test_calls(struct ridge *r)
{
	static const struct ridge_pair keys[] = { { "mac", "52:54:00:00:00:01" },
						  { "queues", "2" },
						  { NULL, NULL } };
	static const struct ridge_pair pf[] = { { "type", "net" }, { NULL, NULL } };
	static const struct ridge_pair down[] = { { "link", "down" }, { NULL, NULL } };
	static const struct ridge_pair shared[] = { { "mode", "660" }, { NULL, NULL } };
	static const char *const names[] = { "n0", NULL };
	char *text;

	CHECK(!ridge_pf_add(r, "net9", pf, &text));
	has(text, "\"name\":\"net9\"");
	CHECK(!ridge_create(r, "net", "n0", keys, &text));
	has(text, "\"mac\":\"52:54:00:00:00:01\"");
	CHECK(!ridge_show(r, "n0", &text));
	has(text, "\"queues\":2");
	CHECK(!ridge_set(r, "n0", down, &text));
	has(text, "\"link\":\"down\"");
	CHECK(!ridge_bind(r, "n0", "none", &text));
	has(text, "\"socket\":null");
	CHECK(!ridge_list(r, &text));
	has(text, "[{\"name\":\"n0\"");
	CHECK(!ridge_stats(r, names, &text));
	has(text, "\"rx_packets\":0");
	CHECK(!ridge_stats(r, NULL, &text));
	has(text, "\"pfs\":[{\"name\":\"net9\"");
	CHECK(!ridge_pf_list(r, &text));
	has(text, "\"functions\":1");
	CHECK(ridge_pf_remove(r, "net9", &text) == -EBUSY && !text);
	CHECK(!ridge_destroy(r, names, 0, &text));
	has(text, "{\"destroyed\":[\"n0\"]}");
	CHECK(!ridge_export(r, "net9", NULL, &text));
	has(text, "\"exported\":true");
	CHECK(ridge_export(r, "net9", shared, &text) == -EEXIST && !text);
	CHECK(!ridge_unexport(r, "net9", 0, &text));
	has(text, "\"exported\":false");
	CHECK(!ridge_export(r, "net9", shared, NULL) && !ridge_unexport(r, "net9", 1, NULL));
	CHECK(ridge_pf_restart(r, "net9", NULL) == -EALREADY);
	CHECK(!ridge_pf_remove(r, "net9", NULL));
	CHECK(!strcmp(ridge_error(r), ""));
}

static void test_errors(struct ridge *r)
{
	char *text;

	CHECK(ridge_show(r, "nope", &text) == -ENOENT && !text);
	CHECK(!strcmp(ridge_error(r), "show nope: there is no such function; there is none"));
	CHECK(ridge_error_code(r) == -32000);
	CHECK(!strcmp(ridge_error_data(r), "{\"errno\":\"ENOENT\"}"));
	CHECK(ridge_call(r, "no.such.method", NULL, &text) == -EOPNOTSUPP);
	CHECK(ridge_error_code(r) == -32601);
	CHECK(ridge_create(r, "disk", "x", NULL, NULL) == -EINVAL);
	CHECK(ridge_error_code(r) == -32602);
	CHECK(ridge_call(r, "system.info", "{", &text) == -EINVAL && !text);
	CHECK(ridge_error_code(r) == 0 && !ridge_error_data(r));
	CHECK(ridge_call(r, "system.info", "[]", NULL) == -EINVAL);
	/* A call that succeeds has no error. */
	CHECK(!ridge_call(r, "system.info", "{}", &text));
	has(text, "\"version\":");
	CHECK(!strcmp(ridge_error(r), "") && ridge_error_code(r) == 0);
}

static void test_batch(struct ridge *r)
{
	char params[64], *text;
	struct ridge_batch *b;
	const char *result;

	CHECK(!ridge_batch_new(r, &b));
	CHECK(ridge_batch_result(b, 0, &result) == -EINVAL);
	for (int i = 0; i < 100; i++) {
		snprintf(params, sizeof(params), "{\"type\": \"rng\", \"name\": \"r%d\"}", i);
		CHECK(ridge_batch_add(b, "function.create", params) == i);
	}
	CHECK(ridge_batch_add(b, "function.create", "nonsense") == -EINVAL);
	CHECK(ridge_batch_add(b, "function.show", "{\"name\": \"nope\"}") == 100);
	CHECK(!ridge_batch_run(b));
	for (int i = 0; i < 100; i++) {
		snprintf(params, sizeof(params), "{\"name\":\"r%d\"", i);
		CHECK(!ridge_batch_result(b, i, &result) && strstr(result, params) == result);
		CHECK(!strcmp(ridge_batch_error(b, i), ""));
	}
	CHECK(ridge_batch_result(b, 100, &result) == -ENOENT && !result);
	CHECK(strstr(ridge_batch_error(b, 100), "show nope: "));
	CHECK(ridge_batch_result(b, 101, &result) == -EINVAL);
	CHECK(ridge_batch_run(b) == -EALREADY);
	CHECK(ridge_batch_add(b, "system.info", NULL) == -E2BIG);
	ridge_batch_free(b);

	CHECK(!ridge_batch_new(r, &b));
	for (int i = 0; i < 1024; i++)
		CHECK(ridge_batch_add(b, "system.info", NULL) == i);
	CHECK(ridge_batch_add(b, "system.info", NULL) == -E2BIG);
	CHECK(!ridge_batch_run(b));
	ridge_batch_free(b);

	CHECK(!ridge_batch_new(r, &b));
	CHECK(!ridge_batch_run(b));
	ridge_batch_free(b);
	CHECK(!ridge_list(r, &text));
	has(text, "\"name\":\"r99\"");
}

static void test_events(struct ridge *r)
{
	static const char *const names[] = { "e0", NULL };
	char *event;

	CHECK(ridge_events_next(r, &event) == -EBADF && !event);
	CHECK(ridge_events_fd(r) >= 0);
	CHECK(ridge_events_fd(r) == ridge_events_fd(r));
	CHECK(ridge_events_next(r, &event) == 0 && !event);
	CHECK(!ridge_create(r, "rng", "e0", NULL, NULL));
	event_is(r, "\"event\":\"function.created\"");
	CHECK(!ridge_destroy(r, names, 1, NULL));
	event_is(r, "\"event\":\"function.destroyed\"");
	CHECK(ridge_events_next(r, &event) == 0);
}

static void test_end(struct ridge *r)
{
	struct pollfd fd = { .fd = ridge_events_fd(r), .events = POLLIN };
	char *text;
	int ret;

	CHECK(!ridge_shutdown(r, &text));
	has(text, "\"pid\":");
	while ((ret = ridge_events_next(r, &text)) >= 0) {
		free(text);
		if (!ret)
			CHECK(poll(&fd, 1, 10000) == 1);
	}
	CHECK(ret == -EPIPE);
	ret = ridge_list(r, &text);
	CHECK((ret == -ENOENT || ret == -ECONNREFUSED || ret == -EPIPE) && !text);
	ret = ridge_list(r, &text);
	CHECK((ret == -ENOENT || ret == -ECONNREFUSED) && strstr(ridge_error(r), "not running"));
	CHECK(ridge_events_fd(r) < 0);
}

int main(void)
{
	struct ridge *r;

	CHECK(ridge_open("/nowhere", &r) == -ENOENT && r);
	CHECK(strstr(ridge_error(r), "ridged is not running (/nowhere/ridged.sock: "));
	ridge_close(r);
	ridge_close(NULL);
	CHECK(ridge_open(NULL, &r) == 0);
	test_calls(r);
	test_errors(r);
	test_batch(r);
	test_events(r);
	test_end(r);
	ridge_close(r);
	printf("passed\n");
	return 0;
}
