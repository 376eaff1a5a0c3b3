/* SPDX-License-Identifier: Apache-2.0 */
/* loop: the order of a turn, messages and wake-ups from other threads, watches, guests of libevent. */
#include "net_lab.h"

#include <event2/event.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

static struct loop *make_loop(void)
{
    struct loop *loop = NULL;

    assert_int_equal(loop_new(&loop), ERR_NONE);
    return loop;
}

/* The run queue. */

struct counted {
    struct run_item item;
    struct loop *loop;
    struct run_item *cancels;
    unsigned runs;
    bool again;
};

static void count_run(struct run_item *item)
{
    struct counted *c = (struct counted *)(void *)item;

    c->runs++;
    if (c->cancels != NULL) {
        run_item_cancel(c->cancels);
    }
    if (c->again) {
        loop_run_later(c->loop, item);
    }
}

static void test_run_queue_once_a_turn(void **state)
{
    (void)state;
    struct loop *loop = make_loop();
    struct counted once = {.loop = loop};
    struct counted again = {.loop = loop, .again = true};

    run_item_init(&once.item, count_run);
    run_item_init(&again.item, count_run);
    loop_run_later(loop, &once.item);
    loop_run_later(loop, &once.item);
    loop_run_later(loop, &again.item);
    loop_turn(loop, 1000);
    assert_int_equal(once.runs, 1);
    assert_int_equal(again.runs, 1);
    loop_turn(loop, 1000); /* does not wait: something is queued */
    assert_int_equal(once.runs, 1);
    assert_int_equal(again.runs, 2);
    run_item_cancel(&again.item);
    run_item_cancel(&again.item);
    loop_turn(loop, 0);
    assert_int_equal(again.runs, 2);
    loop_free(loop);
}

static void test_run_queue_cancel_while_running(void **state)
{
    (void)state;
    struct loop *loop = make_loop();
    struct counted first = {.loop = loop};
    struct counted second = {.loop = loop};
    struct counted third = {.loop = loop};

    run_item_init(&first.item, count_run);
    run_item_init(&second.item, count_run);
    run_item_init(&third.item, count_run);
    first.cancels = &third.item;
    loop_run_later(loop, &first.item);
    loop_run_later(loop, &second.item);
    loop_run_later(loop, &third.item);
    loop_turn(loop, 0);
    assert_int_equal(first.runs, 1);
    assert_int_equal(second.runs, 1);
    assert_int_equal(third.runs, 0);
    loop_run_later(loop, &third.item);
    loop_turn(loop, 0);
    assert_int_equal(third.runs, 1);
    loop_free(loop);
}

/* The graveyard. */

static unsigned freed;

static void count_free(void *object)
{
    free(object);
    freed++;
}

static struct loop *burying_loop;

static void bury_later(struct run_item *item)
{
    (void)item;
    loop_bury(burying_loop, malloc(1), count_free);
    assert_int_equal(freed, 0);
}

static void test_graveyard_waits_for_the_end(void **state)
{
    (void)state;
    struct loop *loop = make_loop();
    struct run_item item;

    freed = 0;
    burying_loop = loop;
    run_item_init(&item, bury_later);
    loop_run_later(loop, &item);
    loop_turn(loop, 0);
    assert_int_equal(freed, 1);
    for (int i = 0; i < 1000; i++) {
        loop_bury(loop, malloc(1), count_free);
    }
    assert_int_equal(freed, 1);
    loop_free(loop);
    assert_int_equal(freed, 1001);
}

/* Timers and the clock. */

struct alarm {
    struct timer timer;
    struct loop *loop;
    uint64_t fired_at;
};

static void note_alarm(struct timer *timer)
{
    struct alarm *alarm = (struct alarm *)(void *)timer;

    alarm->fired_at = loop_now_ms(alarm->loop);
}

static void test_timer_wakes_the_loop(void **state)
{
    (void)state;
    struct loop *loop = make_loop();
    struct alarm alarm = {.loop = loop};
    uint64_t deadline = loop_now_ms(loop) + 20;

    timer_init(&alarm.timer, note_alarm);
    timer_set(loop_wheel(loop), &alarm.timer, deadline);
    UNTIL(loop, alarm.fired_at != 0);
    assert_true(alarm.fired_at >= deadline);
    assert_true(lab_now_ms() >= deadline);
    alarm.fired_at = 0;
    timer_set(loop_wheel(loop), &alarm.timer, loop_now_ms(loop) + 3600000);
    loop_skip_ms(loop, 3600000);
    loop_turn(loop, 0);
    assert_true(alarm.fired_at != 0);
    loop_free(loop);
}

