/* SPDX-License-Identifier: BSD-3-Clause */
#include "pf_driver.h"

#define ADMIN_RING 64

void pf_driver_start(struct pf_driver *p)
{
	struct driver *d = &p->d;

	assert_true(driver_negotiate(d, F_VERSION_1 | F_SR_IOV | F_ADMIN_VQ));
	p->index = (uint16_t)common(d, C_ADMIN_QUEUE_INDEX, 2);
	p->count = (uint16_t)common(d, C_ADMIN_QUEUE_NUM, 2);
	assert_true(p->count > 0);
	ring_init(&p->ring, &d->ram, ADMIN_RING);
	driver_queue(d, p->index, &p->ring, NO_VECTOR);
	driver_ok(d);
}

void pf_driver_init(struct pf_driver *p, struct machine *m)
{
	driver_init(&p->d, m, m->pa);
	p->big = 0;
	pf_driver_start(p);
}

void pf_driver_fini(struct pf_driver *p)
{
	driver_fini(&p->d);
}

void pf_enable_vfs(struct pf_driver *p, uint16_t n)
{
	if (n)
		cfg_write(&p->d, SRIOV_AT + SRIOV_NUM_VFS, 2, n);
	cfg_write(&p->d, SRIOV_AT + SRIOV_CONTROL, 2, n ? SRIOV_VF_ENABLE | SRIOV_VF_MSE : 0);
}

/* Memory for a command is not taken back: tests are short. */
struct admin_cmd admin_send(struct pf_driver *p, const struct admin_head *head, uint32_t out_len,
			    uint32_t in_len)
{
	uint64_t out = ram_alloc(&p->d.ram, sizeof(*head), 8);
	uint64_t in = ram_alloc(&p->d.ram, sizeof(struct admin_reply), 8);
	struct buf bufs[2] = { { out, out_len, false }, { in, in_len, true } };
	struct admin_cmd cmd = { .out = ram_at(&p->d.ram, out), .in = ram_at(&p->d.ram, in) };

	*cmd.out = *head;
	memset(cmd.in, 0xee, sizeof(*cmd.in));
	cmd.head = ring_add(&p->ring, bufs, in_len ? 2 : 1);
	driver_kick(&p->d, p->index);
	return cmd;
}

uint32_t admin_wait(struct pf_driver *p, const struct admin_cmd *cmd)
{
	assert_int_equal(driver_used(&p->d, &p->ring, &p->used_len), cmd->head);
	return cmd->in->status | (uint32_t)cmd->in->qualifier << 16;
}

bool admin_done(struct pf_driver *p, const struct admin_cmd *cmd)
{
	uint32_t id;

	machine_settle(p->d.m);
	if (!ring_used(&p->ring, &id, &p->used_len))
		return false;
	assert_int_equal(id, cmd->head);
	return true;
}

uint32_t admin(struct pf_driver *p, uint16_t opcode, uint16_t group, uint64_t member,
	       const void *data, uint32_t data_len, void *result, uint32_t result_len)
{
	struct admin_head head = { .opcode = opcode, .group_type = group, .member = member };
	struct admin_cmd cmd;
	uint32_t status;

	if (data_len)
		memcpy(head.data, data, data_len);
	cmd = admin_send(p, &head, ADMIN_HEAD + data_len, ADMIN_REPLY + result_len);
	status = admin_wait(p, &cmd);
	if (result)
		memcpy(result, cmd.in->result, result_len);
	return status;
}

static size_t pages(struct buf *bufs, uint64_t at, uint32_t len, bool in)
{
	size_t n = 0;

	for (; len; n++) {
		uint32_t piece = len < 4096 ? len : 4096;

		bufs[n] = (struct buf){ at, piece, in };
		at += piece;
		len -= piece;
	}
	return n;
}

