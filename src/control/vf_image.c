/* SPDX-License-Identifier: BSD-3-Clause */
#include "control/vf_image.h"

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
#include "control/image.h"

int vf_images_check(const struct params *params, struct error *e)
{
	const char *image = params_text(params, PF_VF_IMAGE), *size;

	size = params_text(params, PF_VF_SIZE);
	if (!image == !size)
		return 0;
	return error_params(e, "%s without %s; give both, or neither",
			    image ? "vf_image" : "vf_size", image ? "vf_size" : "vf_image");
}

/* The pattern with the number for each %n. */
static int path_make(const char *pattern, uint32_t slot, char path[PATH_MAX], struct error *e)
{
	size_t n = 0;

	for (; *pattern && n < PATH_MAX; pattern++)
		if (pattern[0] == '%' && pattern[1] == 'n') {
			n += (size_t)snprintf(path + n, PATH_MAX - n, "%u", slot);
			pattern++;
		} else {
			path[n++] = *pattern;
		}
	if (n >= PATH_MAX)
		return error_set(e, ENAMETOOLONG, "vf_image: the path is too long");
	path[n] = '\0';
	return 0;
}

/* A file that is not there is made, sparse. */
static int image_make(const char *path, uint64_t size, struct error *e)
{
	fd_auto int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	int err;

	if (fd < 0)
		return errno == EEXIST ? 0
				       : error_set(e, errno, "image %s: %s", path, strerror(errno));
	if (!ftruncate(fd, (off_t)size))
		return 0;
	err = errno;
	unlink(path);
	return error_set(e, err, "image %s: %llu bytes: %s", path, (unsigned long long)size,
			 strerror(err));
}

static int image_get(const struct pf *pf, uint32_t slot, int *out, struct error *e)
{
	const char *pattern = params_text(&pf->params, PF_VF_IMAGE);
	uint64_t size = params_number(&pf->params, PF_VF_SIZE);
	char path[PATH_MAX];
	fd_auto int fd = -1;
	off_t have;
	int err;

	if (!pattern)
		return error_set(e, ENOENT, "the PF has no vf_image");
	if (pf->hearsay)
		return error_set(e, EPERM,
				 "that it has vf_image=%s is known from its process alone; add the "
				 "PF again with the same parameters",
				 pattern);
	err = path_make(pattern, slot, path, e);
	if (!err)
		err = image_make(path, size, e);
	if (!err)
		err = image_open(path, &(struct image_options){ 0 }, &fd, e);
	if (err)
		return err;
	have = lseek(fd, 0, SEEK_END);
	if (have < 0 || (uint64_t)have < size)
		return error_set(e, EINVAL, "image %s: it has %lld bytes, and vf_size is %llu",
				 path, (long long)have, (unsigned long long)size);
	*out = fd_take(&fd);
	return 0;
}

struct answer {
	int fd;
};

static void answered(struct ipc_request *request, struct ipc_reply *reply)
{
	struct answer *a = request->owner;

	if (reply->event == IPC_LATE)
		return;
	fd_close(&a->fd);
	free(a);
}

const char *vf_image_wanted(struct pf *pf, const void *body, size_t len)
{
	struct ipc_vf_backend backend = { 0 };
	struct ipc_vf_wants wants;
	struct answer *a;
	struct error e;

	if (len != sizeof(wants))
		return "an event that makes no sense";
	memcpy(&wants, body, sizeof(wants));
	if (!wants.slot || wants.slot > params_number(&pf->params, PF_MAX_VFS))
		return "an event that makes no sense";
	a = calloc(1, sizeof(*a));
	if (!a)
		return NULL; /* it goes on waiting */
	a->fd = -1;
	backend.slot = wants.slot;
	backend.error = image_get(pf, wants.slot, &a->fd, &e);
	if (backend.error)
		log_err("PF %s: VF %u: %s", pf->name, wants.slot, e.text);
	else
		backend.fds = IPC_FD_BACKEND;
	if (ipc_link_send(&pf->link, IPC_VF_BACKEND, &backend, sizeof(backend), &a->fd,
			  backend.fds ? 1 : 0, IPC_DEADLINE_MS, answered, a)) {
		fd_close(&a->fd);
		free(a);
	}
	return NULL;
}
