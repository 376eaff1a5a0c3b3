/* SPDX-License-Identifier: Apache-2.0 */
/* A new policy comes between two steps of an attempt, and is the one that counts from there on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lab.h"

#include "support/hello_build.h"

#define CONNECT "CONNECT allowed.test:443 HTTP/1.1\r\nHost: allowed.test:443\r\n\r\n"
#define GET     "GET http://allowed.test/ HTTP/1.1\r\nHost: allowed.test\r\n\r\n"

#define POLICY(networking, egress) "name: lab\nconfig: {type: self_hosted, networking: {" networking "}}\n" egress

/* The same name is allowed by all of them; what differs is where it may lead. */
static const char anywhere[] = POLICY("type: limited, allowed_hosts: [allowed.test]", "");
static const char pinned_to_it[] =
    POLICY("type: limited", "egress: {hosts: [{host: allowed.test, addresses: [11.22.33.0/24]}]}\n");
static const char pinned_elsewhere[] =
    POLICY("type: limited", "egress: {hosts: [{host: allowed.test, addresses: [11.22.34.0/24]}]}\n");
static const char observing[] =
    POLICY("type: limited", "egress: {mode: observe, observe_until: 2999-12-31, limits: {idle: 1h}}\n");

static bool says(const struct lab_port *client, const char *text)
{
    return client->got_len >= strlen(text) && memmem(client->got, client->got_len, text, strlen(text)) != NULL;
}

/* Up to a dial that nobody has answered. */
static struct lab_port *dialling(struct lab *lab, const char *head)
{
    struct lab_port *client = lab_client(lab);
    lab_send_text(client, head);
    lab_commit(lab);
    assert_true(lab_answer(lab, 0, DNS_OK));
    assert_int_equal(lab_dials_pending(lab), 1);
    return client;
}

static void an_address_that_is_being_dialled_is_judged_again(void **state)
{
    (void)state;
    static const char *const heads[] = {CONNECT, GET};
    for (unsigned i = 0; i < 2; i++) {
        struct lab *lab = lab_new(anywhere);
        struct lab_port *client = dialling(lab, heads[i]);
        lab_swap(lab, pinned_to_it);
        assert_int_equal(lab_dials_pending(lab), 1);
        lab_swap(lab, pinned_elsewhere);
        assert_int_equal(lab_dials_pending(lab), 0);
        lab_commit(lab);
        assert_true(says(client, "HTTP/1.1 403 ") && says(client, "address_forbidden"));
        assert_int_equal(lab_last(lab)->final_reason, REASON_ADDRESS);
        assert_int_equal(lab_last(lab)->final_stage, STAGE_ADDRESS);
        assert_int_equal(lab_last(lab)->generation, 1);
        assert_int_equal(lab_last(lab)->final_generation, 3);
        lab_free(lab);
    }
}

/* One that is not tried yet may be the next one, and it would have refused the answer as a whole. */
static void so_is_every_other_address_of_the_answer(void **state)
{
    (void)state;
    struct lab *lab = lab_new(anywhere);
    lab->dns_addr[1] = (struct ipaddr){
        .family = 4, .bytes = {11, 22, 34, 44}
    };
    lab->dns_addr_count = 2;
    struct lab_port *client = dialling(lab, CONNECT);
    lab_swap(lab, pinned_to_it);
    assert_int_equal(lab_dials_pending(lab), 0);
    lab_commit(lab);
    assert_true(says(client, "address_forbidden"));
    lab_free(lab);
}

static void an_address_that_is_open_is_judged_again(void **state)
{
    (void)state;
    struct lab *lab = lab_new(anywhere);
    struct lab_port *client = dialling(lab, CONNECT);
    struct lab_port *upstream = lab_connect(lab, 0);
    assert_true(says(client, "HTTP/1.1 200 "));
    lab_swap(lab, pinned_to_it);
    assert_false(client->proxy_closed || upstream->proxy_closed);
    lab_swap(lab, pinned_elsewhere);
    assert_true(upstream->proxy_closed);
    lab_commit(lab);
    assert_int_equal(lab_last(lab)->final_reason, REASON_REVOKED);
    lab_free(lab);
}

/* What was open by being observed alone is allowed by now: the end of observing is none of its own any more. */
static void what_was_observed_and_is_allowed_stays(void **state)
{
    (void)state;
    struct lab *lab = lab_new(observing);
    struct lab_port *client = dialling(lab, CONNECT);
    struct lab_port *upstream = lab_connect(lab, 0);
    uint8_t hello[2048];
    struct hello_build spec = {.sni = "allowed.test"};
    lab_send(client, hello, hello_build(&spec, hello, sizeof hello));
    assert_true(upstream->got_len > 0);
    lab_swap(lab, anywhere);
    for (unsigned i = 0; i < 4; i++) { /* each makes the tunnel look at its deadlines */
        lab_advance(lab, 300000);
        lab_send_text(client, "more");
        lab_commit(lab);
        assert_false(client->proxy_closed || upstream->proxy_closed);
    }
    lab_swap(lab, pinned_elsewhere);
    assert_true(client->proxy_closed);
    lab_commit(lab);
    assert_int_equal(lab_last(lab)->final_reason, REASON_REVOKED);
    lab_free(lab);
}

/* The other way round: what only observing keeps open is refused as soon as a policy enforces. */
static void what_was_allowed_and_is_observed_ends_with_it(void **state)
{
    (void)state;
    struct lab *lab = lab_new(anywhere);
    struct lab_port *client = dialling(lab, CONNECT);
    assert_non_null(lab_connect(lab, 0));
    uint8_t hello[2048];
    struct hello_build spec = {.sni = "allowed.test"};
    lab_send(client, hello, hello_build(&spec, hello, sizeof hello));
    lab_swap(lab, observing);
    lab_advance(lab, 600000);
    assert_false(client->proxy_closed);
    lab_swap(lab, POLICY("type: limited", ""));
    assert_true(client->proxy_closed);
    lab_commit(lab);
    assert_int_equal(lab_last(lab)->final_reason, REASON_REVOKED);
    lab_free(lab);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_address_that_is_being_dialled_is_judged_again),
        cmocka_unit_test(so_is_every_other_address_of_the_answer),
        cmocka_unit_test(an_address_that_is_open_is_judged_again),
        cmocka_unit_test(what_was_observed_and_is_allowed_stays),
        cmocka_unit_test(what_was_allowed_and_is_observed_ends_with_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