uint32_t admin_big(struct pf_driver *p, uint16_t opcode, uint64_t member, const void *data,
		   uint32_t data_len, void *result, uint32_t room, uint32_t *result_len)
{
	struct admin_head head = { .opcode = opcode, .group_type = SRIOV_GROUP, .member = member };
	struct buf bufs[ADMIN_RING];
	struct admin_cmd cmd;
	uint64_t out, in;
	uint32_t status;
	size_t n = 0;

	assert_true(data_len <= ADMIN_BIG && room <= ADMIN_BIG);
	if (!p->big)
		p->big = ram_alloc(&p->d.ram, 2 * (4096 + ADMIN_BIG), 4096);
	out = p->big;
	in = out + 4096 + ADMIN_BIG;
	memcpy(ram_at(&p->d.ram, out), &head, ADMIN_HEAD);
	if (data_len)
		memcpy(ram_at(&p->d.ram, out + 4096), data, data_len);
	memset(ram_at(&p->d.ram, in), 0xee, 4096 + ADMIN_BIG);
	cmd.in = ram_at(&p->d.ram, in);
	bufs[n++] = (struct buf){ out, ADMIN_HEAD, false };
	n += pages(bufs + n, out + 4096, data_len, false);
	bufs[n++] = (struct buf){ in, ADMIN_REPLY, true };
	n += pages(bufs + n, in + 4096, room, true);
	cmd.head = ring_add(&p->ring, bufs, n);
	driver_kick(&p->d, p->index);
	status = admin_wait(p, &cmd);
	assert_true(p->used_len >= ADMIN_REPLY && p->used_len <= ADMIN_REPLY + room);
	*result_len = p->used_len - ADMIN_REPLY;
	memcpy(result, ram_at(&p->d.ram, in + 4096), *result_len);
	return status;
}

void admin_use_all(struct pf_driver *p)
{
	uint64_t list = ALL_OPCODES;

	assert_int_equal(admin(p, LIST_USE, SRIOV_GROUP, 0, &list, 8, NULL, 0), OK);
}

void admin_use_supported(struct pf_driver *p)
{
	for (uint16_t group = SELF_GROUP; group <= SRIOV_GROUP; group++) {
		uint64_t list = 0;

		assert_int_equal(admin(p, LIST_QUERY, group, 0, NULL, 0, &list, 8), OK);
		assert_int_equal(admin(p, LIST_USE, group, 0, &list, 8, NULL, 0), OK);
	}
}

uint32_t admin_set_limits(struct pf_driver *p, uint8_t get, uint8_t set)
{
	uint8_t data[10] = { [8] = get, set };

	return admin(p, DRIVER_CAP_SET, SELF_GROUP, 0, data, sizeof(data), NULL, 0);
}

uint32_t admin_obj_create(struct pf_driver *p, uint64_t member, uint32_t id, uint8_t kind)
{
	struct obj_data data = { .hdr = { .id = id }, .kind = kind };

	return admin(p, OBJ_CREATE, SRIOV_GROUP, member, &data, sizeof(data), NULL, 0);
}

uint32_t admin_obj_destroy(struct pf_driver *p, uint64_t member, uint32_t id)
{
	struct obj_hdr hdr = { .id = id };

	return admin(p, OBJ_DESTROY, SRIOV_GROUP, member, &hdr, sizeof(hdr), NULL, 0);
}

uint32_t admin_mode(struct pf_driver *p, uint64_t member, uint8_t flags)
{
	return admin(p, MODE_SET, SRIOV_GROUP, member, &flags, 1, NULL, 0);
}

static uint32_t do_read(struct pf_driver *p, uint16_t opcode, uint64_t member, uint8_t offset,
			uint32_t len, uint64_t *value)
{
	*value = 0;
	assert_true(len <= sizeof(*value));
	return admin(p, opcode, SRIOV_GROUP, member, &offset, 1, value, len);
}

static uint32_t do_write(struct pf_driver *p, uint16_t opcode, uint64_t member, uint8_t offset,
			 uint32_t len, uint64_t value)
{
	uint8_t data[16] = { offset };

	assert_true(len <= sizeof(value));
	memcpy(data + 8, &value, sizeof(value));
	return admin(p, opcode, SRIOV_GROUP, member, data, 8 + len, NULL, 0);
}

uint32_t legacy_read(struct pf_driver *p, uint64_t member, uint8_t offset, uint32_t len,
		     uint64_t *value)
{
	return do_read(p, LEGACY_COMMON_READ, member, offset, len, value);
}

uint32_t legacy_write(struct pf_driver *p, uint64_t member, uint8_t offset, uint32_t len,
		      uint64_t value)
{
	return do_write(p, LEGACY_COMMON_WRITE, member, offset, len, value);
}

uint32_t legacy_dev_read(struct pf_driver *p, uint64_t member, uint8_t offset, uint32_t len,
			 uint64_t *value)
{
	return do_read(p, LEGACY_DEV_READ, member, offset, len, value);
}

uint32_t legacy_dev_write(struct pf_driver *p, uint64_t member, uint8_t offset, uint32_t len,
			  uint64_t value)
{
	return do_write(p, LEGACY_DEV_WRITE, member, offset, len, value);
}

uint64_t legacy_get(struct pf_driver *p, uint64_t member, uint8_t offset, uint32_t len)
{
	uint64_t value;

	assert_int_equal(legacy_read(p, member, offset, len, &value), OK);
	return value;
}
