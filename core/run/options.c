/* SPDX-License-Identifier: MIT */
/* Checks JSON against option tables. */
#include "core/run/options.h"
#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/plugins.h"

#include <math.h>
#include <stdarg.h>
#include <string.h>

struct check {
    const struct lb_source *from;
    struct lb_text path; /* of the value that is looked at */
    struct lb_err *err;
};

static int check_value(struct check *c, const struct lb_option *o, const json_t *v);
static int check_object(struct check *c, const struct lb_table *t, const json_t *v);

/* ---- Messages ---- */

/* The last --set whose path is `path` or lies above it. */
static const char *set_of(const struct lb_source *from, const char *path)
{
    for (size_t i = from->n_sets; i--;) {
        const char *s = from->sets[i];
        size_t n = strcspn(s, "=");
        if (!strncmp(s, path, n) && (!path[n] || path[n] == '.' || path[n] == '['))
            return s;
    }
    return NULL;
}

int lb_source_fail(const struct lb_source *from, const char *path, const char *key, struct lb_err *err, const char *format, ...)
{
    char why[800];
    va_list args;
    va_start(args, format);
    vsnprintf(why, sizeof why, format, args);
    va_end(args);
    if (!err || err->set)
        return -1;
    int line = 1, column = 1, named = key && *key;
    struct lb_text whole = {0};
    lb_text_add(&whole, "%s%s%s", path, *path && named ? "." : "", named ? key : "");
    const char *at = whole.s ? whole.s : path, *set = set_of(from, at);
    if (!set)
        lb_json_locate(from->text, at, named, &line, &column);
    if (set)
        lb_fail(err, "--set %.200s: %s%s%s", set, path, *path ? ": " : "", why);
    else
        lb_fail(err, "%s:%d:%d: %s%s%s", from->name, line, column, path, *path ? ": " : "", why);
    for (char *p = err->text; *p; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            *p = '?';
    lb_text_free(&whole);
    return -1;
}

static const char *path_of(const struct check *c)
{
    return c->path.s ? c->path.s : "";
}

static int fail_wanted(struct check *c, const struct lb_option *o, const json_t *v, int above)
{
    char wanted[400], found[120];
    const char *const *words = o->choices;
    size_t n = 0;
    while (words && words[n])
        n++;
    const char *near = words && json_is_string(v) ? lb_nearest(json_string_value(v), words, n) : NULL;
    return lb_source_fail(c->from, path_of(c), NULL, c->err, "expected %s, found %s%s%s%s",
                          lb_options_wanted(o, above, wanted, sizeof wanted), lb_json_shown(v, found, sizeof found),
                          near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
}

/* ---- Values ---- */

static void push(struct check *c, const char *key)
{
    lb_text_add(&c->path, "%s%s", c->path.n ? "." : "", key);
}

static void push_index(struct check *c, size_t i)
{
    lb_text_add(&c->path, "[%zu]", i);
}

static void pop(struct check *c, size_t length)
{
    if (c->path.s && !c->path.failed) {
        c->path.n = length;
        c->path.s[length] = 0;
    }
}

static int check_number(struct check *c, const struct lb_option *o, const json_t *v, int whole)
{
    double x = json_number_value(v);
    if (!json_is_number(v) || (whole && x != floor(x)))
        return fail_wanted(c, o, v, 0);
    if (x < o->min || (o->flags & LB_ABOVE_MIN && x == o->min))
        return fail_wanted(c, o, v, 0);
    if (x > o->max || (o->flags & LB_BELOW_MAX && x == o->max))
        return fail_wanted(c, o, v, 1);
    return 0;
}

static size_t characters(const char *s)
{
    size_t n = 0;
    for (; *s; s++)
        n += ((unsigned char)*s & 0xc0) != 0x80;
    return n;
}

static int is_word(const char *s)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-";
    return *s != '.' && *s != '-' && !s[strspn(s, letters)];
}

static int check_text(struct check *c, const struct lb_option *o, const json_t *v)
{
    const char *s = json_string_value(v);
    if (!s || (o->choices && lb_options_choice(o->choices, s) < 0))
        return fail_wanted(c, o, v, 0);
    if (o->choices)
        return 0;
    size_t n = characters(s), max = o->max > 0 ? (size_t)o->max : LB_TEXT_MAX;
    if (n < 1 || (o->flags & LB_WORD && !is_word(s)))
        return fail_wanted(c, o, v, 0);
    if (n > max)
        return lb_source_fail(c->from, path_of(c), NULL, c->err, "expected at most %zu characters, found %zu", max, n);
    for (const char *p = s; *p && !(o->flags & LB_LINES); p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            return fail_wanted(c, o, v, 0);
    return 0;
}

static int check_ints(struct check *c, const struct lb_option *o, const json_t *v, size_t n)
{
    size_t length = c->path.n;
    if (json_array_size(v) != n)
        return fail_wanted(c, o, v, 0);
    struct lb_option item = *o;
    item.type = LB_OPT_INT;
    int r = 0;
    for (size_t i = 0; i < n && !r; i++) {
        push_index(c, i);
        r = check_number(c, &item, json_array_get(v, i), 1);
        pop(c, length);
    }
    return r;
}

static int check_list(struct check *c, const struct lb_option *o, const json_t *v)
{
    size_t n = json_array_size(v), length = c->path.n;
    if (!json_is_array(v))
        return fail_wanted(c, o, v, 0);
    if ((double)n < o->min || (double)n > o->max)
        return lb_source_fail(c->from, path_of(c), NULL, c->err, "expected an array of %g to %g values, found %zu", o->min, o->max, n);
    for (size_t i = 0; i < n; i++) {
        push_index(c, i);
        if (check_value(c, o->item, json_array_get(v, i)))
            return -1;
        pop(c, length);
    }
    return 0;
}

/* A text that is equal for equal values, 1 and 1.0 included. */
static char *item_key(const json_t *v, struct lb_err *err)
{
    double x = json_real_value(v);
    json_t *number = json_is_real(v) && x == floor(x) && fabs(x) <= LB_INT_MAX ? json_integer((json_int_t)x) : NULL;
    char *text = lb_json_canonical(number ? number : v, err);
    json_decref(number);
    return text;
}

static int check_unique(struct check *c, const json_t *v)
{
    int r = -1;
    size_t length = c->path.n;
    json_t *seen = json_object();
    for (size_t i = 0; seen && i < json_array_size(v); i++) {
        char *key = item_key(json_array_get(v, i), c->err), found[120];
        json_t *first = key ? json_object_get(seen, key) : NULL;
        if (first) {
            push_index(c, i);
            lb_source_fail(c->from, path_of(c), NULL, c->err, "%s stands there already, at [%lld]",
                           lb_json_shown(json_array_get(v, i), found, sizeof found), (long long)json_integer_value(first));
            pop(c, length);
        }
        int bad = !key || first || json_object_set_new(seen, key, json_integer((json_int_t)i));
        lb_free(key);
        if (bad) {
            lb_fail(c->err, "out of memory: JSON");
            goto out;
        }
    }
    r = seen ? 0 : lb_fail(c->err, "out of memory: JSON");
out:
    json_decref(seen);
    return r;
}

static int check_value(struct check *c, const struct lb_option *o, const json_t *v)
{
    switch (o->type) {
    case LB_OPT_BOOL:
        return json_is_boolean(v) ? 0 : fail_wanted(c, o, v, 0);
    case LB_OPT_INT:
        return check_number(c, o, v, 1);
    case LB_OPT_REAL:
        return check_number(c, o, v, 0);
    case LB_OPT_TEXT:
    case LB_OPT_CHOICE:
        return check_text(c, o, v);
    case LB_OPT_PAIR:
        return json_is_array(v) ? check_ints(c, o, v, 2) : check_number(c, o, v, 1);
    case LB_OPT_INTS:
        return check_ints(c, o, v, o->n);
    case LB_OPT_SCALAR:
        return json_is_number(v) ? 0 : check_text(c, o, v);
    case LB_OPT_LIST:
        return check_list(c, o, v) || (o->flags & LB_UNIQUE && check_unique(c, v)) ? -1 : 0;
    case LB_OPT_MAP:
    case LB_OPT_OBJECT:
        break;
    }
    if (json_is_string(v) && o->table->text)
        return check_text(c, o->table->text, v);
    return json_is_object(v) ? check_object(c, o->table, v) : fail_wanted(c, o, v, 0);
}

/* ---- Objects ---- */

static int fail_unknown(struct check *c, const struct lb_table *t, const char *key)
{
    const char *words[64];
    size_t n = 0;
    for (const struct lb_option *o = t->options; o->help && n < 64; o++)
        words[n++] = o->key;
    const char *near = lb_nearest(key, words, n);
    char found[120];
    json_t *text = json_string(key);
    lb_json_shown(text, found, sizeof found);
    json_decref(text);
    lb_source_fail(c->from, path_of(c), key, c->err, "unknown key %s%s%s%s", found, near ? "; did you mean \"" : "", near ? near : "",
                   near ? "\"?" : "");
    return -1;
}

static int check_members(struct check *c, const struct lb_table *t, const json_t *v)
{
    size_t length = c->path.n;
    json_t *object = (json_t *)(uintptr_t)v; /* jansson's iterators take no const */
    for (void *i = json_object_iter(object); i; i = json_object_iter_next(object, i)) {
        const char *key = json_object_iter_key(i);
        const struct lb_option *o = lb_options_find(t, key);
        if (!o && !t->rest)
            return fail_unknown(c, t, key);
        push(c, key);
        if (check_value(c, o ? o : t->rest, json_object_iter_value(i)))
            return -1;
        pop(c, length);
    }
    for (const struct lb_option *o = t->options; o->help; o++)
        if (o->flags & LB_REQUIRED && !json_object_get(v, o->key))
            return lb_source_fail(c->from, path_of(c), NULL, c->err, "\"%s\" is required", o->key);
    return 0;
}

/* "\"type\" is \"dense\" or \"conv2d\"" */
static const char *condition_text(const struct lb_rule *r, char *buf, size_t size)
{
    size_t n = (size_t)snprintf(buf, size, r->values[0] ? "\"%s\" is " : "\"%s\" is given", r->when);
    for (size_t i = 0; i < 6 && r->values[i] && n < size; i++)
        n += (size_t)snprintf(buf + n, size - n, "%s\"%s\"", i ? " or " : "", r->values[i]);
    return buf;
}

static int check_one_of(struct check *c, const struct lb_rule *r, const json_t *v)
{
    char words[200] = "";
    size_t given = 0, n = 0;
    for (size_t i = 0; i < 6 && r->keys[i] && n < sizeof words; i++) {
        given += json_object_get(v, r->keys[i]) != NULL;
        n += (size_t)snprintf(words + n, sizeof words - n, "%s\"%s\"", i ? " and " : "", r->keys[i]);
    }
    if (given == 1)
        return 0;
    return lb_source_fail(c->from, path_of(c), NULL, c->err, "exactly one of %s is required, found %s", words,
                          !given       ? "none"
                          : given == 2 ? "both"
                                       : "several");
}

static int check_rule(struct check *c, const struct lb_table *t, const struct lb_rule *r, const json_t *v)
{
    if (r->kind == LB_RULE_ONE)
        return check_one_of(c, r, v);
    char text[200];
    int where = lb_options_where(t, r, v);
    condition_text(r, text, sizeof text);
    for (size_t i = 0; i < 6 && r->keys[i]; i++) {
        int given = json_object_get(v, r->keys[i]) != NULL;
        if (r->kind == LB_RULE_NEEDS && where && !given)
            return lb_source_fail(c->from, path_of(c), NULL, c->err, "\"%s\" is required where %s", r->keys[i], text);
        if (r->kind == LB_RULE_ONLY && !where && given)
            return lb_source_fail(c->from, path_of(c), r->keys[i], c->err, "\"%s\" is allowed only where %s", r->keys[i], text);
        if (r->kind == LB_RULE_NOT && where && given)
            return lb_source_fail(c->from, path_of(c), r->keys[i], c->err, "\"%s\" is not allowed where %s", r->keys[i], text);
    }
    return 0;
}

static int check_object(struct check *c, const struct lb_table *t, const json_t *v)
{
    if (check_members(c, t, v))
        return -1;
    for (const struct lb_rule *r = t->rules; r && r->kind; r++)
        if (check_rule(c, t, r, v))
            return -1;
    return 0;
}

int lb_options_check(const struct lb_table *table, const json_t *value, const char *path, const struct lb_source *from, struct lb_err *err)
{
    struct check c = {.from = from, .err = err};
    struct lb_option whole = {.type = LB_OPT_OBJECT, .table = table};
    lb_text_add(&c.path, "%s", path);
    int r = check_value(&c, &whole, value);
    if (c.path.failed)
        r = lb_fail(err, "out of memory: text");
    lb_text_free(&c.path);
    return r;
}