/* Other threads. */

struct letter {
    struct message message;
    unsigned sender, number;
};

struct mailbox {
    struct loop *loop;
    unsigned next[3]; /* of each sender */
    unsigned total;
};

#define LETTERS 20000U

static void take_letter(struct message *message, void *owner)
{
    struct letter *letter = (struct letter *)(void *)message;
    struct mailbox *box = owner;

    assert_int_equal(letter->number, box->next[letter->sender]);
    box->next[letter->sender]++;
    box->total++;
    free(letter);
    if (box->total == 3 * LETTERS) {
        loop_quit(box->loop);
    }
}

struct sender {
    struct loop *loop;
    unsigned number;
};

static void *send_letters(void *arg)
{
    const struct sender *sender = arg;

    for (unsigned i = 0; i < LETTERS; i++) {
        struct letter *letter = malloc(sizeof(*letter));

        *letter = (struct letter){.message.fn = take_letter, .sender = sender->number, .number = i};
        loop_post(sender->loop, &letter->message);
    }
    return NULL;
}

static void test_messages_of_each_sender_in_order(void **state)
{
    (void)state;
    struct loop *loop = make_loop();
    struct mailbox box = {.loop = loop};
    struct sender senders[3];
    pthread_t threads[3];

    loop_set_owner(loop, &box);
    for (unsigned i = 0; i < 3; i++) {
        senders[i] = (struct sender){.loop = loop, .number = i};
        assert_int_equal(pthread_create(&threads[i], NULL, send_letters, &senders[i]), 0);
    }
    loop_run(loop);
    for (unsigned i = 0; i < 3; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(box.next[i], LETTERS);
    }
    loop_free(loop);
}

struct ball {
    struct loop *loop;
    atomic_uint asked;
    atomic_uint answered;
};

static void answer(void *arg)
{
    struct ball *ball = arg;

    atomic_store(&ball->answered, atomic_load(&ball->asked));
    if (atomic_load(&ball->asked) == 2000) {
        loop_quit(ball->loop);
    }
}

/* Each wake-up must arrive, also when it meets the loop just before it sleeps. */
static void *ask(void *arg)
{
    struct ball *ball = arg;

    for (unsigned i = 1; i <= 2000; i++) {
        atomic_store(&ball->asked, i);
        loop_wake(ball->loop);
        while (i % 2 == 0 && atomic_load(&ball->answered) < i) {
        }
    }
    return NULL;
}

static void test_no_wake_is_lost(void **state)
{
    (void)state;
    struct loop *loop = make_loop();
    struct ball ball = {.loop = loop};
    pthread_t thread;

    loop_on_wake(loop, answer, &ball);
    assert_int_equal(pthread_create(&thread, NULL, ask, &ball), 0);
    loop_run(loop);
    pthread_join(thread, NULL);
    assert_int_equal(atomic_load(&ball.answered), 2000);
    loop_free(loop);
}

static void test_quit_before_run(void **state)
{
    (void)state;
    struct loop *loop = make_loop();

    loop_quit(loop);
    loop_run(loop); /* returns */
    loop_free(loop);
}

/* Watches. */

struct eye {
    struct watch watch;
    struct loop *loop;
    struct eye *closes;
    int fd;
    unsigned events;
};

static void see(struct watch *watch, uint32_t events)
{
    struct eye *eye = (struct eye *)(void *)watch;

    assert_true((events & EPOLLIN) != 0);
    eye->events++;
    if (eye->closes != NULL && eye->closes->fd >= 0) {
        watch_remove(eye->loop, &eye->closes->watch);
        close(eye->closes->fd);
        eye->closes->fd = -1;
    }
}

static void open_eye(struct loop *loop, struct eye *eye, int fd)
{
    *eye = (struct eye){.loop = loop, .fd = fd};
    assert_int_equal(watch_add(loop, &eye->watch, fd, EPOLLIN | EPOLLET, see), ERR_NONE);
}

/* Both have an event in the same turn; whoever comes first closes the other, whose event must be dropped. */
static void test_removed_watch_gets_no_event(void **state)
{
    (void)state;
    struct loop *loop = make_loop();
    int a[2];
    int b[2];
    struct eye eyes[2];

    assert_int_equal(pipe(a), 0);
    assert_int_equal(pipe(b), 0);
    open_eye(loop, &eyes[0], a[0]);
    open_eye(loop, &eyes[1], b[0]);
    eyes[0].closes = &eyes[1];
    eyes[1].closes = &eyes[0];
    assert_int_equal(write(a[1], "x", 1), 1);
    assert_int_equal(write(b[1], "x", 1), 1);
    loop_turn(loop, 1000);
    assert_int_equal(eyes[0].events + eyes[1].events, 1);
    for (int i = 0; i < 2; i++) {
        if (eyes[i].fd >= 0) {
            watch_remove(loop, &eyes[i].watch);
            close(eyes[i].fd);
        }
    }
    close(a[1]);
    close(b[1]);
    loop_free(loop);
}

