/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * guest_migrate group|cdev net|net-packed|blk RID RID INTERFACE|- [SAVE [LOAD]]
 *
 * In a Linux host: takes the first VF through every arc of the VFIO migration state machine, with
 * I/O on it in between; saves it, restores it into itself and then into the second VF, with which
 * the driver goes on. net's other end is INTERFACE. The file SAVE gets the stream that was saved
 * last. LOAD has one from elsewhere, which the second VF has to take at the end; its queues are
 * nowhere here, so it is not run.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/vfio.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "guest_modern.h"

#define STREAM_MAX (256 << 10)
#define STOP       VFIO_DEVICE_STATE_STOP
#define RUNNING    VFIO_DEVICE_STATE_RUNNING
#define STOP_COPY  VFIO_DEVICE_STATE_STOP_COPY
#define RESUMING   VFIO_DEVICE_STATE_RESUMING
#define P2P        VFIO_DEVICE_STATE_RUNNING_P2P
#define PRE_COPY   VFIO_DEVICE_STATE_PRE_COPY
#define PRE_P2P    VFIO_DEVICE_STATE_PRE_COPY_P2P

static const char *const names[] = { "ERROR",    "STOP",        "RUNNING",  "STOP_COPY",
				     "RESUMING", "RUNNING_P2P", "PRE_COPY", "PRE_COPY_P2P" };

struct stream {
	uint8_t data[STREAM_MAX];
	size_t length;
};

static int feature(const struct vfio *v, uint32_t flags, void *payload, size_t size)
{
	uint8_t raw[sizeof(struct vfio_device_feature) + 64] = { 0 };
	struct vfio_device_feature *f = (struct vfio_device_feature *)raw;

	f->argsz = (uint32_t)(sizeof(*f) + size);
	f->flags = flags;
	memcpy(f->data, payload, size);
	if (ioctl(v->fd, VFIO_DEVICE_FEATURE, f))
		return -errno;
	memcpy(payload, f->data, size);
	return 0;
}

static unsigned get_state(const struct vfio *v)
{
	struct vfio_device_feature_mig_state state = { 0 };
	int ret = feature(v, VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE, &state,
			  sizeof(state));

	if (ret)
		fail("%s: no state: %s", v->rid, strerror(-ret));
	return state.device_state;
}

/* *data is the descriptor of data, or -1. Returns 0 or a negative errno. */
static int try_state(const struct vfio *v, unsigned to, int *data)
{
	struct vfio_device_feature_mig_state state = { .device_state = to, .data_fd = -1 };
	int ret = feature(v, VFIO_DEVICE_FEATURE_SET | VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE, &state,
			  sizeof(state));

	*data = ret ? -1 : state.data_fd;
	return ret;
}

static int set_state(const struct vfio *v, unsigned to)
{
	unsigned from = get_state(v);
	int data, ret = try_state(v, to, &data);

	if (ret)
		fail("%s: %s to %s: %s", v->rid, names[from], names[to], strerror(-ret));
	if (get_state(v) != to)
		fail("%s: %s to %s ended in %s", v->rid, names[from], names[to],
		     names[get_state(v)]);
	return data;
}

/* Reads until the end, which is an empty read in STOP_COPY and ENOMSG in PRE_COPY. */
static void read_stream(int fd, struct stream *s, bool precopy)
{
	ssize_t n;

	while ((n = read(fd, s->data + s->length, STREAM_MAX - s->length)) > 0)
		s->length += (size_t)n;
	if (precopy ? n == 0 || errno != ENOMSG : n != 0)
		fail("the end of the stream in %s is %zd, %s", precopy ? "PRE_COPY" : "STOP_COPY",
		     n, n < 0 ? strerror(errno) : "");
}

static void write_stream(int fd, const struct stream *s)
{
	size_t done = 0;
	ssize_t n;

	/* In pieces of a size that no record has. */
	for (; done < s->length; done += (size_t)n) {
		n = write(fd, s->data + done, s->length - done < 37 ? s->length - done : 37);
		if (n <= 0)
			fail("write of the stream at %zu of %zu: %s", done, s->length,
			     strerror(errno));
	}
}

static bool leaves_data(unsigned state)
{
	return state == STOP_COPY || state == RESUMING || state == PRE_COPY || state == PRE_P2P;
}

static void drop(int data)
{
	if (data >= 0)
		close(data);
}

/* VFIO's uAPI: from STOP_COPY there is no way to PRE_COPY, all other pairs have one. */
static void walk(struct driver *d, const struct vfio *v)
{
	unsigned pairs = 0, refused = 0;

	for (unsigned from = STOP; from <= PRE_P2P; from++) {
		for (unsigned to = STOP; to <= PRE_P2P; to++) {
			bool none = from == STOP_COPY && (to == PRE_COPY || to == PRE_P2P);
			bool carried = (from == PRE_COPY || from == PRE_P2P) &&
				       (to == PRE_COPY || to == PRE_P2P || to == STOP_COPY);
			static struct stream s;
			int first = set_state(v, from), second, ret;

			if ((first >= 0) != leaves_data(from))
				fail("%s: data in %s: %d", v->rid, names[from], first);
			ret = try_state(v, to, &second);
			if (ret != (none ? -EINVAL : 0) || get_state(v) != (none ? from : to))
				fail("%s: %s to %s: %s, now %s", v->rid, names[from], names[to],
				     strerror(-ret), names[get_state(v)]);
			if ((second >= 0) != (leaves_data(to) && !carried && from != to && !none))
				fail("%s: %s to %s: data %d", v->rid, names[from], names[to],
				     second);
			s.length = 0;
			if (to == STOP_COPY || to == PRE_COPY || to == PRE_P2P)
				if (!none)
					read_stream(carried || from == to ? first : second, &s,
						    to != STOP_COPY);
			pairs++;
			refused += none;
			drop(first);
			drop(second);
			drop(set_state(v, RUNNING));
			driver_work(d);
		}
	}
	printf("arcs %u refused %u\n", pairs, refused);
}

