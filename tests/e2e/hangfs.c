/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A file system that hangs when it is told to: the backend of a test.
 *
 *   hangfs MOUNTPOINT FILE
 *
 * mounts a file system with one file, "disk", which is FILE. Lines on standard input are commands,
 * each answered by a line on standard output:
 *
 *   hang OP...   from now on, keep back requests of these kinds: read write fsync getattr
 *                flush (each close of a descriptor)
 *   go           answer what is kept back, and keep nothing back any more
 *   count        a JSON object of numbers: requests of each kind since the start, writes that are
 *                to be stable at their end, requests that are kept back now, and opens of the file
 *                that are not closed
 *
 * The end of input unmounts, and answers what is kept back with an error. Nothing is cached by the
 * kernel, so every request comes here. One that is kept back stays so whatever signal its process
 * gets: as with a disk or a server that is gone.
 */
#define FUSE_USE_VERSION 35
#include <errno.h>
#include <fcntl.h>
#include <fuse_lowlevel.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/list.h"

#define NAME     "disk"
#define FILE_INO 2

enum kind { READ, WRITE, FSYNC, FDATASYNC, GETATTR, FLUSH, KINDS };

static const char *const kind_names[KINDS] = { "read",      "write",   "fsync",
					       "fdatasync", "getattr", "flush" };

struct request {
	struct list node;
	fuse_req_t req;
	enum kind kind;
	off_t offset;
	size_t size;
	char data[]; /* of a write */
};

struct hangfs {
	int fd;
	bool hang[KINDS];
	unsigned long count[KINDS];
	unsigned long dsync; /* of the writes, those with O_DSYNC or RWF_DSYNC */
	unsigned long opened;
	unsigned long nheld;
	struct list held;
};

static void file_attr(const struct hangfs *fs, struct stat *st)
{
	if (fstat(fs->fd, st) < 0)
		memset(st, 0, sizeof(*st));
	st->st_ino = FILE_INO;
}

static void answer_read(const struct hangfs *fs, const struct request *r)
{
	char *data = malloc(r->size);
	ssize_t n = data ? pread(fs->fd, data, r->size, r->offset) : -1;

	if (n < 0)
		fuse_reply_err(r->req, EIO);
	else
		fuse_reply_buf(r->req, data, (size_t)n);
	free(data);
}

static void answer(const struct hangfs *fs, const struct request *r)
{
	struct stat st;
	ssize_t n;

	switch (r->kind) {
	case READ:
		answer_read(fs, r);
		break;
	case WRITE:
		n = pwrite(fs->fd, r->data, r->size, r->offset);
		if (n < 0)
			fuse_reply_err(r->req, errno);
		else
			fuse_reply_write(r->req, (size_t)n);
		break;
	case GETATTR:
		file_attr(fs, &st);
		fuse_reply_attr(r->req, &st, 0);
		break;
	default:
		fuse_reply_err(r->req, 0);
	}
}

static void take(fuse_req_t req, enum kind kind, off_t offset, const char *data, size_t size)
{
	struct hangfs *fs = fuse_req_userdata(req);
	struct request *r = calloc(1, sizeof(*r) + (data ? size : 0));

	fs->count[kind]++;
	if (!r) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	r->req = req;
	r->kind = kind;
	r->offset = offset;
	r->size = size;
	if (data)
		memcpy(r->data, data, size);
	if (fs->hang[kind]) {
		list_add_tail(&fs->held, &r->node);
		fs->nheld++;
		return;
	}
	answer(fs, r);
	free(r);
}

static void let_go(struct hangfs *fs, int error)
{
	memset(fs->hang, 0, sizeof(fs->hang));
	while (!list_empty(&fs->held)) {
		struct request *r = list_first(&fs->held, struct request, node);

		list_del(&r->node);
		fs->nheld--;
		if (error)
			fuse_reply_err(r->req, error);
		else
			answer(fs, r);
		free(r);
	}
}

static void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct fuse_entry_param entry = { .ino = FILE_INO };

	if (parent != FUSE_ROOT_ID || strcmp(name, NAME) != 0) {
		fuse_reply_err(req, ENOENT);
		return;
	}
	file_attr(fuse_req_userdata(req), &entry.attr);
	fuse_reply_entry(req, &entry);
}

static void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct stat st = { .st_ino = FUSE_ROOT_ID, .st_mode = S_IFDIR | 0755, .st_nlink = 2 };

	(void)fi;
	if (ino == FUSE_ROOT_ID)
		fuse_reply_attr(req, &st, 0);
	else
		take(req, GETATTR, 0, NULL, 0);
}

static void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct hangfs *fs = fuse_req_userdata(req);

	if (ino != FILE_INO) {
		fuse_reply_err(req, EISDIR);
		return;
	}
	fi->direct_io = 1;
	if (!fuse_reply_open(req, fi))
		fs->opened++;
}