/* A descriptor that somebody else still has open keeps its registration: its events must not reach the next watch. */
static void test_stale_registration_is_harmless(void **state)
{
    (void)state;
    struct loop *loop = make_loop();
    int a[2];
    int b[2];
    struct eye old_eye;
    struct eye new_eye;

    assert_int_equal(pipe(a), 0);
    assert_int_equal(pipe(b), 0);
    int other = dup(a[0]);

    open_eye(loop, &old_eye, a[0]);
    watch_remove(loop, &old_eye.watch);
    close(a[0]);
    open_eye(loop, &new_eye, b[0]);
    assert_int_equal(new_eye.watch.place, old_eye.watch.place);
    assert_int_equal(write(a[1], "x", 1), 1);
    loop_turn(loop, 1000);
    assert_int_equal(new_eye.events, 0);
    assert_int_equal(old_eye.events, 0);
    watch_remove(loop, &new_eye.watch);
    close(other);
    close(a[1]);
    close(b[0]);
    close(b[1]);
    loop_free(loop);
}

/* Guests. */

static void read_guest(evutil_socket_t fd, short events, void *arg)
{
    unsigned *count = arg;
    char byte;

    (void)events;
    assert_int_equal(read(fd, &byte, 1), 1);
    (*count)++;
}

static void test_libevent_guest(void **state)
{
    (void)state;
    struct loop *loop = make_loop();
    int ends[2];
    unsigned count = 0;

    assert_int_equal(pipe(ends), 0);
    struct event *event = event_new(loop_base(loop), ends[0], EV_READ | EV_PERSIST, read_guest, &count);

    assert_int_equal(event_add(event, NULL), 0);
    assert_int_equal(write(ends[1], "abc", 3), 3);
    UNTIL(loop, count == 3);
    loop_turn(loop, 0);
    assert_int_equal(count, 3);
    event_free(event);
    close(ends[0]);
    close(ends[1]);
    loop_free(loop);
}

static void read_signal(evutil_socket_t signal_number, short events, void *arg)
{
    (void)signal_number;
    (void)events;
    ++*(unsigned *)arg;
}

static void test_libevent_signal(void **state)
{
    (void)state;
    struct loop *loop = make_loop();
    unsigned count = 0;
    struct event *event = evsignal_new(loop_base(loop), SIGUSR1, read_signal, &count);

    assert_int_equal(event_add(event, NULL), 0);
    assert_int_equal(raise(SIGUSR1), 0);
    UNTIL(loop, count == 1);
    event_free(event);
    loop_free(loop);
}

/* Two loops: each finds the epoll of its own libevent. */
static void test_two_loops(void **state)
{
    (void)state;
    struct loop *one = make_loop();
    struct loop *two = make_loop();
    int ends[2];
    unsigned count = 0;

    assert_int_equal(pipe(ends), 0);
    struct event *event = event_new(loop_base(one), ends[0], EV_READ | EV_PERSIST, read_guest, &count);

    assert_int_equal(event_add(event, NULL), 0);
    assert_int_equal(write(ends[1], "a", 1), 1);
    loop_turn(two, 0);
    assert_int_equal(count, 0);
    loop_turn(one, 1000);
    assert_int_equal(count, 1);
    event_free(event);
    close(ends[0]);
    close(ends[1]);
    loop_free(one);
    loop_free(two);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_run_queue_once_a_turn),
        cmocka_unit_test(test_run_queue_cancel_while_running),
        cmocka_unit_test(test_graveyard_waits_for_the_end),
        cmocka_unit_test(test_timer_wakes_the_loop),
        cmocka_unit_test(test_messages_of_each_sender_in_order),
        cmocka_unit_test(test_no_wake_is_lost),
        cmocka_unit_test(test_quit_before_run),
        cmocka_unit_test(test_removed_watch_gets_no_event),
        cmocka_unit_test(test_stale_registration_is_harmless),
        cmocka_unit_test(test_libevent_guest),
        cmocka_unit_test(test_libevent_signal),
        cmocka_unit_test(test_two_loops),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
