/* SPDX-License-Identifier: MIT */
/* JSON Schema 2020-12 out of option tables. A schema and lb_options_check give the same verdict on the same JSON. */
#include "core/run/options.h"

#include <math.h>
#include <string.h>

/* Schemas of tables stand once, in $defs. A failed allocation makes NULL, which jansson's setters pass on as an error into `failed`. */
struct schema {
    json_t *defs;
    int failed;
};

static void put(struct schema *s, json_t *object, const char *key, json_t *value)
{
    s->failed |= json_object_set_new(object, key, value) != 0;
}

static void append(struct schema *s, json_t *array, json_t *value)
{
    s->failed |= json_array_append_new(array, value) != 0;
}

/* Whole numbers without a decimal point. */
static json_t *number(double v)
{
    return v == floor(v) && fabs(v) <= LB_INT_MAX ? json_integer((json_int_t)v) : json_real(v);
}

/* Up to `max` words, ended by NULL. */
static json_t *words(struct schema *s, const char *const *list, size_t max)
{
    json_t *a = json_array();
    for (size_t i = 0; i < max && list[i]; i++)
        append(s, a, json_string(list[i]));
    return a;
}

static json_t *typed(struct schema *s, const char *type)
{
    json_t *v = json_object();
    put(s, v, "type", json_string(type));
    return v;
}

static json_t *value_schema(struct schema *s, const struct lb_option *o);

static json_t *number_schema(struct schema *s, const struct lb_option *o, const char *type)
{
    json_t *v = typed(s, type);
    put(s, v, o->flags & LB_ABOVE_MIN ? "exclusiveMinimum" : "minimum", number(o->min));
    put(s, v, o->flags & LB_BELOW_MAX ? "exclusiveMaximum" : "maximum", number(o->max));
    return v;
}

/* Patterns are negated classes, so that no dialect's idea of `$` before a line end matters. */
static json_t *text_schema(struct schema *s, const struct lb_option *o)
{
    json_t *v = typed(s, "string");
    if (o->choices) {
        put(s, v, "enum", words(s, o->choices, SIZE_MAX));
        return v;
    }
    put(s, v, "minLength", json_integer(1));
    put(s, v, "maxLength", number(o->max > 0 ? o->max : LB_TEXT_MAX));
    if (o->flags & LB_WORD)
        put(s, v, "pattern", json_string("^[A-Za-z0-9_]"));
    if (!(o->flags & LB_LINES))
        put(s, v, "not", json_pack("{ss}", "pattern", o->flags & LB_WORD ? "[^A-Za-z0-9_.-]" : "[\\x00-\\x1f\\x7f]"));
    return v;
}

static json_t *array_schema(struct schema *s, json_t *items, double min, double max)
{
    json_t *v = typed(s, "array");
    put(s, v, "items", items);
    put(s, v, "minItems", number(min));
    put(s, v, "maxItems", number(max));
    return v;
}

/* { "anyOf": [a, b] } */
static json_t *either(struct schema *s, json_t *a, json_t *b)
{
    json_t *v = json_object(), *list = json_array();
    append(s, list, a);
    append(s, list, b);
    put(s, v, "anyOf", list);
    return v;
}

/* ---- Rules ---- */

static json_t *any_given(struct schema *s, const char *const *keys)
{
    json_t *v = json_object(), *list = json_array();
    for (size_t i = 0; i < 6 && keys[i]; i++)
        append(s, list, json_pack("{s[s]}", "required", keys[i]));
    put(s, v, "anyOf", list);
    return v;
}

static json_t *where_schema(struct schema *s, const struct lb_table *t, const struct lb_rule *r)
{
    json_t *v = json_object();
    const struct lb_option *o = lb_options_find(t, r->when);
    int absent_counts = 0;
    for (size_t i = 0; i < 6 && r->values[i]; i++)
        absent_counts |= o && o->value && !strcmp(o->value, r->values[i]);
    if (r->values[0])
        put(s, v, "properties", json_pack("{s{so}}", r->when, "enum", words(s, r->values, 6)));
    if (!absent_counts)
        put(s, v, "required", json_pack("[s]", r->when));
    return v;
}

