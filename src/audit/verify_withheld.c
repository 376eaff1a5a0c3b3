/* SPDX-License-Identifier: Apache-2.0 */
#include "verify_private.h"

#include <time.h>

bool withheld_heads_read(struct verify *v)
{
    enum err err = withheld_read(v->dir, &v->withheld);
    if (err != ERR_NONE)
        verify_finding(v->report, err == ERR_CORRUPT ? VERIFY_TAMPERED : VERIFY_FAILED, WITHHELD_FILE ": %s",
                       err_text(err));
    return err == ERR_NONE;
}

bool withheld_heads_take(struct verify *v)
{
    struct published *p = &v->published;
    struct verify_report *r = v->report;
    r->published_size = p->count > 0 ? p->heads[p->count - 1].size : 0;
    withheld_drop(&v->withheld, r->published_size);
    r->withheld = v->withheld.count;
    r->withheld_since_ms = r->withheld > 0 ? v->withheld.heads[0].since_ms : 0;
    for (size_t i = 0; i < v->withheld.count; i++) {
        const struct withheld_head *h = &v->withheld.heads[i];
        struct checkpoint c;
        size_t len = 0;
        if (note_checkpoint_parse(span_make(h->text, h->len), &c, &len) != ERR_NONE ||
            !verify_take_head(v, &c, WITHHELD_FILE))
            return false;
    }
    return true;
}

void withheld_heads_end(struct verify *v)
{
    struct verify_report *r = v->report;
    time_t seconds = (time_t)(r->withheld_since_ms / 1000);
    struct tm utc;
    char since[32] = "an unknown time";
    if (r->withheld == 0)
        return;
    if (gmtime_r(&seconds, &utc) != NULL)
        strftime(since, sizeof since, "%Y-%m-%dT%H:%M:%SZ", &utc);
    verify_remark(r, "%zu heads withheld since %s until witnesses sign: the one that is given out covers %llu entries",
                  r->withheld, since, (unsigned long long)r->published_size);
    verify_unproven(r,
                    "that witnesses have signed what lies behind entry %llu: it is signed, and its heads are withheld",
                    (unsigned long long)r->published_size);
}