static void op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct hangfs *fs = fuse_req_userdata(req);

	(void)ino;
	(void)fi;
	fs->opened--;
	fuse_reply_err(req, 0);
}

static void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
		    struct fuse_file_info *fi)
{
	(void)ino;
	(void)fi;
	take(req, READ, offset, NULL, size);
}

static void op_write(fuse_req_t req, fuse_ino_t ino, const char *data, size_t size, off_t offset,
		     struct fuse_file_info *fi)
{
	struct hangfs *fs = fuse_req_userdata(req);

	(void)ino;
	fs->dsync += (fi->flags & O_DSYNC) == O_DSYNC;
	take(req, WRITE, offset, data, size);
}

static void op_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
	(void)ino;
	(void)fi;
	take(req, datasync ? FDATASYNC : FSYNC, 0, NULL, 0);
}

static void op_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)ino;
	(void)fi;
	take(req, FLUSH, 0, NULL, 0);
}

static const struct fuse_lowlevel_ops ops = {
	.lookup = op_lookup,
	.getattr = op_getattr,
	.open = op_open,
	.release = op_release,
	.read = op_read,
	.write = op_write,
	.flush = op_flush,
	.fsync = op_fsync,
};

static bool set_hang(struct hangfs *fs, char *words)
{
	for (char *word = strtok(words, " "); word; word = strtok(NULL, " ")) {
		unsigned int kind = 0;

		while (kind < KINDS && strcmp(word, kind_names[kind]) != 0)
			kind++;
		if (kind == KINDS)
			return false;
		fs->hang[kind] = true;
		if (kind == FSYNC)
			fs->hang[FDATASYNC] = true;
	}
	return true;
}

static void command(struct hangfs *fs, char *line)
{
	if (!strncmp(line, "hang ", 5)) {
		printf(set_hang(fs, line + 5) ? "ok\n" : "not understood\n");
	} else if (!strcmp(line, "go")) {
		let_go(fs, 0);
		printf("ok\n");
	} else if (!strcmp(line, "count")) {
		printf("{");
		for (unsigned int kind = 0; kind < KINDS; kind++)
			printf("\"%s\": %lu, ", kind_names[kind], fs->count[kind]);
		printf("\"dsync\": %lu, \"held\": %lu, \"open\": %lu}\n", fs->dsync, fs->nheld,
		       fs->opened);
	} else {
		printf("not understood\n");
	}
	fflush(stdout);
}

/* Takes whole lines from standard input; false at its end. */
static bool read_commands(struct hangfs *fs)
{
	static char buffer[512];
	static size_t len;
	ssize_t n = read(STDIN_FILENO, buffer + len, sizeof(buffer) - 1 - len);
	char *end;

	if (n <= 0)
		return false;
	len += (size_t)n;
	buffer[len] = '\0';
	while ((end = strchr(buffer, '\n'))) {
		*end = '\0';
		command(fs, buffer);
		len -= (size_t)(end + 1 - buffer);
		memmove(buffer, end + 1, len + 1);
	}
	return true;
}

static void serve(struct hangfs *fs, struct fuse_session *se)
{
	struct pollfd fds[] = { { .fd = fuse_session_fd(se), .events = POLLIN },
				{ .fd = STDIN_FILENO, .events = POLLIN } };
	struct fuse_buf buf = { 0 };

	printf("mounted\n");
	fflush(stdout);
	while (!fuse_session_exited(se)) {
		if (poll(fds, 2, -1) < 0)
			break;
		if (fds[1].revents && !read_commands(fs))
			break;
		if (!fds[0].revents)
			continue;
		if (fuse_session_receive_buf(se, &buf) <= 0)
			break;
		fuse_session_process_buf(se, &buf);
	}
	let_go(fs, EIO);
	free(buf.mem);
}

int main(int argc, char **argv)
{
	char *fuse_argv[] = { argv[0], (char *)"-ofsname=hangfs,allow_other", NULL };
	struct fuse_args args = FUSE_ARGS_INIT(2, fuse_argv);
	struct fuse_session *se;
	struct hangfs fs = { 0 };

	if (argc != 3) {
		fprintf(stderr, "usage: hangfs MOUNTPOINT FILE\n");
		return 2;
	}
	list_init(&fs.held);
	fs.fd = open(argv[2], O_RDWR | O_CLOEXEC);
	if (fs.fd < 0) {
		perror(argv[2]);
		return 1;
	}
	signal(SIGPIPE, SIG_IGN);
	se = fuse_session_new(&args, &ops, sizeof(ops), &fs);
	if (!se || fuse_session_mount(se, argv[1]) < 0)
		return 1;
	serve(&fs, se);
	fuse_session_unmount(se);
	fuse_session_destroy(se);
	fuse_opt_free_args(&args);
	close(fs.fd);
	return 0;
}