/* What is made available while the device is stopped waits; nothing moves until RUNNING. */
static void stopped_is_stopped(struct driver *d, const struct vfio *v, unsigned state)
{
	int data = set_state(v, state);

	driver_begin(d);
	usleep(200000);
	if (driver_ended(d))
		fail("%s: the device used a buffer in %s", v->rid, names[state]);
	drop(data);
	drop(set_state(v, RUNNING));
	driver_end(d);
	printf("silent in %s\n", names[state]);
}

/* From RUNNING to STOP_COPY; the device stays there. */
static void save(const struct vfio *v, struct stream *s)
{
	struct vfio_precopy_info info = { .argsz = sizeof(info) };
	int data = set_state(v, PRE_COPY);
	size_t precopy;

	s->length = 0;
	if (ioctl(data, VFIO_MIG_GET_PRECOPY_INFO, &info))
		fail("%s: VFIO_MIG_GET_PRECOPY_INFO: %s", v->rid, strerror(errno));
	read_stream(data, s, true);
	precopy = s->length;
	set_state(v, PRE_P2P);
	set_state(v, STOP_COPY);
	read_stream(data, s, false);
	printf("saved %zu bytes, %zu of them in PRE_COPY, initial %llu\n", s->length, precopy,
	       (unsigned long long)info.initial_bytes);
	close(data);
}

static void restore(const struct vfio *v, const struct stream *s)
{
	int data = set_state(v, RESUMING);

	write_stream(data, s);
	close(data);
	set_state(v, STOP);
	set_state(v, P2P);
	set_state(v, RUNNING);
}

static void stream_to_file(const struct stream *s, const char *path)
{
	FILE *file = fopen(path, "wb");

	if (!file || fwrite(s->data, 1, s->length, file) != s->length || fclose(file))
		fail("%s: %s", path, strerror(errno));
}

static void stream_from_file(struct stream *s, const char *path)
{
	FILE *file = fopen(path, "rb");

	if (!file)
		fail("%s: %s", path, strerror(errno));
	s->length = fread(s->data, 1, STREAM_MAX, file);
	fclose(file);
}

static void check_migration(const struct vfio *v)
{
	struct vfio_device_feature_migration migration = { 0 };
	int ret = feature(v, VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_MIGRATION, &migration,
			  sizeof(migration));

	if (ret)
		fail("%s: no migration: %s", v->rid, strerror(-ret));
	printf("migration%s%s%s\n", migration.flags & VFIO_MIGRATION_STOP_COPY ? " STOP_COPY" : "",
	       migration.flags & VFIO_MIGRATION_P2P ? " P2P" : "",
	       migration.flags & VFIO_MIGRATION_PRE_COPY ? " PRE_COPY" : "");
}

static void show_label(struct driver *d)
{
	char label[17];

	if (d->net)
		return;
	driver_read_label(d, label);
	printf("label %s\n", label);
}

int main(int argc, char **argv)
{
	static struct driver driver;
	static struct stream stream;
	struct vfio a, b;
	struct link link;
	bool cdev, net;
	int data;

	if (argc < 6 || argc > 8)
		fail("usage: guest_migrate group|cdev net|net-packed|blk RID RID INTERFACE|- "
		     "[SAVE [LOAD]]");
	cdev = !strcmp(argv[1], "cdev");
	net = strcmp(argv[2], "blk");
	driver.packed = !strcmp(argv[2], "net-packed");
	if (net)
		link_open(&link, argv[5]);
	driver.link = &link;

	vfio_open(&a, argv[3], cdev);
	vfio_open(&b, argv[4], cdev);
	vfio_enable(&a);
	vfio_enable(&b);
	check_migration(&a);
	driver_start(&driver, &a, net);
	driver_work(&driver);
	show_label(&driver);

	walk(&driver, &a);
	stopped_is_stopped(&driver, &a, P2P);
	stopped_is_stopped(&driver, &a, STOP);
	stopped_is_stopped(&driver, &a, STOP_COPY);

	save(&a, &stream);
	restore(&a, &stream);
	driver_work(&driver);
	printf("restored into itself\n");

	/* Something waits in a queue while the device changes. */
	set_state(&a, STOP);
	driver_begin(&driver);
	set_state(&a, RUNNING);
	driver_end(&driver);
	save(&a, &stream);
	if (argc > 6)
		stream_to_file(&stream, argv[6]);
	driver_begin(&driver);
	usleep(100000);
	if (driver_ended(&driver))
		fail("the first device is not stopped");
	restore(&b, &stream);
	driver_move(&driver, &b);
	driver_end(&driver);
	printf("restored into the other\n");
	for (unsigned i = 0; i < 100; i++)
		driver_work(&driver);
	show_label(&driver);
	if (get_state(&a) != STOP_COPY)
		fail("the first device is in %s", names[get_state(&a)]);
	vfio_close(&a);
	driver_work(&driver);
	if (argc > 7) {
		stream_from_file(&stream, argv[7]);
		data = set_state(&b, RESUMING);
		write_stream(data, &stream);
		close(data);
		set_state(&b, STOP);
		printf("accepted %s\n", argv[7]);
	}
	vfio_close(&b);
	printf("done\n");
	return 0;
}