static json_t *rule_schema(struct schema *s, const struct lb_table *t, const struct lb_rule *r)
{
    json_t *v = json_object(), *given = any_given(s, r->keys);
    if (r->kind == LB_RULE_ONE) {
        put(s, v, "oneOf", json_incref(json_object_get(given, "anyOf")));
    } else if (r->kind == LB_RULE_ONLY) {
        put(s, v, "if", json_incref(given));
        put(s, v, "then", where_schema(s, t, r));
    } else {
        put(s, v, "if", where_schema(s, t, r));
        put(s, v, "then", r->kind == LB_RULE_NOT ? json_pack("{sO}", "not", given) : json_pack("{so}", "required", words(s, r->keys, 6)));
    }
    json_decref(given);
    return v;
}

/* ---- Tables ---- */

static json_t *described(struct schema *s, const struct lb_option *o)
{
    json_t *v = value_schema(s, o), *fallback = lb_options_default(o);
    if (o->help)
        put(s, v, "description", json_string(o->help));
    if (fallback)
        put(s, v, "default", fallback);
    return v;
}

static json_t *table_schema(struct schema *s, const struct lb_table *t)
{
    json_t *v = typed(s, "object"), *properties = json_object(), *required = json_array(), *rules = json_array();
    put(s, v, "description", json_string(t->help));
    for (const struct lb_option *o = t->options; o->help; o++) {
        put(s, properties, o->key, described(s, o));
        if (o->flags & LB_REQUIRED)
            append(s, required, json_string(o->key));
    }
    for (const struct lb_rule *r = t->rules; r && r->kind; r++)
        append(s, rules, rule_schema(s, t, r));
    put(s, v, "properties", properties);
    put(s, v, "additionalProperties", t->rest ? value_schema(s, t->rest) : json_false());
    if (json_array_size(required))
        put(s, v, "required", json_incref(required));
    if (json_array_size(rules))
        put(s, v, "allOf", json_incref(rules));
    json_decref(required);
    json_decref(rules);
    return t->text ? either(s, value_schema(s, t->text), v) : v;
}

static json_t *reference(struct schema *s, const struct lb_table *t)
{
    if (!json_object_get(s->defs, t->name)) {
        put(s, s->defs, t->name, json_object()); /* keeps its place before those below it */
        put(s, s->defs, t->name, table_schema(s, t));
    }
    return json_pack("{s:s+}", "$ref", "#/$defs/", t->name);
}

static json_t *value_schema(struct schema *s, const struct lb_option *o)
{
    switch (o->type) {
    case LB_OPT_BOOL:
        return typed(s, "boolean");
    case LB_OPT_INT:
        return number_schema(s, o, "integer");
    case LB_OPT_REAL:
        return number_schema(s, o, "number");
    case LB_OPT_TEXT:
    case LB_OPT_CHOICE:
        return text_schema(s, o);
    case LB_OPT_PAIR:
        return either(s, number_schema(s, o, "integer"), array_schema(s, number_schema(s, o, "integer"), 2, 2));
    case LB_OPT_INTS:
        return array_schema(s, number_schema(s, o, "integer"), (double)o->n, (double)o->n);
    case LB_OPT_SCALAR:
        return either(s, typed(s, "number"), text_schema(s, o));
    case LB_OPT_MAP:
    case LB_OPT_OBJECT:
        return reference(s, o->table);
    case LB_OPT_LIST:
        break;
    }
    json_t *v = array_schema(s, value_schema(s, o->item), o->min, o->max);
    if (o->flags & LB_UNIQUE)
        put(s, v, "uniqueItems", json_true());
    return v;
}

json_t *lb_options_schema(const struct lb_table *table, struct lb_err *err)
{
    struct schema s = {.defs = json_object()};
    json_t *v = json_object(), *whole = table_schema(&s, table);
    put(&s, v, "$schema", json_string("https://json-schema.org/draft/2020-12/schema"));
    put(&s, v, "title", json_string(table->name));
    s.failed |= json_object_update(v, whole) != 0;
    put(&s, v, "$defs", s.defs);
    json_decref(whole);
    if (s.failed) {
        json_decref(v);
        lb_fail(err, "out of memory: JSON");
        return NULL;
    }
    return v;
}
