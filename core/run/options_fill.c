/* SPDX-License-Identifier: MIT */
/* Fills structs in from JSON that passed the check, and writes canonical JSON. */
#include "core/run/options.h"
#include "core/base/mem.h"

#include <math.h>
#include <string.h>

const struct lb_option *lb_options_find(const struct lb_table *table, const char *key)
{
    for (const struct lb_option *o = table->options; o->help; o++)
        if (!strcmp(o->key, key))
            return o;
    return NULL;
}

json_t *lb_options_default(const struct lb_option *o)
{
    if (!o->value)
        return NULL;
    json_t *v = o->type == LB_OPT_TEXT || o->type == LB_OPT_CHOICE ? NULL : json_loads(o->value, JSON_DECODE_ANY, NULL);
    return v ? v : json_string(o->value);
}

int lb_options_choice(const char *const *choices, const char *word)
{
    for (int i = 0; choices[i]; i++)
        if (!strcmp(choices[i], word))
            return i;
    return -1;
}

int lb_options_where(const struct lb_table *table, const struct lb_rule *r, const json_t *object)
{
    const json_t *v = json_object_get(object, r->when);
    if (!r->values[0])
        return v != NULL;
    const struct lb_option *o = v ? NULL : lb_options_find(table, r->when);
    const char *word = v ? json_string_value(v) : o ? o->value : NULL;
    for (size_t i = 0; word && i < 6 && r->values[i]; i++)
        if (!strcmp(word, r->values[i]))
            return 1;
    return 0;
}

/* ---- Filling in ---- */

static int fill_value(const struct lb_option *o, const json_t *v, char *at, struct lb_err *err);

static int64_t whole_of(const json_t *v)
{
    return json_is_real(v) ? (int64_t)json_real_value(v) : (int64_t)json_integer_value(v);
}

/* -0 and 0 give the same results, so they should give the same hash. */
static double real_of(const json_t *v)
{
    return json_number_value(v) + 0.0;
}

static int fill_text(char **at, const char *s, struct lb_err *err)
{
    *at = s ? lb_strdup(s, err) : NULL;
    return s && !*at ? -1 : 0;
}

static void fill_int(char *at, int v)
{
    memcpy(at, &v, sizeof v);
}

static int fill_items(const struct lb_option *o, const json_t *v, char *object, struct lb_err *err)
{
    size_t n = json_array_size(v);
    char *items = lb_alloc(n, o->item_size, err);
    if (!items)
        return -1;
    memcpy(object + o->offset, &items, sizeof items);
    memcpy(object + o->count, &n, sizeof n);
    for (size_t i = 0; i < n; i++)
        if (fill_value(o->item, json_array_get(v, i), items + i * o->item_size, err))
            return -1;
    return 0;
}

static int fill_one(const struct lb_option *o, const json_t *v, char *object, struct lb_err *err)
{
    size_t n = 1;
    char *item = lb_alloc(n, o->item_size, err);
    if (!item)
        return -1;
    memcpy(object + o->offset, &item, sizeof item);
    memcpy(object + o->count, &n, sizeof n);
    return lb_options_fill(o->table, v, item, err);
}

static void fill_ints(char *at, const json_t *v, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        int64_t x = v ? whole_of(json_is_array(v) ? json_array_get(v, i) : v) : 0;
        memcpy(at + i * sizeof x, &x, sizeof x);
    }
}

/* Everything but lists; v may be NULL. */
static int fill_value(const struct lb_option *o, const json_t *v, char *at, struct lb_err *err)
{
    double real = v ? real_of(v) : NAN;
    switch (o->type) {
    case LB_OPT_BOOL:
        fill_int(at, json_is_true(v));
        return 0;
    case LB_OPT_INT:
        fill_ints(at, v, 1);
        return 0;
    case LB_OPT_PAIR:
        fill_ints(at, v, 2);
        return 0;
    case LB_OPT_INTS:
        fill_ints(at, v, o->n);
        return 0;
    case LB_OPT_REAL:
        memcpy(at, &real, sizeof real);
        return 0;
    case LB_OPT_TEXT:
        return fill_text((char **)(void *)at, json_string_value(v), err);
    case LB_OPT_CHOICE:
        fill_int(at, v ? lb_options_choice(o->choices, json_string_value(v)) : -1);
        return 0;
    case LB_OPT_MAP:
        *(json_t **)(void *)at = json_incref((json_t *)(uintptr_t)v);
        return 0;
    case LB_OPT_OBJECT:
        return lb_options_fill(o->table, v, at, err);
    case LB_OPT_SCALAR:
    case LB_OPT_LIST:
        break;
    }
    return 0;
}

static int fill_option(const struct lb_option *o, const json_t *given, char *object, struct lb_err *err)
{
    json_t *fallback = given ? NULL : lb_options_default(o);
    const json_t *v = given ? given : fallback;
    int r = 0, listed = o->type == LB_OPT_LIST || o->count;
    if (o->value && !v)
        r = lb_fail(err, "out of memory: JSON");
    else if (listed && v)
        r = o->type == LB_OPT_LIST ? fill_items(o, v, object, err) : fill_one(o, v, object, err);
    else if (!listed && (v || o->type != LB_OPT_OBJECT))
        r = fill_value(o, v, object + o->offset, err);
    json_decref(fallback);
    return r;
}

