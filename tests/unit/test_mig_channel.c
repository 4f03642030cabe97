/* SPDX-License-Identifier: BSD-3-Clause */
/* owner/mig_channel.h over a PF: the state of functions comes out and goes in. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "host.h"
#include "owner/mig_channel.h"

#define SLOTS 4
#define LONG  20000 /* ms */

struct fixture {
	struct host *h;
	struct pf_channel *pf;
	struct member *vf[2];
	struct mig_channel *ch[2];
	struct mig_request rq;
	int done;
	uint8_t state[0x8000];
	size_t state_len;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	f->h = host_new("blk", SLOTS);
	f->pf = owner_channel(f->h->owner);
	for (uint32_t i = 0; i < 2; i++) {
		f->vf[i] = member_new_blk(f->h->m, i + 1, 64, false);
		assert_int_equal(mig_pf_open(f->h->m->loop, f->pf, i + 1, &f->ch[i]), 0);
	}
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	for (int i = 0; i < 2; i++) {
		if (f->ch[i])
			mig_close(f->ch[i]);
		if (f->vf[i])
			member_free(f->vf[i]);
	}
	host_free(f->h);
	free(f);
	return 0;
}

static void on_done(struct mig_request *rq)
{
	container_of(rq, struct fixture, rq)->done++;
}

static void begin(struct fixture *f, struct mig_channel *ch,
		  void (*fn)(struct mig_channel *ch, struct mig_request *rq), void *data,
		  size_t len)
{
	f->done = 0;
	f->rq = (struct mig_request){
		.deadline_ms = LONG, .data = data, .len = len, .done = on_done
	};
	fn(ch, &f->rq);
	assert_int_equal(f->done, 0); /* from the loop, never before */
}

static int request(struct fixture *f, struct mig_channel *ch,
		   void (*fn)(struct mig_channel *ch, struct mig_request *rq), void *data,
		   size_t len)
{
	begin(f, ch, fn, data, len);
	machine_wait(f->h->m, f->done);
	assert_int_equal(f->done, 1);
	return f->rq.error;
}

static int stop(struct fixture *f, int i)
{
	return request(f, f->ch[i], mig_stop, NULL, 0);
}

static int resume(struct fixture *f, int i)
{
	return request(f, f->ch[i], mig_resume, NULL, 0);
}

static int get(struct fixture *f, int i)
{
	int err = request(f, f->ch[i], mig_get, f->state, sizeof(f->state));

	f->state_len = f->rq.len;
	return err;
}

static int set(struct fixture *f, int i)
{
	return request(f, f->ch[i], mig_set, f->state, f->state_len);
}

static void test_state_goes_from_one_function_to_another(void **state)
{
	struct fixture *f = *state;
	uint8_t first[0x8000];
	size_t len;

	/* something to be told apart by */
	f->vf[0]->pa->ops->bar_write(f->vf[0]->pa, 2, 0x16, &(uint16_t){ 5 }, 2);
	assert_int_equal(request(f, f->ch[0], mig_size, NULL, 0), 0);
	len = f->rq.len;
	assert_int_equal(stop(f, 0), 0);
	assert_int_equal(f->vf[0]->vf.dev->state->halted, 1);
	assert_int_equal(get(f, 0), 0);
	assert_true(f->state_len > 0 && f->state_len <= len);
	memcpy(first, f->state, f->state_len);
	len = f->state_len;
	assert_int_equal(stop(f, 1), 0);
	assert_int_equal(set(f, 1), 0);
	assert_int_equal(f->vf[1]->state->virtio.queue_select, 5);
	assert_int_equal(get(f, 1), 0);
	assert_int_equal(f->state_len, len);
	assert_memory_equal(first, f->state, len);
	assert_int_equal(resume(f, 1), 0);
	assert_int_equal(f->vf[1]->vf.dev->state->halted, 0);
	assert_int_equal(resume(f, 0), 0);
}

static void test_set_needs_a_stopped_function(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(get(f, 0), 0);
	assert_int_equal(set(f, 1), -EBUSY);
}

static void test_state_that_is_wrong(void **state)
{
	struct fixture *f = *state;
	struct virtio_pci_state before = *f->vf[1]->state;

	assert_int_equal(get(f, 0), 0);
	assert_int_equal(stop(f, 1), 0);
	before.virtio.halted = 1;
	f->state_len--;
	assert_int_equal(set(f, 1), -EINVAL);
	f->state_len++;
	f->state[16] ^= 1; /* a feature that it does not have, or has not */
	assert_int_equal(set(f, 1), -EINVAL);
	assert_memory_equal(&before, f->vf[1]->state, sizeof(before));
	f->state_len = PF_CMD_DATA_MAX;
	assert_int_equal(request(f, f->ch[1], mig_set, calloc(1, 1), PF_CMD_DATA_MAX), -EMSGSIZE);
	free(f->rq.data);
}

