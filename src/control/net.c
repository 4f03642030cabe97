/* SPDX-License-Identifier: BSD-3-Clause */
#include "control/net.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"

#define SEED_SIZE  CONTROL_SEED_SIZE
#define MAC_TRIES  1000
#define MAC_TEXT   FUNCTION_MAC_TEXT
#define TUN_DEVICE "/dev/net/tun"

/* The seed of the runtime directory, made when it is needed first. */
static int seed_read(const char *dir, uint8_t seed[SEED_SIZE], struct error *e)
{
	char path[PATH_MAX];
	fd_auto int fd = -1;

	snprintf(path, sizeof(path), "%s/mac-seed", dir);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return error_set(e, errno, "%s: %s", path, strerror(errno));
	if (pread(fd, seed, SEED_SIZE, 0) == SEED_SIZE)
		return 0;
	if (getrandom(seed, SEED_SIZE, 0) != SEED_SIZE ||
	    pwrite(fd, seed, SEED_SIZE, 0) != SEED_SIZE)
		return error_set(e, EIO, "%s: cannot be written", path);
	return 0;
}

static void mac_make(const uint8_t seed[SEED_SIZE], const char *name, unsigned try,
		     char text[MAC_TEXT])
{
	uint64_t hash = names_hash(NAMES_HASH, seed, SEED_SIZE);
	uint8_t mac[6];

	hash = names_hash(hash, name, strlen(name));
	hash = names_hash(hash, &try, sizeof(try));
	for (size_t i = 0; i < sizeof(mac); i++)
		mac[i] = (uint8_t)((hash ^ hash >> 16) >> (8 * i));
	/* IEEE 802, 8.2: locally administered, and not a group. */
	mac[0] = (uint8_t)((mac[0] & ~1u) | 2u);
	snprintf(text, MAC_TEXT, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3],
		 mac[4], mac[5]);
}

static bool on_switch(const struct function *fn)
{
	const char *backend = params_text(&fn->params, FUNCTION_BACKEND);

	return !backend || !strcmp(backend, "switch");
}

/* The function that has the address on the PF's switch, or NULL. */
static struct function *mac_holder(const struct pf *pf, const char *mac)
{
	struct name_node *node = names_find(&pf->macs, mac);

	return node ? container_of(node, struct function, by_mac) : NULL;
}

int net_join(struct function *fn)
{
	const char *mac = params_text(&fn->params, FUNCTION_MAC);

	if (!mac || !on_switch(fn))
		return 0;
	snprintf(fn->mac, sizeof(fn->mac), "%s", mac);
	return names_add(&fn->pf->macs, &fn->by_mac, fn->mac);
}

/* No function has a name with a colon. */
static int pf_seed_name(const struct pf *pf, uint8_t seed[SEED_SIZE], const char *what,
			char name[IPC_NAME_MAX + 8], struct error *e)
{
	snprintf(name, IPC_NAME_MAX + 8, "%s:%s", pf->name, what);
	return seed_read(pf->ctl->runtime_dir, seed, e);
}

int net_pf_address(struct pf *pf, struct error *e)
{
	char name[IPC_NAME_MAX + 8], text[MAC_TEXT];
	uint8_t seed[SEED_SIZE];
	int err;

	if (params_text(&pf->params, PF_MAC))
		return 0;
	err = pf_seed_name(pf, seed, "pf", name, e);
	if (err)
		return err;
	mac_make(seed, name, 0, text);
	return params_set(&pf->params, PF_MAC, text) ? error_set(e, ENOMEM, "out of memory") : 0;
}

int net_vf_key(struct pf *pf, uint64_t *key, struct error *e)
{
	char name[IPC_NAME_MAX + 8];
	uint8_t seed[SEED_SIZE];
	int err = pf_seed_name(pf, seed, "vfs", name, e);

	*key = names_hash(names_hash(NAMES_HASH, seed, SEED_SIZE), name, strlen(name));
	return err;
}

int net_address(struct function *fn, struct error *e)
{
	const char *mac = params_text(&fn->params, FUNCTION_MAC);
	struct function *other = mac && on_switch(fn) ? mac_holder(fn->pf, mac) : NULL;
	struct control *ctl = fn->pf->ctl;
	char text[MAC_TEXT];
	unsigned try = 0;
	int err;

	if (other)
		return error_set(e, EEXIST,
				 "mac=%s: function %s on PF %s has this address; give another, or "
				 "leave it out",
				 mac, function_name(other), fn->pf->name);
	if (!mac) {
		err = ctl->have_mac_seed ? 0 : seed_read(ctl->runtime_dir, ctl->mac_seed, e);
		if (err)
			return err;
		ctl->have_mac_seed = true;
		do
			mac_make(ctl->mac_seed, function_name(fn), try++, text);
		while (on_switch(fn) && mac_holder(fn->pf, text) && try < MAC_TRIES);
		if (params_set(&fn->params, FUNCTION_MAC, text))
			return error_set(e, ENOMEM, "out of memory");
	}
	return net_join(fn) ? error_set(e, ENOMEM, "out of memory") : 0;
}

static int tap_error(const char *name, int err, bool exists, struct error *e)
{
	const char *right = "look at the interface";

	if (err == EPERM || err == EACCES)
		right = exists ? "run ridged as root, or make it a TAP of ridged's user"
			       : "run ridged as root, or make a TAP of ridged's user beforehand";
	else if (err == EBUSY)
		right = "it is in use; end its use there, or give another";
	else if (err == EINVAL && exists)
		right = "give a TAP (no other interface, and none with several queues)";
	else if (err == ENOENT || err == ENODEV || err == ENXIO)
		right = "load the module tun, or let ridged have " TUN_DEVICE;
	return error_set(e, err, "tap %s: %s; %s", name, strerror(err), right);
}

/* Ready to be used. Returns 0 or a negative errno. */
static int tap_set_up(const char *name, unsigned mtu)
{
	fd_auto int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq request = { 0 };

	if (fd < 0)
		return -errno;
	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
	request.ifr_mtu = (int)mtu;
	if (mtu && ioctl(fd, SIOCSIFMTU, &request))
		return -errno;
	if (ioctl(fd, SIOCGIFFLAGS, &request))
		return -errno;
	request.ifr_flags |= IFF_UP;
	return ioctl(fd, SIOCSIFFLAGS, &request) ? -errno : 0;
}

int net_tap_open(const char *name, unsigned mtu, int *out, struct error *e)
{
	struct ifreq request = { .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR };
	bool exists = if_nametoindex(name) != 0;
	fd_auto int fd = -1;
	int err;

	fd = open(TUN_DEVICE, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return tap_error(name, errno, false, e);
	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
	if (ioctl(fd, TUNSETIFF, &request))
		return tap_error(name, errno, exists, e);
	err = exists ? 0 : tap_set_up(name, mtu);
	if (err)
		return tap_error(name, -err, exists, e);
	*out = fd_take(&fd);
	return 0;
}