int lb_options_fill(const struct lb_table *table, const json_t *value, void *object, struct lb_err *err)
{
    for (const struct lb_option *o = table->options; o->help; o++) {
        const json_t *given = json_object_get(value, o->key);
        if (json_is_string(value) && table->text && !strcmp(table->text->key, o->key))
            given = value;
        if (given && o->has)
            fill_int((char *)object + o->has, 1);
        if (o->offset != LB_NOWHERE && fill_option(o, given, object, err))
            return -1;
    }
    return 0;
}

static void free_option(const struct lb_option *o, char *object)
{
    char *at = object + o->offset, *items = NULL;
    size_t n = 0;
    if (o->type == LB_OPT_TEXT) {
        lb_free(*(char **)(void *)at);
        *(char **)(void *)at = NULL;
    } else if (o->type == LB_OPT_MAP) {
        json_decref(*(json_t **)(void *)at);
        *(json_t **)(void *)at = NULL;
    } else if (o->type == LB_OPT_LIST || (o->type == LB_OPT_OBJECT && o->count)) {
        memcpy(&items, at, sizeof items);
        memcpy(&n, object + o->count, sizeof n);
        for (size_t i = 0; items && i < n; i++) {
            if (o->type == LB_OPT_OBJECT)
                lb_options_free(o->table, items + i * o->item_size);
            else
                free_option(o->item, items + i * o->item_size);
        }
        lb_free(items);
        *(char **)(void *)at = NULL;
        memset(object + o->count, 0, sizeof n);
    } else if (o->type == LB_OPT_OBJECT) {
        lb_options_free(o->table, at);
    }
}

void lb_options_free(const struct lb_table *table, void *object)
{
    for (const struct lb_option *o = table->options; o->help; o++)
        if (o->offset != LB_NOWHERE)
            free_option(o, object);
}

/* ---- Canonical JSON ---- */

static json_t *canonical_list(const struct lb_option *o, const json_t *v, size_t n);

static json_t *canonical_object(const struct lb_table *t, const json_t *v);

static json_t *canonical_value(const struct lb_option *o, const json_t *v)
{
    struct lb_option item = *o;
    switch (o->type) {
    case LB_OPT_INT:
        return json_integer(whole_of(v));
    case LB_OPT_REAL:
        return json_real(real_of(v));
    case LB_OPT_SCALAR:
        return json_is_number(v) ? json_real(real_of(v)) : json_deep_copy(v);
    case LB_OPT_PAIR:
    case LB_OPT_INTS:
        item.type = LB_OPT_INT;
        return canonical_list(&item, v, o->type == LB_OPT_PAIR ? 2 : o->n);
    case LB_OPT_LIST:
        return canonical_list(o->item, v, json_array_size(v));
    case LB_OPT_MAP:
    case LB_OPT_OBJECT:
        return canonical_object(o->table, v);
    case LB_OPT_BOOL:
    case LB_OPT_TEXT:
    case LB_OPT_CHOICE:
        break;
    }
    return json_deep_copy(v);
}

static json_t *canonical_list(const struct lb_option *o, const json_t *v, size_t n)
{
    json_t *list = json_array();
    for (size_t i = 0; list && i < n; i++) {
        if (json_array_append_new(list, canonical_value(o, json_is_array(v) ? json_array_get(v, i) : v))) {
            json_decref(list);
            list = NULL;
        }
    }
    return list;
}

/* May the key stand in this object, by the rules? Where not, its default has no meaning. */
static int allowed(const struct lb_table *t, const char *key, const json_t *object)
{
    for (const struct lb_rule *r = t->rules; r && r->kind; r++) {
        if (r->kind != LB_RULE_ONLY && r->kind != LB_RULE_NOT)
            continue;
        for (size_t i = 0; i < 6 && r->keys[i]; i++)
            if (!strcmp(r->keys[i], key) && lb_options_where(t, r, object) != (r->kind == LB_RULE_ONLY))
                return 0;
    }
    return 1;
}

static int canonical_rest(const struct lb_table *t, const json_t *v, json_t *out)
{
    json_t *object = (json_t *)(uintptr_t)v; /* jansson's iterators take no const */
    for (void *i = json_object_iter(object); t->rest && i; i = json_object_iter_next(object, i)) {
        const char *key = json_object_iter_key(i);
        if (!lb_options_find(t, key) && json_object_set_new(out, key, canonical_value(t->rest, json_object_iter_value(i))))
            return -1;
    }
    return 0;
}

static json_t *canonical_object(const struct lb_table *t, const json_t *v)
{
    json_t *out = json_object();
    json_t *full = json_is_string(v) && t->text ? json_pack("{sO}", t->text->key, v) : json_incref((json_t *)(uintptr_t)v);
    int bad = !out || !full || canonical_rest(t, full, out);
    for (const struct lb_option *o = t->options; !bad && o->help; o++) {
        const json_t *given = json_object_get(full, o->key);
        if (o->flags & LB_UNHASHED || (!given && !allowed(t, o->key, full)))
            continue;
        json_t *fallback = given ? NULL : lb_options_default(o);
        if (given || fallback)
            bad = json_object_set_new(out, o->key, canonical_value(o, given ? given : fallback));
        else
            bad = o->value != NULL;
        json_decref(fallback);
    }
    json_decref(full);
    if (bad) {
        json_decref(out);
        return NULL;
    }
    return out;
}

json_t *lb_options_canonical(const struct lb_table *table, const json_t *value, struct lb_err *err)
{
    json_t *v = canonical_object(table, value);
    if (!v)
        lb_fail(err, "out of memory: JSON");
    return v;
}