static void test_room_that_is_too_small(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(request(f, f->ch[0], mig_get, f->state, 100), -ENOMEM);
	assert_int_equal(get(f, 0), 0);
}

/* Objects are the PF's: as many channels as it has ids, and those of closed ones come back. */
static void test_ids_are_shared_and_come_back(void **state)
{
	struct fixture *f = *state;
	struct mig_channel *more[300];
	unsigned int n;

	for (int round = 0; round < 2; round++) {
		for (n = 0; n < 300; n++) {
			assert_int_equal(mig_pf_open(f->h->m->loop, f->pf, 1 + n % 2, &more[n]), 0);
			if (request(f, more[n], mig_size, NULL, 0))
				break;
		}
		assert_int_equal(n, 255);
		assert_int_equal(f->rq.error, -ENOSPC);
		/* what has its object goes on */
		assert_int_equal(request(f, more[7], mig_size, NULL, 0), 0);
		for (unsigned int i = 0; i <= n; i++)
			mig_close(more[i]);
		machine_settle(f->h->m);
	}
	assert_int_equal(get(f, 0), 0);
}

/* A function that is gone, and another that comes to its slot. */
static void test_a_member_that_goes_away(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(get(f, 0), 0);
	member_free(f->vf[0]);
	assert_int_equal(get(f, 0), -EINVAL);
	assert_int_equal(stop(f, 0), -EINVAL);
	f->vf[0] = member_new_blk(f->h->m, 1, 64, false);
	assert_int_equal(get(f, 0), -ENXIO); /* its object went with the other */
	assert_int_equal(get(f, 0), 0);
}

/* I/O that does not end: the PF says try again, until the deadline. */
static void test_a_stop_that_takes_too_long(void **state)
{
	struct fixture *f = *state;

	f->vf[0]->vf.dev->in_flight++;
	begin(f, f->ch[0], mig_stop, NULL, 0);
	mig_cancel(f->ch[0]);
	f->rq.deadline_ms = 50;
	mig_stop(f->ch[0], &f->rq);
	machine_wait(f->h->m, f->done);
	assert_int_equal(f->rq.error, -ETIMEDOUT);
	f->vf[0]->vf.dev->in_flight--;
	assert_int_equal(f->vf[0]->vf.dev->state->halted, 0);
}

/* A request that is given up on is not done; the channel can be used on. */
static void test_cancel(void **state)
{
	struct fixture *f = *state;

	begin(f, f->ch[0], mig_get, f->state, sizeof(f->state));
	mig_cancel(f->ch[0]); /* while its object is made */
	machine_settle(f->h->m);
	assert_int_equal(f->done, 0);
	assert_int_equal(f->pf->objects.taken[0], 0); /* nobody has one that nobody waited for */
	assert_int_equal(get(f, 0), 0);
	begin(f, f->ch[0], mig_get, f->state, sizeof(f->state));
	mig_close(f->ch[0]);
	f->ch[0] = NULL;
	machine_settle(f->h->m);
	assert_int_equal(f->done, 0);
	assert_int_equal(f->pf->objects.taken[0], 0); /* all were destroyed */
}

static void test_a_pf_that_is_gone(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(get(f, 0), 0);
	begin(f, f->ch[0], mig_get, f->state, sizeof(f->state));
	owner_stop(f->h->owner);
	assert_int_equal(f->done, 1);
	assert_int_equal(f->rq.error, -EIO);
	assert_int_equal(stop(f, 0), -EIO);
	assert_int_equal(get(f, 1), -EIO);
}

/* Without the commands there is no channel. */
static void test_a_pf_without_device_parts(void **state)
{
	struct fixture *f = *state;
	struct pf_channel pf = *f->pf;
	struct mig_channel *ch;

	pf.opcodes = 0x7f;
	assert_int_equal(mig_pf_open(f->h->m->loop, &pf, 1, &ch), -EOPNOTSUPP);
	pf = *f->pf;
	pf.objects.limit = 0;
	assert_int_equal(mig_pf_open(f->h->m->loop, &pf, 1, &ch), -EOPNOTSUPP);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_state_goes_from_one_function_to_another),
		TEST(test_set_needs_a_stopped_function),
		TEST(test_state_that_is_wrong),
		TEST(test_room_that_is_too_small),
		TEST(test_ids_are_shared_and_come_back),
		TEST(test_a_member_that_goes_away),
		TEST(test_a_stop_that_takes_too_long),
		TEST(test_cancel),
		TEST(test_a_pf_that_is_gone),
		TEST(test_a_pf_without_device_parts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
